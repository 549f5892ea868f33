//! Schedule-Free learning: gradients at an interpolation, evaluation at an average.

use tensor_tree::{AdamW, Checkpoint, Rates, Sgd, StateReader, StateWriter, Transform, Tree};

use super::check::{
    finite_grads, finite_params, not_negative, of_init, of_step, positive, precise, setting,
};
use super::counted::Counted;
use super::fuse::beside;
use super::{Move, NoTrial, Rival};
use crate::error::Result;

/// A transformation whose iterates are averaged online, so that no end of training need be known.
///
/// Three points: `x`, the average, is what the caller holds as *parameters*, evaluates and keeps; `z`, where the
/// transformation moves, lies in the state; `y`, between them, is where [`Rival::train_params`] asks for gradients.
///
/// ```text
/// y = (1 - beta) z + beta x
/// z <- z - rate_t u(g, y)                  g: the gradient at y, u: the transformation, with decay at y
/// x <- (1 - c) x + c z,                    c = w_t / sum_{i <= t} w_i,   w_t = t^r rate_t^power
/// rate_t = rate * min(1, t / warmup)
/// ```
///
/// # Source
/// arXiv 2405.15682, equations 3 to 5 and Algorithm 1, in the form of the authors' package `schedulefree` 1.4.1: the
/// second moment is corrected for its bias in the denominator. (Algorithm 1 multiplies the rate by the root of the
/// correction instead, which the authors' package has as `AdamWScheduleFreePaper` and calls less stable.) The package
/// stores `y` and finds `x` from it; here `x` is stored, so `beta` may be 0 or 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScheduleFree<T> {
    /// Moves `z`. It should have no momentum of its own: `beta` takes that place.
    pub transform: T,
    /// The rate after warm-up; finite and positive.
    pub rate: f64,
    /// Part of `x` in `y`, in `[0, 1]`: 0 averages the iterates of plain training, 1 is primal averaging.
    pub beta: f64,
    /// Steps over which the rate rises; 0 for none.
    pub warmup: u64,
    /// Exponent `r` of the step in the weights; finite and at least 0.
    pub step_power: f64,
    /// Exponent of the rate in the weights; finite and at least 0.
    pub rate_power: f64,
}

impl ScheduleFree<AdamW> {
    /// Schedule-Free AdamW with the defaults of the package: `beta` 0.9, `beta2` 0.999, no warm-up.
    #[must_use]
    pub fn adamw(rate: f64) -> Self {
        // Without a first moment, AdamW's direction is the scaled gradient of Algorithm 1.
        ScheduleFree::new(AdamW { beta1: 0.0, ..AdamW::default() }, rate)
    }
}

impl ScheduleFree<Sgd> {
    /// Schedule-Free SGD with the defaults of the package: `beta` 0.9, no warm-up.
    #[must_use]
    pub fn sgd(rate: f64) -> Self {
        ScheduleFree::new(Sgd::default(), rate)
    }
}

impl<T> ScheduleFree<T> {
    /// Any transformation, with `beta` 0.9, no warm-up, and weights that grow with the square of the rate.
    pub fn new(transform: T, rate: f64) -> Self {
        ScheduleFree { transform, rate, beta: 0.9, warmup: 0, step_power: 0.0, rate_power: 2.0 }
    }

    /// The rate of the step after `step` others.
    #[allow(clippy::cast_precision_loss, reason = "steps stay below 2^53")]
    fn rate_at(&self, step: u64) -> f64 {
        if step < self.warmup {
            self.rate * ((step as f64 + 1.0) / self.warmup as f64)
        } else {
            self.rate
        }
    }
}

/// Memory of [`ScheduleFree`].
#[derive(Clone, Debug)]
pub struct ScheduleFreeState<S> {
    /// Memory of the transformation, and the number of steps.
    pub counted: Counted<S>,
    /// Where the transformation moves.
    pub z: Tree,
    /// Sum of the weights so far.
    pub weight_sum: f64,
}

impl<T: Transform> Rival for ScheduleFree<T> {
    type State = ScheduleFreeState<T::State>;
    type Trial = NoTrial;

    fn init(&self, params: &Tree) -> Result<Self::State> {
        let check = || {
            precise(params)?;
            positive("rate", self.rate)?;
            setting("beta", "in [0, 1]", self.beta, (0.0..=1.0).contains(&self.beta))?;
            not_negative("step power", self.step_power)?;
            not_negative("rate power", self.rate_power)?;
            self.transform.init(params)
        };
        let inner = check().map_err(of_init)?;
        Ok(ScheduleFreeState { counted: Counted::new(inner), z: params.clone(), weight_sum: 0.0 })
    }

    /// The point `y`.
    fn train_params(&self, params: &Tree, state: &Self::State) -> Result<Tree> {
        Ok(beside(&state.z, params)?.lin_comb(1.0 - self.beta, self.beta, params)?)
    }

    #[allow(clippy::cast_precision_loss, reason = "steps stay below 2^53")]
    fn step(
        &self,
        grads: Tree,
        _loss: f64,
        params: &Tree,
        state: &mut Self::State,
    ) -> Result<Move<NoTrial>> {
        finite_grads(&grads, params)?;
        let y = self.train_params(params, state)?;
        let mut inner = state.counted.inner.clone();
        let direction = self.transform.update(grads, &y, &mut inner).map_err(of_step)?;

        let rate = self.rate_at(state.counted.step);
        let z = beside(&state.z, params)?.descend(&direction, &Rates::uniform(rate))?;
        let step = state.counted.step + 1;
        let weight = (step as f64).powf(self.step_power) * rate.powf(self.rate_power);
        let weight_sum = state.weight_sum + weight;
        // Rates whose power is too small for a number give no weight at all.
        let c = if weight_sum == 0.0 { 0.0 } else { weight / weight_sum };
        let x = finite_params(params.lin_comb(1.0 - c, c, &z)?)?;
        *state = ScheduleFreeState { counted: Counted { inner, step }, z, weight_sum };
        Ok(Move::To(x))
    }

    fn answer(&self, trial: NoTrial, _: f64, _: &mut Self::State) -> Result<Move<NoTrial>> {
        match trial {}
    }

    /// The point `x`, which is what the parameters are.
    fn eval_params(&self, params: &Tree, _state: &Self::State) -> Result<Tree> {
        Ok(params.clone())
    }

    fn rate(&self, state: &Self::State) -> Option<f64> {
        Some(self.rate_at(state.counted.step))
    }
}

impl<S: Checkpoint> Checkpoint for ScheduleFreeState<S> {
    fn save(&self, out: &mut StateWriter) -> tensor_tree::Result<()> {
        out.part("counted", &self.counted)?;
        out.tree("z", &self.z)?;
        out.number("weight_sum", self.weight_sum)
    }

    fn load(from: &mut StateReader<'_>) -> tensor_tree::Result<Self> {
        Ok(ScheduleFreeState {
            counted: from.part("counted")?,
            z: from.tree("z")?,
            weight_sum: from.number("weight_sum")?,
        })
    }
}
