//! One direction to descend from two gradients: that of the retain loss and that of a loss to forget by.
//!
//! Every direction is a combination `retain * r + forget * f` of the two. Its coefficients follow from three inner products, so they
//! need no tensors; with the feature `tensor`, `Direction::of` makes the combination of named trees.

mod gram;
#[cfg(feature = "tensor")]
mod tree;

pub use gram::Gram;

use crate::{Error, Result};

/// How the two gradients become one direction, to be descended: `theta - eta d`.
///
/// `r` is the gradient of the loss on what is kept, `f` that of a loss whose descent forgets: for gradient ascent on the forget set it
/// is *minus* the gradient of the language-model loss there, for NPO and its like it is the gradient of that loss. `u(x) = x / |x|`, and
/// `u(0) = 0`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Direction {
    /// `r` alone: ordinary training on what is kept.
    Retain,
    /// `f` alone: gradient ascent (GA), where `f` is that.
    Forget,
    /// `c r + (1 - c) f`: gradient difference (GDiff), with `c = 1/2` as a rule.
    Weighted {
        /// In `[0, 1]`.
        retain: f64,
    },
    /// `alpha r + gamma f`: a fixed sum of both losses.
    Sum {
        /// `alpha`; finite and not negative.
        retain: f64,
        /// `gamma`; finite and not negative.
        forget: f64,
    },
    /// `r / L_r + f / L_f` for positive losses, which count as constants.
    LossNorm {
        /// The loss on what is kept.
        retain_loss: f64,
        /// The loss on what is forgotten.
        forget_loss: f64,
    },
    /// Random weights: the softmax of two draws of a standard normal, new at each step (RLW).
    Random {
        /// The two draws, retain first.
        draws: [f64; 2],
    },
    /// Each gradient loses what conflicts with the other: where `<r, f> < 0`, `r - (<r,f>/|f|^2) f + f - (<r,f>/|r|^2) r`, else `r + f`.
    PcGrad,
    /// The one-sided form without a test of conflict: `(1 - <r,f>/|r|^2) r + f`.
    PcGradOneSided,
    /// Equal projections on both unit gradients: `c r + (1 - c) f` with `c = |f| / (|r| + |f|)`. Parallel to [`Direction::NgDiff`].
    ImtlG,
    /// The shortest vector between `r` and `f`.
    Mgda,
    /// `u(r) + u(f)`: normalized gradient difference. Under plain descent neither loss rises to first order.
    NgDiff,
    /// `r_perp + gamma f`, where `r_perp = r - (<r,f>/|f|^2) f` does not change the forget loss to first order; `r` if `f` is zero.
    Blur {
        /// Not negative; 1 by default.
        gamma: f64,
    },
    /// `f + alpha r_perp`: the same with `gamma = 1 / alpha`, up to length.
    BlurScaled {
        /// Not negative.
        alpha: f64,
    },
    /// [`Direction::Blur`] with the roles exchanged: `f_perp + gamma r`.
    BlurSwapped {
        /// Not negative.
        gamma: f64,
    },
}

/// Weights of the two gradients in a direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coefficients {
    /// Of the retain gradient.
    pub retain: f64,
    /// Of the forget gradient.
    pub forget: f64,
}

impl Direction {
    /// The weights of both gradients.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a setting or a loss out of range, or if an inner product is not finite: then the step is to be
    /// skipped, and counted.
    ///
    /// # Source
    /// arXiv 2410.22086, table 1 (`Weighted` to `NgDiff`); arXiv 2001.06782 for both parts of `PcGrad`, 1810.04650 for `Mgda`; arXiv
    /// 2506.08164 (`Blur`).
    pub fn coefficients(self, gram: Gram) -> Result<Coefficients> {
        let Gram { rr, ff, rf } = gram.checked()?;
        let weights = |retain, forget| Ok(Coefficients { retain, forget });
        let share = |part: f64, whole: f64| if whole == 0.0 { 0.0 } else { part / whole };
        match self {
            Direction::Retain => weights(1.0, 0.0),
            Direction::Forget => weights(0.0, 1.0),
            Direction::Weighted { retain } => {
                check(
                    "weight of the retain gradient",
                    "in [0, 1]",
                    retain,
                    (0.0..=1.0).contains(&retain),
                )?;
                weights(retain, 1.0 - retain)
            }
            Direction::Sum { retain, forget } => {
                not_negative("weight of the retain loss", retain)?;
                not_negative("weight of the forget loss", forget)?;
                weights(retain, forget)
            }
            Direction::LossNorm { retain_loss, forget_loss } => {
                for (name, loss) in [("retain loss", retain_loss), ("forget loss", forget_loss)] {
                    check(name, "finite and positive", loss, 0.0 < loss && loss.is_finite())?;
                }
                weights(1.0 / retain_loss, 1.0 / forget_loss)
            }
            Direction::Random { draws: [a, b] } => {
                for draw in [a, b] {
                    check("random draw", "finite", draw, draw.is_finite())?;
                }
                let retain = 1.0 / (1.0 + (b - a).exp());
                weights(retain, 1.0 - retain)
            }
            Direction::PcGrad if 0.0 <= rf => weights(1.0, 1.0),
            Direction::PcGrad => weights(1.0 - share(rf, rr), 1.0 - share(rf, ff)),
            Direction::PcGradOneSided => weights(1.0 - share(rf, rr), 1.0),
            Direction::ImtlG => {
                let (r, f) = (rr.sqrt(), ff.sqrt());
                let of = |part: f64| if r + f == 0.0 { 0.5 } else { part / (r + f) };
                weights(of(f), of(r))
            }
            Direction::Mgda => {
                // |r - f|^2, which rounding may leave below zero.
                let distance = rr + ff - 2.0 * rf;
                let retain = if distance <= 0.0 { 0.5 } else { (ff - rf) / distance };
                let retain = retain.clamp(0.0, 1.0);
                weights(retain, 1.0 - retain)
            }
            Direction::NgDiff => weights(share(1.0, rr.sqrt()), share(1.0, ff.sqrt())),
            Direction::Blur { gamma } => {
                not_negative("gamma", gamma)?;
                weights(1.0, if ff == 0.0 { 0.0 } else { gamma - rf / ff })
            }
            Direction::BlurScaled { alpha } => {
                not_negative("alpha", alpha)?;
                weights(alpha, 1.0 - alpha * share(rf, ff))
            }
            Direction::BlurSwapped { gamma } => {
                not_negative("gamma", gamma)?;
                weights(if rr == 0.0 { 0.0 } else { gamma - rf / rr }, 1.0)
            }
        }
    }
}

fn not_negative(name: &'static str, value: f64) -> Result<()> {
    check(name, "finite and not negative", value, 0.0 <= value && value.is_finite())
}

fn check(name: &'static str, must: &'static str, got: f64, holds: bool) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::OutOfRange { name, must, got }) }
}

#[cfg(test)]
mod tests;
