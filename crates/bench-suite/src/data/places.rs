//! Where data sets lie: in the repository, fetched, or in a folder of the user's.
//!
//! Small sets are part of the repository under `fixtures/data/<folder>`; larger ones are fetched
//! to `target/data/<folder>` by `cargo xtask data <folder>`. A folder that the environment
//! variable `LETHE_DATA` names is searched before both.

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use crate::error::{Error, Result};

/// The environment variable that names a folder with one folder for each data set.
pub const DATA_VARIABLE: &str = "LETHE_DATA";

/// Folders in which the folder of a data set may lie, in the order in which they are searched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    folders: Vec<PathBuf>,
}

impl Places {
    /// The folder in `LETHE_DATA`, then those of the workspace around the current folder.
    ///
    /// # Errors
    /// [`Error::NoDataFolder`] if there is neither, [`Error::Read`] if there is no current folder.
    pub fn discover() -> Result<Self> {
        let here = env::current_dir()
            .map_err(|source| Error::Read { file: PathBuf::from("."), source })?;
        Places::discover_from(&here, env::var_os(DATA_VARIABLE).as_deref())
    }

    /// As [`Places::discover`], with the current folder and the variable as arguments.
    ///
    /// The workspace is the nearest folder at or above `start` whose `Cargo.toml` has a line
    /// `[workspace]`. An empty variable counts as none.
    ///
    /// # Errors
    /// [`Error::NoDataFolder`] if there is neither a variable nor a workspace.
    pub fn discover_from(start: &Path, variable: Option<&OsStr>) -> Result<Self> {
        let named = variable.filter(|folder| !folder.is_empty()).map(PathBuf::from);
        let mut folders: Vec<PathBuf> = named.into_iter().collect();
        if let Some(root) = start.ancestors().find(|folder| is_workspace(folder)) {
            folders.extend(Places::of_workspace(root).folders);
        }
        if folders.is_empty() {
            return Err(Error::NoDataFolder { start: start.to_owned() });
        }
        Ok(Places { folders })
    }

    /// `fixtures/data` and `target/data` of the workspace in folder `root`.
    pub fn of_workspace(root: &Path) -> Self {
        Places { folders: vec![root.join("fixtures/data"), root.join("target/data")] }
    }

    /// One folder that has a folder for each data set.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Places { folders: vec![folder.into()] }
    }

    /// The first folder that a set really has; `set` is its folder name, such as `stories260k`.
    ///
    /// # Errors
    /// [`Error::SetNotFound`] with the folders that were tried and the command that fetches it.
    pub fn folder_of(&self, set: &str) -> Result<PathBuf> {
        let candidates: Vec<PathBuf> = self.folders.iter().map(|place| place.join(set)).collect();
        match candidates.iter().find(|folder| folder.is_dir()) {
            Some(folder) => Ok(folder.clone()),
            None => Err(Error::SetNotFound {
                set: set.to_owned(),
                looked_in: candidates,
                remedy: remedy(set),
            }),
        }
    }
}

/// Sets that are part of the repository, by folder name.
const VENDORED: [&str; 8] = [
    "uci-small",
    "mnist-10k",
    "tiny-shakespeare",
    "e2e-nlg",
    "stories260k",
    "expression",
    "spam-assassin-bow",
    "sms-spam",
];

/// What to do about a set that is not where it should be.
pub(super) fn remedy(set: &str) -> String {
    if VENDORED.contains(&set) {
        format!(
            "it is part of the repository: restore `fixtures/data/{set}` or set {DATA_VARIABLE}"
        )
    } else {
        format!("run `cargo xtask data {set}`")
    }
}

fn is_workspace(folder: &Path) -> bool {
    fs::read_to_string(folder.join("Cargo.toml"))
        .is_ok_and(|manifest| manifest.lines().any(|line| line.trim() == "[workspace]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(places: Result<Places>) -> Vec<PathBuf> {
        places.unwrap().folders
    }

    #[test]
    fn the_workspace_is_found_from_a_folder_below() {
        let root = tempfile::tempdir().unwrap();
        let below = root.path().join("crates/one");
        fs::create_dir_all(&below).unwrap();
        fs::write(root.path().join("Cargo.toml"), "[workspace]\nmembers = []\n").unwrap();
        fs::write(below.join("Cargo.toml"), "[package]\nname = \"one\"\n").unwrap();
        let expected = [root.path().join("fixtures/data"), root.path().join("target/data")];
        assert_eq!(folders(Places::discover_from(&below, None)), expected);
        let named = folders(Places::discover_from(&below, Some(OsStr::new("mine"))));
        assert_eq!(named[0], Path::new("mine"));
        assert_eq!(named[1..], expected);
        assert_eq!(folders(Places::discover_from(&below, Some(OsStr::new("")))), expected);
    }

    #[test]
    fn outside_a_workspace_only_the_variable_helps() {
        let start = tempfile::tempdir().unwrap();
        let error = Places::discover_from(start.path(), None).unwrap_err();
        assert!(matches!(error, Error::NoDataFolder { .. }), "{error}");
        let named = folders(Places::discover_from(start.path(), Some(OsStr::new("mine"))));
        assert_eq!(named, [Path::new("mine")]);
    }
}
