//! Tests of clipping functions, styles and the sums they bound.

use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;
use tensor_tree::{Key, Label, Tree};

use super::*;
use crate::{GaussianMechanism, NoiseMultiplier};

/// Per-sample gradients that exist as trees.
struct Given(Vec<Tree>);

impl PerSample for Given {
    fn n_samples(&self) -> usize {
        self.0.len()
    }

    fn squared_norms(&self, groups: &Groups) -> tensor_tree::Result<Vec<Vec<f64>>> {
        let mut out = vec![vec![0.0; self.0.len()]; groups.len()];
        for (i, tree) in self.0.iter().enumerate() {
            for (name, leaf) in tree.iter() {
                let one = Tree::from_leaves([(name, leaf.clone())])?;
                out[groups.of(name)?][i] += one.norm()?.powi(2);
            }
        }
        Ok(out)
    }

    fn weighted_sum(self, groups: &Groups, factors: &[Vec<f64>]) -> tensor_tree::Result<Tree> {
        let mut sum = self.0[0].zeros_like()?;
        for (i, tree) in self.0.iter().enumerate() {
            sum = sum.zip_map(
                &tree.map(|name, leaf| {
                    let f = factors[groups.of(name)?][i];
                    Ok(if f == 0.0 { leaf.zeros_like()? } else { (leaf * f)? })
                })?,
                |a, b| Ok((a + b)?),
            )?;
        }
        Ok(sum)
    }
}

fn gradient(seed: u64, scale: f64) -> Tree {
    let mut tree = Tree::new();
    for (name, n) in [("a.weight", 6), ("a.bias", 2), ("b.weight", 4)] {
        let zero = Tensor::zeros(n, DType::F64, &Device::Cpu).unwrap();
        let leaf = Key::from_seed(seed).child(Label::Leaf(name)).normal_like(&zero).unwrap();
        tree.insert(name, (leaf * scale).unwrap()).unwrap();
    }
    tree
}

fn open(sum: ClippedSum) -> Tree {
    let none = NoiseMultiplier::new(0.0).unwrap();
    let mechanism = GaussianMechanism::new(none, NeighboringRelation::AddOrRemoveOne);
    mechanism.privatize(sum, Key::from_seed(0)).unwrap().0
}

#[test]
fn a_sum_in_half_precision_is_refused() {
    let grads: Vec<Tree> = (0..3).map(|seed| gradient(seed, 1.0)).collect();
    let one = ClipNorm::new(1.0).unwrap();
    for (dtype, refused) in
        [(DType::F16, true), (DType::BF16, true), (DType::F32, false), (DType::F64, false)]
    {
        let given: Vec<Tree> = grads.iter().map(|g| g.to_dtype(dtype).unwrap()).collect();
        let clipping =
            Clipping::new(ClipFunction::default(), &ClipStyle::Flat, &given[0], one).unwrap();
        match clip_and_sum(Given(given), &clipping) {
            Err(Error::HalfPrecisionSum { name }) => assert!(refused && name == "a.bias"),
            other => assert!(!refused && other.is_ok(), "{other:?}"),
        }
    }
}

fn sum(grads: &[Tree], clipping: &Clipping) -> Tree {
    open(clip_and_sum(Given(grads.to_vec()), clipping).unwrap())
}

fn function() -> impl Strategy<Value = ClipFunction> {
    prop_oneof![
        Just(ClipFunction::Abadi { stability: 0.0 }),
        Just(ClipFunction::Abadi { stability: 1e-6 }),
        Just(ClipFunction::AutoV),
        Just(ClipFunction::AutoS { gamma: 0.01 }),
        Just(ClipFunction::Global),
    ]
}

fn style() -> impl Strategy<Value = ClipStyle> {
    let block = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    prop_oneof![
        Just(ClipStyle::Flat),
        Just(ClipStyle::PerLayer),
        Just(ClipStyle::PerParam),
        Just(ClipStyle::Blocks(vec![block(&["a.weight", "b.weight"]), block(&["a.bias"])])),
    ]
}

fn clipping(f: ClipFunction, s: &ClipStyle, r: f64) -> Clipping {
    Clipping::new(f, s, &gradient(0, 1.0), ClipNorm::new(r).unwrap()).unwrap()
}

