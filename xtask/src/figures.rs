//! `cargo xtask figures`: the newest value of each figure that the benchmarks have written.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::flags;
use crate::workspace;

/// One object per line: task, figure, value, unit, better, std, n_seeds, commit, config, machine.
const FILE: &str = "target/bench/figures.jsonl";

pub(crate) fn run(flags: &flags::Figures) -> Result<()> {
    let path = workspace::root().join(FILE);
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!("no {FILE} yet; `cargo xtask bench` writes it")
        }
        other => other.with_context(|| format!("cannot read {FILE}"))?,
    };
    let read = read(&String::from_utf8_lossy(&bytes));
    let mut shown = String::new();
    for ((task, figure), line) in &read.newest {
        if flags.pattern.as_deref().is_none_or(|pattern| selects(pattern, task, figure)) {
            let _ = writeln!(shown, "{task}/{figure} {line}"); // a String takes everything
        }
    }
    workspace::print(&shown)?;
    if !read.torn_lines.is_empty() {
        eprintln!("note: {FILE}: left out, cut off while written: line {:?}", read.torn_lines);
    }
    if !read.bad_lines.is_empty() {
        bail!("{FILE}: not a figure in line {:?}", read.bad_lines);
    }
    match &flags.pattern {
        Some(pattern) if shown.is_empty() => bail!("no figure matches `{pattern}`"),
        _ => Ok(()),
    }
}

/// What the file says.
#[derive(Debug, Default)]
struct Read {
    /// Task and figure to `value unit`; a later line replaces an earlier one.
    newest: BTreeMap<(String, String), String>,
    /// Numbers of lines without their end: a run was killed while it wrote. The next run starts a
    /// new line after one.
    torn_lines: Vec<usize>,
    /// Numbers of other lines that are no figures.
    bad_lines: Vec<usize>,
}

fn read(text: &str) -> Read {
    let mut read = Read::default();
    for (idx, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        match parse(line) {
            Some((key, value)) => {
                read.newest.insert(key, value);
            }
            None if is_torn(line) => read.torn_lines.push(idx + 1),
            None => read.bad_lines.push(idx + 1),
        }
    }
    read
}

/// The beginning of an object, or bytes that never reached the disk.
fn is_torn(line: &str) -> bool {
    let parsed = serde_json::from_str::<Value>(line);
    line.contains('\0') || parsed.is_err_and(|error| error.is_eof() && line.starts_with('{'))
}

fn parse(line: &str) -> Option<((String, String), String)> {
    let object: Value = serde_json::from_str(line).ok()?;
    let text = |name: &str| object[name].as_str().map(str::to_string);
    let value = match object.get("value")? {
        Value::Number(number) => number.to_string(),
        Value::Null => "nan".to_string(), // JSON has no other way to write it
        _ => return None,
    };
    let unit = text("unit")?;
    Some(((text("task")?, text("figure")?), format!("{value} {unit}").trim_end().to_string()))
}

fn selects(pattern: &str, task: &str, figure: &str) -> bool {
    pattern == task || glob(pattern.as_bytes(), format!("{task}/{figure}").as_bytes())
}

/// `*` matches any bytes, `?` exactly one. Backs up to the last star only, so it is never slow.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p).is_some_and(|byte| *byte == b'?' || *byte == text[t]) {
            p += 1;
            t += 1;
        } else if let Some((star_p, star_t)) = star {
            star = Some((star_p, star_t + 1));
            p = star_p + 1;
            t = star_t + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(figure: &str, value: f64) -> String {
        format!(
            r#"{{"task":"engine","figure":"{figure}","value":{value},"unit":"ms","better":"lower"}}"#
        )
    }

    fn key(figure: &str) -> (String, String) {
        ("engine".into(), figure.into())
    }

    #[test]
    fn the_newest_line_of_a_figure_counts() {
        let read = read(&format!("{}\n{}\n{}\n", line("a", 1.0), line("b", 7.25), line("a", 2.5)));
        assert_eq!(read.newest[&key("a")], "2.5 ms");
        assert_eq!(read.newest[&key("b")], "7.25 ms");
        assert!(read.torn_lines.is_empty() && read.bad_lines.is_empty());
    }

    #[test]
    fn a_torn_line_keeps_the_others() {
        let read =
            read(&format!("{0}\n{{\"task\": 3, \"en\n{0}\n{{\"task\":\"eng", line("a", 1.0)));
        assert_eq!((read.torn_lines, read.newest.len()), (vec![2, 4], 1));
        assert!(read.bad_lines.is_empty());
    }

    #[test]
    fn a_last_line_without_its_newline_counts_if_it_is_complete() {
        assert_eq!(read(&line("a", 1.0)).newest.len(), 1);
    }

    #[test]
    fn a_line_that_is_no_figure_is_an_error_with_its_number() {
        let read = read(&format!("{0}\n{{\"task\": 1}}\nx\n{0}\n", line("a", 1.0)));
        assert_eq!((read.bad_lines, read.torn_lines), (vec![2, 3], vec![]));
    }

    #[test]
    fn a_pattern_is_a_glob_or_the_name_of_a_task() {
        assert!(selects("engine", "engine", "gpt/step"));
        assert!(selects("engine/*", "engine", "gpt/step"));
        assert!(selects("*step", "engine", "gpt/step"));
        assert!(selects("engine/gpt/s?ep", "engine", "gpt/step"));
        assert!(!selects("eng", "engine", "gpt/step"));
        assert!(!selects("*steps", "engine", "gpt/step"));
    }
}
