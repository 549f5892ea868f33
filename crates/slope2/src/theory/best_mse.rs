//! The smallest mean squared error of the LASSO and of two levels at a known prior.

use super::root;
use super::simplex::Simplex;
use super::state_evolution::{FixedPoint, Levels, Setting, state_evolution};
use crate::error::{Error, Result};

/// The fixed point of the LASSO with the smallest error, over its one threshold.
///
/// # Errors
/// [`Error::NoRoot`] if no threshold up to 20 has a fixed point with a positive penalty, as where there is no noise and
/// recovery is exact.
///
/// # Source
/// Derived: one-dimensional search over the fixed points of [`state_evolution`].
pub fn best_lasso_mse(setting: &Setting) -> Result<FixedPoint> {
    let at = |log_alpha: f64| Levels::lasso(log_alpha.exp());
    let value = |log_alpha: f64| mse(setting, at(log_alpha));
    let grid: Vec<f64> = (0..=60).map(|i| -3.0 + 0.1 * f64::from(i)).collect();
    let missing = Error::NoRoot { name: "threshold of the LASSO", low: 0.05, high: 20.0 };
    let (log_alpha, _) = root::grid_valley(&grid, 1e-7, value).ok_or(missing)?;
    state_evolution(setting, &at(log_alpha)?)
}

/// The fixed point of two levels with the smallest error found, over both thresholds and the share: never above that of
/// [`best_lasso_mse`], which is among the starts.
///
/// The search is local, from several starts; the result is a fixed point of the setting, so its error can be had.
///
/// # Errors
/// As [`best_lasso_mse`].
///
/// # Source
/// Derived: search over the fixed points of [`state_evolution`].
pub fn best_two_level_mse(setting: &Setting) -> Result<FixedPoint> {
    let lasso = best_lasso_mse(setting)?;
    // Coordinates: logarithm of the upper threshold, ratio of the lower one, logarithm of the share.
    let at = |x: &[f64; 3]| {
        Levels::new(x[0].exp(), x[0].exp() * x[1].clamp(0.0, 1.0), x[2].exp().min(1.0))
    };
    let value = |x: &[f64; 3]| mse(setting, at(x));
    let upper = lasso.alpha.upper.ln();
    let mut starts = Vec::new();
    for ratio in [0.25, 0.5, 0.75] {
        for share in [0.03f64, 0.1, 0.25, 0.4] {
            for raised in [0.0, 0.15] {
                let x = [upper + raised, ratio, share.ln()];
                starts.push((value(&x), x));
            }
        }
    }
    starts.sort_by(|a, b| a.0.total_cmp(&b.0));
    let search =
        Simplex { max_values: 400, tolerance: 1e-9 * lasso.mse, good_enough: f64::NEG_INFINITY };
    let mut best = lasso;
    for (_, start) in starts.into_iter().take(STARTS) {
        let (x, least) = search.minimize(start, [0.05, 0.1, 0.2], value);
        if least < best.mse {
            best = state_evolution(setting, &at(&x)?)?;
        }
    }
    Ok(best)
}

/// Starts of the local search, of the best on a grid.
const STARTS: usize = 3;

/// The error of a fixed point that belongs to a penalty; infinite without one.
fn mse(setting: &Setting, alpha: Result<Levels>) -> f64 {
    match alpha.and_then(|alpha| state_evolution(setting, &alpha)) {
        Ok(point) if 0.0 <= point.lambda.upper => point.mse,
        _ => f64::INFINITY,
    }
}
