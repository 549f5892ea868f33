//! What is saved between two steps, so that a run can go on: parameters, memories, and the course so far.

use std::path::Path;

use dp_core::ClipThresholds;
use dp_core::hyfree::HyFreeState;
use serde::{Deserialize, Serialize};
use tensor_tree::{Checkpoint, StateReader, StateWriter, Tree};

use crate::command::identity::Identity;
use crate::command::saved::Kind;
use crate::error::{Error, Result};

/// Checkpoints of private runs.
const KIND: Kind = Kind { name: "lethe/train", flag: "--output" };

/// A run between two steps. No key is in it.
#[derive(Clone, Debug)]
pub(super) struct RunState<M> {
    pub(super) step: u64,
    pub(super) params: Tree,
    pub(super) memory: Memory<M>,
    pub(super) thresholds: ClipThresholds,
    pub(super) course: Vec<Point>,
}

/// Memory of the optimizer, with that of the rates where they are found.
#[derive(Clone, Debug)]
pub(super) enum Memory<M> {
    Given(M),
    Found(Box<HyFreeState<M>>),
}

/// What may be shown of the run after a step.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) struct Point {
    /// Steps taken.
    pub(super) step: u64,
    /// Rate of the last of them.
    pub(super) rate: f64,
    /// Clip norm of the last of them.
    pub(super) clip_norm: f64,
    /// Accuracy on the test set.
    pub(super) accuracy: Option<f64>,
}

impl<M: Checkpoint> RunState<M> {
    /// Writes the state; the file is the old one or the new one.
    pub(super) fn write(&self, path: &Path, identity: &Identity) -> Result<()> {
        let mut out = StateWriter::new();
        out.count("step", self.step)?;
        out.tree("params", &self.params)?;
        match &self.memory {
            Memory::Given(memory) => out.part("optimizer", memory)?,
            Memory::Found(memory) => out.part("optimizer and rates", &**memory)?,
        }
        out.part("clipping", &self.thresholds)?;
        out.text("course", &crate::command::write::json(&self.course)?)?;
        KIND.write(path, identity, &out.finish())
    }

    /// Reads the state of the same run; none if there is no file.
    pub(super) fn read(
        path: &Path,
        identity: &Identity,
        finds_rates: bool,
    ) -> Result<Option<Self>> {
        let Some(state) = KIND.read(path, identity)? else { return Ok(None) };
        let mut from = StateReader::new(&state);
        let (step, params) = (from.count("step")?, from.tree("params")?);
        let memory = if finds_rates {
            Memory::Found(Box::new(from.part("optimizer and rates")?))
        } else {
            Memory::Given(from.part("optimizer")?)
        };
        let thresholds = from.part("clipping")?;
        let course = serde_json::from_str(&from.text("course")?)
            .map_err(|e| Error::file(path, format!("course: {e}")))?;
        Ok(Some(RunState { step, params, memory, thresholds, course }))
    }
}
