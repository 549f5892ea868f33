//! Numbers that were checked once: a value of these types is in its range and is not NaN.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use crate::{Error, Result};

macro_rules! scalar {
    ($(#[$doc:meta])* $type:ident, $name:literal, $must:literal, |$value:ident| $holds:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[cfg_attr(feature = "serde", serde(try_from = "f64", into = "f64"))]
        pub struct $type(f64);

        impl $type {
            #[doc = concat!("Checks that the ", $name, " is ", $must, ".")]
            ///
            /// # Errors
            #[doc = concat!("[`Error::InvalidScalar`] unless `value` is ", $must, "; NaN is refused.")]
            pub fn new($value: f64) -> Result<Self> {
                if $holds {
                    Ok($type($value + 0.0)) // -0 becomes 0, so equal values have equal bits
                } else {
                    Err(Error::InvalidScalar { name: $name, must: $must, got: $value })
                }
            }

            /// The number.
            pub fn get(self) -> f64 {
                self.0
            }
        }

        impl PartialEq for $type {
            fn eq(&self, other: &Self) -> bool {
                self.cmp(other) == Ordering::Equal
            }
        }
        impl Eq for $type {}
        impl PartialOrd for $type {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }
        impl Ord for $type {
            fn cmp(&self, other: &Self) -> Ordering {
                self.0.total_cmp(&other.0)
            }
        }
        impl Hash for $type {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.0.to_bits().hash(state);
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl TryFrom<f64> for $type {
            type Error = Error;
            fn try_from(value: f64) -> Result<Self> {
                Self::new(value)
            }
        }
        impl From<$type> for f64 {
            fn from(value: $type) -> f64 {
                value.0
            }
        }
    };
}

scalar!(
    /// The largest L2 norm one sample's gradient may have in the sum.
    ClipNorm, "clip norm", "finite and positive", |value| value.is_finite() && 0.0 < value
);
scalar!(
    /// The largest magnitude one sample's loss may have in a sum of losses.
    LossBound, "loss bound", "between 1e-30 and 1e30", |value| (1e-30..=1e30).contains(&value)
);
scalar!(
    /// Standard deviation of the noise divided by the L2 sensitivity. Zero is allowed for tests and
    /// gives no guarantee: every accountant answers infinity.
    NoiseMultiplier, "noise multiplier", "between 0 and 1e100", |value| (0.0..=1e100).contains(&value)
);
scalar!(
    /// Scale of Laplace noise divided by the L1 sensitivity.
    Scale, "laplace scale", "finite and positive", |value| value.is_finite() && 0.0 < value
);
scalar!(
    /// The epsilon of `(epsilon, delta)` differential privacy, as a target or a question.
    Epsilon, "epsilon", "finite and not negative", |value| value.is_finite() && 0.0 <= value
);
scalar!(
    /// The probability with which each record joins a batch, independently of all others.
    SampleRate, "sample rate", "between 0 and 1", |value| (0.0..=1.0).contains(&value)
);
scalar!(
    /// Sample rate times the public number of records: a public real number, the only divisor of a
    /// private sum. The size of the batch that was drawn is private.
    ExpectedBatchSize, "expected batch size", "finite and positive",
    |value| value.is_finite() && 0.0 < value
);
scalar!(
    /// Order of a Renyi divergence.
    RenyiOrder, "renyi order", "finite and above 1", |value| value.is_finite() && 1.0 < value
);

impl SampleRate {
    /// How many steps are so many expected passes over the data: `epochs / rate`, rounded up.
    ///
    /// # Errors
    /// [`Error::InvalidScalar`] unless the passes are positive and their steps fit in 64 bits.
    pub fn steps_of(self, epochs: f64) -> Result<u64> {
        let exact = epochs / self.get();
        if !(exact.is_finite() && 0.0 < epochs && exact < u64::MAX as f64) {
            return Err(Error::InvalidScalar {
                name: "number of epochs",
                must: "finite and positive",
                got: epochs,
            });
        }
        // Rounded up, but not because of the last digit of the quotient.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
        let steps = (exact * (1.0 - 1e-12)).ceil() as u64;
        Ok(steps)
    }
}

/// The delta of `(epsilon, delta)` differential privacy, in `[0, 1)`; its logarithm is carried, so
/// that values far below the smallest `f64` can be asked for. Zero asks for pure privacy.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "f64", into = "f64"))]
pub struct Delta {
    value: f64,
    ln: f64,
}

impl Delta {
    /// Checks that delta lies in `[0, 1)`.
    ///
    /// # Errors
    /// [`Error::InvalidScalar`] unless `0 <= value < 1`; NaN is refused.
    pub fn new(value: f64) -> Result<Self> {
        if (0.0..1.0).contains(&value) {
            let value = value + 0.0;
            Ok(Delta { value, ln: value.ln() })
        } else {
            Err(Error::InvalidScalar {
                name: "delta",
                must: "at least 0 and less than 1",
                got: value,
            })
        }
    }

    /// The delta with natural logarithm `ln`, which may lie below the range of `f64`.
    ///
    /// # Errors
    /// [`Error::InvalidScalar`] unless `ln < 0`; NaN is refused.
    pub fn from_ln(ln: f64) -> Result<Self> {
        if ln < 0.0 {
            Ok(Delta { value: ln.exp(), ln })
        } else {
            Err(Error::InvalidScalar { name: "ln delta", must: "negative", got: ln })
        }
    }

    /// The number; zero where it is too small for `f64`.
    pub fn get(self) -> f64 {
        self.value
    }

    /// Its natural logarithm; minus infinity for zero.
    pub fn ln(self) -> f64 {
        self.ln
    }
}

impl PartialEq for Delta {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Delta {}
impl PartialOrd for Delta {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Delta {
    fn cmp(&self, other: &Self) -> Ordering {
        self.ln.total_cmp(&other.ln)
    }
}
impl fmt::Display for Delta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.value > 0.0 || self.ln == f64::NEG_INFINITY {
            write!(f, "{:e}", self.value)
        } else {
            write!(f, "exp({})", self.ln)
        }
    }
}
impl TryFrom<f64> for Delta {
    type Error = Error;
    fn try_from(value: f64) -> Result<Self> {
        Self::new(value)
    }
}
impl From<Delta> for f64 {
    fn from(delta: Delta) -> f64 {
        delta.value
    }
}

/// How sure a statistical statement is, carried as the probability that it fails.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "f64", into = "f64"))]
pub struct Confidence {
    failure: f64,
}

impl Confidence {
    /// Confidence `1 - failure`.
    ///
    /// # Errors
    /// [`Error::InvalidScalar`] unless `0 < failure < 1`; NaN is refused.
    pub fn of_failure(failure: f64) -> Result<Self> {
        if 0.0 < failure && failure < 1.0 {
            Ok(Confidence { failure })
        } else {
            Err(Error::InvalidScalar {
                name: "probability of failure",
                must: "between 0 and 1, both excluded",
                got: failure,
            })
        }
    }

    /// The probability that the statement fails, at most.
    pub fn failure(self) -> f64 {
        self.failure
    }

    /// The confidence of each of `n` statements that must hold together: each fails with `1/n` of the probability.
    ///
    /// # Errors
    /// [`Error::InvalidScalar`] for no statement.
    pub fn shared_by(self, n: usize) -> Result<Self> {
        if n == 0 {
            let (name, must) = ("number of statements", "positive");
            return Err(Error::InvalidScalar { name, must, got: 0.0 });
        }
        Confidence::of_failure(self.failure / n as f64)
    }
}

impl TryFrom<f64> for Confidence {
    type Error = Error;
    fn try_from(failure: f64) -> Result<Self> {
        Self::of_failure(failure)
    }
}
impl From<Confidence> for f64 {
    fn from(confidence: Confidence) -> f64 {
        confidence.failure
    }
}

/// What is protected, in words: "one record", "one window of 64 tokens", "all records of one user".
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "String", into = "String"))]
pub struct UnitOfPrivacy(String);

