//! The one error type of the crate.

use crate::filter::Pole;

/// `Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with filters and with steps that use them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A coefficient that is no number.
    #[error("coefficient {name} must be finite, got {got}")]
    NotFinite {
        /// `a_1`, `b_0` and so on.
        name: String,
        /// What came.
        got: f64,
    },
    /// A filter that does not see the newest gradient: its gain after one step is zero.
    #[error("coefficient b_0 must not be 0: the first gradient would come out divided by 0")]
    NoInput,
    /// A filter whose answer to one gradient does not die away, or so slowly that rounding hides it.
    #[error(
        "the filter is not stable: its pole {pole} has modulus {}, and poles must lie inside the unit circle by more than rounding: the \
         reflection coefficients of the denominator must be below 1 - {:e}; move the pole inwards",
        .pole.modulus(),
        crate::filter::MARGIN
    )]
    Unstable {
        /// The pole that is farthest out.
        pole: Pole,
    },
    /// A filter that a constant gradient does not pass.
    #[error(
        "the filter stops constant gradients: its numerator has a zero at z = 1, the coefficients b sum to {sum}"
    )]
    ZeroDcGain {
        /// Sum of the coefficients b, zero but for rounding.
        sum: f64,
    },
    /// A filter whose step response, by which gradients are divided, is not positive.
    #[error("the gain c_t must be finite and positive at every step, got {gain} at step {step}")]
    GainNotPositive {
        /// The first such step, counted from 0.
        step: u64,
        /// The sum of the impulse response up to it.
        gain: f64,
    },
    /// Bias correction was switched off for a filter that changes the scale of gradients.
    #[error(
        "without bias correction a constant gradient comes out multiplied by {gain}, expected 1; normalise the filter first"
    )]
    NotUnitGain {
        /// The gain at frequency zero.
        gain: f64,
    },
    /// The eigenvalues of a companion matrix were not found.
    #[error("the poles of a filter of order {order} were not found")]
    Poles {
        /// Number of poles.
        order: usize,
    },
    /// A setting outside its range.
    #[error("{name} must be {must}, got {got}")]
    InvalidSetting {
        /// Setting.
        name: &'static str,
        /// Permitted range in words.
        must: &'static str,
        /// Value that came.
        got: f64,
    },
    /// From trees, optimizers and checkpoints.
    #[error(transparent)]
    Tree(#[from] tensor_tree::Error),
    /// From the private step.
    #[error(transparent)]
    Dp(#[from] dp_core::Error),
}

/// Whether `value` is in its range.
pub(crate) fn check(name: &'static str, must: &'static str, got: f64, ok: bool) -> Result<()> {
    if ok { Ok(()) } else { Err(Error::InvalidSetting { name, must, got }) }
}
