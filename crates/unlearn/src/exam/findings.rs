//! What an exam found, and the scores that follow from it.

use serde::{Deserialize, Serialize};

use super::set::SetResult;
use crate::metric::truth_ratio::{Aggregate, Wrong};
use crate::multiple_choice::Rule;
use crate::score::semeval::{Cells, Gate, Outcome};
use crate::score::tofu::{ForgetQuality, ForgetTest, SetScores, Utility};
use crate::score::{Conditions, Definition, Score, sets};
use crate::{Error, Result};

/// What an exam found. Scores are computed from it, so that a file of findings can be scored and compared again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// Of rows to have forgotten.
    pub forget: SetResult,
    /// Of rows to know.
    pub retain: SetResult,
    /// Of other sets.
    pub others: Vec<SetResult>,
    /// Losses of whole documents of the forget set.
    pub members: Vec<f64>,
    /// Losses of documents that were never seen; empty where there are none.
    pub nonmembers: Vec<f64>,
    /// Digest of all these documents; empty where none are held out.
    pub documents: String,
    /// Which multiple-choice questions were asked.
    pub questions: String,
    /// How an option was chosen.
    pub rule: Rule,
    /// The share that was answered rightly, a mean over subjects.
    pub accuracy: f64,
    /// Options of questions that were cut because they are too long for the model.
    pub n_cut_options: usize,
    /// How input and output were joined.
    pub join: String,
    /// Most tokens of a generation; absent where nothing was generated.
    pub max_new: Option<usize>,
    /// [`Subject::divergence`](super::Subject::divergence) from the gold model on rows to have forgotten; no exam of one model knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub divergence: Option<f64>,
}

/// How far a model is from another, in one number that both have.
#[derive(Clone, Debug, PartialEq)]
pub struct Distance {
    /// What is compared.
    pub name: &'static str,
    /// Of the model.
    pub value: f64,
    /// Of the other one, such as the one that was never taught the forget set.
    pub gold: f64,
}

impl Distance {
    /// `|value - gold|`.
    #[must_use]
    pub fn get(&self) -> f64 {
        (self.value - self.gold).abs()
    }
}

impl Findings {
    /// The accuracy on questions.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if it is no share.
    pub fn accuracy(&self) -> Result<Score> {
        let (questions, rule) = (self.questions.clone(), self.rule);
        let score = Score::new(self.accuracy, Definition::Accuracy { questions, rule })?;
        Ok(score.under(Some(self.conditions().without_texts())))
    }

    /// The final score of SemEval-2025 Task 4 with its table.
    ///
    /// # Errors
    /// [`Error::Empty`] without tasks, generations or held-out documents; those of [`Cells::of`].
    pub fn semeval(&self, gate: Gate) -> Result<Outcome> {
        if self.nonmembers.is_empty() {
            return Err(Error::Empty { what: "documents that were held out" });
        }
        let cells = Cells::of(&self.forget.semeval()?, &self.retain.semeval()?)?;
        let accuracy = self.accuracy()?;
        let outcome = Outcome::new(cells, &self.members, &self.nonmembers, accuracy, gate)?;
        Ok(outcome.under(&self.conditions()))
    }

    /// The task aggregate of SemEval-2025 Task 4, which needs no held-out documents.
    ///
    /// # Errors
    /// [`Error::Empty`] without tasks or generations; those of [`Cells::of`].
    pub fn task_aggregate(&self) -> Result<Score> {
        let cells = Cells::of(&self.forget.semeval()?, &self.retain.semeval()?)?;
        Ok(cells.task_aggregate()?.under(Some(self.conditions())))
    }

