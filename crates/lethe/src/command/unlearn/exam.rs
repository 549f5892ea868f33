//! Exams of models: flags, progress, and a way to stop.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use candle_core::Device;
use clap::Args;
use serde_json::json;
use tape_nn::net::Llama;
use tensor_tree::{Key, Tree};
use unlearn::data;
use unlearn::exam::{Exam, Findings, Subject};
use unlearn::multiple_choice::Questions;
use unlearn::row::{Join, Row};

use super::findings;
use super::model::Model;
use super::rows::{self, Reading};
use crate::command::Session;
use crate::command::identity::Identity;
use crate::error::{Error, Result};

/// What an exam asks beside the sets to forget and to keep.
#[derive(Clone, Debug, Default, Args)]
#[group(skip)]
pub(super) struct Flags {
    /// Rows that no model saw, of documents like those to forget: for membership inference.
    #[arg(long, value_name = "FILE")]
    pub(super) holdout: Option<PathBuf>,
    /// Multiple-choice questions in the place of MMLU; a small made set by default.
    #[arg(long, value_name = "FILE")]
    pub(super) questions: Option<PathBuf>,
    /// Other sets that count for utility, such as real_authors=FILE world_facts=FILE for TOFU.
    #[arg(long, value_name = "NAME=FILE", num_args = 1.., value_parser = named)]
    pub(super) others: Vec<(String, PathBuf)>,
    /// Most tokens of a text that a model writes.
    #[arg(long, value_name = "TOKENS", default_value_t = 256)]
    pub(super) max_new: usize,
    /// Measures losses alone: no texts are written, which takes a fraction of the time.
    #[arg(long)]
    pub(super) no_texts: bool,
    /// Rows that are examined at once.
    #[arg(long, value_name = "ROWS", default_value_t = 16)]
    pub(super) exam_batch: usize,
}

fn named(text: &str) -> std::result::Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => {
            Ok((name.to_owned(), file.into()))
        }
        _ => Err(format!("expected NAME=FILE, got `{text}`")),
    }
}

/// An exam with how it is asked.
pub(super) struct Sitting {
    pub(super) exam: Exam,
    pub(super) join: Join,
    batch: usize,
    seed: u64,
}

impl Flags {
    /// The exam on these sets, which were read so.
    ///
    /// # Errors
    /// Those of files, with path and line, and of sets that are not joined as these.
    pub(super) fn sitting(
        &self,
        (forget, retain): (&[Row], &[Row]),
        mut reading: Reading,
        seed: u64,
    ) -> Result<Sitting> {
        let mut rows = |path: &Path| reading.read(path);
        let others: Result<Vec<_>> =
            self.others.iter().map(|(name, file)| Ok((name.clone(), rows(file)?))).collect();
        for (number, (name, _)) in self.others.iter().enumerate() {
            if self.others[..number].iter().any(|(other, _)| other == name) {
                return Err(Error::Usage(format!("--others names {name} twice")));
            }
        }
        let questions = match &self.questions {
            Some(file) => data::questions(file)?,
            None => Questions::made()?,
        };
        let exam = Exam {
            holdout: self.holdout.as_deref().map(&mut rows).transpose()?.unwrap_or_default(),
            questions,
            others: others?,
            max_new: self.max_new,
            generate: !self.no_texts,
            ..Exam::new(forget.to_vec(), retain.to_vec())?
        };
        for (rows, what) in [(forget, "forgotten"), (retain, "kept")] {
            let both = same_rows(rows, &exam.holdout);
            if let (Some(file), true) = (&self.holdout, 0 < both) {
                let what = format!(
                    "{both} of its rows are to be {what}: what is held out must be unseen, or membership inference says nothing"
                );
                return Err(Error::file(file, what));
            }
        }
        Ok(Sitting { exam, join: reading.join(), batch: self.exam_batch, seed })
    }
}

/// Number of rows of the second set that are in the first, whatever their ids.
pub(super) fn same_rows(one: &[Row], two: &[Row]) -> usize {
    let text = |row: &Row| (row.input.clone(), row.output.clone());
    let known: HashSet<_> = one.iter().map(text).collect();
    two.iter().filter(|row| known.contains(&text(row))).count()
}

/// What the user should know of sets that share rows; nothing where they do not.
pub(super) fn overlap(forget: &[Row], retain: &[Row]) -> Option<String> {
    let both = same_rows(forget, retain);
    (0 < both).then(|| format!("{both} rows are to be forgotten and to be kept"))
}

