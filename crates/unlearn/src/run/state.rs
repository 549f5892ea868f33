//! What a run remembers between steps: everything that it resumes from.

use serde::de::DeserializeOwned;
use tensor_tree::{Checkpoint, StateReader, StateWriter, Tree};

use super::check::Check;
use super::log::StepLog;
use super::optimizer::OptimizerState;

/// Memory of a run. Saved and loaded, it goes on bit for bit.
#[derive(Clone, Debug)]
pub struct State {
    pub(super) step: u64,
    pub(super) params: Tree,
    /// The point before the last step, whose losses were finite: `params` itself may have none.
    pub(super) previous: Option<Tree>,
    pub(super) start: Tree,
    pub(super) optimizer: OptimizerState,
    pub(super) rates: Option<hessian_lr::controller::State>,
    pub(super) log: Vec<StepLog>,
    pub(super) checks: Vec<Check>,
    pub(super) best: Option<Best>,
    pub(super) in_a_row: u64,
}

/// The best point so far.
#[derive(Clone, Debug)]
pub struct Best {
    /// Steps taken before it.
    pub step: u64,
    /// Its parameters.
    pub params: Tree,
    /// Its quality, see [`Check::quality`].
    pub quality: f64,
}

impl State {
    /// Steps taken or skipped.
    #[must_use]
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The parameters that are trained.
    #[must_use]
    pub fn params(&self) -> &Tree {
        &self.params
    }

    /// Every step.
    #[must_use]
    pub fn log(&self) -> &[StepLog] {
        &self.log
    }

    /// Every check, that before the first step included.
    #[must_use]
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// The best point that a check saw.
    #[must_use]
    pub fn best(&self) -> Option<&Best> {
        self.best.as_ref()
    }
}

impl Checkpoint for State {
    fn save(&self, out: &mut StateWriter) -> tensor_tree::Result<()> {
        out.count("step", self.step)?;
        out.count("in_a_row", self.in_a_row)?;
        out.tree("params", &self.params)?;
        out.tree("start", &self.start)?;
        out.count("has_previous", u64::from(self.previous.is_some()))?;
        if let Some(previous) = &self.previous {
            out.tree("previous", previous)?;
        }
        out.part("optimizer", &self.optimizer)?;
        out.count("has_rates", u64::from(self.rates.is_some()))?;
        if let Some(rates) = &self.rates {
            out.part("rates", rates)?;
        }
        out.text("log", &json(&self.log)?)?;
        out.text("checks", &json(&self.checks)?)?;
        out.count("has_best", u64::from(self.best.is_some()))?;
        if let Some(best) = &self.best {
            out.count("best_step", best.step)?;
            out.number("best_quality", best.quality)?;
            out.tree("best", &best.params)?;
        }
        Ok(())
    }

    fn load(from: &mut StateReader<'_>) -> tensor_tree::Result<Self> {
        let best = |from: &mut StateReader<'_>| -> tensor_tree::Result<Best> {
            Ok(Best {
                step: from.count("best_step")?,
                quality: from.number("best_quality")?,
                params: from.tree("best")?,
            })
        };
        Ok(State {
            step: from.count("step")?,
            in_a_row: from.count("in_a_row")?,
            params: from.tree("params")?,
            start: from.tree("start")?,
            previous: match from.count("has_previous")? {
                1 => Some(from.tree("previous")?),
                _ => None,
            },
            optimizer: from.part("optimizer")?,
            rates: match from.count("has_rates")? {
                1 => Some(from.part("rates")?),
                _ => None,
            },
            log: read(&from.text("log")?)?,
            checks: read(&from.text("checks")?)?,
            best: if from.count("has_best")? == 1 { Some(best(from)?) } else { None },
        })
    }
}

fn json<T: serde::Serialize>(value: &T) -> tensor_tree::Result<String> {
    serde_json::to_string(value).map_err(|e| unreadable(&e))
}

fn read<T: DeserializeOwned>(text: &str) -> tensor_tree::Result<T> {
    serde_json::from_str(text).map_err(|e| unreadable(&e))
}

fn unreadable(error: &serde_json::Error) -> tensor_tree::Error {
    tensor_tree::Error::Checkpoint { path: None, reason: format!("log: {error}") }
}
