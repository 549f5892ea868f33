//! `cargo xtask tidy`: the rules of this repository. Each is a small function that returns a sentence
//! per violation, and each is also an ordinary test of this crate.

mod arrows;
mod code;
mod docs;
mod graph;
mod manifest;
mod source;

use std::fs;

use anyhow::{Context, Result, bail};

use crate::workspace;

pub(crate) use graph::WITHOUT_CANDLE;

/// A name and the check of the repository as it lies on disk.
type Rule = (&'static str, fn(&Repository) -> Result<Vec<String>>);

const RULES: [Rule; 17] = [
    ("arrows between crates are permitted", |_| arrows::check_workspace()),
    ("the table of arrows in ARCHITECTURE.md is the one that is checked", |repo| {
        Ok(arrows::check_document(repo.text("ARCHITECTURE.md")?))
    }),
    ("the default graph builds no C", |_| graph::check_default_graph()),
    ("without default features there is no candle", |_| graph::check_without_candle()),
    ("versions of dependencies stand in the root manifest", |repo| {
        Ok(repo.each(is_manifest, manifest::inherited))
    }),
    ("each feature has a comment", |repo| Ok(repo.each(is_manifest, manifest::commented_features))),
    ("each crate's README is its documentation", |repo| Ok(docs::crate_readmes(repo))),
    ("each module begins with docs", |repo| Ok(repo.each(is_module, source::module_docs))),
    ("no file is too long", |repo| Ok(repo.each(is_module, source::length))),
    ("no placeholders", |repo| Ok(repo.each(is_rust, source::placeholders))),
    ("back-ends are chosen in one file", |repo| Ok(repo.each(is_rust, source::back_ends))),
    ("an ignored test says why", |repo| Ok(repo.each(is_rust, source::ignored_tests))),
    ("no paths of one machine", |repo| Ok(repo.each(is_ours, source::machine_paths))),
    ("figures cited in documents are known", |repo| Ok(docs::cited_figures(repo))),
    ("each crate has a section in the change log", |repo| Ok(docs::change_log(repo))),
    ("the README's two commands are there, and .ci/run uses its test command", |repo| {
        Ok(docs::two_commands(repo.text("README.md")?, repo.text(".ci/run")?))
    }),
    ("both licences are there", |repo| {
        Ok(docs::licences(repo.text("LICENSE-MIT")?, repo.text("LICENSE-APACHE")?))
    }),
];

pub(crate) fn run() -> Result<()> {
    let repo = Repository::read()?;
    let mut n_broken = 0;
    for (name, rule) in RULES {
        let violations = rule(&repo).with_context(|| format!("rule: {name}"))?;
        if !violations.is_empty() {
            n_broken += 1;
            eprintln!("rule: {name}\n  {}", violations.join("\n  "));
        }
    }
    if n_broken != 0 {
        bail!("{n_broken} of {} repository rules are broken", RULES.len());
    }
    println!("tidy: {} rules hold", RULES.len());
    Ok(())
}

/// A tracked text file; `path` is relative to the root, with `/` between folders.
#[derive(Clone, Debug)]
struct File {
    path: String,
    text: String,
}

/// The tracked text files.
#[derive(Debug)]
struct Repository {
    files: Vec<File>,
}

impl Repository {
    fn read() -> Result<Repository> {
        let root = workspace::root();
        let mut files = Vec::new();
        for path in workspace::tracked_files()? {
            let bytes = fs::read(root.join(&path)).with_context(|| path.clone())?;
            if let Ok(text) = String::from_utf8(bytes) {
                files.push(File { path, text });
            }
        }
        Ok(Repository { files })
    }

    fn get(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|file| file.path == path).map(|file| file.text.as_str())
    }

    fn text(&self, path: &str) -> Result<&str> {
        self.get(path).with_context(|| format!("{path} is missing or not tracked"))
    }

    /// The names of the crates, from the manifests below `crates/`.
    fn crates(&self) -> Vec<&str> {
        let name = |file: &'_ File| -> Option<(usize, usize)> {
            let rest = file.path.strip_prefix("crates/")?.strip_suffix("/Cargo.toml")?;
            (!rest.contains('/')).then_some(("crates/".len(), "crates/".len() + rest.len()))
        };
        self.files.iter().filter_map(|file| name(file).map(|(a, b)| &file.path[a..b])).collect()
    }

    /// Runs a rule on the chosen files and puts the path before each violation.
    fn each(&self, choose: fn(&str) -> bool, rule: fn(&File) -> Vec<String>) -> Vec<String> {
        let chosen = self.files.iter().filter(|file| choose(&file.path));
        chosen
            .flat_map(|file| rule(file).into_iter().map(|text| format!("{}: {text}", file.path)))
            .collect()
    }
}

fn is_rust(path: &str) -> bool {
    path.ends_with(".rs")
}

/// A file of a crate's `src`, tests excepted.
fn is_module(path: &str) -> bool {
    is_rust(path) && path.contains("/src/") && !is_test(path)
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs")
}

/// A member's manifest: neither the root's nor that of an example outside the workspace.
fn is_manifest(path: &str) -> bool {
    path.ends_with("/Cargo.toml") && !path.starts_with("docs/")
}

/// Not a fixture: those come from elsewhere. Their READMEs are ours.
fn is_ours(path: &str) -> bool {
    (!path.starts_with("fixtures/") || path.ends_with(".md"))
        && !path.ends_with("Cargo.lock")
        && !is_test(path)
}

#[cfg(test)]
fn file(path: &str, text: &str) -> File {
    File { path: path.into(), text: text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_keeps_its_rules() {
        let repo = Repository::read().unwrap();
        let broken: Vec<String> = RULES
            .iter()
            .filter_map(|(name, rule)| match rule(&repo) {
                Ok(violations) if violations.is_empty() => None,
                Ok(violations) => Some(format!("{name}\n    {}", violations.join("\n    "))),
                Err(error) => Some(format!("{name}\n    {error:#}")),
            })
            .collect();
        assert!(broken.is_empty(), "broken rules:\n  {}", broken.join("\n  "));
    }

    #[test]
    fn crates_are_named_by_their_manifests() {
        let files = ["crates/a/Cargo.toml", "crates/a/b/Cargo.toml", "xtask/Cargo.toml"];
        let repo = Repository { files: files.map(|path| file(path, "")).to_vec() };
        assert_eq!(repo.crates(), ["a"]);
    }

    #[test]
    fn a_violation_names_its_file() {
        let repo = Repository { files: vec![file("crates/a/src/lib.rs", "pub fn a() {}")] };
        let found = repo.each(is_module, source::module_docs);
        assert!(found[0].starts_with("crates/a/src/lib.rs: "));
    }
}
