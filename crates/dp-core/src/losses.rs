//! Sums of clipped losses, and the only way to read one: with noise.

use crate::{DpEvent, Error, LossBound, NeighboringRelation, NoiseMultiplier, Result};

/// Which values a loss can take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum LossRange {
    /// At least 0, as cross-entropy; clipped to `[0, R_l]`. What is below 0 all the same counts as 0.
    #[default]
    NonNegative,
    /// Any; clipped to `[-R_l, R_l]`.
    Signed,
}

impl LossRange {
    /// One sample's part of a sum. NaN counts as `R_l`.
    ///
    /// # Source
    /// arXiv 2503.00703: `min(R_l / L, 1) L` for losses that are not negative.
    #[must_use]
    pub fn clip(self, loss: f64, bound: LossBound) -> f64 {
        let high = bound.get();
        let low = match self {
            LossRange::NonNegative => 0.0,
            LossRange::Signed => -high,
        };
        if loss.is_nan() { high } else { loss.clamp(low, high) }
    }

    /// The most by which a sum of clipped losses changes between neighboring data sets.
    ///
    /// `R_l`; twice that if a sample is replaced and losses can be negative.
    #[must_use]
    pub fn sensitivity(self, bound: LossBound, relation: NeighboringRelation) -> f64 {
        match (self, relation) {
            (LossRange::Signed, NeighboringRelation::ReplaceOne) => 2.0 * bound.get(),
            _ => bound.get(),
        }
    }
}

/// How the losses of samples are clipped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossClip {
    /// `R_l`. It may depend on what was released before: the noise is scaled with it.
    pub bound: LossBound,
    /// Which values there are.
    pub range: LossRange,
}

/// A sum of clipped losses.
///
/// # Privacy
/// Sensitive: only [`LossMechanism`] reads it. No `Clone`, no accessor, and `Debug` does not show it.
///
/// ```compile_fail,E0277
/// fn twice<T: Clone>() {}
/// twice::<dp_core::ClippedLosses>();
/// ```
///
/// ```compile_fail,E0616
/// fn look(clipped: dp_core::ClippedLosses) -> f64 {
///     clipped.sum
/// }
/// ```
#[must_use = "a sum of losses is worth nothing until a mechanism has added noise"]
pub struct ClippedLosses {
    sum: f64,
    clip: LossClip,
}

impl std::fmt::Debug for ClippedLosses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClippedLosses(..)")
    }
}

impl ClippedLosses {
    /// The sum over no samples.
    pub fn empty(clip: LossClip) -> Self {
        ClippedLosses { sum: 0.0, clip }
    }

    /// The sum with more samples in it: those of another micro-batch.
    pub fn with(self, losses: &[f64]) -> Self {
        let LossClip { bound, range } = self.clip;
        let more: f64 = losses.iter().map(|loss| range.clip(*loss, bound)).sum();
        ClippedLosses { sum: self.sum + more, clip: self.clip }
    }

    /// The most by which the sum can change between neighboring data sets.
    #[must_use]
    pub fn sensitivity(&self, relation: NeighboringRelation) -> f64 {
        self.clip.range.sensitivity(self.clip.bound, relation)
    }

    /// The sum over the samples of all processes, which hold disjoint data.
    #[cfg(feature = "tensor")]
    pub(crate) fn all_reduce(self, group: &impl tensor_tree::Collective) -> Result<Self> {
        use candle_core::{Device, Tensor};
        if group.world_size() == 1 {
            return Ok(self);
        }
        let device = &Device::Cpu;
        let own = Tensor::from_slice(&[self.sum], 1, device).map_err(tensor_tree::Error::from)?;
        let all = group.all_reduce_sum(tensor_tree::Tree::from_leaves([("losses", own)])?)?;
        let sums = all.leaf("losses")?.to_vec1::<f64>().map_err(tensor_tree::Error::from)?;
        Ok(ClippedLosses { sum: sums.iter().sum(), ..self })
    }
}

/// Adds normal noise to a sum of clipped losses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossMechanism {
    noise_multiplier: NoiseMultiplier,
    relation: NeighboringRelation,
}

impl LossMechanism {
    /// Noise of standard deviation `noise_multiplier` times the sensitivity under `relation`.
    #[must_use]
    pub fn new(noise_multiplier: NoiseMultiplier, relation: NeighboringRelation) -> Self {
        LossMechanism { noise_multiplier, relation }
    }

    /// Standard deviation over sensitivity, `sigma_l`.
    #[must_use]
    pub fn noise_multiplier(&self) -> NoiseMultiplier {
        self.noise_multiplier
    }

