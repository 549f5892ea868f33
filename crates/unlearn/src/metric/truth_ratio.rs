//! Whether a model tells a right answer from wrong ones.

use super::mean;
use crate::error::{Error, Result, all};

/// How several wrong answers become one number. Two definitions are in use and give different scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// `exp(-mean_j l_j)`: the geometric mean of their probabilities per token. That of the paper's evaluation, of its forget
    /// quality and of OpenUnlearning.
    Geometric,
    /// `mean_j exp(-l_j)`: the arithmetic mean. That of the model utility in the paper's code.
    Arithmetic,
}

/// Probability per token of the wrong answers over that of the right one: small if the model knows.
///
/// Kept as a logarithm, so that no loss makes it 0 or infinite; a test of two samples may be done on the logarithms.
///
/// # Source
/// arXiv 2401.06121, equation 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct TruthRatio(f64);

impl TruthRatio {
    /// From mean losses per labelled token: of the right answer, which is a paraphrase on the forget and retain sets and the
    /// answer itself elsewhere, and of each wrong one.
    ///
    /// # Errors
    /// [`Error::OneOutOfRange`] if a loss is negative or not finite, [`Error::Empty`] without wrong answers.
    pub fn new(right_loss: f64, wrong_losses: &[f64], wrong: Wrong) -> Result<Self> {
        let holds = |x: f64| x.is_finite() && 0.0 <= x;
        all("mean loss of the right answer", "finite and at least 0", &[right_loss], holds)?;
        all("mean loss of a wrong answer", "finite and at least 0", wrong_losses, holds)?;
        if wrong_losses.is_empty() {
            return Err(Error::Empty { what: "wrong answers" });
        }
        let wrong_loss = match wrong {
            Wrong::Geometric => mean::arithmetic(wrong_losses)?,
            Wrong::Arithmetic => {
                let least = wrong_losses.iter().copied().fold(f64::INFINITY, f64::min);
                let rest: Vec<f64> = wrong_losses.iter().map(|x| (least - x).exp()).collect();
                least - mean::arithmetic(&rest)?.ln()
            }
        };
        Ok(TruthRatio(right_loss - wrong_loss))
    }

    /// The natural logarithm of the ratio, finite.
    #[must_use]
    pub fn ln(self) -> f64 {
        self.0
    }

    /// The ratio.
    #[must_use]
    pub fn value(self) -> f64 {
        self.0.exp()
    }

    /// This ratio as a number in `[0, 1]`.
    #[must_use]
    pub fn score(self, aggregate: Aggregate) -> f64 {
        match aggregate {
            Aggregate::Forget => (-self.0.abs()).exp(),
            Aggregate::Utility => (-self.0.exp_m1()).max(0.0),
            Aggregate::Share => 1.0 / (1.0 + self.0.exp()),
        }
    }
}

/// What is averaged over the questions of a set, `R` being the ratio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregate {
    /// `min(R, 1 / R)`: 1 if right and wrong are equally likely.
    Forget,
    /// `max(0, 1 - R)`: 1 if wrong answers are impossible.
    Utility,
    /// `1 / (1 + R)`, the right answer's share, as OpenUnlearning's meta-evaluation has it.
    Share,
}

/// Mean of the scores of a set.
///
/// # Errors
/// [`Error::Empty`] without ratios.
pub fn mean_score(ratios: &[TruthRatio], aggregate: Aggregate) -> Result<f64> {
    let scores: Vec<f64> = ratios.iter().map(|ratio| ratio.score(aggregate)).collect();
    mean::arithmetic(&scores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_definitions_differ_and_agree_for_one_wrong_answer() {
        let of = |losses: &[f64], wrong| TruthRatio::new(1.0, losses, wrong).unwrap().value();
        let losses = [1.0, 3.0];
        assert!((of(&losses, Wrong::Geometric) - (-1_f64).exp()).abs() < 1e-15);
        let want = f64::midpoint(1.0, (-2_f64).exp());
        assert!((of(&losses, Wrong::Arithmetic) - want).abs() < 1e-15);
        assert_eq!(of(&[2.0], Wrong::Geometric), of(&[2.0], Wrong::Arithmetic));
    }

    #[test]
    fn extreme_losses_stay_finite() {
        for wrong in [Wrong::Geometric, Wrong::Arithmetic] {
            let ratio = TruthRatio::new(5000.0, &[1.0, 9000.0], wrong).unwrap();
            assert!(ratio.ln().is_finite());
            for aggregate in [Aggregate::Forget, Aggregate::Utility, Aggregate::Share] {
                assert!((0.0..=1.0).contains(&ratio.score(aggregate)));
            }
        }
    }

    #[test]
    fn bad_losses_are_refused() {
        assert!(matches!(TruthRatio::new(1.0, &[], Wrong::Geometric), Err(Error::Empty { .. })));
        for bad in [-0.5, f64::NAN, f64::INFINITY] {
            assert!(TruthRatio::new(bad, &[1.0], Wrong::Geometric).is_err(), "{bad}");
            let error = TruthRatio::new(1.0, &[1.0, bad], Wrong::Arithmetic).unwrap_err();
            assert!(matches!(error, Error::OneOutOfRange { index: 1, .. }), "{error}");
        }
        assert!(matches!(mean_score(&[], Aggregate::Forget), Err(Error::Empty { .. })));
    }
}
