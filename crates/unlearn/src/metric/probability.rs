//! Probability of an answer per token.

use crate::error::{Error, Result, all_finite};

/// `exp(-loss)` of the mean loss per labelled token: `p(answer | question)^(1 / n_tokens)`.
///
/// The labels of TOFU are the tokens of the answer and one end of sequence.
///
/// # Errors
/// [`Error::OutOfRange`] unless the loss is finite and at least 0.
///
/// # Source
/// arXiv 2401.06121, section 2.2, Probability.
pub fn probability(mean_loss: f64) -> Result<f64> {
    Ok((-loss(mean_loss)?).exp())
}

/// The same as a share of the probabilities of all options.
///
/// ```text
/// exp(-l) / (exp(-l) + sum_j exp(-l_j))
/// ```
///
/// # Errors
/// [`Error::OutOfRange`], [`Error::OneOutOfRange`] if a loss is not finite, [`Error::Empty`] without wrong options.
///
/// # Source
/// arXiv 2401.06121, section 2.2, Probability on Real Authors and World Facts.
pub fn normalized(mean_loss: f64, wrong_mean_losses: &[f64]) -> Result<f64> {
    let right = loss(mean_loss)?;
    if wrong_mean_losses.is_empty() {
        return Err(Error::Empty { what: "wrong options" });
    }
    all_finite("mean loss of a wrong option", wrong_mean_losses)?;
    Ok(1.0 / (1.0 + wrong_mean_losses.iter().map(|wrong| (right - wrong).exp()).sum::<f64>()))
}

fn loss(mean_loss: f64) -> Result<f64> {
    if mean_loss.is_finite() && 0.0 <= mean_loss {
        Ok(mean_loss)
    } else {
        let must = "finite and at least 0";
        Err(Error::OutOfRange { name: "mean loss", must, got: mean_loss })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_options_share_equally() {
        assert_eq!(normalized(2.0, &[2.0, 2.0, 2.0]).unwrap(), 0.25);
        assert_eq!(normalized(800.0, &[1.0]).unwrap(), 0.0);
        assert_eq!(normalized(1.0, &[2000.0]).unwrap(), 1.0);
        assert_eq!(probability(0.0).unwrap(), 1.0);
    }

    #[test]
    fn losses_that_are_none_are_refused() {
        for bad in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(probability(bad), Err(Error::OutOfRange { .. })), "{bad}");
            assert!(normalized(bad, &[1.0]).is_err(), "{bad}");
        }
        assert!(matches!(normalized(1.0, &[]), Err(Error::Empty { .. })));
        assert!(matches!(normalized(1.0, &[f64::NAN]), Err(Error::OneOutOfRange { .. })));
    }
}
