//! What is saved between two steps, so that a run can go on: parameters, memories, and the course so far.

use std::path::Path;

use dp_core::ClipThresholds;
use dp_core::hyfree::HyFreeState;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tensor_tree::checkpoint::{self, Header};
use tensor_tree::{Checkpoint, StateReader, StateWriter, Tree};

use super::config::Config;
use crate::error::{Error, Result};

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
    pub(super) fn write(&self, path: &Path, config: &Config) -> Result<()> {
        let mut out = StateWriter::new();
        out.count("step", self.step)?;
        out.tree("params", &self.params)?;
        match &self.memory {
            Memory::Given(memory) => out.part("optimizer", memory)?,
            Memory::Found(memory) => out.part("optimizer and rates", &**memory)?,
        }
        out.part("clipping", &self.thresholds)?;
        out.text("course", &crate::command::write::json(&self.course)?)?;
        report::atomic::create_parent(path)?;
        report::atomic::remove_leftovers(path)?;
        Ok(checkpoint::write(path, &header(config)?, &out.finish())?)
    }

    /// Reads the state of the same configuration; none if there is no file.
    pub(super) fn read(path: &Path, config: &Config) -> Result<Option<Self>> {
        if !path.exists() {
            return Ok(None);
        }
        let state = checkpoint::read(path, &header(config)?)?;
        let mut from = StateReader::new(&state);
        let (step, params) = (from.count("step")?, from.tree("params")?);
        let memory = if config.training.finds_rates() {
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

fn header(config: &Config) -> Result<Header> {
    let digest = Sha256::digest(crate::command::write::json(config)?);
    let config = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Header { kind: "lethe/train".into(), config })
}
