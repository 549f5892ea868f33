//! Many attempts: what a model says at least once when it is asked often.

use serde::{Deserialize, Serialize};
use tape_nn::generate::{Choice, Settings};
use tape_nn::net::LanguageModel;
use tensor_tree::{Key, Label, Purpose};

use crate::exam::Subject;
use crate::metric::exact_match::exact_match;
use crate::metric::rouge::Rouge;
use crate::row::{Kind, Row};
use crate::{Error, Result};

/// How often a model is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BestOf {
    /// Generations of each row.
    pub n: usize,
    /// Divides the logits; at 1 the model's own distribution is drawn from.
    pub temperature: f64,
}

impl Default for BestOf {
    /// Eight at temperature 1.
    fn default() -> Self {
        BestOf { n: 8, temperature: 1.0 }
    }
}

/// The attempts at a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RowAttempts {
    /// Id of the row.
    pub id: String,
    /// ROUGE-L recall of each attempt, with stemmer.
    pub recalls: Vec<f64>,
    /// Whether it is exactly the output, but for case and outer space.
    pub exact: Vec<bool>,
    /// The attempt with the highest recall, the first of equals.
    pub best: String,
}

/// The attempts at all rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempts {
    /// By row.
    pub rows: Vec<RowAttempts>,
}

impl Attempts {
    /// The mean over rows of the best recall among the first `n` attempts; never falls with `n`. 0 without attempts.
    #[must_use]
    pub fn recall(&self, n: usize) -> f64 {
        self.mean(|row| row.recalls.iter().take(n).fold(0.0, |best: f64, x| best.max(*x)))
    }

    /// The share of rows of which one of the first `n` attempts is exactly the output; never falls with `n`.
    #[must_use]
    pub fn exact(&self, n: usize) -> f64 {
        self.mean(|row| f64::from(u8::from(row.exact.iter().take(n).any(|x| *x))))
    }

    /// Attempts at each row.
    #[must_use]
    pub fn n(&self) -> usize {
        self.rows.iter().map(|row| row.recalls.len()).min().unwrap_or(0)
    }

    fn mean(&self, of: impl Fn(&RowAttempts) -> f64) -> f64 {
        self.rows.iter().map(of).sum::<f64>() / self.rows.len().max(1) as f64
    }
}

impl BestOf {
    /// Draws the generations of each row that asks something, of at most `max_new` tokens; whole texts do not. Attempt `i` has a key of its own, so that the first ones do not
    /// depend on how many follow. `go_on` is told how many of all attempts are done.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for no attempts, [`Error::Empty`] without such rows; as [`Subject::generations`].
    ///
    /// # Source
    /// That greedy generation hides what samples show: arXiv 2410.03523. The best of a fixed number of samples is taken here.
    pub fn run<M: LanguageModel + ?Sized>(
        &self,
        subject: &Subject<'_, M>,
        rows: &[Row],
        max_new: usize,
        key: Key,
        go_on: &mut dyn FnMut(usize, usize) -> bool,
    ) -> Result<Attempts> {
        self.check()?;
        let rows: Vec<Row> = rows.iter().filter(|row| row.kind != Kind::Text).cloned().collect();
        if rows.is_empty() {
            return Err(Error::Empty { what: "rows to ask" });
        }
        let choice = Choice::Sample { temperature: self.temperature, top_k: None, top_p: None };
        let settings = Settings { max_new, stop: Vec::new(), choice };
        let empty = |row: &Row| RowAttempts {
            id: row.id.clone(),
            recalls: Vec::new(),
            exact: Vec::new(),
            best: String::new(),
        };
        let mut out: Vec<RowAttempts> = rows.iter().map(empty).collect();
        let key = key.child(Label::For(Purpose::Generation));
        for attempt in 0..self.n {
            let key = key.child(Label::Step(attempt as u64));
            let mut told = |done| go_on(attempt * rows.len() + done, self.n * rows.len());
            let texts = subject.generations(&rows, &settings, key, &mut told)?;
            for ((row, text), attempts) in rows.iter().zip(texts).zip(&mut out) {
                let recall = Rouge { stemmer: true }.rouge_l(&row.output, &text).recall;
                attempts.exact.push(exact_match(&row.output, &text));
                if attempts.recalls.iter().all(|other| *other < recall) {
                    attempts.best = text;
                }
                attempts.recalls.push(recall);
            }
        }
        Ok(Attempts { rows: out })
    }

    /// # Errors
    /// [`Error::OutOfRange`] with the setting.
    pub(super) fn check(&self) -> Result<()> {
        if self.n == 0 {
            return Err(Error::OutOfRange { name: "attempts", must: "at least 1", got: 0.0 });
        }
        if !(0.0 < self.temperature && self.temperature.is_finite()) {
            let (name, must) = ("temperature", "finite and positive");
            return Err(Error::OutOfRange { name, must, got: self.temperature });
        }
        Ok(())
    }
}
