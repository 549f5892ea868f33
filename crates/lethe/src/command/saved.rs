//! Checkpoints of runs: what is saved between two steps, and what makes it that of this run and no other.

use std::path::Path;

use safetensors::SafeTensors;
use tensor_tree::checkpoint::{self, Header, State};

use super::identity::Identity;
use crate::error::{Error, Result};

/// Checkpoints of one command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// What the file says it is.
    pub(crate) name: &'static str,
    /// The flag that names another folder.
    pub(crate) flag: &'static str,
}

impl Kind {
    /// Writes the state; the file is the old one or the new one.
    pub(crate) fn write(self, path: &Path, identity: &Identity, state: &State) -> Result<()> {
        report::atomic::create_parent(path)?;
        report::atomic::remove_leftovers(path)?;
        Ok(checkpoint::write(path, &self.header(identity.to_text()?), state)?)
    }

    /// Reads the state of the same run; none if there is no file.
    pub(crate) fn read(self, path: &Path, identity: &Identity) -> Result<Option<State>> {
        if !path.exists() {
            return Ok(None);
        }
        let bytes = std::fs::read(path).map_err(|e| Error::file(path, e))?;
        let flag = self.flag;
        let refused = |reason: &str| {
            Error::file(path, format!("{reason}; use another {flag}, or restore the checkpoint"))
        };
        let stored = config_of(&bytes).unwrap_or_default();
        // Its own configuration first: damage is told from a run of another one.
        let state =
            checkpoint::from_bytes(&bytes, &self.header(stored.clone())).map_err(|error| {
                match error {
                    tensor_tree::Error::Checkpoint { reason, .. } => refused(&reason),
                    other => other.into(),
                }
            })?;
        let of = Identity::from_text(&stored)
            .ok_or_else(|| refused("its configuration cannot be read: another version wrote it"))?;
        match identity.difference(&of) {
            None => Ok(Some(state)),
            Some((key, here, there)) => {
                Err(Error::OtherRun { file: path.to_owned(), key, here, there, flag })
            }
        }
    }

    fn header(self, config: String) -> Header {
        Header { kind: self.name.into(), config }
    }
}

/// What a file says of its configuration, before anything about it is checked.
fn config_of(bytes: &[u8]) -> Option<String> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).ok()?;
    metadata.metadata().as_ref()?.get("config").cloned()
}
