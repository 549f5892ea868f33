//! Folders of results, which are never mixed with those of something else.

use std::path::Path;

use crate::error::{Error, Result};

/// Refuses a folder with anything in it, and a file in its place.
///
/// # Errors
/// [`Error::File`] with the folder.
pub(super) fn empty(path: &Path) -> Result<()> {
    if path.is_file() {
        return Err(Error::file(path, "expected a folder or nothing, got a file"));
    }
    if !path.is_dir() {
        return Ok(());
    }
    let mut entries = std::fs::read_dir(path).map_err(|e| Error::file(path, e))?;
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(Error::file(path, "the folder is not empty: name another one")),
    }
}
