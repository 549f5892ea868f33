//! Information criteria, with the number of distinct magnitudes for degrees of freedom.

use crate::error::{Error, Result, number};
use crate::path::{Path, PathPoint};
use crate::problem::Problem;

/// What a fit costs for its size. Less is better.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Criterion {
    /// Akaike: 2 for each degree of freedom.
    Aic,
    /// Schwarz: `log n` for each.
    Bic,
    /// Extended: `log n` for each and `2 gamma log (p choose s)` for the `s` features that are not zero.
    Ebic {
        /// 0 (as [`Criterion::Bic`]) to 1.
        gamma: f64,
    },
    /// Generalized cross-validation `(deviance / n) / (1 - df / n)^2`; infinite without residual degrees of freedom.
    Gcv,
}

/// What criteria know about a fit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fitness {
    /// The deviance: for Gaussian responses the residual sum of squares.
    pub deviance: f64,
    /// Number of observations.
    pub n: usize,
    /// Number of features.
    pub p: usize,
    /// Number of features that are not zero.
    pub n_nonzero: usize,
    /// Degrees of freedom: distinct non-zero magnitudes, and 1 for an intercept.
    pub df: usize,
    /// Variance of the noise. For Gaussian responses it may be unknown, and is then profiled out; 1 for other families.
    pub variance: Option<f64>,
}

impl Criterion {
    /// The criterion: minus twice the log-likelihood, up to what is equal for all fits of one response, and the costs.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] for a variance that is not positive, or a gamma that is not between 0 and 1;
    /// [`Error::Length`] for no observations.
    ///
    /// # Source
    /// Akaike 1974; Schwarz 1978; Chen and Chen 2008; Craven and Wahba 1979.
    pub fn of(self, fit: &Fitness) -> Result<f64> {
        if fit.n == 0 {
            return Err(Error::Length { name: "observations", expected: 1, got: 0 });
        }
        let (n, df) = (fit.n as f64, fit.df as f64);
        let misfit = match fit.variance {
            Some(variance) => {
                let holds = variance.is_finite() && 0.0 < variance;
                number("variance of the noise", "finite and positive", holds, variance)?;
                fit.deviance / variance
            }
            None => n * (fit.deviance / n).ln(),
        };
        Ok(match self {
            Criterion::Aic => misfit + 2.0 * df,
            Criterion::Bic => misfit + n.ln() * df,
            Criterion::Ebic { gamma } => {
                number("gamma", "between 0 and 1", (0.0..=1.0).contains(&gamma), gamma)?;
                let s = fit.n_nonzero.min(fit.p);
                misfit + n.ln() * df + 2.0 * gamma * log_choose(fit.p, s)
            }
            Criterion::Gcv if fit.n <= fit.df => f64::INFINITY,
            Criterion::Gcv => fit.deviance / n / (1.0 - df / n).powi(2),
        })
    }
}

/// The criterion of each point of a path.
#[derive(Clone, Debug, PartialEq)]
pub struct Chosen {
    /// The values.
    pub values: Vec<f64>,
    /// The point with the least; the first of equal ones.
    pub best: usize,
}

impl Criterion {
    /// The criterion along a path of `problem`. For Gaussian responses without a known `variance` it is that of the weakest
    /// penalty, its deviance over its residual degrees of freedom; without such, it is profiled out.
    ///
    /// # Errors
    /// As [`Criterion::of`]; [`Error::Length`] for a path without points.
    pub fn along<P>(
        self,
        path: &Path,
        problem: &Problem<'_, P>,
        variance: Option<f64>,
    ) -> Result<Chosen> {
        let (n, p) = (problem.design.n_rows(), problem.design.n_cols());
        let df = |point: &PathPoint| {
            let n_intercepts = problem.datafit.n_predictors() * usize::from(problem.intercept);
            point.n_clusters + n_intercepts
        };
        let gaussian = problem.datafit.loss().is_quadratic();
        let of_weakest = path.points.last().filter(|point| df(point) < n && 0.0 < point.deviance);
        let of_weakest = of_weakest.map(|point| point.deviance / (n - df(point)) as f64);
        let variance = if gaussian { variance.or(of_weakest) } else { Some(1.0) };
        let value = |point: &PathPoint| {
            let n_nonzero = point.solution.coefficients.iter().filter(|b| **b != 0.0).count();
            let (deviance, df) = (point.deviance, df(point));
            self.of(&Fitness { deviance, n, p, n_nonzero, df, variance })
        };
        let values: Vec<f64> = path.points.iter().map(value).collect::<Result<_>>()?;
        let least = (0..values.len()).min_by(|a, b| values[*a].total_cmp(&values[*b]));
        match least {
            Some(best) => Ok(Chosen { values, best }),
            None => Err(Error::Length { name: "points of the path", expected: 1, got: 0 }),
        }
    }
}

/// `log (p choose s)`.
fn log_choose(p: usize, s: usize) -> f64 {
    let log_factorial = |m: usize| libm::lgamma(m as f64 + 1.0);
    log_factorial(p) - log_factorial(s) - log_factorial(p - s)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn criteria_are_their_formulas() {
        let fit =
            Fitness { deviance: 50.0, n: 25, p: 10, n_nonzero: 4, df: 3, variance: Some(2.0) };
        assert_eq!(Criterion::Aic.of(&fit).unwrap(), 25.0 + 6.0);
        assert!((Criterion::Bic.of(&fit).unwrap() - 25.0 - 3.0 * 25f64.ln()).abs() < 1e-12);
        let extended = Criterion::Ebic { gamma: 1.0 }.of(&fit).unwrap();
        let bic = Criterion::Bic.of(&fit).unwrap();
        assert!((extended - bic - 2.0 * 210f64.ln()).abs() < 1e-11, "10 choose 4 is 210");
        assert_eq!(Criterion::Ebic { gamma: 0.0 }.of(&fit).unwrap(), bic);
        assert!((Criterion::Gcv.of(&fit).unwrap() - 2.0 / 0.88 / 0.88).abs() < 1e-14);
        let unknown = Fitness { variance: None, ..fit };
        assert!((Criterion::Aic.of(&unknown).unwrap() - 25.0 * 2f64.ln() - 6.0).abs() < 1e-12);
        assert_eq!(Criterion::Gcv.of(&Fitness { df: 25, ..fit }).unwrap(), f64::INFINITY);
        assert!(Criterion::Aic.of(&Fitness { variance: Some(0.0), ..fit }).is_err());
        assert!(Criterion::Ebic { gamma: 2.0 }.of(&fit).is_err());
    }
}
