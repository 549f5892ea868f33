//! How much may be trained.

use crate::error::{Error, Result};

/// The largest number of parameters that may be trained.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Budget {
    /// That many parameters.
    Count(u64),
    /// This part of all parameters, in `[0, 1]`; those that cannot be chosen are among them.
    Fraction(f64),
}

impl From<u64> for Budget {
    fn from(count: u64) -> Budget {
        Budget::Count(count)
    }
}

impl Budget {
    /// The budget as a number of parameters, where there are `total`: `floor(fraction * total)` for a fraction.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for a fraction outside `[0, 1]` or NaN.
    pub fn count(self, total: u64) -> Result<u64> {
        match self {
            Budget::Count(count) => Ok(count),
            Budget::Fraction(got) if !(0.0..=1.0).contains(&got) => {
                Err(Error::InvalidSetting { name: "fraction to train", must: "in [0, 1]", got })
            }
            // The product of a large total would round.
            Budget::Fraction(1.0) => Ok(total),
            #[allow(clippy::cast_possible_truncation, reason = "the floor is what is asked for")]
            Budget::Fraction(part) => Ok(((part * total as f64).floor() as u64).min(total)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_is_rounded_down_and_one_is_everything() {
        for (part, total, want) in [
            (0.0, 10, 0),
            (0.3, 10, 3),
            (0.999, 10, 9),
            (1.0, 10, 10),
            (1.0, u64::MAX, u64::MAX),
            (0.5, 0, 0),
        ] {
            assert_eq!(Budget::Fraction(part).count(total).unwrap(), want, "{part} of {total}");
        }
        assert_eq!(Budget::from(7).count(3).unwrap(), 7);
    }

    #[test]
    fn a_fraction_outside_its_range_is_refused_by_its_value() {
        for part in [-1e-9, 1.000_001, f64::INFINITY, f64::NAN] {
            let error = Budget::Fraction(part).count(10).unwrap_err();
            let Error::InvalidSetting { got, .. } = error else { panic!("{error}") };
            assert!(got == part || part.is_nan() && got.is_nan());
        }
    }
}
