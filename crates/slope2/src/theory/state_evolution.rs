//! State evolution: the size `tau` of the noise that each coefficient is seen under, in closed form.

use super::prior::Prior;
use super::root;
use super::shrinkage::{Observation, Shares, Shrinkage, noise_risk};
use crate::error::{Error, Result, number};

/// What is known of a regression in the limit.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Setting {
    prior: Prior,
    delta: f64,
    noise_std: f64,
}

impl Setting {
    /// Coefficients from `prior`, `delta` rows for each column, noise of standard deviation `noise_std`.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] unless `delta` is positive and finite and `noise_std` finite and not negative.
    pub fn new(prior: Prior, delta: f64, noise_std: f64) -> Result<Self> {
        number("delta", "positive and finite", delta.is_finite() && 0.0 < delta, delta)?;
        let holds = noise_std.is_finite() && 0.0 <= noise_std;
        number("noise_std", "finite and not negative", holds, noise_std)?;
        Ok(Setting { prior, delta, noise_std })
    }

    /// The distribution of a coefficient.
    #[must_use]
    pub fn prior(&self) -> &Prior {
        &self.prior
    }

    /// Rows for each column, `n / p`.
    #[must_use]
    pub fn delta(&self) -> f64 {
        self.delta
    }

    /// Standard deviation of the noise of the response.
    #[must_use]
    pub fn noise_std(&self) -> f64 {
        self.noise_std
    }

    /// `tau_0^2 = std^2 + E B^2 / delta`.
    fn start(&self) -> f64 {
        self.noise_std * self.noise_std + self.prior.second_moment() / self.delta
    }

    /// What each part of the prior looks like under noise of standard deviation `tau`.
    pub(super) fn observations(&self, tau: f64) -> Vec<Observation> {
        self.prior.components().iter().map(|c| Observation::of(c, tau)).collect()
    }

    /// `E (eta(Y) - B)^2` over the whole prior.
    pub(super) fn risk(observations: &[Observation], eta: &Shrinkage) -> f64 {
        observations.iter().map(|o| o.weight * o.mean_squared_error(eta)).sum()
    }

    /// The largest root of `tau^2 = std^2 + risk(tau) / delta`, where noise alone has the risk `at_infinity` per unit of
    /// variance. Returns `tau` and the relative residual there.
    pub(super) fn largest_tau(
        &self,
        at_infinity: f64,
        risk: impl Fn(f64) -> Result<f64>,
    ) -> Result<(f64, f64)> {
        if self.delta <= at_infinity {
            return Err(Error::NoFixedPoint { noise_risk: at_infinity, delta: self.delta });
        }
        let variance = self.noise_std * self.noise_std;
        let excess = |log_tau: f64| -> Result<f64> {
            let tau = log_tau.exp();
            Ok(((variance + risk(tau)? / self.delta) / (tau * tau)).ln())
        };
        // Above the root the excess is negative and stays so: the ratio falls in tau to at_infinity / delta < 1.
        let mut high = 0.5 * self.start().ln();
        while 0.0 <= excess(high)? {
            high += 1.0;
            if RANGE < high {
                return Err(Error::NoFixedPoint { noise_risk: at_infinity, delta: self.delta });
            }
        }
        let mut low = high - 0.5;
        while excess(low)? < 0.0 {
            (low, high) = (low - 0.5, low);
            if low < 0.5 * self.start().ln() - DEPTH {
                return Err(Error::ExactRecovery);
            }
        }
        let log_tau = root::bracketed("tau", low, high, 1e-16, excess)?;
        Ok((log_tau.exp(), excess(log_tau)?.abs()))
    }
}

/// Logarithm of the largest `tau` looked at.
const RANGE: f64 = 300.0;
/// Noiseless responses are recovered exactly if `tau` falls below `exp(-DEPTH)` of its start.
const DEPTH: f64 = 25.0;
/// Largest relative residual of a fixed point that is returned.
const CERTIFIED: f64 = 1e-12;

/// Two levels and the share of coefficients at the upper one: thresholds per unit of `tau`, or penalties.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Levels {
    /// The upper level.
    pub upper: f64,
    /// The lower level.
    pub lower: f64,
    /// Share of the coefficients at the upper level.
    pub share: f64,
}

impl Levels {
    /// Two levels.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] unless `0 <= lower <= upper`, both finite, and `0 <= share <= 1`.
    pub fn new(upper: f64, lower: f64, share: f64) -> Result<Self> {
        number("upper level", "finite and not negative", upper.is_finite() && 0.0 <= upper, upper)?;
        number("lower level", "between 0 and the upper", 0.0 <= lower && lower <= upper, lower)?;
        let holds = (0.0..=1.0).contains(&share);
        number("share at the upper level", "between 0 and 1", holds, share)?;
        Ok(Levels { upper, lower, share })
    }

    /// One level: the LASSO.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] unless `level` is finite and not negative.
    pub fn lasso(level: f64) -> Result<Self> {
        Self::new(level, level, 1.0)
    }

    /// Both levels times `factor`.
    ///
    /// # Errors
    /// As [`Levels::new`].
    pub fn scaled(&self, factor: f64) -> Result<Self> {
        Self::new(factor * self.upper, factor * self.lower, self.share)
    }

    /// Both levels times a factor that may be negative.
    pub(super) fn times(&self, factor: f64) -> Self {
        Levels { upper: factor * self.upper, lower: factor * self.lower, share: self.share }
    }

