//! What somebody's model wrote for the rows of LUME or of SemEval-2025 Task 4.

use std::collections::BTreeSet;
use std::path::Path;

use super::lume::{ID, task};
use super::within;
use crate::error::{Error, Result};
use crate::line::Line;
use crate::row::of_id;
use crate::score::semeval::{Cells, Row, Split};

/// A row and what a model wrote for it: up to 256 new tokens, greedy, special tokens removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prediction {
    /// The id of the row in the data.
    pub id: String,
    /// `Task1`, `Task2` or `Task3`.
    pub task: String,
    /// The true continuation or answer.
    pub output: String,
    /// What the model wrote; may be empty.
    pub generation: String,
}

impl Prediction {
    /// As the score takes it.
    #[must_use]
    pub fn row(&self) -> Row<'_> {
        let Prediction { id, task, output, generation } = self;
        Row { id, task, output, generation }
    }
}

/// Predictions for both sets; each has at least one, and no id is there twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predictions {
    /// For what is to be forgotten.
    pub forget: Vec<Prediction>,
    /// For what is to be kept.
    pub retain: Vec<Prediction>,
}

impl Predictions {
    /// Reads the text of a file that holds both sets; see [`predictions`].
    ///
    /// # Errors
    /// [`Error::Line`] with the line and field that are not as they should be, [`Error::Empty`] for a set without predictions.
    pub fn parse(text: &str) -> Result<Self> {
        let mut reader = Reader::default();
        reader.read(text, None)?;
        reader.predictions()
    }

    /// Regurgitation and knowledge by split and task.
    ///
    /// # Errors
    /// [`Error::EmptyCell`] if a task lacks completions or questions in a set.
    pub fn cells(&self) -> Result<Cells> {
        let forget: Vec<Row<'_>> = self.forget.iter().map(Prediction::row).collect();
        let retain: Vec<Row<'_>> = self.retain.iter().map(Prediction::row).collect();
        Cells::of(&forget, &retain)
    }
}

/// Predictions from a file, or from the files `forget.jsonl` and `retain.jsonl` of a folder.
///
/// # Format
/// JSON lines in UTF-8, one for each row of the data, in any order; no line is empty and no field may be added.
///
/// ```json
/// {"split": "forget", "id": "12762334qa0", "task": "Task3", "output": "Bengal", "generation": "I do not know."}
/// ```
///
/// | field | what |
/// | --- | --- |
/// | `split` | `forget` or `retain`; may be left out in a file of one split |
/// | `id`, `task`, `output` | as in the data |
/// | `generation` | what the model wrote, may be empty |
///
/// # Errors
/// [`Error::Read`]; [`Error::InFile`] with the path and [`Error::Line`] with the line, or [`Error::Empty`] for a set without
/// predictions.
pub fn predictions(path: &Path) -> Result<Predictions> {
    if path.is_dir() {
        return predictions_of(&path.join("forget.jsonl"), &path.join("retain.jsonl"));
    }
    within(path, Predictions::parse)
}

/// The same from a file for each set.
///
/// # Errors
/// Those of [`predictions`]; also for a line that says it is of the other set.
pub fn predictions_of(forget: &Path, retain: &Path) -> Result<Predictions> {
    let mut reader = Reader::default();
    for (path, split) in [(forget, Split::Forget), (retain, Split::Retain)] {
        within(path, |text| {
            reader.read(text, Some(split))?;
            reader.of(split).map(|_| ())
        })?;
    }
    reader.predictions()
}

#[derive(Default)]
struct Reader {
    forget: Vec<Prediction>,
    retain: Vec<Prediction>,
    ids: BTreeSet<String>,
}

impl Reader {
    /// Reads the lines of a file; those of one split need not say so.
    fn read(&mut self, text: &str, whole: Option<Split>) -> Result<()> {
        for (idx, text) in text.lines().enumerate() {
            let line = Line::parse(idx + 1, text)?;
            line.only(&["split", "id", "task", "output", "generation"])?;
            let split = split(&line, whole)?;
            let id = line.text("id")?;
            if of_id(&id).is_none() {
                return Err(line.wrong("id", ID, &id));
            }
            if !self.ids.insert(id.clone()) {
                return Err(line.wrong("id", "an id that no line before has", &id));
            }
            let (output, generation) = (line.text("output")?, line.any_text("generation")?);
            let prediction = Prediction { id, task: task(&line)?, output, generation };
            match split {
                Split::Forget => self.forget.push(prediction),
                Split::Retain => self.retain.push(prediction),
            }
        }
        Ok(())
    }

    /// The predictions of a split, if there are some.
    fn of(&self, split: Split) -> Result<&[Prediction]> {
        match split {
            Split::Forget if self.forget.is_empty() => {
                Err(Error::Empty { what: "predictions for the forget set" })
            }
            Split::Retain if self.retain.is_empty() => {
                Err(Error::Empty { what: "predictions for the retain set" })
            }
            Split::Forget => Ok(&self.forget),
            Split::Retain => Ok(&self.retain),
        }
    }

    fn predictions(self) -> Result<Predictions> {
        self.of(Split::Forget)?;
        self.of(Split::Retain)?;
        Ok(Predictions { forget: self.forget, retain: self.retain })
    }
}

fn split(line: &Line, whole: Option<Split>) -> Result<Split> {
    match whole {
        Some(split) if !line.has("split") => return Ok(split),
        _ => {}
    }
    let named = line.any_text("split")?;
    let split = [Split::Forget, Split::Retain].into_iter().find(|split| split.name() == named);
    match (split, whole) {
        (Some(split), None) => Ok(split),
        (Some(split), Some(whole)) if split == whole => Ok(split),
        (_, Some(Split::Forget)) => Err(line.wrong("split", "`forget` in this file", &named)),
        (_, Some(Split::Retain)) => Err(line.wrong("split", "`retain` in this file", &named)),
        (None, None) => Err(line.wrong("split", "`forget` or `retain`", &named)),
    }
}
