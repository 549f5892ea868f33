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

#[cfg(unix)]
#[test]
fn the_walk_through_works() {
    let place = Place::new();
    std::os::unix::fs::symlink(fixtures().canonicalize().unwrap(), place.path("fixtures")).unwrap();
    let commands = commands();
    assert!(6 <= commands.len(), "{commands:?}");
    for command in &commands {
        place.runs(command.trim_start_matches("lethe "));
    }
    let left: Vec<String> = place.names().into_iter().filter(|name| name != "fixtures").collect();
    assert_eq!(left, ["target"], "nothing is written beside the vendored data");
}
