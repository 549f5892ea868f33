//! Stochastic line search: backtracking on the loss of the batch.

use candle_core::DType;
use tensor_tree::{Checkpoint, Rates, Result as TreeResult, StateReader, StateWriter, Tree};

use super::check::{finite, finite_grads, finite_params, of_init, of_step, positive, setting};
use super::{Move, Rival, Trial};
use crate::error::Result;

/// Gradient descent with the first rate of a falling sequence that lowers the loss of the batch enough.
///
/// ```text
/// loss(x - rate g) <= loss(x) - c rate |g|^2,        rate <- backtrack * rate until it holds
/// ```
///
/// The search holds no model: [`Rival::step`] asks for the loss at a trial point, [`Rival::answer`] accepts the point or
/// asks for another. Losses must be of the same batch, with the same dropout masks.
///
/// # Source
/// arXiv 1905.09997, SGD with Armijo line search and its three resets. Defaults, the limit of 100 trials with the small step
/// after it, and the gradient norm below which no step is taken are those of the authors' code.
///
/// The first trial of all is at `first_rate`, as in the paper; the code lets it grow before.
///
/// Losses count as equal within their rounding: near a minimum the promised decrease is less than that, and rates would fall at each
/// step without an end. The authors' code compares in the precision of the losses.
///
/// A trial whose loss is not finite is one that went too far. The small step after the last trial is not tested.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Armijo {
    /// Part of the promised decrease that must be kept, in `(0, 1)`.
    pub c: f64,
    /// Factor of the rate after a trial that failed, in `(0, 1)`.
    pub backtrack: f64,
    /// The rate of the first trial of the next step.
    pub reset: Reset,
    /// The rate of the very first trial; finite and positive.
    pub first_rate: f64,
    /// No trial has a larger rate; positive, infinite for none.
    pub max_rate: f64,
    /// How many trials a step may take; at least 1.
    pub max_trials: u64,
    /// The rate that is used when all trials failed; finite and positive.
    pub last_resort: f64,
}

/// The rate of the first trial of a step of [`Armijo`], from that of the step before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reset {
    /// The same: rates never rise. Option 0.
    Keep,
    /// [`Armijo::first_rate`]: each search starts anew. Option 1.
    Restart,
    /// `gamma^(1 / n_batches)` times it. Option 2, which the paper and the code use.
    Grow {
        /// Growth in one epoch; finite and at least 1.
        gamma: f64,
        /// Steps in one epoch; at least 1.
        n_batches: u64,
    },
}

impl Default for Armijo {
    /// The reset assumes 500 steps in an epoch, as the authors' code does.
    fn default() -> Self {
        Armijo {
            c: 0.1,
            backtrack: 0.9,
            reset: Reset::Grow { gamma: 2.0, n_batches: 500 },
            first_rate: 1.0,
            max_rate: 10.0,
            max_trials: 100,
            last_resort: 1e-6,
        }
    }
}

/// Norm of a gradient that is taken as zero, as in the authors' code.
const FLAT: f64 = 1e-8;

/// Losses that differ by less than so many times the spacing of their numbers count as equal.
const ROUNDINGS: f64 = 2.0;
/// No search goes on below this rate.
const LEAST: f64 = 1e-30;

/// Memory of [`Armijo`].
#[derive(Clone, Debug, PartialEq)]
pub struct ArmijoState {
    /// The rate at the end of the last search; none before the first.
    pub rate: Option<f64>,
    /// Trials over all steps: each cost one evaluation of the loss.
    pub n_trials: u64,
}

/// A point at which [`Armijo`] needs the loss.
#[derive(Clone, Debug)]
pub struct ArmijoTrial {
    at: Tree,
    rate: f64,
    start: Tree,
    grads: Tree,
    loss: f64,
    squares: f64,
    n_failed: u64,
}

impl ArmijoTrial {
    /// The rate that is tried.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// The largest loss that is accepted: losses in the type of the parameters cannot be told apart within their roundings.
    fn bound(&self, c: f64) -> f64 {
        let single = self.start.iter().any(|(_, leaf)| leaf.dtype() != DType::F64);
        let unit = if single { f64::from(f32::EPSILON) } else { f64::EPSILON };
        self.loss - c * self.rate * self.squares + ROUNDINGS * unit * self.loss.abs()
    }
}

impl Trial for ArmijoTrial {
    fn params(&self) -> &Tree {
        &self.at
    }
}

