//! What can be set about rates from private losses.

use hessian_lr::fit::Intercept;

use crate::{Error, LossBound, LossRange, LossSchedule, Result};

/// Rungs of the ladder: from the norm of the parameters down by factors of 4.
pub(super) const N_RUNGS: u64 = 9;
/// How often the loss at rest may be asked for while the bound of losses is found.
pub(super) const MOST_CENTERS: u64 = 3;

/// How losses become a rate.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum RatePolicy {
    /// The published rule.
    PaperLike(PaperLike),
    /// The default: a first rate from a private search, then evidence of many probes.
    Evidence(Evidence),
    /// Each probe by itself, used as far as its noise permits.
    Gated(Gated),
}

/// The minimizer of the parabola through the losses at one rate ahead and one behind.
///
/// Where the losses cannot be told apart the rate shrinks, so that a start far too small is never left: a rule to compare with.
///
/// # Source
/// arXiv 2503.00703; clamp and average from the code of arXiv 2407.02772.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct PaperLike {
    /// The rate before the first probe.
    pub first_rate: f64,
    /// A minimizer counts as at most so many times the rate, and as no smaller part of it; none for no limit.
    pub clamp: Option<f64>,
    /// Share of the old rate in the new one.
    pub smooth: f64,
}

impl Default for PaperLike {
    fn default() -> Self {
        PaperLike { first_rate: 1e-4, clamp: Some(2.0), smooth: 0.9 }
    }
}

/// Where [`Evidence`] begins.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Start {
    /// At the best of nine steps along the first direction, the longest as long as the parameters.
    #[default]
    Ladder,
    /// At this rate.
    Rate(f64),
}

/// How far probes may go.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Farthest {
    /// So many times the direction.
    Times(f64),
    /// As far as the parameters are long, at least 1.
    ParamsNorm,
}

/// Slopes and curvatures averaged over probes in proportion to their precision, which is known: the noise of losses is public.
///
/// A curvature within its noise is never read; where slope and curvature are, probes go farther.
///
/// # Source
/// Ours, not in arXiv 2503.00703.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Evidence {
    /// Where it begins.
    pub start: Start,
    /// What the best single step is divided by: 1 for plain descent, more where a direction is applied again and again by momentum.
    pub horizon: f64,
    /// Slopes and curvatures count from so many of their standard deviations.
    pub gate: f64,
    /// A rung shows descent from so many standard deviations of a difference of two losses.
    pub ladder_gate: f64,
    /// What the evidence of earlier probes is multiplied by at each new one.
    pub forgetting: f64,
    /// By how much a rate may rise or fall at once.
    pub clamp: f64,
    /// How far probes may go.
    pub farthest: Farthest,
}

impl Evidence {
    /// For a direction that averages gradients with decay `beta1`: heavy ball, Adam.
    ///
    /// # Errors
    /// [`Error::InvalidScalar`] unless `0 <= beta1 < 1`.
    pub fn with_momentum(self, beta1: f64) -> Result<Self> {
        number("decay of the averaged gradient", "in [0, 1)", (0.0..1.0).contains(&beta1), beta1)?;
        Ok(Evidence { horizon: (1.0 - beta1).powf(-0.5), ..self })
    }

    /// From this rate, without a ladder.
    #[must_use]
    pub fn from_rate(self, rate: f64) -> Self {
        Evidence { start: Start::Rate(rate), ..self }
    }
}

impl Default for Evidence {
    fn default() -> Self {
        Evidence {
            start: Start::Ladder,
            horizon: 1.0,
            gate: 1.5,
            ladder_gate: 2.0,
            forgetting: 0.8,
            clamp: 2.0,
            farthest: Farthest::Times(100.0),
        }
    }
}

/// As [`Evidence`] without memory: each probe counts for itself.
///
/// # Source
/// Ours, an earlier form of [`Evidence`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Gated {
    /// The rate before the first probe.
    pub first_rate: f64,
    /// Slopes and curvatures count from so many of their standard deviations.
    pub gate: f64,
    /// How far the first probe goes, in multiples of the direction.
    pub first_distance: f64,
    /// How far probes may go.
    pub farthest: Farthest,
}

impl Default for Gated {
    fn default() -> Self {
        Gated {
            first_rate: 1e-4,
            gate: 1.5,
            first_distance: 1e-4,
            farthest: Farthest::Times(100.0),
        }
    }
}

/// How the clip bound of losses follows the losses.
///
/// # Source
/// arXiv 2503.00703, Algorithm 1, as its referees quote it (`Previous`); its third-party code (`SumOfProbes`); ours (`Scaled`).
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum RlRule {
    /// The private loss at rest. A bound below the losses is stuck there: their clipped mean is no larger than the bound.
    Previous,
    /// The sum of the private losses of a probe.
    SumOfProbes,
    /// `max(rho L, shrink R_l)` with the private loss at rest `L`.
    Scaled {
        /// Room above the mean loss.
        rho: f64,
        /// The most by which the bound falls at once.
        shrink: f64,
    },
}

impl Default for RlRule {
    fn default() -> Self {
        RlRule::Scaled { rho: 3.0, shrink: 0.5 }
    }
}

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Settings {
    /// How losses become a rate.
    pub policy: RatePolicy,
    /// A probe every so many steps, the first at step 0.
    pub period: u64,
    /// Where losses are probed beside the point at rest, as factors of the distance.
    pub multipliers: Vec<f64>,
    /// Whether the fit passes through the loss at rest.
    pub intercept: Intercept,
    /// Which values losses can take.
    pub range: LossRange,
    /// The first clip bound of losses.
    pub first_bound: f64,
    /// Whether the first step looks for a larger one, with at most two more losses.
    pub finds_bound: bool,
    /// How the bound follows the losses.
    pub rl_rule: RlRule,
    /// The bound never falls below this.
    pub rl_floor: f64,
    /// Rates stay between these.
    pub rates: [f64; 2],
}

