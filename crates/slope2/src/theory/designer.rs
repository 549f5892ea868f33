//! Thresholds for a wanted false discovery proportion.

use super::shrinkage::{Observation, Shrinkage, noise_risk};
use super::simplex::Simplex;
use super::state_evolution::{FixedPoint, Levels, Setting, state_evolution};
use crate::error::{Error, Result, number};

/// Proposes two levels under a fitted setting: the largest true positive proportion among those whose false discovery
/// proportion is at most a target.
///
/// For a given threshold of selection, per unit of `tau`, both proportions improve as `tau` falls; so for each one the
/// upper level and the height of the cluster that make `tau` smallest are found, and then the threshold. The share of the
/// upper level follows from the height. Valid in the limit, for designs with independent entries; elsewhere a start.
///
/// # Source
/// Derived from state evolution (arXiv 1907.07502).
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Designer {
    /// Largest false discovery proportion.
    pub target_fdp: f64,
    /// Thresholds of selection tried before the last one is refined.
    pub grid: usize,
}

/// What [`Designer::propose`] found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Design {
    /// The proposal, a LASSO where a second level gains nothing: `point.alpha` per unit of `tau`, `point.lambda` as penalties for the criterion without `1/n`.
    pub point: FixedPoint,
    /// The best LASSO under the same target.
    pub lasso: FixedPoint,
}

impl Designer {
    /// A designer for `target_fdp`.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] unless the target is between 0 and 1, exclusive.
    pub fn new(target_fdp: f64) -> Result<Self> {
        let holds = 0.0 < target_fdp && target_fdp < 1.0;
        number(
            "target false discovery proportion",
            "between 0 and 1, exclusive",
            holds,
            target_fdp,
        )?;
        Ok(Designer { target_fdp, grid: 24 })
    }

    /// The proposal for `setting`.
    ///
    /// # Errors
    /// [`Error::NoRoot`] if no threshold up to 10 holds the target.
    pub fn propose(&self, setting: &Setting) -> Result<Design> {
        let one = |threshold: f64| state_evolution(setting, &Levels::lasso(threshold).ok()?).ok();
        let lasso = self.best(|threshold| Ok(one(threshold)))?;
        let two = self.best(|threshold| two_level(setting, threshold));
        // Two levels contain the LASSO, and a search is not to make them worse.
        let point = match two {
            Ok(point) if lasso.tpp + WORTH_A_LEVEL < point.tpp => point,
            _ => lasso,
        };
        Ok(Design { point, lasso })
    }

    /// The largest true positive proportion over thresholds of selection.
    fn best(&self, at: impl Fn(f64) -> Result<Option<FixedPoint>>) -> Result<FixedPoint> {
        let holds = |point: &FixedPoint| point.fdp <= self.target_fdp && 0.0 <= point.lambda.upper;
        let mut best: Option<FixedPoint> = None;
        let mut keep = |point: FixedPoint| {
            if holds(&point) && best.is_none_or(|best| best.tpp < point.tpp) {
                best = Some(point);
            }
        };
        let thresholds = (0..=self.grid).map(|i| LARGEST * i as f64 / self.grid.max(1) as f64);
        let (mut refused, mut first_held) = (0.0, LARGEST);
        for threshold in thresholds {
            match at(threshold)? {
                Some(point) if holds(&point) => {
                    first_held = f64::min(first_held, threshold);
                    keep(point);
                    if first_held + 2.0 < threshold {
                        break;
                    }
                }
                _ => refused = if threshold < first_held { threshold } else { refused },
            }
        }
        // The edge of the target, where the proportion is usually largest.
        while EDGE < first_held - refused {
            let middle = 0.5 * (refused + first_held);
            match at(middle)? {
                Some(point) if holds(&point) => {
                    first_held = middle;
                    keep(point);
                }
                _ => refused = middle,
            }
        }
        best.ok_or(Error::NoRoot { name: "threshold of selection", low: 0.0, high: LARGEST })
    }
}

/// Gain of true positive proportion below which the LASSO is proposed.
const WORTH_A_LEVEL: f64 = 1e-7;
/// Largest threshold of selection tried, per unit of `tau`.
const LARGEST: f64 = 10.0;
/// Width at which the bracket of the edge is left.
const EDGE: f64 = 1e-6;

/// The two levels with selection at `threshold` that have the smallest `tau`; none if there is no fixed point.
fn two_level(setting: &Setting, threshold: f64) -> Result<Option<FixedPoint>> {
    // Width of the levels and height of the cluster per unit of tau, as logarithms.
    let eta = |x: &[f64; 2]| {
        let bounded = |x: f64| x.clamp(-9.0, 4.0).exp();
        Shrinkage { low: threshold, width: bounded(x[0]), height: bounded(x[1]) }
    };
    let tau = |x: &[f64; 2]| {
        let shape = eta(x);
        let risk = |tau: f64| Ok(Setting::risk(&setting.observations(tau), &shape.scaled(tau)));
        setting.largest_tau(noise_risk(&shape), risk).map_or(f64::INFINITY, |(tau, _)| tau)
    };
    let search = Simplex { max_values: 150, tolerance: 1e-9, good_enough: f64::NEG_INFINITY };
    let mut best = ([0.0; 2], f64::INFINITY);
    for start in [[-0.5, -0.7], [0.3, -1.5], [0.0, 0.7]] {
        let found = search.minimize(start, [0.3, 0.3], tau);
        if found.1 < best.1 {
            best = found;
        }
    }
    if !best.1.is_finite() {
        return Ok(None);
    }
    let shape = eta(&best.0);
    let levels = Levels::new(shape.low + shape.width, shape.low, share(setting, &shape, best.1))?;
    Ok(state_evolution(setting, &levels).ok())
}

/// The share of the upper level at which the height is that of `shape`.
fn share(setting: &Setting, shape: &Shrinkage, tau: f64) -> f64 {
    let (eta, observations) = (shape.scaled(tau), setting.observations(tau));
    let clipped = |o: &Observation| o.weight * o.mean_clipped(eta.low + eta.height, eta.width);
    (observations.iter().map(clipped).sum::<f64>() / eta.width).clamp(0.0, 1.0)
}
