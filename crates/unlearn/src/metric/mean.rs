//! Arithmetic and harmonic means.

use crate::error::{Error, Result, all, all_finite};

/// The mean of finite numbers.
///
/// # Errors
/// [`Error::Empty`] without numbers, [`Error::OneOutOfRange`] if one is not finite.
pub fn arithmetic(values: &[f64]) -> Result<f64> {
    if values.is_empty() {
        return Err(Error::Empty { what: "values of a mean" });
    }
    all_finite("value of a mean", values)?;
    Ok(values.iter().sum::<f64>() / values.len() as f64)
}

/// The harmonic mean of finite numbers that are not negative: 0 if one of them is 0.
///
/// ```text
/// n / sum_i 1 / x_i
/// ```
///
/// Scaled by the least number, so that it does not overflow: never above the least number times `n`.
///
/// # Errors
/// [`Error::Empty`] without numbers, [`Error::OneOutOfRange`] if one is negative or not finite.
pub fn harmonic(values: &[f64]) -> Result<f64> {
    if values.is_empty() {
        return Err(Error::Empty { what: "values of a mean" });
    }
    let holds = |x: f64| 0.0 <= x && x.is_finite();
    all("value of a harmonic mean", "finite and at least 0", values, holds)?;
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    if least <= 0.0 {
        return Ok(0.0);
    }
    let n = values.len() as f64;
    Ok(n / values.iter().map(|x| least / x).sum::<f64>() * least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_of_bad_numbers_are_refused() {
        assert!(matches!(arithmetic(&[]), Err(Error::Empty { .. })));
        assert!(matches!(harmonic(&[]), Err(Error::Empty { .. })));
        for bad in [f64::NAN, f64::INFINITY, -0.1] {
            let error = harmonic(&[0.0, bad]).unwrap_err();
            assert!(matches!(error, Error::OneOutOfRange { index: 1, .. }), "{error}");
        }
        assert!(arithmetic(&[1.0, f64::NAN]).is_err());
    }

    #[test]
    fn the_least_numbers_do_not_overflow() {
        assert_eq!(harmonic(&[5e-324, 5e-324]).unwrap(), 5e-324);
        assert_eq!(harmonic(&[1e308; 4]).unwrap(), 1e308);
    }
}
