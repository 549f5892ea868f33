//! Learning-rate schedules: a factor as a function of the step.

use crate::error::{Error, Result};

/// The course of a rate over training, as a factor of the peak rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Schedule {
    /// Always one.
    Constant,
    /// Linear rise over `warmup` steps, then linear fall to `floor` at step `total`.
    Linear {
        /// Steps of rise.
        warmup: u64,
        /// Step at which the floor is reached.
        total: u64,
        /// Last factor.
        floor: f64,
    },
    /// Linear rise over `warmup` steps, then half a cosine to `floor` at step `total`.
    Cosine {
        /// Steps of rise.
        warmup: u64,
        /// Step at which the floor is reached.
        total: u64,
        /// Last factor.
        floor: f64,
    },
}

impl Schedule {
    /// Whether the numbers make sense.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] unless `warmup <= total`, `0 < total` and `floor` is in `[0, 1]`.
    #[allow(clippy::cast_precision_loss, reason = "steps stay below 2^53")]
    pub fn check(self) -> Result<()> {
        let (Schedule::Linear { warmup, total, floor } | Schedule::Cosine { warmup, total, floor }) =
            self
        else {
            return Ok(());
        };
        if total == 0 || total < warmup {
            return Err(Error::InvalidSetting {
                name: "schedule length",
                must: "positive and at least the warm-up",
                got: total as f64,
            });
        }
        if !(0.0..=1.0).contains(&floor) {
            return Err(Error::InvalidSetting {
                name: "schedule floor",
                must: "in [0, 1]",
                got: floor,
            });
        }
        Ok(())
    }

    /// The factor at `step` (the first step is 0). Beyond the last step it stays at the floor. A schedule that
    /// [`Schedule::check`] refuses falls to the floor right after its rise.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "steps stay below 2^53")]
    pub fn factor(self, step: u64) -> f64 {
        let shape = |warmup: u64, total: u64, floor: f64, curve: fn(f64) -> f64| {
            if step < warmup {
                return (step as f64 + 1.0) / warmup as f64;
            }
            let progress = (step - warmup) as f64 / total.saturating_sub(warmup).max(1) as f64;
            floor + (1.0 - floor) * curve(progress.min(1.0))
        };
        match self {
            Schedule::Constant => 1.0,
            Schedule::Linear { warmup, total, floor } => shape(warmup, total, floor, |p| 1.0 - p),
            Schedule::Cosine { warmup, total, floor } => {
                shape(warmup, total, floor, |p| 0.5 * (1.0 + (std::f64::consts::PI * p).cos()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;

    use super::*;

    #[test]
    fn schedules_rise_peak_and_end_at_the_floor() {
        for s in [
            Schedule::Linear { warmup: 10, total: 110, floor: 0.1 },
            Schedule::Cosine { warmup: 10, total: 110, floor: 0.1 },
        ] {
            s.check().unwrap();
            assert_relative_eq!(s.factor(0), 0.1);
            assert_relative_eq!(s.factor(9), 1.0);
            assert_relative_eq!(s.factor(10), 1.0);
            assert_relative_eq!(s.factor(60), 0.55, epsilon = 1e-12);
            assert_relative_eq!(s.factor(1000), 0.1);
        }
    }

    #[test]
    fn a_warm_up_longer_than_the_schedule_is_refused() {
        assert!(Schedule::Linear { warmup: 3, total: 2, floor: 0.0 }.check().is_err());
        assert!(Schedule::Cosine { warmup: 0, total: 2, floor: f64::NAN }.check().is_err());
        let unchecked = Schedule::Linear { warmup: 3, total: 2, floor: 0.5 };
        assert_eq!([1, 2, 3, 4].map(|step| unchecked.factor(step)), [2.0 / 3.0, 1.0, 1.0, 0.5]);
        let longest = Schedule::Linear { warmup: u64::MAX, total: u64::MAX, floor: 0.0 };
        assert_relative_eq!(longest.factor(u64::MAX - 1), 1.0);
    }
}
