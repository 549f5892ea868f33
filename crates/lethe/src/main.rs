//! The command line.

#![allow(clippy::print_stderr, reason = "a program speaks to its user")]

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use lethe::command::{self, Flags};
use report::interrupt::Interrupt;

fn main() -> ExitCode {
    let flags = Flags::parse();
    let interrupt = Interrupt::on_ctrl_c().unwrap_or_default();
    match command::run(flags, &interrupt) {
        Ok(outcome) => {
            for note in &outcome.notes {
                eprintln!("note: {note}");
            }
            // A reader that has seen enough, as `head`, is no error.
            let _ = std::io::stdout().write_all(outcome.stdout.as_bytes());
            ExitCode::from(outcome.exit_code())
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