impl UnitOfPrivacy {
    /// Takes the unit in words.
    ///
    /// # Errors
    /// [`Error::EmptyUnit`] if nothing but white space was given.
    pub fn new(words: impl Into<String>) -> Result<Self> {
        let words = words.into();
        if words.trim().is_empty() { Err(Error::EmptyUnit) } else { Ok(UnitOfPrivacy(words)) }
    }

    /// The words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for UnitOfPrivacy {
    fn default() -> Self {
        UnitOfPrivacy("one record".to_owned())
    }
}
impl fmt::Display for UnitOfPrivacy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl TryFrom<String> for UnitOfPrivacy {
    type Error = Error;
    fn try_from(words: String) -> Result<Self> {
        Self::new(words)
    }
}
impl From<UnitOfPrivacy> for String {
    fn from(unit: UnitOfPrivacy) -> String {
        unit.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_and_infinity_are_refused_everywhere() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, -f64::NAN] {
            assert!(ClipNorm::new(bad).is_err());
            assert!(NoiseMultiplier::new(bad).is_err());
            assert!(Scale::new(bad).is_err());
            assert!(Epsilon::new(bad).is_err());
            assert!(SampleRate::new(bad).is_err());
            assert!(ExpectedBatchSize::new(bad).is_err());
            assert!(RenyiOrder::new(bad).is_err());
            assert!(Delta::new(bad).is_err());
        }
        assert!(Delta::from_ln(f64::NAN).is_err());
    }

    #[test]
    fn the_ends_of_each_range_are_as_documented() {
        assert!(ClipNorm::new(0.0).is_err());
        assert!(NoiseMultiplier::new(0.0).is_ok());
        assert!(Scale::new(0.0).is_err());
        assert!(Epsilon::new(0.0).is_ok());
        assert!(SampleRate::new(0.0).is_ok() && SampleRate::new(1.0).is_ok());
        assert!(SampleRate::new(1.0 + f64::EPSILON).is_err());
        assert!(ExpectedBatchSize::new(0.0).is_err());
        assert!(RenyiOrder::new(1.0).is_err());
        assert!(Delta::new(0.0).is_ok() && Delta::new(1.0).is_err());
        assert!(Delta::from_ln(0.0).is_err() && Delta::from_ln(-5000.0).is_ok());
        assert!(UnitOfPrivacy::new("  ").is_err());
    }

    #[test]
    fn an_error_names_the_value_and_what_was_expected() {
        let text = SampleRate::new(1.5).unwrap_err().to_string();
        assert_eq!(text, "sample rate must be between 0 and 1, got 1.5");
    }

    #[test]
    fn negative_zero_equals_zero_in_every_respect() {
        let (a, b) = (NoiseMultiplier::new(-0.0).unwrap(), NoiseMultiplier::new(0.0).unwrap());
        assert_eq!(a, b);
        assert_eq!(a.get().to_bits(), b.get().to_bits());
    }
}
