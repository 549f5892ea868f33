//! Accounting is arithmetic on values: an accountant is a function of a history of events.

use std::fmt;

use crate::{Delta, DpEvent, Epsilon, Result};

pub mod central_limit;
pub mod filter;
pub mod gdp;
mod normal;
pub mod pld;
pub mod rdp;
mod single;
pub mod trade_off;

/// An epsilon, and what kind of number it is. Only `Upper` and `Bracket` can become a guarantee.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum EpsilonBound {
    /// The mechanism's epsilon is at most this.
    Upper(f64),
    /// The mechanism's epsilon lies between these.
    Bracket {
        /// At least this.
        lower: f64,
        /// At most this.
        upper: f64,
    },
    /// Neither an upper nor a lower bound.
    Estimate(f64),
}

impl EpsilonBound {
    /// The number that may be promised; none for an estimate.
    pub fn guarantee(self) -> Option<f64> {
        match self {
            EpsilonBound::Upper(upper) | EpsilonBound::Bracket { upper, .. } => Some(upper),
            EpsilonBound::Estimate(_) => None,
        }
    }

    /// The upper end, or the estimate: for plots, never for promises.
    pub fn value(self) -> f64 {
        match self {
            EpsilonBound::Upper(value)
            | EpsilonBound::Bracket { upper: value, .. }
            | EpsilonBound::Estimate(value) => value,
        }
    }
}

impl fmt::Display for EpsilonBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EpsilonBound::Upper(upper) => write!(f, "at most {}", RoundedUp(*upper)),
            EpsilonBound::Bracket { lower, upper } => {
                write!(f, "at most {} (and at least {})", RoundedUp(*upper), RoundedDown(*lower))
            }
            EpsilonBound::Estimate(value) => write!(f, "about {value:.6} (an estimate)"),
        }
    }
}

/// Prints six decimals, rounded towards safety.
struct RoundedUp(f64);

impl fmt::Display for RoundedUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let up = if self.0 < 1e9 {
            (self.0 * (1.0 + 1e-9) * 1e6).ceil() / 1e6
        } else {
            self.0 * (1.0 + 1e-9)
        };
        write!(f, "{up:.6}")
    }
}

/// Prints six decimals of what is certainly not more.
struct RoundedDown(f64);

impl fmt::Display for RoundedDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let down = if self.0 < 1e9 {
            ((self.0 * (1.0 - 1e-9) * 1e6).floor() / 1e6).max(0.0)
        } else {
            self.0 * (1.0 - 1e-9)
        };
        write!(f, "{down:.6}")
    }
}

/// A delta, given by its natural logarithm, and what kind of number it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DeltaBound {
    /// The mechanism's delta is at most `exp(ln)`.
    Upper {
        /// Minus infinity for a delta of zero.
        ln: f64,
    },
    /// The mechanism's delta lies between these.
    Bracket {
        /// At least this.
        ln_lower: f64,
        /// At most this.
        ln_upper: f64,
    },
    /// Neither an upper nor a lower bound.
    Estimate {
        /// Its logarithm.
        ln: f64,
    },
}

impl DeltaBound {
    /// Logarithm of the number that may be promised; none for an estimate.
    pub fn ln_guarantee(self) -> Option<f64> {
        match self {
            DeltaBound::Upper { ln } | DeltaBound::Bracket { ln_upper: ln, .. } => Some(ln),
            DeltaBound::Estimate { .. } => None,
        }
    }

    /// The upper end, or the estimate; zero where it is too small for `f64`.
    pub fn value(self) -> f64 {
        match self {
            DeltaBound::Upper { ln }
            | DeltaBound::Bracket { ln_upper: ln, .. }
            | DeltaBound::Estimate { ln } => ln.exp(),
        }
    }
}

/// Turns a history into epsilon or delta.
///
/// # Privacy
/// Amplification by sampling holds under add-or-remove-one. Under replace-one ask about
/// [`DpEvent::without_amplification`], as [`Ledger`](crate::Ledger) and
/// [`PrivacyPlan`](crate::PrivacyPlan) do.
///
/// # Errors
/// [`Error::UnsupportedEvent`](crate::Error::UnsupportedEvent) for an event without an analysis:
/// never a guess. Too little noise is not an error, but an infinite epsilon.
pub trait Accountant {
    /// Its name in statements and errors.
    fn name(&self) -> &'static str;

    /// A cheaper accountant whose upper bounds are about as large, from which calibrations start their search.
    fn seed(&self) -> Option<&dyn Accountant> {
        None
    }

    /// The epsilon of a history at a given delta.
    fn epsilon(&self, event: &DpEvent, delta: Delta) -> Result<EpsilonBound>;

    /// The delta of a history at a given epsilon.
    fn delta(&self, event: &DpEvent, epsilon: Epsilon) -> Result<DeltaBound>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_is_never_a_guarantee() {
        assert_eq!(EpsilonBound::Estimate(1.0).guarantee(), None);
        assert_eq!(DeltaBound::Estimate { ln: -3.0 }.ln_guarantee(), None);
    }

    #[test]
    fn printed_lower_bounds_are_rounded_down() {
        let shown = |x: f64| EpsilonBound::Bracket { lower: x, upper: x }.to_string();
        assert_eq!(shown(4.137_162_914), "at most 4.137163 (and at least 4.137162)");
        assert_eq!(shown(0.0), "at most 0.000000 (and at least 0.000000)");
        assert_eq!(shown(f64::INFINITY), "at most inf (and at least inf)");
    }

    #[test]
    fn printed_upper_bounds_are_rounded_up() {
        assert_eq!(EpsilonBound::Upper(1.2345671).to_string(), "at most 1.234568");
        assert_eq!(EpsilonBound::Upper(0.0).to_string(), "at most 0.000000");
        assert_eq!(EpsilonBound::Upper(f64::INFINITY).to_string(), "at most inf");
    }
}
