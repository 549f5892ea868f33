//! What a private step promises: the charge before the noise, one noise, a public divisor, and no claim without a ground.

use std::cell::Cell;

use candle_core::{DType, Device, Tensor};
use dp_core::{
    Accountant, Charge, ClipFunction, ClipNorm, ClipStyle, Clipping, Delta, DpEvent, Error, Ledger,
    Mark, NeighboringRelation, PlanBuilder, PrivacyPlan, PrivateStep, RdpAccountant, Refusal,
    Result, RunKey, Sampled, StepKey, UnitOfPrivacy, Unsampled,
};
use tape_nn::{Context, TapeLoss, Taped};
use tensor_tree::{
    Collective, Differentiable, Key, Losses, Objective, Pass, PerSampleDifferentiable, ProbePoint,
    Reduction, SingleProcess, Tree,
};

use crate::battery::networks::{Batch, Net, Row, Sample, Sizes, Tokens, rows};

const SIZES: Sizes = Sizes { t: 4, d: 4, v: 6, c: 3 };
const SIGMA: f64 = 1.5;
const R: f64 = 0.8;
const B: f64 = 16.0;

fn builder() -> PlanBuilder {
    PrivacyPlan::builder().n_samples(1000).expected_batch_size(B).steps(10).delta(1e-5)
}

fn plan_of(sigma: f64, r: f64) -> PrivacyPlan {
    builder().noise_multiplier(sigma).clip_norm(r).build(&RdpAccountant::new()).unwrap()
}

fn plan() -> PrivacyPlan {
    plan_of(SIGMA, R)
}

fn named(name: &str) -> Row {
    rows().into_iter().find(|r| r.name == name).unwrap()
}

/// A network, its parameters and its step.
struct Run {
    net: Taped<Net>,
    params: Tree,
    dtype: DType,
    step: PrivateStep,
    ledger: Ledger,
}

impl Run {
    fn of(row: &Row, dtype: DType, plan: &PrivacyPlan, function: ClipFunction) -> Run {
        let (net, params) = row.build(SIZES, dtype);
        let clipping =
            Clipping::new(function, &ClipStyle::Flat, &params, plan.clip_norm()).unwrap();
        let step = PrivateStep::new(plan, clipping).unwrap().with_dropout();
        Run { net, params, dtype, step, ledger: plan.ledger() }
    }

    fn new(dtype: DType) -> Run {
        Run::of(&named("linear, positions"), dtype, &plan(), ClipFunction::default())
    }

    fn batch(&self, samples: &[Sample]) -> Batch {
        Batch::new(samples, SIZES, self.dtype)
    }

    fn run(&mut self, samples: &[Sample], key: StepKey) -> Result<Tree> {
        let batch = Unsampled(self.batch(samples));
        let points = ProbePoint::single(&self.params);
        self.step.run(&self.net, &points, batch, key, &SingleProcess, &mut self.ledger)
    }

    fn run_in_parts(&mut self, parts: &[&[Sample]], key: StepKey) -> Result<Tree> {
        let parts = Unsampled(parts.iter().map(|p| self.batch(p)).collect());
        let points = ProbePoint::single(&self.params);
        self.step.run_in_parts(&self.net, &points, parts, key, &SingleProcess, &mut self.ledger)
    }
}

fn seeded(step: u64) -> StepKey {
    RunKey::seeded(3, step).next_step()
}

fn private() -> StepKey {
    RunKey::private().unwrap().next_step()
}

/// A batch drawn by the plan's sampler, whatever records it drew.
fn sampled<T>(key: &StepKey, batch: T) -> Sampled<T> {
    plan().sampler().unwrap().draw(key).map(|_| batch)
}

fn samples(n: u64) -> Vec<Sample> {
    (0..n).map(|i| Sample::new(i, SIZES, Tokens::Random)).collect()
}

fn values(tree: &Tree) -> Vec<f64> {
    let flat = |t: &Tensor| t.flatten_all().unwrap().to_dtype(DType::F64).unwrap();
    tree.iter().flat_map(|(_, leaf)| flat(leaf).to_vec1::<f64>().unwrap()).collect()
}

fn bits(tree: &Tree) -> Vec<u64> {
    values(tree).into_iter().map(f64::to_bits).collect()
}

fn difference(a: &Tree, b: &Tree) -> Vec<f64> {
    values(a).iter().zip(values(b)).map(|(a, b)| a - b).collect()
}

