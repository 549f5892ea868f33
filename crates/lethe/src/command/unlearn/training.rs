//! Steps of a run: flags, progress, time, Ctrl-C and checkpoints.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde::Serialize;
use tape_nn::net::Llama;
use tensor_tree::{AdamW, Schedule, Sgd, StateReader, StateWriter, Tree};
use unlearn::feed::{Anchor, Feed, Pairing};
use unlearn::method::Method;
use unlearn::run::{Ended, Keep, Optimizer, Rate, Run, Settings, State, Stop};

use super::budget::{Budget, Deadline};
use crate::command::Session;
use crate::command::identity::Identity;
use crate::command::saved::Kind;
use crate::error::{Error, Result};

/// Checkpoints of these commands.
const KIND: Kind = Kind { name: "lethe/unlearn", flag: "--out" };

/// The checkpoint in the folder of results.
pub(super) const CHECKPOINT: &str = "checkpoint.safetensors";

/// How steps are taken.
#[derive(Clone, Debug, Args, Serialize)]
#[group(skip)]
pub(super) struct Flags {
    /// Number of steps.
    #[arg(long, value_name = "N", conflicts_with = "epochs")]
    pub(super) steps: Option<u64>,
    /// Number of passes over the anchor set, in the place of --steps.
    #[arg(long, value_name = "N")]
    pub(super) epochs: Option<f64>,
    /// Rows of each set in a step.
    #[arg(long, value_name = "ROWS", default_value_t = 32)]
    pub(super) batch: usize,
    /// Most rows of a pass through the model: less needs less memory.
    #[arg(long, value_name = "ROWS", default_value_t = 8)]
    pub(super) micro_batch: usize,
    /// What makes steps of directions.
    #[arg(long, value_enum, default_value_t = OptimizerName::Adamw)]
    pub(super) optimizer: OptimizerName,
    /// Decay of weights, relative to the rate.
    #[arg(long, value_name = "DECAY", default_value_t = 0.0)]
    pub(super) weight_decay: f64,
    /// Bound of the norm of a direction.
    #[arg(long, value_name = "NORM")]
    pub(super) max_norm: Option<f64>,
    /// How a given rate changes over the steps.
    #[arg(long, value_enum)]
    pub(super) schedule: Option<Course>,
    /// Steps over which a given rate rises; for courses other than constant.
    #[arg(long, value_name = "STEPS", default_value_t = 0)]
    pub(super) warmup: u64,
    /// Steps between two checks, each of which is saved; a tenth of all by default.
    #[arg(long, value_name = "STEPS")]
    pub(super) check_every: Option<u64>,
    /// Most rows of each set in a check.
    #[arg(long, value_name = "ROWS", default_value_t = 64)]
    pub(super) check_rows: usize,
    /// Of orders, pairs, adapters and whatever else is drawn.
    #[arg(long, default_value_t = 0)]
    pub(super) seed: u64,
    /// Time from the start of the command to the end of the last step, such as 1h or 30m: none begins that would take longer.
    #[arg(long, value_name = "TIME")]
    #[serde(skip)]
    pub(super) budget: Option<Budget>,
    /// Goes on with the run in the folder, from its last checkpoint.
    #[arg(long)]
    #[serde(skip)]
    pub(super) resume: bool,
}

/// What makes steps of directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum OptimizerName {
    /// As in the papers.
    Adamw,
    /// Plain descent, for which the promises of NGDiff and BLUR hold.
    Sgd,
}

/// How a rate changes over the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Course {
    /// Not at all.
    Constant,
    /// It falls to zero along a line.
    Linear,
    /// It falls to zero along half a cosine.
    Cosine,
}

/// Which rows a step sees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Feeding {
    pub(super) anchor: Anchor,
    pub(super) pairing: Pairing,
    /// Rows to forget, and to keep.
    pub(super) sizes: (usize, usize),
    /// Passes where neither steps nor passes are given.
    pub(super) epochs: f64,
}

