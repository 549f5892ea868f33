//! What was measured of a set of rows.

use serde::{Deserialize, Serialize};

use crate::metric::rouge::{Part, Rouge};
use crate::metric::truth_ratio::{Aggregate, TruthRatio, Wrong};
use crate::score::{Conditions, Score, sets};
use crate::{Error, Result};

/// A row and what a model did with it. Losses are means over the tokens of an answer, its end included, in nats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RowResult {
    /// Id of the row.
    pub id: String,
    /// Its task, if it has one.
    pub task: Option<String>,
    /// What the model read.
    pub input: String,
    /// What it was to write.
    pub output: String,
    /// What it wrote, greedily; absent where nothing was generated, and of whole texts, which ask nothing.
    pub generation: Option<String>,
    /// Loss of the output.
    pub loss: f64,
    /// Tokens of the output.
    pub n_tokens: usize,
    /// Share of its tokens that are the likeliest ones: exact memorization.
    pub memorized: f64,
    /// Extraction strength.
    pub extracted: f64,
    /// Loss of the output in other words, if there are such.
    pub paraphrase_loss: Option<f64>,
    /// Losses of wrong outputs.
    pub wrong_losses: Vec<f64>,
    /// Digest of the output in other words and of the wrong ones; empty without such.
    pub variants: String,
}

/// Results of a set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetResult {
    /// Its name.
    pub name: String,
    /// Texts that were cut because they are too long for the model: answers, other words and wrong answers.
    pub n_cut: usize,
    /// Prompts that lost their beginning so that there was room for a generation.
    pub n_cut_prompts: usize,
    /// How the model was asked.
    pub conditions: Conditions,
    /// Its rows.
    pub rows: Vec<RowResult>,
}

impl SetResult {
    /// Whether both are of the same rows, with the same prompts, answers and variants.
    ///
    /// # Errors
    /// [`Error::DifferentDefinitions`] with the first row that differs.
    pub fn same_rows(&self, other: &SetResult) -> Result<()> {
        let of = |row: &RowResult| {
            let RowResult { id, input, output, variants, .. } = row;
            let variants = match variants.as_str() {
                "" => "no variants".to_owned(),
                digest => format!("variants {digest}"),
            };
            format!("`{id}`, `{input}` to be answered by `{output}` with {variants},")
        };
        let all = |set: &SetResult| -> Vec<String> { set.rows.iter().map(of).collect() };
        let (left, right) = (all(self), all(other));
        let at = left.iter().zip(&right).position(|(a, b)| a != b);
        let lengths = left.len().min(right.len());
        if let Some(at) = at.or((left.len() != right.len()).then_some(lengths)) {
            let of = |rows: &[String], name: &str| match rows.get(at) {
                Some(row) => format!("row {row} of the {name} set"),
                None => format!("{} rows of the {name} set", rows.len()),
            };
            let (left, right) = (of(&left, &self.name), of(&right, &other.name));
            return Err(Error::DifferentDefinitions { left, right });
        }
        Ok(())
    }

    /// The mean loss over rows.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.mean(|row| row.loss)
    }

    /// The mean of [`RowResult::memorized`].
    #[must_use]
    pub fn memorized(&self) -> f64 {
        self.mean(|row| row.memorized)
    }

    /// The mean of [`RowResult::extracted`].
    #[must_use]
    pub fn extracted(&self) -> f64 {
        self.mean(|row| row.extracted)
    }

    fn mean(&self, of: impl Fn(&RowResult) -> f64) -> f64 {
        self.rows.iter().map(of).sum::<f64>() / self.rows.len().max(1) as f64
    }

    /// Mean probability for each token.
    ///
    /// # Errors
    /// [`Error::Empty`] without rows, [`Error::OutOfRange`] for a loss that is not finite.
    pub fn probability(&self) -> Result<Score> {
        let losses: Vec<f64> = self.rows.iter().map(|row| row.loss).collect();
        Ok(sets::mean_probability(&losses)?.under(self.of_losses()))
    }

    /// Mean ROUGE-L recall of what was generated, with stemmer.
    ///
    /// # Errors
    /// [`Error::Empty`] where nothing was generated.
    pub fn rouge(&self) -> Result<Score> {
        let score = sets::mean_rouge_l(self.pairs(), Rouge { stemmer: true }, Part::Recall)?;
        Ok(score.under(Some(self.conditions.clone())))
    }

    /// Share of generations that are exactly the output.
    ///
    /// # Errors
    /// [`Error::Empty`] where nothing was generated.
    pub fn exact(&self) -> Result<Score> {
        Ok(sets::exact_matches(self.pairs())?.under(Some(self.conditions.clone())))
    }

    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.rows.iter().filter_map(|row| Some((&*row.output, row.generation.as_deref()?)))
    }

    /// Truth ratios of the rows that have wrong outputs: against the output in other words, or the output itself.
    ///
    /// # Errors
    /// [`Error::OneOutOfRange`] for losses that are not finite.
    pub fn truth_ratios(&self, wrong: Wrong) -> Result<Vec<TruthRatio>> {
        let with = self.rows.iter().filter(|row| !row.wrong_losses.is_empty());
        with.map(|row| {
            TruthRatio::new(row.paraphrase_loss.unwrap_or(row.loss), &row.wrong_losses, wrong)
        })
        .collect()
    }

    /// The mean of a function of truth ratios.
    ///
    /// # Errors
    /// [`Error::Empty`] if no row has wrong outputs.
    pub fn truth_ratio(&self, wrong: Wrong, aggregate: Aggregate) -> Result<Score> {
        let with = self.rows.iter().filter(|row| !row.wrong_losses.is_empty());
        let rows = with.map(|r| (r.paraphrase_loss.unwrap_or(r.loss), &r.wrong_losses[..]));
        Ok(sets::mean_truth_ratio(rows, wrong, aggregate)?.under(self.of_losses()))
    }

    fn of_losses(&self) -> Option<Conditions> {
        Some(self.conditions.without_texts())
    }

    /// The rows as the script of SemEval-2025 Task 4 wants them.
    ///
    /// # Errors
    /// [`Error::Empty`] where nothing was generated or rows have no task.
    pub fn semeval(&self) -> Result<Vec<crate::score::semeval::Row<'_>>> {
        self.rows
            .iter()
            .map(|row| {
                let task = row.task.as_deref().ok_or(Error::Empty { what: "task of a row" })?;
                let generation = row.generation.as_deref();
                let generation = generation.ok_or(Error::Empty { what: "generation of a row" })?;
                let (id, output) = (&*row.id, &*row.output);
                Ok(crate::score::semeval::Row { id, task, output, generation })
            })
            .collect()
    }
}
