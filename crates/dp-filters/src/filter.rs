//! Coefficients of stable rational filters, checked when they are made.

mod gains;
mod poles;
mod step_down;

pub(crate) use gains::other_filter;
pub use gains::{Gain, Gains};
pub use poles::Pole;
pub(crate) use step_down::MARGIN;

use crate::error::{Error, Result};

/// The step response is looked at for so many steps at least, where there is feedback.
const LOOKED_AT: u64 = 10_000;

/// For so many time constants of the farthest pole at least, and two more for each pole, since several may lie together.
const TIME_CONSTANTS: f64 = 20.0;

/// For so many steps at most.
const SCANNED: u64 = 1_000_000;

/// Settled: as near to the gain at frequency zero, relative to it.
const SETTLED: f64 = 1e-6;

/// Zero but for the rounding of so few sums.
const ROUNDING: f64 = 1e-14;

/// A linear recursive filter of gradients: for each coordinate, with all values before the first step zero,
///
/// ```text
/// m_t = - a_1 m_{t-1} - ... - a_na m_{t-na} + b_0 g_t + b_1 g_{t-1} + ... + b_nb g_{t-nb}
/// ```
///
/// so an exponential average with decay 0.9 has `a = [-0.9]`, `b = [0.1]`. A filter that exists is valid: all
/// coefficients are finite, `b_0` is not zero, the poles lie inside the unit circle, the gain at frequency zero is not zero and the
/// step response `c_t` (the same recursion fed with ones) is positive at every step. The step response is looked at until it has settled
/// and the slowest pole has died away, for 10,000 steps at least where there is feedback, and for a million at most.
///
/// # Privacy
/// Coefficients are public. They must not be chosen by looking at gradients without noise.
///
/// # Examples
/// ```
/// use dp_filters::Filter;
///
/// let filter = Filter::new(vec![-0.9], vec![0.1])?;
/// assert!((filter.noise_power_gain() - 1.0 / 19.0).abs() < 1e-15);
/// let error = Filter::new(vec![-1.5, 1.125], vec![0.5]).unwrap_err();
/// assert!(error.to_string().contains("pole 0.75 + 0.75i has modulus 1.06"));
/// # Ok::<(), dp_filters::Error>(())
/// ```
///
/// # Source
/// arXiv 2408.13460, the filter of Algorithm 1. The condition `sum b - sum a = 1` of the paper (gain 1 at frequency zero) is not asked for:
/// with bias correction it is a convention.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "Coefficients", into = "Coefficients"))]
pub struct Filter {
    a: Vec<f64>,
    b: Vec<f64>,
}

impl Filter {
    /// The filter with feedback coefficients `a_1, ..., a_na` (the leading 1 left out) and input coefficients `b_0, ..., b_nb`.
    ///
    /// # Errors
    /// [`Error::NotFinite`], [`Error::NoInput`], [`Error::Unstable`] with the pole farthest out, [`Error::ZeroDcGain`],
    /// [`Error::GainNotPositive`] with the first such step, [`Error::Poles`] if the poles were not found.
    pub fn new(a: Vec<f64>, b: Vec<f64>) -> Result<Self> {
        let named = |letter: char, first: usize| {
            move |(i, x): (usize, &f64)| (format!("{letter}_{}", i + first), *x)
        };
        let all = a.iter().enumerate().map(named('a', 1));
        let mut all = all.chain(b.iter().enumerate().map(named('b', 0)));
        if let Some((name, got)) = all.find(|(_, x)| !x.is_finite()) {
            return Err(Error::NotFinite { name, got });
        }
        let filter = Filter { a, b };
        if filter.b.first().is_none_or(|b| *b == 0.0) {
            return Err(Error::NoInput);
        }
        if !step_down::is_stable(&filter.a) {
            return Err(Error::Unstable { pole: poles::farthest(&filter.a)? });
        }
        let (sum, size) = (sum(&filter.b), filter.b.iter().map(|b| b.abs()).sum::<f64>());
        if sum.is_finite() && sum.abs() <= ROUNDING * size {
            return Err(Error::ZeroDcGain { sum });
        }
        filter.check_gains()?;
        Ok(filter)
    }

    /// Coefficients that are known to be valid.
    pub(crate) fn known(a: &[f64], b: &[f64]) -> Self {
        Filter { a: a.to_vec(), b: b.to_vec() }
    }

