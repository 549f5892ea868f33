//! The score of SemEval-2025 Task 4, with which LUME is judged too.

mod cells;
mod outcome;

pub use cells::{Cell, Cells, Row, Split, TASKS, Task};
pub use outcome::{Gate, Outcome};
