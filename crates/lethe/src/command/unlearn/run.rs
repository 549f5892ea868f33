//! `lethe unlearn run`: a model that forgets rows and keeps others.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use unlearn::exam::Findings;

use super::budget::Deadline;
use super::ending::{Ending, Known};
use super::exam::{self, Sitting};
use super::gold::Gold;
use super::job::{self, Job};
use super::method::Chosen;
use super::numbers::{Named, Numbers};
use super::page::{self, Contents};
use super::plots::{self, Trajectory};
use super::training::{CHECKPOINT, End, Trainer};
use super::{findings, folder, model, rows};
use crate::command::write::{self, Folder};
use crate::command::{Outcome, Session};
use crate::error::{Error, Result};

/// Flags of `lethe unlearn run`.
#[derive(Debug, Args)]
pub struct Flags {
    #[command(flatten)]
    model: model::Flags,
    #[command(flatten)]
    job: job::Flags,
    #[command(flatten)]
    exam: exam::Flags,
    /// The gold standard: a model that never saw the forget set, or findings about it.
    #[arg(long, value_name = "FILE|FOLDER", conflicts_with = "no_eval")]
    gold: Option<PathBuf>,
    /// Does not examine the model before and after.
    #[arg(long)]
    no_eval: bool,
    /// Folder for the model, run.json, findings.json and report.html; it must be empty, or --resume.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

/// Numbers of the whole run.
const RUN: &str = "run.json";

/// What one looks at.
const REPORT: &str = "report.html";

/// What an exam found before the first step.
const BEFORE: &str = "before.json";

/// What that exam asked of which model.
const ASKED: &str = "before.asked.json";

impl Flags {
    pub(super) fn outcome(&self, session: &Session) -> Result<Outcome> {
        let begun = Instant::now();
        let resume = self.job.training.resume;
        self.check_folder()?;
        self.job.check()?;
        let model = self.model.read()?;
        let gold = self.gold.as_deref().map(|path| Gold::read(path, self.model.tokenizer.as_ref()));
        let gold = gold.transpose()?;
        let job = self.job.job(model, &self.model.model)?;
        let sets = (&job.forget_rows[..], &job.retain_rows[..]);
        let sitting = match self.no_eval {
            true => None,
            false => Some(self.exam.sitting(sets, job.reading, self.job.training.seed)?),
        };
        if let (Some(gold), Some(sitting)) = (&gold, &sitting) {
            gold.check(sitting, (&job.model, &self.model.model))?;
        }
        let run = job.run()?;
        let before = match &sitting {
            Some(sitting) => Some(self.before(&job, sitting, session)?),
            None => None,
        };
        let mut trainer = Trainer {
            run: &run,
            session,
            name: "unlearning",
            saved: Some((self.out.join(CHECKPOINT), job.identity.clone())),
            begun,
            deadline: self.job.training.budget.map(|budget| Deadline::of_steps(budget, job.work())),
            until: None,
            better: None,
        };
        let mut state = trainer.start(&job.parts.trainable, resume)?;
        let end = trainer.go(&mut state)?;
        let known = Known {
            keep: self.job.ends.keep,
            no_time: trainer.no_time(&state, end),
            notes: before.iter().flat_map(Findings::cuts).collect(),
        };
        let ending = Ending::of((&job, &run), &mut state, end, known)?;
        // What was found of an earlier model says nothing of this one. Then the model first: nothing that follows can lose it.
        folder::remove(&self.out, &[findings::FILE, REPORT])?;
        let mut out = Folder::named(self.out.clone());
        out.add(RUN, write::json(&ending.json)?);
        job.model.add_files(&ending.params, &mut out)?;
        out.write()?;

        let mut models: Vec<(&str, Findings)> = before.into_iter().map(|f| ("before", f)).collect();
        let mut warnings = ending.warnings;
        let interrupted = end == End::Stopped;
        let mut exams = Exams { is_stopped: interrupted, missed: false, interrupted };
        if let Some(sitting) = &sitting {
            let examined = (&job.model, &job.model.net, &ending.params);
            let after = || sitting.examine(examined, "after", session);
            models.extend(exams.next("after", &mut warnings, after).map(|f| ("after", f)));
            if let Some(gold) = &gold {
                let found = || gold.findings(sitting, session);
                let found = exams.next("gold", &mut warnings, found);
                // Of a gold model that cannot be examined nothing else can be said either.
                for (name, of) in models.iter_mut().filter(|_| found.is_some()) {
                    let params = if *name == "before" { &job.model.params } else { &ending.params };
                    let of = (of, (&job.model, &job.model.net, params));
                    let compare = || gold.compare(of, sitting, session, &mut warnings);
                    exams.interrupted |= !exams.interrupted && compare().is_err();
                }
                exams.missed |= exams.interrupted;
                models.extend(found.map(|f| ("gold", f)));
            }
        }
        let trajectory = plots::trajectory(&Trajectory {
            checks: state.checks(),
            log: state.log(),
            kept: ending.kept,
            random_guess: job.random_guess(),
            is_vector: matches!(job.chosen, Chosen::TaskVector(_)),
        })?;
        let held_out = sitting.as_ref().map(|s| ("held out".to_owned(), s.held_out()));
        let lines: Vec<_> =
            job.lines.iter().cloned().chain(held_out).chain(ending.lines.iter().cloned()).collect();
        let is_over = matches!(end, End::Rule(_));
        if !is_over {
            warnings.push(format!(
                "{end}: the model is that after step {}; --resume goes on",
                ending.kept
            ));
        } else if exams.missed {
            warnings.push("the model is complete; --resume examines it again".to_owned());
        }
        let results = Results { lines, warnings: &warnings, models: &models, trajectory };
        let scores = results.add("Unlearning", &mut out)?;
        let mut stale = out.stale(&plots::PICTURES);
        if is_over && !exams.missed {
            stale.push(self.out.join(CHECKPOINT));
        }
        let (written, files) = out.finish();
        let mut stdout = format!("{}\n", write::aligned(&results.lines));
        if !scores.is_empty() {
            stdout += &format!("{scores}\n");
        }
        stdout += &written;
        let stopped = exams.interrupted;
        Ok(Outcome { stdout, notes: warnings, files, stale, stopped, ..Outcome::default() })
    }

