//! What a score means, in types and in words.

use std::fmt;

use crate::metric::ks::Method;
use crate::metric::rouge::Part;
use crate::metric::truth_ratio::{Aggregate, Wrong};
use crate::multiple_choice::Rule;
use crate::score::muse::Form;

/// What a score means. Two definitions are equal if scores of both may be compared.
///
/// `Display` says it in words, with everything that tells it from others.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Definition {
    /// Mean over rows of one number of ROUGE-L.
    MeanRougeL {
        /// Whether words are stemmed.
        stemmer: bool,
        /// Which number.
        part: Part,
    },
    /// Share of rows whose generation is the answer.
    ExactMatch,
    /// Mean over rows of the probability per token of the answer.
    Probability,
    /// Mean over rows of the right option's share of the probabilities per token of all options.
    NormalizedProbability,
    /// Mean over rows of a function of the truth ratio.
    TruthRatio {
        /// How wrong answers become one number.
        wrong: Wrong,
        /// Which function.
        aggregate: Aggregate,
    },
    /// Area below the curve of the loss attack.
    LossAuc,
    /// How little the loss attack finds.
    LossMembership,
    /// Verbatim memory of MUSE.
    VerbMem {
        /// Whose form of it.
        form: Form,
    },
    /// Knowledge of MUSE.
    KnowMem {
        /// Whose form of it.
        form: Form,
    },
    /// Leak of membership of MUSE, in percent.
    PrivLeak {
        /// Share of the tokens that the attack takes.
        share: f64,
        /// The retrained model's area.
        auc_retrain: f64,
    },
    /// Accuracy on multiple-choice questions.
    Accuracy {
        /// The set of questions, as [`Questions::label`](crate::multiple_choice::Questions::label) says it.
        questions: String,
        /// How an option is chosen.
        rule: Rule,
    },
    /// Task aggregate of SemEval-2025 Task 4.
    TaskAggregate,
    /// Final score of SemEval-2025 Task 4.
    SemEvalFinal {
        /// The set of questions in the place of MMLU, as [`Questions::label`](crate::multiple_choice::Questions::label)
        /// says it.
        questions: String,
        /// How an option is chosen.
        rule: Rule,
    },
    /// Model utility of TOFU.
    ModelUtility {
        /// How wrong answers become one number.
        wrong: Wrong,
    },
    /// Forget quality of TOFU.
    ForgetQuality {
        /// How wrong answers become one number.
        wrong: Wrong,
        /// How the p-value is computed.
        method: Method,
        /// How many questions at most.
        n_most: usize,
    },
}

impl fmt::Display for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Definition::MeanRougeL { stemmer, part } => {
                write!(f, "ROUGE-L {}, {}, mean over rows", part_words(*part), stemmer_words(*stemmer))
            }
            Definition::ExactMatch => f.write_str(
                "exact match: share of rows whose whole generation is the answer, without regard to case and outer space",
            ),
            Definition::Probability => {
                f.write_str("probability per token of the answer, mean over rows")
            }
            Definition::NormalizedProbability => f.write_str(
                "probability per token of the answer as a share of that of all options, mean over rows",
            ),
            Definition::TruthRatio { wrong, aggregate } => {
                let of = match aggregate {
                    Aggregate::Forget => "min(R, 1 / R)",
                    Aggregate::Utility => "max(0, 1 - R)",
                    Aggregate::Share => "1 / (1 + R)",
                };
                write!(
                    f,
                    "{of} of the truth ratio R with the {}, mean over rows with wrong answers",
                    wrong_words(*wrong)
                )
            }
            Definition::LossAuc => f.write_str(
                "area below the ROC curve of the loss attack, members positive",
            ),
            Definition::LossMembership => {
                f.write_str("1 - 2 |AUC - 0.5| of the loss attack")
            }
            Definition::VerbMem { form } => write!(f, "VerbMem: {form}"),
            Definition::KnowMem { form } => write!(f, "KnowMem: {form}"),
            Definition::PrivLeak { share, auc_retrain } => write!(
                f,
                "PrivLeak: difference to the retrained model's AUC of {auc_retrain} in percent of it, Min-{}% attack",
                share * 100.0
            ),
            Definition::Accuracy { questions, rule } => {
                write!(f, "accuracy on `{questions}`, {rule}, mean over subjects")
            }
            Definition::TaskAggregate => f.write_str(
                "task aggregate of SemEval-2025 Task 4: harmonic mean of 12 numbers, ROUGE-L recall with stemmer and exact match of 3 tasks, one minus those of the forget set",
            ),
            Definition::SemEvalFinal { questions, rule } => write!(
                f,
                "final score of SemEval-2025 Task 4: mean of task aggregate, 1 - 2 |AUC - 0.5| of the loss attack, and accuracy on `{questions}`, {rule}"
            ),
            Definition::ModelUtility { wrong } => write!(
                f,
                "model utility of TOFU: harmonic mean of 9 numbers, probability, ROUGE-L recall with stemmer and truth ratio on 3 sets, truth ratios with the {}",
                wrong_words(*wrong)
            ),
            Definition::ForgetQuality { wrong, method, n_most } => {
                let method = match method {
                    Method::Auto => "exact up to 10000 values, else asymptotic",
                    Method::Exact => "exact",
                    Method::Asymptotic => "asymptotic",
                };
                write!(
                    f,
                    "forget quality of TOFU: p-value ({method}) of the two-sample Kolmogorov-Smirnov test against the retrained model on truth ratios of the first {n_most} questions, with the {}",
                    wrong_words(*wrong)
                )
            }
        }
    }
}

fn part_words(part: Part) -> &'static str {
    match part {
        Part::Precision => "precision",
        Part::Recall => "recall",
        Part::FMeasure => "F-measure",
    }
}

fn stemmer_words(stemmer: bool) -> &'static str {
    if stemmer { "with stemmer" } else { "without stemmer" }
}

fn wrong_words(wrong: Wrong) -> &'static str {
    match wrong {
        Wrong::Geometric => "geometric mean of wrong answers",
        Wrong::Arithmetic => "arithmetic mean of wrong answers",
    }
}
