//! `cargo xtask ci`: everything a change must pass, in the order that finds mistakes soonest.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::flags;
use crate::test::{self, Part};
use crate::workspace::{self, cargo};
use crate::{examples, fixtures, tidy};

/// A step and how it is done. Candle is compiled three times at most: checked for the lints and the
/// docs, built once for the tests; no step uses the release profile.
struct Step {
    name: &'static str,
    run: fn() -> Result<()>,
}

const STEPS: [Step; 9] = [
    Step { name: "format", run: || workspace::run(&mut cargo(["fmt", "--all", "--check"])) },
    Step {
        name: "fixtures",
        run: || fixtures::run(&flags::Fixtures { check: true, update: false }),
    },
    Step { name: "tidy", run: tidy::run },
    Step { name: "clippy", run: clippy },
    Step { name: "docs", run: docs },
    Step { name: "tests", run: || tests(Part::Targets) },
    Step { name: "doc tests", run: || tests(Part::Docs) },
    Step { name: "examples", run: examples::run },
    Step { name: "without candle", run: without_candle },
];

pub(crate) fn run() -> Result<()> {
    let mut done = Vec::new();
    for step in &STEPS {
        eprintln!("\n== {} ==", step.name);
        let start = Instant::now();
        let outcome = (step.run)();
        done.push((step.name, start.elapsed(), outcome.is_ok()));
        if let Err(error) = outcome {
            println!("\n{}", table(&done));
            return Err(
                error.context(format!("step `{}` failed; later steps did not run", step.name))
            );
        }
    }
    println!("\n{}", table(&done));
    Ok(())
}

fn clippy() -> Result<()> {
    let args = ["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"];
    workspace::run(&mut cargo(args))
}

fn docs() -> Result<()> {
    let mut command = cargo(["doc", "--workspace", "--no-deps"]);
    workspace::run(command.env("RUSTDOCFLAGS", "--deny warnings"))
}

fn tests(part: Part) -> Result<()> {
    let (counts, failure) = test::run_part(&flags::Test::default(), part)?;
    let failures = Vec::from_iter(failure);
    if part == Part::Docs && counts == test::Counts::default() && failures.is_empty() {
        return Ok(()); // no code blocks yet is not a mistake
    }
    test::verdict(counts, &failures)
}

/// The accountant, the controllers of rates and their tests must build without the tensor half of their crates. They run with the others: running them here
/// too would build candle once more, with the features that dev-dependencies ask for.
fn without_candle() -> Result<()> {
    for package in crate::tidy::WITHOUT_CANDLE {
        if !workspace::root().join("crates").join(package).is_dir() {
            bail!("crates/{package} is gone: adapt this step");
        }
        let package = ["--package", package, "--no-default-features"];
        let lints = ["--all-targets", "--", "--deny", "warnings"];
        workspace::run(cargo(["clippy"]).args(package).args(lints))?;
    }
    Ok(())
}

fn table(done: &[(&str, Duration, bool)]) -> String {
    let total: Duration = done.iter().map(|(_, time, _)| *time).sum();
    let all_ok = done.iter().all(|(_, _, ok)| *ok);
    let rows = done.iter().copied().chain([("total", total, all_ok)]);
    let lines = rows.map(|(name, time, ok)| {
        let outcome = if ok { "ok" } else { "FAILED" };
        format!("{name:<16}{:>8.1} s  {outcome}", time.as_secs_f64())
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_adds_the_times_and_shows_the_failure() {
        let done =
            [("format", Duration::from_secs(2), true), ("clippy", Duration::from_secs(3), false)];
        let text = table(&done);
        assert!(text.contains("clippy               3.0 s  FAILED"), "{text}");
        assert!(text.ends_with("total                5.0 s  FAILED"), "{text}");
    }
}
