//! The area below the receiver operating characteristic.

use crate::error::{Error, Result, all};

/// Probability that a positive scores above a negative, equal scores counted half.
///
/// ```text
/// AUC = P(positive > negative) + P(positive = negative) / 2
/// ```
///
/// Counted in whole numbers, in `O(n log n)`. It is the rank formula `(R - n1 (n1 + 1) / 2) / (n1 n0)` with mid-ranks
/// for ties, `R` the sum of the ranks of the positives.
///
/// # Errors
/// [`Error::Empty`] if one list is empty, [`Error::OneOutOfRange`] if a score is NaN. Infinite scores are ranked.
pub fn auc(positive: &[f64], negative: &[f64]) -> Result<f64> {
    let positive = sorted("score of a positive", positive)?;
    let negative = sorted("score of a negative", negative)?;
    let (mut below, mut not_above) = (0, 0); // negatives below, and at most, the current positive
    let mut twice: u128 = 0;
    for score in &positive {
        while negative.get(below).is_some_and(|other| other < score) {
            below += 1;
        }
        while negative.get(not_above).is_some_and(|other| other <= score) {
            not_above += 1;
        }
        twice += below as u128 + not_above as u128;
    }
    Ok(twice as f64 / (2.0 * positive.len() as f64 * negative.len() as f64))
}

/// The values in order, none of them NaN.
pub(super) fn sorted(name: &'static str, values: &[f64]) -> Result<Vec<f64>> {
    if values.is_empty() {
        return Err(Error::Empty { what: name });
    }
    all(name, "a number", values, |value| !value.is_nan())?;
    let mut values: Vec<f64> = values.iter().map(|value| value + 0.0).collect(); // -0 is 0
    values.sort_by(f64::total_cmp);
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_counted() {
        assert_eq!(auc(&[1.0, 3.0], &[0.0, 2.0]).unwrap(), 0.75);
        assert_eq!(auc(&[1.0], &[1.0]).unwrap(), 0.5);
        assert_eq!(auc(&[0.0], &[-0.0]).unwrap(), 0.5);
        assert_eq!(auc(&[f64::INFINITY], &[f64::NEG_INFINITY, 1.0]).unwrap(), 1.0);
    }

    #[test]
    fn an_empty_side_and_nan_are_refused() {
        assert!(matches!(auc(&[], &[1.0]), Err(Error::Empty { .. })));
        assert!(matches!(auc(&[1.0], &[]), Err(Error::Empty { .. })));
        let error = auc(&[1.0, f64::NAN], &[1.0]).unwrap_err();
        assert!(matches!(error, Error::OneOutOfRange { index: 1, .. }), "{error}");
    }
}
