//! A root inside a bracket, and the minimum of a function of one number.
//!
//! Written here because the root-finding crates that carry few dependencies have seen no release for years, and because
//! functions below are `-inf` where no fixed point exists: the method must bisect there in place of failing.

use crate::error::{Error, Result};

/// A root of `f` between `low` and `high`, where `f` has different signs, up to `tolerance` and rounding. Infinite values
/// count by their sign.
///
/// # Errors
/// [`Error::NoRoot`] if the signs are equal or `f` is not a number somewhere it looked.
///
/// # Source
/// T. R. Chandrupatla, Advances in Engineering Software 28 (1997) 145-149: inverse quadratic interpolation where it is
/// safe, bisection elsewhere.
pub(super) fn bracketed(
    name: &'static str,
    low: f64,
    high: f64,
    tolerance: f64,
    mut f: impl FnMut(f64) -> Result<f64>,
) -> Result<f64> {
    let (mut a, mut b) = (high, low);
    let (mut fa, mut fb) = (f(a)?, f(b)?);
    if fa == 0.0 {
        return Ok(a);
    }
    if fb == 0.0 {
        return Ok(b);
    }
    let failed = || Error::NoRoot { name, low, high };
    if fa.is_nan() || fb.is_nan() || (0.0 < fa) == (0.0 < fb) {
        return Err(failed());
    }
    let mut share = 0.5;
    for _ in 0..ROUNDS {
        let x = a + share * (b - a);
        let fx = f(x)?;
        if fx.is_nan() {
            return Err(failed());
        }
        let (c, fc);
        if (0.0 < fx) == (0.0 < fa) {
            (c, fc) = (a, fa);
        } else {
            (c, fc) = (b, fb);
            (b, fb) = (a, fa);
        }
        (a, fa) = (x, fx);
        let best = if fa.abs() < fb.abs() { a } else { b };
        let smallest = (tolerance + f64::EPSILON * best.abs()) / (b - a).abs();
        if fa == 0.0 || 0.5 < smallest || smallest.is_nan() {
            return Ok(best);
        }
        let xi = (a - b) / (c - b);
        let phi = (fa - fb) / (fc - fb);
        // False for values that are not numbers, so infinite ends are bisected.
        share = if 1.0 - (1.0 - xi).sqrt() < phi && phi < xi.sqrt() {
            fa / (fb - fa) * (fc / (fb - fc))
                + (c - a) / (b - a) * (fa / (fc - fa)) * (fb / (fc - fb))
        } else {
            0.5
        };
        share = share.clamp(smallest, 1.0 - smallest);
    }
    Ok(a)
}

/// More than bisection needs for any bracket of doubles it is given here.
const ROUNDS: usize = 300;

/// Where `f` is smallest between `low` and `high`, up to `tolerance`, and its value there; for a function with one valley.
/// Infinite values are allowed at the ends.
///
/// # Source
/// Golden-section search.
pub(super) fn valley(
    low: f64,
    high: f64,
    tolerance: f64,
    mut f: impl FnMut(f64) -> f64,
) -> (f64, f64) {
    const GOLDEN: f64 = 0.618_033_988_749_894_8;
    let (mut low, mut high) = (low, high);
    let mut left = high - GOLDEN * (high - low);
    let mut right = low + GOLDEN * (high - low);
    let (mut at_left, mut at_right) = (f(left), f(right));
    while tolerance < high - low {
        if at_left <= at_right {
            high = right;
            (right, at_right) = (left, at_left);
            left = high - GOLDEN * (high - low);
            at_left = f(left);
        } else {
            low = left;
            (left, at_left) = (right, at_right);
            right = low + GOLDEN * (high - low);
            at_right = f(right);
        }
        if left <= low || high <= right {
            break;
        }
    }
    if at_left <= at_right { (left, at_left) } else { (right, at_right) }
}

/// The smallest of `f` on a grid, refined inside the two neighboring cells: for a function whose valley may lie beside
/// stretches of infinite values.
pub(super) fn grid_valley(
    grid: &[f64],
    tolerance: f64,
    mut f: impl FnMut(f64) -> f64,
) -> Option<(f64, f64)> {
    let mut best = None;
    for (i, x) in grid.iter().enumerate() {
        let value = f(*x);
        if value.is_finite() && best.is_none_or(|(_, _, least)| value < least) {
            best = Some((i, *x, value));
        }
    }
    let (i, x, value) = best?;
    let low = grid[i.saturating_sub(1)];
    let high = grid[(i + 1).min(grid.len() - 1)];
    let (refined, least) = valley(low, high, tolerance, f);
    Some(if least < value { (refined, least) } else { (x, value) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_found_to_the_last_digits() {
        let root = bracketed("cosine", 1.0, 2.0, 1e-16, |x| Ok(x.cos())).unwrap();
        assert!((root - std::f64::consts::FRAC_PI_2).abs() < 1e-15);
        let root = bracketed("cube", -1.0, 4.0, 1e-16, |x| Ok((x - 1.0).powi(3))).unwrap();
        assert!((root - 1.0).abs() < 1e-5);
    }

    #[test]
    fn infinite_values_are_bisected() {
        let f = |x: f64| Ok(if x < 1.0 { f64::NEG_INFINITY } else { x - 1.25 });
        assert!((bracketed("step", 0.0, 10.0, 1e-15, f).unwrap() - 1.25).abs() < 1e-14);
    }

    #[test]
    fn equal_signs_are_refused() {
        assert!(bracketed("square", -1.0, 1.0, 1e-15, |x| Ok(1.0 + x * x)).is_err());
        assert!(bracketed("nothing", -1.0, 1.0, 1e-15, |_| Ok(f64::NAN)).is_err());
    }

    #[test]
    fn valleys_are_found_beside_infinite_values() {
        let f = |x: f64| if x < 0.5 { f64::INFINITY } else { (x - 1.3).powi(2) };
        let grid: Vec<f64> = (0..20).map(|i| 0.25 * f64::from(i)).collect();
        let (x, _) = grid_valley(&grid, 1e-9, f).unwrap();
        assert!((x - 1.3).abs() < 1e-7);
        assert!(grid_valley(&grid, 1e-9, |_| f64::INFINITY).is_none());
    }
}
