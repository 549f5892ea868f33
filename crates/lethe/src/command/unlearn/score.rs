//! `lethe unlearn score`: anyone's generations by the rules of a shared task, without a model.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use report::table::{Align, Table};
use serde_json::json;
use unlearn::data;
use unlearn::multiple_choice::Rule;
use unlearn::score::semeval::{Cells, Gate, Outcome as Scored, Split, TASKS};
use unlearn::score::{Definition, Score};

use crate::command::Outcome;
use crate::command::write;
use crate::error::{Error, Result};

/// By whose rules.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// SemEval-2025 Task 4, and LUME.
    Semeval(Flags),
}

/// Flags of `lethe unlearn score semeval`.
#[derive(Debug, Args)]
pub struct Flags {
    /// What the model wrote: JSON lines with split, id, task, output and generation, or a folder with forget.jsonl and retain.jsonl.
    predictions: PathBuf,
    /// Mean losses of whole documents of the forget set, as a JSON list of numbers.
    #[arg(long, value_name = "FILE", requires = "nonmembers")]
    members: Option<PathBuf>,
    /// The same of comparable documents that the model never saw.
    #[arg(long, value_name = "FILE", requires = "members")]
    nonmembers: Option<PathBuf>,
    /// Accuracy on multiple-choice questions, a share.
    #[arg(long, value_name = "SHARE")]
    accuracy: Option<f64>,
    /// Which questions these were: scores of other ones are not compared.
    #[arg(long, value_name = "NAME", default_value = "MMLU", requires = "accuracy")]
    questions: String,
    /// The accuracy of the model before unlearning, three quarters of which a ranked model must have.
    #[arg(long, value_name = "SHARE", requires = "accuracy", conflicts_with = "gate_7b")]
    target_accuracy: Option<f64>,
    /// The gate of the models of seven billion parameters: an accuracy of 0.371.
    #[arg(long, requires = "accuracy")]
    gate_7b: bool,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

impl Command {
    pub(super) fn outcome(&self) -> Result<Outcome> {
        let Command::Semeval(flags) = self;
        flags.outcome()
    }
}

impl Flags {
    fn outcome(&self) -> Result<Outcome> {
        let read = data::predictions(&self.predictions)?;
        let within = |error| Error::file(&self.predictions, error);
        let cells = read.cells().map_err(within)?;
        let aggregate = cells.task_aggregate()?;
        let losses = match (&self.members, &self.nonmembers) {
            (Some(members), Some(nonmembers)) => Some((numbers(members)?, numbers(nonmembers)?)),
            _ => None,
        };
        let accuracy = match self.accuracy {
            Some(accuracy) => {
                let (questions, rule) = (self.questions.clone(), Rule::MostProbable);
                Some(Score::new(accuracy, Definition::Accuracy { questions, rule })?)
            }
            None => None,
        };
        let gate = match (self.gate_7b, self.target_accuracy) {
            (true, _) => Gate::SevenBillion,
            (false, Some(accuracy)) => Gate::OfTarget(accuracy),
            (false, None) => Gate::Open,
        };
        let missing = missing(losses.is_some(), accuracy.is_some());
        let scored = match (losses, accuracy) {
            (Some((members, nonmembers)), Some(accuracy)) => {
                Some(Scored::new(cells, &members, &nonmembers, accuracy, gate)?)
            }
            _ => None,
        };
        let stdout = match self.json {
            true => self.to_json(&cells, &aggregate, scored.as_ref(), &missing)?,
            false => {
                let mut text = table(&cells).to_terminal(None) + "\n\n";
                match &scored {
                    Some(scored) => {
                        let (score, auc) = (scored.score(), scored.auc());
                        let parts = [&aggregate, scored.membership(), auc, scored.accuracy()];
                        text += &format!("{score}\n");
                        parts.iter().for_each(|part| text += &format!("  {part}\n"));
                        let passed = if scored.passes_gate() { "passed" } else { "not passed" };
                        let floor = gate.floor();
                        text += &format!("  gate: accuracy of at least {floor:.4}, {passed}\n");
                    }
                    None => {
                        text += &format!("{aggregate}\n");
                        text += &format!("no final score: it also needs {missing}\n");
                    }
                }
                text
            }
        };
        Ok(Outcome { stdout, ..Outcome::default() })
    }

    fn to_json(
        &self,
        cells: &Cells,
        aggregate: &Score,
        scored: Option<&Scored>,
        missing: &str,
    ) -> Result<String> {
        let split = |split: Split| -> serde_json::Value {
            let of = |at: usize| {
                let cell = cells.split(split)[at];
                json!({ "regurgitation": cell.regurgitation, "knowledge": cell.knowledge })
            };
            TASKS.iter().enumerate().map(|(at, task)| (task.name().to_owned(), of(at))).collect()
        };
        let number = |score: &Score| json!({ "value": score.value(), "definition": score.definition().to_string() });
        write::json(&json!({
            "format": "lethe-unlearn-semeval",
            "version": 1,
            "forget": split(Split::Forget),
            "retain": split(Split::Retain),
            "task_aggregate": number(aggregate),
            "final_score": scored.map(|s| number(s.score())),
            "membership": scored.map(|s| number(s.membership())),
            "auc": scored.map(|s| number(s.auc())),
            "accuracy": scored.map(|s| number(s.accuracy())),
            "passes_gate": scored.map(Scored::passes_gate),
            "missing": if missing.is_empty() { None } else { Some(missing) },
        }))
    }
}

/// What the final score lacks, in words.
fn missing(losses: bool, accuracy: bool) -> String {
    let losses = (!losses).then_some("losses of members and nonmembers (--members, --nonmembers)");
    let accuracy = (!accuracy).then_some("an accuracy on multiple-choice questions (--accuracy)");
    losses.into_iter().chain(accuracy).collect::<Vec<_>>().join(" and ")
}

/// The twelve numbers.
fn table(cells: &Cells) -> Table {
    let mut table = Table::new(["set", "task", "regurgitation", "knowledge"]);
    for split in [Split::Forget, Split::Retain] {
        for (task, cell) in TASKS.iter().zip(cells.split(split)) {
            let [said, known] = [cell.regurgitation, cell.knowledge].map(|x| format!("{x:.4}"));
            table.push_row([split.name(), task.name(), &said, &known]);
        }
    }
    table.align(2, Align::Right).align(3, Align::Right)
}

/// A JSON list of numbers.
fn numbers(path: &Path) -> Result<Vec<f64>> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::file(path, e))?;
    serde_json::from_str(&text)
        .map_err(|e| Error::file(path, format!("expected a JSON list of numbers: {e}")))
}
