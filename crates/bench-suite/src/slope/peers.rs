//! The other libraries: what they can do, and the process that asks them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;

use super::work::Chain;
use crate::error::{Error, Result};
use crate::peers::client::Client;
use crate::peers::environment::Scripts;

/// Buffers up to this size are kept by the allocator, as in our own program (glibc; no effect elsewhere).
const KEPT_BYTES: &str = "1073741824";

/// Another library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// libslope through its Python package: any sorted-L1 penalty.
    SortedL1,
    /// celer: the LASSO.
    Celer,
    /// skglm: the LASSO by its working sets and extrapolation.
    Skglm,
    /// scikit-learn: the LASSO by coordinate descent.
    ScikitLearn,
}

impl Peer {
    /// All of them.
    pub const ALL: [Peer; 4] = [Peer::SortedL1, Peer::Celer, Peer::Skglm, Peer::ScikitLearn];

    /// The name in figures and in requests.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Peer::SortedL1 => "sortedl1",
            Peer::Celer => "celer",
            Peer::Skglm => "skglm",
            Peer::ScikitLearn => "scikit-learn",
        }
    }

    /// The tolerance to try first: the loosest that may reach the gap.
    #[must_use]
    pub fn first_tolerance(self) -> f64 {
        match self {
            Peer::SortedL1 => 1e-4,
            Peer::Celer | Peer::Skglm | Peer::ScikitLearn => 1e-2,
        }
    }
}

/// One request to a peer.
#[derive(Clone, Debug, Serialize)]
pub struct Request<'a> {
    /// The penalties.
    pub chains: &'a [Chain],
    /// The library's own tolerance.
    pub tolerance: f64,
    /// How often.
    pub repeats: usize,
    /// Where the coefficients of the last time go.
    pub out: PathBuf,
}

/// The Python environment with all of them.
#[derive(Debug)]
pub struct Environment(Scripts);

impl Environment {
    /// Makes the environment below `folder`, or finds it there.
    ///
    /// # Errors
    /// [`Error::Worker`] with the reason if there is no Python or a package cannot be installed.
    pub fn prepare(folder: &Path, progress: impl FnMut(&str)) -> Result<Self> {
        let scripts = [("slope_worker.py", include_str!("../../peers/slope_worker.py"))];
        let requirements = include_str!("../../peers/requirements-slope.txt");
        Scripts::prepare(folder, "venv-slope", requirements, &scripts, progress)
            .map(Environment)
            .map_err(|e| Error::Worker { reason: e.to_string() })
    }

    /// Starts a process that measures `peer` on the design in `folder`, on one thread.
    ///
    /// # Errors
    /// [`Error::Worker`] if it does not become ready.
    pub fn start(&self, peer: Peer, folder: &Path) -> Result<Client> {
        let mut command = self.0.command("slope_worker.py");
        command.args(["--peer", peer.name(), "--design"]).arg(folder);
        clean(&mut command);
        Client::from_command(peer.name(), &mut command, 1)
    }
}

fn clean(command: &mut Command) {
    for name in ["OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "PYTHONPATH", "PYTHONHOME"] {
        command.env_remove(name);
    }
    for name in ["MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"] {
        command.env(name, KEPT_BYTES);
    }
}
