//! How well a fit explains the response: families, weights and the scale of the loss.

mod family;

use crate::error::{Error, Result, entries, length};
pub use family::{Binomial, Family, Gaussian, Poisson};

/// The factor in front of the sum of losses. Solutions agree if the penalty is scaled alike: weights of the penalty for
/// [`LossScale::Sum`] are `n` times those for [`LossScale::Mean`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum LossScale {
    /// `1 / n`, as in glmnet, libslope and scikit-learn.
    #[default]
    Mean,
    /// 1, as in most papers.
    Sum,
}

/// `F(eta) = c sum_i w_i f(eta_i, y_i)` with weights of mean 1.
#[derive(Clone, Copy)]
pub struct Datafit<'a> {
    family: &'a dyn Family,
    y: &'a [f64],
    weights: Option<&'a [f64]>,
    scale: LossScale,
}

impl std::fmt::Debug for Datafit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Datafit({}, n = {})", self.family.name(), self.y.len())
    }
}

impl<'a> Datafit<'a> {
    /// The datafit of a response.
    ///
    /// # Errors
    /// [`Error::InvalidEntry`] for a response that is not finite or that the family does not know; [`Error::Length`] if there
    /// is none.
    pub fn new(family: &'a dyn Family, y: &'a [f64], scale: LossScale) -> Result<Self> {
        if y.is_empty() {
            return Err(Error::Length { name: "response", expected: 1, got: 0 });
        }
        entries("response", "finite", y, f64::is_finite)?;
        entries("response", family.range(), y, |y| family.knows(y))?;
        Ok(Datafit { family, y, weights: None, scale })
    }

    /// The same with weights of the observations, which [`normalized`] has brought to mean 1.
    ///
    /// # Errors
    /// [`Error::Length`] and [`Error::InvalidEntry`] unless there is one finite weight, not negative, for each observation;
    /// [`Error::InvalidNumber`] unless their mean is 1.
    pub fn with_weights(self, weights: &'a [f64]) -> Result<Self> {
        let mean = check_weights(weights, self.y.len())?;
        crate::error::number("mean of the weights", "1", (mean - 1.0).abs() < 1e-9, mean)?;
        Ok(Datafit { weights: Some(weights), ..self })
    }

