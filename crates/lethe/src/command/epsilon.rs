//! `lethe epsilon`: what differential privacy a run has, and what to change so that it has a wanted one.

mod account;
mod batch;
mod calibrate;
mod curve;
mod explain;
mod flags;
mod ledger;
mod phase;
mod run;
mod spec;
mod swept;
mod tradeoff;
mod visits;

use clap::{Args, Subcommand};

use super::{Outcome, Session};
use crate::error::Result;

/// Flags of `lethe epsilon`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, allow_negative_numbers = true)]
pub struct Flags {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: run::Question,
}

/// The commands beside the plain question.
#[derive(Debug, Subcommand)]
enum Command {
    /// Find the noise, the steps or the sampling rate that spend a wanted epsilon and no more.
    #[command(allow_negative_numbers = true)]
    Calibrate(Box<calibrate::Flags>),
    /// Draw epsilon against delta, steps, noise or sampling rate.
    #[command(allow_negative_numbers = true)]
    Curve(Box<curve::Flags>),
    /// Say in words what an epsilon rests on, and what each accountant makes of the run.
    #[command(allow_negative_numbers = true)]
    Explain(Box<explain::Flags>),
    /// Draw what a test of `was this record in the data` can reach at best.
    #[command(allow_negative_numbers = true)]
    Tradeoff(Box<tradeoff::Flags>),
    /// Print the privacy statement of a ledger file, or every reason why there is none.
    #[command(allow_negative_numbers = true)]
    Ledger(ledger::Flags),
    /// Answer for each run of a file, JSON lines or CSV.
    #[command(allow_negative_numbers = true)]
    Batch(batch::Flags),
}

impl Flags {
    pub(super) fn outcome(&self, session: &Session) -> Result<Outcome> {
        match &self.command {
            None => self.run.outcome(),
            Some(Command::Calibrate(flags)) => flags.outcome(),
            Some(Command::Curve(flags)) => flags.outcome(session),
            Some(Command::Explain(flags)) => flags.outcome(),
            Some(Command::Tradeoff(flags)) => flags.outcome(session),
            Some(Command::Ledger(flags)) => flags.outcome(),
            Some(Command::Batch(flags)) => flags.outcome(session),
        }
    }
}
