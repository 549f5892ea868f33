//! The stochastic Polyak step size.

use tensor_tree::{Checkpoint, Rates, Result as TreeResult, StateReader, StateWriter, Tree};

use super::check::{
    finite, finite_grads, finite_params, not_negative, of_init, of_step, positive, setting,
};
use super::{Move, NoTrial, Rival};
use crate::error::Result;

/// Gradient descent with a rate from the loss of the batch and the norm of its gradient.
///
/// ```text
/// rate_t = min( (loss - f_star) / (c |g|^2 + eps),  bound_t )
/// ```
///
/// # Source
/// arXiv 2002.10542: SPS ([`RateLimit::Unlimited`]), SPS_max with `gamma_b` ([`RateLimit::Constant`]), and the smoothed
/// bound of its experiments ([`RateLimit::Smooth`]). The paper takes `eps` as 0; the default is that of the authors' code, whose smoothed
/// variant has no `f_star`.
///
/// Where the gradient is zero or the loss not above `f_star`, the step is zero. The smoothed bound then stays that of the
/// last step that was taken; in the authors' code it falls to zero and never rises again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PolyakStep {
    /// The least loss that the batch can have; finite. Zero for losses that a model can bring to zero.
    pub f_star: f64,
    /// Larger is more careful; finite and positive. The paper takes 1/2 beyond convex problems and in its experiments.
    pub c: f64,
    /// Added to the denominator; finite and at least 0.
    pub eps: f64,
    /// Bound of the rate.
    pub limit: RateLimit,
}

/// Bound of the rate of [`PolyakStep`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RateLimit {
    /// None: plain SPS.
    Unlimited,
    /// The same at every step; finite and positive.
    Constant(f64),
    /// `gamma^(1 / n_batches)` times the last rate, so that the rate grows at most `gamma`-fold in an epoch.
    Smooth {
        /// Growth in one epoch; finite and at least 1.
        gamma: f64,
        /// Steps in one epoch; at least 1.
        n_batches: u64,
        /// The rate before the first step; finite and positive.
        first: f64,
    },
}

impl RateLimit {
    /// The smoothed bound of the authors: twofold growth in an epoch, from 1.
    #[must_use]
    pub fn smooth(n_batches: u64) -> Self {
        RateLimit::Smooth { gamma: 2.0, n_batches, first: 1.0 }
    }
}

impl Default for PolyakStep {
    /// The bound assumes 500 steps in an epoch, as the authors' code does.
    fn default() -> Self {
        PolyakStep { f_star: 0.0, c: 0.5, eps: 1e-8, limit: RateLimit::smooth(500) }
    }
}

/// Memory of [`PolyakStep`].
#[derive(Clone, Debug, PartialEq)]
pub struct PolyakState {
    /// The rate of the last step that was taken; before it the first bound, or 0 if there is none.
    pub rate: f64,
}

impl Rival for PolyakStep {
    type State = PolyakState;
    type Trial = NoTrial;

    fn init(&self, _params: &Tree) -> Result<PolyakState> {
        self.check().map_err(of_init)?;
        let rate = match self.limit {
            RateLimit::Smooth { first, .. } => first,
            RateLimit::Constant(_) | RateLimit::Unlimited => 0.0,
        };
        Ok(PolyakState { rate })
    }

    #[allow(clippy::cast_precision_loss, reason = "steps stay below 2^53")]
    fn step(
        &self,
        grads: Tree,
        loss: f64,
        params: &Tree,
        state: &mut PolyakState,
    ) -> Result<Move<NoTrial>> {
        let loss = finite("loss", loss).map_err(of_step)?;
        let squares = finite_grads(&grads, params)?;
        let above = loss - self.f_star;
        if squares == 0.0 || above <= 0.0 {
            return Ok(Move::To(params.clone()));
        }
        let rate = above / (self.c * squares + self.eps);
        let rate = match self.limit {
            RateLimit::Unlimited => rate,
            RateLimit::Constant(bound) => rate.min(bound),
            RateLimit::Smooth { gamma, n_batches, .. } => {
                rate.min(gamma.powf(1.0 / n_batches as f64) * state.rate)
            }
        };
        let rate = finite("Polyak step size", rate).map_err(of_step)?;
        let params = finite_params(params.descend(&grads, &Rates::uniform(rate))?)?;
        state.rate = rate;
        Ok(Move::To(params))
    }

    fn answer(&self, trial: NoTrial, _: f64, _: &mut PolyakState) -> Result<Move<NoTrial>> {
        match trial {}
    }

    fn rate(&self, state: &PolyakState) -> Option<f64> {
        Some(state.rate)
    }
}

impl PolyakStep {
    #[allow(clippy::cast_precision_loss, reason = "steps stay below 2^53")]
    fn check(&self) -> TreeResult<()> {
        setting("f_star", "finite", self.f_star, self.f_star.is_finite())?;
        positive("c", self.c)?;
        not_negative("eps", self.eps)?;
        match self.limit {
            RateLimit::Unlimited => Ok(()),
            RateLimit::Constant(bound) => positive("bound of the rate", bound),
            RateLimit::Smooth { gamma, n_batches, first } => {
                let ok = 1.0 <= gamma && gamma.is_finite();
                setting("gamma", "finite and at least 1", gamma, ok)?;
                setting("n_batches", "at least 1", n_batches as f64, 1 <= n_batches)?;
                positive("first rate", first)
            }
        }
    }
}

impl Checkpoint for PolyakState {
    fn save(&self, out: &mut StateWriter) -> TreeResult<()> {
        out.number("rate", self.rate)
    }

    fn load(from: &mut StateReader<'_>) -> TreeResult<Self> {
        Ok(PolyakState { rate: from.number("rate")? })
    }
}
