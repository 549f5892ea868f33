//! `cargo xtask bench`: builds the benchmark suite in release and becomes it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::flags;
use crate::workspace;

const BINARY: &str = "bench-suite";

/// How many threads candle's pool for elementwise maps has. It is one for the whole process, and runs side by side wait for each other in
/// it with all cores busy.
const POOL: &str = "CANDLE_NUM_THREADS";
/// The task whose runs go without that pool. The times of others were measured with it.
const TOGETHER: &str = "unlearn";

pub(crate) fn run(flags: &flags::Bench) -> Result<()> {
    if !workspace::root().join("crates/bench-suite/src/main.rs").is_file() {
        bail!("crates/bench-suite has no binary yet, so there is nothing to run");
    }
    let binary = build(flags.features.as_deref(), For::AnyProcessor)?;
    let mut command = Command::new(binary);
    command.current_dir(workspace::root()).args(arguments(flags));
    let together = !flags.tasks.is_empty() && flags.tasks.iter().all(|task| task == TOGETHER);
    if together && std::env::var_os(POOL).is_none() {
        command.env(POOL, "1");
    }
    if flags.tasks.iter().any(|task| task == "engine") {
        let native = build(flags.features.as_deref(), For::ThisProcessor)?;
        command.arg("--native-worker").arg(native);
    }
    replace_with(&mut command)
}

/// What a binary is built for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    /// As users get it: kernels choose their instructions at run time.
    AnyProcessor,
    /// `target-cpu=native`, in a target folder of its own.
    ThisProcessor,
}

fn arguments(flags: &flags::Bench) -> Vec<&str> {
    let switches = [("--full", flags.full), ("--peers", flags.peers), ("--resume", flags.resume)];
    let tasks = flags.tasks.iter().map(String::as_str);
    let switches = switches.into_iter().filter_map(|(name, on)| on.then_some(name));
    let only = flags.only.iter().flat_map(|text| ["--only", text.as_str()]);
    tasks.chain(switches).chain(only).chain(flags.extra.iter().map(String::as_str)).collect()
}

/// Builds the binary and asks cargo where it lies, whatever the target folder is.
fn build(features: Option<&str>, target: For) -> Result<PathBuf> {
    let mut command =
        workspace::cargo(["build", "--release", "--package", BINARY, "--bin", BINARY]);
    command.arg("--message-format=json-render-diagnostics");
    if let Some(features) = features {
        command.args(["--features", features]);
    }
    if target == For::ThisProcessor {
        let flags = std::env::var("RUSTFLAGS").unwrap_or_default() + " -C target-cpu=native";
        command.env("RUSTFLAGS", flags.trim()).args(["--target-dir", "target/native"]);
    }
    let out = command.stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    if !out.status.success() {
        bail!("`{}` failed ({})", workspace::display(&command), out.status);
    }
    let messages = String::from_utf8_lossy(&out.stdout);
    executable(&messages).context("cargo built no benchmark binary")
}

/// The path in cargo's message about the finished binary.
fn executable(messages: &str) -> Option<PathBuf> {
    let artifact = |line: &str| -> Option<PathBuf> {
        let message: Value = serde_json::from_str(line).ok()?;
        let ours = message["target"]["name"] == BINARY && message["target"]["kind"][0] == "bin";
        let path = message["executable"].as_str().filter(|_| ours)?;
        Some(Path::new(path).to_path_buf())
    };
    messages.lines().filter_map(artifact).next_back()
}

/// Becomes the other process, so that Ctrl-C and other signals reach it and nobody else, and its exit
/// status is ours.
#[cfg(unix)]
fn replace_with(command: &mut Command) -> Result<()> {
    use std::os::unix::process::CommandExt;
    let error = command.exec(); // returns only if it failed
    Err(error).with_context(|| format!("cannot start `{}`", workspace::display(command)))
}

/// Waits for the other process. The console sends Ctrl-C to both.
#[cfg(not(unix))]
fn replace_with(command: &mut Command) -> Result<()> {
    workspace::run(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_reach_the_binary() {
        let flags = flags::Bench {
            tasks: vec!["engine".into()],
            full: false,
            peers: true,
            resume: true,
            only: vec!["wide".into()],
            features: None,
            extra: vec!["--seed".into(), "3".into()],
        };
        let expected = ["engine", "--peers", "--resume", "--only", "wide", "--seed", "3"];
        assert_eq!(arguments(&flags), expected);
    }

    #[test]
    fn the_binary_is_found_among_the_messages() {
        let messages = [
            r#"{"reason":"compiler-artifact","target":{"name":"bench_suite","kind":["lib"]},"executable":null}"#,
            r#"{"reason":"compiler-artifact","target":{"name":"bench-suite","kind":["bin"]},"executable":"x/bench-suite"}"#,
            r#"{"reason":"build-finished","success":true}"#,
        ];
        assert_eq!(executable(&messages.join("\n")), Some(PathBuf::from("x/bench-suite")));
        assert_eq!(executable(messages[0]), None);
    }
}