fn distance(a: &Tree, b: &Tree) -> f64 {
    a.add_scaled(-1.0, b).unwrap().norm().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn one_sample_changes_the_sum_by_at_most_the_clip_norm(
        f in function(), s in style(), r in 0.01..5.0f64, e in -6.0..6.0f64, seed in 0u64..1000,
    ) {
        let c = clipping(f, &s, r);
        let grads: Vec<Tree> = (0..3).map(|i| gradient(seed + i, 10f64.powf(e))).collect();
        let slack = r * (1.0 + 1e-12);
        prop_assert!(sum(&grads[..1], &c).norm().unwrap() <= slack);
        prop_assert!(distance(&sum(&grads, &c), &sum(&grads[..2], &c)) <= slack);
        let replaced = [grads[0].clone(), grads[1].clone(), gradient(seed + 77, 1.0)];
        prop_assert!(distance(&sum(&grads, &c), &sum(&replaced, &c)) <= 2.0 * slack);
    }

    #[test]
    fn every_group_keeps_to_its_own_threshold(f in function(), s in style(), seed in 0u64..1000) {
        let c = clipping(f, &s, 1.5);
        let total: f64 = c.thresholds().iter().map(|r| r * r).sum();
        prop_assert!((total.sqrt() - 1.5).abs() < 1e-12);
        let grads = Given(vec![gradient(seed, 3.0)]);
        let squared = grads.squared_norms(c.groups()).unwrap();
        let factors = c.factors(&squared).unwrap();
        for ((norm, factor), r) in squared.iter().zip(&factors).zip(c.thresholds()) {
            prop_assert!(factor[0] * norm[0].sqrt() <= r * (1.0 + 1e-12));
        }
    }

    #[test]
    fn the_sum_does_not_depend_on_the_order_or_the_split(f in function(), s in style(), seed in 0u64..1000) {
        let c = clipping(f, &s, 0.7);
        let grads: Vec<Tree> = (0..5).map(|i| gradient(seed + i, 0.3)).collect();
        let whole = sum(&grads, &c);
        let turned: Vec<Tree> = grads.iter().rev().cloned().collect();
        prop_assert!(distance(&whole, &sum(&turned, &c)) < 1e-12);
        let part = |g: &[Tree]| clip_and_sum(Given(g.to_vec()), &c).unwrap();
        let split = open(part(&grads[..2]).merge(part(&grads[2..])).unwrap());
        prop_assert!(distance(&whole, &split) < 1e-12);
    }

    #[test]
    fn automatic_clipping_scales_with_the_clip_norm_exactly(k in 0.1..10.0f64, seed in 0u64..1000) {
        for f in [ClipFunction::AutoV, ClipFunction::AutoS { gamma: 0.01 }] {
            let grads = [gradient(seed, 1.0), gradient(seed + 1, 2.0)];
            let one = sum(&grads, &clipping(f, &ClipStyle::Flat, 1.0)).scale(k).unwrap();
            let other = sum(&grads, &clipping(f, &ClipStyle::Flat, k));
            prop_assert!(distance(&one, &other) < 1e-12 * k);
        }
    }

    #[test]
    fn scale_invariance_holds_for_auto_v_alone(k in 1.5..10.0f64, seed in 0u64..1000) {
        let grads = [gradient(seed, 0.01), gradient(seed + 1, 0.02)];
        let scaled = grads.clone().map(|g| g.scale(k).unwrap());
        let at = |f, g: &[Tree]| sum(g, &clipping(f, &ClipStyle::Flat, 1.0));
        prop_assert!(distance(&at(ClipFunction::AutoV, &grads), &at(ClipFunction::AutoV, &scaled)) < 1e-12);
        let auto_s = ClipFunction::automatic();
        prop_assert!(1e-3 < distance(&at(auto_s, &grads), &at(auto_s, &scaled)));
        let nearly = ClipFunction::AutoS { gamma: 1e-13 };
        prop_assert!(distance(&at(nearly, &grads), &at(ClipFunction::AutoV, &grads)) < 1e-9);
    }

    #[test]
    fn small_gradients_pass_flat_clipping_unchanged(seed in 0u64..1000) {
        let grads = [gradient(seed, 1.0), gradient(seed + 1, 1.0)];
        let plain = grads[0].add_scaled(1.0, &grads[1]).unwrap();
        let c = clipping(ClipFunction::default(), &ClipStyle::Flat, 1e3);
        prop_assert!(distance(&sum(&grads, &c), &plain) == 0.0);
    }

    #[test]
    fn a_sample_that_is_not_finite_contributes_nothing(f in function(), s in style(), seed in 0u64..1000) {
        let c = clipping(f, &s, 1.0);
        let bad = |value: f64| gradient(seed, 1.0).map(|name, leaf| {
            if name == "a.bias" { Ok(Tensor::new(&[value, 1.0], &Device::Cpu)?) } else { Ok(leaf.clone()) }
        }).unwrap();
        let rest = [gradient(seed + 1, 1.0), gradient(seed + 2, 1.0)];
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let with = [rest[0].clone(), bad(value), rest[1].clone()];
            prop_assert!(distance(&sum(&with, &c), &sum(&rest, &c)) == 0.0);
        }
    }
}