    /// The model utility of TOFU, if the sets `real_authors` and `world_facts` were examined.
    ///
    /// # Errors
    /// [`Error::Empty`] without them, generations or wrong answers.
    pub fn utility(&self, wrong: Wrong) -> Result<Score> {
        let set = |name: &'static str| {
            let set = self.others.iter().find(|set| set.name == name);
            set.ok_or(Error::Empty { what: "set of questions on real authors and on the world" })
        };
        let scores = |set: &SetResult, options: bool| -> Result<SetScores> {
            let probability = if options {
                let rows = set.rows.iter().map(|row| (row.loss, &row.wrong_losses[..]));
                sets::mean_normalized_probability(rows)?
            } else {
                set.probability()?
            };
            Ok(SetScores {
                probability: probability.value(),
                rouge: set.rouge()?.value(),
                truth_ratio: set.truth_ratio(wrong, Aggregate::Utility)?.value(),
            })
        };
        let utility = Utility {
            retain: scores(&self.retain, false)?,
            real_authors: scores(set("real_authors")?, true)?,
            world_facts: scores(set("world_facts")?, true)?,
        };
        Ok(utility.score(wrong)?.under(Some(self.conditions())))
    }

    /// How the model was asked.
    #[must_use]
    pub fn conditions(&self) -> Conditions {
        Conditions { join: self.join.clone(), max_new: self.max_new }
    }

    /// What was too long for the model and was cut, in words; empty where nothing was. Whole texts are read in pieces instead.
    #[must_use]
    pub fn cuts(&self) -> Vec<String> {
        let mut out = Vec::new();
        for set in [&self.forget, &self.retain].into_iter().chain(&self.others) {
            let SetResult { name, n_cut, n_cut_prompts, .. } = set;
            if 0 < *n_cut {
                out.push(format!(
                    "exam: {n_cut} answers or other forms of them in the {name} set are too long for the model with their prompts and were cut"
                ));
            }
            if 0 < *n_cut_prompts {
                out.push(format!(
                    "exam: {n_cut_prompts} prompts of the {name} set lost their beginning, to leave room for a text"
                ));
            }
        }
        if 0 < self.n_cut_options {
            let n = self.n_cut_options;
            out.push(format!(
                "exam: {n} options of questions are too long for the model with them and were cut"
            ));
        }
        out
    }

    /// The forget quality of TOFU against a model that was never taught the forget set.
    ///
    /// # Errors
    /// [`Error::Empty`] without wrong answers; [`Error::DifferentDefinitions`] for other rows.
    pub fn forget_quality(&self, gold: &Findings, test: ForgetTest) -> Result<ForgetQuality> {
        self.forget.same_rows(&gold.forget)?;
        let ratios = |findings: &Findings| findings.forget.truth_ratios(test.wrong);
        let quality = test.quality(&ratios(self)?, &ratios(gold)?)?;
        let score = quality.score.under(Some(self.conditions().without_texts()));
        Ok(ForgetQuality { score, ..quality })
    }

    /// Whether both models sat the same exam: the same rows with their prompts, questions, documents and rules. Of other sets those of the
    /// same name.
    ///
    /// # Errors
    /// [`Error::DifferentDefinitions`] with what differs first.
    pub fn same_exam(&self, other: &Findings) -> Result<()> {
        let max_new = |f: &Findings| match f.max_new {
            Some(n) => format!("generations of at most {n} tokens"),
            None => "no generations".into(),
        };
        let documents = |f: &Findings| {
            let (n, m) = (f.members.len(), f.nonmembers.len());
            format!("{n} documents of the forget set and {m} held out")
        };
        let of = |f: &Findings| {
            [
                format!("questions {}", f.questions),
                f.rule.to_string(),
                format!("join {}", f.join),
                max_new(f),
                documents(f),
            ]
        };
        for (left, right) in of(self).into_iter().zip(of(other)) {
            if left != right {
                return Err(Error::DifferentDefinitions { left, right });
            }
        }
        self.forget.same_rows(&other.forget)?;
        self.retain.same_rows(&other.retain)?;
        for set in &self.others {
            if let Some(other) = other.others.iter().find(|other| other.name == set.name) {
                set.same_rows(other)?;
            }
        }
        let (left, right) = (&self.documents, &other.documents);
        if left != right {
            let of = |digest: &str| format!("documents of membership inference {:.8}", digest);
            let (left, right) = (of(left), of(right));
            return Err(Error::DifferentDefinitions { left, right });
        }
        Ok(())
    }

    /// Every share in [0, 1] that both models have, with its distance. Their mean is how far the model is from the other one.
    ///
    /// # Errors
    /// As [`Self::same_exam`]; [`Error::OutOfRange`] for findings from a file
    /// that are no shares or losses.
    pub fn distances(&self, gold: &Findings) -> Result<Vec<Distance>> {
        self.same_exam(gold)?;
        type Number = fn(&Findings) -> Result<f64>;
        let numbers: [(&'static str, Number); 12] = [
            ("forget ROUGE-L recall", |f| Ok(f.forget.rouge()?.value())),
            ("forget exact match", |f| Ok(f.forget.exact()?.value())),
            ("forget probability", |f| Ok(f.forget.probability()?.value())),
            ("forget memorization", |f| Ok(f.forget.memorized())),
            ("forget truth ratio", |f| {
                Ok(f.forget.truth_ratio(Wrong::Geometric, Aggregate::Forget)?.value())
            }),
            ("retain ROUGE-L recall", |f| Ok(f.retain.rouge()?.value())),
            ("retain exact match", |f| Ok(f.retain.exact()?.value())),
            ("retain probability", |f| Ok(f.retain.probability()?.value())),
            ("retain memorization", |f| Ok(f.retain.memorized())),
            ("retain truth ratio", |f| {
                Ok(f.retain.truth_ratio(Wrong::Geometric, Aggregate::Utility)?.value())
            }),
            ("membership AUC", |f| Ok(sets::loss_auc(&f.members, &f.nonmembers)?.value())),
            ("accuracy on questions", |f| Ok(f.accuracy)),
        ];
        let mut out = Vec::new();
        for (name, of) in numbers {
            match (of(self), of(gold)) {
                (Ok(value), Ok(gold)) => out.push(Distance { name, value, gold }),
                // What one of them lacks cannot be compared.
                (Err(Error::Empty { .. }), _) | (_, Err(Error::Empty { .. })) => {}
                (Err(error), _) | (_, Err(error)) => return Err(error),
            }
        }
        Ok(out)
    }

    /// The mean of [`Self::distances`].
    ///
    /// # Errors
    /// As [`Self::distances`].
    pub fn distance(&self, gold: &Findings) -> Result<f64> {
        let distances = self.distances(gold)?;
        Ok(distances.iter().map(Distance::get).sum::<f64>() / distances.len().max(1) as f64)
    }
}
