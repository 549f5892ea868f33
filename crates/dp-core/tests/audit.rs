//! Trainers that keep their word, trainers that do not, and the same audits of both.

use std::ops::Range;

use candle_core::{DType, Device, Tensor};
use dp_core::audit::{Canaries, CanaryBatch, Guesses, OneRun, Trials, WithCanaries};
use dp_core::calibrate::{self, Target};
use dp_core::{
    Accountant, Charge, ClipFunction, ClipNorm, ClipStyle, Clipping, Confidence, Delta, DpEvent,
    EpsilonBound, Ledger, Mark, NoiseMultiplier, PldAccountant, PoissonSampler, PrivacyPlan,
    PrivateStep, Result, RunKey, SampleRate, validate,
};
use tape_nn::{Context, Linear, Param, TapeLoss, Taped};
use tensor_tree::{
    Differentiable, Key, Label, Losses, Pass, PerSample, PerSampleDifferentiable, ProbePoint,
    Reduction, SingleProcess, Tree,
};

const RECORDS: usize = 64;
/// Clip norm, and what of it the two layers get.
const R: f64 = 1.0;
const THRESHOLDS: [f64; 2] = [0.28 * R, 0.96 * R];
/// Each audit fails with this probability, at most.
const FAILURE: f64 = 1e-4;

/// A linear regression of two layers that are added, each its own group.
struct Regression {
    first: Linear,
    second: Linear,
    frozen: Tree,
}

impl Regression {
    fn new(width: usize) -> (Taped<Regression>, Tree) {
        let layer = |name: &str| Linear::new(Param::named(name, &[1, width]), None);
        let net = Regression {
            first: layer("first.weight"),
            second: layer("second.weight"),
            frozen: Tree::new(),
        };
        let zeros = || Tensor::zeros((1, width), DType::F32, &Device::Cpu).unwrap();
        let leaves = [("first.weight", zeros()), ("second.weight", zeros())];
        (Taped(net), Tree::from_leaves(leaves).unwrap())
    }
}

impl TapeLoss for Regression {
    type Batch = Tensor;
    fn losses(&self, cx: &Context<'_>, x: &Tensor) -> tape_nn::Result<Losses> {
        let sum = (self.first.forward(cx, x)? + self.second.forward(cx, x)?)?;
        let sum = (sum.squeeze(1)? - 1.0)?.sqr()?;
        Ok(Losses { weight: sum.detach().ones_like()?, sum })
    }
    fn frozen(&self) -> &Tree {
        &self.frozen
    }
    fn n_samples(&self, x: &Tensor) -> usize {
        x.dims()[0]
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    QuarterNoise,
    /// The second group's threshold is ten times the whole clip norm, under the noise of the plan.
    GroupUnclipped,
    EightfoldRate,
}

/// What is promised, over which run.
#[derive(Clone, Copy, Debug)]
struct Setting {
    epsilon: f64,
    delta: f64,
    rate: f64,
    steps: u64,
    /// Inputs of both layers; each coordinate of the second holds a canary.
    width: usize,
}

impl Setting {
    /// Many canaries at once. A small delta, since that of all canaries counts.
    /// In one step a canary that was sampled stands out of little noise; over many steps a rate shows.
    fn of_one_run(epsilon: f64, steps: u64) -> Setting {
        Setting { epsilon, delta: 1e-9, rate: 0.1, steps, width: 40_000 }
    }

    /// One canary, always in the batch: some thousand runs could not tell a rare participation from chance.
    fn of_many_runs(epsilon: f64) -> Setting {
        Setting { epsilon, delta: 1e-3, rate: 1.0, steps: 2, width: 2 }
    }

    fn delta(self) -> Delta {
        Delta::new(self.delta).unwrap()
    }

    fn plan(self, noise: f64, clip: f64) -> PrivacyPlan {
        PrivacyPlan::builder()
            .n_samples((RECORDS + self.width) as u64)
            .sample_rate(self.rate)
            .steps(self.steps)
            .clip_norm(clip)
            .delta(self.delta)
            .noise_multiplier(noise)
            .build(&PldAccountant::new())
            .unwrap()
    }

