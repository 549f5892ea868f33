//! Prodigy: Adam with an estimate of the distance to the solution as its rate.

use tensor_tree::{Checkpoint, Result, Schedule, StateReader, StateWriter, Transform, Tree};

use super::adam::AdamPace;
use super::apply::SelfPaced;
use super::check::{decay, finite, growth, not_negative, paced, positive, precise, setting};
use super::fuse::fuse;

/// Adam whose rate is an estimate `d` of the distance from the start to the solution. `d` never falls.
///
/// ```text
/// r <- beta3 r + (d^2 / d0) lr <g, x0 - x>        s <- beta3 s + (d^2 / d0) lr g
/// m <- beta1 m + (1 - beta1) d g                  v <- beta2 v + (1 - beta2) d^2 g^2
/// d' = max(d, d_coef r / |s|_1)                   x <- x - d lr (m / (sqrt(v) + d' eps) + weight_decay x)
/// ```
///
/// # Source
/// arXiv 2306.06101, the Adam version of Prodigy, with the defaults and the options of the authors' package
/// `prodigyopt` 1.1.2. `eps` goes with the new `d` as in the package; the paper has the old.
///
/// Departures from the package: steps on which every gradient so far is zero count as steps; with `beta1 = 0` the first
/// moment is `d g` as in the paper, while the package takes the new `d`. Coupled decay is a chain:
/// `Sgd { weight_decay }.then(Prodigy::default())`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prodigy {
    /// Factor of the rate; finite and positive. The authors leave it at 1.
    pub rate: f64,
    /// Course of the factor. It takes part in the estimate, as it does in the package.
    pub schedule: Schedule,
    /// Decay of the first moment, in `[0, 1)`.
    pub beta1: f64,
    /// Decay of the second moment, in `[0, 1)`.
    pub beta2: f64,
    /// Decay of the estimate, in `[0, 1]`; the root of `beta2` if none is given.
    pub beta3: Option<f64>,
    /// Added to the root of the second moment, times `d`; positive.
    pub eps: f64,
    /// Coefficient of the parameters in the direction (decoupled decay); finite and at least 0.
    pub weight_decay: f64,
    /// First estimate; finite and positive.
    pub d0: f64,
    /// Factor of the estimate; finite and positive. The authors' preferred way to tune.
    pub d_coef: f64,
    /// Largest growth of the estimate in one step, at least 1; infinite for none.
    pub growth_rate: f64,
    /// Whether Adam's bias is corrected.
    pub bias_correction: bool,
    /// Whether the rate is left out of `s`, for schedules that warm up.
    pub safeguard_warmup: bool,
}

impl Default for Prodigy {
    fn default() -> Self {
        Prodigy {
            rate: 1.0,
            schedule: Schedule::Constant,
            beta1: 0.9,
            beta2: 0.999,
            beta3: None,
            eps: 1e-8,
            weight_decay: 0.0,
            d0: 1e-6,
            d_coef: 1.0,
            growth_rate: f64::INFINITY,
            bias_correction: false,
            safeguard_warmup: false,
        }
    }
}

/// Memory of [`Prodigy`].
#[derive(Clone, Debug)]
pub struct ProdigyState {
    /// Steps taken.
    pub step: u64,
    /// The estimate `d`.
    pub d: f64,
    /// The largest estimate seen, which `growth_rate` may hold back.
    pub d_max: f64,
    /// The numerator `r`.
    pub numerator: f64,
    /// First moment `m`.
    pub first: Tree,
    /// Second moment `v`.
    pub second: Tree,
    /// The weighted sum of gradients `s`.
    pub sum: Tree,
    /// The start `x0`.
    pub start: Tree,
}

impl Prodigy {
    /// Rate of the step from `state`, less the estimate.
    fn factor(&self, step: u64) -> f64 {
        let corrected = self.bias_correction.then_some([self.beta1, self.beta2]);
        AdamPace { rate: self.rate, schedule: self.schedule, corrected }.factor(step)
    }
}

impl Transform for Prodigy {
    type State = ProdigyState;

