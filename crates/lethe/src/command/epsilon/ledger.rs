//! `lethe epsilon ledger`: the privacy statement of a ledger file.

use std::path::PathBuf;

use clap::Args;
use dp_core::{Delta, LedgerFile};
use serde_json::json;

use super::flags::AccountFlags;
use crate::command::{Outcome, write};
use crate::error::{Error, Result};

/// Flags of `ledger`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// The ledger of a run, as `lethe train` and `dp_core::LedgerFile` leave it. It is only read, also while the run goes on.
    file: PathBuf,
    /// The delta of the statement.
    #[arg(long, value_name = "DELTA")]
    delta: f64,
    #[command(flatten)]
    account: AccountFlags,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Flags {
    pub(super) fn outcome(&self) -> Result<Outcome> {
        let delta = Delta::new(self.delta).map_err(|e| Error::Usage(format!("--delta: {e}")))?;
        let ledger = LedgerFile::read(&self.file)?;
        let chosen = self.account.chosen()?;
        // A refusal lists every reason.
        let statement = ledger.statement(chosen.as_dyn(), delta)?;
        let stdout = if self.json {
            write::json(&json!({
                "format": "lethe-epsilon-ledger",
                "version": 1,
                "epsilon": statement.epsilon(),
                "delta": delta.get(),
                "charges": ledger.n_charges(),
                "unit": ledger.unit().to_string(),
                "relation": ledger.relation().to_string(),
                "statement": statement.to_string(),
            }))?
        } else {
            format!("{} charges\n{statement}", ledger.n_charges())
        };
        Ok(Outcome { stdout, ..Outcome::default() })
    }
}