    fn noise(self) -> f64 {
        let target = Target::new(self.epsilon, self.delta).unwrap();
        let history = |sigma: NoiseMultiplier| {
            Ok(DpEvent::gaussian(sigma.get())?.sampled(self.rate)?.repeated(self.steps))
        };
        calibrate::noise_multiplier(&PldAccountant::new(), target, history).unwrap().get()
    }
}

/// What a trainer claims, and what it does.
struct Trainer {
    claimed: f64,
    delta: Delta,
    step: PrivateStep,
    sampler: PoissonSampler,
    net: WithCanaries<Taped<Regression>>,
    params: Tree,
    records: Tensor,
    steps: u64,
}

impl Trainer {
    fn new(setting: Setting, fault: Fault) -> Trainer {
        let (width, claim) = (setting.width, setting.plan(setting.noise(), R));
        let claimed = claim.epsilon().guarantee().unwrap();
        let (net, params) = Regression::new(width);
        let rows = Tensor::zeros((RECORDS, width), DType::F32, &Device::Cpu).unwrap();
        let records = Key::from_seed(7).normal_like(&rows).unwrap();
        let (_, second) = params.partition(|name| name.starts_with("first"));
        let canaries = Canaries::place(&second, width, 10.0 * R, Key::from_seed(8)).unwrap();
        let net = WithCanaries { objective: net, canaries };

        let sigma = claim.noise_multiplier().get();
        let clip = |thresholds: [f64; 2]| {
            let (style, r) = (ClipStyle::PerLayer, ClipNorm::new(R).unwrap());
            let clipping = Clipping::new(ClipFunction::default(), &style, &params, r).unwrap();
            clipping.with_thresholds(thresholds.to_vec()).unwrap()
        };
        let (actual, clipping) = match fault {
            Fault::None | Fault::EightfoldRate => (claim.clone(), clip(THRESHOLDS)),
            Fault::QuarterNoise => (setting.plan(sigma / 4.0, R), clip(THRESHOLDS)),
            Fault::GroupUnclipped => {
                let clipping = clip([THRESHOLDS[0], 10.0 * R]);
                let total = clipping.total().get();
                (setting.plan(sigma * R / total, total), clipping)
            }
        };
        let rate = if fault == Fault::EightfoldRate { 8.0 * setting.rate } else { setting.rate };
        let sampler = PoissonSampler::new(RECORDS + width, SampleRate::new(rate).unwrap());
        let probe = |rows: &[usize], canaries: &[usize]| CanaryBatch {
            records: batch_of(&records, rows),
            canaries: canaries.to_vec(),
        };
        let alone = [probe(&[0], &[]), probe(&[1], &[]), probe(&[], &[1])];
        let validated = validate(&net, &params, &probe(&[0, 1], &[1]), &alone).unwrap();
        Trainer {
            claimed,
            delta: setting.delta(),
            step: PrivateStep::new(&actual, clipping).unwrap().with_validated(validated),
            sampler: sampler.unwrap(),
            net,
            params,
            records,
            steps: setting.steps,
        }
    }

    /// One run over the records and those canaries that are present; the score of each canary.
    fn run(&self, present: &[bool], seed: u64) -> Vec<f64> {
        let mut ledger = Ledger::default();
        self.run_with(present, seed, &mut ledger)
    }

