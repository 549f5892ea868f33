//! Everything of a run that a checkpoint holds.

use std::path::Path;

use candle_core::DType;
use dp_core::StepDiagnostics;
use sha2::{Digest, Sha256};
use tensor_tree::checkpoint::{self, Header};
use tensor_tree::{Losses, Stage, StateReader, StateWriter, Tree};

use crate::error::{Error, Result};
use crate::number::Numbers;
use crate::outcome::Point;
use crate::problem::Quality;

const KIND: &str = "bench-suite/run";

/// Parameters, progress and curves.
#[derive(Clone, Debug)]
pub(super) struct RunState {
    pub(super) params: Tree,
    pub(super) step: u64,
    pub(super) points: Vec<Point>,
    pub(super) norms: Vec<f64>,
    pub(super) train_s: f64,
    loss_sum: f64,
    n_losses: u64,
    n_clipped: u64,
    n_seen: u64,
}

impl RunState {
    pub(super) fn new(params: Tree) -> Self {
        RunState {
            params,
            step: 0,
            points: Vec::new(),
            norms: Vec::new(),
            train_s: 0.0,
            loss_sum: 0.0,
            n_losses: 0,
            n_clipped: 0,
            n_seen: 0,
        }
    }

    pub(super) fn observe(&mut self, shown: &StepDiagnostics) {
        self.loss_sum += shown.losses.iter().sum::<f64>();
        self.n_losses += shown.losses.len() as u64;
        let factors = shown.clip.factors.iter().flatten();
        self.n_clipped += factors.clone().filter(|f| **f < 1.0 - 1e-5).count() as u64;
        self.n_seen += factors.count() as u64;
        if !shown.clip.norms.is_empty() {
            self.norms.clone_from(&shown.clip.norms);
        }
    }

    pub(super) fn observe_losses(&mut self, losses: &Losses) -> Result<()> {
        let losses = losses.per_sample()?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
        self.loss_sum += losses.iter().sum::<f64>();
        self.n_losses += losses.len() as u64;
        Ok(())
    }

    /// Closes the present stretch of the curves.
    pub(super) fn point(&mut self, test: Quality, simulated_epsilon: Option<f64>) -> Point {
        let ratio = |a: f64, n: u64| (0 < n).then(|| a / n as f64);
        let mut sorted = self.norms.clone();
        sorted.sort_by(f64::total_cmp);
        let private = simulated_epsilon.is_some();
        let point = Point {
            step: self.step,
            train_loss: ratio(self.loss_sum, self.n_losses),
            test,
            simulated_epsilon,
            clip_rate: ratio(self.n_clipped as f64, self.n_seen).filter(|_| private),
            median_norm: sorted.get(sorted.len() / 2).copied(),
        };
        (self.loss_sum, self.n_losses, self.n_clipped, self.n_seen) = (0.0, 0, 0, 0);
        self.points.push(point);
        point
    }

    pub(super) fn save(&self, path: &Path, config: &str, optimizer: &dyn Stage) -> Result<()> {
        let mut out = StateWriter::new();
        out.tree("params", &self.params)?;
        out.scope("optimizer", |out| optimizer.save(out))?;
        for (name, value) in [
            ("step", self.step),
            ("n_losses", self.n_losses),
            ("n_clipped", self.n_clipped),
            ("n_seen", self.n_seen),
        ] {
            out.count(name, value)?;
        }
        out.number("train_s", self.train_s)?;
        out.number("loss_sum", self.loss_sum)?;
        let bad =
            |e: serde_json::Error| Error::Outcome { file: path.to_owned(), reason: e.to_string() };
        out.text("points", &serde_json::to_string(&self.points).map_err(bad)?)?;
        out.text("norms", &serde_json::to_string(&self.norms.written()).map_err(bad)?)?;
        let header = Header { kind: KIND.into(), config: config.into() };
        Ok(checkpoint::write(path, &header, &out.finish())?)
    }

    pub(super) fn load(path: &Path, config: &str, optimizer: &mut dyn Stage) -> Result<Self> {
        let header = Header { kind: KIND.into(), config: config.into() };
        let state = checkpoint::read(path, &header)?;
        let mut from = StateReader::new(&state);
        let bad =
            |e: serde_json::Error| Error::Outcome { file: path.to_owned(), reason: e.to_string() };
        let loaded = RunState {
            params: from.tree("params")?,
            step: from.count("step")?,
            points: serde_json::from_str(&from.text("points")?).map_err(bad)?,
            norms: Vec::read(serde_json::from_str(&from.text("norms")?).map_err(bad)?)
                .map_err(|reason| Error::Outcome { file: path.to_owned(), reason })?,
            train_s: from.number("train_s")?,
            loss_sum: from.number("loss_sum")?,
            n_losses: from.count("n_losses")?,
            n_clipped: from.count("n_clipped")?,
            n_seen: from.count("n_seen")?,
        };
        from.scope("optimizer", |from| optimizer.load(from))?;
        Ok(loaded)
    }
}

/// SHA-256 of names, shapes and bits of all leaves.
pub(super) fn fingerprint(params: &Tree) -> Result<String> {
    let mut hash = Sha256::new();
    for (name, leaf) in params.iter() {
        hash.update(format!("{name} {:?} {:?}", leaf.dims(), leaf.dtype()));
        for value in leaf.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()? {
            hash.update(value.to_bits().to_le_bytes());
        }
    }
    Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect())
}
