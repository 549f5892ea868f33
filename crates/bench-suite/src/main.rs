//! The benchmark program behind `cargo xtask bench`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program speaks to its user")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use bench_suite::session::Session;
use bench_suite::task::{self, TASKS};
use clap::Parser;
use report::html::Page;
use report::interrupt::Interrupt;
use report::progress::Progress;

/// Runs benchmark tasks and writes `target/bench/report/index.html`.
#[derive(Debug, Parser)]
#[command(after_help = tasks_help())]
struct Flags {
    /// Tasks to run; without any, the main job.
    tasks: Vec<String>,
    /// Complete data sets and more seeds; takes hours.
    #[arg(long)]
    full: bool,
    /// Measure other libraries beside this one, where the task has peers.
    #[arg(long)]
    peers: bool,
    /// Go on with the runs of an earlier call.
    #[arg(long)]
    resume: bool,
    /// Only cases whose name contains this, where the task has cases; may be repeated.
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// Serve the benchmark of slope2: where the design comes from, as JSON.
    #[arg(long, hide = true)]
    slope_worker: Option<String>,
    /// Serve the benchmark of accountants.
    #[arg(long, hide = true)]
    accountant_worker: bool,
    /// Serve the engine benchmark: a network's shape as JSON.
    #[arg(long, hide = true)]
    engine_worker: Option<String>,
    /// The same program built with `target-cpu=native`, for the engine benchmark's second row.
    #[arg(long, hide = true, value_name = "PATH")]
    native_worker: Option<PathBuf>,
    /// What the served steps do.
    #[arg(long, hide = true, default_value = "plain")]
    mode: String,
}

#[global_allocator]
static HEAP: report::heap::Counting = report::heap::Counting;

fn tasks_help() -> String {
    let mut text = String::from("Tasks:\n");
    for task in TASKS {
        let mark = if task.default { " (default)" } else { "" };
        text += &format!("  {:<14} {}{mark}\n", task.name, task.about);
    }
    text
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    if flags.slope_worker.is_none() && !flags.accountant_worker {
        // Programs that fit with slope2 or account alone leave the allocator as it is.
        tensor_tree::keep_freed_memory();
    }
    match run(&flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            let stopped = error
                .downcast_ref::<bench_suite::Error>()
                .is_some_and(|e| matches!(e, bench_suite::Error::Interrupted));
            ExitCode::from(if stopped { 130 } else { 1 })
        }
    }
}

fn run(flags: &Flags) -> Result<()> {
    if let Some(shape) = &flags.engine_worker {
        let shape = serde_json::from_str(shape).context("the shape of the network")?;
        let mode = serde_json::from_value(flags.mode.clone().into()).context("the mode")?;
        let (input, output) = (std::io::stdin().lock(), std::io::stdout().lock());
        return Ok(bench_suite::engine::worker::serve(&shape, mode, input, output)?);
    }
    if flags.accountant_worker {
        let (input, output) = (std::io::stdin().lock(), std::io::stdout().lock());
        return Ok(bench_suite::accountant::worker::serve(input, output)?);
    }
    if let Some(source) = &flags.slope_worker {
        let source = serde_json::from_str(source).context("the source of the design")?;
        let (input, output) = (std::io::stdin().lock(), std::io::stdout().lock());
        return Ok(bench_suite::slope::worker::serve(&source, input, output)?);
    }
    let tasks = task::select(&flags.tasks)?;
    let root = workspace()?;
    let interrupt = Interrupt::on_ctrl_c().context("cannot watch for Ctrl-C")?;
    let session = Session {
        resume: flags.resume,
        full: flags.full,
        peers: flags.peers,
        only: flags.only.clone(),
        native_worker: flags.native_worker.clone(),
        ..Session::new(&root, Progress::auto(), interrupt)?
    };
    let mut page = Page::new("Lethe: measured").paragraph(format!(
        "Commit {}, on {}. Written by `cargo xtask bench`.",
        session.commit, session.machine
    ));
    let started = std::time::Instant::now();
    for task in tasks {
        page = page.section(task.run(&session)?);
    }
    let file = session.path("report/index.html");
    report::atomic::create_parent(&file)?;
    page.save(&file)?;
    let figures = report::figures::read_newest(
        session.path("figures.jsonl"),
        &report::figures::Pattern::all(),
    )?;
    println!(
        "{}",
        report::figures::table(figures.figures.iter().filter(|f| f.commit == session.commit))
    );
    let shown = file.strip_prefix(&root).unwrap_or(&file);
    println!(
        "Finished in {}. The report: {}",
        report::number::duration(started.elapsed()),
        shown.display()
    );
    Ok(())
}

/// The workspace that holds the current folder.
fn workspace() -> Result<PathBuf> {
    let here = std::env::current_dir()?;
    let is_root = |folder: &&Path| {
        std::fs::read_to_string(folder.join("Cargo.toml")).is_ok_and(|t| t.contains("[workspace]"))
    };
    let root = here.ancestors().find(is_root).context("not inside a workspace")?;
    Ok(root.to_path_buf())
}