impl Settings {
    /// The published rule from a rate of 1e-4 and a bound of 1.
    #[must_use]
    pub fn paper() -> Self {
        Settings {
            policy: RatePolicy::PaperLike(PaperLike::default()),
            finds_bound: false,
            rl_rule: RlRule::Previous,
            ..Settings::default()
        }
    }

    /// [`Evidence`] with what its start needs: a ladder finds the bound too, a given rate begins with a bound of 3.
    #[must_use]
    pub fn evidence(evidence: Evidence) -> Self {
        let (first_bound, finds_bound) = match evidence.start {
            Start::Ladder => (1.0, true),
            Start::Rate(_) => (3.0, false),
        };
        let policy = RatePolicy::Evidence(evidence);
        Settings { policy, first_bound, finds_bound, ..Settings::default() }
    }

    /// How many losses are released at which step: what the plan must include.
    #[must_use]
    pub fn schedule(&self) -> LossSchedule {
        let each = 1 + self.multipliers.len() as u64;
        let centers = if self.finds_bound { MOST_CENTERS } else { 1 };
        let beside = if self.has_ladder() { N_RUNGS } else { each - 1 };
        LossSchedule { period: self.period, first: centers + beside, each }
    }

    pub(super) fn has_ladder(&self) -> bool {
        let RatePolicy::Evidence(evidence) = &self.policy else { return false };
        evidence.start == Start::Ladder
    }

    /// # Errors
    /// [`Error::InvalidScalar`] for the first setting outside its range.
    pub(super) fn check(&self) -> Result<()> {
        let positive = |name, x: f64| number(name, "finite and positive", is_positive(x), x);
        number("period of the probes", "at least 1", 0 < self.period, 0.0)?;
        for m in &self.multipliers {
            let holds = m.is_finite() && *m != 0.0;
            number("multiplier of the probe distance", "finite and not 0", holds, *m)?;
        }
        LossBound::new(self.first_bound)?;
        LossBound::new(self.rl_floor)?;
        let [low, high] = self.rates;
        positive("lowest rate", low)?;
        number(
            "highest rate",
            "finite and above the lowest",
            low < high && high.is_finite(),
            high,
        )?;
        if let RlRule::Scaled { rho, shrink } = self.rl_rule {
            positive("rho of the loss bound", rho)?;
            number("shrink of the loss bound", "in [0, 1]", (0.0..=1.0).contains(&shrink), shrink)?;
        }
        match &self.policy {
            RatePolicy::PaperLike(PaperLike { first_rate, clamp, smooth }) => {
                positive("first rate", *first_rate)?;
                let clamp = clamp.unwrap_or(1.0);
                number("clamp", "finite and at least 1", is_factor(clamp), clamp)?;
                number("smooth", "in [0, 1)", (0.0..1.0).contains(smooth), *smooth)
            }
            RatePolicy::Evidence(evidence) => evidence.check(),
            RatePolicy::Gated(Gated { first_rate, gate, first_distance, farthest }) => {
                positive("first rate", *first_rate)?;
                positive("gate", *gate)?;
                positive("first probe distance", *first_distance)?;
                farthest.check()
            }
        }
    }
}

impl Default for Settings {
    /// [`Evidence`] with a ladder for a direction without momentum, probed every fifth step.
    fn default() -> Self {
        Settings {
            policy: RatePolicy::Evidence(Evidence::default()),
            period: 5,
            multipliers: vec![1.0, -1.0],
            intercept: Intercept::Pinned,
            range: LossRange::NonNegative,
            first_bound: 1.0,
            finds_bound: true,
            rl_rule: RlRule::default(),
            rl_floor: 1e-3,
            rates: [1e-8, 100.0],
        }
    }
}

impl Evidence {
    fn check(&self) -> Result<()> {
        let Evidence { start, horizon, gate, ladder_gate, forgetting, clamp, farthest } = self;
        let positive = |name, x: f64| number(name, "finite and positive", is_positive(x), x);
        if let Start::Rate(rate) = start {
            positive("first rate", *rate)?;
        }
        positive("horizon factor", *horizon)?;
        positive("gate", *gate)?;
        positive("gate of the ladder", *ladder_gate)?;
        number("forgetting", "in [0, 1)", (0.0..1.0).contains(forgetting), *forgetting)?;
        number("clamp", "finite and at least 1", is_factor(*clamp), *clamp)?;
        farthest.check()
    }
}

impl Farthest {
    /// The limit where the parameters are `reach` directions long.
    pub(super) fn limit(self, reach: f64) -> f64 {
        match self {
            Farthest::Times(times) => times,
            Farthest::ParamsNorm => reach,
        }
    }

    fn check(self) -> Result<()> {
        let Farthest::Times(times) = self else { return Ok(()) };
        number("farthest probe", "finite and positive", is_positive(times), times)
    }
}

fn is_positive(x: f64) -> bool {
    x.is_finite() && 0.0 < x
}

fn is_factor(x: f64) -> bool {
    x.is_finite() && 1.0 <= x
}

fn number(name: &'static str, must: &'static str, holds: bool, got: f64) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::InvalidScalar { name, must, got }) }
}
