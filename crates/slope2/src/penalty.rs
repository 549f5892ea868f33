//! Penalties: value, proximal map, dual norm.

pub(crate) mod pava;
mod shape;
mod sorted_l1;
mod two_level;

use crate::error::{Result, entries};
pub use shape::Shape;
pub use sorted_l1::SortedL1;
pub use two_level::{L1, TwoLevel};

/// A convex penalty of a vector of coefficients.
pub trait Penalty {
    /// Number of coefficients.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `J(beta)`.
    fn value(&self, beta: &[f64]) -> f64;

    /// Replaces `v` by the minimizer of `J(z) + |z - v|^2 / (2 step)`.
    ///
    /// # Errors
    /// [`crate::Error::InvalidEntry`] for an entry that is not finite; the others may have changed then.
    fn prox(&self, v: &mut [f64], step: f64) -> Result<()>;
}

/// Refuses what has no proximal map.
fn check(v: &[f64]) -> Result<()> {
    if crate::kernel::all_finite(v) {
        return Ok(());
    }
    entries("vector", "finite", v, f64::is_finite)
}

/// A penalty that is a norm.
pub trait DualNorm: Penalty {
    /// `max <v, z>` over `J(z) <= 1`; infinite where that has no bound, and not a number if an entry is none.
    fn dual_norm(&self, v: &[f64]) -> f64;

    /// Whether `dual_norm(v) <= 1`, up to a factor of `1 + tolerance` on the penalty.
    fn in_dual_ball(&self, v: &[f64], tolerance: f64) -> bool {
        self.dual_norm(v) <= 1.0 + tolerance
    }
}
