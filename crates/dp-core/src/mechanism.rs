//! The Gaussian mechanism on trees.

use tensor_tree::{Key, Label, Tree};

use crate::clip::ClippedSum;
use crate::{DpEvent, Error, NeighboringRelation, NoiseMultiplier, Result};

/// Deviations that every data type holds to full precision.
const STDS: std::ops::Range<f64> = 1e-30..1e30;

/// Adds normal noise to a clipped sum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GaussianMechanism {
    noise_multiplier: NoiseMultiplier,
    relation: NeighboringRelation,
}

impl GaussianMechanism {
    /// Noise of standard deviation `noise_multiplier` times the sensitivity under `relation`.
    #[must_use]
    pub fn new(noise_multiplier: NoiseMultiplier, relation: NeighboringRelation) -> Self {
        GaussianMechanism { noise_multiplier, relation }
    }

    /// Standard deviation over sensitivity.
    #[must_use]
    pub fn noise_multiplier(&self) -> NoiseMultiplier {
        self.noise_multiplier
    }

    /// Which data sets are neighbors.
    #[must_use]
    pub fn relation(&self) -> NeighboringRelation {
        self.relation
    }

    /// The event of one release, before any amplification by sampling.
    #[must_use]
    pub fn event(&self) -> DpEvent {
        DpEvent::Gaussian { noise_multiplier: self.noise_multiplier }
    }

    /// The noised sum. Consumes the sum: the un-noised value does not exist afterwards.
    ///
    /// Noise is scaled from the sensitivity that the value itself reports, with the same deviation on every
    /// coordinate; each leaf has a stream of its own.
    ///
    /// # Privacy
    /// One release of [`GaussianMechanism::event`], and it charges nothing by itself: no ledger knows of it unless the caller
    /// charges that event *before*. [`crate::PrivateStep`] does. `key` must be secret and never used for another sum, and the
    /// samples of the sum must be those of one batch, each in it once at most. With noise multiplier zero the result is
    /// the sum itself.
    ///
    /// # Errors
    /// [`Error::InvalidScalar`] if the deviation is so small or large that single precision has no noise of it;
    /// else from the back-end.
    pub fn privatize(&self, clipped: ClippedSum, key: Key) -> Result<(Tree, DpEvent)> {
        let std = self.noise_multiplier.get() * clipped.sensitivity(self.relation);
        self.check(std)?;
        let sum = clipped.into_sum();
        if std == 0.0 {
            return Ok((sum, self.event()));
        }
        let noised = sum.map(|name, leaf| key.child(Label::Leaf(name)).add_normal(leaf, std))?;
        Ok((noised, self.event()))
    }

    /// Noise of this deviation must neither vanish nor overflow when it is rounded.
    fn check(&self, std: f64) -> Result<()> {
        if self.noise_multiplier.get() == 0.0 || STDS.contains(&std) {
            return Ok(());
        }
        Err(Error::InvalidScalar {
            name: "standard deviation of the noise",
            must: "between 1e-30 and 1e30",
            got: std,
        })
    }
}