    /// The family.
    #[must_use]
    pub fn family(&self) -> &'a dyn Family {
        self.family
    }

    /// The response.
    #[must_use]
    pub fn y(&self) -> &'a [f64] {
        self.y
    }

    /// Weights of the observations; none means all ones.
    #[must_use]
    pub fn weights(&self) -> Option<&'a [f64]> {
        self.weights
    }

    /// The factor `c`.
    #[must_use]
    pub fn factor(&self) -> f64 {
        match self.scale {
            LossScale::Mean => 1.0 / self.y.len() as f64,
            LossScale::Sum => 1.0,
        }
    }

    fn weight(&self, i: usize) -> f64 {
        self.weights.map_or(1.0, |w| w[i])
    }

    /// `F(eta)`.
    #[must_use]
    pub fn value(&self, eta: &[f64]) -> f64 {
        let losses = eta.iter().zip(self.y).enumerate();
        let sum: f64 =
            losses.map(|(i, (eta, y))| self.weight(i) * self.family.loss(*eta, *y)).sum();
        self.factor() * sum
    }

    /// `out_i = c w_i (y_i - mu(eta_i))`: minus the derivative of `F` by `eta_i`.
    pub fn pull(&self, eta: &[f64], out: &mut [f64]) {
        let c = self.factor();
        for (i, (out, eta)) in out.iter_mut().zip(eta).enumerate() {
            *out = c * self.weight(i) * (self.y[i] - self.family.mean(*eta));
        }
    }

    /// `out_i = c w_i f''(eta_i)`.
    pub fn curvature(&self, eta: &[f64], out: &mut [f64]) {
        let c = self.factor();
        for (i, (out, eta)) in out.iter_mut().zip(eta).enumerate() {
            *out = c * self.weight(i) * self.family.curvature(*eta);
        }
    }

    /// The dual objective at `theta`, where `theta_i` stands for `y_i - mu_i`: `c sum_i w_i d(theta_i, y_i)`. Minus infinity
    /// outside the domain.
    #[must_use]
    pub fn dual(&self, theta: impl Iterator<Item = f64>) -> f64 {
        let terms = theta.zip(self.y).enumerate();
        let sum: f64 =
            terms.map(|(i, (theta, y))| self.weight(i) * self.family.dual(theta, *y)).sum();
        self.factor() * sum
    }

    /// The deviance: `2 sum_i w_i (f(eta_i, y_i) - min f(., y_i))`. For Gaussian responses the residual sum of squares.
    #[must_use]
    pub fn deviance(&self, eta: &[f64]) -> f64 {
        self.deviance_of(self.value(eta))
    }

    /// The deviance that belongs to a value of `F`.
    pub(crate) fn deviance_of(&self, value: f64) -> f64 {
        // The dual term at 0 is the smallest loss.
        let least = self.dual(std::iter::repeat_n(0.0, self.y.len()));
        2.0 * (value - least).max(0.0) / self.factor()
    }

    /// The constant that, added to every `eta_i`, makes `F` smallest: Newton's method from `start`, kept inside a bracket.
    /// Infinite where more is always better, as for a response of one class.
    #[must_use]
    pub fn intercept(&self, eta: &[f64], start: f64) -> f64 {
        let (total, weighted) = self.totals();
        if let Some(end) = self.family.saturated(weighted / total) {
            return end;
        }
        let slope = |b: f64| -> (f64, f64) {
            eta.iter().zip(self.y).enumerate().fold((0.0, 0.0), |(g, h), (i, (eta, y))| {
                let w = self.weight(i);
                let at = eta + b;
                (g + w * (y - self.family.mean(at)), h + w * self.family.curvature(at))
            })
        };
        // Where the curvature changes, a step from far away may be huge; where it does not, the first one is exact.
        let far = if self.family.name() == "gaussian" { f64::INFINITY } else { 10.0 };
        let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
        let mut b = start;
        for _ in 0..200 {
            let (g, h) = slope(b);
            if g == 0.0 {
                break;
            }
            if 0.0 < g {
                low = b;
            } else {
                high = b;
            }
            let newton = b + g / h;
            let next = if newton.is_finite() && low < newton && newton < high {
                newton.clamp(b - far, b + far)
            } else if low.is_finite() && high.is_finite() {
                0.5 * (low + high)
            } else {
                b + 2.0f64.copysign(g)
            };
            if next == b || (next - b).abs() <= 1e-15 * (1.0 + b.abs()) {
                b = next;
                break;
            }
            b = next;
        }
        b
    }

    /// Sum of the weights, and of the weighted responses.
    fn totals(&self) -> (f64, f64) {
        let sums = self.y.iter().enumerate();
        sums.fold((0.0, 0.0), |(w, wy), (i, y)| (w + self.weight(i), wy + self.weight(i) * y))
    }
}

/// Weights brought to mean 1.
///
/// # Errors
/// [`Error::InvalidEntry`] unless all are finite and not negative; [`Error::InvalidNumber`] if all are zero.
pub fn normalized(weights: &[f64]) -> Result<Vec<f64>> {
    let mean = check_weights(weights, weights.len())?;
    crate::error::number("mean of the weights", "positive", 0.0 < mean, mean)?;
    Ok(weights.iter().map(|w| w / mean).collect())
}

fn check_weights(weights: &[f64], n: usize) -> Result<f64> {
    length("weights of the observations", n, weights.len())?;
    let holds = |w: f64| w.is_finite() && 0.0 <= w;
    entries("weights of the observations", "finite and not negative", weights, holds)?;
    Ok(weights.iter().sum::<f64>() / n.max(1) as f64)
}
