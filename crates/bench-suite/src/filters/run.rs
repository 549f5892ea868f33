//! One private training, from a seed to its outcome.

use cpu_time::ThreadTime;
use dp_core::{PldAccountant, PoissonSampler, PrivacyPlan, PrivateStep, RunKey, Sampled, StepKey};
use dp_filters::TakesPoints;
use serde::{Deserialize, Serialize};
use tensor_tree::{Objective, ProbePoint, Rates, SingleProcess, Transform, Tree};

use super::estimate::{Point, Watcher};
use super::method::{Training, WithChain};
use crate::error::{Error, Result};
use crate::problem::{Problem, Quality};

/// Samples that are at once in memory.
pub(super) const MICRO_BATCH: usize = 1024;

/// What came of a training. The runs are seeded: epsilon is what they would have spent if their noise were secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// Share of held-out samples classified correctly; 0 where there are no classes, or if the training diverged.
    pub accuracy: f64,
    /// Mean loss over held-out samples; infinite if the training diverged.
    #[serde(with = "crate::number")]
    pub test_loss: f64,
    /// Simulated epsilon by the ledger.
    pub simulated_epsilon: f64,
    /// Noise multiplier.
    pub sigma: f64,
    /// Errors of estimates along the way.
    pub points: Vec<Point>,
    /// Cosine between the true gradients of steps that lie 1, 2, ... apart.
    pub correlation: Vec<f64>,
    /// What the trained model writes, for whom, where it writes.
    pub sample: Option<(String, String)>,
    /// Seconds of processor time of the steps on their thread.
    pub cpu_s: f64,
}

/// The micro-batches of a problem.
pub(super) type Parts<P> = Vec<<<P as Problem>::Objective as Objective>::Batch>;

/// Records as micro-batches.
pub(super) fn parts<P: Problem>(problem: &P, records: &[usize]) -> Result<Parts<P>> {
    records.chunks(MICRO_BATCH).map(|part| problem.batch(part)).collect()
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
    let plan = training.budget().plan(problem.n_train(), problem.unit())?;
    let plan = plan.target_epsilon(training.epsilon).build(&PldAccountant::new())?;
    let run = Run {
        problem,
        training,
        stop,
        step: training.budget().step(&plan, &params)?,
        sampler: plan.sampler()?,
        plan,
    };
    training.filtering.with(training.base, Chosen { run: &run, params })
}

struct Run<'a, P: Problem> {
    problem: &'a P,
    training: &'a Training,
    stop: &'a (dyn Fn() -> bool + Sync),
    plan: PrivacyPlan,
    step: PrivateStep,
    sampler: PoissonSampler,
}

/// A run that waits for its filter and its optimizer.
struct Chosen<'r, 'a, P: Problem> {
    run: &'r Run<'a, P>,
    params: Tree,
}

impl<P: Problem> WithChain<Outcome> for Chosen<'_, '_, P> {
    fn call<F: TakesPoints + 'static, T: Transform + 'static>(
        self,
        filter: F,
        optimizer: T,
    ) -> Result<Outcome> {
        self.run.go(&filter, &optimizer, self.params)
    }
}

impl<P: Problem> Run<'_, P> {
    fn batch(&self, key: &StepKey) -> Result<Sampled<Parts<P>>> {
        self.sampler.draw(key).try_map(|records| parts(self.problem, &records))
    }

    /// Filter and optimizer apart, so that the estimate between them can be looked at.
    fn go<F: TakesPoints, T: Transform>(
        &self,
        filter: &F,
        optimizer: &T,
        mut params: Tree,
    ) -> Result<Outcome> {
        let Training { seed, steps, rate, watch, .. } = *self.training;
        let mut memory = (filter.init(&params)?, optimizer.init(&params)?);
        let mut keys = RunKey::seeded(seed, 0);
        let mut ledger = self.plan.ledger();
        let budget = self.training.budget();
        let mut watcher =
            Watcher::new((self.problem, watch, steps), (&self.plan, budget), &params)?;
        let mut cpu_s = 0.0;
        for t in 0..steps {
            if (self.stop)() {
                return Err(Error::Interrupted);
            }
            let key = keys.next_step();
            let batch = self.batch(&key)?;
            let started = ThreadTime::now();
            let points = filter.points(&params, &mut memory.0)?;
            let objective = self.problem.objective();
            let group = &SingleProcess;
            let grads =
                self.step.run_in_parts(objective, &points, batch, key, group, &mut ledger)?;
            let estimate = filter.update(grads, &params, &mut memory.0)?;
            let direction = optimizer.update(estimate.clone(), &params, &mut memory.1)?;
            let next = params.descend(&direction, &Rates::uniform(rate))?;
            cpu_s += started.elapsed().as_secs_f64();
            watcher.see(t, &params, &estimate, || {
                // An ordinary private gradient at the same parameters, from another batch with other noise.
                let key = RunKey::seeded(seed ^ OTHER, t).next_step();
                let batch = self.batch(&key)?;
                let here = ProbePoint::single(&params);
                let mut aside = self.plan.ledger();
                Ok(self.step.run_in_parts(objective, &here, batch, key, group, &mut aside)?)
            })?;
            params = next;
            if !params.is_finite()? {
                break;
            }
        }
        let (points, correlation) = watcher.finish();
        let diverged = Quality { loss: f64::INFINITY, accuracy: None };
        let quality = if params.is_finite()? { self.problem.evaluate(&params)? } else { diverged };
        let (quality, sample) = match quality.loss.is_finite() {
            true => (quality, self.problem.sample(&params)?),
            false => (diverged, None),
        };
        let simulated = ledger.simulated_epsilon(&PldAccountant::new(), self.plan.delta())?;
        Ok(Outcome {
            accuracy: quality.accuracy.unwrap_or(0.0),
            test_loss: quality.loss,
            simulated_epsilon: simulated.value(),
            sigma: self.plan.noise_multiplier().get(),
            points,
            correlation,
            sample,
            cpu_s,
        })
    }
}

/// Tells the seeds of gradients that are only looked at from those of trainings.
const OTHER: u64 = 0x5eed_0000_0000;
