//! Build and benchmark automation: `cargo xtask --help` lists the commands.
//!
//! Depends on no crate of ours. It starts processes (cargo, package clients, the benchmark binary),
//! so it builds in seconds and still works when a crate does not compile.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line speaks on the terminal"
)]

mod bench;
mod ci;
mod data;
mod examples;
mod figures;
mod fixtures;
mod flags;
mod hash;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

use crate::flags::{Command, Xtask};

fn main() -> ExitCode {
    let outcome = match Xtask::parse().command {
        Command::Test(flags) => test::run(&flags),
        Command::Ci => ci::run(),
        Command::Bench(flags) => bench::run(&flags),
        Command::Figures(flags) => figures::run(&flags),
        Command::Data(flags) => data::run(&flags),
        Command::Fixtures(flags) => fixtures::run(&flags),
        Command::Tidy => tidy::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
