//! Which strength, and which penalty: cross-validation, information criteria, unknown noise, and the relaxed fit.

mod candidates;
mod criteria;
mod cv;
mod folds;
mod noise;
mod refit;
mod relaxed;
mod score;

pub use candidates::{Candidates, GridCandidates, PathCandidates, Visit};
pub use criteria::{Chosen, Criterion, Fitness, Noise};
pub use cv::{CandidateScore, CrossValidation, Validated};
pub use folds::{Folds, Split};
pub use noise::{NoiseEnd, NoiseFit, UnknownNoise};
pub use relaxed::{Relaxed, relaxed};
pub use score::Score;
pub(crate) use score::likeliest;
