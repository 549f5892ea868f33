//! Other libraries' accountants, each in a process of its own.

use std::path::Path;

use crate::error::{Error, Result};
use crate::peers::client::Client;
use crate::peers::environment::Scripts;

/// An accountant of another library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// dp-accounting's distributions of the privacy loss, in Python with NumPy.
    DpAccounting,
    /// prv_accountant, the two-sided one of its paper.
    PrvAccountant,
    /// Opacus' accountant of the same method.
    OpacusPrv,
    /// Opacus' Renyi accountant.
    OpacusRdp,
}

impl Peer {
    /// All of them.
    pub const ALL: [Peer; 4] =
        [Peer::DpAccounting, Peer::PrvAccountant, Peer::OpacusPrv, Peer::OpacusRdp];

    /// The name in figures and on the worker's command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Peer::DpAccounting => "dp-accounting",
            Peer::PrvAccountant => "prv_accountant",
            Peer::OpacusPrv => "opacus-prv",
            Peer::OpacusRdp => "opacus-rdp",
        }
    }

    /// Our time is to be at most this share of its time.
    #[must_use]
    pub fn goal(self) -> f64 {
        match self {
            Peer::DpAccounting => 1.0 / 40.0,
            Peer::PrvAccountant => 1.0 / 250.0,
            Peer::OpacusPrv => 1.0 / 50.0,
            Peer::OpacusRdp => 1.0 / 100.0,
        }
    }
}

/// The Python environment with all of them.
#[derive(Debug)]
pub struct Environment(Scripts);

const SCRIPT: &str = "accountant_worker.py";

impl Environment {
    /// Makes the environment below `folder`, or finds it there; it is that of the engine benchmark.
    ///
    /// # Errors
    /// [`Error::Worker`] with the reason if there is no Python or a package cannot be installed.
    pub fn prepare(folder: &Path, progress: impl FnMut(&str)) -> Result<Self> {
        let script = (SCRIPT, include_str!("../../peers/accountant_worker.py"));
        Scripts::prepare_torch(folder, "accountant", script, progress)
            .map(Environment)
            .map_err(|e| Error::Worker { reason: e.to_string() })
    }

    /// Starts a process that asks `peer`, on one thread.
    ///
    /// # Errors
    /// [`Error::Worker`] if it does not become ready.
    pub fn start(&self, peer: Peer) -> Result<Client> {
        let mut command = self.0.command(SCRIPT);
        command.args(["--peer", peer.name()]);
        for name in ["OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "PYTHONPATH", "PYTHONHOME"] {
            command.env_remove(name);
        }
        Client::from_command(peer.name(), &mut command, 1)
    }
}