fn norm(v: &[f64]) -> f64 {
    v.iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn delta() -> Delta {
    Delta::new(1e-5).unwrap()
}

fn refusals(ledger: &Ledger) -> Vec<Refusal> {
    match ledger.statement(&RdpAccountant::new(), delta()) {
        Err(Error::NoGuarantee { reasons }) => reasons,
        other => panic!("{other:?}"),
    }
}

// ---- the charge

/// An objective that fails, or counts how often it is asked.
struct Failing;

impl Objective for Failing {
    type Batch = Batch;
    fn losses(&self, _: &Tree, _: &Batch, _: Pass) -> tensor_tree::Result<Losses> {
        Err(tensor_tree::Error::EmptyTree { what: "this objective" })
    }
}

impl Differentiable for Failing {
    fn value_and_grad(
        &self,
        _: &Tree,
        _: &Batch,
        _: Pass,
        _: Reduction,
    ) -> tensor_tree::Result<(Losses, Tree)> {
        Err(tensor_tree::Error::EmptyTree { what: "this objective" })
    }
}

impl PerSampleDifferentiable for Failing {
    type PerSample = tape_nn::TapeGrads;
    fn per_sample(
        &self,
        _: &[ProbePoint],
        _: &Batch,
        _: Pass,
    ) -> tensor_tree::Result<(Losses, tape_nn::TapeGrads)> {
        Err(tensor_tree::Error::EmptyTree { what: "this objective" })
    }
}

/// A ledger that can neither be charged nor marked.
#[derive(Default)]
struct Full {
    ledger: Ledger,
    charges: u64,
    marks_work: bool,
}

impl Charge for Full {
    fn charge(&mut self, event: &DpEvent) -> Result<()> {
        self.charges += 1;
        Err(Error::CountOverflow { event: event.to_string() })
    }
    fn mark(&mut self, mark: Mark) -> Result<()> {
        if self.marks_work { Ok(()) } else { Err(Error::CountOverflow { event: mark.to_string() }) }
    }
    fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

#[test]
fn a_failing_objective_gives_no_gradient() {
    let run = Run::new(DType::F64);
    let mut ledger = plan().ledger();
    let batch = Unsampled(run.batch(&samples(2)));
    let points = ProbePoint::single(&run.params);
    let got = run.step.run(&Failing, &points, batch, private(), &SingleProcess, &mut ledger);
    assert!(matches!(got, Err(Error::Tree(_))));
}

#[test]
fn a_gradient_comes_with_exactly_one_charge_of_the_plans_event() {
    let mut run = Run::new(DType::F64);
    let points = ProbePoint::single(&run.params);
    for n in [0, 1, 5] {
        let key = private();
        let batch = sampled(&key, run.batch(&samples(n)));
        run.step.run(&run.net, &points, batch, key, &SingleProcess, &mut run.ledger).unwrap();
    }
    let [phase] = run.ledger.phases() else { panic!("{:?}", run.ledger) };
    assert_eq!((&phase.event, phase.count), (&plan().step_event(), 3));
    let epsilon = run.ledger.statement(&RdpAccountant::new(), delta()).unwrap().epsilon();
    let want = RdpAccountant::new().epsilon(&plan().step_event().repeated(3), delta()).unwrap();
    assert!((epsilon - want.value()).abs() <= 1e-12 * epsilon);
}

#[test]
fn a_ledger_that_cannot_be_charged_gives_an_error_and_no_gradient() {
    let run = Run::new(DType::F64);
    let points = ProbePoint::single(&run.params);
    for marks_work in [false, true] {
        let mut full = Full { marks_work, ..Full::default() };
        let batch = Unsampled(run.batch(&samples(2)));
        let got = run.step.run(&run.net, &points, batch, seeded(0), &SingleProcess, &mut full);
        assert!(matches!(got, Err(Error::CountOverflow { .. })));
        assert_eq!(full.charges, u64::from(marks_work), "marked first, then charged");
        let parts = Unsampled(vec![run.batch(&samples(2))]);
        let shown = run.step.run_showing_diagnostics(
            &run.net,
            &points,
            parts,
            private(),
            &SingleProcess,
            &mut full,
        );
        assert!(shown.is_err());
    }
}

#[test]
fn an_unsampled_batch_is_charged_without_amplification() {
    let mut run = Run::new(DType::F64);
    run.run(&samples(3), private()).unwrap();
    assert_eq!(run.ledger.phases()[0].event, DpEvent::gaussian(SIGMA).unwrap());
    assert!(!run.ledger.event().claims_amplification());
    let statement = run.ledger.statement(&RdpAccountant::new(), delta()).unwrap();
    let sampled = RdpAccountant::new().epsilon(&plan().step_event(), delta()).unwrap();
    assert!(5.0 * sampled.value() < statement.epsilon());
}

#[test]
fn a_seeded_run_answers_what_if_and_claims_nothing() {
    // Seeded noise, and private noise for a batch that a seed drew.
    let half = |noise: StepKey, sampling: StepKey| {
        let mut run = Run::new(DType::F64);
        let points = ProbePoint::single(&run.params);
        let batch = sampled(&sampling, run.batch(&samples(2)));
        run.step.run(&run.net, &points, batch, noise, &SingleProcess, &mut run.ledger).unwrap();
        run.ledger
    };
    for ledger in [half(seeded(0), private()), half(private(), seeded(0))] {
        assert_eq!(refusals(&ledger), [Refusal::SeededNoise]);
        let simulated = ledger.simulated_epsilon(&RdpAccountant::new(), delta()).unwrap().value();
        assert!(simulated.is_finite() && 0.0 < simulated);
    }
    assert!(half(private(), private()).statement(&RdpAccountant::new(), delta()).is_ok());
}

#[test]
fn diagnostics_are_shown_at_the_price_of_the_statement() {
    let run = Run::new(DType::F64);
    let mut ledger = plan().ledger();
    let points = ProbePoint::single(&run.params);
    let three = samples(3);
    let parts = Unsampled(vec![run.batch(&three[..2]), run.batch(&three[2..])]);
    let (_, shown) = run
        .step
        .run_showing_diagnostics(&run.net, &points, parts, private(), &SingleProcess, &mut ledger)
        .unwrap();
    assert_eq!(refusals(&ledger), [Refusal::DiagnosticsReleased]);
    assert_eq!((shown.losses.len(), shown.clip.norms.len(), shown.clip.factors.len()), (3, 3, 1));
    for (norm, factor) in shown.clip.norms.iter().zip(&shown.clip.factors[0]) {
        assert!((factor - (R / norm).min(1.0)).abs() < 1e-12);
    }
    assert!(shown.losses.iter().all(|l| l.is_finite() && 0.0 < *l));
}

#[test]
fn without_noise_there_is_no_statement() {
    let plan = plan_of(0.0, R);
    let mut run = Run::of(&named("linear, positions"), DType::F64, &plan, ClipFunction::default());
    run.run(&samples(2), private()).unwrap();
    assert_eq!(refusals(&run.ledger), [Refusal::NoNoise]);
    let simulated = run.ledger.simulated_epsilon(&RdpAccountant::new(), delta()).unwrap();
    assert!(simulated.value().is_infinite());
}

#[test]
fn a_ledger_of_another_relation_or_unit_is_refused() {
    let mut run = Run::new(DType::F64);
    run.ledger = Ledger::new(NeighboringRelation::ReplaceOne, UnitOfPrivacy::default());
    let refused = run.run(&samples(1), private());
    assert!(matches!(refused, Err(Error::LedgerOfAnotherPlan { what: "relation", .. })));
    let unit = UnitOfPrivacy::new("one window of text").unwrap();
    run.ledger = Ledger::new(NeighboringRelation::AddOrRemoveOne, unit);
    let refused = run.run(&samples(1), private());
    assert!(matches!(refused, Err(Error::LedgerOfAnotherPlan { what: "unit", .. })));
    assert_eq!(run.ledger.n_charges(), 0);
}

// ---- the noise

/// Mean and variance of `n` values within five standard errors: those of the mean are `std / sqrt(n)`, those of
/// the variance `std^2 sqrt(2 / n)` (a chi-square with `n` degrees of freedom has variance `2 n`).
fn check_normal(what: &str, noise: &[f64], std: f64) {
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
struct NoSamples(Tree);

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

// ---- what is trained

#[test]
fn frozen_parameters_get_nothing_and_change_nothing() {
    let row = named("last layer alone");
    let mut run = Run::of(&row, DType::F64, &plan(), ClipFunction::default());
    let grads = run.run(&samples(4), seeded(0)).unwrap();
    assert_eq!(grads.names().collect::<Vec<_>>(), ["fc2.bias", "fc2.weight"]);
    // Frozen leaves that the network does not even use.
    let more = Tensor::ones((30, 30), DType::F64, &Device::Cpu).unwrap();
    run.net.0.frozen.insert("unused.weight", more).unwrap();
    assert_eq!(bits(&grads), bits(&run.run(&samples(4), seeded(0)).unwrap()));
    // The norms are those of the trained leaves alone: with everything trained they are larger.
    let norms = |run: &Run| {
        let mut ledger = plan().ledger();
        let parts = Unsampled(vec![run.batch(&samples(4))]);
        let points = ProbePoint::single(&run.params);
        let shown = run.step.run_showing_diagnostics(
            &run.net,
            &points,
            parts,
            seeded(0),
            &SingleProcess,
            &mut ledger,
        );
        shown.unwrap().1.clip.norms
    };
    let all = Run::new(DType::F64);
    for (part, whole) in norms(&run).iter().zip(norms(&all)) {
        assert!(*part < 0.999 * whole, "{part} {whole}");
    }
}

#[test]
fn nothing_to_train_is_an_error() {
    let flat = |params: &Tree| {
        let r = ClipNorm::new(R).unwrap();
        Clipping::new(ClipFunction::default(), &ClipStyle::Flat, params, r)
    };
    assert!(matches!(flat(&Tree::new()), Err(Error::NothingToTrain)));
    // A step for other leaves than those given, or for none.
    let mut run = Run::new(DType::F64);
    run.params = Tree::new();
    assert!(run.run(&samples(1), private()).is_err());
    let none: [ProbePoint; 0] = [];
    let batch = Unsampled(run.batch(&samples(1)));
    let got = run.step.run(&run.net, &none, batch, private(), &SingleProcess, &mut run.ledger);
    assert!(matches!(got, Err(Error::NothingToTrain)));
    assert_eq!(run.ledger.n_charges(), 0);
}

#[test]
fn numbers_that_cannot_be_meant_are_refused() {
    let run = Run::new(DType::F64);
    let r = ClipNorm::new(2.0 * R).unwrap();
    let other = Clipping::new(ClipFunction::AutoV, &ClipStyle::Flat, &run.params, r).unwrap();
    assert!(matches!(PrivateStep::new(&plan(), other), Err(Error::InvalidScalar { .. })));
    // Noise that single precision rounds to nothing or to infinity.
    for r in [1e-40, 1e40] {
        let mut run =
            Run::of(&named("linear, positions"), DType::F32, &plan_of(1.0, r), ClipFunction::AutoV);
        assert!(matches!(run.run(&[], private()), Err(Error::InvalidScalar { .. })), "{r}");
    }
    let sampler = plan().sampler().unwrap();
    assert!(format!("{sampler:?}").contains("n_samples: 1000"));
}

// ---- several processes

/// A process that compares the key with that of another, and what it was shown.
struct Beside {
    theirs: Option<u64>,
    shown: Cell<Option<u64>>,
}

impl Collective for Beside {
    fn rank(&self) -> usize {
        1
    }
    fn world_size(&self) -> usize {
        2
    }
    fn all_reduce_sum(&self, tree: Tree) -> tensor_tree::Result<Tree> {
        tree.scale(2.0) // the other process has the same samples
    }
    fn agree_on(&self, key: Key) -> tensor_tree::Result<bool> {
        self.shown.set(Some(key.fingerprint()));
        Ok(self.theirs.is_none_or(|theirs| theirs == key.fingerprint()))
    }
}

#[test]
fn processes_agree_on_key_and_settings_and_add_noise_once() {
    let run = |plan: &PrivacyPlan, margin: f64, key: StepKey, theirs: Option<u64>| {
        let row = named("linear, positions");
        let mut run = Run::of(&row, DType::F64, plan, ClipFunction::default());
        let clipping = run.step.clipping().clone().with_margin(margin).unwrap();
        run.step = PrivateStep::new(plan, clipping).unwrap();
        let group = Beside { theirs, shown: Cell::new(None) };
        let points = ProbePoint::single(&run.params);
        let batch = Unsampled(run.batch(&samples(2)));
        let got = run.step.run(&run.net, &points, batch, key, &group, &mut run.ledger);
        (got, group.shown.get(), run.ledger.n_charges())
    };
    let (grads, shown, _) = run(&plan(), 0.0, seeded(0), None);
    assert!(run(&plan(), 0.0, seeded(0), shown).0.is_ok());
    // Twice the samples, the same noise.
    let mut alone =
        Run::of(&named("linear, positions"), DType::F64, &plan(), ClipFunction::default());
    let noise = alone.run(&[], seeded(0)).unwrap();
    let own = alone.run(&samples(2), seeded(0)).unwrap();
    let (two, one) = (difference(&grads.unwrap(), &noise), difference(&own, &noise));
    assert!(two.iter().zip(&one).all(|(two, one)| (two - 2.0 * one).abs() < 1e-14));

    let others = [
        run(&plan(), 0.0, seeded(1), shown),
        run(&plan_of(SIGMA, 2.0 * R), 0.0, seeded(0), shown),
        run(&plan_of(2.0 * SIGMA, R), 0.0, seeded(0), shown),
        run(&plan(), 0.1, seeded(0), shown),
    ];
    for (got, _, n_charges) in others {
        assert!(matches!(got, Err(Error::KeysDiffer)));
        assert_eq!(n_charges, 0);
    }
}