    /// The feedback coefficients `a_1, ..., a_na`.
    #[must_use]
    pub fn a(&self) -> &[f64] {
        &self.a
    }

    /// The input coefficients `b_0, ..., b_nb`.
    #[must_use]
    pub fn b(&self) -> &[f64] {
        &self.b
    }

    /// How many trees of the size of the parameters a run keeps: `na + nb`.
    #[must_use]
    pub fn n_buffers(&self) -> usize {
        self.a.len() + self.b.len() - 1
    }

    /// The gain at frequency zero, `sum b / (1 + sum a)`: what a constant gradient is multiplied by in the end, and the limit of
    /// `c_t`.
    #[must_use]
    pub fn dc_gain(&self) -> f64 {
        sum(&self.b) / (1.0 + sum(&self.a))
    }

    /// The same filter with gain 1 at frequency zero.
    #[must_use]
    pub fn normalized(&self) -> Self {
        let gain = self.dc_gain();
        Filter { a: self.a.clone(), b: self.b.iter().map(|b| b / gain).collect() }
    }

    /// The poles: roots of `z^na + a_1 z^(na-1) + ... + a_na`, those farthest out first.
    ///
    /// # Errors
    /// [`Error::Poles`] if the eigenvalues of the companion matrix do not converge.
    pub fn poles(&self) -> Result<Vec<Pole>> {
        poles::roots(&self.a)
    }

    /// Mean age of the gradients in a filtered one, in steps, after many: `sum_r r k_r / sum_r k_r`. How far an average lags behind a
    /// gradient that changes steadily.
    #[must_use]
    pub fn mean_age(&self) -> f64 {
        let moment = |first: usize, x: &[f64]| -> f64 {
            x.iter().zip(first..).map(|(x, r)| *x * r as f64).sum()
        };
        moment(0, &self.b) / sum(&self.b) - moment(1, &self.a) / (1.0 + sum(&self.a))
    }

    /// What the variance of white noise is multiplied by in `m_t` after many steps: the sum of the squared impulse response.
    ///
    /// With bias correction the limit is this over the squared [`Filter::dc_gain`].
    #[must_use]
    pub fn noise_power_gain(&self) -> f64 {
        step_down::power(&self.a, &self.b)
    }

    /// Impulse response, step response and their noise power, step by step.
    #[must_use]
    pub fn gains(&self) -> Gains {
        Gains::default()
    }

    fn check_gains(&self) -> Result<()> {
        let least = self.settling_steps()?;
        let (limit, mut gains, mut settled) = (self.dc_gain(), self.gains(), 0);
        for _ in 0..SCANNED {
            let gain = gains.next(self);
            if !(0.0 < gain.step_response && gain.step_response.is_finite()) {
                return Err(Error::GainNotPositive { step: gain.step, gain: gain.step_response });
            }
            let near = (gain.step_response - limit).abs() <= SETTLED * limit.abs();
            settled = if near { settled + 1 } else { 0 };
            // The next values follow from as many as there are coefficients. With slow poles all of these may be near for a while and leave
            // again, so that alone does not end it.
            if self.a.len() + self.b.len() <= settled && least <= gains.step() as f64 {
                break;
            }
        }
        Ok(())
    }

    /// After how many steps nothing is left of the beginning: none without feedback.
    fn settling_steps(&self) -> Result<f64> {
        if self.a.is_empty() {
            return Ok(0.0);
        }
        let modulus = poles::farthest(&self.a)?.modulus();
        // Of poles on top of each other the computed ones may lie outside: then as long as can be.
        let time_constant = if modulus < 1.0 { -1.0 / modulus.ln() } else { f64::INFINITY };
        let order = self.a.len() as f64;
        Ok((time_constant * (TIME_CONSTANTS + 2.0 * order)).max(LOOKED_AT as f64))
    }
}

fn sum(x: &[f64]) -> f64 {
    x.iter().sum()
}

/// As it is written in files.
#[cfg(feature = "serde")]
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Coefficients {
    a: Vec<f64>,
    b: Vec<f64>,
}

#[cfg(feature = "serde")]
impl TryFrom<Coefficients> for Filter {
    type Error = Error;
    fn try_from(from: Coefficients) -> Result<Self> {
        Filter::new(from.a, from.b)
    }
}

#[cfg(feature = "serde")]
impl From<Filter> for Coefficients {
    fn from(filter: Filter) -> Self {
        Coefficients { a: filter.a, b: filter.b }
    }
}
