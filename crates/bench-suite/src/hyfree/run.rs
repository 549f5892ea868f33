//! One private training, from a seed to its outcome.

use cpu_time::ThreadTime;
use dp_core::hyfree::{HyFree, HyFreeStep, Outcome as Came, Settings};
use dp_core::{
    Ledger, PoissonSampler, PrivacyPlan, PrivateStep, RdpAccountant, RunKey, Sampled, StepKey,
};
use hessian_lr::rival::{DAdaptAdam, DAdaptSgd, Prodigy};
use serde::{Deserialize, Serialize};
use tensor_tree::{
    AdamW, Momentum, Objective, ProbePoint, Rates, Schedule, Sgd, SingleProcess, Transform, Tree,
};

use super::method::{Base, Method, Rival, Training};
use crate::autorate::Course;
use crate::error::{Error, Result};
use crate::problem::Problem;

/// Samples that are at once in memory.
const MICRO_BATCH: usize = 1024;

/// What came of a training. The runs are seeded: epsilon is what they would have spent if their noise were secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// Share of held-out samples classified correctly; that of chance if the training diverged.
    pub accuracy: f64,
    /// Mean loss over held-out samples.
    #[serde(with = "crate::number")]
    pub test_loss: f64,
    /// Simulated epsilon by the ledger.
    pub simulated_epsilon: f64,
    /// Noise multiplier of the gradients.
    pub sigma: f64,
    /// Noise multiplier of the losses.
    pub sigma_l: Option<f64>,
    /// Losses that were released.
    pub n_losses: u64,
    /// The rate of each step.
    pub rates: Vec<f64>,
    /// Step, distance of the probe and clip bound of its losses.
    pub probes: Vec<(u64, f64, f64)>,
    /// How often probes came to what.
    pub came: Vec<(Came, u64)>,
    /// Seconds of processor time of the steps on their thread.
    pub cpu_s: f64,
}

/// The plan of a training of `n_samples` records.
///
/// # Errors
/// If no noise meets its epsilon.
pub fn plan(n_samples: usize, unit: &str, training: &Training) -> Result<PrivacyPlan> {
    let plan = training.budget().plan(n_samples, unit)?.target_epsilon(training.epsilon);
    let plan = match &training.method {
        Method::HyFree { settings, .. } => plan.losses(settings.schedule()),
        _ => plan,
    };
    Ok(plan.build(&RdpAccountant::new())?)
}

/// Trains on one thread. `stop` is asked before every step.
///
/// # Errors
/// [`Error::Interrupted`] once `stop` says so; those of data, networks and plans. Divergence is an outcome.
pub fn train<P: Problem>(
    problem: &P,
    training: &Training,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Outcome> {
    let params = problem.initial(training.seed)?;
    let plan = plan(problem.n_train(), problem.unit(), training)?;
    let run = Run {
        problem,
        training,
        stop,
        step: training.budget().step(&plan, &params)?,
        sampler: plan.sampler()?,
        plan,
    };
    match &training.method {
        Method::Given { base, rate, course } => {
            let total = training.steps;
            let schedule = match course {
                Course::Constant => Schedule::Constant,
                Course::Linear => Schedule::Linear { warmup: 0, total, floor: 0.0 },
                Course::Cosine => Schedule::Cosine { warmup: 0, total, floor: 0.0 },
            };
            let rate = |t| rate * schedule.factor(t);
            match base {
                Base::Sgd => run.given(&Sgd::default(), params, rate),
                Base::HeavyBall => run.given(&Momentum::default(), params, rate),
                Base::Adam => run.given(&AdamW::default(), params, rate),
            }
        }
        Method::Rival(rival) => match rival {
            Rival::DAdaptSgd => run.given(&DAdaptSgd::default(), params, |_| 1.0),
            Rival::DAdaptAdam => run.given(&DAdaptAdam::default(), params, |_| 1.0),
            Rival::Prodigy => run.given(&Prodigy::default(), params, |_| 1.0),
        },
        Method::HyFree { base, settings } => match base {
            Base::Sgd => run.released(Sgd::default(), params, settings),
            Base::HeavyBall => run.released(Momentum::default(), params, settings),
            Base::Adam => run.released(AdamW::default(), params, settings),
        },
    }
}

struct Run<'a, P: Problem> {
    problem: &'a P,
    training: &'a Training,
    stop: &'a (dyn Fn() -> bool + Sync),
    plan: PrivacyPlan,
    step: PrivateStep,
    sampler: PoissonSampler,
}

