//! `lethe slope`: regression by SLOPE and two-level SLOPE.

mod design;
mod fit;
mod flags;
mod grid;
mod input;
mod model;
mod path;
mod plots;
mod predict;
mod statement;
mod tradeoff;

use clap::Subcommand;

use super::{Outcome, Session};
use crate::error::Result;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Fit one model, its strength given or chosen.
    Fit(Box<fit::Flags>),
    /// Fit a path of strengths.
    Path(Box<path::Flags>),
    /// Fit a grid of two-level penalties and choose a cell.
    Grid(Box<grid::Flags>),
    /// Predict the rows of a table by a saved model.
    Predict(predict::Flags),
    /// Draw the trade-off between true and false discoveries, in the limit of many columns.
    Tradeoff(tradeoff::Flags),
    /// Propose two levels for a wanted share of false discoveries, in the limit of many columns.
    Design(design::Flags),
}

impl Command {
    pub(super) fn outcome(&self, session: &Session) -> Result<Outcome> {
        match self {
            Command::Fit(flags) => flags.outcome(session),
            Command::Path(flags) => flags.outcome(session),
            Command::Grid(flags) => flags.outcome(session),
            Command::Predict(flags) => flags.outcome(),
            Command::Tradeoff(flags) => flags.outcome(session),
            Command::Design(flags) => flags.outcome(),
        }
    }
}
