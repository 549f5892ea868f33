//! Information criteria, with the number of distinct magnitudes for degrees of freedom.

use crate::error::{Error, Result, number};
use crate::path::{Path, PathPoint};
use crate::pattern::n_clusters;
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
    /// Generalized cross-validation `(deviance / n) / (1 - df / n)^2`; infinite without residual degrees of freedom. It needs no
    /// variance, but where columns outnumber rows it may keep many that only follow the noise.
    Gcv,
}

/// What criteria know about a fit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fitness {
    /// The deviance: for Gaussian responses the residual sum of squares.
    pub deviance: f64,
    /// Number of observations.
    pub n: usize,
    /// Number of features; for several linear predictors that of coefficients.
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

/// The criterion of each of several fits.
#[derive(Clone, Debug, PartialEq)]
pub struct Chosen {
    /// The values; infinite for fits that were left out.
    pub values: Vec<f64>,
    /// The fit with the least; the first of equal ones.
    pub best: usize,
    /// The variance of the noise that they were compared with: 1 for families without one, none where it is profiled out.
    pub variance: Option<f64>,
    /// The most degrees of freedom of a fit that was compared.
    pub most_df: usize,
}

impl Chosen {
    /// How many fits were left out.
    #[must_use]
    pub fn n_left_out(&self) -> usize {
        self.values.iter().filter(|value| **value == f64::INFINITY).count()
    }
}

impl Criterion {
    /// The criterion of several fits of one response to the same columns. Their own variances are not looked at.
    ///
    /// With as many features as observations or more, fits with more than `n / 2` degrees of freedom are left out, since they
    /// follow the noise: their values are infinite. The smallest fit always stays. [`Criterion::Gcv`] also leaves out fits
    /// without residual degrees of freedom.
    ///
    /// A variance that is not known is the deviance over the residual degrees of freedom of one fit. With fewer features than
    /// observations it is the largest fit that leaves a quarter of the observations for it. Else every large fit has followed
    /// the noise too, and it is the fit of at most `n / 2` degrees of freedom that [`Criterion::Bic`] chooses with the variance
    /// of the smallest, then with that of the chosen one, and so on while it falls; signals of many small parts stay in this
    /// variance. Where no such fit has a deviance, the variance is profiled out.
    ///
    /// # Errors
    /// As [`Criterion::of`]; [`Error::Length`] for no fits.
    pub fn among(self, fits: &[Fitness], noise: Noise) -> Result<Chosen> {
        let none = Error::Length { name: "fits", expected: 1, got: 0 };
        let smallest = fits.iter().min_by_key(|fit| fit.df).ok_or(none)?;
        let (n, is_wide) = (smallest.n, smallest.n <= smallest.p);
        let most = if is_wide { n / 2 } else { n - n.div_ceil(4) }.max(smallest.df);
        let most_df = if is_wide { most } else { usize::MAX };
        let variance = match noise {
            Noise::Known(variance) => Some(variance),
            Noise::Unknown => {
                let says = |fit: &&Fitness| fit.df <= most && fit.df < n && 0.0 < fit.deviance;
                let some: Vec<&Fitness> = fits.iter().filter(says).collect();
                if is_wide { in_rounds(&some)? } else { of_largest(&some) }
            }
        };
        let value = |fit: &Fitness| {
            let value = self.of(&Fitness { variance, ..*fit })?;
            Ok(if most_df < fit.df { f64::INFINITY } else { value })
        };
        let values: Vec<f64> = fits.iter().map(value).collect::<Result<_>>()?;
        let best = (0..values.len()).min_by(|a, b| values[*a].total_cmp(&values[*b])).unwrap_or(0);
        let saturated = usize::from(self == Criterion::Gcv);
        Ok(Chosen { values, best, variance, most_df: most_df.min(n - saturated) })
    }

    /// The criterion along a path of `problem`, as [`Criterion::among`]; the variance may be given for Gaussian responses.
    ///
    /// # Errors
    /// As [`Criterion::among`].
    pub fn along<P>(
        self,
        path: &Path,
        problem: &Problem<'_, P>,
        variance: Option<f64>,
    ) -> Result<Chosen> {
        let fitness =
            |point: &PathPoint| Fitness::of(problem, &point.solution.coefficients, point.deviance);
        let fits: Vec<Fitness> = path.points.iter().map(fitness).collect();
        let noise = match variance {
            Some(variance) if problem.datafit.loss().is_quadratic() => Noise::Known(variance),
            _ => Noise::of(problem),
        };
        self.among(&fits, noise)
    }
}

