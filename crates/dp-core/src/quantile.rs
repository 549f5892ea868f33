//! Clip thresholds that follow a quantile of the gradients' norms, by private counts of the samples below them.

use crate::{ClipNorm, Error, NeighboringRelation, Result};

/// Moves each threshold so that a given share of the samples has a norm below it.
///
/// With `b_i` one where the norm of sample `i` in the group is at most the threshold `R`, and `gamma` the quantile, a step releases
///
/// ```text
/// s = ( sum_i (b_i - gamma) + noise ) / expected batch size,      R <- R exp(-rate s)
/// ```
///
/// The sum is zero at the quantile whatever the size of the batch, so nothing has to be known of that size.
///
/// # Privacy
/// Thresholds are functions of what was released; the noise of gradients is scaled with them. The counts of all groups are one vector,
/// which one record changes by `max(gamma, 1 - gamma)` in each entry. They get noise of the plan's multiplier
/// ([`crate::PlanBuilder::clip_count_noise`]), charged together with the gradient of their batch as one event on one sample.
///
/// # Source
/// arXiv 1905.03871, algorithm 1, with counts centred at the quantile in place of one half.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantileClip {
    quantile: f64,
    rate: f64,
    bounds: (f64, f64),
}

impl Default for QuantileClip {
    /// The median, at the paper's rate of 0.2.
    fn default() -> Self {
        QuantileClip { quantile: 0.5, rate: 0.2, bounds: (1e-8, 1e8) }
    }
}

impl QuantileClip {
    /// Follows the given quantile: the share of samples that are not clipped.
    ///
    /// # Errors
    /// [`Error::InvalidScalar`] unless `0 < quantile < 1` and the rate is finite and positive.
    pub fn new(quantile: f64, rate: f64) -> Result<Self> {
        if !(0.0 < quantile && quantile < 1.0) {
            let (name, must) = ("quantile of norms", "between 0 and 1, both excluded");
            return Err(Error::InvalidScalar { name, must, got: quantile });
        }
        if !(rate.is_finite() && 0.0 < rate) {
            let (name, must) = ("rate of clip thresholds", "finite and positive");
            return Err(Error::InvalidScalar { name, must, got: rate });
        }
        Ok(QuantileClip { quantile, rate, ..QuantileClip::default() })
    }

    /// The same with thresholds kept between `low` and `high`; 1e-8 and 1e8 unless given.
    ///
    /// # Errors
    /// [`Error::InvalidScalar`] unless both are finite and positive and in order.
    pub fn with_bounds(self, low: f64, high: f64) -> Result<Self> {
        let bounds = (ClipNorm::new(low)?.get(), ClipNorm::new(high)?.get());
        if high < low {
            let (name, must) = ("largest clip threshold", "at least the smallest");
            return Err(Error::InvalidScalar { name, must, got: high });
        }
        Ok(QuantileClip { bounds, ..self })
    }

    /// The share of samples that are not to be clipped.
    #[must_use]
    pub fn quantile(&self) -> f64 {
        self.quantile
    }

    /// L2 sensitivity of the vector of centred counts of so many groups.
    ///
    /// `max(gamma, 1 - gamma)` in each group if a record is added or removed, 1 if it is replaced.
    #[must_use]
    pub fn sensitivity(&self, n_groups: usize, relation: NeighboringRelation) -> f64 {
        let each = match relation {
            NeighboringRelation::AddOrRemoveOne => self.quantile.max(1.0 - self.quantile),
            NeighboringRelation::ReplaceOne => 1.0,
        };
        each * (n_groups as f64).sqrt()
    }

    /// The part of one sample in the count of its group. A norm that is NaN counts as above the threshold.
    #[must_use]
    pub fn part(&self, norm: f64, threshold: f64) -> f64 {
        f64::from(u8::from(norm <= threshold)) - self.quantile
    }