impl Rival for Armijo {
    type State = ArmijoState;
    type Trial = ArmijoTrial;

    fn init(&self, _params: &Tree) -> Result<ArmijoState> {
        self.check().map_err(of_init)?;
        Ok(ArmijoState { rate: None, n_trials: 0 })
    }

    fn step(
        &self,
        grads: Tree,
        loss: f64,
        params: &Tree,
        state: &mut ArmijoState,
    ) -> Result<Move<ArmijoTrial>> {
        let loss = finite("loss", loss).map_err(of_step)?;
        let squares = finite_grads(&grads, params)?;
        let rate = self.first_trial(state.rate);
        if squares.sqrt() < FLAT {
            state.rate = Some(rate);
            return Ok(Move::To(params.clone()));
        }
        let at = params.descend(&grads, &Rates::uniform(rate))?;
        let start = params.clone();
        Ok(Move::Try(ArmijoTrial { at, rate, start, grads, loss, squares, n_failed: 0 }))
    }

    fn answer(
        &self,
        trial: ArmijoTrial,
        loss: f64,
        state: &mut ArmijoState,
    ) -> Result<Move<ArmijoTrial>> {
        // Written so that a loss that is not a number fails.
        if loss.is_finite() && loss <= trial.bound(self.c) {
            let params = finite_params(trial.at)?;
            let n_trials = state.n_trials + trial.n_failed + 1;
            *state = ArmijoState { rate: Some(trial.rate), n_trials };
            return Ok(Move::To(params));
        }
        let rate = (trial.rate * self.backtrack).max(LEAST);
        let n_failed = trial.n_failed + 1;
        if n_failed < self.max_trials {
            let at = trial.start.descend(&trial.grads, &Rates::uniform(rate))?;
            return Ok(Move::Try(ArmijoTrial { at, rate, n_failed, ..trial }));
        }
        let at = trial.start.descend(&trial.grads, &Rates::uniform(self.last_resort))?;
        let params = finite_params(at)?;
        *state = ArmijoState { rate: Some(rate), n_trials: state.n_trials + n_failed };
        Ok(Move::To(params))
    }

    fn rate(&self, state: &ArmijoState) -> Option<f64> {
        state.rate
    }
}

impl Armijo {
    #[allow(clippy::cast_precision_loss, reason = "steps stay below 2^53")]
    fn first_trial(&self, last: Option<f64>) -> f64 {
        let rate = match (last, self.reset) {
            (None, _) | (_, Reset::Restart) => self.first_rate,
            (Some(last), Reset::Keep) => last,
            (Some(last), Reset::Grow { gamma, n_batches }) => {
                last * gamma.powf(1.0 / n_batches as f64)
            }
        };
        rate.min(self.max_rate)
    }

    #[allow(clippy::cast_precision_loss, reason = "steps stay below 2^53")]
    fn check(&self) -> TreeResult<()> {
        setting("c", "in (0, 1)", self.c, 0.0 < self.c && self.c < 1.0)?;
        let ok = 0.0 < self.backtrack && self.backtrack < 1.0;
        setting("backtrack", "in (0, 1)", self.backtrack, ok)?;
        positive("first rate", self.first_rate)?;
        setting("max rate", "positive", self.max_rate, 0.0 < self.max_rate)?;
        setting("max trials", "at least 1", self.max_trials as f64, 1 <= self.max_trials)?;
        positive("last resort", self.last_resort)?;
        if let Reset::Grow { gamma, n_batches } = self.reset {
            let ok = 1.0 <= gamma && gamma.is_finite();
            setting("gamma", "finite and at least 1", gamma, ok)?;
            setting("n_batches", "at least 1", n_batches as f64, 1 <= n_batches)?;
        }
        Ok(())
    }
}

impl Checkpoint for ArmijoState {
    fn save(&self, out: &mut StateWriter) -> TreeResult<()> {
        out.count("searched", u64::from(self.rate.is_some()))?;
        out.number("rate", self.rate.unwrap_or(0.0))?;
        out.count("n_trials", self.n_trials)
    }

    fn load(from: &mut StateReader<'_>) -> TreeResult<Self> {
        let (searched, rate) = (from.count("searched")? != 0, from.number("rate")?);
        Ok(ArmijoState { rate: searched.then_some(rate), n_trials: from.count("n_trials")? })
    }
}
