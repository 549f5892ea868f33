//! Who's Harry Potter: a model that forgets at inference, by what training on the forget set would make likelier.

use crate::error::{Error, Result, all};

/// The logits of one position: those of the model, lowered where a model that was trained further on the forget set has higher
/// ones.
///
/// ```text
/// z = z_b - strength relu(z_r - z_b)
/// ```
///
/// No logit is raised; with `strength` 0 the result is `baseline`. A logit of negative infinity stays one. The published strength is 1.
/// Both models run for every token.
///
/// # Shapes
/// Both lists have one number for each token, so has the result.
///
/// # Errors
/// [`Error::Length`] if the lists differ in length, [`Error::OneOutOfRange`] if a logit is NaN or positive infinity,
/// [`Error::OutOfRange`] unless the strength is finite and at least 0.
///
/// # Source
/// arXiv 2310.02238, equation 1; code of muse_bench, `whp`.
///
/// # Examples
/// ```
/// // The second token is what the forget set teaches.
/// assert_eq!(unlearn::whp::logits(&[1.0, 2.0, 0.5], &[0.5, 5.0, 0.5], 1.0)?, [1.0, -1.0, 0.5]);
/// # Ok::<(), unlearn::Error>(())
/// ```
pub fn logits(baseline: &[f64], reinforced: &[f64], strength: f64) -> Result<Vec<f64>> {
    if baseline.len() != reinforced.len() {
        let (expected, got) = (baseline.len(), reinforced.len());
        return Err(Error::Length { name: "logits of the reinforced model", expected, got });
    }
    if !(0.0 <= strength && strength.is_finite()) {
        let must = "finite and at least 0";
        return Err(Error::OutOfRange { name: "strength", must, got: strength });
    }
    let below = |x: f64| x < f64::INFINITY;
    all("logit of the baseline", "less than infinite", baseline, below)?;
    all("logit of the reinforced model", "less than infinite", reinforced, below)?;
    let lowered = |(b, r): (&f64, &f64)| if b < r { lower(*b, r - b, strength) } else { *b };
    Ok(baseline.iter().zip(reinforced).map(lowered).collect())
}

/// `b - strength rise`, also where `b` is infinite and so is the rise.
fn lower(b: f64, rise: f64, strength: f64) -> f64 {
    if b.is_finite() { b - strength * rise } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_tokens_stay_impossible() {
        let low = f64::NEG_INFINITY;
        let baseline = [low, low, 1.0];
        for strength in [0.0, 1.0, 5.0] {
            assert_eq!(logits(&baseline, &[low, 2.0, low], strength).unwrap(), baseline);
        }
    }

    #[test]
    fn what_is_no_logit_is_refused() {
        assert!(matches!(logits(&[1.0], &[], 1.0), Err(Error::Length { expected: 1, got: 0, .. })));
        for bad in [f64::NAN, f64::INFINITY] {
            let error = logits(&[0.0, bad], &[0.0, 0.0], 1.0);
            assert!(matches!(error, Err(Error::OneOutOfRange { index: 1, .. })), "{bad}");
            assert!(logits(&[0.0], &[bad], 1.0).is_err(), "{bad}");
        }
        for bad in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(logits(&[0.0], &[0.0], bad), Err(Error::OutOfRange { .. })), "{bad}");
        }
    }
}