    /// The shrinkage of observations under `tau`, with these levels per unit of `tau`.
    pub(super) fn shrinkage(&self, tau: f64, observations: &[Observation]) -> Result<Shrinkage> {
        let (upper, lower) = (tau * self.upper, tau * self.lower);
        Shrinkage::fit(lower, upper - lower, self.share, observations)
    }
}

/// A fixed point of state evolution and what it says of the fit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FixedPoint {
    /// Standard deviation of the noise each coefficient is seen under.
    pub tau: f64,
    /// Thresholds per unit of `tau`.
    pub alpha: Levels,
    /// The estimator of a coefficient from its observation.
    pub shrinkage: Shrinkage,
    /// Mean squared error of a coefficient.
    pub mse: f64,
    /// Share of the non-zero coefficients that are selected.
    pub tpp: f64,
    /// Share of zero coefficients among the selected; 0 if none is selected.
    pub fdp: f64,
    /// Share of the coefficients in the one cluster.
    pub flat: f64,
    /// `K_inf`: distinct non-zero magnitudes for each coefficient.
    pub divergence: f64,
    /// The penalties of which this is the limit. Negative if the fit would have no residual: no penalty leads here.
    pub lambda: Levels,
    /// Relative difference of the two sides of the fixed-point equation.
    pub residual: f64,
}

impl FixedPoint {
    /// Reads everything off a root `tau` and its shrinkage.
    pub(super) fn at(
        setting: &Setting,
        alpha: Levels,
        tau: f64,
        residual: f64,
        shrinkage: Shrinkage,
    ) -> Self {
        let observations = setting.observations(tau);
        let (mut null, mut signal) = (Shares::default(), Shares::default());
        for o in &observations {
            let (seen, to) =
                (o.shares(&shrinkage), if o.is_zero { &mut null } else { &mut signal });
            to.selected += o.weight * seen.selected;
            to.flat += o.weight * seen.flat;
            to.moving += o.weight * seen.moving;
        }
        let selected = null.selected + signal.selected;
        let divergence = null.moving + signal.moving;
        FixedPoint {
            tau,
            alpha,
            shrinkage,
            mse: Setting::risk(&observations, &shrinkage),
            tpp: signal.selected / setting.prior.nonzero_share(),
            fdp: if 0.0 < selected { null.selected / selected } else { 0.0 },
            flat: null.flat + signal.flat,
            divergence,
            lambda: alpha.times(tau * (1.0 - divergence / setting.delta)),
            residual,
        }
    }
}

/// The fixed point for thresholds `alpha` per unit of `tau`: the root of
///
/// ```text
/// tau^2 = std^2 + E (eta(B + tau Z) - B)^2 / delta.
/// ```
///
/// The root is found by interpolation in place of iteration and returned only if its residual is below 1e-12.
///
/// # Errors
/// [`Error::NoFixedPoint`] if the thresholds are so low that pure noise keeps `delta` or more of its variance;
/// [`Error::ExactRecovery`] if there is no noise and the only root is `tau = 0`; [`Error::Uncertified`] if rounding leaves
/// a larger residual.
///
/// # Source
/// arXiv 1907.07502, state evolution of SLOPE; the two-level closed form is derived.
///
/// # Examples
/// ```
/// use slope2::theory::{Levels, Prior, Setting, state_evolution};
/// let setting = Setting::new(Prior::bernoulli_gaussian(0.2, 4.0)?, 0.7, 0.5)?;
/// let point = state_evolution(&setting, &Levels::new(2.0, 1.0, 0.1)?)?;
/// assert!((point.mse - 0.3113).abs() < 1e-4 && (point.tpp - 0.7005).abs() < 1e-4);
/// # Ok::<(), slope2::Error>(())
/// ```
pub fn state_evolution(setting: &Setting, alpha: &Levels) -> Result<FixedPoint> {
    let noise = [Observation::unit(0.0)];
    let at_infinity = noise_risk(&alpha.shrinkage(1.0, &noise)?);
    let (tau, residual) = setting.largest_tau(at_infinity, |tau| {
        let observations = setting.observations(tau);
        Ok(Setting::risk(&observations, &alpha.shrinkage(tau, &observations)?))
    })?;
    if CERTIFIED < residual || residual.is_nan() {
        return Err(Error::Uncertified { residual });
    }
    let shrinkage = alpha.shrinkage(tau, &setting.observations(tau))?;
    Ok(FixedPoint::at(setting, *alpha, tau, residual, shrinkage))
}

/// `tau_0, ..., tau_steps` of the iteration whose limit is [`state_evolution`]: what approximate message passing follows.
///
/// # Errors
/// [`Error::InvalidNumber`] if the levels are not valid for the setting.
///
/// # Source
/// arXiv 1907.07502, the recursion of state evolution.
pub fn trajectory(setting: &Setting, alpha: &Levels, steps: usize) -> Result<Vec<f64>> {
    let mut taus = vec![setting.start().sqrt()];
    for _ in 0..steps {
        let tau = taus.last().copied().unwrap_or(0.0);
        if tau == 0.0 {
            taus.push(0.0);
            continue;
        }
        let observations = setting.observations(tau);
        let risk = Setting::risk(&observations, &alpha.shrinkage(tau, &observations)?);
        taus.push((setting.noise_std.powi(2) + risk / setting.delta).sqrt());
    }
    Ok(taus)
}
