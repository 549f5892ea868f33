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
pub(super) struct Gold {
    path: PathBuf,
    what: What,
}

enum What {
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
            let what = What::Found(Box::new(findings::read(path)?));
            return Ok(Gold { path: path.to_owned(), what });
        }
        if !path.exists() || path.is_dir() && !path.join("config.json").is_file() {
            let what =
                "there is no gold standard: expected findings.json, a folder with it, or a model";
            return Err(Error::file(path, what));
        }
        let tokenizer = tokenizer.filter(|_| path.is_file()).cloned();
        let model = model::Flags { model: path.to_owned(), tokenizer }.read()?;
        Ok(Gold { path: path.to_owned(), what: What::Model(Box::new(model)) })
    }

    /// The model.
    ///
    /// # Errors
    /// [`Error::File`] where there are findings alone.
    pub(super) fn into_model(self) -> Result<Box<Model>> {
        match self.what {
            What::Model(model) => Ok(model),
            What::Found(_) => {
                let what = "expected a model: findings say nothing of texts in the shape of MUSE";
                Err(Error::file(self.path, what))
            }
        }
    }

    /// Refuses findings of another exam and a model of other tokens than this one, before any long work.
    ///
    /// # Errors
    /// As [`numbers::alike`] and [`Model::same_tokens`].
    pub(super) fn check(&self, sitting: &Sitting, (model, path): (&Model, &Path)) -> Result<()> {
        match &self.what {
            What::Found(found) => {
                let asked = sitting.exam.unanswered(sitting.join);
                numbers::alike(&[("the model", &asked), ("gold", found)])
            }
            What::Model(gold) => model.same_tokens(path, (gold, &self.path)),
        }
    }

    /// Its findings in this exam.
    ///
    /// # Errors
    /// Those of the exam.
    pub(super) fn findings(&self, sitting: &Sitting, session: &Session) -> Result<Findings> {
        match &self.what {
            What::Found(findings) => Ok((**findings).clone()),
            What::Model(model) => {
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
        let What::Model(gold) = &self.what else { return Ok(()) };
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
