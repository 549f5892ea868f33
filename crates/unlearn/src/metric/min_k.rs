//! Membership inference by the least likely tokens of a text.

use super::mean;
use crate::error::{Error, Result, all, all_finite};

/// What is done with a share of the tokens that is less than one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// One token is taken at least, as OpenUnlearning does.
    AtLeastOne,
    /// An error, where the code of MUSE gives NaN.
    Down,
}

/// The mean negative log-probability of the least likely tokens: larger for a text that was not learned.
///
/// ```text
/// -mean of the floor(share T) least of log p_1, .., log p_T
/// ```
///
/// With `share = 1` the mean loss of the text.
///
/// # Errors
/// [`Error::Empty`] without tokens, [`Error::OneOutOfRange`] if one is positive or not finite, [`Error::OutOfRange`]
/// unless `0 < share <= 1`, [`Error::NoToken`] if the share rounds to no token.
///
/// # Source
/// arXiv 2310.16789, section 3, Min-K% Prob; the sign here is that of arXiv 2407.06460, larger for non-members.
pub fn min_k(log_probs: &[f64], share: f64, rounding: Rounding) -> Result<f64> {
    let holds = |x: f64| x.is_finite() && x <= 0.0;
    all("log-probability of a token", "finite and at most 0", log_probs, holds)?;
    least(log_probs, share, rounding)
}

fn least(scores: &[f64], share: f64, rounding: Rounding) -> Result<f64> {
    if scores.is_empty() {
        return Err(Error::Empty { what: "tokens of a text" });
    }
    if !(0.0 < share && share <= 1.0) {
        return Err(Error::OutOfRange { name: "share of tokens", must: "in (0, 1]", got: share });
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rounded down, and at most the length"
    )]
    let k = (scores.len() as f64 * share) as usize;
    let k = match rounding {
        Rounding::AtLeastOne => k.max(1),
        Rounding::Down if k == 0 => {
            return Err(Error::NoToken { share, n_tokens: scores.len() });
        }
        Rounding::Down => k,
    };
    let mut sorted = scores.to_vec();
    sorted.sort_by(f64::total_cmp);
    Ok(-mean::arithmetic(&sorted[..k])?)
}

/// The least variance by which a score is divided.
const LEAST_VARIANCE: f64 = 1e-6;

/// How far the log-probability of a token lies above its mean over the vocabulary, in standard deviations.
///
/// ```text
/// (log p_t - mu) / sqrt(var),   mu = sum_v p_v log p_v,   var = sum_v p_v (log p_v)^2 - mu^2, at least 1e-6
/// ```
///
/// `logits` are those of the position that predicts the token; `target` is its index. An infinitely negative logit has
/// probability 0 and counts nothing.
///
/// # Errors
/// [`Error::Empty`] without logits, [`Error::OutOfRange`] if there is no such target, [`Error::OneOutOfRange`] if a logit
/// is NaN or positive infinity, or that of the target is not finite.
pub fn standardized(logits: &[f64], target: usize) -> Result<f64> {
    if logits.is_empty() {
        return Err(Error::Empty { what: "logits of a token" });
    }
    all("logit", "less than infinite", logits, |x| x < f64::INFINITY)?;
    let Some(chosen) = logits.get(target) else {
        let must = "the index of a logit";
        return Err(Error::OutOfRange { name: "target", must, got: target as f64 });
    };
    if !chosen.is_finite() {
        let name = "logit of the target";
        return Err(Error::OneOutOfRange { name, index: target, must: "finite", got: *chosen });
    }
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let ln_sum = most + logits.iter().map(|x| (x - most).exp()).sum::<f64>().ln();
    let (mut first, mut second) = (0.0, 0.0);
    for log_p in logits.iter().map(|x| x - ln_sum).filter(|x| x.is_finite()) {
        first += log_p.exp() * log_p;
        second += log_p.exp() * log_p * log_p;
    }
    let variance = (second - first * first).max(LEAST_VARIANCE);
    Ok((chosen - ln_sum - first) / variance.sqrt())
}

/// Min-K %++: [`min_k`] on standardized scores, which may have any sign. See [`standardized`].
///
/// # Errors
/// Those of [`min_k`]; scores must be finite.
///
/// # Source
/// arXiv 2404.02936, equations 3 and 4, negated.
pub fn min_k_plus_plus(standardized: &[f64], share: f64, rounding: Rounding) -> Result<f64> {
    all_finite("standardized score of a token", standardized)?;
    least(standardized, share, rounding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_below_one_token_is_one_token_or_an_error() {
        let text = [-1.0, -3.0, -2.0];
        assert_eq!(min_k(&text, 0.2, Rounding::AtLeastOne).unwrap(), 3.0);
        let error = min_k(&text, 0.2, Rounding::Down).unwrap_err();
        assert!(matches!(error, Error::NoToken { n_tokens: 3, .. }), "{error}");
        assert_eq!(min_k(&text, 0.7, Rounding::Down).unwrap(), 2.5);
    }

    #[test]
    fn bad_numbers_are_refused() {
        let at = |text: &[f64], share: f64| min_k(text, share, Rounding::AtLeastOne);
        assert!(matches!(at(&[], 0.5), Err(Error::Empty { .. })));
        assert!(matches!(at(&[-1.0, 0.5], 0.5), Err(Error::OneOutOfRange { index: 1, .. })));
        for share in [0.0, 1.5, f64::NAN, -1.0] {
            assert!(matches!(at(&[-1.0], share), Err(Error::OutOfRange { .. })), "{share}");
        }
        assert!(matches!(standardized(&[0.0], 1), Err(Error::OutOfRange { .. })));
        assert!(standardized(&[f64::NAN, 0.0], 1).is_err());
        assert!(standardized(&[f64::NEG_INFINITY, 0.0], 0).is_err());
        assert!(standardized(&[], 0).is_err());
    }

    /// All probability on two of three tokens: both have the mean, and the variance is the least one.
    #[test]
    fn an_impossible_token_counts_nothing() {
        let score = standardized(&[1.0, 1.0, f64::NEG_INFINITY], 1).unwrap();
        assert!(score.abs() < 1e-12 / LEAST_VARIANCE.sqrt(), "{score}");
    }
}
