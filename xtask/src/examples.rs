//! The examples outside the workspace: programs as somebody writes them who depends on our crates.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::workspace;

const FOLDER: &str = "docs/examples";

/// Builds each with the versions of its lock file and the settings that a new package has, and runs it.
pub(crate) fn run() -> Result<()> {
    let manifests = manifests()?;
    if manifests.is_empty() {
        bail!("{FOLDER} has no examples: adapt this step");
    }
    for manifest in manifests {
        let mut command = workspace::cargo(["run", "--quiet", "--locked", "--manifest-path"]);
        command.arg(&manifest).args(["--target-dir", "target/examples"]);
        eprintln!("running: {}", workspace::display(&command));
        workspace::run(&mut command)?;
    }
    Ok(())
}

/// Paths relative to the root, sorted.
fn manifests() -> Result<Vec<String>> {
    let root = workspace::root();
    let mut found = Vec::new();
    for entry in fs::read_dir(root.join(FOLDER)).with_context(|| format!("cannot list {FOLDER}"))? {
        let manifest = format!("{FOLDER}/{}/Cargo.toml", entry?.file_name().to_string_lossy());
        if root.join(&manifest).is_file() {
            found.push(manifest);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_no_members_and_have_locked_versions() {
        let members = workspace::own_metadata().unwrap().to_string();
        for manifest in manifests().unwrap() {
            assert!(!members.contains(&manifest), "{manifest} is a member");
            let lock = workspace::root().join(manifest.replace("Cargo.toml", "Cargo.lock"));
            assert!(lock.is_file(), "{} is missing", lock.display());
        }
    }
}
