//! D-Adaptation of gradient descent with momentum.

use tensor_tree::{Checkpoint, Result, Schedule, StateReader, StateWriter, Transform, Tree};

use super::apply::SelfPaced;
use super::check::{decay, finite, growth, not_negative, paced, positive, precise, squared_norm};
use super::fuse::fuse;

/// Gradient descent whose rate is an estimate `d` of the distance from the start to the solution, over the norm of the
/// first gradient. `d` never falls; for convex losses without momentum it stays below twice the distance.
///
/// ```text
/// r <- r + (d lr / |g0|) <g, s>         s <- s + (d lr / |g0|) g
/// d <- max(d, min(2 r / |s|, growth_rate d))
/// x <- momentum x + (1 - momentum) (x0 - s)
/// ```
///
/// Nothing in the method looks at curvature: where the distance over the norm of the first gradient is more than two over
/// the curvature, descent diverges unless `rate` is lowered.
///
/// # Source
/// arXiv 2301.07733, "SGD with D-Adaptation", as in the authors' package `dadaptation` 3.2 (`DAdaptSGD`). As there, the decay is added
/// to the gradient but not to the norm `|g0|`. Here `g0` is the first gradient that is not zero; the package stops on a
/// zero one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DAdaptSgd {
    /// Factor of the rate; finite and positive. The authors leave it at 1.
    pub rate: f64,
    /// Course of the factor. It takes part in the estimate, as it does in the package.
    pub schedule: Schedule,
    /// Part of the old parameters in the new, in `[0, 1)`.
    pub momentum: f64,
    /// Coefficient of the parameters in the gradient (coupled decay, as in the package); finite and at least 0.
    pub weight_decay: f64,
    /// First estimate; finite and positive.
    pub d0: f64,
    /// Largest growth of the estimate in one step, at least 1; infinite for none.
    pub growth_rate: f64,
}

impl Default for DAdaptSgd {
    fn default() -> Self {
        DAdaptSgd {
            rate: 1.0,
            schedule: Schedule::Constant,
            momentum: 0.0,
            weight_decay: 0.0,
            d0: 1e-6,
            growth_rate: f64::INFINITY,
        }
    }
}

/// Memory of [`DAdaptSgd`].
#[derive(Clone, Debug)]
pub struct DAdaptSgdState {
    /// Steps taken.
    pub step: u64,
    /// The estimate `d`.
    pub d: f64,
    /// The numerator `r`.
    pub numerator: f64,
    /// Norm of the first gradient, 0 before it.
    pub first_norm: f64,
    /// The weighted sum of gradients `s`.
    pub sum: Tree,
    /// The start `x0`.
    pub start: Tree,
}

impl Transform for DAdaptSgd {
    type State = DAdaptSgdState;

    fn init(&self, params: &Tree) -> Result<DAdaptSgdState> {
        precise(params)?;
        paced(self.rate, self.schedule)?;
        decay("momentum", self.momentum)?;
        not_negative("weight decay", self.weight_decay)?;
        positive("d0", self.d0)?;
        growth("growth rate", self.growth_rate)?;
        Ok(DAdaptSgdState {
            step: 0,
            d: self.d0,
            numerator: 0.0,
            first_norm: 0.0,
            sum: params.zeros_like()?,
            start: params.clone(),
        })
    }

    fn update(&self, grads: Tree, params: &Tree, state: &mut DAdaptSgdState) -> Result<Tree> {
        params.check_like(&grads)?;
        let first_norm = if state.first_norm == 0.0 {
            squared_norm("squared norm of the gradient", &grads)?.sqrt()
        } else {
            state.first_norm
        };
        if first_norm == 0.0 {
            state.step += 1;
            return params.zeros_like();
        }
        let weight = state.d * self.rate * self.schedule.factor(state.step) / first_norm;
        let (decay, momentum) = (self.weight_decay, self.momentum);

        let (mut gain, mut squares) = (0.0, 0.0);
        let [sum, direction] =
            fuse([&grads, params, &state.start, &state.sum], |[g, x, x0, s]| {
                let g = g + decay * x;
                gain += g * s;
                let s = s + weight * g;
                squares += s * s;
                [s, (1.0 - momentum) * (x - (x0 - s))]
            })?;
        let squares = finite("squared norm of D-Adaptation's gradients", squares)?;
        let numerator = finite("numerator of D-Adaptation", state.numerator + weight * gain)?;
        let d = if squares == 0.0 {
            state.d // the gradients cancel exactly: they say nothing
        } else {
            let d_hat = finite("estimate of D-Adaptation", 2.0 * numerator / squares.sqrt())?;
            state.d.max(d_hat.min(state.d * self.growth_rate))
        };
        *state = DAdaptSgdState {
            step: state.step + 1,
            d,
            numerator,
            first_norm,
            sum,
            start: state.start.clone(),
        };
        Ok(direction)
    }
}

impl SelfPaced for DAdaptSgd {
    fn rate(&self, state: &DAdaptSgdState) -> Option<f64> {
        let rate = state.d * self.rate * self.schedule.factor(state.step) / state.first_norm;
        (0.0 < state.first_norm).then_some(rate)
    }
}

impl Checkpoint for DAdaptSgdState {
    fn save(&self, out: &mut StateWriter) -> Result<()> {
        out.count("step", self.step)?;
        out.number("d", self.d)?;
        out.number("numerator", self.numerator)?;
        out.number("first_norm", self.first_norm)?;
        out.tree("sum", &self.sum)?;
        out.tree("start", &self.start)
    }

    fn load(from: &mut StateReader<'_>) -> Result<Self> {
        Ok(DAdaptSgdState {
            step: from.count("step")?,
            d: from.number("d")?,
            numerator: from.number("numerator")?,
            first_norm: from.number("first_norm")?,
            sum: from.tree("sum")?,
            start: from.tree("start")?,
        })
    }
}
