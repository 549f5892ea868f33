//! How an effective batch is cut and padded changes nothing, for every method.

use candle_core::{DType, Device};
use tensor_tree::Tree;
use unlearn::batch::{Batch, Item};
use unlearn::loss::{Loss, Objective, Pass};
use unlearn::method::{METHODS, Method, Values};

use super::{Real, cut, distance, shortest};

/// Passes of each loss that some method has, at parameters that are not those of the reference.
struct Passes {
    real: Real,
    params: Tree,
    items: [Vec<Item>; 2],
    known: Vec<(Loss, [Pass; 2])>,
}

impl Passes {
    fn new(n: usize) -> Passes {
        let real = Real::new(DType::F64);
        let of = |path: &str| real.items(&shortest(path, n));
        let items =
            [of("tofu/world_facts_perturbed.jsonl"), of("tofu/real_authors_perturbed.jsonl")];
        let params = real.llama.params.scale(0.98).unwrap();
        Passes { real, params, items, known: Vec::new() }
    }

    fn filled(&self, which: usize, loss: Loss) -> Vec<Item> {
        let mut items = self.items[which].clone();
        self.real.fill(&mut items, loss);
        items
    }

    /// In one pass, and in passes of four.
    fn of(&mut self, which: usize, loss: Loss) -> [Pass; 2] {
        if let Some((_, passes)) = self.known.iter().find(|(known, _)| *known == loss) {
            return passes.clone();
        }
        let items = self.filled(which, loss);
        let of = |size: usize| self.real.gradient(&self.params, &items, loss, size);
        let passes = [of(items.len()), of(4)];
        self.known.push((loss, passes.clone()));
        passes
    }
}

#[test]
fn one_pass_of_32_rows_equals_eight_of_four_for_every_method() {
    let mut passes = Passes::new(32);
    for (name, _) in METHODS {
        let method = Method::named(name).unwrap();
        let (forget, retain) = (passes.of(0, method.forget), passes.of(1, method.retain));
        for (which, [whole, parts]) in [("forget", &forget), ("retain", &retain)] {
            let error = distance(&parts.gradient, &whole.gradient);
            assert!(error < 1e-12, "{name}, {which}: {error}");
            let (a, b) = (whole.loss, parts.loss);
            assert!((a - b).abs() < 1e-12 * (1.0 + a.abs()), "{name}, {which}: {a} {b}");
            assert!((whole.nll - parts.nll).abs() < 1e-12 * whole.nll, "{name}, {which}");
            assert!(0.0 < whole.gradient.norm().unwrap(), "{name}, {which}");
        }
        let direction = |i: usize| {
            let (f, r) = (&forget[i], &retain[i]);
            let values = Values { retain: r.loss, forget: f.loss, forget_nll: f.nll };
            let direction = method.recipe.direction(&method, values, [0.3, -1.1]);
            direction.of(&r.gradient, &f.gradient).unwrap()
        };
        let error = distance(&direction(1), &direction(0));
        assert!(error < 1e-11, "{name}: {error}");
    }
    // Nine losses to forget by and two to keep by.
    assert_eq!(passes.known.len(), 11);
}

#[test]
fn the_length_of_padding_changes_nothing_for_any_method() {
    let passes = Passes::new(4);
    let mut seen: Vec<Loss> = Vec::new();
    for (name, _) in METHODS {
        let method = Method::named(name).unwrap();
        for loss in [method.forget, method.retain] {
            if seen.contains(&loss) {
                continue;
            }
            seen.push(loss);
            let items = passes.filled(0, loss);
            let frozen = Tree::new();
            let objective = Objective { model: &passes.real.llama.model, frozen: &frozen, loss };
            let plain = objective.gradient(&passes.params, &cut(&items, 4)).unwrap();
            let padded = Batch::new(items, &Device::Cpu).unwrap();
            let padded = padded.with_padding(9, &Device::Cpu).unwrap();
            let padded = objective.gradient(&passes.params, &[padded]).unwrap();
            let error = distance(&padded.gradient, &plain.gradient);
            assert!(error < 1e-12, "{name}, {loss:?}: {error}");
            assert!((plain.loss - padded.loss).abs() < 1e-13 * (1.0 + plain.loss.abs()));
        }
    }
}
