//! One noise of the right size over a public divisor.

use super::*;

/// Mean and variance of `n` values within five standard errors: those of the mean are `std / sqrt(n)`, those of
/// the variance `std^2 sqrt(2 / n)` (a chi-square with `n` degrees of freedom has variance `2 n`).
pub(super) fn check_normal(what: &str, noise: &[f64], std: f64) {
    let n = noise.len() as f64;
    let mean = noise.iter().sum::<f64>() / n;
    let variance = noise.iter().map(|x| x * x).sum::<f64>() / n;
    assert!(mean.abs() <= 5.0 * std / n.sqrt(), "{what}: mean {mean}");
    let bound = 5.0 * std * std * (2.0 / n).sqrt();
    assert!((variance - std * std).abs() <= bound, "{what}: variance {variance}");
}

/// The correlation of two independent samples of `n` normals has standard deviation `1 / sqrt(n)`.
fn check_independent(what: &str, a: &[f64], b: &[f64]) {
    let n = a.len().min(b.len());
    let dot: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
    let correlation = dot / (norm(&a[..n]) * norm(&b[..n]));
    assert!(correlation.abs() <= 5.0 / (n as f64).sqrt(), "{what}: correlation {correlation}");
}

/// Two leaves of the same size and one of another.
fn wide(dtype: DType) -> Tree {
    let leaf = |n: usize| Tensor::zeros(n, dtype, &Device::Cpu).unwrap();
    Tree::from_leaves([("a", leaf(20_000)), ("b", leaf(20_000)), ("c", leaf(5000))]).unwrap()
}

/// Never asked for a gradient: its batches are empty.
pub(super) struct NoSamples(pub(super) Tree);

impl TapeLoss for NoSamples {
    type Batch = ();
    fn losses(&self, _: &Context<'_>, (): &()) -> tape_nn::Result<Losses> {
        unreachable!("the batch is empty")
    }
    fn frozen(&self) -> &Tree {
        &self.0
    }
    fn n_samples(&self, (): &()) -> usize {
        0
    }
}

/// The release of an empty batch, as one batch without samples or as no parts at all.
fn empty_release(dtype: DType, plan: &PrivacyPlan, key: StepKey, in_parts: bool) -> (Tree, Ledger) {
    let params = wide(dtype);
    let points = ProbePoint::single(&params);
    let clipping =
        Clipping::new(ClipFunction::default(), &ClipStyle::PerParam, &params, plan.clip_norm());
    let step = PrivateStep::new(plan, clipping.unwrap()).unwrap();
    let objective = Taped(NoSamples(Tree::new()));
    let mut ledger = plan.ledger();
    let got = if in_parts {
        step.run_in_parts(&objective, &points, Unsampled(vec![]), key, &SingleProcess, &mut ledger)
    } else {
        step.run(&objective, &points, Unsampled(()), key, &SingleProcess, &mut ledger)
    };
    (got.unwrap(), ledger)
}

fn leaf(tree: &Tree, name: &str) -> Vec<f64> {
    values(&tree.partition(|n| n == name).0)
}

#[test]
fn an_empty_batch_gives_pure_noise_of_the_right_size_and_is_charged() {
    for dtype in [DType::F64, DType::F32] {
        let (noise, ledger) = empty_release(dtype, &plan(), seeded(0), false);
        assert_eq!(ledger.n_charges(), 1);
        assert!(noise.iter().all(|(_, leaf)| leaf.dtype() == dtype));
        for name in ["a", "b", "c"] {
            check_normal(name, &leaf(&noise, name), SIGMA * R / B);
        }
        let (parts, _) = empty_release(dtype, &plan(), seeded(0), true);
        assert_eq!(bits(&noise), bits(&parts));
    }
    // Under replace-one the sensitivity is twice the clip norm.
    let plan = builder().noise_multiplier(SIGMA).clip_norm(R);
    let plan = plan.relation(NeighboringRelation::ReplaceOne).build(&RdpAccountant::new()).unwrap();
    let (noise, _) = empty_release(DType::F64, &plan, seeded(0), false);
    check_normal("replace-one", &values(&noise), 2.0 * SIGMA * R / B);
}

#[test]
fn noise_is_independent_across_steps_and_leaves() {
    let (first, _) = empty_release(DType::F64, &plan(), seeded(0), false);
    let (second, _) = empty_release(DType::F64, &plan(), seeded(1), false);
    let (a, b) = (leaf(&first, "a"), leaf(&first, "b"));
    check_independent("leaves", &a, &b);
    check_independent("leaves of different size", &a[..5000], &leaf(&first, "c"));
    check_independent("steps", &values(&first), &values(&second));
    check_independent("neighbors", &a[..a.len() - 1], &a[1..]);
}