impl Flags {
    /// Number of steps.
    pub(super) fn n_steps(&self, feeding: Feeding) -> Result<u64> {
        let epochs = self.epochs.unwrap_or(feeding.epochs);
        if !(0.0 < epochs && epochs.is_finite()) {
            return Err(Error::Usage(format!(
                "--epochs: expected a positive number, got {epochs}"
            )));
        }
        let (n_forget, n_retain) = feeding.sizes;
        let feed = Feed {
            n_forget,
            n_retain,
            batch: self.batch,
            anchor: feeding.anchor,
            pairing: feeding.pairing,
            seed: self.seed,
        };
        Ok(self.steps.unwrap_or_else(|| feed.steps(epochs)))
    }

    /// Refuses what would change no rate: a course of rates that are found, and a warmup without a course.
    ///
    /// # Errors
    /// [`Error::Usage`] with the flag.
    pub(super) fn check_course(&self, default: Course, automatic: bool) -> Result<()> {
        let what = match (self.schedule, self.warmup) {
            (Some(_), _) if automatic => {
                "--schedule is for rates that are given by --rate without --auto-lr, not for rates that are found".into()
            }
            (_, steps) if automatic && 0 < steps => {
                format!("--warmup {steps} is for rates that are given by --rate without --auto-lr, not for rates that are found")
            }
            (course, steps) if 0 < steps && course.unwrap_or(default) == Course::Constant => {
                format!("--warmup {steps} is for --schedule linear or cosine, the rate is constant")
            }
            _ => return Ok(()),
        };
        Err(Error::Usage(what))
    }

    /// The course of a given rate.
    pub(super) fn course(&self, default: Course, total: u64) -> Schedule {
        let (warmup, floor) = (self.warmup, 0.0);
        match self.schedule.unwrap_or(default) {
            Course::Constant => Schedule::Constant,
            Course::Linear => Schedule::Linear { warmup, total, floor },
            Course::Cosine => Schedule::Cosine { warmup, total, floor },
        }
    }

    /// Settings of a run that ends after `stop`.
    pub(super) fn settings(
        &self,
        method: Method,
        rate: Rate,
        feeding: Feeding,
        (stop, keep): (Stop, Keep),
    ) -> Settings {
        let weight_decay = self.weight_decay;
        Settings {
            method,
            optimizer: match self.optimizer {
                OptimizerName::Adamw => {
                    Optimizer::AdamW(AdamW { weight_decay, ..AdamW::default() })
                }
                OptimizerName::Sgd => Optimizer::Sgd(Sgd { weight_decay }),
            },
            max_norm: self.max_norm,
            rate,
            batch: self.batch,
            micro_batch: self.micro_batch,
            anchor: feeding.anchor,
            pairing: feeding.pairing,
            stop,
            check_every: self.check_every.unwrap_or_else(|| (stop.steps / 10).max(1)),
            keep,
            seed: self.seed,
        }
    }
}

/// Why steps ended.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum End {
    /// By a rule of the run.
    Rule(Ended),
    /// What is to be learned is known.
    Known {
        /// Its loss, in nats for each token.
        loss: f64,
    },
    /// There was no time for another step.
    Time,
    /// The user stopped it.
    Stopped,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Rule(Ended::Steps) => f.write_str("all steps were taken"),
            End::Rule(Ended::UtilityFloor { utility }) => {
                write!(f, "utility fell to {utility:.4}, below its floor")
            }
            End::Rule(Ended::ForgetCeiling { forget }) => {
                write!(f, "the forget loss reached its ceiling, at {forget:.3} nats")
            }
            End::Rule(Ended::NonFinite) => {
                f.write_str("too many steps in a row had losses or directions that are not finite")
            }
            End::Known { loss } => write!(f, "the rows are known, with a loss of {loss:.4} nats"),
            End::Time => f.write_str("the time was up"),
            End::Stopped => f.write_str("stopped by Ctrl-C"),
        }
    }
}

/// That the budget is too short for a first step, and which one is not.
pub(super) fn no_time(needed: Duration) -> String {
    let seconds = needed.as_secs() + 1;
    format!(
        "NOTHING WAS UNLEARNED: no step was begun, since one may take too long with what must follow it; a budget of about {seconds}s begins one"
    )
}

/// What is done with parameters that are better than all before.
pub(super) type Better<'t> = dyn Fn(&Tree) -> Result<()> + 't;