#[test]
fn constants_out_of_range_are_refused() {
    let params = gradient(0, 1.0);
    let r = ClipNorm::new(1.0).unwrap();
    for f in [
        ClipFunction::Abadi { stability: -1.0 },
        ClipFunction::Abadi { stability: f64::NAN },
        ClipFunction::AutoS { gamma: 0.0 },
        ClipFunction::AutoS { gamma: f64::INFINITY },
    ] {
        let made = Clipping::new(f, &ClipStyle::Flat, &params, r);
        assert!(matches!(made, Err(Error::InvalidScalar { .. })), "{f:?}");
    }
    let flat = |p: &Tree| Clipping::new(ClipFunction::AutoV, &ClipStyle::Flat, p, r);
    assert!(matches!(flat(&Tree::new()), Err(Error::NothingToTrain)));
    let c = flat(&params).unwrap();
    assert!(c.clone().with_thresholds(vec![1.0, 1.0]).is_err());
    assert!(c.clone().with_thresholds(vec![f64::NAN]).is_err());
    assert!(c.clone().with_margin(1.0).is_err() && c.with_margin(f64::NAN).is_err());
}

#[test]
fn norms_that_do_not_fit_the_groups_are_refused() {
    let c = clipping(ClipFunction::default(), &ClipStyle::PerLayer, 1.0);
    let refused = |norms: &[Vec<f64>]| {
        assert!(matches!(c.factors(norms), Err(Error::InvalidScalar { .. })), "{norms:?}");
    };
    refused(&[]);
    refused(&[vec![1.0]]);
    refused(&[vec![1.0], vec![1.0], vec![1.0]]);
    refused(&[vec![1.0, 2.0], vec![1.0]]);
    refused(&[vec![1.0], vec![1.0, 2.0]]);
    assert_eq!(c.factors(&[vec![0.01], vec![0.01]]).unwrap(), [[1.0], [1.0]]);
    assert_eq!(c.factors(&[vec![], vec![]]).unwrap(), [[0.0; 0], [0.0; 0]]);
}

#[test]
fn own_thresholds_set_the_total() {
    let c = clipping(ClipFunction::default(), &ClipStyle::PerLayer, 1.0);
    let c = c.with_thresholds(vec![3.0, 4.0]).unwrap();
    assert!((c.total().get() - 5.0).abs() < 1e-15);
}

#[test]
fn a_clipped_sum_does_not_show_itself_and_knows_its_sensitivity() {
    let c = clipping(ClipFunction::default(), &ClipStyle::Flat, 2.0);
    let sum = ClippedSum::empty(&gradient(0, 1.0), &c).unwrap();
    assert_eq!(format!("{sum:?}"), "ClippedSum(..)");
    let exact = |relation, want: f64| sum.sensitivity(relation).to_bits() == want.to_bits();
    assert!(exact(NeighboringRelation::AddOrRemoveOne, 2.0));
    assert!(exact(NeighboringRelation::ReplaceOne, 4.0));
    let other = clipping(ClipFunction::default(), &ClipStyle::Flat, 3.0);
    assert!(sum.merge(ClippedSum::empty(&gradient(0, 1.0), &other).unwrap()).is_err());
}
