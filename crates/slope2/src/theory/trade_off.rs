//! Which pairs of true and false positive rates are possible over all priors: the LASSO curve, the Donoho-Tanner limit and
//! the upper bound of SLOPE.

use super::normal::{density, upper_tail};
use super::root;
use crate::error::{Error, Result, number};

/// Where the LASSO stops: the Donoho-Tanner transition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DonohoTanner {
    /// `eps*`: the largest share of non-zero coefficients that the LASSO can recover without noise; 1 for `delta >= 1`.
    pub eps_star: f64,
    /// `u*`: the largest share of them that any LASSO selects.
    pub u_star: f64,
}

pub(super) fn check(delta: f64, eps: f64) -> Result<()> {
    number("delta", "positive and finite", delta.is_finite() && 0.0 < delta, delta)?;
    number("eps", "between 0 and 1, exclusive", 0.0 < eps && eps < 1.0, eps)
}

fn check_power(u: f64) -> Result<()> {
    number("true positive rate", "above 0 and at most 1", 0.0 < u && u <= 1.0, u)
}

/// The Donoho-Tanner transition for `delta` rows a column and a share `eps` of non-zero coefficients.
///
/// ```text
/// eps* = max_t (delta + 2 t phi(t) - 2 (1 + t^2) Phi(-t)) / (1 + t^2 - 2 (1 + t^2) Phi(-t) + 2 t phi(t))
/// u*   = 1 if delta >= 1 or eps <= eps*, else (eps - eps*) (delta - eps*) / (eps (1 - eps*)) + eps* / eps
/// ```
///
/// # Errors
/// [`Error::InvalidNumber`] unless `0 < delta` and `0 < eps < 1`.
///
/// # Source
/// arXiv 2105.13302, definitions of `eps*` and `u*_DT`.
///
/// # Examples
/// ```
/// let limit = slope2::theory::donoho_tanner(0.3, 0.2)?;
/// assert!((limit.eps_star - 0.0872353104740).abs() < 1e-12);
/// assert!((limit.u_star - 0.5676033287990).abs() < 1e-12);
/// # Ok::<(), slope2::Error>(())
/// ```
pub fn donoho_tanner(delta: f64, eps: f64) -> Result<DonohoTanner> {
    check(delta, eps)?;
    let eps_star = if 1.0 <= delta { 1.0 } else { transition(delta)? };
    let u_star = if 1.0 <= delta || eps <= eps_star {
        1.0
    } else {
        (eps - eps_star) * (delta - eps_star) / (eps * (1.0 - eps_star)) + eps_star / eps
    };
    Ok(DonohoTanner { eps_star, u_star })
}

/// `eps*` for `delta < 1`.
fn transition(delta: f64) -> Result<f64> {
    let ratio = |t: f64| {
        let common = 2.0 * t * density(t) - 2.0 * (1.0 + t * t) * upper_tail(t);
        (delta + common) / (1.0 + t * t + common)
    };
    let grid: Vec<f64> = (1..=GRID).map(|i| f64::from(i) * 10.0 / f64::from(GRID)).collect();
    let best = root::grid_valley(&grid, 1e-9, |t| -ratio(t));
    best.map(|(_, least)| -least).ok_or(Error::NoRoot { name: "eps*", low: 0.0, high: 10.0 })
}

/// Points of the grids over thresholds.
const GRID: i32 = 1000;

/// The largest share of selected signals for which noise of size one is a fixed point of the LASSO with threshold `t`:
/// one minus the solution for `1 - u` of the equation at [`lasso_threshold`].
fn reach(delta: f64, eps: f64, t: f64) -> f64 {
    let (tail, square) = (upper_tail(t), 1.0 + t * t);
    let inside = libm::erf(t * std::f64::consts::FRAC_1_SQRT_2);
    let top = 2.0 * (1.0 - eps) * (square * tail - t * density(t)) + eps * square - delta;
    let bottom = eps * (square * inside + 2.0 * t * density(t));
    1.0 - top * inside / bottom
}

