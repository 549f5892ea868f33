//! D-Adaptation of Adam.

use tensor_tree::{Checkpoint, Result, Schedule, StateReader, StateWriter, Transform, Tree};

use super::adam::AdamPace;
use super::apply::SelfPaced;
use super::check::{decay, finite, growth, not_negative, paced, positive, precise};
use super::fuse::fuse;

/// Adam whose rate is an estimate `d` of the distance from the start to the solution. `d` never falls.
///
/// ```text
/// r <- b r + (1 - b) d lr <g, s / (sqrt(v) + eps)>,      b = sqrt(beta2)
/// m <- beta1 m + (1 - beta1) d lr g       v <- beta2 v + (1 - beta2) g^2       s <- b s + (1 - b) d lr g
/// d <- max(d, min(r / ((1 - b) |s|_1), growth_rate d))
/// x <- x - m / (sqrt(v) + eps) - d lr weight_decay x
/// ```
///
/// with the old `v` in the first line and the old `d` in the decay.
///
/// # Source
/// arXiv 2301.07733, "Adam with D-Adaptation", as in the authors' package `dadaptation` 3.2 (`DAdaptAdam` with `decouple`); `layer_scale`
/// is not here. Steps on which every gradient so far is zero count as steps; in the package they do not. Coupled decay is
/// a chain: `Sgd { weight_decay }.then(DAdaptAdam::default())`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DAdaptAdam {
    /// Factor of the rate; finite and positive. The authors leave it at 1.
    pub rate: f64,
    /// Course of the factor. It takes part in the estimate, as it does in the package.
    pub schedule: Schedule,
    /// Decay of the first moment, in `[0, 1)`.
    pub beta1: f64,
    /// Decay of the second moment, in `[0, 1)`.
    pub beta2: f64,
    /// Added to the root of the second moment; positive.
    pub eps: f64,
    /// Coefficient of the parameters in the direction (decoupled decay); finite and at least 0.
    pub weight_decay: f64,
    /// First estimate; finite and positive.
    pub d0: f64,
    /// Largest growth of the estimate in one step, at least 1; infinite for none.
    pub growth_rate: f64,
    /// Whether Adam's bias is corrected.
    pub bias_correction: bool,
}

impl Default for DAdaptAdam {
    fn default() -> Self {
        DAdaptAdam {
            rate: 1.0,
            schedule: Schedule::Constant,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
            d0: 1e-6,
            growth_rate: f64::INFINITY,
            bias_correction: false,
        }
    }
}

/// Memory of [`DAdaptAdam`].
#[derive(Clone, Debug)]
pub struct DAdaptAdamState {
    /// Steps taken.
    pub step: u64,
    /// The estimate `d`.
    pub d: f64,
    /// The numerator `r`.
    pub numerator: f64,
    /// First moment `m`, with the rates in it.
    pub first: Tree,
    /// Second moment `v`.
    pub second: Tree,
    /// The average of gradients `s`, with the rates in it.
    pub sum: Tree,
}

impl DAdaptAdam {
    /// Rate of the step from `state`, less the estimate.
    fn factor(&self, step: u64) -> f64 {
        let corrected = self.bias_correction.then_some([self.beta1, self.beta2]);
        AdamPace { rate: self.rate, schedule: self.schedule, corrected }.factor(step)
    }
}

impl Transform for DAdaptAdam {
    type State = DAdaptAdamState;

    fn init(&self, params: &Tree) -> Result<DAdaptAdamState> {
        precise(params)?;
        paced(self.rate, self.schedule)?;
        decay("beta1", self.beta1)?;
        decay("beta2", self.beta2)?;
        positive("eps", self.eps)?;
        not_negative("weight decay", self.weight_decay)?;
        positive("d0", self.d0)?;
        growth("growth rate", self.growth_rate)?;
        Ok(DAdaptAdamState {
            step: 0,
            d: self.d0,
            numerator: 0.0,
            first: params.zeros_like()?,
            second: params.zeros_like()?,
            sum: params.zeros_like()?,
        })
    }

    fn update(&self, grads: Tree, params: &Tree, state: &mut DAdaptAdamState) -> Result<Tree> {
        params.check_like(&grads)?;
        let (beta1, beta2, eps) = (self.beta1, self.beta2, self.eps);
        let root = beta2.sqrt();
        let d_rate = state.d * self.factor(state.step);

        let (mut gain, mut length) = (0.0, 0.0);
        let [first, second, sum] =
            fuse([&grads, &state.first, &state.second, &state.sum], |[g, m, v, s]| {
                gain += g * s / (v.sqrt() + eps);
                let s = root * s + (1.0 - root) * d_rate * g;
                length += s.abs();
                [beta1 * m + (1.0 - beta1) * d_rate * g, beta2 * v + (1.0 - beta2) * g * g, s]
            })?;
        finite("sum of absolute values of D-Adaptation's gradients", length)?;
        let gain = finite("numerator of D-Adaptation", gain)?;
        if length == 0.0 {
            // No gradient was seen yet.
            state.step += 1;
            return params.zeros_like();
        }
        let numerator = root * state.numerator + (1.0 - root) * d_rate * gain;
        // A `beta2` next to one leaves no room for an estimate.
        let d_hat = numerator / ((1.0 - root) * length);
        let d_hat = finite("estimate of D-Adaptation", d_hat)?;
        let d = state.d.max(d_hat.min(state.d * self.growth_rate));

        let shrink = d_rate * self.weight_decay;
        let [direction] =
            fuse([&first, &second, params], |[m, v, x]| [m / (v.sqrt() + eps) + shrink * x])?;
        *state = DAdaptAdamState { step: state.step + 1, d, numerator, first, second, sum };
        Ok(direction)
    }
}

impl SelfPaced for DAdaptAdam {
    fn rate(&self, state: &DAdaptAdamState) -> Option<f64> {
        Some(state.d * self.factor(state.step))
    }
}

impl Checkpoint for DAdaptAdamState {
    fn save(&self, out: &mut StateWriter) -> Result<()> {
        out.count("step", self.step)?;
        out.number("d", self.d)?;
        out.number("numerator", self.numerator)?;
        out.tree("first", &self.first)?;
        out.tree("second", &self.second)?;
        out.tree("sum", &self.sum)
    }

    fn load(from: &mut StateReader<'_>) -> Result<Self> {
        Ok(DAdaptAdamState {
            step: from.count("step")?,
            d: from.number("d")?,
            numerator: from.number("numerator")?,
            first: from.tree("first")?,
            second: from.tree("second")?,
            sum: from.tree("sum")?,
        })
    }
}
