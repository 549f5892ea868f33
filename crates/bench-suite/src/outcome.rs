//! What a run leaves behind: curves, figures, and the fingerprint of its parameters.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::config::RunConfig;
use crate::error::{Error, Result};
use crate::problem::Quality;

/// A run at one of its evaluations.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Steps taken.
    pub step: u64,
    /// Mean training loss of the batches since the last point; none if they were all empty.
    #[serde(with = "crate::number")]
    pub train_loss: Option<f64>,
    /// Quality on held-out data.
    pub test: Quality,
    /// `simulated_epsilon` so far; none for a run that is not private.
    pub simulated_epsilon: Option<f64>,
    /// Share of samples whose gradient was shortened, since the last point.
    pub clip_rate: Option<f64>,
    /// Median norm of per-sample gradients, in the last batch.
    #[serde(with = "crate::number")]
    pub median_norm: Option<f64>,
}

/// A finished run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// What was run.
    pub config: RunConfig,
    /// The curves.
    pub points: Vec<Point>,
    /// Norms of per-sample gradients in the last batch.
    #[serde(with = "crate::number")]
    pub norms: Vec<f64>,
    /// Trainable parameters.
    pub n_params: usize,
    /// Noise multiplier, 0 if not private.
    pub noise_multiplier: f64,
    /// Time of all steps, evaluations left out, in seconds.
    pub train_s: f64,
    /// SHA-256 of the last parameters.
    pub fingerprint: String,
}

impl Outcome {
    /// The last point.
    #[must_use]
    pub fn last(&self) -> Option<&Point> {
        self.points.last()
    }

    /// Writes the outcome, whole or not at all.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string(self)
            .map_err(|e| Error::Outcome { file: file.to_owned(), reason: e.to_string() })?;
        Ok(report::atomic::write(file, text)?)
    }

    /// Reads an outcome; `None` if there is no such file.
    ///
    /// # Errors
    /// [`Error::Outcome`] if the file is something else.
    pub fn read(file: &Path) -> Result<Option<Self>> {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::Read { file: file.to_owned(), source }),
        };
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|e| Error::Outcome { file: file.to_owned(), reason: e.to_string() })
    }
}
