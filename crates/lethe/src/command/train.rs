//! `lethe train`: private training of a network on the user's own data, with a ledger and a statement at the end.

mod budget;
mod config;
mod data;
mod finish;
mod net;
mod plan;
mod run;
mod saved;

use std::path::PathBuf;

use clap::Args;

use super::{Outcome, Session};
use crate::error::Result;

/// Flags of `lethe train`.
#[derive(Debug, Args)]
pub struct Flags {
    /// The run, as a TOML file; paths in it are relative to its folder.
    config: PathBuf,
    /// Where checkpoint, ledger and results go. A run that was stopped goes on from there.
    #[arg(long, short, value_name = "FOLDER", default_value = "lethe-train")]
    output: PathBuf,
    /// Only say what the run would be: its plan, its network, and whether it can be trained privately.
    #[arg(long)]
    plan: bool,
}

impl Flags {
    pub(super) fn outcome(&self, session: &Session) -> Result<Outcome> {
        let config = config::read(&self.config)?;
        let prepared = run::Prepared::new(config, &self.output)?;
        if self.plan {
            return Ok(prepared.outcome());
        }
        let trained = run::train(&prepared, session)?;
        finish::outcome(&prepared, &trained)
    }
}
