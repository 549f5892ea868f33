//! A small problem with gradients by hand, plans for it, and random filters.

use dp_core::{
    ClipFunction, ClipStyle, Clipping, PrivacyPlan, PrivateStep, RdpAccountant, StepKey, Unsampled,
};
use dp_filters::Filter;
use proptest::prelude::*;
use tensor_tree::conformance::polynomial;
use tensor_tree::{Key, Label, ProbePoint, SingleProcess, Tree};

pub(crate) use tensor_tree::conformance::polynomial::Polynomial;

pub(crate) fn leaf(values: &[f64]) -> Tree {
    polynomial::leaf(values).unwrap()
}

pub(crate) fn values(tree: &Tree) -> Vec<f64> {
    polynomial::values(tree).unwrap()
}

/// All numbers of a tree, as bits.
pub(crate) fn bits(tree: &Tree) -> Vec<u64> {
    let flat = |t: &candle_core::Tensor| {
        let t = t.to_dtype(candle_core::DType::F64).unwrap().flatten_all().unwrap();
        t.to_vec1::<f64>().unwrap()
    };
    tree.iter().flat_map(|(_, leaf)| flat(leaf)).map(f64::to_bits).collect()
}

/// Normals in one leaf.
pub(crate) fn normals(n: usize, seed: u64, step: u64) -> Tree {
    let key = Key::from_seed(seed).child(Label::Step(step));
    leaf(&vec![0.0; n]).map(|_, leaf| key.normal_like(leaf)).unwrap()
}

/// Samples with different curvatures and centers.
pub(crate) fn problem(n: usize, d: usize, quartic: f64, seed: u64) -> Polynomial {
    let mut problem = Polynomial::bowl(n, d, 1.0);
    problem.quartic = quartic;
    for (i, (hessian, center)) in problem.hessians.iter_mut().zip(&mut problem.centers).enumerate()
    {
        // M M' / d + identity / 5.
        let m = values(&normals(d * d, seed, 2 * i as u64));
        for r in 0..d {
            for c in 0..d {
                let inner: f64 = (0..d).map(|k| m[r * d + k] * m[c * d + k]).sum();
                hessian[r * d + c] = inner / d as f64 + if r == c { 0.2 } else { 0.0 };
            }
        }
        *center = values(&normals(d, seed, 2 * i as u64 + 1));
    }
    problem
}

/// A plan of given noise.
pub(crate) fn plan(n: u64, batch: f64, steps: u64, r: f64, sigma: f64) -> PrivacyPlan {
    PrivacyPlan::builder()
        .n_samples(n)
        .expected_batch_size(batch)
        .steps(steps)
        .delta(1e-5)
        .clip_norm(r)
        .noise_multiplier(sigma)
        .build(&RdpAccountant::new())
        .unwrap()
}

pub(crate) fn step(plan: &PrivacyPlan, function: ClipFunction, params: &Tree) -> PrivateStep {
    let clipping = Clipping::new(function, &ClipStyle::Flat, params, plan.clip_norm()).unwrap();
    PrivateStep::new(plan, clipping).unwrap()
}

/// The clipped mean of a batch of the problem; with a plan without noise it is exact.
pub(crate) fn private(
    (plan, function): (&PrivacyPlan, ClipFunction),
    problem: &Polynomial,
    points: &[ProbePoint],
    batch: &[usize],
    key: StepKey,
) -> Tree {
    let step = step(plan, function, &points[0].params);
    let batch = Unsampled(batch.to_vec());
    step.run(problem, points, batch, key, &SingleProcess, &mut plan.ledger()).unwrap()
}

pub(crate) fn distance(a: &Tree, b: &Tree) -> f64 {
    a.add_scaled(-1.0, b).unwrap().norm().unwrap()
}

/// Tests are few and their cases many: nothing is written beside the sources.
pub(crate) fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Denominators of order 0 to 4 with poles of modulus up to `largest`, single and in pairs.
fn denominators(largest: f64) -> impl Strategy<Value = Vec<f64>> {
    let pair = (0.0..largest, 0.0..std::f64::consts::PI);
    let pairs = prop::collection::vec(pair, 0..2);
    let singles = prop::collection::vec(-largest..largest, 0..3);
    (pairs, singles).prop_map(|(pairs, singles)| {
        let mut a = vec![1.0];
        for (modulus, angle) in pairs {
            a = times(&a, &[1.0, -2.0 * modulus * angle.cos(), modulus * modulus]);
        }
        for pole in singles {
            a = times(&a, &[1.0, -pole]);
        }
        a.split_off(1)
    })
}

pub(crate) fn times(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; a.len() + b.len() - 1];
    for (i, x) in a.iter().enumerate() {
        for (j, y) in b.iter().enumerate() {
            out[i + j] += x * y;
        }
    }
    out
}

/// Valid filters of several orders, of any gain at frequency zero.
pub(crate) fn filters() -> impl Strategy<Value = Filter> {
    let b = (0.05..1.0f64, prop::collection::vec(-0.3..1.0f64, 0..3));
    (denominators(0.95), b).prop_filter_map(
        "a step response that is not positive",
        |(a, (first, more))| {
            let b = std::iter::once(first).chain(more).collect();
            Filter::new(a, b).ok()
        },
    )
}
