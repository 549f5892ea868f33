//! `lethe epsilon batch`: an answer for each run of a file.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Args;
use dp_core::Delta;
use rayon::prelude::*;
use report::table::Table;
use serde_json::json;
use slope2::Progress;

use super::account::{Answer, at_least, at_most, run_json};
use super::flags::AccountFlags;
use super::phase::Fill;
use super::spec::{Placed, Relation, Run, RunSpec};
use crate::command::{File, Outcome, Session, write};
use crate::error::{Error, Result};

/// Flags of `batch`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// A file of runs: JSON lines (`.jsonl`, one object a line) or CSV with a header. Names are those of the flags.
    file: PathBuf,
    #[command(flatten)]
    account: AccountFlags,
    /// Write the answers to this CSV file.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print JSON lines, one for each run, instead of a table.
    #[arg(long)]
    json: bool,
}

/// A run with its line, counted from 1.
struct Row {
    line: u64,
    spec: RunSpec,
}

/// A checked run with its answer.
struct Answered {
    name: String,
    run: Run,
    delta: Delta,
    answer: Answer,
}

impl Flags {
    pub(super) fn outcome(&self, session: &Session) -> Result<Outcome> {
        let text = std::fs::read_to_string(&self.file)
            .map_err(|e| Error::file(&self.file, format!("cannot be read: {e}")))?;
        let is_csv = self.file.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv"));
        let rows =
            if is_csv { csv_rows(&self.file, &text)? } else { json_rows(&self.file, &text)? };
        if rows.is_empty() {
            return Err(Error::file(&self.file, "expected at least one run, got none"));
        }
        // All rows are checked before the first is worked on.
        let checked = rows.iter().map(|row| self.check(row)).collect::<Result<Vec<_>>>()?;
        let chosen = self.account.chosen()?;
        let watch = session.watch("runs");
        let done = AtomicUsize::new(0);
        let n = checked.len();
        let answer = |(row, (run, delta)): (&Row, (Run, Delta))| -> Result<Answered> {
            let answer = Answer::of(&chosen, &run.accounted(), delta)
                .map_err(|e| Error::file(&self.file, format!("line {}: {e}", row.line)))?;
            let name = row.spec.name.clone().unwrap_or_else(|| format!("line {}", row.line));
            match watch.advance(done.fetch_add(1, Ordering::Relaxed) + 1, n) {
                ControlFlow::Continue(()) => Ok(Answered { name, run, delta, answer }),
                ControlFlow::Break(()) => Err(Error::Interrupted),
            }
        };
        let answers: Vec<Answered> =
            rows.par_iter().zip(checked).map(answer).collect::<Result<_>>()?;
        watch.finish();
        let notes = answers.iter().flat_map(|row| {
            row.answer
                .notes(&row.run, row.delta)
                .into_iter()
                .map(|note| format!("{}: {note}", row.name))
        });
        let notes = notes.collect();
        let files = match &self.out {
            Some(path) => vec![File { path: path.clone(), bytes: table_csv(&answers)? }],
            None => Vec::new(),
        };
        let stdout = if self.json { json_lines(&answers)? } else { shown(&answers) };
        Ok(Outcome { stdout, notes, files, ..Outcome::default() })
    }

    fn check(&self, row: &Row) -> Result<(Run, Delta)> {
        let refused = |(phase, fault): Placed| {
            let phase = phase.map(|i| format!(", phase {i}")).unwrap_or_default();
            let what = format!("line {}{phase}, {}: {}", row.line, fault.field, fault.what);
            Error::file(&self.file, what)
        };
        let run = row.spec.run(Fill::default()).map_err(refused)?;
        let delta = row.spec.delta().map_err(|fault| refused((None, fault)))?;
        Ok((run, delta))
    }
}

/// One object a line; empty lines are passed over.
fn json_rows(file: &Path, text: &str) -> Result<Vec<Row>> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let row = |(i, line): (usize, &str)| {
        let spec = serde_json::from_str(line)
            .map_err(|e| Error::file(file, format!("line {}: not a run: {e}", i + 1)))?;
        Ok(Row { line: i as u64 + 1, spec })
    };
    lines.map(row).collect()
}

