//! How rates fade toward the end of training.

use crate::error::{Error, Result};

/// A factor that falls from 1 over a known number of steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Horizon {
    /// Always 1.
    #[default]
    None,
    /// `1 - t / steps`.
    Linear {
        /// Steps of the training.
        steps: u64,
    },
    /// `(1 + cos(pi t / steps)) / 2`.
    Cosine {
        /// Steps of the training.
        steps: u64,
    },
}

impl Horizon {
    /// The factor at step `t`, the first being 0; the last factor stays.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "steps stay below 2^53")]
    pub fn factor(self, t: u64) -> f64 {
        let part = |steps: u64| (t as f64 / steps.max(1) as f64).min(1.0);
        match self {
            Horizon::None => 1.0,
            Horizon::Linear { steps } => 1.0 - part(steps),
            Horizon::Cosine { steps } => 0.5 * (1.0 + (std::f64::consts::PI * part(steps)).cos()),
        }
    }

    /// # Errors
    /// [`Error::InvalidSetting`] for a horizon of no steps.
    pub fn check(self) -> Result<()> {
        match self {
            Horizon::Linear { steps: 0 } | Horizon::Cosine { steps: 0 } => {
                Err(Error::InvalidSetting { name: "horizon", must: "at least 1 step", got: 0.0 })
            }
            _ => Ok(()),
        }
    }
}