    fn run_with(&self, present: &[bool], seed: u64, ledger: &mut impl Charge) -> Vec<f64> {
        let mut keys = RunKey::seeded(seed, 0);
        let mut params = self.params.clone();
        let mut total = vec![0.0; present.len()];
        for _ in 0..self.steps {
            let key = keys.next_step();
            let batch = self.sampler.draw(&key).map(|drawn| {
                let (rows, rest): (Vec<usize>, Vec<usize>) =
                    drawn.into_iter().partition(|i| *i < RECORDS);
                let canaries = rest.into_iter().map(|i| i - RECORDS).filter(|c| present[*c]);
                CanaryBatch {
                    records: batch_of(&self.records, &rows),
                    canaries: canaries.collect(),
                }
            });
            let points = ProbePoint::single(&params);
            let grads = self.step.run(&self.net, &points, batch, key, &SingleProcess, ledger);
            let grads = grads.unwrap();
            for (total, score) in total.iter_mut().zip(self.net.canaries.scores(&grads).unwrap()) {
                *total += score;
            }
            // Training goes on with what was released.
            params = params.add_scaled(-0.01, &grads).unwrap();
        }
        total
    }
}

fn batch_of(records: &Tensor, rows: &[usize]) -> Tensor {
    let rows: Vec<u32> = rows.iter().map(|i| *i as u32).collect();
    let n = rows.len();
    records.index_select(&Tensor::from_vec(rows, n, &Device::Cpu).unwrap(), 0).unwrap()
}

fn coins(n: usize, seed: u64) -> Vec<bool> {
    let mut values = vec![0.0_f64; n];
    Key::from_seed(seed).child(Label::Leaf("presence")).fill_uniform(&mut values);
    values.iter().map(|u| *u < 0.5).collect()
}

fn confidence() -> Confidence {
    Confidence::of_failure(FAILURE).unwrap()
}

/// The audit of one run: four numbers of guesses, fixed beforehand.
fn one_run(trainer: &Trainer, seed: u64) -> f64 {
    let n = trainer.net.canaries.n_canaries();
    let present = coins(n, seed);
    let scores = trainer.run(&present, seed);
    let guesses = |present: f64, absent: f64| Guesses {
        present: (present * n as f64) as usize,
        absent: (absent * n as f64) as usize,
    };
    let choices = [(0.01, 0.0), (0.03, 0.0), (0.03, 0.03), (0.08, 0.08)];
    let choices = choices.map(|(present, absent)| guesses(present, absent));
    let run = OneRun::new(&scores, &present).unwrap();
    run.lower_bound(trainer.delta, confidence(), &choices).unwrap().epsilon
}

/// Audits with each seed: the correct trainer must not be caught, any other must be.
fn audit(
    name: &str,
    epsilon: f64,
    fault: Fault,
    trainer: &Trainer,
    seeds: &Range<u64>,
    bound: impl Fn(u64) -> f64,
) {
    assert!(trainer.claimed <= epsilon && 0.99 * epsilon < trainer.claimed);
    let bounds: Vec<f64> = seeds.clone().map(bound).collect();
    let least = bounds.iter().copied().fold(f64::INFINITY, f64::min);
    let most = bounds.iter().copied().fold(0.0, f64::max);
    eprintln!("{name}, {fault:?}, epsilon {epsilon}: at least {least:.2} to {most:.2}");
    if fault == Fault::None {
        assert!(most <= trainer.claimed, "{name}: {bounds:?} above {}", trainer.claimed);
    } else {
        assert!(trainer.claimed < least, "{name}, {fault:?}: {bounds:?} of {}", trainer.claimed);
    }
}

fn one_run_audits(seeds: &Range<u64>) {
    let audits = [
        (Fault::None, 1),
        (Fault::None, 20),
        (Fault::QuarterNoise, 1),
        (Fault::GroupUnclipped, 1),
        (Fault::EightfoldRate, 20),
    ];
    for epsilon in [1.0, 4.0] {
        for (fault, steps) in audits {
            let trainer = Trainer::new(Setting::of_one_run(epsilon, steps), fault);
            audit("one run", epsilon, fault, &trainer, seeds, |seed| one_run(&trainer, seed));
        }
    }
}

#[test]
fn one_run_catches_broken_trainers_and_acquits_the_correct_one() {
    one_run_audits(&(0..2));
}

#[test]
#[ignore = "heavy: 40 seeds of ten trainers"]
fn one_run_catches_broken_trainers_and_acquits_the_correct_one_for_forty_seeds() {
    one_run_audits(&(0..40));
}

/// Runs of a small trainer with the canary, and as many without.
const TRIALS: u64 = 3000;

/// The audit of many runs.
fn many_runs(trainer: &Trainer, seed: u64) -> f64 {
    let mut present = vec![false; trainer.net.canaries.n_canaries()];
    let mut scores = [Vec::new(), Vec::new()];
    for trial in 0..2 * TRIALS {
        let with = trial % 2 == 0;
        present[0] = with;
        scores[usize::from(!with)].push(trainer.run(&present, seed * 2 * TRIALS + trial)[0]);
    }
    let [with, without] = scores;
    Trials::new(with, without).unwrap().lower_bound(trainer.delta, confidence()).unwrap().epsilon
}

fn many_run_audits(seeds: &Range<u64>) {
    for epsilon in [1.0, 4.0] {
        for fault in [Fault::None, Fault::QuarterNoise, Fault::GroupUnclipped] {
            let trainer = Trainer::new(Setting::of_many_runs(epsilon), fault);
            audit("many runs", epsilon, fault, &trainer, seeds, |seed| many_runs(&trainer, seed));
        }
    }
}

#[test]
fn many_runs_catch_broken_trainers_and_acquit_the_correct_one() {
    many_run_audits(&(0..1));
}

#[test]
#[ignore = "heavy: 40 seeds of six trainers, 6000 runs each"]
fn many_runs_catch_broken_trainers_and_acquit_the_correct_one_for_forty_seeds() {
    many_run_audits(&(0..40));
}

/// Forgets every other charge.
struct Forgetful {
    ledger: Ledger,
    charges: u64,
}

impl Charge for Forgetful {
    fn charge(&mut self, event: &DpEvent) -> Result<()> {
        self.charges += 1;
        if self.charges.is_multiple_of(2) { Ok(()) } else { self.ledger.charge(event) }
    }
    fn mark(&mut self, mark: Mark) -> Result<()> {
        self.ledger.mark(mark)
    }
    fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

/// The test of a ledger: is its epsilon at least that of what was seen to be released?
fn accounts_for(ledger: &Ledger, released: &DpEvent, delta: Delta) -> bool {
    let accountant = PldAccountant::new();
    let recorded = ledger.simulated_epsilon(&accountant, delta).unwrap().value();
    let spent = accountant.epsilon(released, delta).unwrap();
    let EpsilonBound::Bracket { lower, .. } = spent else { panic!("{spent:?}") };
    lower <= recorded
}

#[test]
fn a_ledger_that_skips_every_other_step_is_caught_and_the_true_one_is_not() {
    for epsilon in [1.0, 4.0] {
        let setting = Setting { width: 40, ..Setting::of_one_run(epsilon, 20) };
        let trainer = Trainer::new(setting, Fault::None);
        let plan = setting.plan(setting.noise(), R);
        let released = plan.step_event().repeated(setting.steps);
        let mut honest = plan.ledger();
        trainer.run_with(&[true; 40], 1, &mut honest);
        assert!(accounts_for(&honest, &released, trainer.delta));
        let mut forgetful = Forgetful { ledger: plan.ledger(), charges: 0 };
        trainer.run_with(&[true; 40], 1, &mut forgetful);
        assert_eq!(forgetful.charges, setting.steps);
        assert!(!accounts_for(&forgetful.ledger, &released, trainer.delta));
    }
}

#[test]
fn canaries_are_clipped_and_summed_like_other_records() {
    let setting = Setting { width: 6, ..Setting::of_one_run(1.0, 1) };
    let (net, params) = Regression::new(setting.width);
    let canaries = Canaries::place(&params, 12, 3.0, Key::from_seed(1)).unwrap();
    assert_eq!(canaries.n_canaries(), 12);
    // All places, once each.
    let marks: Vec<f64> = (0..12).map(f64::from).collect();
    let leaf = |from: usize| {
        let row: Vec<f32> = marks[from..from + 6].iter().map(|x| *x as f32).collect();
        Tensor::from_vec(row, (1, 6), &Device::Cpu).unwrap()
    };
    let tree = Tree::from_leaves([("first.weight", leaf(0)), ("second.weight", leaf(6))]).unwrap();
    let mut scores = canaries.scores(&tree).unwrap();
    scores.sort_by(f64::total_cmp);
    assert_eq!(scores, marks);

    // The gradient of two records and two canaries, with and without clipping.
    let net = WithCanaries { objective: net, canaries };
    let rows = Tensor::zeros((2, 6), DType::F32, &Device::Cpu).unwrap();
    let records = Key::from_seed(2).normal_like(&rows).unwrap();
    let batch =
        |canaries: &[usize]| CanaryBatch { records: records.clone(), canaries: canaries.to_vec() };
    let plain = |batch: &CanaryBatch<Tensor>| {
        net.value_and_grad(&params, batch, Pass::Eval, Reduction::Sum).unwrap().1
    };
    let with = plain(&batch(&[4, 9])).add_scaled(-1.0, &plain(&batch(&[]))).unwrap();
    let scores = net.canaries.scores(&with).unwrap();
    for (number, score) in scores.iter().enumerate() {
        let expected = if [4, 9].contains(&number) { 3.0 } else { 0.0 };
        assert!((score - expected).abs() < 1e-5, "{number}: {score}");
    }
    let clip = ClipNorm::new(0.5).unwrap();
    for style in [ClipStyle::Flat, ClipStyle::PerLayer] {
        let clipping = Clipping::new(ClipFunction::default(), &style, &params, clip).unwrap();
        let clipped = |batch: &CanaryBatch<Tensor>| {
            let (_, grads) =
                net.per_sample(&ProbePoint::single(&params), batch, Pass::Eval).unwrap();
            let factors = clipping.factors(&grads.squared_norms(clipping.groups()).unwrap());
            assert_eq!(grads.n_samples(), 2 + batch.canaries.len());
            grads.weighted_sum(clipping.groups(), &factors.unwrap()).unwrap()
        };
        let with = clipped(&batch(&[4, 9])).add_scaled(-1.0, &clipped(&batch(&[]))).unwrap();
        let threshold = clipping.thresholds()[0];
        assert!((with.norm().unwrap() - threshold * 2_f64.sqrt()).abs() < 1e-6, "{style:?}");
    }
}

#[test]
fn canaries_that_do_not_fit_are_refused() {
    let (_, params) = Regression::new(3);
    let place = |n, size| Canaries::place(&params, n, size, Key::from_seed(1));
    assert!(place(0, 1.0).is_err() && place(7, 1.0).is_err() && place(6, 1.0).is_ok());
    assert!(place(1, 0.0).is_err() && place(1, f64::NAN).is_err());
    let (_, fewer) = Regression::new(2);
    assert!(place(6, 1.0).unwrap().scores(&fewer).is_err());
}
