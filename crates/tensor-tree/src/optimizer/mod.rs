//! Optimizers as transformations: they give directions, not steps.

mod adamw;
mod clip;
mod sgd;

pub use adamw::{AdamW, AdamWState};
pub use clip::ClipByNorm;
pub use sgd::{Momentum, MomentumState, Sgd};

use crate::error::Result;
use crate::tree::Tree;

/// The memory of an optimizer with each leaf on the gradient's device and of its type: a checkpoint is read on
/// the host. Costs nothing where they agree.
///
/// # Errors
/// As [`Tree::check_like`].
fn state_beside(state: &Tree, grads: &Tree) -> Result<Tree> {
    state.zip_map(grads, |leaf, g| Ok(leaf.to_device(g.device())?.to_dtype(g.dtype())?))
}
