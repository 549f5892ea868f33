//! Runs of a method: steps, checks, when to stop, and what is left at the end.
//!
//! A run owns no clock, no file and no signal: its caller asks for one step after the other, saves the [`State`] when it likes, and
//! stops when time is up or somebody interrupts. What was best so far is in the state.

mod check;
mod log;
mod optimizer;
mod settings;
mod state;
mod step;
mod watch;

pub use check::{Check, Checks};
pub use log::{Skipped, StepLog};
pub use optimizer::{Optimizer, OptimizerState};
pub use settings::{Ceiling, Keep, Rate, Settings, Stop};
pub use state::{Best, State};
pub use step::{Ended, Outcome, Run};
pub use watch::NoOp;

#[cfg(test)]
mod tests;
