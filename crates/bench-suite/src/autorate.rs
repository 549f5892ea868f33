//! Short trainings whose rates come from a schedule, from a controller or from a rival.

mod method;
mod perceptron;
mod plot;
mod run;
mod scaled;
mod subject;

pub use method::{Base, Course, Grouped, Kind, Method};
pub use perceptron::Perceptron;
pub use plot::rates_with_decisions;
pub use run::{Outcome, Training, train};
pub use scaled::Scaled;
pub use subject::{Judged, Subject};
