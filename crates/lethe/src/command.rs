//! The commands: flags in, an [`Outcome`] out. The files of an outcome are written at the end, each as a whole or not at all.

pub mod epsilon;
mod identity;
mod outcome;
mod saved;
mod session;
pub mod slope;
mod target;
pub mod train;
pub mod unlearn;
mod write;

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use clap::{Parser, Subcommand};
use report::interrupt::Interrupt;
use report::progress::Progress;

use crate::error::{Error, Result};
pub(crate) use outcome::File;
pub use outcome::Outcome;
pub(crate) use session::Session;

/// Private, forgetful and self-tuning learning, and sparse regression by SLOPE.
#[derive(Debug, Parser)]
#[command(name = "lethe", version, propagate_version = true)]
pub struct Flags {
    #[command(subcommand)]
    subject: Subject,
    /// Show no progress.
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Number of threads; by default, one for each core. Results do not depend on it.
    #[arg(long, global = true, value_name = "N")]
    threads: Option<usize>,
}

#[derive(Debug, Subcommand)]
enum Subject {
    /// What differential privacy a run has, and what to change so that it has a wanted one.
    Epsilon(Box<epsilon::Flags>),
    /// Regression by SLOPE and two-level SLOPE.
    #[command(subcommand)]
    Slope(slope::Command),
    /// Private training of a network on your own records, with a privacy statement at the end.
    Train(train::Flags),
    /// Removing what a language model learned of some rows, and examining what is left.
    #[command(subcommand)]
    Unlearn(unlearn::Command),
}

/// Runs a command and writes its files. Until the writing begins, `interrupt` ends it at once and no file is changed.
///
/// # Errors
/// [`Error::Interrupted`], and what is wrong with the flags, the data or the fit.
pub fn run(flags: Flags, interrupt: &Interrupt) -> Result<Outcome> {
    let Flags { subject, quiet, threads } = flags;
    if let Some(n) = threads {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n);
        pool.build_global().map_err(|e| Error::Usage(format!("--threads {n}: {e}")))?;
    }
    let progress = if quiet { Progress::off() } else { Progress::auto() };
    let session = Session { progress, interrupt: interrupt.clone() };
    // A single long fit looks at no flag; it is left behind, and has written nothing. Training and unlearning stop by
    // themselves.
    let stops = match &subject {
        Subject::Train(_) => true,
        Subject::Unlearn(command) => command.stops(),
        Subject::Epsilon(_) | Subject::Slope(_) => false,
    };
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let result = match subject {
            Subject::Epsilon(flags) => flags.outcome(&session),
            Subject::Slope(command) => command.outcome(&session),
            Subject::Train(flags) => flags.outcome(&session),
            Subject::Unlearn(command) => command.outcome(&session),
        };
        // Nobody listens any more after an interrupt.
        let _ = sender.send(result);
    });
    let outcome = loop {
        match receiver.recv_timeout(Duration::from_millis(20)) {
            Ok(result) => break result?,
            Err(RecvTimeoutError::Disconnected) => return Err(Error::NoResult),
            Err(RecvTimeoutError::Timeout) if interrupt.is_set() && !stops => {
                return Err(Error::Interrupted);
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    };
    if interrupt.is_set() && !stops {
        return Err(Error::Interrupted);
    }
    outcome.write()?;
    Ok(outcome)
}
