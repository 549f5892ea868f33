//! Directions do not care how parameters are named, ordered and cut, nor what lies beside those that are trained.

use candle_core::DType;
use tape_nn::select;
use tensor_tree::Tree;
use unlearn::direction::Direction;
use unlearn::loss::Objective;
use unlearn::method::Method;

use super::{Real, cut, distance, shortest};

const DIRECTIONS: [Direction; 10] = [
    Direction::Weighted { retain: 0.3 },
    Direction::Sum { retain: 1.0, forget: 0.125 },
    Direction::LossNorm { retain_loss: 2.0, forget_loss: 0.5 },
    Direction::PcGrad,
    Direction::PcGradOneSided,
    Direction::ImtlG,
    Direction::Mgda,
    Direction::NgDiff,
    Direction::Blur { gamma: 0.5 },
    Direction::BlurSwapped { gamma: 1.0 },
];

/// Gradients of the retain and of the forget loss of BLUR.
fn gradients(real: &Real) -> (Tree, Tree) {
    let method = Method::named("blur").unwrap();
    let mut forget = real.items(&shortest("tofu/world_facts_perturbed.jsonl", 4));
    real.fill(&mut forget, method.forget);
    let retain = real.items(&shortest("tofu/real_authors_perturbed.jsonl", 4));
    let params = real.llama.params.scale(0.98).unwrap();
    let r = real.gradient(&params, &retain, method.retain, 4).gradient;
    let f = real.gradient(&params, &forget, method.forget, 4).gradient;
    (r, f)
}

/// The same leaves under names in the opposite order.
fn reversed(tree: &Tree) -> Tree {
    let n = tree.len();
    let leaves = tree.iter().enumerate();
    Tree::from_leaves(leaves.map(|(i, (_, leaf))| (format!("{:04}", n - i), leaf.clone()))).unwrap()
}

/// Each leaf as one row, in two pieces.
fn halved(tree: &Tree) -> Tree {
    let mut out = Tree::new();
    for (name, leaf) in tree.iter() {
        let flat = leaf.flatten_all().unwrap();
        let n = flat.elem_count();
        let first = n / 3;
        out.insert(format!("{name}.a"), flat.narrow(0, 0, first).unwrap()).unwrap();
        out.insert(format!("{name}.b"), flat.narrow(0, first, n - first).unwrap()).unwrap();
    }
    out
}

#[test]
fn directions_are_the_same_in_any_order_and_any_cut() {
    let real = Real::new(DType::F64);
    let (r, f) = gradients(&real);
    for direction in DIRECTIONS {
        let plain = direction.of(&r, &f).unwrap();
        assert!(0.0 < plain.norm().unwrap());
        let other = direction.of(&reversed(&r), &reversed(&f)).unwrap();
        let error = distance(&other, &reversed(&plain));
        assert!(error < 1e-12, "{direction:?}, reversed: {error}");
        let other = direction.of(&halved(&r), &halved(&f)).unwrap();
        let error = distance(&other, &halved(&plain));
        assert!(error < 1e-12, "{direction:?}, halved: {error}");
    }
}

#[test]
fn directions_over_a_subset_are_those_of_the_restricted_gradients() {
    let real = Real::new(DType::F64);
    let (r, f) = gradients(&real);
    let params = real.llama.params.scale(0.98).unwrap();
    let method = Method::named("blur").unwrap();
    let mut forget = real.items(&shortest("tofu/world_facts_perturbed.jsonl", 4));
    real.fill(&mut forget, method.forget);
    let retain = real.items(&shortest("tofu/real_authors_perturbed.jsonl", 4));
    for patterns in [&["layers.4.*"][..], &["q_proj.weight", "norm.weight"][..]] {
        let (trainable, frozen) = select::split(&params, patterns).unwrap();
        assert!(!trainable.is_empty() && !frozen.is_empty());
        let of = |items: &[unlearn::batch::Item], loss| {
            let objective = Objective { model: &real.llama.model, frozen: &frozen, loss };
            objective.gradient(&trainable, &cut(items, 4)).unwrap().gradient
        };
        let (own_r, own_f) = (of(&retain, method.retain), of(&forget, method.forget));
        let (sub_r, sub_f) =
            (select::split(&r, patterns).unwrap().0, select::split(&f, patterns).unwrap().0);
        for direction in DIRECTIONS {
            let error = distance(
                &direction.of(&own_r, &own_f).unwrap(),
                &direction.of(&sub_r, &sub_f).unwrap(),
            );
            assert!(error < 1e-10, "{patterns:?} {direction:?}: {error}");
        }
    }
}
