//! What can go wrong with a command, and the exit code of each.

use std::path::PathBuf;

/// Errors of the commands.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Flags that do not go together or cannot be meant.
    #[error("{0}")]
    Usage(String),
    /// A table that cannot be read.
    #[error(transparent)]
    Data(#[from] slope2::data::Error),
    /// A fit that cannot be made.
    #[error(transparent)]
    Slope(slope2::Error),
    /// A number that no accountant can take, or an event without an analysis.
    #[error(transparent)]
    Privacy(#[from] dp_core::Error),
    /// A target that nothing within reach meets, with what to change.
    #[error("{0}")]
    OutOfReach(String),
    /// A file that cannot be written, or a plot that cannot be drawn.
    #[error(transparent)]
    Report(#[from] report::Error),
    /// Something about a file: a saved model, a sequence of weights.
    #[error("{}: {what}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A checkpoint of a run with another configuration.
    #[error(
        "{}: it is of another run, with {key} = {there} and not {here}; use another {flag}, or restore that configuration",
        file.display()
    )]
    OtherRun {
        /// The checkpoint.
        file: PathBuf,
        /// The first key that differs.
        key: String,
        /// Its value in the configuration.
        here: String,
        /// Its value in the checkpoint.
        there: String,
        /// The flag that names another folder.
        flag: &'static str,
    },
    /// A network, or weights for one.
    #[error(transparent)]
    Network(#[from] tape_nn::Error),
    /// Parameters or a checkpoint.
    #[error(transparent)]
    Tree(#[from] tensor_tree::Error),
    /// Rows, methods and exams of unlearning.
    #[error(transparent)]
    Unlearn(unlearn::Error),
    /// A choice of what is trained.
    #[error(transparent)]
    Rates(#[from] hessian_lr::Error),
    /// The user asked training to stop.
    #[error("stopped after step {step} of {steps}; the same command goes on from there")]
    Paused {
        /// Steps taken and saved.
        step: u64,
        /// Steps of the whole run.
        steps: u64,
    },
    /// The user asked to stop.
    #[error("stopped before the end; no file was changed")]
    Interrupted,
    /// The work ended without a result.
    #[error("the work ended without a result; please report this")]
    NoResult,
}

/// Results of the commands.
pub type Result<T> = std::result::Result<T, Error>;

impl From<unlearn::Error> for Error {
    fn from(error: unlearn::Error) -> Self {
        match error {
            // Exams stop where the user asks for it.
            unlearn::Error::Model(tape_nn::Error::Stopped { .. }) => Error::Interrupted,
            other => Error::Unlearn(other),
        }
    }
}

impl From<slope2::Error> for Error {
    fn from(error: slope2::Error) -> Self {
        match error {
            slope2::Error::Cancelled => Error::Interrupted,
            error => Error::Slope(error),
        }
    }
}

impl Error {
    /// The exit code: 2 for flags, 130 for a stop that was asked for, else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Usage(_) => 2,
            Error::Interrupted | Error::Paused { .. } => 130,
            _ => 1,
        }
    }

    pub(crate) fn file(file: impl Into<PathBuf>, what: impl ToString) -> Self {
        Error::File { file: file.into(), what: what.to_string() }
    }
}
