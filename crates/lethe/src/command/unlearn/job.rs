//! Everything that is known before the first step of an unlearning run.

use std::path::{Path, PathBuf};

use candle_core::Device;
use clap::{Args, ValueEnum};
use serde::Serialize;
use tape_nn::net::Llama;
use tensor_tree::Tree;
use unlearn::batch::Item;
use unlearn::data;
use unlearn::feed::{Anchor, Pairing};
use unlearn::loss::{Loss, Needs, Objective, Reference};
use unlearn::method::Method;
use unlearn::row::{Join, Row};
use unlearn::run::{Ceiling, Check, Checks, Keep, Rate, Run, Settings, Stop};
use unlearn::trained::{Parts, Trained};

use super::budget::{self, Work};
use super::exam;
use super::method::{self, Chosen};
use super::model::Model;
use super::parts::{self, Phase};
use super::rows::{self, Reading};
use super::training::{self, Course, Feeding};
use crate::command::identity::Identity;
use crate::error::{Error, Result};

/// Passes over the forget set where nothing else is said.
const EPOCHS: f64 = 5.0;

/// Below this utility a model is said to be damaged.
const LOW_UTILITY: f64 = 0.5;

/// Most bytes of logits before unlearning, for methods that need them.
const MOST_BYTES: usize = 4 << 30;

/// What is forgotten and kept, and how.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub(super) struct Flags {
    /// Rows to forget: a file of JSON lines, or a folder of such files.
    #[arg(long, value_name = "FILE|FOLDER")]
    pub(super) forget: PathBuf,
    /// Rows to keep.
    #[arg(long, value_name = "FILE|FOLDER")]
    pub(super) retain: PathBuf,
    #[command(flatten)]
    pub(super) method: method::Flags,
    #[command(flatten)]
    pub(super) parts: parts::Flags,
    #[command(flatten)]
    pub(super) rows: rows::Flags,
    #[command(flatten)]
    pub(super) training: training::Flags,
    #[command(flatten)]
    pub(super) ends: Ends,
    /// Refusals, one a line, for methods that prefer them to answers.
    #[arg(long, value_name = "FILE")]
    pub(super) refusals: Option<PathBuf>,
}

/// Which rows a step sees, and where a run ends.
#[derive(Clone, Debug, Args, Serialize)]
#[group(skip)]
pub(super) struct Ends {
    /// The set whose passes --epochs counts; the other one follows.
    #[arg(long, value_enum, default_value_t = Set::Forget)]
    pub(super) anchor: Set,
    /// How rows of the other set are chosen.
    #[arg(long, value_enum, default_value_t = Pair::Random)]
    pub(super) pairing: Pair,
    /// Ends where the utility of a check, the part of the probability of each token to keep that is left, is below this.
    #[arg(long, value_name = "SHARE")]
    pub(super) utility_floor: Option<f64>,
    /// Ends where the forget loss reaches this: nats per token, `random-guess` or `none`.
    #[arg(long, value_name = "NATS", default_value = "random-guess", value_parser = ceiling)]
    #[serde(serialize_with = "as_words")]
    pub(super) forget_ceiling: Ceiling,
    /// Which parameters the run ends with; by default the last ones, or the best where a floor, time or Ctrl-C ends it.
    #[arg(long, value_enum)]
    pub(super) keep: Option<Kept>,
}

/// One of both sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Set {
    /// Rows to forget.
    Forget,
    /// Rows to keep.
    Retain,
}

/// How rows of the other set are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Pair {
    /// Uniformly, with replacement.
    Random,
    /// The row of the same number, shifted at random.
    Shifted,
    /// The row of the same number.
    Cyclic,
}

/// Which parameters a run ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kept {
    /// Those of the check with the best harmonic mean of utility and progress.
    Best,
    /// Those of the last step.
    Last,
}

fn ceiling(text: &str) -> std::result::Result<Ceiling, String> {
    match (text, text.parse::<f64>()) {
        ("random-guess", _) => Ok(Ceiling::RandomGuess),
        ("none", _) => Ok(Ceiling::None),
        (_, Ok(nats)) if 0.0 < nats && nats.is_finite() => Ok(Ceiling::Nats(nats)),
        _ => Err(format!(
            "expected a positive number of nats, `random-guess` or `none`, got `{text}`"
        )),
    }
}

