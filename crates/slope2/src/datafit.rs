//! How well a fit explains the response: families, weights and the scale of the loss.

mod family;
mod intercepts;
mod multinomial;

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

/// The loss of one observation.
#[derive(Clone, Copy)]
pub enum Loss<'a> {
    /// Of one linear predictor.
    Of(&'a dyn Family),
    /// `log(1 + sum_k e^eta_k) - eta_y` for classes `y = 0, ..., m - 1`: one linear predictor for each class but the last, whose
    /// predictor is 0.
    ///
    /// # Source
    /// McCullagh and Nelder, Generalized Linear Models, with the last class as the reference.
    Multinomial {
        /// Number of classes `m`, at least 2.
        n_classes: usize,
    },
}

impl<'a, F: Family> From<&'a F> for Loss<'a> {
    fn from(family: &'a F) -> Self {
        Loss::Of(family)
    }
}

impl<'a> From<&'a dyn Family> for Loss<'a> {
    fn from(family: &'a dyn Family) -> Self {
        Loss::Of(family)
    }
}

impl std::fmt::Debug for Loss<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Loss<'_> {
    /// The name of the family.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Loss::Of(family) => family.name(),
            Loss::Multinomial { .. } => "multinomial",
        }
    }

    /// Number of linear predictors.
    #[must_use]
    pub fn n_predictors(&self) -> usize {
        match self {
            Loss::Of(_) => 1,
            Loss::Multinomial { n_classes } => n_classes.saturating_sub(1),
        }
    }

    /// Whether the loss is a square.
    #[must_use]
    pub fn is_quadratic(&self) -> bool {
        self.name() == "gaussian"
    }
}

/// `F(eta) = c sum_i w_i f(eta_i, y_i)` with weights of mean 1. With several linear predictors `eta` has those of all
/// observations for the first, then those for the second, and so on.
#[derive(Clone, Copy)]
pub struct Datafit<'a> {
    loss: Loss<'a>,
    y: &'a [f64],
    weights: Option<&'a [f64]>,
    scale: LossScale,
}

impl std::fmt::Debug for Datafit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Datafit({}, n = {})", self.loss.name(), self.y.len())
    }
}

impl<'a> Datafit<'a> {
    /// The datafit of a response.
    ///
    /// # Errors
    /// [`Error::InvalidEntry`] for a response that is not finite or that the family does not know; [`Error::Length`] if there
    /// is none; [`Error::InvalidNumber`] for fewer than two classes.
    pub fn new(loss: impl Into<Loss<'a>>, y: &'a [f64], scale: LossScale) -> Result<Self> {
        let loss = loss.into();
        if y.is_empty() {
            return Err(Error::Length { name: "response", expected: 1, got: 0 });
        }
        entries("response", "finite", y, f64::is_finite)?;
        match loss {
            Loss::Of(family) => entries("response", family.range(), y, |y| family.knows(y))?,
            Loss::Multinomial { n_classes } => {
                let holds = 2 <= n_classes;
                crate::error::number("number of classes", "at least 2", holds, n_classes as f64)?;
                let knows = |y: f64| 0.0 <= y && y < n_classes as f64 && y == y.trunc();
                entries("response", "a class, counted from 0", y, knows)?;
            }
        }
        Ok(Datafit { loss, y, weights: None, scale })
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

    /// The loss of one observation.
    #[must_use]
    pub fn loss(&self) -> Loss<'a> {
        self.loss
    }

    /// Number of linear predictors.
    #[must_use]
    pub fn n_predictors(&self) -> usize {
        self.loss.n_predictors()
    }

    /// Number of entries of `eta`.
    #[must_use]
    pub fn n_etas(&self) -> usize {
        self.n_predictors() * self.y.len()
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
        let sum: f64 = match self.loss {
            Loss::Of(family) => {
                let losses = eta.iter().zip(self.y).enumerate();
                losses.map(|(i, (eta, y))| self.weight(i) * family.loss(*eta, *y)).sum()
            }
            Loss::Multinomial { .. } => {
                (0..self.y.len()).map(|i| self.weight(i) * self.class_loss(eta, i)).sum()
            }
        };
        self.factor() * sum
    }

    /// `out_i = c w_i (y_i - mu(eta_i))`: minus the derivative of `F` by `eta_i`.
    pub fn pull(&self, eta: &[f64], out: &mut [f64]) {
        let c = self.factor();
        let Loss::Of(family) = self.loss else { return self.class_pull(eta, out) };
        for (i, (out, eta)) in out.iter_mut().zip(eta).enumerate() {
            *out = c * self.weight(i) * (self.y[i] - family.mean(*eta));
        }
    }

    /// `out_i = c w_i f''(eta_i)`: the diagonal of the second derivative, which is all of it for one linear predictor.
    pub fn curvature(&self, eta: &[f64], out: &mut [f64]) {
        let c = self.factor();
        let Loss::Of(family) = self.loss else { return self.class_curvature(eta, out) };
        for (i, (out, eta)) in out.iter_mut().zip(eta).enumerate() {
            *out = c * self.weight(i) * family.curvature(*eta);
        }
    }

    /// The dual objective at `theta`, where `theta_i` stands for `y_i - mu_i`: `c sum_i w_i d(theta_i, y_i)`. Minus infinity
    /// outside the domain.
    #[must_use]
    pub fn dual(&self, theta: &[f64]) -> f64 {
        let sum: f64 = match self.loss {
            Loss::Of(family) => {
                let terms = theta.iter().zip(self.y).enumerate();
                terms.map(|(i, (theta, y))| self.weight(i) * family.dual(*theta, *y)).sum()
            }
            Loss::Multinomial { .. } => {
                (0..self.y.len()).map(|i| self.weight(i) * self.class_dual(theta, i)).sum()
            }
        };
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
        let least = self.dual(&vec![0.0; self.n_etas()]);
        2.0 * (value - least).max(0.0) / self.factor()
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
