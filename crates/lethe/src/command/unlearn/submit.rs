//! `lethe unlearn submit`: the entry point of the shared task.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use tensor_tree::Tree;
use unlearn::run::Keep;

use super::budget::{Budget, Deadline};
use super::ending::{Ending, Known};
use super::job::{self, Ends, Job, Kept, Pair, Set};
use super::training::{self, End, OptimizerName, Trainer, no_time};
use super::{folder, method, model, parts, rows};
use crate::command::write::{self, Folder};
use crate::command::{Outcome, Session};
use crate::error::Result;

/// Above so many parameters adapters are trained in the place of the model.
const FULL_UP_TO: usize = 10_000_000;

/// The part of utility that must be left.
const FLOOR: f64 = 0.9;

/// Passes over the forget set, if there is time.
const EPOCHS: f64 = 10.0;

/// Flags of `lethe unlearn submit`.
#[derive(Debug, Args)]
pub struct Flags {
    /// The model that knows both sets: a folder, or a .gguf file with --tokenizer.
    model: PathBuf,
    /// Folder for the model that has forgotten; it must be empty. From the first step on it holds the best one so far.
    out: PathBuf,
    /// Rows to forget: a folder of JSON lines, or a file.
    forget: PathBuf,
    /// Rows to keep.
    retain: PathBuf,
    /// Time from the start of the command to its end.
    #[arg(long, value_name = "TIME", default_value = "1h")]
    budget: Budget,
    /// The tokenizer, for a model that is a single file.
    #[arg(long, value_name = "FILE|FOLDER")]
    tokenizer: Option<PathBuf>,
    /// Of orders, pairs and adapters.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

impl Flags {
    pub(super) fn outcome(&self, session: &Session) -> Result<Outcome> {
        let begun = Instant::now();
        folder::empty(&self.out)?;
        let flags = model::Flags { model: self.model.clone(), tokenizer: self.tokenizer.clone() };
        let model = flags.read()?;
        let n_params = model.n_params();
        let job = self.job(n_params).job(model, &self.model)?;
        let run = job.run()?;
        // From here on a complete model lies in the folder, whatever happens. Writing it tells how long writing takes.
        let writing = Instant::now();
        let write = |params: &Tree| self.files(&job, params)?.write();
        write(&job.model.params)?;
        let mut deadline = Deadline::of_all(self.budget, job.work());
        deadline.saw_writing(writing.elapsed());
        let passing = Instant::now();
        job.pass()?;
        deadline.saw_pass(passing.elapsed());
        if !deadline.has_time_for_check(begun.elapsed()) {
            return self.as_it_was(&job, deadline.asks_for(begun.elapsed()));
        }
        let better = |params: &Tree| write(&job.merged(params)?);
        let mut trainer = Trainer {
            run: &run,
            session,
            name: "unlearning",
            saved: None,
            begun,
            deadline: Some(deadline),
            until: None,
            better: Some(&better),
        };
        let mut state = trainer.start(&job.parts.trainable, false)?;
        let end = trainer.go(&mut state)?;
        let no_time = trainer.no_time(&state, end);
        let known = Known { keep: Some(Kept::Best), no_time, ..Known::default() };
        let ending = Ending::of((&job, &run), &mut state, end, known)?;
        let mut outcome = self.files(&job, &ending.params)?;
        let lines: Vec<_> = job.lines.iter().chain(&ending.lines).cloned().collect();
        outcome.stdout = format!("{}\n{}", write::aligned(&lines), outcome.stdout);
        outcome.notes = ending.warnings;
        outcome.stopped = end == End::Stopped;
        Ok(outcome)
    }

    /// Normalized gradient difference by AdamW, with rates that are found, the best check above the floor kept.
    fn job(&self, n_params: usize) -> job::Flags {
        let lora = (FULL_UP_TO < n_params).then_some(16);
        job::Flags {
            forget: self.forget.clone(),
            retain: self.retain.clone(),
            method: method::Flags {
                method: "ngdiff".to_owned(),
                factor: None,
                rate: None,
                auto_lr: true,
            },
            parts: parts::Flags { lora, ..parts::Flags::default() },
            rows: rows::Flags { join: None, over_long: rows::Long::Cut },
            training: training::Flags {
                steps: None,
                epochs: Some(EPOCHS),
                batch: 32,
                micro_batch: 8,
                optimizer: OptimizerName::Adamw,
                weight_decay: 0.0,
                max_norm: None,
                schedule: None,
                warmup: 0,
                check_every: None,
                check_rows: 64,
                seed: self.seed,
                budget: Some(self.budget),
                resume: false,
            },
            ends: Ends {
                anchor: Set::Forget,
                pairing: Pair::Random,
                utility_floor: Some(FLOOR),
                forget_ceiling: unlearn::run::Ceiling::RandomGuess,
                keep: Some(Kept::Best),
            },
            refusals: None,
        }
    }

    /// Where there is no time for anything: the model lies in the folder already.
    fn as_it_was(&self, job: &Job, needed: Duration) -> Result<Outcome> {
        let mut lines = job.lines.clone();
        lines.push(("ended".to_owned(), End::Time.to_string()));
        let Outcome { stdout, .. } = self.files(job, &job.model.params)?;
        let stdout = format!("{}\n{stdout}", write::aligned(&lines));
        let mut notes = vec![no_time(needed)];
        notes.extend(job.notes.iter().cloned());
        Ok(Outcome { stdout, notes, ..Outcome::default() })
    }

    /// The model with these parameters, as files.
    fn files(&self, job: &Job, params: &Tree) -> Result<Outcome> {
        debug_assert!(job.settings.keep == Keep::Best);
        let mut out = Folder::named(self.out.clone());
        job.model.add_files(params, &mut out)?;
        let (stdout, files) = out.finish();
        Ok(Outcome { stdout, files, ..Outcome::default() })
    }
}