#[test]
fn no_two_private_steps_or_runs_share_noise() {
    let mut one = RunKey::private().unwrap();
    let keys = [one.next_step(), one.next_step(), private(), private()];
    let releases: Vec<Vec<f64>> =
        keys.into_iter().map(|k| values(&empty_release(DType::F64, &plan(), k, false).0)).collect();
    for (i, a) in releases.iter().enumerate() {
        for b in &releases[..i] {
            assert!(a.iter().zip(b).all(|(a, b)| a.to_bits() != b.to_bits()));
            check_independent("runs", a, b);
        }
    }
}

#[test]
fn the_divisor_is_the_expected_batch_size_whatever_was_drawn() {
    // Gradients of norm R exactly, all the same: n of them add n R / B to the noise.
    let mut run = Run::of(&named("linear, positions"), DType::F64, &plan(), ClipFunction::AutoV);
    let noise = run.run(&[], seeded(0)).unwrap();
    let sample = Sample::new(1, SIZES, Tokens::Random);
    for n in [1, 4, 40] {
        let grads = run.run(&vec![sample.clone(); n], seeded(0)).unwrap();
        let signal = norm(&difference(&grads, &noise));
        assert!((signal - n as f64 * R / B).abs() < 1e-12, "{n}: {signal}");
    }
    assert_eq!(run.ledger.n_charges(), 4);
}

#[test]
fn micro_batches_equal_one_batch_and_draw_noise_once() {
    for (row, dtype, tolerance) in [
        ("linear, positions", DType::F64, 1e-13),
        ("dropout", DType::F64, 1e-13),
        ("tied embedding and head", DType::F64, 1e-13),
        ("linear, positions", DType::F32, 1e-6),
    ] {
        let mut run = Run::of(&named(row), dtype, &plan(), ClipFunction::automatic());
        let all = samples(6);
        let whole = run.run(&all, seeded(2)).unwrap();
        let splits: [&[&[Sample]]; 4] = [
            &[&all],
            &[&all[..1], &all[1..]],
            &[&all[..2], &[], &all[2..5], &all[5..]],
            &[&all[3..], &all[..3]],
        ];
        for parts in splits {
            let split = run.run_in_parts(parts, seeded(2)).unwrap();
            let error = norm(&difference(&whole, &split));
            assert!(error <= tolerance, "{row}, {} parts: {error}", parts.len());
        }
        assert_eq!(run.ledger.n_charges(), 5);
    }
}

#[test]
fn automatic_clipping_scales_signal_and_noise_alike() {
    for function in [ClipFunction::AutoV, ClipFunction::automatic()] {
        for dtype in [DType::F64, DType::F32] {
            let at = |r: f64| {
                let row = named("linear, positions");
                let mut run = Run::of(&row, dtype, &plan_of(SIGMA, r), function);
                run.run(&samples(4), seeded(5)).unwrap()
            };
            // Powers of two change no digit.
            let one = at(0.5);
            for k in [0.25, 2.0, 16.0] {
                assert_eq!(bits(&one.scale(k).unwrap()), bits(&at(0.5 * k)));
            }
            let third = difference(&one.scale(3.0).unwrap(), &at(1.5));
            let tolerance = if dtype == DType::F64 { 1e-14 } else { 1e-6 };
            assert!(norm(&third) <= tolerance);
        }
    }
}

#[test]
fn a_sample_that_is_not_finite_changes_nothing_but_the_charge() {
    for row in rows() {
        let mut run = Run::of(&row, DType::F64, &plan(), ClipFunction::default());
        let good = samples(3);
        let want = run.run(&good, seeded(1)).unwrap();
        let bad = Sample { poison: f64::NAN, ..Sample::new(9, SIZES, Tokens::Random) };
        let with = [good[0].clone(), bad, good[1].clone(), good[2].clone()];
        let got = run.run(&with, seeded(1)).unwrap();
        assert!(norm(&difference(&want, &got)) <= 1e-13, "{}", row.name);
        let poisoned = Sample { poison: f64::INFINITY, ..good[0].clone() };
        let alone = run.run(&[poisoned], seeded(1)).unwrap();
        assert_eq!(bits(&alone), bits(&run.run(&[], seeded(1)).unwrap()), "{}", row.name);
    }
}

#[test]
fn a_margin_of_ones_own_is_kept_in_single_precision() {
    let mut run = Run::of(&named("linear, positions"), DType::F32, &plan(), ClipFunction::AutoV);
    let clipping = run.step.clipping().clone();
    let signal = |run: &mut Run| {
        let noise = run.run(&[], seeded(0)).unwrap();
        norm(&difference(&run.run(&samples(1), seeded(0)).unwrap(), &noise)) * B / R
    };
    // The default leaves room for rounding, a larger margin is not replaced by it.
    let usual = signal(&mut run);
    assert!((1.0 - 1e-5..1.0 + 1e-5).contains(&usual), "{usual}");
    run.step = PrivateStep::new(&plan(), clipping.with_margin(0.1).unwrap()).unwrap();
    let small = signal(&mut run);
    assert!((small - 0.9).abs() < 1e-5, "{small}");
}
