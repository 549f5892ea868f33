//! What is promised of losses that were released: the charge before the noise, the noise, and no claim without a ground.

use candle_core::{DType, Device, Tensor};
use dp_core::hyfree::{HyFree, HyFreeStep, Settings};
use dp_core::{
    Charge, ClipFunction, ClipStyle, Clipping, DpEvent, Error, Ledger, LossBound, LossClip,
    LossRange, Mark, PlanBuilder, PrivacyPlan, PrivateLosses, PrivateStep, RdpAccountant, Refusal,
    Result, RunKey, Sampled, StepKey, Unsampled, validate,
};
use tensor_tree::{
    AdamW, Differentiable, Losses, Objective, Pass, PerSampleDifferentiable, ProbePoint, Reduction,
    SingleProcess, Tree,
};

use super::polynomial::{Polynomial, Rows, leaf};

fn builder() -> PlanBuilder {
    PrivacyPlan::builder()
        .n_samples(200)
        .expected_batch_size(50.0)
        .steps(12)
        .clip_norm(1.0)
        .delta(1e-4)
        .losses(Settings::default().schedule())
}

fn target() -> PrivacyPlan {
    builder().target_epsilon(3.0).build(&RdpAccountant::new()).unwrap()
}

fn given(sigma: f64, sigma_l: f64) -> PrivacyPlan {
    let builder = builder().noise_multiplier(sigma).loss_noise_multiplier(sigma_l);
    builder.build(&RdpAccountant::new()).unwrap()
}

fn clip(bound: f64) -> LossClip {
    LossClip { bound: LossBound::new(bound).unwrap(), range: LossRange::NonNegative }
}

fn problem() -> (Polynomial, Tree) {
    (Polynomial::bowl(200, 2, 1.0), leaf(&[3.0, -2.0]))
}

/// A step that knows that the samples of the problem are not coupled.
fn step(plan: &PrivacyPlan, params: &Tree) -> PrivateStep {
    let mut probe = Polynomial::bowl(2, 2, 1.0);
    probe.centers = vec![vec![0.5, 0.0], vec![-1.0, 2.0]];
    let validated = validate(&probe, params, &vec![0, 1], &[vec![0], vec![1]]).unwrap();
    assert!(validated.covers_losses());
    unproven(plan, params).with_validated(validated)
}

fn unproven(plan: &PrivacyPlan, params: &Tree) -> PrivateStep {
    let function = ClipFunction::automatic();
    let clipping = Clipping::new(function, &ClipStyle::Flat, params, plan.clip_norm()).unwrap();
    PrivateStep::new(plan, clipping).unwrap()
}

fn private() -> StepKey {
    RunKey::private().unwrap().next_step()
}

fn drawn(plan: &PrivacyPlan, key: &StepKey) -> Sampled<Vec<Vec<usize>>> {
    plan.sampler().unwrap().draw(key).map(|records| vec![records])
}

/// One step with its plan's ladder; the ledger and what it may still release.
fn once(
    plan: &PrivacyPlan,
    step: &PrivateStep,
    key: StepKey,
) -> (Ledger, PrivateLosses<Vec<usize>>) {
    let (problem, params) = problem();
    let (mut ledger, points) = (plan.ledger(), ProbePoint::single(&params));
    let batch = drawn(plan, &key);
    let (_, losses) = step
        .run_with_losses(&problem, &points, batch, 12, key, &SingleProcess, &mut ledger)
        .unwrap();
    (ledger, losses)
}

