//! Why a peer is absent or fell silent.

use std::{io, path::PathBuf, time::Duration};

use super::Peer;

/// Shorthand for results of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong while an environment is made or a worker is asked.
///
/// `stderr` is the end of what the process wrote there, and may be empty.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No Python interpreter on the search path.
    #[error("no Python interpreter found (tried {}); install Python {min} or newer", tried.join(", "))]
    NoPython {
        /// The names that were tried.
        tried: Vec<String>,
        /// The oldest release that the pinned packages accept.
        min: &'static str,
    },
    /// The interpreter is older than the pinned packages accept.
    #[error("`{python}`: expected Python {min} or newer, got {got}")]
    OldPython {
        /// The interpreter.
        python: String,
        /// The oldest release that the pinned packages accept.
        min: &'static str,
        /// What it says of itself.
        got: String,
    },
    /// A step of the installation ended with a failure.
    #[error("{step} failed ({status}){}", tail(stderr))]
    Step {
        /// What was done, in words.
        step: &'static str,
        /// How the process ended.
        status: String,
        /// The end of its stderr.
        stderr: String,
    },
    /// A step of the installation took too long and was stopped.
    #[error("{step} took longer than {} s{}", limit.as_secs(), tail(stderr))]
    StepTimeout {
        /// What was done, in words.
        step: &'static str,
        /// The time it had.
        limit: Duration,
        /// The end of its stderr.
        stderr: String,
    },
    /// A program could not be started at all.
    #[error("{what} could not be started")]
    Start {
        /// What was to be started.
        what: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file of the environment could not be read or written.
    #[error("`{file}`: cannot be read or written")]
    File {
        /// The file or folder.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The peer's packages could not be installed earlier.
    #[error("{peer} is absent here: {reason}")]
    Absent {
        /// The peer.
        peer: Peer,
        /// The error of the installation in words.
        reason: String,
    },
    /// The worker ended before it had answered.
    #[error("the worker of {peer} ended without an answer ({status}){}", tail(stderr))]
    Died {
        /// The peer.
        peer: Peer,
        /// How the process ended.
        status: String,
        /// The end of its stderr.
        stderr: String,
    },
    /// The worker did not answer in time and was stopped.
    #[error("the worker of {peer} gave no answer within {} s{}", limit.as_secs_f64(), tail(stderr))]
    Timeout {
        /// The peer.
        peer: Peer,
        /// The time it had.
        limit: Duration,
        /// The end of its stderr.
        stderr: String,
    },
    /// The worker's answer is not what the protocol asks for.
    #[error("the worker of {peer}: expected {expected}, got `{got}`{}", tail(stderr))]
    Answer {
        /// The peer.
        peer: Peer,
        /// What the answer must hold.
        expected: String,
        /// The answer, cut to 120 characters.
        got: String,
        /// The end of its stderr.
        stderr: String,
    },
    /// The worker has failed before and answers no more.
    #[error("the worker of {peer} was stopped after an earlier error")]
    Stopped {
        /// The peer.
        peer: Peer,
    },
}

/// The last words of a process as the end of a sentence.
fn tail(stderr: &str) -> String {
    if stderr.trim().is_empty() { String::new() } else { format!("; it said: {}", stderr.trim()) }
}