    fn check_folder(&self) -> Result<()> {
        if self.job.training.resume {
            return folder::resumable(&self.out, (CHECKPOINT, RUN), &[BEFORE, ASKED]);
        }
        folder::empty(&self.out).map_err(|error| match error {
            Error::File { file, what } => {
                Error::file(file, format!("{what}, or go on with its run by --resume"))
            }
            other => other,
        })
    }

    /// Findings before the first step; those of the run that is gone on with, where the same was asked of the same model.
    fn before(&self, job: &Job, sitting: &Sitting, session: &Session) -> Result<Findings> {
        let (file, asked) = (self.out.join(BEFORE), self.out.join(ASKED));
        let identity = || -> Result<String> {
            let mut identity = self.exam.identity(sitting.join)?;
            job.model.identify(&mut identity)?;
            rows::identify(&mut identity, "forget", &self.job.forget)?;
            rows::identify(&mut identity, "retain", &self.job.retain)?;
            identity.add_contents(BEFORE, &file)?;
            write::json(&identity)
        };
        if self.job.training.resume && file.is_file() {
            let saved = std::fs::read_to_string(&asked).unwrap_or_default();
            if saved == identity()? {
                return findings::read(&file);
            }
        }
        let model = &job.model;
        let found = sitting.examine((model, &model.net, &model.params), "before", session)?;
        report::atomic::create_parent(&file)?;
        report::atomic::write(&file, findings::to_text(&found)?)?;
        report::atomic::write(&asked, identity()?)?;
        Ok(found)
    }
}

/// Exams after what matters most is written, so that none of them can lose it.
#[derive(Debug, Default)]
pub(super) struct Exams {
    /// Whether the steps were stopped: who does that expects no exam.
    is_stopped: bool,
    /// Whether one was not made or failed.
    missed: bool,
    /// Whether the user asked to stop.
    pub(super) interrupted: bool,
}

impl Exams {
    /// What an exam finds; nothing but a warning where it fails, or where the user asked to stop.
    pub(super) fn next(
        &mut self,
        name: &str,
        warnings: &mut Vec<String>,
        exam: impl FnOnce() -> Result<Findings>,
    ) -> Option<Findings> {
        let what = if name == "gold" { "the gold model" } else { "the model" };
        let found = if self.interrupted { Err(Error::Interrupted) } else { exam() };
        let why = match found {
            Ok(found) => return Some(found),
            Err(Error::Interrupted) => {
                self.interrupted = true;
                "Ctrl-C".to_owned()
            }
            Err(error) => error.to_string(),
        };
        self.missed = true;
        if !self.is_stopped {
            warnings.push(format!("{what} was not examined: {why}"));
        }
        None
    }
}

/// What is shown of a run or an exam.
pub(super) struct Results<'a> {
    pub(super) lines: Vec<(String, String)>,
    pub(super) warnings: &'a [String],
    /// Findings by name; those of `after`, or the only ones, are written.
    pub(super) models: &'a [(&'a str, Findings)],
    pub(super) trajectory: Vec<write::Picture>,
}

impl Results<'_> {
    /// Adds the page, pictures and findings; the scores as text.
    ///
    /// # Errors
    /// Plots that cannot be drawn, and gold of other definitions.
    pub(super) fn add(&self, title: &str, out: &mut Folder) -> Result<String> {
        let models: Vec<Named<'_>> = self.models.iter().map(|(name, f)| (*name, f)).collect();
        let gold = models.iter().find(|(name, _)| *name == "gold").map(|(_, f)| *f);
        let before = models.iter().find(|(name, _)| *name == "before").map(|(_, f)| *f);
        let numbers = match models.is_empty() {
            true => None,
            false => Some(Numbers::new(&models, gold, before)?),
        };
        let pareto = match models.is_empty() {
            true => None,
            false => plots::pareto(&models)?,
        };
        for picture in self.trajectory.iter().chain(&pareto) {
            out.add(picture.name, picture.svg.as_str());
        }
        let own = models.iter().find(|(name, _)| !["before", "gold"].contains(name));
        if let Some((_, own)) = own {
            out.add(findings::FILE, findings::to_text(own)?);
        }
        let contents = Contents {
            title,
            lines: &self.lines,
            warnings: self.warnings,
            models: &models,
            numbers: numbers.as_ref(),
            pareto: pareto.as_ref(),
            trajectory: &self.trajectory,
        };
        out.add(REPORT, page::html(&contents));
        Ok(numbers.map(|numbers| numbers.text()).unwrap_or_default())
    }
}

/// The last part of a path, to name a model by.
pub(super) fn short(path: &Path) -> String {
    let name = path.file_name().or_else(|| path.components().next_back().map(|c| c.as_os_str()));
    name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
