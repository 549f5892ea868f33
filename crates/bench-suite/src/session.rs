//! What all tasks of one call share: folder, progress, interrupt, and where figures go.

use std::path::{Path, PathBuf};
use std::time::Duration;

use report::figures::{Better, Figure};
use report::interrupt::Interrupt;
use report::progress::Progress;

use crate::error::{Error, Result};
use crate::machine;

/// One call of the benchmark program.
#[derive(Debug)]
pub struct Session {
    /// Where results go: `target/bench`.
    pub folder: PathBuf,
    /// Whether finished and half-finished runs of an earlier call are used.
    pub resume: bool,
    /// Whether complete data sets and more seeds are wanted.
    pub full: bool,
    /// Whether other libraries are measured too.
    pub peers: bool,
    /// Only cases whose name contains one of these; all if there is none.
    pub only: Vec<String>,
    /// This program built for this very processor.
    pub native_worker: Option<PathBuf>,
    /// Time between checkpoints.
    pub checkpoint_every: Duration,
    /// Progress on the terminal.
    pub progress: Progress,
    /// Ctrl-C.
    pub interrupt: Interrupt,
    /// Commit of the sources.
    pub commit: String,
    /// Processor and system.
    pub machine: String,
}

impl Session {
    /// The peers' environment where peers are wanted; none, with a note, where it cannot be had.
    ///
    /// # Errors
    /// Those of `prepare` that say something else than that.
    pub(crate) fn peers_if_possible<T>(
        &self,
        prepare: impl FnOnce(&Path, &mut dyn FnMut(&str)) -> Result<T>,
    ) -> Result<Option<T>> {
        if !self.peers {
            return Ok(None);
        }
        match prepare(&self.path("peers"), &mut |line| self.progress.note(line)) {
            Err(Error::Worker { reason }) => {
                self.progress.note(format!("no peer is measured: {reason}"));
                Ok(None)
            }
            other => other.map(Some),
        }
    }

    /// A session of the workspace at `root`.
    ///
    /// # Errors
    /// If the folder for results cannot be made.
    pub fn new(root: &Path, progress: Progress, interrupt: Interrupt) -> Result<Self> {
        let folder = root.join("target/bench");
        report::atomic::create_parent(folder.join("runs/x"))?;
        Ok(Session {
            folder,
            resume: false,
            full: false,
            peers: false,
            only: Vec::new(),
            native_worker: None,
            checkpoint_every: Duration::from_secs(5),
            progress,
            interrupt,
            commit: machine::commit(root),
            machine: machine::machine(),
        })
    }

    /// Whether a case is wanted.
    #[must_use]
    pub fn wants(&self, case: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|text| case.contains(text.as_str()))
    }

    /// A path below the folder for results.
    #[must_use]
    pub fn path(&self, relative: &str) -> PathBuf {
        self.folder.join(relative)
    }

    /// For long work of `slope2`, which asks it after every fit.
    #[must_use]
    pub fn slope_progress(&self) -> impl slope2::Progress + '_ {
        |_: usize, _: usize| self.interrupt.flow()
    }

    /// Appends a figure to `figures.jsonl`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn figure(&self, task: &str, name: &str, value: f64, unit: &str, of: Spread) -> Result<()> {
        let figure = Figure {
            task: task.into(),
            figure: name.into(),
            value,
            unit: unit.into(),
            better: of.better,
            std: of.std,
            n_seeds: of.n_seeds,
            commit: self.commit.clone(),
            config: of.config,
            machine: self.machine.clone(),
        };
        Ok(report::figures::append(self.path("figures.jsonl"), &figure)?)
    }
}

/// How a figure's value came about.
#[derive(Clone, Debug)]
pub struct Spread {
    /// Which direction is good.
    pub better: Better,
    /// Standard deviation over seeds or runs.
    pub std: Option<f64>,
    /// Number of seeds.
    pub n_seeds: u32,
    /// Hash or description of the configuration.
    pub config: String,
}
