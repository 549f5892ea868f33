//! What a fit may be used for, with the reason.

mod tally;

pub use tally::Tally;

use crate::fit::{Evidence, Parabola};

/// The outcome of one fit, in the order in which reasons are looked for. [`Decision::Accept`] and [`Decision::NonFinite`] change a
/// rate; beside them only [`Uphill::Fall`](crate::controller::Uphill::Fall) where it is asked for, and a step that
/// [`verify`](crate::controller::Settings::verify) refuses.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Decision {
    /// The parabola is used.
    Accept,
    /// A loss is not finite: the rate is halved.
    NonFinite,
    /// The losses hardly bend.
    Flat,
    /// The losses bend downward.
    #[serde(rename = "nonpositive_curvature")]
    NonPositiveCurvature,
    /// The direction goes uphill.
    #[serde(rename = "nonpositive_slope")]
    NonPositiveSlope,
    /// The losses do not look like a parabola.
    #[serde(rename = "poor_fit")]
    PoorFit,
    /// Slope or curvature are within the noise gate's standard errors of zero, or the curvature is within rounding.
    #[serde(rename = "below_noise")]
    BelowNoise,
}

impl Decision {
    /// All of them, in the order in which reasons are looked for but for the first.
    pub const ALL: [Decision; 7] = [
        Decision::Accept,
        Decision::NonFinite,
        Decision::Flat,
        Decision::NonPositiveCurvature,
        Decision::NonPositiveSlope,
        Decision::PoorFit,
        Decision::BelowNoise,
    ];

    /// The name that logs and plots use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Decision::Accept => "accept",
            Decision::NonFinite => "nonfinite",
            Decision::Flat => "flat",
            Decision::NonPositiveCurvature => "nonpositive_curvature",
            Decision::NonPositiveSlope => "nonpositive_slope",
            Decision::PoorFit => "poor_fit",
            Decision::BelowNoise => "below_noise",
        }
    }

    /// Why a rate stands still, or moves, in words.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Decision::Accept => "the losses fit a parabola with a minimum ahead",
            Decision::NonFinite => "a probed loss is not finite: the rate was halved",
            Decision::Flat => "the losses hardly bend at this step: the rate stays",
            Decision::NonPositiveCurvature => "the losses bend downward: the rate stays",
            Decision::NonPositiveSlope => {
                "the loss rises along the direction: the rate stays, or falls where that is asked for"
            }
            Decision::PoorFit => "the losses do not look like a parabola: the rate stays",
            Decision::BelowNoise => "slope or curvature is within its noise: the rate stays",
        }
    }
}

impl std::fmt::Display for Decision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What makes a fit acceptable.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acceptance {
    /// The goodness of fit must be above this.
    pub r2_min: f64,
    /// The bend at the farthest probe must be more than this part of the fall.
    pub flat: f64,
    /// Slope and curvature must be more than so many standard errors; none accepts them whatever their noise.
    pub noise_gate: Option<f64>,
}

impl Default for Acceptance {
    /// # Source
    /// `R2 > 0.99` from the code of arXiv 2407.02772; the gate is ours.
    fn default() -> Self {
        Acceptance { r2_min: 0.99, flat: 1e-9, noise_gate: Some(1.0) }
    }
}

/// What losses are rounded to: the unit roundoff of their numbers, and their magnitude with that of what cancels in them.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Rounding {
    /// Unit roundoff: 2^-53 of doubles, 2^-24 of singles.
    pub unit: f64,
    /// `|L(0)|`, plus the largest logit where it is known.
    pub magnitude: f64,
}

/// Changes of less than this times the rounding of a loss are not seen.
pub(crate) const ROUNDINGS: f64 = 50.0;

impl Acceptance {
    /// Judges a fit of finite losses.
    ///
    /// # Source
    /// The order of reasons is fixed, so that a rate that stands still has one reason. Rounding: the error of
    /// `L(h) - 2 L(0) + L(-h)` is about 2.4 unit roundoffs of the loss, more where it cancels against logits.
    #[must_use]
    pub fn judge(
        &self,
        fit: &Parabola,
        evidence: &Evidence,
        loss: f64,
        rounding: Rounding,
    ) -> Decision {
        let h = fit.reach;
        let bend = fit.curvature.abs() * h * h;
        let floor = (fit.slope.abs() * h).max(loss.abs() * f64::EPSILON);
        let within = |value: f64, error: Option<f64>| {
            self.noise_gate.zip(error).is_some_and(|(gate, error)| value.abs() <= gate * error)
        };
        let rounded =
            self.noise_gate.is_some() && bend < ROUNDINGS * rounding.unit * rounding.magnitude;
        if !(fit.slope.is_finite() && fit.curvature.is_finite()) {
            Decision::NonFinite
        } else if bend <= self.flat * floor {
            Decision::Flat
        } else if fit.curvature <= 0.0 {
            Decision::NonPositiveCurvature
        } else if fit.slope <= 0.0 {
            Decision::NonPositiveSlope
        } else if fit.r2 <= self.r2_min || fit.r2.is_nan() {
            Decision::PoorFit
        } else if rounded
            || within(fit.slope, evidence.slope_error)
            || within(fit.curvature, evidence.curvature_error)
        {
            Decision::BelowNoise
        } else {
            Decision::Accept
        }
    }
}
