//! Unlearning, from a seed to what an exam finds: a model that knows two sets, one that never saw the first of them, and methods that
//! are to make the one like the other.

mod lesson;
mod outcome;
mod real;
mod training;
mod world;

pub use lesson::{Kept, Lesson};
pub use outcome::{Outcome, Shown, Summary};
pub use real::{Part, Published};
pub use training::{Base, Rates, TASK_VECTOR, Training, unlearn, unlearned};
pub use world::{Asked, Made, Start, World, made};
