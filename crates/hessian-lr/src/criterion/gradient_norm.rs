//! Squared norms of gradients.

use super::{Criterion, Memory, Seen, add};
use crate::error::Result;

/// The squared Euclidean norm of a group's part of the gradient of the batch's loss, summed over steps: `sum_t |g_k(t)|^2`.
///
/// It contains the noise of the batch: its mean is that of the full gradient plus the trace of the samples' covariance over
/// the size of the batch.
///
/// # Source
/// The cheap baseline that reviews of arXiv 2505.12579 asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GradientNorm;

impl Criterion for GradientNorm {
    fn name(&self) -> &'static str {
        "gradient_norm"
    }

    fn observe(&self, seen: &Seen<'_>, memory: &mut Memory) -> Result<()> {
        add(memory, "squared norm of a group's gradient", seen.squares.iter().copied())?;
        memory.count += 1;
        Ok(())
    }
}