    fn init(&self, params: &Tree) -> Result<ProdigyState> {
        precise(params)?;
        paced(self.rate, self.schedule)?;
        decay("beta1", self.beta1)?;
        decay("beta2", self.beta2)?;
        let beta3 = self.beta3.unwrap_or(0.0);
        setting("beta3", "in [0, 1]", beta3, (0.0..=1.0).contains(&beta3))?;
        positive("eps", self.eps)?;
        not_negative("weight decay", self.weight_decay)?;
        positive("d0", self.d0)?;
        positive("d_coef", self.d_coef)?;
        growth("growth rate", self.growth_rate)?;
        Ok(ProdigyState {
            step: 0,
            d: self.d0,
            d_max: self.d0,
            numerator: 0.0,
            first: params.zeros_like()?,
            second: params.zeros_like()?,
            sum: params.zeros_like()?,
            start: params.clone(),
        })
    }

    fn update(&self, grads: Tree, params: &Tree, state: &mut ProdigyState) -> Result<Tree> {
        let ProdigyState { step, d, d_max, numerator, .. } = *state;
        let (beta1, beta2) = (self.beta1, self.beta2);
        let beta3 = self.beta3.unwrap_or_else(|| beta2.sqrt());
        let d_rate = d * self.factor(step);
        // Over d0, so that the first sums are not too small to be told from zero.
        let weight = d / self.d0 * d_rate;
        let sum_weight = if self.safeguard_warmup { d / self.d0 * d } else { weight };

        let (mut progress, mut length) = (0.0, 0.0);
        let [first, second, sum] = fuse(
            [&grads, params, &state.start, &state.first, &state.second, &state.sum],
            |[g, x, x0, m, v, s]| {
                let s = beta3 * s + sum_weight * g;
                progress += g * (x0 - x);
                length += s.abs();
                [beta1 * m + d * (1.0 - beta1) * g, beta2 * v + d * d * (1.0 - beta2) * g * g, s]
            },
        )?;
        finite("sum of absolute values of Prodigy's gradients", length)?;
        if length == 0.0 || d_rate == 0.0 {
            // No gradient was seen yet, or the schedule is at zero: nothing to learn, nowhere to go.
            params.check_like(&grads)?;
            state.step += 1;
            return params.zeros_like();
        }
        let numerator = finite("numerator of Prodigy", beta3 * numerator + weight * progress)?;
        let d_hat = finite("estimate of Prodigy", self.d_coef * numerator / length)?;
        #[allow(clippy::float_cmp, reason = "whether the estimate was ever changed")]
        let held = if d == self.d0 { d.max(d_hat) } else { d };
        let d_max = d_max.max(d_hat);
        let d = d_max.min(held * self.growth_rate);

        let (eps, weight_decay) = (d * self.eps, self.weight_decay);
        let [direction] = fuse([&first, &second, params], |[m, v, x]| {
            [d_rate * (m / (v.sqrt() + eps) + weight_decay * x)]
        })?;
        *state = ProdigyState {
            step: step + 1,
            d,
            d_max,
            numerator,
            first,
            second,
            sum,
            start: state.start.clone(),
        };
        Ok(direction)
    }
}

impl SelfPaced for Prodigy {
    fn rate(&self, state: &ProdigyState) -> Option<f64> {
        Some(state.d * self.factor(state.step))
    }
}

impl Checkpoint for ProdigyState {
    fn save(&self, out: &mut StateWriter) -> Result<()> {
        out.count("step", self.step)?;
        out.number("d", self.d)?;
        out.number("d_max", self.d_max)?;
        out.number("numerator", self.numerator)?;
        out.tree("first", &self.first)?;
        out.tree("second", &self.second)?;
        out.tree("sum", &self.sum)?;
        out.tree("start", &self.start)
    }

    fn load(from: &mut StateReader<'_>) -> Result<Self> {
        Ok(ProdigyState {
            step: from.count("step")?,
            d: from.number("d")?,
            d_max: from.number("d_max")?,
            numerator: from.number("numerator")?,
            first: from.tree("first")?,
            second: from.tree("second")?,
            sum: from.tree("sum")?,
            start: from.tree("start")?,
        })
    }
}
