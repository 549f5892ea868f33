//! What each group of parameters is worth: the decrease of the loss that its curvature promises.

use serde::{Deserialize, Serialize};

use crate::controller::FitReport;
use crate::decision::Decision;
use crate::error::{Error, Result};

/// The values of groups, added up over fits.
///
/// # Source
/// arXiv 2501.06954 (influence of a parameter, `b^2 / (A n)`) and 2505.12579 (its sum over a path, and the knapsack).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accumulator {
    sizes: Vec<u64>,
    values: Vec<f64>,
    last: Vec<Option<[f64; 2]>>,
    n_rejected: Vec<u64>,
    n_fits: u64,
}

/// One group, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Influence {
    /// Number of parameters.
    pub size: u64,
    /// Sum over fits of `b^2 / (2 A)`, the decrease along the group's part of the direction; 0 for fits not accepted.
    pub value: f64,
    /// Twice the value for each parameter, `sum b^2 / (A n)`; 0 for a group without parameters.
    pub per_parameter: f64,
    /// Slope and curvature of the last fit that was accepted.
    pub last: Option<[f64; 2]>,
    /// Fits that were not accepted.
    pub n_rejected: u64,
}

impl Accumulator {
    /// Nothing yet, for groups of so many parameters.
    #[must_use]
    pub fn new(sizes: Vec<u64>) -> Self {
        let k = sizes.len();
        Accumulator {
            sizes,
            values: vec![0.0; k],
            last: vec![None; k],
            n_rejected: vec![0; k],
            n_fits: 0,
        }
    }

    /// Adds a fit.
    ///
    /// # Errors
    /// [`Error::Length`] unless the fit has one axis for each group: rates that groups share say nothing of one of them.
    pub fn add(&mut self, report: &FitReport) -> Result<()> {
        let (expected, got) = (self.sizes.len(), report.axes.len());
        let single = report.axes.iter().all(|axis| matches!(axis.groups[..], [k] if k < expected));
        if expected != got || !single {
            return Err(Error::Length { name: "groups with a fit of their own", expected, got });
        }
        for axis in &report.axes {
            let k = axis.groups[0];
            match (axis.decision, axis.parabola) {
                (Decision::Accept, Some(parabola)) => {
                    self.values[k] += parabola.decrease();
                    self.last[k] = Some([parabola.slope, parabola.curvature]);
                }
                _ => self.n_rejected[k] += 1,
            }
        }
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
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Numbers of parameters.
    #[must_use]
    pub fn sizes(&self) -> &[u64] {
        &self.sizes
    }

    /// All that is known of each group.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a quotient needs no exact count")]
    pub fn influences(&self) -> Vec<Influence> {
        (0..self.sizes.len())
            .map(|k| {
                let (size, value) = (self.sizes[k], self.values[k]);
                let per_parameter = if size == 0 { 0.0 } else { 2.0 * value / size as f64 };
                let (last, n_rejected) = (self.last[k], self.n_rejected[k]);
                Influence { size, value, per_parameter, last, n_rejected }
            })
            .collect()
    }
}
