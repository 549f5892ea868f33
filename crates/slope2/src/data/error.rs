//! What can be wrong with a file.

use std::path::{Path, PathBuf};

/// Errors of reading a table. Each names the file, and the line and column where there is one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to read the file.
    #[error("{}: cannot be read: {why}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// The reason that the operating system gave.
        why: String,
    },
    /// A damaged or truncated gzip stream.
    #[error("{}: damaged gzip stream: {why}", file.display())]
    Gzip {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// More bytes than are read.
    #[error("{}: expected at most {limit_bytes} bytes, uncompressed", file.display())]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// The limit.
        limit_bytes: u64,
    },
    /// A file without rows.
    #[error("{}: expected at least one row of values, got none", file.display())]
    Empty {
        /// The file.
        file: PathBuf,
    },
    /// A row with too few or too many cells.
    #[error("{}, line {line}: expected {expected} cells, got {got}", file.display())]
    Ragged {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// Cells of the first row.
        expected: usize,
        /// Cells of this one.
        got: usize,
    },
    /// A file with another number of rows than the one it belongs to.
    #[error("{}: expected {expected} rows, as in the file of the design, got {got}", file.display())]
    Rows {
        /// The file.
        file: PathBuf,
        /// Rows of the design.
        expected: usize,
        /// Rows of this file.
        got: usize,
    },
    /// A cell that cannot be meant. In a file without lines, `line` counts rows.
    #[error("{}, line {line}, column `{column}`: expected {must}, got `{got}`", file.display())]
    Cell {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// The column's name.
        column: String,
        /// What the cell must be.
        must: String,
        /// The beginning of what it was.
        got: String,
    },
    /// A line that cannot be meant.
    #[error("{}, line {line}: expected {must}, got `{got}`", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What was expected.
        must: String,
        /// The beginning of what it was.
        got: String,
    },
    /// A column that is not there.
    #[error("{}: no column `{name}`; expected one of {columns}", file.display())]
    NoColumn {
        /// The file.
        file: PathBuf,
        /// What was asked for.
        name: String,
        /// The columns that are there.
        columns: String,
    },
    /// Columns that must all be there and are not.
    #[error("{}: expected the columns {names}, which are not there", file.display())]
    MissingColumns {
        /// The file.
        file: PathBuf,
        /// Their names.
        names: String,
    },
    /// One column asked to be two things.
    #[error("{}: column `{name}` cannot be both the {first} and the {second}", file.display())]
    TwoRoles {
        /// The file.
        file: PathBuf,
        /// The column.
        name: String,
        /// One of the things.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// A tensor that is not there or not as it must be.
    #[error("{}, tensor `{tensor}`: expected {must}, got {got}", file.display())]
    Tensor {
        /// The file.
        file: PathBuf,
        /// The tensor's name.
        tensor: &'static str,
        /// What it must be.
        must: String,
        /// What it was.
        got: String,
    },
    /// A table without what was asked of it.
    #[error("{}: {what}", file.display())]
    Without {
        /// The file.
        file: PathBuf,
        /// What is not there.
        what: &'static str,
    },
}

/// Results of reading a table.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(super) fn line(file: &Path, line: u64, must: impl Into<String>, got: &[u8]) -> Self {
        Error::Line { file: file.to_owned(), line, must: must.into(), got: shown(got) }
    }
}

/// The first 32 characters of a text.
pub(super) fn shown(text: &[u8]) -> String {
    // A character has at most four bytes, so the cut keeps errors small for endless cells.
    String::from_utf8_lossy(&text[..text.len().min(128)]).chars().take(32).collect()
}

/// Names in quotes, the first few of many.
pub(super) fn listed<S: AsRef<str>>(names: &[S]) -> String {
    const MOST: usize = 8;
    let first =
        names.iter().take(MOST).map(|name| format!("`{}`", shown(name.as_ref().as_bytes())));
    let mut text = first.collect::<Vec<_>>().join(", ");
    if MOST < names.len() {
        text += &format!(" and {} more", names.len() - MOST);
    }
    text
}
