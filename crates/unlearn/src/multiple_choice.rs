//! Multiple-choice questions: the slot that MMLU fills in the shared task, and anything else may fill here.
//!
//! # Format
//! JSON lines in UTF-8. The first line names the set, each other line is a question; no line is empty and no field may be added.
//!
//! ```json
//! {"format": "multiple-choice", "version": 1, "name": "made", "source": "made for tests", "rule": "per-token"}
//! {"subject": "sums", "question": "2 + 2 =", "options": ["3", "4", "5"], "answer": 1}
//! ```
//!
//! | field | what |
//! | --- | --- |
//! | `format`, `version` | `multiple-choice` and 1 |
//! | `name` | under this name scores say which questions they rest on |
//! | `source` | where the questions come from |
//! | `rule` | how an option is chosen, [`Rule`]: `most-probable`, as without this field, or `per-token` where options have unequal lengths |
//! | `subject` | the accuracy is a mean over subjects |
//! | `question` | text before the options |
//! | `options` | at least two different texts |
//! | `answer` | index of the right one, counted from 0 |

mod line;

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::line::{Line, all_different};
use crate::metric::mean;
use crate::score::{Definition, Score};

/// A question and its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What it is about.
    pub subject: String,
    /// Text before the options.
    pub text: String,
    /// At least two, all different.
    pub options: Vec<String>,
    /// Index of the right option.
    pub answer: usize,
}

impl Question {
    /// # Errors
    /// [`Error::Question`] with the first field that is not as [`Questions::new`] wants it.
    fn check(&self, index: usize) -> Result<()> {
        let wrong =
            |field, expected, got: String| Err(Error::Question { index, field, expected, got });
        for (field, text) in [("subject", &self.subject), ("text", &self.text)] {
            if text.trim().is_empty() {
                return wrong(field, "a text that is not empty", format!("{text:?}"));
            }
        }
        let empty = self.options.iter().any(|option| option.trim().is_empty());
        if empty || self.options.len() < 2 || !all_different(&self.options) {
            let expected = "at least two different texts that are not empty";
            return wrong("options", expected, format!("{:?}", self.options));
        }
        if self.options.len() <= self.answer {
            return wrong("answer", "the index of an option", self.answer.to_string());
        }
        Ok(())
    }
}

/// A named set of questions; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Questions {
    name: String,
    source: String,
    rule: Rule,
    items: Vec<Question>,
}

/// What a model says of one option.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OptionScore {
    /// Log-probability of the option's tokens after the question, their sum; may be negative infinity.
    pub log_prob: f64,
    /// Number of those tokens.
    pub n_tokens: usize,
}

/// How an option is chosen. Of equal ones the first is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Rule {
    /// The most probable completion, as in the shared task.
    MostProbable,
    /// The highest mean log-probability per token.
    MostProbablePerToken,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rule::MostProbable => "most probable option",
            Rule::MostProbablePerToken => "most probable option per token",
        })
    }
}

impl Rule {
    /// Index of the option that is chosen.
    ///
    /// # Errors
    /// [`Error::Empty`] without options or if one has no tokens, [`Error::OneOutOfRange`] if a log-probability is NaN or
    /// positive.
    pub fn choose(self, options: &[OptionScore]) -> Result<usize> {
        let mut best: Option<(usize, f64)> = None;
        for (index, option) in options.iter().enumerate() {
            let got = option.log_prob;
            if got.is_nan() || 0.0 < got {
                let name = "log-probability of an option";
                return Err(Error::OneOutOfRange { name, index, must: "at most 0", got });
            }
            if option.n_tokens == 0 {
                return Err(Error::Empty { what: "tokens of an option" });
            }
            let value = match self {
                Rule::MostProbable => got,
                Rule::MostProbablePerToken => got / option.n_tokens as f64,
            };
            if best.is_none_or(|(_, most)| most < value) {
                best = Some((index, value));
            }
        }
        best.map(|(index, _)| index).ok_or(Error::Empty { what: "options" })
    }
}

impl Questions {
    /// A set of these questions, with [`Rule::MostProbable`].
    ///
    /// # Errors
    /// [`Error::Empty`] without questions or for a name or source without characters, [`Error::Question`] for one whose subject or
    /// text is empty, with less than two different options, or whose answer is none of them.
    pub fn new(
        name: impl Into<String>,
        source: impl Into<String>,
        items: Vec<Question>,
    ) -> Result<Self> {
        let (name, source) = (name.into(), source.into());
        for (text, what) in [
            (&name, "characters in the name of questions"),
            (&source, "characters in the source of questions"),
        ] {
            if text.trim().is_empty() {
                return Err(Error::Empty { what });
            }
        }
        if items.is_empty() {
            return Err(Error::Empty { what: "questions" });
        }
        for (index, item) in items.iter().enumerate() {
            item.check(index)?;
        }
        Ok(Questions { name, source, rule: Rule::MostProbable, items })
    }