/// Takes the steps of a run.
pub(super) struct Trainer<'t, 'r> {
    pub(super) run: &'t Run<'r, Llama>,
    pub(super) session: &'t Session,
    /// What is shown.
    pub(super) name: &'static str,
    /// Where the state is saved, and what makes it this run.
    pub(super) saved: Option<(PathBuf, Identity)>,
    /// When the command began.
    pub(super) begun: Instant,
    pub(super) deadline: Option<Deadline>,
    /// The loss of rows to keep at which they are known.
    pub(super) until: Option<f64>,
    /// Told of parameters that are better than all before.
    pub(super) better: Option<&'t Better<'t>>,
}

impl Trainer<'_, '_> {
    /// The state to begin with: a saved one where it is asked for, else that of these parameters.
    ///
    /// # Errors
    /// A checkpoint of another run or a damaged one; those of the model.
    pub(super) fn start(&mut self, params: &Tree, resume: bool) -> Result<State> {
        let saved = match (resume, &self.saved) {
            (true, Some((path, identity))) => KIND.read(path, identity)?,
            _ => None,
        };
        let looking = Instant::now();
        if let Some(saved) = saved {
            if let Some(deadline) = &mut self.deadline {
                // How long a check takes is not in the checkpoint.
                self.run.init(params.clone())?;
                deadline.saw_check(looking.elapsed());
            }
            return Ok(StateReader::new(&saved).part("run")?);
        }
        let state = self.run.init(params.clone())?;
        let (looked, writing) = (looking.elapsed(), Instant::now());
        self.save(&state)?;
        if let Some(deadline) = &mut self.deadline {
            deadline.saw_check(looked);
            deadline.saw_writing(writing.elapsed());
        }
        Ok(state)
    }

    /// What is said where there was no time for a step.
    pub(super) fn no_time(&self, state: &State, end: End) -> Option<String> {
        let deadline = self.deadline.filter(|_| end == End::Time && state.step() == 0)?;
        Some(no_time(deadline.asks_for(self.begun.elapsed())))
    }

    fn save(&self, state: &State) -> Result<()> {
        let Some((path, identity)) = &self.saved else { return Ok(()) };
        let mut out = StateWriter::new();
        out.part("run", state)?;
        KIND.write(path, identity, &out.finish())
    }

    /// Steps until something ends them. The state is saved at each check, and where time or the user ends them.
    ///
    /// # Errors
    /// Those of [`Run::advance`], and of files.
    pub(super) fn go(&mut self, state: &mut State) -> Result<End> {
        let steps = self.run.settings().stop.steps;
        let task = self.session.progress.task(self.name, steps);
        task.start_at(state.step());
        let end = loop {
            if let Some(ended) = self.run.ended(state) {
                break End::Rule(ended);
            }
            if let (Some(until), Some(last)) = (self.until, state.checks().last())
                && last.retain <= until
            {
                break End::Known { loss: last.retain };
            }
            let now = self.begun.elapsed();
            let is_late = self.deadline.is_some_and(|deadline| !deadline.has_time_for_step(now));
            if self.session.interrupt.is_set() || is_late {
                self.save(state)?;
                break if self.session.interrupt.is_set() { End::Stopped } else { End::Time };
            }
            let begun = Instant::now();
            let (n_checks, best) = (state.checks().len(), state.best().map(|best| best.step));
            self.run.advance(state)?;
            task.advance(1);
            let is_checked = n_checks < state.checks().len();
            if let Some(last) = state.checks().last().filter(|_| is_checked) {
                task.message(match self.until {
                    Some(_) => format!("loss {:.3}", last.retain),
                    None => format!("forget {:.3}, retain {:.3}", last.forget, last.retain),
                });
                if let (Some(better), Some(now)) = (self.better, state.best())
                    && best != Some(now.step)
                {
                    better(&now.params)?;
                }
                self.save(state)?;
            }
            if let Some(deadline) = &mut self.deadline {
                deadline.saw_step(begun.elapsed(), is_checked);
            }
        };
        match end {
            End::Time | End::Stopped => drop(task),
            End::Rule(_) | End::Known { .. } => task.finish(),
        }
        Ok(end)
    }
}