    /// The thresholds after a step whose noised counts, over the expected batch size, were `shares`.
    ///
    /// # Errors
    /// [`Error::InvalidScalar`] for another number of shares than of thresholds, or a share that is NaN.
    pub fn moved(&self, thresholds: &[f64], shares: &[f64]) -> Result<Vec<f64>> {
        if thresholds.len() != shares.len() {
            let (name, must) = ("number of clip counts", "that of the thresholds");
            return Err(Error::InvalidScalar { name, must, got: shares.len() as f64 });
        }
        let moved = thresholds.iter().zip(shares).map(|(threshold, share)| {
            if share.is_nan() {
                let (name, must) = ("share of clipped samples", "a number");
                return Err(Error::InvalidScalar { name, must, got: *share });
            }
            // A share far outside [-1, 1] is noise; one step moves by a factor of e^rate at most.
            let factor = (-self.rate * share.clamp(-1.0, 1.0)).exp();
            Ok((threshold * factor).clamp(self.bounds.0, self.bounds.1))
        });
        moved.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_settle_at_the_quantile() {
        // Norms 1, 2, .., 1000: the quantile gamma lies at 1000 gamma.
        let norms: Vec<f64> = (1..=1000).map(f64::from).collect();
        for quantile in [0.1, 0.5, 0.9] {
            let clip = QuantileClip::new(quantile, 0.2).unwrap();
            for start in [0.5, 1e5] {
                let mut thresholds = vec![start];
                for _ in 0..2000 {
                    let sum: f64 = norms.iter().map(|norm| clip.part(*norm, thresholds[0])).sum();
                    thresholds = clip.moved(&thresholds, &[sum / 1000.0]).unwrap();
                }
                let expected = 1000.0 * quantile;
                assert!((thresholds[0] / expected - 1.0).abs() < 0.02, "{quantile} {thresholds:?}");
            }
        }
    }

    #[test]
    fn one_record_changes_the_counts_by_the_sensitivity_at_most_and_some_do() {
        for quantile in [0.2, 0.5, 0.7] {
            let clip = QuantileClip::new(quantile, 0.2).unwrap();
            let parts = [f64::NAN, f64::INFINITY, 0.0, 1.0, 1.5].map(|norm| clip.part(norm, 1.0));
            let largest = parts.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
            let add = clip.sensitivity(1, NeighboringRelation::AddOrRemoveOne);
            assert!((largest - add).abs() < 1e-15);
            let spread = parts.iter().fold(f64::NEG_INFINITY, |a, b| a.max(*b))
                - parts.iter().fold(f64::INFINITY, |a, b| a.min(*b));
            let replace = clip.sensitivity(1, NeighboringRelation::ReplaceOne);
            assert!((spread - replace).abs() < 1e-15);
            let of_four = clip.sensitivity(4, NeighboringRelation::AddOrRemoveOne);
            assert!((of_four - 2.0 * add).abs() < 1e-15);
        }
    }

    #[test]
    fn thresholds_stay_within_bounds_and_a_step_within_its_factor() {
        let clip = QuantileClip::default().with_bounds(0.5, 2.0).unwrap();
        assert_eq!(clip.moved(&[1.0], &[f64::NEG_INFINITY]).unwrap(), [0.2_f64.exp()]);
        assert_eq!(clip.moved(&[1.0, 0.51], &[1e9, 1e9]).unwrap(), [(-0.2_f64).exp(), 0.5]);
        assert_eq!(clip.moved(&[1.9], &[-1.0]).unwrap(), [2.0]);
        assert!(clip.moved(&[1.0], &[f64::NAN]).is_err());
        assert!(clip.moved(&[1.0], &[]).is_err());
    }

    #[test]
    fn settings_that_cannot_be_meant_are_refused() {
        for (quantile, rate) in [(0.0, 0.2), (1.0, 0.2), (f64::NAN, 0.2), (0.5, 0.0), (0.5, -1.0)] {
            assert!(QuantileClip::new(quantile, rate).is_err(), "{quantile} {rate}");
        }
        assert!(QuantileClip::default().with_bounds(2.0, 1.0).is_err());
        assert!(QuantileClip::default().with_bounds(0.0, 1.0).is_err());
    }
}
