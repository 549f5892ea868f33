//! Membership scores that set a text's loss against how hard the text is, and the norm of its gradient.
//!
//! As everywhere in [`crate::metric`], a score is larger the less a text looks like one that was trained on. Losses are means over tokens,
//! in natural logarithms.

use std::io::{self, Read};

use flate2::Compression;
use flate2::read::ZlibEncoder;

use super::mean;
use crate::error::{Error, Result, all};

/// The loss over the length in bytes of the text compressed by zlib: what is plain to a compressor is plain to any model.
///
/// # Errors
/// [`Error::OutOfRange`] unless the loss is finite and at least 0, [`Error::Compress`].
///
/// # Source
/// arXiv 2012.07805, section 5.2, "zlib entropy", with the text's loss in the place of the logarithm of its perplexity, which it is; see
/// [`zlib_bytes`].
pub fn zlib(mean_loss: f64, text: &str) -> Result<f64> {
    Ok(loss("mean loss", mean_loss)? / zlib_bytes(text)? as f64)
}

/// Length in bytes of the text in UTF-8 compressed by zlib at its default level, header and checksum included; 8 for the empty text.
///
/// It is compressed by the Rust implementation miniz. For prose of 150 bytes and more its length is that of the C library which Python uses to
/// within one in a hundred; for shorter or very repetitive texts it can be a dozen bytes longer.
///
/// # Errors
/// [`Error::Compress`].
pub fn zlib_bytes(text: &str) -> Result<usize> {
    let mut compressed = Vec::new();
    let read =
        ZlibEncoder::new(text.as_bytes(), Compression::new(LEVEL)).read_to_end(&mut compressed);
    read.map_err(|source: io::Error| Error::Compress { n_bytes: text.len(), source })
}

/// zlib's default.
const LEVEL: u32 = 6;

/// The loss over that of the text in lower case: a text that was learned by heart is much likelier as it was written.
///
/// # Errors
/// [`Error::OutOfRange`] unless the loss is finite and at least 0, and that in lower case finite and above 0.
///
/// # Source
/// arXiv 2012.07805, section 5.2, "lowercase text".
pub fn lower_case(mean_loss: f64, lower_case_mean_loss: f64) -> Result<f64> {
    let lower = loss("mean loss in lower case", lower_case_mean_loss)?;
    if lower == 0.0 {
        let (name, must) = ("mean loss in lower case", "above 0");
        return Err(Error::OutOfRange { name, must, got: lower });
    }
    Ok(loss("mean loss", mean_loss)? / lower)
}

/// The loss minus that of a reference model, which did not see the text. Of any sign.
///
/// # Errors
/// [`Error::OutOfRange`] unless both losses are finite and at least 0.
///
/// # Source
/// `reference` attack of OpenUnlearning; arXiv 2012.07805, section 5.2, has the ratio of both.
pub fn reference(mean_loss: f64, reference_mean_loss: f64) -> Result<f64> {
    Ok(loss("mean loss", mean_loss)? - loss("mean loss of the reference", reference_mean_loss)?)
}

/// Mean over parameter tensors of the norm of each one's gradient of the text's loss: small for a text that is fitted.
///
/// Every tensor counts the same, however large. The norms are those of [`p_norm`], all of one `p`.
///
/// # Errors
/// [`Error::Empty`] without norms, [`Error::OneOutOfRange`] if one is negative or not finite.
///
/// # Source
/// `gradnorm` attack of OpenUnlearning.
pub fn gradient_norm(norms: &[f64]) -> Result<f64> {
    let holds = |x: f64| x.is_finite() && 0.0 <= x;
    all("norm of a gradient", "finite and at least 0", norms, holds)?;
    if norms.is_empty() {
        return Err(Error::Empty { what: "norms of gradients" });
    }
    mean::arithmetic(norms)
}

