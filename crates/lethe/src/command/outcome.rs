//! What a command leaves behind.

use std::path::PathBuf;

use report::atomic;

use crate::error::Result;

/// A file to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
}

impl File {
    /// Writes it, as a whole or not at all.
    pub(super) fn write(&self) -> Result<()> {
        let File { path, bytes } = self;
        atomic::create_parent(path)?;
        atomic::remove_leftovers(path)?;
        Ok(atomic::write(path, bytes)?)
    }
}

/// The result of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What is printed.
    pub stdout: String,
    /// What the user should know beside that, one sentence each.
    pub notes: Vec<String>,
    /// Whether every fit reached the gap that was asked for.
    pub(crate) unfinished: bool,
    /// Whether the user stopped it, so that the files are those of what was best until then.
    pub(crate) stopped: bool,
    /// The files, the one that matters most last.
    pub(crate) files: Vec<File>,
    /// Files of an earlier run that would contradict this one.
    pub(crate) stale: Vec<PathBuf>,
}

impl Outcome {
    /// 130 if the user stopped it, 3 if a fit did not reach its gap, else 0.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match (self.stopped, self.unfinished) {
            (true, _) => 130,
            (false, true) => 3,
            (false, false) => 0,
        }
    }

    /// Writes the files, each as a whole or not at all.
    pub(super) fn write(&self) -> Result<()> {
        self.files.iter().try_for_each(File::write)?;
        for path in &self.stale {
            // What is not there need not go.
            let _ = std::fs::remove_file(path);
        }
        Ok(())
    }
}