fn as_words<S: serde::Serializer>(
    ceiling: &Ceiling,
    to: S,
) -> std::result::Result<S::Ok, S::Error> {
    match ceiling {
        Ceiling::RandomGuess => to.serialize_str("random-guess"),
        Ceiling::None => to.serialize_str("none"),
        Ceiling::Nats(nats) => to.serialize_f64(*nats),
    }
}

/// A model with samples of both sets, ready for steps.
pub(super) struct Job {
    pub(super) model: Model,
    /// The network that is trained, with adapters if there are some.
    net: Llama,
    pub(super) trained: Trained,
    pub(super) parts: Parts,
    pub(super) chosen: Chosen,
    pub(super) settings: Settings,
    /// What makes it this run.
    pub(super) identity: Identity,
    pub(super) forget_rows: Vec<Row>,
    pub(super) retain_rows: Vec<Row>,
    pub(super) reading: Reading,
    forget: Vec<Item>,
    retain: Vec<Item>,
    checks: Checks,
    /// What the user should know.
    pub(super) notes: Vec<String>,
    /// What is done, in names and values.
    pub(super) lines: Vec<(String, String)>,
}

impl Flags {
    /// Whether the flags go together; what the method does.
    ///
    /// # Errors
    /// [`Error::Usage`] with the flags.
    pub(super) fn check(&self) -> Result<Chosen> {
        let chosen = self.method.chosen()?;
        let named = &self.method.method;
        self.training.check_course(Course::Constant, self.method.is_automatic())?;
        if self.method.is_automatic() {
            chosen.of_steps()?.allows_automatic_rate().map_err(|error| {
                Error::Usage(format!("--method {named}: {error}, by --rate without --auto-lr"))
            })?;
        }
        if self.parts.adapeft.is_some() {
            let method = chosen.of_steps()?;
            let why = match chosen {
                Chosen::TaskVector(_) => {
                    "learns the forget set alone: nothing is weighed against keeping, by which layers are chosen"
                }
                Chosen::Directions(_)
                    if method.forget.needs().or(method.retain.needs()) != Needs::default() =>
                {
                    "looks back at the model as it was"
                }
                Chosen::Directions(_) => return Ok(chosen),
            };
            return Err(Error::Usage(format!(
                "--adapeft is not for --method {named}, which {why}"
            )));
        }
        Ok(chosen)
    }

    /// Reads rows, prepares samples and whatever the method needs of the model as it is, and chooses what is trained.
    ///
    /// # Errors
    /// Flags that do not go together; files, with path and line; rows that do not fit.
    pub(super) fn job(&self, model: Model, path: &Path) -> Result<Job> {
        let chosen = self.check()?;
        let method = chosen.of_steps()?;
        let needs = method.forget.needs().or(method.retain.needs());
        let refusals = self.read_refusals(needs)?;
        let mut reading = Reading::of(self.rows.join);
        let forget_rows = reading.read(&self.forget)?;
        let retain_rows = reading.read(&self.retain)?;
        let join = reading.join();
        let training = &self.training;
        let (long, drawn) = (self.rows.over_long, (&refusals[..], training.seed));
        let prepare =
            |path: &Path, rows: &[Row]| rows::prepare(&model, (path, rows), join, long, drawn);
        let forget = prepare(&self.forget, &forget_rows)?;
        let retain = prepare(&self.retain, &retain_rows)?;
        let notes = [rows::cut_note("forget", &forget), rows::cut_note("retain", &retain)];
        let overlap = exam::overlap(&forget_rows, &retain_rows);
        let notes: Vec<String> = notes.into_iter().chain([overlap]).flatten().collect();
        let (most, micro_batch) = (training.check_rows, training.micro_batch);
        let checks = Checks {
            forget: rows::passes(&forget.items, most, micro_batch)?,
            retain: rows::passes(&retain.items, most, micro_batch)?,
        };
        let (mut forget, mut retain) = (forget.items, retain.items);
        let n_pieces = (forget.len(), retain.len());
        if let Chosen::TaskVector(_) = chosen {
            // What is forgotten is learned first.
            retain.clone_from(&forget);
        }
        let feeding = self.feeding(chosen, (forget.len(), retain.len()));
        let steps = training.n_steps(feeding)?;
        let settings = self.settings(chosen, method, feeding, steps)?;
        let mut net = model.net.clone();
        let phase = Phase {
            forget: &forget,
            retain: &retain,
            method,
            steps,
            batch: training.batch,
            micro_batch,
            seed: training.seed,
        };
        let (trained, parts) = self.parts.split(&mut net, &model.params, training.seed, phase)?;
        let reference = Reference {
            model: &model.net,
            params: &model.params,
            frozen: &Tree::new(),
            device: &Device::Cpu,
            batch: micro_batch,
            most_bytes: MOST_BYTES,
        };
        reference.fill(&mut forget, method.forget)?;
        if method.recipe.uses_retain() {
            reference.fill(&mut retain, method.retain)?;
        }
        let rows = [
            rows::counted(forget_rows.len(), n_pieces.0),
            rows::counted(retain_rows.len(), n_pieces.1),
        ];
        let lines = self.lines(path, &model, rows, join, &parts, steps);
        let identity = self.identity(&model, join, steps)?;
        Ok(Job {
            model,
            net,
            trained,
            parts,
            chosen,
            settings,
            identity,
            forget_rows,
            retain_rows,
            reading,
            forget,
            retain,
            checks,
            notes,
            lines,
        })
    }

