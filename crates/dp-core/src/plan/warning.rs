//! What a plan allows although it is probably not meant.

use std::fmt;

/// Something that is allowed, but probably not meant.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum PlanWarning {
    /// With `delta >= 1/n`, publishing one random record in full would satisfy the guarantee.
    LargeDelta {
        /// The plan's delta.
        delta: f64,
        /// The plan's number of samples.
        n_samples: u64,
    },
    /// Noise multiplier zero, of gradients, of losses or of clip counts: no guarantee at all.
    NoNoise,
    /// Losses are released with so much noise that learning rates found by them are poor.
    NoisyLosses {
        /// Standard deviation of a released loss over its clip bound.
        relative_noise: f64,
    },
}

impl fmt::Display for PlanWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlanWarning::LargeDelta { delta, n_samples } => write!(
                f,
                "delta {delta:e} is not below 1/{n_samples}: publishing one record in full would pass"
            ),
            PlanWarning::NoNoise => f.write_str("no noise is added, so there is no guarantee"),
            PlanWarning::NoisyLosses { relative_noise } => write!(
                f,
                "the noise of a released loss is {relative_noise:.3} of its clip bound: more than 0.03 makes learning \
                 rates poor; larger batches or a larger gradient noise factor help"
            ),
        }
    }
}