fn refusals(ledger: &Ledger, plan: &PrivacyPlan) -> Vec<Refusal> {
    match ledger.statement(&RdpAccountant::new(), plan.delta()) {
        Err(Error::NoGuarantee { reasons }) => reasons,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_run_charges_what_its_plan_says_and_keeps_its_budget() {
    let (problem, mut params) = problem();
    let plan = target();
    let driver = HyFreeStep {
        step: step(&plan, &params),
        controller: HyFree::new(Settings::default(), &plan).unwrap(),
        chain: AdamW::default(),
    };
    let (mut state, mut ledger) = (driver.init(&params).unwrap(), plan.ledger());
    let mut keys = RunKey::private().unwrap();
    for _ in 0..plan.steps() {
        let key = keys.next_step();
        let batch = drawn(&plan, &key);
        let update = driver
            .run(&problem, &params, batch, key, &SingleProcess, &mut ledger, &mut state)
            .unwrap();
        params = update.params;
    }
    let sorted = |event: DpEvent| {
        let mut phases = event.phases().unwrap();
        phases.sort_by(|a, b| a.event.cmp(&b.event));
        phases
    };
    assert_eq!(sorted(ledger.event()), sorted(plan.event()));
    assert_eq!(ledger.n_charges(), plan.steps());
    let statement = ledger.statement(&RdpAccountant::new(), plan.delta()).unwrap();
    assert!(statement.epsilon() <= 3.0 && 2.999 < statement.epsilon());
}

#[test]
fn losses_and_gradient_are_charged_as_one_event_before_either_exists() {
    let plan = target();
    let (_, params) = problem();
    let (ledger, losses) = once(&plan, &step(&plan, &params), private());
    let [phase] = ledger.phases() else { panic!("{ledger:?}") };
    assert_eq!(phase.event, plan.step_event_with(12).unwrap().canonical().unwrap());
    assert!(matches!(phase.event, DpEvent::PoissonSampled { .. }));
    assert_eq!((phase.count, losses.left()), (1, 12));
    assert!(ledger.statement(&RdpAccountant::new(), plan.delta()).is_ok());
    assert_eq!(format!("{losses:?}"), "PrivateLosses { left: 12, .. }");

    /// Takes marks and no charges.
    struct Full(Ledger);
    impl Charge for Full {
        fn charge(&mut self, event: &DpEvent) -> Result<()> {
            Err(Error::CountOverflow { event: event.to_string() })
        }
        fn mark(&mut self, mark: Mark) -> Result<()> {
            self.0.mark(mark)
        }
        fn ledger(&self) -> &Ledger {
            &self.0
        }
    }
    let (problem, params) = self::problem();
    let key = private();
    let batch = drawn(&plan, &key);
    let points = ProbePoint::single(&params);
    let step = step(&plan, &params);
    let mut full = Full(plan.ledger());
    let got = step.run_with_losses(&problem, &points, batch, 3, key, &SingleProcess, &mut full);
    assert!(matches!(got, Err(Error::CountOverflow { .. })));
}

#[test]
fn no_more_losses_are_released_than_were_charged() {
    let plan = target();
    let (problem, params) = problem();
    let (_, mut losses) = once(&plan, &step(&plan, &params), private());
    for left in (0..12).rev() {
        losses.release(&problem, &params, clip(5.0), &SingleProcess).unwrap();
        assert_eq!(losses.left(), left);
    }
    let more = losses.release(&problem, &params, clip(5.0), &SingleProcess);
    assert!(matches!(more, Err(Error::LossesSpent { charged: 12 })));
    // A plan without losses has none to release, and says so before anything is computed.
    let none = PrivacyPlan::builder().n_samples(200).expected_batch_size(50.0).steps(3).delta(1e-4);
    let none = none.clip_norm(1.0).noise_multiplier(1.0).build(&RdpAccountant::new()).unwrap();
    let mut ledger = none.ledger();
    let points = ProbePoint::single(&params);
    let batch = || Unsampled(vec![vec![0]]);
    let step = step(&none, &params);
    let got =
        step.run_with_losses(&problem, &points, batch(), 1, private(), &SingleProcess, &mut ledger);
    assert!(matches!(got, Err(Error::PlanMissing { .. })));
    assert_eq!((ledger.n_charges(), ledger.marks().count()), (0, 0));
    let got =
        step.run_with_losses(&problem, &points, batch(), 0, private(), &SingleProcess, &mut ledger);
    assert_eq!(got.unwrap().1.left(), 0);
    assert_eq!(ledger.n_charges(), 1);
}

#[test]
fn without_a_ground_there_is_no_statement() {
    let (_, params) = problem();
    let plan = target();
    let proven = step(&plan, &params);
    assert_eq!(
        refusals(&once(&plan, &proven, RunKey::seeded(1, 0).next_step()).0, &plan),
        [Refusal::SeededNoise]
    );
    assert_eq!(
        refusals(&once(&plan, &unproven(&plan, &params), private()).0, &plan),
        [Refusal::NotValidated]
    );
    // Noise on gradients and none on losses, or the reverse.
    for silent in [given(1.0, 0.0), given(0.0, 10.0)] {
        let ledger = once(&silent, &step(&silent, &params), private()).0;
        assert_eq!(refusals(&ledger, &silent), [Refusal::NoNoise]);
        let simulated = ledger.simulated_epsilon(&RdpAccountant::new(), silent.delta()).unwrap();
        assert!(simulated.value().is_infinite());
    }
    // A batch that no sampler drew is charged whole.
    let (problem, params) = problem_of(&plan);
    let mut ledger = plan.ledger();
    let points = ProbePoint::single(&params);
    let batch = Unsampled(vec![vec![0, 1, 2]]);
    proven
        .run_with_losses(&problem, &points, batch, 3, private(), &SingleProcess, &mut ledger)
        .unwrap();
    assert!(!ledger.event().claims_amplification());
    let whole = ledger.simulated_epsilon(&RdpAccountant::new(), plan.delta()).unwrap().value();
    let sampled = plan.step_event_with(3).unwrap();
    let mut other = plan.ledger();
    other.charge(&sampled).unwrap();
    let sampled = other.simulated_epsilon(&RdpAccountant::new(), plan.delta()).unwrap().value();
    assert!(2.0 * sampled < whole);
}

fn problem_of(_: &PrivacyPlan) -> (Polynomial, Tree) {
    problem()
}

#[test]
fn a_released_loss_is_the_clipped_mean_and_noise_of_its_own() {
    let (b, sigma_l, r) = (50.0, 2.0, 5.0);
    let plan = given(1.0, sigma_l);
    let (problem, params) = problem();
    let step = unproven(&plan, &params);
    let silent = given(1.0, 0.0);
    let exact = unproven(&silent, &params);
    let (mut noises, mut by_index) = (Vec::new(), vec![Vec::new(); 12]);
    for t in 0..300 {
        let key = || RunKey::seeded(2, t).next_step();
        let (_, mut noisy) = once(&plan, &step, key());
        let (_, mut clean) = once(&silent, &exact, key());
        let n = drawn(&plan, &key()).batch()[0].len() as f64;
        for (j, kept) in by_index.iter_mut().enumerate() {
            // At rest, and elsewhere: |x|^2 / 2 is 6.5 and is clipped, or half of 1.25 and is not.
            let there = leaf(&[1.0, 0.5]);
            let (params, want) = if j % 2 == 0 { (&params, r) } else { (&there, 0.625) };
            let loss = clean.release(&problem, params, clip(r), &SingleProcess).unwrap();
            assert!((loss - want * n / b).abs() < 1e-12, "divided by the public number");
            let noise = noisy.release(&problem, params, clip(r), &SingleProcess).unwrap() - loss;
            noises.push(noise);
            kept.push(noise);
        }
    }
    // Five standard errors of mean, variance and correlation of so many normals.
    let std = sigma_l * r / b;
    let n = noises.len() as f64;
    let mean = noises.iter().sum::<f64>() / n;
    let variance = noises.iter().map(|x| x * x).sum::<f64>() / n;
    assert!(mean.abs() < 5.0 * std / n.sqrt());
    assert!((variance / (std * std) - 1.0).abs() < 5.0 * (2.0 / n).sqrt());
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    for (i, a) in by_index.iter().enumerate() {
        for other in &by_index[..i] {
            let correlation = dot(a, other) / (dot(a, a) * dot(other, other)).sqrt();
            assert!(correlation.abs() < 5.0 / (a.len() as f64).sqrt());
        }
    }
}

#[test]
fn a_sample_whose_loss_is_no_number_counts_as_the_bound() {
    let plan = given(1.0, 0.0);
    let (mut problem, params) = problem();
    let step = unproven(&plan, &params);
    let mean = |problem: &Polynomial| {
        let mut ledger = plan.ledger();
        let points = ProbePoint::single(&params);
        let key = RunKey::seeded(1, 0).next_step();
        let batch = Unsampled(vec![vec![0, 1, 2]]);
        let (_, mut losses) = step
            .run_with_losses(problem, &points, batch, 1, key, &SingleProcess, &mut ledger)
            .unwrap();
        losses.release(problem, &params, clip(10.0), &SingleProcess).unwrap()
    };
    assert!((mean(&problem) - 3.0 * 6.5 / 50.0).abs() < 1e-12);
    problem.centers[1][0] = f64::NAN;
    assert!((mean(&problem) - (2.0 * 6.5 + 10.0) / 50.0).abs() < 1e-12);
}

/// A loss with the batch's size added to it: no gradient shows it.
struct Crowded(Polynomial);

impl Crowded {
    fn add(losses: &Losses) -> tensor_tree::Result<Losses> {
        let n = losses.sum.elem_count() as f64;
        let more = Tensor::full(n, losses.sum.shape(), &Device::Cpu)?.to_dtype(DType::F64)?;
        Ok(Losses { sum: (&losses.sum + more)?, weight: losses.weight.clone() })
    }
}

impl Objective for Crowded {
    type Batch = Vec<usize>;
    fn losses(&self, params: &Tree, batch: &Vec<usize>, pass: Pass) -> tensor_tree::Result<Losses> {
        Self::add(&self.0.losses(params, batch, pass)?)
    }
}

impl Differentiable for Crowded {
    fn value_and_grad(
        &self,
        params: &Tree,
        batch: &Vec<usize>,
        pass: Pass,
        reduction: Reduction,
    ) -> tensor_tree::Result<(Losses, Tree)> {
        let (losses, grad) = self.0.value_and_grad(params, batch, pass, reduction)?;
        Ok((Self::add(&losses)?, grad))
    }
}

impl PerSampleDifferentiable for Crowded {
    type PerSample = Rows;
    fn per_sample(
        &self,
        points: &[ProbePoint],
        batch: &Vec<usize>,
        pass: Pass,
    ) -> tensor_tree::Result<(Losses, Rows)> {
        let (losses, rows) = self.0.per_sample(points, batch, pass)?;
        Ok((Self::add(&losses)?, rows))
    }
}

#[test]
fn losses_that_depend_on_the_batch_bar_the_statement_and_gradients_alone_do_not() {
    let plan = target();
    let (problem, params) = problem();
    let crowded = Crowded(problem);
    let proof = validate(&crowded, &params, &vec![0, 1], &[vec![0], vec![1]]);
    // Both samples of this probe are the same: their gradients agree all the same.
    let proof = proof.unwrap();
    assert!(!proof.covers_losses() && proof.covers(&params));
    let step = unproven(&plan, &params).with_validated(proof);
    let run = |n: u64| {
        let key = private();
        let batch = drawn(&plan, &key);
        let mut ledger = plan.ledger();
        let points = ProbePoint::single(&params);
        step.run_with_losses(&crowded, &points, batch, n, key, &SingleProcess, &mut ledger)
            .unwrap();
        ledger
    };
    assert!(matches!(refusals(&run(3), &plan)[..], [Refusal::Custom(_)]));
    assert!(run(0).statement(&RdpAccountant::new(), plan.delta()).is_ok());
}
