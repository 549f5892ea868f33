//! Rules about Rust files, and about paths in any file of ours.

use super::code::{Keep, before_tests, code};
use super::{File, is_rust};

const MAX_LINES: usize = 600;

/// The only file where a back-end is a condition of compilation.
const BACK_END_FILE: &str = "crates/tensor-tree/src/device.rs";
const BACK_ENDS: [&str; 4] = ["cuda", "metal", "mkl", "accelerate"];

/// First folders of absolute paths that exist on one machine only.
const MACHINE_FOLDERS: [&str; 5] = ["home", "root", "tmp", "Users", "work"];

/// A module says first what it is for; a library's root includes the README instead.
pub(super) fn module_docs(file: &File) -> Vec<String> {
    let first = file.text.lines().find(|line| !line.trim().is_empty()).unwrap_or("");
    let documented = first.starts_with("//! ") || first.starts_with("#![doc = include_str!(");
    if documented { Vec::new() } else { vec!["does not begin with `//!` docs".into()] }
}

pub(super) fn length(file: &File) -> Vec<String> {
    let n_lines = file.text.lines().count();
    if n_lines <= MAX_LINES {
        Vec::new()
    } else {
        vec![format!("{n_lines} lines, more than {MAX_LINES}")]
    }
}

/// No macro that stands for code not written yet.
pub(super) fn placeholders(file: &File) -> Vec<String> {
    lines_with(&code(&file.text, Keep::Nothing), |line| {
        let found = ["todo!", "unimplemented!"].into_iter().find(|name| has_word(line, name));
        found.map(|name| format!("`{name}`"))
    })
}

/// No condition on a back-end outside the one file that chooses the device.
pub(super) fn back_ends(file: &File) -> Vec<String> {
    if file.path == BACK_END_FILE {
        return Vec::new();
    }
    lines_with(&code(&file.text, Keep::Strings), |line| {
        let condition = |name: &&str| line.contains(&format!("feature = \"{name}\""));
        let found = BACK_ENDS.into_iter().find(condition);
        found.map(|name| format!("a condition on `{name}` belongs in {BACK_END_FILE}"))
    })
}

/// Only heavy tests are ignored by default, and they say so: `cargo xtask test --all` runs them.
pub(super) fn ignored_tests(file: &File) -> Vec<String> {
    let bare = code(&file.text, Keep::Nothing); // finds attributes; the reason is a string
    let lines = file.text.lines().zip(bare.lines()).enumerate();
    let unexplained = lines.filter(|(_, (line, bare))| {
        let Some(at) = bare.find("#[ignore") else { return false };
        let reason = line[at..].trim_start_matches("#[ignore").trim_start();
        !reason.trim_start_matches('=').trim_start().starts_with("\"heavy: ")
    });
    unexplained
        .map(|(idx, _)| format!("line {}: write #[ignore = \"heavy: why\"]", idx + 1))
        .collect()
}

/// No absolute path into somebody's machine, tests excepted.
pub(super) fn machine_paths(file: &File) -> Vec<String> {
    let text = if is_rust(&file.path) { before_tests(&file.text) } else { &file.text };
    lines_with(text, |line| {
        let found = MACHINE_FOLDERS.into_iter().find(|folder| has_absolute(line, folder))?;
        Some(format!("a path below /{found}"))
    })
}

/// `/folder/` where a path begins: after the start of the line or a character that ends a word.
fn has_absolute(line: &str, folder: &str) -> bool {
    let needle = format!("/{folder}/");
    line.match_indices(&needle).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && !"/._-~})>*".contains(c))
    })
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && c != '_')
    })
}

fn lines_with(text: &str, find: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let found = text.lines().enumerate().filter_map(|(idx, line)| Some((idx + 1, find(line)?)));
    found.map(|(number, what)| format!("line {number}: {what}")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    #[test]
    fn a_module_without_docs_is_found() {
        assert!(module_docs(&file("a.rs", "\n//! Docs.\nuse x;")).is_empty());
        assert!(
            module_docs(&file("lib.rs", "#![doc = include_str!(\"../README.md\")]")).is_empty()
        );
        assert_eq!(module_docs(&file("a.rs", "// No docs.\n//! Late.")).len(), 1);
        assert_eq!(module_docs(&file("a.rs", "")).len(), 1);
    }

    #[test]
    fn a_long_file_is_found() {
        assert!(length(&file("a.rs", &"x\n".repeat(MAX_LINES))).is_empty());
        assert_eq!(length(&file("a.rs", &"x\n".repeat(MAX_LINES + 1))).len(), 1);
    }

    #[test]
    fn a_placeholder_is_found_in_code_but_not_in_prose() {
        assert_eq!(placeholders(&file("a.rs", "\nfn a() { todo!() }")), ["line 2: `todo!`"]);
        assert_eq!(placeholders(&file("a.rs", "fn a() { unimplemented!(\"x\") }")).len(), 1);
        assert!(placeholders(&file("a.rs", "// todo!\nlet a = \"todo!\"; my_todo!();")).is_empty());
    }

    #[test]
    fn a_condition_on_a_back_end_is_found_outside_its_file() {
        let text = "#[cfg(all(unix, feature = \"cuda\"))]\nfn a() {}";
        assert_eq!(back_ends(&file("crates/tape-nn/src/lib.rs", text)).len(), 1);
        assert!(back_ends(&file(BACK_END_FILE, text)).is_empty());
        assert!(back_ends(&file("a.rs", "// #[cfg(feature = \"cuda\")]")).is_empty());
        assert!(back_ends(&file("a.rs", "#[cfg(feature = \"tensor\")]")).is_empty());
    }

    #[test]
    fn an_ignored_test_without_a_reason_is_found() {
        assert!(ignored_tests(&file("a.rs", "#[ignore = \"heavy: an hour\"]")).is_empty());
        assert_eq!(ignored_tests(&file("a.rs", "#[ignore]")).len(), 1);
        assert_eq!(ignored_tests(&file("a.rs", "#[ignore = \"flaky\"]")).len(), 1);
    }

    #[test]
    fn a_path_of_one_machine_is_found() {
        for bad in
            ["see /home/me/x", "`/tmp/x`", "\"/work/a\"", "/Users/me", "cd /root/x", "=/tmp/a"]
        {
            assert_eq!(machine_paths(&file("README.md", &format!("{bad}/"))).len(), 1, "{bad}");
        }
        for good in
            ["docs/work/x", "https://a.org/home/x", "$HOME/tmp/x", "../root/x", "/usr/share/"]
        {
            assert!(machine_paths(&file("README.md", good)).is_empty(), "{good}");
        }
        assert!(machine_paths(&file("a.rs", "a\n#[cfg(test)]\n\"/tmp/x\"")).is_empty());
    }
}
