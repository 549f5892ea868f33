//! Private trainings whose rates come from private losses, from a grid or from a rival.

mod messages;
mod method;
mod run;

pub use messages::{Messages, Trained};
pub use method::{Base, Method, Rival, Training};
pub use run::{Outcome, plan, train};