/// `t*(u)`: the largest threshold, per unit of `tau`, at which some LASSO selects the share `u` of the signals; none beyond
/// the Donoho-Tanner limit. It is the largest root of
///
/// ```text
/// (2 (1 - eps) ((1 + t^2) Phi(-t) - t phi(t)) + eps (1 + t^2) - delta) / (eps ((1 + t^2) (1 - 2 Phi(-t)) + 2 t phi(t)))
///     = (1 - u) / (1 - 2 Phi(-t)).
/// ```
///
/// # Errors
/// [`Error::InvalidNumber`] unless `0 < delta`, `0 < eps < 1` and `0 < u <= 1`.
///
/// # Source
/// Su, Bogdan, Candes (arXiv 1511.01957), definition of `t*(u)`.
pub fn lasso_threshold(delta: f64, eps: f64, u: f64) -> Result<Option<f64>> {
    check_power(u)?;
    if donoho_tanner(delta, eps)?.u_star < u {
        return Ok(None);
    }
    // Far out the left side is that of t^2 alone, and u eps (1 + t^2) = delta.
    let high = (delta / (u * eps)).sqrt() + 10.0;
    let step = high / f64::from(2 * GRID);
    let excess = |t: f64| reach(delta, eps, t) - u;
    let (mut above, mut peak, mut top) = (high, high, f64::NEG_INFINITY);
    for i in (1..2 * GRID).rev() {
        let t = f64::from(i) * step;
        let here = excess(t);
        if 0.0 <= here {
            return root::bracketed("t*", t, above, 0.0, |t| Ok(excess(t))).map(Some);
        }
        if top < here {
            (peak, top) = (t, here);
        }
        above = t;
    }
    // Within a step of the limit, where two roots meet: look at the peak itself.
    let (t, least) = root::valley((peak - step).max(0.0), peak + step, 1e-9, |t| -excess(t));
    if least < 0.0 {
        return root::bracketed("t*", t, peak + step, 0.0, |t| Ok(excess(t))).map(Some);
    }
    if least < 1e-9 { Ok(Some(t)) } else { Err(Error::NoRoot { name: "t*", low: 0.0, high }) }
}

/// The false discovery proportion of a threshold that selects the share `u` of the signals.
pub(super) fn fdp_at(eps: f64, threshold: f64, u: f64) -> f64 {
    let null = 2.0 * (1.0 - eps) * upper_tail(threshold);
    null / (null + eps * u)
}

/// `q_L(u)`: the smallest false discovery proportion of any LASSO that selects the share `u` of the signals, over all
/// priors and noise levels; none beyond the Donoho-Tanner limit.
///
/// # Errors
/// As [`lasso_threshold`].
///
/// # Source
/// Su, Bogdan, Candes (arXiv 1511.01957), definition of `q*(u)`.
pub fn lasso_fdp(delta: f64, eps: f64, u: f64) -> Result<Option<f64>> {
    Ok(lasso_threshold(delta, eps, u)?.map(|t| fdp_at(eps, t, u)))
}

/// `q^*(u)`: an upper bound of the trade-off of SLOPE. The LASSO curve below `u*`, and from `u*` on an arc that two-level
/// penalties reach in the limit, up to `1 - eps` at `u = 1`.
///
/// At `u = 1` the value is `1 - eps` even where `u* = 1` and the LASSO curve ends lower: the published bound jumps there.
///
/// # Errors
/// As [`lasso_threshold`].
///
/// # Source
/// arXiv 2105.13302, the upper bound `q^*`.
pub fn slope_upper_fdp(delta: f64, eps: f64, u: f64) -> Result<f64> {
    check_power(u)?;
    let limit = donoho_tanner(delta, eps)?;
    if u < limit.u_star {
        let missing = Error::NoRoot { name: "t*", low: 0.0, high: f64::INFINITY };
        return lasso_fdp(delta, eps, u)?.ok_or(missing);
    }
    if 1.0 <= u {
        return Ok(1.0 - eps);
    }
    let star = limit.eps_star;
    let taken = star * (1.0 - eps);
    Ok((eps * u * (1.0 - eps) - taken) / (eps * u * (1.0 - star) - taken))
}
