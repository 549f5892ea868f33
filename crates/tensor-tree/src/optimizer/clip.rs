//! Norm clipping of a whole gradient; not the per-sample clipping of private training.

use crate::error::{Error, Result};
use crate::transform::Transform;
use crate::tree::Tree;

/// Scales the gradient down to norm `max_norm` where it is longer.
///
/// # Privacy
/// None: the norm of the sum says nothing about the part of one sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClipByNorm {
    /// Largest norm that passes unchanged; finite and positive.
    pub max_norm: f64,
}

impl Transform for ClipByNorm {
    type State = ();

    fn init(&self, _params: &Tree) -> Result<()> {
        if !(self.max_norm.is_finite() && 0.0 < self.max_norm) {
            return Err(Error::InvalidSetting {
                name: "max norm",
                must: "finite and positive",
                got: self.max_norm,
            });
        }
        Ok(())
    }

    fn update(&self, grads: Tree, params: &Tree, _state: &mut ()) -> Result<Tree> {
        params.check_like(&grads)?;
        let norm = grads.norm()?;
        if norm <= self.max_norm { Ok(grads) } else { grads.scale(self.max_norm / norm) }
    }
}
