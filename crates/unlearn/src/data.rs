//! Reading of files. Everything else in this crate takes values.

use std::fs;
use std::path::Path;

use crate::error::{Error, Result};
use crate::multiple_choice::Questions;

/// Multiple-choice questions from a file in the format of [`crate::multiple_choice`].
///
/// # Errors
/// [`Error::Read`] if it cannot be read, [`Error::InFile`] with the path and what [`Questions::parse`] says.
pub fn questions(path: &Path) -> Result<Questions> {
    let read = fs::read_to_string(path);
    let text = read.map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let wrong = |source| Error::InFile { path: path.to_owned(), source: Box::new(source) };
    Questions::parse(&text).map_err(wrong)
}
