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
        return writable(path);
    }
    let mut entries = std::fs::read_dir(path).map_err(|e| Error::file(path, e))?;
    match entries.next() {
        None => writable(path),
        Some(_) => Err(Error::file(path, "the folder is not empty: name another one")),
    }
}

/// Refuses a folder that cannot be made or written in, before any long work. Nothing is left behind but folders around a new one.
///
/// # Errors
/// [`Error::File`] with the folder.
fn writable(path: &Path) -> Result<()> {
    let is_new = !path.is_dir();
    let failed = |error| Error::file(path, format!("expected a folder to write in: {error}"));
    std::fs::create_dir_all(path).map_err(failed)?;
    let probe = path.join(".writable.tmp");
    let written = std::fs::write(&probe, []).and_then(|()| std::fs::remove_file(&probe));
    if is_new {
        // If it cannot be removed it is empty, which is as good.
        let _ = std::fs::remove_dir(path);
    }
    written.map_err(failed)
}

/// Refuses a folder whose run is complete, and one with anything in it that is not of a run: neither is to be gone on with, and nothing in
/// it is to be replaced. `others` are files that a run leaves before its checkpoint.
///
/// # Errors
/// [`Error::File`] with the folder.
pub(super) fn resumable(
    path: &Path,
    (checkpoint, result): (&str, &str),
    others: &[&str],
) -> Result<()> {
    if path.join(checkpoint).is_file() {
        return Ok(());
    }
    if path.join(result).is_file() {
        return Err(Error::file(path, "its run is complete: there is nothing to go on with"));
    }
    if !path.is_dir() {
        return empty(path);
    }
    for entry in std::fs::read_dir(path).map_err(|e| Error::file(path, e))? {
        let name = entry.map_err(|e| Error::file(path, e))?.file_name();
        let name = name.to_string_lossy();
        // What a process that was killed leaves of a file.
        let is_leftover = name.starts_with('.') && name.ends_with(".tmp");
        if !is_leftover && !others.contains(&&*name) {
            let what = format!(
                "there is no run to go on with: expected `{checkpoint}` or an empty folder, got `{name}`"
            );
            return Err(Error::file(path, what));
        }
    }
    Ok(())
}

/// Removes these files where they are there.
///
/// # Errors
/// [`Error::File`] with the file that stays.
pub(super) fn remove(path: &Path, names: &[&str]) -> Result<()> {
    for file in names.iter().map(|name| path.join(name)) {
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::file(&file, error));
            }
            _ => {}
        }
    }
    Ok(())
}
