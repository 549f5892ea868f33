//! `lethe unlearn`: language models that forget rows and keep others, and exams of what is left.

mod budget;
mod compare;
mod ending;
mod eval;
mod exam;
mod examples;
mod findings;
mod folder;
mod gold;
mod job;
mod make;
mod method;
mod model;
mod muse;
mod numbers;
mod page;
mod parts;
mod plots;
mod robust;
mod rows;
mod run;
mod score;
mod submit;
mod teach;
mod training;

use clap::Subcommand;

use super::{Outcome, Session};
use crate::error::Result;

/// What can be done about a language model and rows.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Makes sets to forget, to keep and to hold out, and questions, from a seed.
    Make(make::Flags),
    /// Teaches a language model rows until it knows them: targets of unlearning, and gold models without the rows to forget.
    Teach(Box<teach::Flags>),
    /// Makes a model forget rows and keep others, by any of the methods.
    Run(Box<run::Flags>),
    /// Examines a model: what it still writes, knows and betrays of rows.
    Eval(eval::Flags),
    /// Tests whether forgetting lasts: relearning, rounded weights, other words, many attempts, membership inference.
    Robust(Box<robust::Flags>),
    /// Compares findings of several exams in one table.
    Compare(compare::Flags),
    /// Scores anyone's generations by the rules of a shared task.
    #[command(subcommand)]
    Score(score::Command),
    /// The entry point of SemEval-2025 Task 4: a model, an empty folder, both sets and a time.
    Submit(submit::Flags),
}

impl Command {
    /// Whether it stops by itself when it is asked to.
    pub(super) fn stops(&self) -> bool {
        matches!(self, Command::Teach(_) | Command::Run(_) | Command::Submit(_))
    }

    pub(super) fn outcome(&self, session: &Session) -> Result<Outcome> {
        match self {
            Command::Make(flags) => flags.outcome(),
            Command::Teach(flags) => flags.outcome(session),
            Command::Run(flags) => flags.outcome(session),
            Command::Eval(flags) => flags.outcome(session),
            Command::Robust(flags) => flags.outcome(session),
            Command::Compare(flags) => flags.outcome(),
            Command::Score(command) => command.outcome(),
            Command::Submit(flags) => flags.outcome(session),
        }
    }
}
