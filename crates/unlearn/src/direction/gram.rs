//! Inner products of two gradients.

use crate::{Error, Result};

/// `<r, r>`, `<f, f>` and `<r, f>` over all parameters that are trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gram {
    /// Of the retain gradient with itself.
    pub rr: f64,
    /// Of the forget gradient with itself.
    pub ff: f64,
    /// Of both.
    pub rf: f64,
}

impl Gram {
    /// The cosine between the gradients; 0 if one of them is zero.
    #[must_use]
    pub fn cosine(&self) -> f64 {
        let norms = (self.rr * self.ff).sqrt();
        if norms == 0.0 { 0.0 } else { (self.rf / norms).clamp(-1.0, 1.0) }
    }

    /// What the losses gain to first order for each unit of the rate, `<r, d>` and `<f, d>`, by a direction of these weights.
    #[must_use]
    pub fn slopes(&self, weights: super::Coefficients) -> (f64, f64) {
        let super::Coefficients { retain, forget } = weights;
        (retain * self.rr + forget * self.rf, retain * self.rf + forget * self.ff)
    }

    pub(super) fn checked(self) -> Result<Self> {
        for (name, got) in [
            ("squared norm of the retain gradient", self.rr),
            ("squared norm of the forget gradient", self.ff),
        ] {
            if !(0.0..f64::INFINITY).contains(&got) {
                return Err(Error::OutOfRange { name, must: "finite and not negative", got });
            }
        }
        if !self.rf.is_finite() {
            let name = "inner product of both gradients";
            return Err(Error::OutOfRange { name, must: "finite", got: self.rf });
        }
        Ok(self)
    }
}
