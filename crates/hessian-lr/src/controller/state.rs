//! Memory of the controllers, and what they report of a fit.

use serde::{Deserialize, Serialize};

use super::first::{FirstReport, Search};
use crate::decision::Decision;
use crate::fit::{Evidence, Parabola};

/// Groups that share one rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Axis {
    /// The groups.
    pub groups: Vec<usize>,
    /// Their rate, before the horizon.
    pub rate: f64,
    /// What probes are larger by than the rate, while losses are below their noise.
    pub growth: f64,
    /// Fits in a row that were below their noise.
    pub below_noise: u32,
    /// Fits that were not accepted.
    pub n_rejected: u64,
    /// Averages of slope and curvature.
    pub(super) average: Option<[f64; 2]>,
    /// The group next below in rate, and for how many fits the two were alike.
    pub(super) alike: Option<(usize, u32)>,
}

/// What a fit said of one axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AxisReport {
    /// The groups of the axis.
    pub groups: Vec<usize>,
    /// What was decided.
    pub decision: Decision,
    /// The parabola; none where a loss is not finite.
    pub parabola: Option<Parabola>,
    /// How sure it is.
    pub evidence: Option<Evidence>,
    /// The rate before and after, without the horizon.
    pub rate: [f64; 2],
}

/// What the losses of all groups together said.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Joint {
    /// What was decided.
    pub decision: Decision,
    /// What rates were multiplied by before they were averaged.
    pub scale: f64,
}

/// A fit, from its losses to the rates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FitReport {
    /// The step before which it was made, the first being 0.
    pub step: u64,
    /// The loss at rest; none if it is not finite.
    pub loss: Option<f64>,
    /// One for each axis.
    pub axes: Vec<AxisReport>,
    /// Where the guard is on and something was accepted.
    pub joint: Option<Joint>,
    /// Whether the loss at the new rates is not above that at rest beyond its noise, where that was evaluated.
    pub verified: Option<bool>,
}

/// What is under way before the next step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Round {
    Ready,
    First(Search),
    Fit,
    Guard {
        /// Rates of the axes that were accepted, else 0.
        candidates: Vec<f64>,
        /// Losses at rest.
        base: Vec<f64>,
    },
    Verify {
        base: Vec<f64>,
    },
}

/// Memory of [`super::Gen`] and [`super::HiDlr`]: settings are not in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct State {
    pub(super) n_groups: usize,
    pub(super) step: u64,
    pub(super) axes: Vec<Axis>,
    pub(super) round: Round,
    pub(super) n_forwards: u64,
    pub(super) first: Option<FirstReport>,
    pub(super) report: Option<FitReport>,
}

/// A state as it is read, before anything is known of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    n_groups: usize,
    step: u64,
    axes: Vec<Axis>,
    round: Round,
    n_forwards: u64,
    first: Option<FirstReport>,
    report: Option<FitReport>,
}

impl TryFrom<Stored> for State {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        let Stored { n_groups, step, axes, round, n_forwards, first, report } = stored;
        let mut groups: Vec<usize> = axes.iter().flat_map(|axis| axis.groups.clone()).collect();
        groups.sort_unstable();
        if n_groups == 0 || groups != (0..n_groups).collect::<Vec<_>>() {
            return Err(format!("expected each of {n_groups} groups on one axis, got {groups:?}"));
        }
        let sound = |x: f64| 0.0 < x && x.is_finite();
        if let Some(axis) = axes.iter().find(|axis| !sound(axis.rate) || !sound(axis.growth)) {
            let (rate, growth) = (axis.rate, axis.growth);
            return Err(format!("rate and growth must be positive, got {rate} and {growth}"));
        }
        if let Round::Guard { candidates, .. } = &round
            && candidates.len() != axes.len()
        {
            return Err(format!("expected {} candidates, got {}", axes.len(), candidates.len()));
        }
        Ok(State { n_groups, step, axes, round, n_forwards, first, report })
    }
}

impl State {
    /// Steps taken.
    #[must_use]
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Groups by their common rates.
    #[must_use]
    pub fn axes(&self) -> &[Axis] {
        &self.axes
    }

    /// Losses that were evaluated so far, each one forward pass over a batch.
    #[must_use]
    pub fn n_forwards(&self) -> u64 {
        self.n_forwards
    }

    /// What the search for the first rate came to; none before its end and where the rate was given.
    #[must_use]
    pub fn first(&self) -> Option<&FirstReport> {
        self.first.as_ref()
    }

    /// The last fit, complete once nothing is asked any more.
    #[must_use]
    pub fn report(&self) -> Option<&FitReport> {
        self.report.as_ref()
    }

    /// Writes the rates as they are into the last report.
    pub(super) fn report_rates(&mut self) {
        let Some(report) = &mut self.report else { return };
        for report in &mut report.axes {
            let own = |axis: &&Axis| report.groups.iter().all(|k| axis.groups.contains(k));
            if let Some(axis) = self.axes.iter().find(own) {
                report.rate[1] = axis.rate;
            }
        }
    }

    /// Rates of axes as rates of groups.
    pub(super) fn of_groups(&self, of_axes: &[f64]) -> Vec<f64> {
        let mut rates = vec![0.0; self.n_groups];
        for (axis, value) in self.axes.iter().zip(of_axes) {
            axis.groups.iter().for_each(|k| rates[*k] = *value);
        }
        rates
    }
}
