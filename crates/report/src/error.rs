//! The one error type of the crate.

use std::io;
use std::path::{Path, PathBuf};

/// Everything that can go wrong while reporting.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation on a file or folder.
    #[error("could not {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb: `write`, `rename`, `read`.
        action: &'static str,
        /// The file or folder concerned.
        path: PathBuf,
        /// The reason the operating system gave.
        source: io::Error,
    },
    /// The folder that should hold a file does not exist.
    #[error("folder {} does not exist; create it first", path.display())]
    MissingFolder {
        /// The missing folder.
        path: PathBuf,
    },
    /// A path names no file, or names something that is not a regular file.
    #[error("{} is not a regular file and cannot be replaced", path.display())]
    NotAFile {
        /// The path as it was given.
        path: PathBuf,
    },
    /// The file to replace is marked read-only.
    #[error("{} is read-only and is not replaced", path.display())]
    ReadOnly {
        /// The protected file.
        path: PathBuf,
    },
    /// A value could not be turned into JSON.
    #[error("could not turn the value into JSON: {source}")]
    Serialize {
        /// The reason serde gave.
        source: serde_json::Error,
    },
    /// A value for a JSON-lines file is not a JSON object.
    #[error("a JSON-lines file holds one object per line, got `{got}`")]
    NotAnObject {
        /// The beginning of the JSON text.
        got: String,
    },
    /// A line of a JSON-lines file is damaged or has the wrong fields.
    #[error("{}:{line}: {source}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from one.
        line: usize,
        /// The reason serde gave.
        source: serde_json::Error,
    },
    /// A number that must be finite is not.
    #[error("{name} must be finite, got {got}")]
    NotFinite {
        /// What the number is.
        name: String,
        /// The number.
        got: f64,
    },
    /// Two lists that belong together differ in length.
    #[error("{what}: expected {expected} values, got {got}")]
    LengthMismatch {
        /// The list that was checked.
        what: String,
        /// Expected length.
        expected: usize,
        /// Actual length.
        got: usize,
    },
    /// A plot has nothing finite to show.
    #[error("plot `{title}` has no finite data")]
    EmptyPlot {
        /// Title of the plot.
        title: String,
    },
    /// A logarithmic axis has no positive value to show.
    #[error("plot `{title}`: the logarithmic {axis} axis has no positive data")]
    NoPositiveData {
        /// Title of the plot.
        title: String,
        /// `x` or `y`.
        axis: char,
    },
    /// The limits of an axis are unusable.
    #[error("plot `{title}`: the {axis} axis cannot run from {low} to {high}")]
    InvalidRange {
        /// Title of the plot.
        title: String,
        /// `x` or `y`.
        axis: char,
        /// Lower limit.
        low: f64,
        /// Upper limit.
        high: f64,
    },
    /// A stacked bar chart has a negative part.
    #[error("plot `{title}`: stacked bars need parts of at least zero, `{series}` has {got}")]
    NegativeStack {
        /// Title of the plot.
        title: String,
        /// The offending series.
        series: String,
        /// The negative value.
        got: f64,
    },
}

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An adapter for `map_err` that remembers what was tried and where.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_path_buf();
        move |source| Error::Io { action, path, source }
    }
}
