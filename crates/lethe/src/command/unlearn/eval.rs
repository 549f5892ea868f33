//! `lethe unlearn eval`: what a model still writes, knows and betrays of rows.

use std::path::{Path, PathBuf};

use clap::Args;
use report::number::count;

use super::gold::Gold;
use super::model::Model;
use super::rows::{self, Reading};
use super::run::{Exams, Results, short};
use super::{exam, findings, folder, model, muse, plots};
use crate::command::write::{self, Folder};
use crate::command::{Outcome, Session};
use crate::error::{Error, Result};

/// Flags of `lethe unlearn eval`.
#[derive(Debug, Args)]
pub struct Flags {
    #[command(flatten)]
    model: model::Flags,
    /// Rows that should be forgotten: a file of JSON lines, or a folder of such files.
    #[arg(long, value_name = "FILE|FOLDER", required_unless_present = "muse")]
    forget: Option<PathBuf>,
    /// Rows that should be known.
    #[arg(long, value_name = "FILE|FOLDER", required_unless_present = "muse")]
    retain: Option<PathBuf>,
    /// A folder in the shape of MUSE in the place of both sets, with its own questions, prompts and scores.
    #[arg(
        long,
        value_name = "FOLDER",
        conflicts_with_all = ["forget", "retain", "join", "holdout", "questions", "others", "no_texts"]
    )]
    muse: Option<PathBuf>,
    /// How input and output become one text: space, none, question-answer, llama2 or chatml; by default that of the rows' format.
    #[arg(long, value_parser = rows::join, value_name = "JOIN")]
    join: Option<unlearn::row::Join>,
    #[command(flatten)]
    exam: exam::Flags,
    /// The gold standard: a model that never saw the forget set, or findings about it.
    #[arg(long, value_name = "FILE|FOLDER")]
    gold: Option<PathBuf>,
    /// Folder for findings.json and report.html; it must be empty.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

impl Flags {
    pub(super) fn outcome(&self, session: &Session) -> Result<Outcome> {
        folder::empty(&self.out)?;
        let model = self.model.read()?;
        let (forget_file, retain_file) = match (&self.muse, &self.forget, &self.retain) {
            (Some(folder), ..) => return self.muse(folder, &model, session),
            (None, Some(forget), Some(retain)) => (forget, retain),
            _ => return Err(Error::Usage("expected --forget and --retain, or --muse".into())),
        };
        let gold = self.gold.as_deref().map(|path| Gold::read(path, self.model.tokenizer.as_ref()));
        let gold = gold.transpose()?;
        let mut reading = Reading::of(self.join);
        let (forget, retain) = (reading.read(forget_file)?, reading.read(retain_file)?);
        let sitting = self.exam.sitting((&forget, &retain), reading, 0)?;
        if let Some(gold) = &gold {
            gold.check(&sitting, (&model, &self.model.model))?;
        }
        let examined = (&model, &model.net, &model.params);
        let found = sitting.examine(examined, "the model", session)?;
        // What was found first: nothing that follows can lose it.
        let mut out = Folder::named(self.out.clone());
        out.add(findings::FILE, findings::to_text(&found)?);
        out.write()?;
        let own = self.own_name();
        let mut warnings = found.cuts();
        warnings.extend(exam::overlap(&forget, &retain));
        let mut models = vec![(&*own, found)];
        let mut exams = Exams::default();
        if let Some(gold) = &gold {
            let of_gold = || gold.findings(&sitting, session);
            if let Some(of_gold) = exams.next("gold", &mut warnings, of_gold) {
                for (_, of) in &mut models {
                    exams.interrupted |=
                        gold.compare((of, examined), &sitting, session, &mut warnings).is_err();
                }
                models.push(("gold", of_gold));
            }
        }
        let of = |file: &Path, rows: &[unlearn::row::Row]| {
            format!("{}, {}", file.display(), rows::counted(rows.len(), 0))
        };
        let lines = [
            (
                "model",
                format!(
                    "{}, {} parameters",
                    self.model.model.display(),
                    count(model.n_params() as u64)
                ),
            ),
            ("forget set", of(forget_file, &forget)),
            ("retain set", of(retain_file, &retain)),
            ("held out", sitting.held_out()),
            ("questions", sitting.exam.questions.label()),
            ("join", sitting.join.to_string()),
            ("texts", sitting.texts()),
        ]
        .map(|(name, text)| (name.to_owned(), text))
        .to_vec();
        let results =
            Results { lines, warnings: &warnings, models: &models, trajectory: Vec::new() };
        let scores = results.add("Exam of a model", &mut out)?;
        let stale = out.stale(&plots::PICTURES);
        let (written, files) = out.finish();
        let stdout = format!("{}\n{scores}\n{written}", write::aligned(&results.lines));
        let stopped = exams.interrupted;
        Ok(Outcome { stdout, files, stale, notes: warnings, stopped, ..Outcome::default() })
    }

    /// What the model is called in tables, beside one before unlearning and gold.
    fn own_name(&self) -> String {
        let name = short(&self.model.model);
        if ["before", "gold"].contains(&&*name) { "model".to_owned() } else { name }
    }

    fn muse(&self, folder: &Path, model: &Model, session: &Session) -> Result<Outcome> {
        let read = |path: &PathBuf| Gold::read(path, self.model.tokenizer.as_ref())?.into_model();
        let gold = self.gold.as_ref().map(read).transpose()?;
        let own = self.own_name();
        let mut models = vec![(&*own, model)];
        models.extend(gold.as_deref().map(|gold| ("gold", gold)));
        let found = muse::examine(folder, &models, self.exam.exam_batch, session)?;
        let mut lines = vec![
            ("model".to_owned(), self.model.model.display().to_string()),
            ("sets".to_owned(), folder.display().to_string()),
        ];
        lines.extend(self.gold.iter().map(|path| ("gold".to_owned(), path.display().to_string())));
        found.outcome(&lines, &self.out)
    }
}