    /// The event of one release, before any amplification by sampling. Of losses and a gradient of one batch, the events are one
    /// `Composed` on one sample.
    #[must_use]
    pub fn event(&self) -> DpEvent {
        DpEvent::Gaussian { noise_multiplier: self.noise_multiplier }
    }

    /// The noised sum, for one draw `normal` of a standard normal. Consumes the sum.
    ///
    /// # Privacy
    /// One release of [`LossMechanism::event`], which charges nothing by itself: the caller charges that event before.
    /// `normal` must be secret, independent of everything and used for nothing else.
    ///
    /// # Errors
    /// [`Error::InvalidScalar`] if the noise is not finite. The sum is, whatever the losses are.
    pub fn privatize(&self, clipped: ClippedLosses, normal: f64) -> Result<f64> {
        let std = self.noise_multiplier.get() * clipped.sensitivity(self.relation);
        let noised = clipped.sum + std * normal;
        if noised.is_finite() {
            Ok(noised)
        } else {
            Err(Error::InvalidScalar { name: "noised sum of losses", must: "finite", got: noised })
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_loss() -> impl Strategy<Value = f64> {
        prop_oneof![
            4 => -20.0..50.0,
            1 => Just(f64::NAN),
            1 => Just(f64::INFINITY),
            1 => Just(f64::NEG_INFINITY),
        ]
    }

    fn range() -> impl Strategy<Value = LossRange> {
        prop_oneof![Just(LossRange::NonNegative), Just(LossRange::Signed)]
    }

    proptest! {
        #[test]
        fn one_sample_changes_the_sum_by_at_most_the_sensitivity(
            losses in proptest::collection::vec(any_loss(), 1..20),
            other in any_loss(),
            bound in 1e-3..30.0,
            range in range(),
        ) {
            let clip = LossClip { bound: LossBound::new(bound).unwrap(), range };
            let sum = |losses: &[f64]| ClippedLosses::empty(clip).with(losses);
            let whole = sum(&losses);
            let less = sum(&losses[1..]);
            let replaced = sum(&losses[1..]).with(&[other]);
            let rounding = 1e-12 * bound * losses.len() as f64;
            let (add, replace) = (NeighboringRelation::AddOrRemoveOne, NeighboringRelation::ReplaceOne);
            prop_assert!((whole.sum - less.sum).abs() <= whole.sensitivity(add) + rounding);
            prop_assert!((whole.sum - replaced.sum).abs() <= whole.sensitivity(replace) + rounding);
            for loss in &losses {
                let part = range.clip(*loss, clip.bound);
                prop_assert!(part.abs() <= bound);
                prop_assert!(range == LossRange::Signed || 0.0 <= part);
            }
        }
    }

    #[test]
    #[allow(clippy::float_cmp, reason = "bounds are taken as they are")]
    fn the_sensitivity_is_attained() {
        let bound = LossBound::new(2.0).unwrap();
        let change = |range: LossRange, from: f64, to: f64| {
            (range.clip(to, bound) - range.clip(from, bound)).abs()
        };
        let of = |range: LossRange, relation| range.sensitivity(bound, relation);
        let (add, replace) = (NeighboringRelation::AddOrRemoveOne, NeighboringRelation::ReplaceOne);
        assert_eq!(LossRange::NonNegative.clip(f64::NAN, bound), of(LossRange::NonNegative, add));
        assert_eq!(change(LossRange::NonNegative, -5.0, 5.0), of(LossRange::NonNegative, replace));
        assert_eq!(LossRange::Signed.clip(-9.0, bound), -of(LossRange::Signed, add));
        assert_eq!(change(LossRange::Signed, -5.0, f64::NAN), of(LossRange::Signed, replace));
    }

    #[test]
    #[allow(clippy::float_cmp, reason = "small dyadic numbers")]
    fn the_noise_is_the_normal_times_multiplier_and_sensitivity() {
        let clip = LossClip { bound: LossBound::new(3.0).unwrap(), range: LossRange::Signed };
        let relation = NeighboringRelation::ReplaceOne;
        let mechanism = LossMechanism::new(NoiseMultiplier::new(0.5).unwrap(), relation);
        let sum = || ClippedLosses::empty(clip).with(&[1.0, 10.0]).with(&[-0.25]);
        assert_eq!(mechanism.privatize(sum(), 0.0).unwrap(), 3.75);
        assert_eq!(mechanism.privatize(sum(), -1.0).unwrap(), 3.75 - 0.5 * 6.0);
        assert_eq!(format!("{:?}", sum()), "ClippedLosses(..)");
    }
}
