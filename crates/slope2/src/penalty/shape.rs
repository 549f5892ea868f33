//! Penalties up to their strength.

use super::{DualNorm, L1, SortedL1, TwoLevel};
use crate::error::Result;

/// A penalty that can be multiplied by a strength: what a path and its grid are made of.
pub trait Shape: DualNorm + Clone {
    /// The same penalty times `alpha`.
    ///
    /// # Errors
    /// [`crate::Error::InvalidNumber`] or [`crate::Error::InvalidEntry`] unless `alpha` is finite and not negative.
    fn scaled(&self, alpha: f64) -> Result<Self>;
}

impl Shape for TwoLevel {
    fn scaled(&self, alpha: f64) -> Result<Self> {
        TwoLevel::scaled(self, alpha)
    }
}

impl Shape for L1 {
    fn scaled(&self, alpha: f64) -> Result<Self> {
        L1::new(alpha * self.lambda(), super::Penalty::len(self))
    }
}

impl Shape for SortedL1 {
    fn scaled(&self, alpha: f64) -> Result<Self> {
        SortedL1::scaled(self, alpha)
    }
}