impl Flags {
    /// Everything that findings depend on beside the model and both sets: flags, and the contents of files.
    ///
    /// # Errors
    /// [`Error::File`] for a file that cannot be read.
    pub(super) fn identity(&self, join: Join) -> Result<Identity> {
        let flags = json!({ "max_new": self.max_new, "no_texts": self.no_texts });
        let mut identity = Identity::of(&flags, &[])?
            .with("join", join.to_string())
            .with("version of findings", findings::VERSION);
        if self.questions.is_none() {
            let made = Questions::made()?;
            identity = identity.with("questions", format!("{}, {}", made.label(), made.rule()));
        }
        for (key, file) in [("holdout", &self.holdout), ("questions", &self.questions)] {
            if let Some(file) = file {
                rows::identify(&mut identity, key, file)?;
            }
        }
        for (number, (name, file)) in self.others.iter().enumerate() {
            identity = identity.with(&format!("others {number}"), name.as_str());
            rows::identify(&mut identity, &format!("others {number}"), file)?;
        }
        Ok(identity)
    }
}

impl Sitting {
    /// What is held out, and how many documents membership inference tells apart.
    pub(super) fn held_out(&self) -> String {
        let rows = self.exam.holdout.len();
        let asked = self.exam.unanswered(self.join);
        let (members, nonmembers) = (asked.members.len(), asked.nonmembers.len());
        match nonmembers {
            0 => "no rows".to_owned(),
            _ => format!(
                "{}; membership inference tells {nonmembers} documents of them from {members} to be forgotten",
                rows::counted(rows, 0)
            ),
        }
    }

    /// Which texts are written.
    pub(super) fn texts(&self) -> String {
        match self.exam.generate {
            true => format!("greedy, of at most {} tokens", self.exam.max_new),
            false => "none".to_owned(),
        }
    }

    /// A model with these parameters, as it is asked.
    pub(super) fn subject<'a>(
        &self,
        (model, net, params): (&'a Model, &'a Llama, &'a Tree),
        frozen: &'a Tree,
    ) -> Subject<'a, Llama> {
        Subject {
            model: net,
            trainable: params,
            frozen,
            tokenizer: &model.tokenizer,
            join: self.join,
            end: model.end(),
            stops: &model.stops,
            device: &Device::Cpu,
            batch: self.batch,
        }
    }

    /// [`Subject::divergence`] of a model from the gold model, on rows to forget.
    ///
    /// # Errors
    /// [`Error::Interrupted`] if the user stops it; those of models with different tokens.
    pub(super) fn divergence(
        &self,
        of: (&Model, &Llama, &Tree),
        gold: (&Model, &Llama, &Tree),
        session: &Session,
    ) -> Result<f64> {
        let (rows, frozen) = (&self.exam.forget, Tree::new());
        let task = session.progress.task("comparing with the gold model", rows.len() as u64);
        let mut go_on = |done: usize| {
            task.set_position(done as u64);
            !session.interrupt.is_set()
        };
        let (of, gold) = (self.subject(of, &frozen), self.subject(gold, &frozen));
        let divergence = of.divergence(&gold, rows, &mut go_on)?;
        task.set_position(rows.len() as u64);
        task.finish();
        Ok(divergence)
    }

    /// Examines a model with these parameters; `name` is shown.
    ///
    /// # Errors
    /// [`Error::Interrupted`] if the user stops it; those of the model.
    pub(super) fn examine(
        &self,
        (model, net, params): (&Model, &Llama, &Tree),
        name: &str,
        session: &Session,
    ) -> Result<Findings> {
        let frozen = Tree::new();
        let subject = self.subject((model, net, params), &frozen);
        let exam = &self.exam;
        let total = exam.n_asked(self.join);
        let task = session.progress.task(format!("examining {name}"), total as u64);
        let (mut before, mut current) = (0, (String::new(), 0));
        let mut go_on = |set: &str, done: usize, n: usize| {
            if current.0 != set {
                before += current.1;
                current = (set.to_owned(), n);
                task.message(set.to_owned());
            }
            task.set_position((before + done) as u64);
            !session.interrupt.is_set()
        };
        let findings = exam.sit(&subject, Key::from_seed(self.seed), &mut go_on)?;
        task.set_position(total as u64);
        task.finish();
        Ok(findings)
    }
}
