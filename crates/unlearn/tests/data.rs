//! Files of every format: the vendored ones, good ones and damaged ones.

use std::fs;
use std::path::{Path, PathBuf};

use unlearn::{Error, Result};

mod lines;
mod muse;
mod predictions;
mod questions;
mod rows;
mod vendored;

/// A folder that goes away, for files written by a test.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }
}

/// Line and field of an error, which must also name this file.
fn place<T: std::fmt::Debug>(result: Result<T>, file: &Path) -> (usize, String) {
    let (path, source) = in_file(result);
    assert_eq!(path, file);
    match source {
        Error::Line { line, field, .. } => (line, field),
        other => panic!("{other}"),
    }
}

/// The path of an error and what is wrong there.
fn in_file<T: std::fmt::Debug>(result: Result<T>) -> (PathBuf, Error) {
    match result {
        Err(Error::InFile { path, source }) => (path, *source),
        other => panic!("{other:?}"),
    }
}
