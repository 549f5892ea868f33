//! Optimizers as transformations: they give directions, not steps.

mod adamw;
mod clip;
mod sgd;

pub use adamw::{AdamW, AdamWState};
pub use clip::ClipByNorm;
pub use sgd::{Momentum, MomentumState, Sgd};