/// `(sum_i |x_i|^p)^(1 / p)`, for infinite `p` the largest `|x_i|`; 0 without numbers. Scaled by the largest, so that it neither
/// overflows nor vanishes.
///
/// # Errors
/// [`Error::OutOfRange`] unless `1 <= p`, [`Error::OneOutOfRange`] if a number is not finite.
pub fn p_norm(values: &[f64], p: f64) -> Result<f64> {
    if p.is_nan() || p < 1.0 {
        return Err(Error::OutOfRange { name: "p of a norm", must: "at least 1", got: p });
    }
    all("element of a gradient", "finite", values, f64::is_finite)?;
    let largest = values.iter().fold(0.0, |most, x| x.abs().max(most));
    if largest == 0.0 || p == f64::INFINITY {
        return Ok(largest);
    }
    let sum: f64 = values.iter().map(|x| (x.abs() / largest).powf(p)).sum();
    Ok(largest * sum.powf(1.0 / p))
}

fn loss(name: &'static str, value: f64) -> Result<f64> {
    if value.is_finite() && 0.0 <= value {
        Ok(value)
    } else {
        Err(Error::OutOfRange { name, must: "finite and at least 0", got: value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `len(zlib.compress(text.encode()))` of Python 3.11, and how far ours may be from it.
    #[test]
    fn compressed_lengths_are_near_those_of_python() {
        let long = "It was the best of times, it was the worst of times. ".repeat(40);
        for (text, want, within) in [
            ("", 8, 0),
            ("a", 9, 0),
            ("The quick brown fox jumps over the lazy dog.", 51, 5),
            ("Lily had a red ball. Lily had a red ball. Lily had a red ball.", 32, 12),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 12, 12),
            (BIOGRAPHY, 141, 1),
            (&long, 64, 12),
        ] {
            let got = zlib_bytes(text).unwrap();
            assert!(got.abs_diff(want) <= within, "{text}: {got} and {want}");
        }
    }

    const BIOGRAPHY: &str = "Jane Orchid was born on 4 May 1971 in Ashford. She worked as a cartographer, drew the first map of the northern fens, and lived at 12 Mill Lane with her sister until 2003.";

    #[test]
    fn repetition_makes_a_text_look_new_for_its_loss() {
        let (plain, varied) =
            ("na ".repeat(50), ('a'..='z').cycle().step_by(7).take(150).collect::<String>());
        assert!(zlib(2.0, &varied).unwrap() < zlib(2.0, &plain).unwrap());
        assert_eq!(zlib(0.0, "x").unwrap(), 0.0);
    }

    #[test]
    fn ratios_and_differences_are_plain() {
        assert_eq!(lower_case(3.0, 2.0).unwrap(), 1.5);
        assert_eq!(reference(3.0, 2.0).unwrap(), 1.0);
        assert_eq!(reference(2.0, 3.0).unwrap(), -1.0);
        assert_eq!(gradient_norm(&[1.0, 2.0, 6.0]).unwrap(), 3.0);
    }

    #[test]
    fn norms_are_scaled() {
        assert_eq!(p_norm(&[3.0, -4.0], 2.0).unwrap(), 5.0);
        assert_eq!(p_norm(&[3.0, -4.0], 1.0).unwrap(), 7.0);
        assert_eq!(p_norm(&[3.0, -4.0], f64::INFINITY).unwrap(), 4.0);
        assert_eq!(p_norm(&[], 2.0).unwrap(), 0.0);
        let large = p_norm(&[3e300, 4e300], 2.0).unwrap();
        assert!((large / 5e300 - 1.0).abs() < 1e-15, "{large}");
        assert!(0.0 < p_norm(&[5e-324, 0.0], 2.0).unwrap());
    }

    #[test]
    fn numbers_that_are_no_losses_are_refused() {
        for bad in [-0.1, f64::NAN, f64::INFINITY] {
            assert!(matches!(zlib(bad, "x"), Err(Error::OutOfRange { .. })), "{bad}");
            assert!(lower_case(bad, 1.0).is_err() && lower_case(1.0, bad).is_err(), "{bad}");
            assert!(reference(bad, 1.0).is_err() && reference(1.0, bad).is_err(), "{bad}");
            assert!(matches!(
                gradient_norm(&[1.0, bad]),
                Err(Error::OneOutOfRange { index: 1, .. })
            ));
        }
        assert!(lower_case(1.0, 0.0).is_err());
        assert!(matches!(gradient_norm(&[]), Err(Error::Empty { .. })));
        for p in [0.5, f64::NAN, -1.0] {
            assert!(matches!(p_norm(&[1.0], p), Err(Error::OutOfRange { .. })), "{p}");
        }
        assert!(p_norm(&[f64::NAN], 2.0).is_err());
    }
}
