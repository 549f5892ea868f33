//! Lines of LUME and SemEval-2025 Task 4.

use super::generic::{VARIANTS, variants};
use crate::error::Result;
use crate::line::Line;
use crate::row::{Row, of_id};
use crate::score::semeval::TASKS;

const FIELDS: [&str; 4] = ["id", "input", "output", "task"];

pub(super) fn row(line: &Line) -> Result<Row> {
    line.only(&[&FIELDS[..], &VARIANTS].concat())?;
    let id = line.text("id")?;
    let Some((_, kind)) = of_id(&id) else {
        return Err(line.wrong("id", ID, &id));
    };
    let task = task(line)?;
    let row =
        Row { task: Some(task), ..Row::new(id, kind, line.text("input")?, line.text("output")?) };
    variants(line, row)
}

/// The field `task`, one of the three.
pub(super) fn task(line: &Line) -> Result<String> {
    let task = line.text("task")?;
    if TASKS.iter().any(|known| known.name() == task) {
        Ok(task)
    } else {
        Err(line.wrong("task", "`Task1`, `Task2` or `Task3`", &task))
    }
}

pub(super) const ID: &str = "a document and `sc` or `qa` and digits";