    /// The same with another rule.
    #[must_use]
    pub fn with_rule(mut self, rule: Rule) -> Self {
        self.rule = rule;
        self
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// [`Error::Line`] with the line and the field that are not what the format says, [`Error::Empty`] without questions.
    pub fn parse(text: &str) -> Result<Self> {
        let mut lines = text.lines().enumerate().map(|(idx, text)| Line::parse(idx + 1, text));
        let Some(head) = lines.next() else {
            return Err(Error::Empty { what: "lines of questions" });
        };
        let head = head?;
        head.only(&["format", "version", "name", "source", "rule"])?;
        head.is("format", &"multiple-choice".into(), "the text `multiple-choice`")?;
        head.is("version", &1.into(), "the number 1")?;
        let (name, source) = (head.text("name")?, head.text("source")?);
        let rule = if head.has("rule") { line::rule(&head)? } else { Rule::MostProbable };
        let items: Result<Vec<Question>> = lines.map(|line| line::question(&line?)).collect();
        let items = items?;
        if items.is_empty() {
            return Err(Error::Empty { what: "questions after the first line" });
        }
        Ok(Questions { name, source, rule, items })
    }

    /// A small set made for this crate, as a stand-in where there is no other: general knowledge in four subjects.
    ///
    /// Scores of it say `made` and cannot be compared with those of another set.
    ///
    /// # Errors
    /// None: a test reads it.
    pub fn made() -> Result<Self> {
        Questions::parse(include_str!("../questions/made.jsonl"))
    }

    /// The text of a file that [`Questions::parse`] reads as this set.
    #[must_use]
    pub fn to_text(&self) -> String {
        let Questions { name, source, rule, items } = self;
        let rule = match rule {
            Rule::MostProbable => String::new(),
            Rule::MostProbablePerToken => format!(r#", "rule": "{PER_TOKEN}""#),
        };
        let (name, source) = (Value::from(name.as_str()), Value::from(source.as_str()));
        let head = format!(
            r#"{{"format": "multiple-choice", "version": 1, "name": {name}, "source": {source}{rule}}}"#
        );
        let lines = items.iter().map(|Question { subject, text, options, answer }| {
            let (subject, text) = (Value::from(subject.as_str()), Value::from(text.as_str()));
            let options = Value::from(options.as_slice());
            format!(
                r#"{{"subject": {subject}, "question": {text}, "options": {options}, "answer": {answer}}}"#
            )
        });
        [head].into_iter().chain(lines).map(|line| line + "\n").collect()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Name, number of questions and a fingerprint of their contents: equal for equal sets alone, so that sets of one name with
    /// other questions are told apart.
    #[must_use]
    pub fn label(&self) -> String {
        let Questions { name, items, .. } = self;
        format!("{name}, {} questions, {:016x}", items.len(), fingerprint(items))
    }

    /// Where it comes from.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// How an option is chosen, as the set says.
    #[must_use]
    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// The questions, in the order of the file.
    #[must_use]
    pub fn items(&self) -> &[Question] {
        &self.items
    }

    /// Share of right choices of each subject, and their mean over subjects: a subject with many questions weighs no more.
    ///
    /// `scores` has one list for each question, with one score for each of its options.
    ///
    /// # Errors
    /// [`Error::Length`] if a list has another length, and those of [`Rule::choose`].
    pub fn accuracy(&self, scores: &[Vec<OptionScore>], rule: Rule) -> Result<Accuracy> {
        same_length("lists of scores", self.items.len(), scores.len())?;
        let mut right: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for (item, scores) in self.items.iter().zip(scores) {
            same_length("scores of options", item.options.len(), scores.len())?;
            let is_right = rule.choose(scores)? == item.answer;
            right.entry(&item.subject).or_default().push(f64::from(u8::from(is_right)));
        }
        let mut by_subject = BTreeMap::new();
        for (subject, values) in right {
            by_subject.insert(subject.to_string(), mean::arithmetic(&values)?);
        }
        let values: Vec<f64> = by_subject.values().copied().collect();
        let definition = Definition::Accuracy { questions: self.label(), rule };
        Ok(Accuracy { score: Score::new(mean::arithmetic(&values)?, definition)?, by_subject })
    }
}

/// Names of rules in files.
const MOST_PROBABLE: &str = "most-probable";
const PER_TOKEN: &str = "per-token";

/// Accuracy on a set of questions.
#[derive(Clone, Debug, PartialEq)]
pub struct Accuracy {
    /// The mean over subjects, in `[0, 1]`.
    pub score: Score,
    /// Share of right choices by subject.
    pub by_subject: BTreeMap<String, f64>,
}

/// FNV-1a over everything that a question says, each part ended by a byte that UTF-8 does not have.
fn fingerprint(items: &[Question]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut take = |part: &str| {
        for byte in part.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for item in items {
        take(&item.subject);
        take(&item.text);
        item.options.iter().for_each(|option| take(option));
        take(&item.answer.to_string());
    }
    hash
}

fn same_length(name: &'static str, expected: usize, got: usize) -> Result<()> {
    if expected == got { Ok(()) } else { Err(Error::Length { name, expected, got }) }
}

#[cfg(test)]
mod tests;
