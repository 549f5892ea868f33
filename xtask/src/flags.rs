//! The commands and their flags.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Build and benchmark automation of this workspace.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", version)]
pub(crate) struct Xtask {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build and run the tests of the whole workspace, doc tests included.
    Test(Test),
    /// Everything a change must pass: format, lints, tests, docs, repository rules, fixtures.
    Ci,
    /// Build the benchmark suite in release and run it: the main job, or the tasks named.
    Bench(Bench),
    /// Print the newest value of each benchmark figure as `task/figure value unit`.
    Figures(Figures),
    /// List the data sets that can be fetched, or fetch one into target/data.
    Data(Data),
    /// Verify format and checksum of each file under fixtures/.
    Fixtures(Fixtures),
    /// Check the repository rules (also run by `cargo test -p xtask`).
    Tidy,
}

#[derive(Debug, Default, Args)]
pub(crate) struct Test {
    /// Run only tests whose names contain this, without doc tests. `golden` compares with golden
    /// files: those of the folder GOLDEN_DIR if it is set, else those of fixtures/golden.
    pub(crate) filter: Option<String>,
    /// Also run heavy tests (marked `#[ignore = "heavy: ..."]`), everything in the release profile.
    #[arg(long)]
    pub(crate) all: bool,
    /// Only this crate; may be repeated.
    #[arg(short, long = "package", value_name = "CRATE")]
    pub(crate) packages: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Tasks to run; without any, the main job.
    pub(crate) tasks: Vec<String>,
    /// The long version: complete data sets and more seeds.
    #[arg(long)]
    pub(crate) full: bool,
    /// Also measure other libraries, in a throw-away Python environment.
    #[arg(long)]
    pub(crate) peers: bool,
    /// Continue a run that was stopped.
    #[arg(long)]
    pub(crate) resume: bool,
    /// Only cases whose name contains this, where a task has cases; may be repeated.
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Vec<String>,
    /// Cargo features of the benchmark suite, such as `cuda`.
    #[arg(long, value_name = "FEATURES")]
    pub(crate) features: Option<String>,
    /// Further arguments for the benchmark binary.
    #[arg(last = true)]
    pub(crate) extra: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Figures {
    /// Only figures that match this glob (`*` matches any text, slashes too; `?` one character),
    /// or all figures of the task of this name.
    pub(crate) pattern: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Data {
    /// The set to fetch; without it, the known sets are listed.
    pub(crate) name: Option<String>,
    /// Take the files from this folder instead of fetching them; checksums are verified all the same.
    #[arg(long, value_name = "FOLDER", requires = "name")]
    pub(crate) from: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Fixtures {
    /// Verify formats, sizes, checksums, and that nothing is missing or unlisted.
    #[arg(long)]
    pub(crate) check: bool,
    /// Rewrite sizes and checksums in fixtures/CHECKSUMS.toml and list new files.
    #[arg(long)]
    pub(crate) update: bool,
}
