//! `cargo xtask test`: the tests of the whole workspace, counted.

use std::io::{BufRead, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;
use std::{env, io, thread};

use anyhow::{Context, Result, bail};

use crate::workspace;
use crate::{examples, flags};

/// What the test binaries report, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) ignored: usize,
}

impl Counts {
    /// Adds the numbers of a line such as
    /// `test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s`.
    fn add_line(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("test result: ") else { return };
        let rest = rest.split_once(". ").map_or(rest, |(_, numbers)| numbers);
        for part in rest.split("; ") {
            let Some((number, what)) = part.trim().split_once(' ') else { continue };
            let Ok(number) = number.parse::<usize>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }

    fn ran(self) -> usize {
        self.passed + self.failed
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

pub(crate) fn run(flags: &flags::Test) -> Result<()> {
    let start = Instant::now();
    let mut counts = Counts::default();
    let mut failures = Vec::new();
    for part in [Part::Targets, Part::Docs] {
        if part == Part::Docs && (flags.filter.is_some() || !has_library(flags)) {
            continue;
        }
        let (part_counts, failure) = run_part(flags, part)?;
        counts += part_counts;
        failures.extend(failure);
    }
    if flags.filter.is_none() && flags.packages.is_empty() {
        failures.extend(examples::run().err().map(|error| format!("{error:#}")));
    }
    println!(
        "\ntests: {} passed, {} failed, {} ignored, in {:.0} s",
        counts.passed,
        counts.failed,
        counts.ignored,
        start.elapsed().as_secs_f64()
    );
    verdict(counts, &failures)
}

/// Half of the tests: cargo cannot run both halves with `--include-ignored`, because that would also
/// compile code blocks in docs that are marked `ignore`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Unit and integration tests; examples are built.
    Targets,
    /// Code blocks in docs.
    Docs,
}

/// Whether the crates asked for include a library; cargo refuses to look for doc tests elsewhere.
fn has_library(flags: &flags::Test) -> bool {
    let crates = workspace::root().join("crates");
    flags.packages.is_empty()
        || flags.packages.iter().any(|name| crates.join(name).join("src/lib.rs").is_file())
}

/// Runs one part. A failing part is reported as text beside its counts; an error means that cargo
/// could not be started.
pub(crate) fn run_part(flags: &flags::Test, part: Part) -> Result<(Counts, Option<String>)> {
    let mut command = command(flags, part)?;
    let shown = workspace::display(&command);
    eprintln!("running: {shown}");
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{shown}`"))?;
    let mut counts = Counts::default();
    let stdout = child.stdout.take().context("no pipe from cargo")?;
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line?;
        let text = String::from_utf8_lossy(&line);
        counts.add_line(&text);
        writeln!(io::stdout(), "{text}")?;
    }
    let status = child.wait()?;
    Ok((counts, (!status.success()).then(|| format!("`{shown}` failed ({status})"))))
}

/// Green only if something ran and nothing failed.
pub(crate) fn verdict(counts: Counts, failures: &[String]) -> Result<()> {
    if !failures.is_empty() || counts.failed != 0 {
        bail!("tests failed\n  {}", failures.join("\n  "));
    }
    if counts.ran() == 0 {
        bail!("no test was run");
    }
    Ok(())
}

fn command(flags: &flags::Test, part: Part) -> Result<Command> {
    let mut command = workspace::cargo(["test", "--no-fail-fast"]);
    if flags.packages.is_empty() {
        command.arg("--workspace");
    }
    for package in &flags.packages {
        command.args(["--package", package]);
    }
    if flags.all {
        command.arg("--release");
    }
    match part {
        Part::Targets => command.args(["--tests", "--examples"]), // unit tests are among `--tests`
        Part::Docs => command.arg("--doc"),
    };
    let mut harness = Vec::new();
    if part == Part::Targets {
        harness.extend(flags.filter.as_deref());
        if flags.all {
            harness.push("--include-ignored");
        }
        if flags.filter.as_deref() == Some("golden") {
            harness.push("--show-output"); // a skipped file or section is named there
        }
    }
    if !harness.is_empty() {
        command.arg("--").args(harness);
    }
    // One thread each inside a test: candle's pool spins, and several test processes share the cores.
    let threads = thread::available_parallelism().map_or(1, usize::from).min(8).to_string();
    let defaults =
        [("CANDLE_NUM_THREADS", "1"), ("RAYON_NUM_THREADS", "1"), ("RUST_TEST_THREADS", &threads)];
    for (name, value) in defaults {
        if env::var_os(name).is_none() {
            command.env(name, value);
        }
    }
    if let Some(folder) = env::var_os("GOLDEN_DIR") {
        let folder = PathBuf::from(folder);
        let absolute = folder
            .canonicalize()
            .with_context(|| format!("GOLDEN_DIR: no folder {}", folder.display()))?;
        command.env("GOLDEN_DIR", absolute); // tests run in the folder of their crate
    }
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(flags: &flags::Test, part: Part) -> String {
        workspace::display(&command(flags, part).unwrap())
    }

    #[test]
    fn result_lines_are_added_up() {
        let mut counts = Counts::default();
        for line in [
            "running 3 tests",
            "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s",
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s",
        ] {
            counts.add_line(line);
        }
        assert_eq!(counts, Counts { passed: 6, failed: 2, ignored: 1 });
    }

    #[test]
    fn a_run_without_tests_is_a_failure() {
        assert!(verdict(Counts { ignored: 3, ..Counts::default() }, &[]).is_err());
        assert!(verdict(Counts { passed: 1, ..Counts::default() }, &[]).is_ok());
    }

    #[test]
    fn a_failed_test_or_a_failed_build_is_a_failure() {
        assert!(verdict(Counts { passed: 9, failed: 1, ignored: 0 }, &[]).is_err());
        assert!(verdict(Counts { passed: 9, ..Counts::default() }, &["x".into()]).is_err());
    }

    #[test]
    fn heavy_tests_run_in_release_but_ignored_code_blocks_do_not() {
        let flags = flags::Test { all: true, ..flags::Test::default() };
        let targets = args(&flags, Part::Targets);
        assert!(targets.contains("--release") && targets.ends_with("-- --include-ignored"));
        assert!(!args(&flags, Part::Docs).contains("--include-ignored"));
    }

    #[test]
    fn golden_tests_show_what_they_skip() {
        let flags = flags::Test { filter: Some("golden".into()), ..flags::Test::default() };
        assert!(args(&flags, Part::Targets).ends_with("-- golden --show-output"));
    }
}
