//! Private trainings whose gradients are filtered, with what filters do to the estimate of the gradient.

mod estimate;
mod method;
mod run;

pub use estimate::{NoiseGain, Point, noise_gain};
pub(crate) use method::WithChain;
pub use method::{Base, Filtering, Training, Watch};
pub use run::{Outcome, train};
