//! What is remembered between steps, and what is reported of a probe. All of it is a function of released values.

use std::collections::BTreeMap;

use super::policy::{Estimate, Memory, Outcome};
use crate::{Error, LossClip, Result};

/// How long the parameters are beside a direction.
///
/// # Privacy
/// Both are functions of released values, so this is free.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    reach: f64,
}

impl Line {
    /// Euclidean norms of the trainable parameters and of the direction.
    ///
    /// # Errors
    /// [`Error::InvalidScalar`] unless both are finite and not negative.
    pub fn new(params_norm: f64, direction_norm: f64) -> Result<Self> {
        for (name, x) in
            [("norm of the parameters", params_norm), ("norm of the direction", direction_norm)]
        {
            if !(0.0..f64::INFINITY).contains(&x) {
                return Err(Error::InvalidScalar { name, must: "finite and not negative", got: x });
            }
        }
        let reach = params_norm.max(1.0) / direction_norm;
        // A direction of no length moves nothing, however often it is applied.
        Ok(Line { reach: if reach.is_finite() { reach } else { params_norm.max(1.0) } })
    }

    /// How many directions move the parameters by their own norm, at least by 1.
    #[must_use]
    pub fn reach(self) -> f64 {
        self.reach
    }
}

/// Private losses that are needed before the next step.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// Where: so many directions away from the parameters, a step being subtracted. 0 is the loss at rest.
    pub distances: Vec<f64>,
    /// How they are to be clipped.
    pub clip: LossClip,
}

/// What is under way before a step.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Round {
    /// No step has begun.
    Rest,
    /// The loss at rest, asked for so many times before.
    Center { asked: u64 },
    /// The ladder.
    Rungs { center: f64 },
    /// The points beside that at rest, whose loss is known.
    Beside { center: f64 },
    /// All points of a probe.
    Probe,
    /// The rate is ready.
    Ready,
}

/// What the losses before one step came to.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Report {
    /// The step, counted from 0.
    pub step: u64,
    /// What was decided.
    pub outcome: Outcome,
    /// The private losses: at rest, then those of the probe or of the ladder, longest step first.
    pub losses: Vec<f64>,
    /// How far the probe went, or the longest rung.
    pub distance: f64,
    /// How far the next one will go.
    pub next_distance: f64,
    /// The fit of this probe; none of a ladder, and where a loss is no number.
    pub fit: Option<Estimate>,
    /// What is remembered with it; none where nothing is.
    pub estimate: Option<Estimate>,
    /// The rate before and after.
    pub rate: [f64; 2],
    /// The clip bound of these losses, and that of the next.
    pub bound: [f64; 2],
}

/// Memory of [`super::HyFree`]. Settings are not in it.
///
/// # Privacy
/// A function of released losses, parameters and directions: it may be shown and saved.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    pub(super) step: u64,
    pub(super) bound: f64,
    pub(super) memory: Memory,
    pub(super) n_losses: u64,
    pub(super) counts: BTreeMap<Outcome, u64>,
    pub(super) reach: f64,
    pub(super) round: Round,
    pub(super) report: Option<Report>,
}

impl State {
    pub(super) fn new(rate: f64, distance: f64, bound: f64) -> Self {
        State {
            step: 0,
            bound,
            memory: Memory { rate, distance, ..Memory::default() },
            n_losses: 0,
            counts: BTreeMap::new(),
            reach: 1.0,
            round: Round::Rest,
            report: None,
        }
    }

    /// Steps taken.
    #[must_use]
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The rate of the last probe, as it is now.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.memory.rate
    }

    /// How far the next probe goes, in multiples of the direction.
    #[must_use]
    pub fn distance(&self) -> f64 {
        self.memory.distance
    }

    /// The clip bound `R_l` of the next losses.
    #[must_use]
    pub fn bound(&self) -> f64 {
        self.bound
    }

    /// Losses that were released so far.
    #[must_use]
    pub fn n_losses(&self) -> u64 {
        self.n_losses
    }

    /// How often probes came to this.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.counts.get(&outcome).copied().unwrap_or(0)
    }

    /// What the last losses came to. Not part of a saved state.
    #[must_use]
    pub fn report(&self) -> Option<&Report> {
        self.report.as_ref()
    }
}
