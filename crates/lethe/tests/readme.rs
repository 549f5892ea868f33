//! The commands of the README run as they stand.

use crate::program::{Place, fixtures};

/// Commands of the blocks of shell, with lines that end in a backslash joined.
fn commands() -> Vec<String> {
    let text = include_str!("../README.md").replace("\\\n", " ");
    let mut inside = false;
    let mut commands = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            inside = line == "```sh";
        } else if inside && line.starts_with("lethe ") {
            commands.push(line.to_owned());
        }
    }
    commands
}

/// A file that is shown.
fn shown(kind: &str) -> String {
    let text = include_str!("../README.md");
    let (_, rest) = text.split_once(&format!("```{kind}\n")).unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

#[cfg(unix)]
#[test]
fn the_walk_through_works() {
    let place = Place::new();
    std::os::unix::fs::symlink(fixtures().canonicalize().unwrap(), place.path("fixtures")).unwrap();
    place.write("runs.jsonl", shown("jsonl"));
    place.write("digits.toml", shown("toml"));
    let commands = commands();
    assert!(27 <= commands.len(), "{commands:?}");
    for command in &commands {
        let said = place.runs(command.trim_start_matches("lethe "));
        if command.contains("--epochs 60") {
            assert!(said.contains("at most 2.384"), "the text says 2.385: {said}");
        }
    }
    assert_eq!(
        place.names(),
        ["digits.toml", "fixtures", "runs.jsonl", "target"],
        "nothing is written beside the vendored data"
    );
}
