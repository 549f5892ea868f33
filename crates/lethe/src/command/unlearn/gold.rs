//! The gold standard: a model that never saw what is to be forgotten, or what an exam found of it.

use std::path::{Path, PathBuf};

use tape_nn::net::Llama;
use tensor_tree::Tree;
use unlearn::exam::Findings;

use super::exam::Sitting;
use super::findings;
use super::model::{self, Model};
use super::numbers;
use crate::command::Session;
use crate::error::{Error, Result};

/// What there is of the gold model, read before any long work.
pub(super) enum Gold {
    /// Findings of an earlier exam.
    Found(Box<Findings>),
    /// The model, to be examined.
    Model(Box<Model>),
}

impl Gold {
    /// Reads findings, or the model of a folder or file.
    ///
    /// # Errors
    /// [`Error::File`] if there is neither.
    pub(super) fn read(path: &Path, tokenizer: Option<&PathBuf>) -> Result<Gold> {
        if path.is_file() && path.extension().is_some_and(|e| e == "json")
            || path.join(findings::FILE).is_file()
        {
            return Ok(Gold::Found(Box::new(findings::read(path)?)));
        }
        if !path.exists() || path.is_dir() && !path.join("config.json").is_file() {
            let what =
                "there is no gold standard: expected findings.json, a folder with it, or a model";
            return Err(Error::file(path, what));
        }
        let tokenizer = tokenizer.filter(|_| path.is_file()).cloned();
        let model = model::Flags { model: path.to_owned(), tokenizer }.read()?;
        Ok(Gold::Model(Box::new(model)))
    }

    /// Refuses findings of another exam, before any long work.
    ///
    /// # Errors
    /// As [`numbers::alike`].
    pub(super) fn check(&self, sitting: &Sitting) -> Result<()> {
        match self {
            Gold::Found(found) => {
                let asked = sitting.exam.unanswered(sitting.join);
                numbers::alike(&[("the model", &asked), ("gold", found)])
            }
            Gold::Model(_) => Ok(()),
        }
    }

    /// Its findings in this exam.
    ///
    /// # Errors
    /// Those of the exam.
    pub(super) fn findings(&self, sitting: &Sitting, session: &Session) -> Result<Findings> {
        match self {
            Gold::Found(findings) => Ok((**findings).clone()),
            Gold::Model(model) => {
                sitting.examine((model, &model.net, &model.params), "the gold model", session)
            }
        }
    }

    /// Adds to the findings of a model how far what it expects of rows to forget is from what the gold model does; a warning where that
    /// cannot be said, and nothing where there are findings alone.
    ///
    /// # Errors
    /// [`Error::Interrupted`] if the user stops it.
    pub(super) fn compare(
        &self,
        (found, of): (&mut Findings, (&Model, &Llama, &Tree)),
        sitting: &Sitting,
        session: &Session,
        warnings: &mut Vec<String>,
    ) -> Result<()> {
        let Gold::Model(gold) = self else { return Ok(()) };
        match sitting.divergence(of, (gold, &gold.net, &gold.params), session) {
            Ok(divergence) => found.divergence = Some(divergence),
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => {
                let warning = format!("no divergence from the gold model: {error}");
                // Before and after unlearning alike.
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
            }
        }
        Ok(())
    }
}
