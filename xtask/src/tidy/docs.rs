//! Rules about documents.

use super::Repository;

const TEST_COMMAND: &str = "cargo xtask test";
const MAIN_COMMAND: &str = "cargo xtask bench";
const FIGURES: &str = "docs/reproduce.md";

/// Each crate has a README, and its library's documentation is that README.
pub(super) fn crate_readmes(repo: &Repository) -> Vec<String> {
    let mut found = Vec::new();
    for name in repo.crates() {
        let readme = format!("crates/{name}/README.md");
        if repo.get(&readme).is_none_or(|text| text.trim().is_empty()) {
            found.push(format!("{readme} is missing or empty"));
        }
        let lib = format!("crates/{name}/src/lib.rs");
        let includes = |text: &str| text.contains("#![doc = include_str!(\"../README.md\")]");
        if repo.get(&lib).is_some_and(|text| !includes(text)) {
            found.push(format!("{lib} does not include the README as its docs"));
        }
    }
    found
}

/// A claim names its figure, `[figure: task/name]`, and docs/reproduce.md has a row for each.
pub(super) fn cited_figures(repo: &Repository) -> Vec<String> {
    let known = repo.get(FIGURES).unwrap_or("");
    let mut found = Vec::new();
    for file in repo.files.iter().filter(|file| file.path.ends_with(".md")) {
        for citation in file.text.split("[figure: ").skip(1) {
            let figure = citation.split([']', '\n']).next().unwrap_or("").trim();
            if !figure.contains('/') {
                found.push(format!("{}: `{figure}` is not task/figure", file.path));
            } else if !known.lines().any(|line| line.starts_with(&format!("| `{figure}` |"))) {
                found.push(format!("{}: `{figure}` has no row in {FIGURES}", file.path));
            }
        }
    }
    found
}

/// Users read about changes by crate.
pub(super) fn change_log(repo: &Repository) -> Vec<String> {
    let log = repo.get("CHANGELOG.md").unwrap_or("");
    let section = |name: &str| {
        let heading = format!("## {name}");
        log.lines().any(|line| {
            line.strip_prefix(&heading).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        })
    };
    let missing = repo.crates().into_iter().filter(|name| !section(name));
    missing.map(|name| format!("CHANGELOG.md has no section `## {name}`")).collect()
}

/// A newcomer's two commands stand in the README, and the machine runs the same test command.
pub(super) fn two_commands(readme: &str, ci: &str) -> Vec<String> {
    let mut found = Vec::new();
    let has = |text: &str, command: &str| text.lines().any(|line| line.trim() == command);
    for command in [MAIN_COMMAND, TEST_COMMAND] {
        if !has(readme, command) {
            found.push(format!("README.md has no line `{command}`"));
        }
    }
    if !has(ci, TEST_COMMAND) {
        found.push(format!(".ci/run has no line `{TEST_COMMAND}`"));
    }
    found
}

/// The texts that `MIT OR Apache-2.0` refers to.
pub(super) fn licences(mit: &str, apache: &str) -> Vec<String> {
    let mut found = Vec::new();
    if !mit.contains("Permission is hereby granted, free of charge") {
        found.push("LICENSE-MIT is not the MIT licence".to_string());
    }
    if !apache.contains("Apache License") || !apache.contains("Version 2.0, January 2004") {
        found.push("LICENSE-APACHE is not the Apache licence".to_string());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    fn repo(files: &[(&str, &str)]) -> Repository {
        Repository { files: files.iter().map(|(path, text)| file(path, text)).collect() }
    }

    #[test]
    fn a_crate_without_its_readme_is_found() {
        let manifest = ("crates/a/Cargo.toml", "");
        let good = "#![doc = include_str!(\"../README.md\")]\n";
        let lib = ("crates/a/src/lib.rs", good);
        assert!(crate_readmes(&repo(&[manifest, ("crates/a/README.md", "# a"), lib])).is_empty());
        assert_eq!(crate_readmes(&repo(&[manifest, lib])).len(), 1);
        let bare = ("crates/a/src/lib.rs", "//! Docs.\n");
        assert_eq!(crate_readmes(&repo(&[manifest, ("crates/a/README.md", "# a"), bare])).len(), 1);
    }

    #[test]
    fn a_figure_without_a_row_is_found() {
        let table = ("docs/reproduce.md", "| `engine/gpt/ratio` | command |\n");
        let cites = |name: &str| format!("Fast [figure: {name}].");
        assert!(
            cited_figures(&repo(&[table, ("README.md", &cites("engine/gpt/ratio"))])).is_empty()
        );
        assert_eq!(cited_figures(&repo(&[table, ("README.md", &cites("engine/gpt"))])).len(), 1);
        assert_eq!(cited_figures(&repo(&[table, ("README.md", &cites("speed"))])).len(), 1);
    }

    #[test]
    fn a_crate_without_a_section_is_found() {
        let log = ("CHANGELOG.md", "# Changes\n\n## ab 0.1.0\n## b\n");
        let manifests = ["crates/a/Cargo.toml", "crates/ab/Cargo.toml", "crates/b/Cargo.toml"];
        let found =
            change_log(&repo(&[log, (manifests[0], ""), (manifests[1], ""), (manifests[2], "")]));
        assert_eq!(found, ["CHANGELOG.md has no section `## a`"]);
    }

    #[test]
    fn other_commands_than_the_promised_ones_are_found() {
        let readme = "    cargo xtask bench\n    cargo xtask test\n";
        assert!(two_commands(readme, "#!/bin/sh\ncargo xtask test\n").is_empty());
        assert_eq!(two_commands(readme, "cargo test\n").len(), 1);
        assert_eq!(two_commands("cargo xtask test\n", "cargo xtask test\n").len(), 1);
    }

    #[test]
    fn a_wrong_licence_text_is_found() {
        assert_eq!(licences("MIT", "Apache License").len(), 2);
    }
}
