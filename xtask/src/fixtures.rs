//! `cargo xtask fixtures`: every file under `fixtures/` is listed with checksum, origin and licence,
//! and is what its name says.

mod format;
mod manifest;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::flags;
use crate::hash::sha256_file;
use crate::workspace;

pub(crate) use manifest::{Entry, Manifest};

const MANIFEST: &str = "CHECKSUMS.toml";

pub(crate) fn run(flags: &flags::Fixtures) -> Result<()> {
    let folder = workspace::root().join("fixtures");
    if flags.update {
        let manifest = update(&folder)?;
        println!("fixtures: {} files listed in {MANIFEST}", manifest.n_files());
        return Ok(());
    }
    let (n_files, problems) = check(&folder)?;
    if !problems.is_empty() {
        bail!("fixtures:\n  {}", problems.join("\n  "));
    }
    println!("fixtures: {n_files} files are as listed");
    Ok(())
}

/// The list of the repository's own fixtures.
pub(crate) fn load(folder: &Path) -> Result<Manifest> {
    let path = folder.join(MANIFEST);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {MANIFEST}"))?;
    Manifest::parse(&text).with_context(|| format!("fixtures/{MANIFEST}"))
}

/// Files that the manifest has to list: all but itself, READMEs and git's own.
fn files_to_list(folder: &Path) -> Result<Vec<String>> {
    let mut files = workspace::files_below(folder)?;
    files.retain(|path| {
        let name = path.rsplit('/').next().unwrap_or(path);
        name != "README.md" && name != ".gitattributes" && path != MANIFEST
    });
    Ok(files)
}

/// Number of listed files, and a sentence for each problem.
fn check(folder: &Path) -> Result<(usize, Vec<String>)> {
    let manifest = load(folder)?;
    let mut problems = Vec::new();
    for group in &manifest.groups {
        for (name, entry) in &group.files {
            let path = format!("{}/{name}", group.folder);
            if let Err(error) = check_file(&folder.join(&path), entry) {
                problems.push(format!("{path}: {error:#}"));
            }
        }
        let readme = format!("{}/README.md", group.folder);
        if group.folder.starts_with("data/") && !folder.join(&readme).is_file() {
            problems.push(format!("{readme} is missing"));
        }
    }
    for path in files_to_list(folder)? {
        if manifest.entry(&path).is_none() {
            problems.push(format!("{path} is not listed in {MANIFEST}"));
        }
    }
    Ok((manifest.n_files(), problems))
}

fn check_file(path: &Path, entry: &Entry) -> Result<()> {
    if !path.is_file() {
        bail!("listed, but there is no such file");
    }
    let (bytes, sha256) = sha256_file(path)?;
    if bytes != entry.bytes {
        bail!("{bytes} bytes, listed with {}", entry.bytes);
    }
    if sha256 != entry.sha256 {
        bail!("sha256 is {sha256}, listed with {}", entry.sha256);
    }
    format::check(path)
}

/// Rewrites sizes and checksums. New files join the group of their folder; files that are gone leave.
fn update(folder: &Path) -> Result<Manifest> {
    let mut manifest = load(folder)?;
    for group in &mut manifest.groups {
        group.files.clear();
    }
    let mut homeless = Vec::new();
    for path in files_to_list(folder)? {
        let full = folder.join(&path);
        format::check(&full).with_context(|| path.clone())?;
        let (bytes, sha256) = sha256_file(&full)?;
        match manifest.group_of(&path) {
            Some((group, name)) => {
                let name = name.to_string();
                group.files.insert(name, Entry { bytes, sha256 });
            }
            None => homeless.push(path),
        }
    }
    if !homeless.is_empty() {
        bail!(
            "add a [[group]] with folder, origin and licence first, for\n  {}",
            homeless.join("\n  ")
        );
    }
    // Written beside and renamed, so that a full disk leaves the old list.
    let (path, beside) = (folder.join(MANIFEST), folder.join(".CHECKSUMS.toml.new"));
    fs::write(&beside, manifest.to_toml()).and_then(|()| fs::rename(&beside, &path))?;
    Ok(manifest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixtures() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("golden")).unwrap();
        fs::write(dir.path().join("golden/a.json"), r#"{"format": 1}"#).unwrap();
        let text =
            "[[group]]\nfolder = \"golden\"\norigin = \"o\"\nlicence = \"l\"\n[group.files]\n";
        fs::write(dir.path().join(MANIFEST), text).unwrap();
        dir
    }

    #[test]
    fn the_fixtures_of_this_repository_are_as_listed() {
        let (n_files, problems) = check(&workspace::root().join("fixtures")).unwrap();
        assert!(problems.is_empty(), "{problems:#?}");
        assert!(n_files > 10);
    }

    #[test]
    fn an_unlisted_file_is_found_and_update_lists_it() {
        let dir = fixtures();
        assert_eq!(check(dir.path()).unwrap().1, ["golden/a.json is not listed in CHECKSUMS.toml"]);
        update(dir.path()).unwrap();
        assert_eq!(check(dir.path()).unwrap(), (1, vec![]));
    }

    #[test]
    fn a_changed_a_missing_and_a_malformed_file_are_found() {
        let dir = fixtures();
        update(dir.path()).unwrap();
        fs::write(dir.path().join("golden/a.json"), r#"{"format": 2}"#).unwrap();
        assert!(check(dir.path()).unwrap().1[0].contains("sha256"));
        fs::remove_file(dir.path().join("golden/a.json")).unwrap();
        assert!(check(dir.path()).unwrap().1[0].contains("no such file"));
        fs::write(dir.path().join("golden/a.json"), "{").unwrap();
        assert!(update(dir.path()).is_err());
    }

    #[test]
    fn update_invents_no_origin() {
        let dir = fixtures();
        fs::create_dir_all(dir.path().join("data/new")).unwrap();
        fs::write(dir.path().join("data/new/x.csv"), "1,2\n").unwrap();
        assert!(update(dir.path()).unwrap_err().to_string().contains("data/new/x.csv"));
    }

    #[test]
    fn update_changes_nothing_in_an_up_to_date_list() {
        let folder = workspace::root().join("fixtures");
        let text = fs::read_to_string(folder.join(MANIFEST)).unwrap();
        assert_eq!(Manifest::parse(&text).unwrap().to_toml(), text);
    }
}
