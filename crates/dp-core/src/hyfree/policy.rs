//! What each policy makes of a fit.

use super::probe::{Fit, Points};
use super::settings::{Evidence, Gated, PaperLike};

/// What a probe came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Outcome {
    /// A rung of the ladder showed descent.
    Descent,
    /// No rung of the ladder did.
    NoDescent,
    /// The curvature was above its noise.
    Resolved,
    /// The slope alone was.
    SlopeOnly,
    /// Neither was.
    Blind,
    /// The parabola was used ([`PaperLike`]).
    Accepted,
    /// Slope or curvature were not positive ([`PaperLike`]).
    Rejected,
    /// A loss was not a number.
    NotFinite,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Outcome; 8] = [
        Outcome::Descent,
        Outcome::NoDescent,
        Outcome::Resolved,
        Outcome::SlopeOnly,
        Outcome::Blind,
        Outcome::Accepted,
        Outcome::Rejected,
        Outcome::NotFinite,
    ];

    /// The name that logs and plots use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Descent => "descent",
            Outcome::NoDescent => "no_descent",
            Outcome::Resolved => "resolved",
            Outcome::SlopeOnly => "slope_only",
            Outcome::Blind => "blind",
            Outcome::Accepted => "accepted",
            Outcome::Rejected => "rejected",
            Outcome::NotFinite => "not_finite",
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Rate, distance of the next probe, and what is remembered of earlier ones.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Memory {
    pub(super) rate: f64,
    pub(super) distance: f64,
    /// Slopes and curvatures, each over its variance, and the sums of their precisions.
    pub(super) slopes: f64,
    pub(super) slope_precision: f64,
    pub(super) curvatures: f64,
    pub(super) curvature_precision: f64,
    /// Whether a curvature was resolved before.
    pub(super) resolved: bool,
    /// Whether the ladder saw descent.
    pub(super) descent: bool,
}

/// What a probe or what is remembered of many says, over its standard deviation.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Estimate {
    /// Minus the derivative along the direction.
    pub slope: f64,
    /// Its standard deviation.
    pub slope_error: f64,
    /// The second derivative.
    pub curvature: f64,
    /// Its standard deviation.
    pub curvature_error: f64,
}

impl From<&Fit> for Estimate {
    fn from(fit: &Fit) -> Self {
        let Fit { slope, curvature, slope_error, curvature_error, .. } = *fit;
        Estimate { slope, slope_error, curvature, curvature_error }
    }
}

/// Limits of rates, and of the distance of the next probe.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) rates: [f64; 2],
    pub(super) distance: f64,
}

impl Limits {
    pub(super) fn rate(&self, rate: f64) -> f64 {
        rate.clamp(self.rates[0], self.rates[1])
    }
}

impl PaperLike {
    /// The rate is kept unless slope and curvature are positive.
    pub(super) fn update(&self, fit: &Fit, limits: &Limits, memory: &mut Memory) -> Outcome {
        let target = fit.slope / fit.curvature;
        let sound = 0.0 < fit.slope && 0.0 < fit.curvature && target.is_finite() && 0.0 < target;
        if sound {
            let rate = memory.rate;
            let target = match self.clamp {
                Some(clamp) => target.clamp(rate / clamp, clamp * rate),
                None => target,
            };
            memory.rate = limits.rate(self.smooth * rate + (1.0 - self.smooth) * target);
        }
        memory.distance = memory.rate;
        if sound { Outcome::Accepted } else { Outcome::Rejected }
    }
}

impl Gated {
    pub(super) fn update(&self, fit: &Fit, limits: &Limits, memory: &mut Memory) -> Outcome {
        let (rate, h) = (memory.rate, memory.distance);
        let (outcome, rate, h) = if self.gate * fit.curvature_error < fit.curvature {
            let target = fit.slope.max(0.0) / fit.curvature;
            let rate = target.clamp(0.5 * rate, 2.0 * rate);
            (Outcome::Resolved, rate, rate.max(0.5 * h))
        } else if self.gate * fit.slope_error < fit.slope {
            (Outcome::SlopeOnly, rate.max(h.min(2.0 * rate)), 2.0 * h)
        } else {
            (Outcome::Blind, rate, 2.0 * h)
        };
        (memory.rate, memory.distance) = (limits.rate(rate), h.min(limits.distance));
        outcome
    }
}

impl Evidence {
    /// Adds a fit to what is remembered, and moves rate and distance as far as that carries.
    pub(super) fn update(
        &self,
        fit: &Fit,
        points: &Points,
        limits: &Limits,
        memory: &mut Memory,
    ) -> (Outcome, Estimate) {
        let Evidence { horizon, gate, forgetting, clamp, .. } = *self;
        memory.remember(fit, forgetting);
        let estimate = memory.estimate();
        let Estimate { slope, slope_error, curvature, curvature_error } = estimate;
        let (rate, h) = (memory.rate, fit.distance);
        let (outcome, rate, next) = if gate * curvature_error < curvature {
            // The bound under the slope keeps one noisy estimate from driving the rate to zero.
            let target = slope.max(0.5 * slope_error) / (horizon * curvature);
            let first = !memory.resolved;
            memory.resolved = true;
            let low = if first { 0.0 } else { rate / clamp };
            let high = if first && !memory.descent { f64::INFINITY } else { rate * clamp };
            let rate = limits.rate(target.clamp(low, high));
            let telling = points.telling(curvature, fit.tau, gate);
            (Outcome::Resolved, rate, (horizon * rate).max(telling).clamp(0.5 * h, 2.0 * h))
        } else if gate * slope_error < slope {
            (Outcome::SlopeOnly, rate.max(0.5 * h / horizon), 2.0 * h)
        } else {
            (Outcome::Blind, rate, 2.0 * h)
        };
        memory.rate = limits.rate(rate);
        memory.move_to(next.min(limits.distance));
        (outcome, estimate)
    }
}

impl Memory {
    fn remember(&mut self, fit: &Fit, forgetting: f64) {
        let (slope, curvature) = (fit.slope_error.powi(-2), fit.curvature_error.powi(-2));
        self.slopes = forgetting * self.slopes + fit.slope * slope;
        self.slope_precision = forgetting * self.slope_precision + slope;
        self.curvatures = forgetting * self.curvatures + fit.curvature * curvature;
        self.curvature_precision = forgetting * self.curvature_precision + curvature;
    }

    fn estimate(&self) -> Estimate {
        Estimate {
            slope: self.slopes / self.slope_precision,
            slope_error: self.slope_precision.powf(-0.5),
            curvature: self.curvatures / self.curvature_precision,
            curvature_error: self.curvature_precision.powf(-0.5),
        }
    }

    /// Old evidence is never worth more than probes at the new distance: one long probe of a loss that is no parabola would
    /// rule for many updates.
    fn move_to(&mut self, distance: f64) {
        let f = distance / self.distance;
        if f < 1.0 {
            self.slopes *= f.powi(2);
            self.slope_precision *= f.powi(2);
            self.curvatures *= f.powi(4);
            self.curvature_precision *= f.powi(4);
        }
        self.distance = distance;
    }
}