/// A header, then a run a line; empty cells are numbers that are not given.
fn csv_rows(file: &Path, text: &str) -> Result<Vec<Row>> {
    const KNOWN: &str = "name, samples, delta, relation, shuffled, rate, batch, noise, joint, laplace, steps, epochs";
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let header = reader.headers().map_err(|e| Error::file(file, e))?.clone();
    if let Some(unknown) = header.iter().find(|name| !KNOWN.split(", ").any(|known| known == *name))
    {
        return Err(Error::file(
            file,
            format!("line 1: no column `{unknown}` is known; expected {KNOWN}"),
        ));
    }
    let row = |record: csv::Result<csv::StringRecord>| {
        let record = record.map_err(|e| Error::file(file, e))?;
        let line = record.position().map_or(0, |at| at.line());
        let cells: BTreeMap<&str, &str> =
            header.iter().zip(record.iter()).filter(|(_, cell)| !cell.is_empty()).collect();
        let spec =
            spec_of(&cells).map_err(|what| Error::file(file, format!("line {line}, {what}")))?;
        Ok(Row { line, spec })
    };
    reader.records().map(row).collect()
}

fn spec_of(cells: &BTreeMap<&str, &str>) -> std::result::Result<RunSpec, String> {
    let number = |name: &str| -> std::result::Result<Option<f64>, String> {
        let Some(cell) = cells.get(name) else { return Ok(None) };
        cell.parse().map(Some).map_err(|_| format!("{name}: expected a number, got `{cell}`"))
    };
    let joint = cells.get("joint").map_or(Ok(Vec::new()), |cell| {
        let all = cell.split('+').map(|part| {
            part.trim().parse().map_err(|_| format!("joint: expected numbers, got `{cell}`"))
        });
        all.collect()
    })?;
    let relation = match cells.get("relation").copied() {
        None | Some("add-or-remove") => Relation::AddOrRemove,
        Some("replace") => Relation::Replace,
        Some(cell) => {
            return Err(format!("relation: expected add-or-remove or replace, got `{cell}`"));
        }
    };
    let shuffled = match cells.get("shuffled").copied() {
        None | Some("false") => false,
        Some("true") => true,
        Some(cell) => return Err(format!("shuffled: expected true or false, got `{cell}`")),
    };
    Ok(RunSpec {
        name: cells.get("name").map(|name| (*name).to_owned()),
        samples: number("samples")?,
        delta: number("delta")?,
        relation,
        shuffled,
        rate: number("rate")?,
        batch: number("batch")?,
        noise: number("noise")?,
        joint,
        laplace: number("laplace")?,
        steps: number("steps")?,
        epochs: number("epochs")?,
        phases: Vec::new(),
    })
}

fn table_csv(answers: &[Answered]) -> Result<Vec<u8>> {
    let rows = answers.iter().map(|row| {
        let lower = row.answer.lower().map(|x| x.to_string()).unwrap_or_default();
        let (upper, delta) = (row.answer.upper().to_string(), row.delta.get().to_string());
        vec![row.name.clone(), delta, lower, upper, row.run.event().to_string()]
    });
    write::csv(&["name", "delta", "lower", "upper", "run"], rows)
}

fn json_lines(answers: &[Answered]) -> Result<String> {
    let line = |row: &Answered| {
        let all = json!({
            "name": row.name,
            "epsilon": row.answer.json(),
            "run": run_json(&row.run, row.delta),
        });
        serde_json::to_string(&all).map(|text| text + "\n").map_err(write::no_json)
    };
    answers.iter().map(line).collect()
}

fn shown(answers: &[Answered]) -> String {
    let mut table = Table::new(["run", "steps", "delta", "at least", "at most"]);
    for row in answers {
        table.push_row([
            row.name.clone(),
            row.run.steps().to_string(),
            format!("{:e}", row.delta.get()),
            row.answer.lower().map_or(String::new(), |x| at_least(x, 6)),
            at_most(row.answer.upper(), 6),
        ]);
    }
    format!("{}\n", table.to_terminal(None))
}