type Parts<P> = Vec<<<P as Problem>::Objective as Objective>::Batch>;

/// What a training gathers along its way.
#[derive(Default)]
struct Log {
    rates: Vec<f64>,
    probes: Vec<(u64, f64, f64)>,
    came: Vec<(Came, u64)>,
    n_losses: u64,
    cpu_s: f64,
}

impl<P: Problem> Run<'_, P> {
    fn batch(&self, key: &StepKey) -> Result<Sampled<Parts<P>>> {
        self.sampler.draw(key).try_map(|records| {
            records.chunks(MICRO_BATCH).map(|part| self.problem.batch(part)).collect()
        })
    }

    /// Steps with rates that no loss decides.
    fn given<T: Transform>(
        &self,
        chain: &T,
        mut params: Tree,
        rate: impl Fn(u64) -> f64,
    ) -> Result<Outcome> {
        let (mut state, mut ledger) = (chain.init(&params)?, self.plan.ledger());
        let mut keys = RunKey::seeded(self.training.seed, 0);
        let mut log = Log::default();
        let started = ThreadTime::now();
        for t in 0..self.training.steps {
            if (self.stop)() {
                return Err(Error::Interrupted);
            }
            let key = keys.next_step();
            let batch = self.batch(&key)?;
            let points = ProbePoint::single(&params);
            let objective = self.problem.objective();
            let step = &self.step;
            let grads =
                step.run_in_parts(objective, &points, batch, key, &SingleProcess, &mut ledger)?;
            let direction = chain.update(grads, &params, &mut state)?;
            let rate = rate(t);
            params = params.descend(&direction, &Rates::uniform(rate))?;
            log.rates.push(rate);
        }
        log.cpu_s = started.elapsed().as_secs_f64();
        self.outcome(&params, &ledger, log)
    }

    /// Steps with rates from private losses.
    fn released<T: Transform>(
        &self,
        chain: T,
        mut params: Tree,
        settings: &Settings,
    ) -> Result<Outcome> {
        let controller = HyFree::new(settings.clone(), &self.plan)?;
        let driver = HyFreeStep { step: self.step.clone(), controller, chain };
        let (mut state, mut ledger) = (driver.init(&params)?, self.plan.ledger());
        let mut keys = RunKey::seeded(self.training.seed, 0);
        let mut log = Log::default();
        let started = ThreadTime::now();
        for t in 0..self.training.steps {
            if (self.stop)() {
                return Err(Error::Interrupted);
            }
            let key = keys.next_step();
            let batch = self.batch(&key)?;
            let objective = self.problem.objective();
            let update = driver.run(
                objective,
                &params,
                batch,
                key,
                &SingleProcess,
                &mut ledger,
                &mut state,
            )?;
            params = update.params;
            log.rates.push(update.rate);
            if !params.is_finite()? {
                break;
            }
            if let Some(report) = state.rates.report().filter(|report| report.step == t) {
                log.probes.push((t, report.distance, report.bound[0]));
            }
        }
        log.cpu_s = started.elapsed().as_secs_f64();
        log.n_losses = state.rates.n_losses();
        log.came = Came::ALL.into_iter().map(|came| (came, state.rates.count(came))).collect();
        log.came.retain(|(_, n)| 0 < *n);
        self.outcome(&params, &ledger, log)
    }

    fn outcome(&self, params: &Tree, ledger: &Ledger, log: Log) -> Result<Outcome> {
        let quality = self.problem.evaluate(params)?;
        let simulated = ledger.simulated_epsilon(&RdpAccountant::new(), self.plan.delta())?;
        Ok(Outcome {
            accuracy: quality.accuracy.unwrap_or(0.0),
            test_loss: quality.loss,
            simulated_epsilon: simulated.value(),
            sigma: self.plan.noise_multiplier().get(),
            sigma_l: self.plan.losses().map(|losses| losses.noise_multiplier().get()),
            n_losses: log.n_losses,
            rates: log.rates,
            probes: log.probes,
            came: log.came,
            cpu_s: log.cpu_s,
        })
    }
}
