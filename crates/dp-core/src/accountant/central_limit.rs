//! Central limits of subsampled Gaussian releases: estimates, quick and often below the truth.

use super::gdp;
use super::normal::tail;
use super::rdp::History;
use super::rdp::curve::Curve;
use crate::{Accountant, Delta, DeltaBound, DpEvent, Epsilon, EpsilonBound, Error, Result};

/// Accounts as if many steps were one Gaussian release.
///
/// ```text
/// mu^2 = sum over phases of  T q^2 (exp(1/s^2) - 1)   (sampled),   T / s^2   (whole data set)
/// ```
///
/// # Privacy
/// Every answer is an estimate and never becomes a guarantee: at a rate of 0.01, noise multiplier 1, 1000 steps and delta
/// 1e-5 it says 1.618, while 1.827 is a certified lower bound.
///
/// # Source
/// arXiv 1911.11607, theorem 5 (Poisson) and section 2.4 (uniform batches).
///
/// # Examples
/// ```
/// use dp_core::{Accountant, CentralLimit, Delta, DpEvent};
///
/// let history = DpEvent::gaussian(1.0)?.sampled(0.01)?.repeated(1000);
/// let guess = CentralLimit::new().epsilon(&history, Delta::new(1e-5)?)?;
/// assert!((guess.value() - 1.618).abs() < 1e-3 && guess.guarantee().is_none());
/// # Ok::<(), dp_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct CentralLimit;

impl CentralLimit {
    /// An accountant; it has no settings.
    pub fn new() -> Self {
        CentralLimit
    }

    /// The `mu` of a history; may be infinite.
    ///
    /// # Errors
    /// [`Error::UnsupportedEvent`] for anything but Gaussian releases; [`Error::CountOverflow`].
    pub fn mu(&self, event: &DpEvent) -> Result<f64> {
        let history = History::new(self.name(), event)?;
        let mut square = 0.0;
        for (curve, count) in history.curves() {
            square += *count as f64
                * match *curve {
                    Curve::Gaussian { rho } => 2.0 * rho,
                    Curve::SampledGaussian { q, s } => q * q * s.powi(-2).exp_m1(),
                    Curve::Revealed { .. } => f64::INFINITY,
                    Curve::Laplace { .. } | Curve::SampledLaplace { .. } => {
                        return Err(Error::UnsupportedEvent {
                            accountant: self.name(),
                            event: event.to_string(),
                            why: "its central limit is taken for Gaussian noise only",
                        });
                    }
                };
        }
        Ok(square.sqrt())
    }

    /// The `mu` of `steps` Gaussian releases on uniform batches of fixed size, `rate` of the data each.
    ///
    /// # Privacy
    /// An estimate. No event describes such batches; their ledgers take no credit for sampling.
    pub fn uniform_mu(rate: f64, noise_multiplier: f64, steps: f64) -> f64 {
        let s = noise_multiplier;
        let inner = s.powi(-2).exp() * tail(-1.5 / s) + 3.0 * tail(0.5 / s) - 2.0;
        std::f64::consts::SQRT_2 * rate * (steps * inner.max(0.0)).sqrt()
    }
}

impl Accountant for CentralLimit {
    fn name(&self) -> &'static str {
        "central limit"
    }

    fn epsilon(&self, event: &DpEvent, delta: Delta) -> Result<EpsilonBound> {
        let mu = self.mu(event)?;
        let infinite = mu.is_infinite();
        Ok(EpsilonBound::Estimate(if infinite { mu } else { gdp::epsilon(mu, delta.ln()) }))
    }

    fn delta(&self, event: &DpEvent, epsilon: Epsilon) -> Result<DeltaBound> {
        let mu = self.mu(event)?;
        let ln = if mu.is_infinite() { 0.0 } else { gdp::ln_delta(mu, epsilon.get()) };
        Ok(DeltaBound::Estimate { ln })
    }
}