    fn read_refusals(&self, needs: Needs) -> Result<Vec<String>> {
        match &self.refusals {
            Some(file) if needs.refusal => Ok(data::refusals(file)?),
            None if needs.refusal => {
                let what = format!(
                    "--method {} needs --refusals FILE, a refusal on each line",
                    self.method.method
                );
                Err(Error::Usage(what))
            }
            Some(_) => {
                let what = format!(
                    "--refusals is for methods that prefer them to answers, got --method {}",
                    self.method.method
                );
                Err(Error::Usage(what))
            }
            None => Ok(Vec::new()),
        }
    }

    fn feeding(&self, chosen: Chosen, sizes: (usize, usize)) -> Feeding {
        Feeding {
            anchor: match (chosen, self.ends.anchor) {
                // What is learned is the anchor: an epoch sees each of its rows once.
                (Chosen::TaskVector(_), _) | (_, Set::Retain) => Anchor::Retain,
                (_, Set::Forget) => Anchor::Forget,
            },
            pairing: match self.ends.pairing {
                Pair::Random => Pairing::Random,
                Pair::Shifted => Pairing::Shifted,
                Pair::Cyclic => Pairing::Cyclic,
            },
            sizes,
            epochs: EPOCHS,
        }
    }

    fn settings(
        &self,
        chosen: Chosen,
        method: Method,
        feeding: Feeding,
        steps: u64,
    ) -> Result<Settings> {
        let (ends, training) = (&self.ends, &self.training);
        let stop = Stop {
            utility_floor: ends.utility_floor,
            forget_ceiling: ends.forget_ceiling,
            ..Stop::after(steps)
        };
        let keep = match ends.keep {
            Some(Kept::Best) => Keep::Best,
            _ => Keep::Last,
        };
        let rate = self.method.rate(training.course(Course::Constant, steps));
        let settings = training.settings(method, rate, feeding, (stop, keep));
        Ok(match chosen {
            Chosen::Directions(_) => settings,
            // While the forget set is learned nothing is lost yet, no loss of it is too high, and the last point is what it is taken for.
            Chosen::TaskVector(_) => {
                let Settings { method, anchor, stop, keep, .. } = Settings::learning(1.0, steps)?;
                Settings { method, anchor, stop, keep, ..settings }
            }
        })
    }

