//! Means of metrics over the rows of a set.

use super::{Definition, Score};
use crate::error::Result;
use crate::metric::exact_match::exact_match;
use crate::metric::rouge::{Part, Rouge};
use crate::metric::truth_ratio::{self, Aggregate, TruthRatio, Wrong};
use crate::metric::{attack, mean, probability};

/// Mean of a number of ROUGE-L over pairs of reference and generation.
///
/// # Errors
/// [`Error::Empty`](crate::Error::Empty) without pairs.
pub fn mean_rouge_l<'a>(
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    rouge: Rouge,
    part: Part,
) -> Result<Score> {
    let of = |(reference, generation)| part.of(rouge.rouge_l(reference, generation));
    let values: Vec<f64> = pairs.into_iter().map(of).collect();
    let definition = Definition::MeanRougeL { stemmer: rouge.stemmer, part };
    Score::new(mean::arithmetic(&values)?, definition)
}

/// Share of pairs of reference and generation that match exactly.
///
/// # Errors
/// [`Error::Empty`](crate::Error::Empty) without pairs.
pub fn exact_matches<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Score> {
    let of = |(reference, generation)| f64::from(u8::from(exact_match(reference, generation)));
    let values: Vec<f64> = pairs.into_iter().map(of).collect();
    Score::new(mean::arithmetic(&values)?, Definition::ExactMatch)
}

/// Mean of the probabilities per token, from mean losses per labelled token.
///
/// # Errors
/// Those of [`probability::probability`], [`Error::Empty`](crate::Error::Empty) without losses.
pub fn mean_probability(mean_losses: &[f64]) -> Result<Score> {
    let values: Result<Vec<f64>> =
        mean_losses.iter().map(|loss| probability::probability(*loss)).collect();
    Score::new(mean::arithmetic(&values?)?, Definition::Probability)
}

/// Mean of normalized probabilities, from mean losses per labelled token of the right option and of the wrong ones.
///
/// # Errors
/// Those of [`probability::normalized`], [`Error::Empty`](crate::Error::Empty) without rows.
pub fn mean_normalized_probability<'a>(
    rows: impl IntoIterator<Item = (f64, &'a [f64])>,
) -> Result<Score> {
    let of = |(right, wrong)| probability::normalized(right, wrong);
    let values: Result<Vec<f64>> = rows.into_iter().map(of).collect();
    Score::new(mean::arithmetic(&values?)?, Definition::NormalizedProbability)
}

/// Mean of a function of the truth ratio, from mean losses of right and wrong answers.
///
/// # Errors
/// Those of [`TruthRatio::new`], [`Error::Empty`](crate::Error::Empty) without rows.
pub fn mean_truth_ratio<'a>(
    rows: impl IntoIterator<Item = (f64, &'a [f64])>,
    wrong: Wrong,
    aggregate: Aggregate,
) -> Result<Score> {
    let of = |(right, losses)| TruthRatio::new(right, losses, wrong);
    let ratios: Result<Vec<TruthRatio>> = rows.into_iter().map(of).collect();
    let definition = Definition::TruthRatio { wrong, aggregate };
    Score::new(truth_ratio::mean_score(&ratios?, aggregate)?, definition)
}

/// Area below the curve of the loss attack. See [`attack::loss_auc`].
///
/// # Errors
/// Those of [`attack::loss_auc`].
pub fn loss_auc(member_losses: &[f64], nonmember_losses: &[f64]) -> Result<Score> {
    Score::new(attack::loss_auc(member_losses, nonmember_losses)?, Definition::LossAuc)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn sets_without_rows_have_no_score() {
        let none: [(&str, &str); 0] = [];
        assert!(matches!(exact_matches(none), Err(Error::Empty { .. })));
        let rouge = Rouge { stemmer: true };
        assert!(matches!(mean_rouge_l(none, rouge, Part::Recall), Err(Error::Empty { .. })));
        assert!(matches!(mean_probability(&[]), Err(Error::Empty { .. })));
    }

    #[test]
    fn means_are_over_rows() {
        let pairs = [("Paris", "paris"), ("Rome", "Rome is it")];
        assert_eq!(exact_matches(pairs).unwrap().value(), 0.5);
        let rouge = Rouge { stemmer: true };
        assert_eq!(mean_rouge_l(pairs, rouge, Part::Recall).unwrap().value(), 1.0);
        let precision = mean_rouge_l(pairs, rouge, Part::Precision).unwrap().value();
        assert!((precision - 2.0 / 3.0).abs() < 1e-15);
        let ln2 = 2_f64.ln();
        assert_eq!(mean_probability(&[0.0, ln2]).unwrap().value(), 0.75);
        let rows = [(ln2, &[ln2][..]), (0.0, &[ln2, ln2][..])];
        assert_eq!(mean_normalized_probability(rows).unwrap().value(), 0.5);
        let ratio = mean_truth_ratio(rows, Wrong::Geometric, Aggregate::Forget).unwrap().value();
        assert!((ratio - 0.75).abs() < 1e-15);
    }
}
