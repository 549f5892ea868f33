//! Scores of published benchmarks, each with its definition.

mod conditions;
mod definition;
pub mod muse;
pub mod semeval;
pub mod sets;
pub mod tofu;

use std::cmp::Ordering;
use std::fmt;

pub use conditions::Conditions;
pub use definition::Definition;

use crate::error::{Error, Result};

/// A number, what it means and how the model was asked. Two scores are compared only if both are the same.
///
/// # Examples
/// ```
/// use unlearn::score::sets::mean_rouge_l;
/// use unlearn::metric::rouge::{Part, Rouge};
/// use unlearn::Error;
///
/// let pairs = [("a red house", "a red house"), ("a blue door", "a door")];
/// let stemmed = mean_rouge_l(pairs, Rouge { stemmer: true }, Part::Recall)?;
/// let plain = mean_rouge_l(pairs, Rouge { stemmer: false }, Part::Recall)?;
/// assert_eq!(stemmed.value(), plain.value());
/// assert!(matches!(stemmed.compare(&plain), Err(Error::DifferentDefinitions { .. })));
/// println!("{stemmed}"); // the number, then its definition
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    value: f64,
    definition: Definition,
    conditions: Option<Conditions>,
}

impl Score {
    /// A number of this definition, for scores that were computed elsewhere. NaN is no score.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if it is NaN.
    pub fn new(value: f64, definition: Definition) -> Result<Self> {
        if value.is_nan() {
            return Err(Error::OutOfRange { name: "score", must: "a number", got: value });
        }
        Ok(Score { value, definition, conditions: None })
    }

    /// The same of a model that was asked under these conditions.
    #[must_use]
    pub fn under(mut self, conditions: Option<Conditions>) -> Self {
        self.conditions = conditions;
        self
    }

    /// The number.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.value
    }

    /// What it means.
    #[must_use]
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// How the model was asked, where that is known.
    #[must_use]
    pub fn conditions(&self) -> Option<&Conditions> {
        self.conditions.as_ref()
    }

    /// Definition and conditions in words.
    #[must_use]
    pub fn meaning(&self) -> String {
        match &self.conditions {
            Some(conditions) => format!("{}; {conditions}", self.definition),
            None => self.definition.to_string(),
        }
    }

    /// Order of the numbers.
    ///
    /// # Errors
    /// [`Error::DifferentDefinitions`].
    pub fn compare(&self, other: &Score) -> Result<Ordering> {
        self.alike(other)?;
        Ok((self.value + 0.0).total_cmp(&(other.value + 0.0)))
    }

    /// This number minus the other; what lies between a model and the one it should be like.
    ///
    /// # Errors
    /// [`Error::DifferentDefinitions`].
    pub fn difference(&self, other: &Score) -> Result<f64> {
        self.alike(other)?;
        Ok(self.value - other.value)
    }

    fn alike(&self, other: &Score) -> Result<()> {
        if (&self.definition, &self.conditions) == (&other.definition, &other.conditions) {
            return Ok(());
        }
        let (left, right) = (self.meaning(), other.meaning());
        Err(Error::DifferentDefinitions { left, right })
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(4);
        if self.value.abs() < 0.5 * 10_f64.powi(-i32::try_from(digits).unwrap_or(4))
            && self.value != 0.0
        {
            write!(f, "{:.digits$e} ({})", self.value, self.meaning())
        } else {
            write!(f, "{:.digits$} ({})", self.value, self.meaning())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::rouge::Part;
    use crate::metric::truth_ratio::{Aggregate, Wrong};
    use crate::multiple_choice::Rule;
    use crate::score::muse::Form;

    fn score(value: f64, definition: Definition) -> Score {
        Score::new(value, definition).unwrap()
    }

    #[test]
    fn scores_of_one_definition_are_compared() {
        let of = |value| score(value, Definition::ExactMatch);
        assert_eq!(of(0.5).compare(&of(0.25)).unwrap(), Ordering::Greater);
        assert_eq!(of(0.0).compare(&of(-0.0)).unwrap(), Ordering::Equal);
        assert_eq!(of(0.5).difference(&of(0.25)).unwrap(), 0.25);
    }

    #[test]
    fn every_part_of_a_definition_separates() {
        let truth = |wrong, aggregate| Definition::TruthRatio { wrong, aggregate };
        let semeval =
            |questions: &str, rule| Definition::SemEvalFinal { questions: questions.into(), rule };
        let rouge = |stemmer, part| Definition::MeanRougeL { stemmer, part };
        let table = [
            Definition::ExactMatch,
            Definition::Probability,
            rouge(true, Part::Recall),
            rouge(false, Part::Recall),
            rouge(true, Part::FMeasure),
            truth(Wrong::Geometric, Aggregate::Forget),
            truth(Wrong::Arithmetic, Aggregate::Forget),
            truth(Wrong::Geometric, Aggregate::Utility),
            semeval("a", Rule::MostProbable),
            semeval("b", Rule::MostProbable),
            semeval("a", Rule::MostProbablePerToken),
            Definition::VerbMem { form: Form::Published },
            Definition::KnowMem { form: Form::Published },
            Definition::VerbMem { form: Form::OpenUnlearning },
            Definition::PrivLeak { share: 0.4, auc_retrain: 0.5 },
            Definition::PrivLeak { share: 0.4, auc_retrain: 0.4772 },
            Definition::PrivLeak { share: 0.2, auc_retrain: 0.5 },
        ];
        for (i, left) in table.iter().enumerate() {
            for (j, right) in table.iter().enumerate() {
                let compared = score(1.0, left.clone()).compare(&score(1.0, right.clone()));
                assert_eq!(compared.is_ok(), i == j, "{left} and {right}");
                assert_eq!(left.to_string() == right.to_string(), i == j, "{left} and {right}");
                if let Err(error) = compared {
                    assert!(error.to_string().contains(&left.to_string()), "{error}");
                }
            }
        }
    }

    #[test]
    fn scores_of_models_that_were_asked_otherwise_are_not_compared() {
        let of = |join: &str, max_new| {
            let conditions = Conditions { join: join.into(), max_new };
            score(0.5, Definition::ExactMatch).under(Some(conditions))
        };
        let long = of("a space", Some(256));
        assert!(long.compare(&of("a space", Some(256))).is_ok());
        for other in [of("a space", Some(8)), of("nothing", Some(256)), of("a space", None)] {
            let error = long.compare(&other).unwrap_err().to_string();
            assert!(error.contains(&long.meaning()) && error.contains(&other.meaning()), "{error}");
        }
        assert!(long.compare(&score(0.5, Definition::ExactMatch)).is_err());
        let text = long.to_string();
        assert!(text.ends_with("; join `a space`, greedy texts of at most 256 tokens)"), "{text}");
    }

    #[test]
    fn a_score_prints_its_definition() {
        let text = score(0.123_456, Definition::ExactMatch).to_string();
        assert!(text.starts_with("0.1235 (exact match"), "{text}");
        let small = score(3e-21, Definition::ExactMatch).to_string();
        assert!(small.starts_with("3.0000e-21 ("), "{small}");
        assert!(Score::new(f64::NAN, Definition::ExactMatch).is_err());
    }
}
