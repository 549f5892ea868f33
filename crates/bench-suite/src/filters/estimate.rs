//! How far estimates of gradients are from the truth, how gradients resemble their predecessors, and what filters do to noise.

use dp_core::{PldAccountant, PrivacyPlan, PrivateStep, RunKey, Unsampled};
use dp_filters::TakesPoints;
use serde::{Deserialize, Serialize};
use tensor_tree::{ProbePoint, SingleProcess, Transform, Tree};

use super::method::{Base, Training, Watch, WithChain};
use super::run::parts;
use crate::budget::Budget;
use crate::error::Result;
use crate::problem::Problem;

/// Steps between two looks at the error.
const EVERY: u64 = 10;

/// Steps over which gradients are compared with their predecessors.
const LAGS: u64 = 20;

/// Squared norms at one step. The truth is the mean over all records of the clipped gradient, what a private gradient is in the
/// mean.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The step, counted from 0.
    pub step: u64,
    /// Of the difference between the truth and one unfiltered private gradient of another batch with other noise.
    #[serde(with = "crate::number")]
    pub raw: f64,
    /// Of the difference between the estimate and the truth.
    #[serde(with = "crate::number")]
    pub filtered: f64,
    /// Of the truth.
    #[serde(with = "crate::number")]
    pub truth: f64,
}

/// Looks at a training from outside: what it computes is charged to no ledger and reaches no parameter.
pub(super) struct Watcher<'a, P: Problem> {
    problem: &'a P,
    watch: Watch,
    /// Where the comparison with predecessors begins.
    from: u64,
    reference: Option<(PrivacyPlan, PrivateStep)>,
    points: Vec<Point>,
    truths: Vec<Tree>,
}

impl<'a, P: Problem> Watcher<'a, P> {
    pub(super) fn new(
        (problem, watch, steps): (&'a P, Watch, u64),
        (plan, budget): (&PrivacyPlan, Budget),
        params: &Tree,
    ) -> Result<Self> {
        let reference = match watch {
            Watch::Nothing => None,
            Watch::Errors | Watch::ErrorsAndCorrelation => {
                // All records, no noise.
                let whole = PrivacyPlan::builder()
                    .n_samples(plan.n_samples())
                    .sample_rate(1.0)
                    .steps(1)
                    .clip_norm(plan.clip_norm().get())
                    .delta(plan.delta().get())
                    .noise_multiplier(0.0)
                    .build(&PldAccountant::new())?;
                let step = budget.step(&whole, params)?;
                Some((whole, step))
            }
        };
        let from = (steps / 2).saturating_sub(LAGS / 2);
        Ok(Watcher { problem, watch, from, reference, points: Vec::new(), truths: Vec::new() })
    }

    /// The mean over all records of the clipped gradient.
    fn truth(&self, params: &Tree) -> Result<Option<Tree>> {
        let Some((plan, step)) = &self.reference else { return Ok(None) };
        let all: Vec<usize> = (0..self.problem.n_train()).collect();
        let batch = Unsampled(parts(self.problem, &all)?);
        let (key, points) = (RunKey::seeded(0, 0).next_step(), ProbePoint::single(params));
        let (objective, mut aside) = (self.problem.objective(), plan.ledger());
        Ok(Some(step.run_in_parts(objective, &points, batch, key, &SingleProcess, &mut aside)?))
    }

    /// Step `t` was taken from `params` with this estimate; `raw` makes an unfiltered private gradient.
    pub(super) fn see(
        &mut self,
        t: u64,
        params: &Tree,
        estimate: &Tree,
        raw: impl FnOnce() -> Result<Tree>,
    ) -> Result<()> {
        let compared = self.watch == Watch::ErrorsAndCorrelation
            && (self.from..=self.from + LAGS).contains(&t);
        let measured = self.watch != Watch::Nothing && t % EVERY == EVERY - 1;
        if !compared && !measured {
            return Ok(());
        }
        let Some(truth) = self.truth(params)? else { return Ok(()) };
        if measured {
            let error =
                |of: &Tree| -> Result<f64> { Ok(of.add_scaled(-1.0, &truth)?.norm()?.powi(2)) };
            let (raw, filtered) = (error(&raw()?)?, error(estimate)?);
            let truth = truth.norm()?.powi(2);
            self.points.push(Point { step: t, raw, filtered, truth });
        }
        if compared {
            self.truths.push(truth);
        }
        Ok(())
    }

    /// The points, and for each distance of steps the mean cosine.
    pub(super) fn finish(self) -> (Vec<Point>, Vec<f64>) {
        let cosine = |a: &Tree, b: &Tree| -> Option<f64> {
            Some(a.dot(b).ok()? / (a.norm().ok()? * b.norm().ok()?))
        };
        let n = self.truths.len();
        let correlation = (1..n).map(|lag| {
            let pairs = self.truths.iter().zip(&self.truths[lag..]);
            let all: Vec<f64> = pairs.filter_map(|(a, b)| cosine(a, b)).collect();
            all.iter().sum::<f64>() / all.len().max(1) as f64
        });
        (self.points, correlation.collect())
    }
}

/// What a filter makes of pure noise.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NoiseGain {
    /// Variance of the estimate over that of a private gradient, measured on empty batches.
    pub measured: f64,
    /// The sum of the squared weights of all gradients in the estimate.
    pub predicted: f64,
}

/// Steps that are left out and steps that count.
const TRANSIENT: u64 = 100;
const COUNTED: u64 = 200;

/// Runs a filter on the gradients of empty batches, at parameters that do not move. Rate and epsilon of `training` play no part.
///
/// # Errors
/// Those of plans and trees.
pub fn noise_gain<P: Problem>(problem: &P, training: &Training) -> Result<NoiseGain> {
    let params = problem.initial(training.seed)?;
    let budget = training.budget();
    let plan = budget.plan(problem.n_train(), problem.unit())?.noise_multiplier(1.0);
    let plan = plan.build(&PldAccountant::new())?;
    let step = budget.step(&plan, &params)?;
    let noise = Noise { problem, plan: &plan, step: &step, params: &params, seed: training.seed };
    let measured = training.filtering.with(Base::Sgd, noise)?;
    Ok(NoiseGain { measured, predicted: training.filtering.at_rest()?.noise_power_gain() })
}

/// Noise that waits for its filter.
struct Noise<'a, P: Problem> {
    problem: &'a P,
    plan: &'a PrivacyPlan,
    step: &'a PrivateStep,
    params: &'a Tree,
    seed: u64,
}

impl<P: Problem> WithChain<f64> for Noise<'_, P> {
    fn call<F: TakesPoints + 'static, T: Transform + 'static>(
        self,
        filter: F,
        _optimizer: T,
    ) -> Result<f64> {
        let Noise { problem, plan, step, params, seed } = self;
        let (mut state, mut ledger) = (filter.init(params)?, plan.ledger());
        let mut keys = RunKey::seeded(seed, 0);
        let (mut raw, mut filtered) = (0.0, 0.0);
        for t in 0..TRANSIENT + COUNTED {
            let (key, batch) = (keys.next_step(), Unsampled(Vec::new()));
            let points = filter.points(params, &mut state)?;
            let objective = problem.objective();
            let grads =
                step.run_in_parts(objective, &points, batch, key, &SingleProcess, &mut ledger)?;
            let before = grads.norm()?.powi(2);
            let after = filter.update(grads, params, &mut state)?.norm()?.powi(2);
            if TRANSIENT <= t {
                raw += before;
                filtered += after;
            }
        }
        Ok(filtered / raw)
    }
}