/// What is known about the variance of the noise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Noise {
    /// The variance.
    Known(f64),
    /// It is estimated from the fits.
    Unknown,
}

impl Noise {
    /// Unknown for Gaussian responses, 1 for others.
    #[must_use]
    pub fn of<P>(problem: &Problem<'_, P>) -> Self {
        if problem.datafit.loss().is_quadratic() { Noise::Unknown } else { Noise::Known(1.0) }
    }
}

impl Fitness {
    /// What criteria know about these coefficients, on the columns as they were fitted. The variance is unknown for Gaussian
    /// responses.
    #[must_use]
    pub fn of<P>(problem: &Problem<'_, P>, coefficients: &[f64], deviance: f64) -> Self {
        let datafit = &problem.datafit;
        let n_intercepts = datafit.n_predictors() * usize::from(problem.intercept);
        Fitness {
            deviance,
            n: datafit.y().len(),
            p: problem.design.n_cols(),
            n_nonzero: coefficients.iter().filter(|b| **b != 0.0).count(),
            df: n_clusters(coefficients) + n_intercepts,
            variance: if datafit.loss().is_quadratic() { None } else { Some(1.0) },
        }
    }

    /// The deviance over the residual degrees of freedom.
    fn residual_variance(&self) -> f64 {
        self.deviance / (self.n - self.df) as f64
    }
}

/// The residual variance of the fit with most degrees of freedom; the one with the least deviance of equal ones.
fn of_largest(fits: &[&Fitness]) -> Option<f64> {
    let order =
        |a: &&&Fitness, b: &&&Fitness| a.df.cmp(&b.df).then(b.deviance.total_cmp(&a.deviance));
    fits.iter().max_by(order).map(|fit| fit.residual_variance())
}

/// The residual variance of the fit that Schwarz' criterion chooses with it, from the smallest fit down.
fn in_rounds(fits: &[&Fitness]) -> Result<Option<f64>> {
    let Some(smallest) = fits.iter().min_by_key(|fit| fit.df) else { return Ok(None) };
    let mut variance = smallest.residual_variance();
    loop {
        let with = |fit: &&Fitness| {
            let value = Criterion::Bic.of(&Fitness { variance: Some(variance), ..**fit })?;
            Ok((value, fit.residual_variance()))
        };
        let values: Vec<(f64, f64)> = fits.iter().map(with).collect::<Result<_>>()?;
        let least = values.iter().min_by(|a, b| a.0.total_cmp(&b.0));
        // It falls from round to round through the variances of finitely many fits.
        match least {
            Some((_, next)) if *next < variance => variance = *next,
            _ => return Ok(Some(variance)),
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

    #[test]
    fn a_fit_with_few_residual_degrees_of_freedom_says_nothing_about_the_noise() {
        let fit = |df, deviance, p| {
            let (n, n_nonzero, variance) = (20, df - 1, None);
            Fitness { deviance, n, p, n_nonzero, df, variance }
        };
        let fits = |p| [fit(1, 19.0, p), fit(3, 17.0, p), fit(10, 9.0, p), fit(19, 0.1, p)];
        let wide = Criterion::Bic.among(&fits(40), Noise::Unknown).unwrap();
        assert_eq!((wide.best, wide.variance, wide.most_df), (0, Some(1.0), 10));
        assert_eq!((wide.values[3], wide.n_left_out()), (f64::INFINITY, 1));
        let gcv = Criterion::Gcv.among(&fits(40), Noise::Unknown).unwrap();
        assert_eq!(gcv.values[3], f64::INFINITY);
        let tall = Criterion::Bic.among(&fits(18), Noise::Unknown).unwrap();
        assert_eq!((tall.best, tall.n_left_out(), tall.variance), (0, 0, Some(0.9)));
        // One fit alone, or a response that is explained, stays.
        let one = Criterion::Bic.among(&fits(40)[3..], Noise::Unknown).unwrap();
        assert_eq!((one.best, one.n_left_out()), (0, 0));
        assert!(Criterion::Bic.among(&[], Noise::Unknown).is_err());
    }
}
