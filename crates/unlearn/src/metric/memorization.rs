//! How much of a text a model would write itself, from whether each of its tokens is the likeliest after the true tokens before it.
//!
//! Both numbers take one truth value for each labelled position of a text, in order: whether the label is the token that greedy
//! decoding takes there. No text is generated.

use super::mean;
use crate::error::{Error, Result};

/// Share of the tokens that are the likeliest: exact memorization.
///
/// # Errors
/// [`Error::Empty`] without tokens.
///
/// # Source
/// `exact_memorization` of OpenUnlearning; after arXiv 2205.10770, where it is a mean over a training set.
pub fn exact_memorization(likeliest: &[bool]) -> Result<f64> {
    let of = check(likeliest)?.iter().map(|right| f64::from(u8::from(*right)));
    mean::arithmetic(&of.collect::<Vec<f64>>())
}

/// Share of the text behind the shortest beginning from which on every token is the likeliest: extraction strength.
///
/// ```text
/// 1 - k / T,   k = min { j <= T - 1 : tokens j + 1, .., T are the likeliest }, or T - 1 if there is none
/// ```
///
/// So it is at least `1 / T`: a text of which no token is right scores as much as one whose last token is, as in the published
/// code.
///
/// # Errors
/// [`Error::Empty`] without tokens.
///
/// # Source
/// `extraction_strength` of OpenUnlearning, after arXiv 2012.07805.
///
/// # Examples
/// ```
/// use unlearn::metric::memorization::extraction_strength;
///
/// assert_eq!(extraction_strength(&[true, false, true, true])?, 0.5);
/// assert_eq!(extraction_strength(&[true, true, true, false])?, 0.25); // not 0
/// # Ok::<(), unlearn::Error>(())
/// ```
pub fn extraction_strength(likeliest: &[bool]) -> Result<f64> {
    let n_tokens = check(likeliest)?.len();
    let right = likeliest.iter().rev().take_while(|right| **right).count().max(1);
    Ok(right as f64 / n_tokens as f64)
}

fn check(likeliest: &[bool]) -> Result<&[bool]> {
    if likeliest.is_empty() {
        Err(Error::Empty { what: "tokens of a text" })
    } else {
        Ok(likeliest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The loop of the published code.
    fn published(likeliest: &[bool]) -> f64 {
        let n = likeliest.len();
        let mut k = 0;
        for start in 0..n {
            k = start;
            if likeliest[start..].iter().all(|right| *right) {
                break;
            }
        }
        1.0 - k as f64 / n as f64
    }

    #[test]
    fn every_short_text_scores_as_in_the_published_loop() {
        for n in 1..=10 {
            for bits in 0..1_u32 << n {
                let text: Vec<bool> = (0..n).map(|i| bits >> i & 1 == 1).collect();
                let got = extraction_strength(&text).unwrap();
                assert!((got - published(&text)).abs() < 1e-15, "{text:?}: {got}");
                let want = f64::from(bits.count_ones()) / f64::from(n);
                assert_eq!(exact_memorization(&text).unwrap(), want);
            }
        }
    }

    #[test]
    fn a_wholly_wrong_text_is_not_zero() {
        assert_eq!(extraction_strength(&[false; 8]).unwrap(), 0.125);
        assert_eq!(exact_memorization(&[false; 8]).unwrap(), 0.0);
        assert_eq!(extraction_strength(&[true; 8]).unwrap(), 1.0);
        assert!(matches!(extraction_strength(&[]), Err(Error::Empty { .. })));
        assert!(matches!(exact_memorization(&[]), Err(Error::Empty { .. })));
    }
}
