//! `lethe epsilon`: the epsilon of one run.

use clap::Args;
use serde_json::json;

use super::account::{Answer, run_json, run_lines};
use super::flags::{AccountFlags, RunFlags, refused, refused_alone};
use super::phase::Fill;
use crate::command::{Outcome, write};
use crate::error::Result;

/// Flags of the plain question.
#[derive(Debug, Args)]
pub(super) struct Question {
    #[command(flatten)]
    run: RunFlags,
    #[command(flatten)]
    account: AccountFlags,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Question {
    pub(super) fn outcome(&self) -> Result<Outcome> {
        let spec = self.run.spec();
        let run = spec.run(Fill::default()).map_err(refused)?;
        let delta = spec.delta().map_err(refused_alone)?;
        let answer = Answer::of(&self.account.chosen()?, &run.accounted(), delta)?;
        let stdout = if self.json {
            write::json(&json!({
                "format": "lethe-epsilon",
                "version": 1,
                "epsilon": answer.json(),
                "run": run_json(&run, delta),
            }))?
        } else {
            let mut lines = vec![("epsilon".to_owned(), answer.epsilon.to_string())];
            lines.extend(run_lines(&run, delta));
            lines.push(("accountant".into(), answer.accountant_words()));
            write::aligned(&lines)
        };
        Ok(Outcome { stdout, notes: answer.notes(&run, delta), ..Outcome::default() })
    }
}
