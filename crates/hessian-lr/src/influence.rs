//! What each group of parameters is worth: the decrease of the loss that its curvature promises.

use serde::{Deserialize, Serialize};

use crate::controller::{AxisReport, FitReport};
use crate::decision::{Decision, Tally};
use crate::error::{Error, Result};
use crate::fit::Parabola;

/// The values of groups, added up over fits.
///
/// # Source
/// arXiv 2501.06954 (influence of a parameter, `b^2 / (A n)`) and 2505.12579 (its sum over a path, and the knapsack).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accumulator {
    groups: Vec<Influence>,
    n_fits: u64,
}

/// One group, as far as it is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Influence {
    /// Number of parameters.
    pub size: u64,
    /// Sum over fits of `b^2 / (2 A)`, the decrease along the group's part of the direction; 0 for fits not accepted.
    pub value: f64,
    /// Twice the value for each parameter, `sum b^2 / (A n)`, the APPI of the paper; 0 for a group without parameters.
    pub per_parameter: f64,
    /// Slope `b` and curvature `A` of the last fit that was accepted.
    pub last: Option<[f64; 2]>,
    /// The rate after the last fit, without the horizon.
    pub rate: Option<f64>,
    /// How often a fit was accepted, and how often not, for which reason.
    pub decisions: Tally,
}

impl Influence {
    /// Fits that were not accepted.
    #[must_use]
    pub fn n_rejected(&self) -> u64 {
        self.decisions.rejected()
    }

    /// The minimizer `b / A` along the group's part of the direction, at the last fit that was accepted.
    #[must_use]
    pub fn eta(&self) -> Option<f64> {
        self.last.map(|[slope, curvature]| slope / curvature)
    }
}

impl Influence {
    fn add(&mut self, axis: &AxisReport) -> Result<()> {
        if let Some(fit) = accepted(axis) {
            let got = self.value + fit.decrease();
            if !got.is_finite() {
                return Err(Error::NonFinite { what: "influence of a group", got });
            }
            self.value = got;
            self.per_parameter = if self.size == 0 { 0.0 } else { 2.0 * got / self.size as f64 };
            self.last = Some([fit.slope, fit.curvature]);
        }
        self.rate = Some(axis.rate[1]);
        self.decisions.add(axis.decision);
        Ok(())
    }
}

/// What a fit says of each of `n_groups` groups, in their order.
///
/// # Errors
/// [`Error::Length`] unless the fit has one axis for each group: rates that groups share say nothing of one of them.
pub(crate) fn by_group(report: &FitReport, n_groups: usize) -> Result<Vec<&AxisReport>> {
    let mut found: Vec<Option<&AxisReport>> = vec![None; n_groups];
    for axis in &report.axes {
        if let [k] = axis.groups[..]
            && let Some(place) = found.get_mut(k)
        {
            *place = Some(axis);
        }
    }
    let of_all: Option<Vec<&AxisReport>> = found.into_iter().collect();
    match of_all {
        Some(axes) if report.axes.len() == n_groups => Ok(axes),
        _ => Err(Error::Length {
            name: "groups with a fit of their own",
            expected: n_groups,
            got: report.axes.len(),
        }),
    }
}

/// The parabola of a fit that was accepted.
pub(crate) fn accepted(axis: &AxisReport) -> Option<Parabola> {
    axis.parabola.filter(|_| axis.decision == Decision::Accept)
}

impl Accumulator {
    /// Nothing yet, for groups of so many parameters.
    #[must_use]
    pub fn new(sizes: Vec<u64>) -> Self {
        let nothing = |size| Influence {
            size,
            value: 0.0,
            per_parameter: 0.0,
            last: None,
            rate: None,
            decisions: Tally::default(),
        };
        Accumulator { groups: sizes.into_iter().map(nothing).collect(), n_fits: 0 }
    }

    /// Adds a fit.
    ///
    /// # Errors
    /// [`Error::Length`] unless the fit has one axis for each group: rates that groups share say nothing of one of them;
    /// [`Error::NonFinite`] for a value beyond all numbers. Nothing is then added.
    pub fn add(&mut self, report: &FitReport) -> Result<()> {
        let mut groups = self.groups.clone();
        for (group, axis) in groups.iter_mut().zip(by_group(report, self.groups.len())?) {
            group.add(axis)?;
        }
        self.groups = groups;
        self.n_fits += 1;
        Ok(())
    }

    /// Fits so far.
    #[must_use]
    pub fn n_fits(&self) -> u64 {
        self.n_fits
    }

    /// Values, as a knapsack wants them.
    #[must_use]
    pub fn values(&self) -> Vec<f64> {
        self.groups.iter().map(|group| group.value).collect()
    }

    /// Numbers of parameters.
    #[must_use]
    pub fn sizes(&self) -> Vec<u64> {
        self.groups.iter().map(|group| group.size).collect()
    }

    /// All that is known of each group.
    #[must_use]
    pub fn influences(&self) -> &[Influence] {
        &self.groups
    }
}