    /// Everything that the steps depend on: settings, and the contents of files.
    fn identity(&self, model: &Model, join: Join, steps: u64) -> Result<Identity> {
        #[derive(Serialize)]
        struct All<'a> {
            method: &'a method::Flags,
            parts: &'a parts::Flags,
            rows: &'a rows::Flags,
            training: &'a training::Flags,
            ends: &'a Ends,
        }
        let all = All {
            method: &self.method,
            parts: &self.parts,
            rows: &self.rows,
            training: &self.training,
            ends: &self.ends,
        };
        let mut identity =
            Identity::of(&all, &[])?.with("join", join.to_string()).with("number of steps", steps);
        model.identify(&mut identity)?;
        rows::identify(&mut identity, "forget", &self.forget)?;
        rows::identify(&mut identity, "retain", &self.retain)?;
        if let Some(file) = &self.refusals {
            rows::identify(&mut identity, "refusals", file)?;
        }
        Ok(identity)
    }

    fn lines(
        &self,
        path: &Path,
        model: &Model,
        [forget, retain]: [String; 2],
        join: Join,
        parts: &Parts,
        steps: u64,
    ) -> Vec<(String, String)> {
        let schedule = self.training.course(Course::Constant, steps);
        let optimizer = match self.training.optimizer {
            training::OptimizerName::Adamw => "AdamW",
            training::OptimizerName::Sgd => "plain descent",
        };
        let n_trained = report::number::count(parts.trainable.n_elements() as u64);
        [
            (
                "model",
                format!(
                    "{}, {} parameters",
                    path.display(),
                    report::number::count(model.n_params() as u64)
                ),
            ),
            ("method", self.method.method.clone()),
            ("trained", format!("{}, {n_trained} numbers", self.parts.words())),
            ("rate", self.method.rate_words(schedule)),
            ("optimizer", optimizer.to_owned()),
            ("rows to forget", format!("{}, {forget}", self.forget.display())),
            ("rows to keep", format!("{}, {retain}", self.retain.display())),
            ("join", join.to_string()),
            ("batch", format!("{} rows of each set", self.training.batch)),
            ("most steps", steps.to_string()),
            ("seed", self.training.seed.to_string()),
        ]
        .map(|(name, text)| (name.to_owned(), text))
        .to_vec()
    }
}

impl Job {
    /// The run.
    ///
    /// # Errors
    /// Settings out of range.
    pub(super) fn run(&self) -> Result<Run<'_, Llama>> {
        let sets = (&self.forget[..], &self.retain[..]);
        let (checks, settings) = (self.checks.clone(), self.settings.clone());
        Ok(Run::new((&self.net, &self.parts.frozen), sets, checks, settings, &Device::Cpu)?)
    }

    /// How much checks and steps compute.
    pub(super) fn work(&self) -> Work {
        let of = |items: &[Item]| budget::of_batch(&rows::lengths(items), self.settings.batch);
        let is_automatic = matches!(self.settings.rate, Rate::Auto(_));
        let sets = (of(&self.forget), of(&self.retain));
        Work::new(&rows::positions(&self.checks), sets, is_automatic)
    }

    /// One pass over rows of a check, those with the most tokens: to be timed.
    ///
    /// # Errors
    /// Those of the model.
    pub(super) fn pass(&self) -> Result<()> {
        let passes = self.checks.forget.iter().chain(&self.checks.retain);
        let longest = passes.max_by_key(|batch| batch.texts().ids.elem_count());
        let (model, frozen) = (&self.net, &self.parts.frozen);
        let objective = Objective { model, frozen, loss: Loss::NextToken };
        objective
            .value(&self.parts.trainable, longest.map(std::slice::from_ref).unwrap_or_default())?;
        Ok(())
    }

    /// The whole model with these trained parameters.
    ///
    /// # Errors
    /// If they are of something else.
    pub(super) fn merged(&self, trainable: &Tree) -> Result<Tree> {
        Ok(self.trained.merge(trainable, &self.parts.frozen)?)
    }

    /// What the user should know of parameters that have lost more than they should; nothing where they have not.
    pub(super) fn overdone(&self, at: &Check) -> Vec<String> {
        let mut out = Vec::new();
        let guess = self.random_guess();
        if guess < at.forget {
            let loss = at.forget;
            out.push(format!(
                "over-unlearned: the forget loss of these parameters is {loss:.3} nats, above that of a random guess, {guess:.3}"
            ));
        }
        if at.utility < LOW_UTILITY {
            out.push(format!(
                "the rows to keep are damaged: {:.1} % of the probability of each of their tokens is left",
                100.0 * at.utility
            ));
        }
        out
    }

    /// The loss of a random guess, in nats.
    pub(super) fn random_guess(&self) -> f64 {
        (self.model.config.vocab_size as f64).ln()
    }
}
