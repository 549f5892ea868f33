//! From penalties to thresholds per unit of `tau`, and back.

use super::root;
use super::state_evolution::{FixedPoint, Levels, Setting, state_evolution};
use crate::error::{Error, Result, number};

/// The penalties whose limit has thresholds `alpha` per unit of `tau`: `lambda = alpha tau (1 - K_inf / delta)`.
///
/// # Errors
/// As [`state_evolution`]; [`Error::NoPenalty`] if the fit at these thresholds would have no residual.
///
/// # Source
/// arXiv 1907.07502, the calibration between `lambda` and `alpha`.
pub fn lambda_for_alpha(setting: &Setting, alpha: &Levels) -> Result<Levels> {
    let point = state_evolution(setting, alpha)?;
    if point.divergence < setting.delta() {
        Ok(point.lambda)
    } else {
        Err(Error::NoPenalty { divergence: point.divergence, delta: setting.delta() })
    }
}

/// The fixed point whose penalties are `lambda`. Ratio of levels and share are the same for `lambda` and `alpha`, so one
/// number is searched: the factor between them.
///
/// # Errors
/// [`Error::InvalidNumber`] unless the upper penalty is positive; [`Error::NoRoot`] if the factor is out of all range, as for
/// penalties far below rounding with more rows than columns.
///
/// # Source
/// arXiv 1907.07502, where the map from the factor to the penalty is shown to be increasing.
pub fn alpha_for_lambda(setting: &Setting, lambda: &Levels) -> Result<FixedPoint> {
    number("upper penalty", "positive", 0.0 < lambda.upper, lambda.upper)?;
    let shape = lambda.scaled(1.0 / lambda.upper)?;
    // Logarithm of the penalty reached over the one wanted; -inf where thresholds are too low for any penalty.
    let excess = |log_factor: f64| -> Result<f64> {
        match state_evolution(setting, &shape.scaled(log_factor.exp())?) {
            Ok(point) if 0.0 < point.lambda.upper => Ok((point.lambda.upper / lambda.upper).ln()),
            Ok(_) | Err(Error::NoFixedPoint { .. } | Error::ExactRecovery) => Ok(f64::NEG_INFINITY),
            Err(error) => Err(error),
        }
    };
    let (mut low, mut high) = (-1.0, 1.0);
    while 0.0 < excess(low)? {
        low -= 2.0;
        if low < -RANGE {
            // Least squares with more rows than columns: thresholds that are zero for all that matters.
            return Err(Error::NoRoot { name: "factor of the thresholds", low, high });
        }
    }
    while excess(high)? < 0.0 {
        high += 1.0;
        if RANGE < high {
            return Err(Error::NoRoot { name: "factor of the thresholds", low, high });
        }
    }
    let root = root::bracketed("factor of the thresholds", low, high, 1e-16, excess)?;
    state_evolution(setting, &shape.scaled(root.exp())?)
}

/// Logarithm of the largest factor looked at.
const RANGE: f64 = 100.0;
