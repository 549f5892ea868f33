//! A weighted least-squares problem in the features: the problem itself for Gaussian responses, its local model for others.

use crate::datafit::Datafit;
use crate::design::Design;

/// `1/2 sum_i omega_i (target_i - b0 - x_i' b)^2` around a point, the intercept at its best.
#[derive(Clone, Debug)]
pub(super) struct Model {
    /// Weight of each observation.
    pub(super) omega: Vec<f64>,
    /// Whether residuals and columns are centered by these weights, which is what a free intercept does.
    pub(super) centered: bool,
    total: f64,
}

/// Least weight relative to the largest: observations that are fitted perfectly would otherwise leave the model flat.
const LEAST: f64 = 1e-6;

impl Model {
    /// The model at the predictor `eta`.
    pub(super) fn at(datafit: &Datafit<'_>, eta: &[f64], centered: bool) -> Self {
        let mut omega = vec![0.0; eta.len()];
        datafit.curvature(eta, &mut omega);
        let top = omega.iter().copied().fold(0.0, f64::max);
        let c = datafit.factor();
        for (i, omega) in omega.iter_mut().enumerate() {
            let weight = c * datafit.weights().map_or(1.0, |w| w[i]);
            if 0.0 < weight {
                *omega = omega.max(LEAST * top);
            }
        }
        let total = omega.iter().sum();
        Model { omega, centered, total }
    }

    /// The weighted mean.
    pub(super) fn mean(&self, v: &[f64]) -> f64 {
        if 0.0 < self.total { crate::kernel::dot(&self.omega, v) / self.total } else { 0.0 }
    }

    /// The roots of the weights.
    pub(super) fn roots(&self) -> Vec<f64> {
        self.omega.iter().map(|w| w.sqrt()).collect()
    }

    /// Takes the weighted mean off.
    pub(super) fn center(&self, v: &mut [f64]) {
        if self.centered {
            let mean = self.mean(v);
            v.iter_mut().for_each(|v| *v -= mean);
        }
    }

    /// `omega_i v_i`.
    pub(super) fn weighted(&self, v: &[f64]) -> Vec<f64> {
        self.omega.iter().zip(v).map(|(w, v)| w * v).collect()
    }

    /// `sum_j a_j x_j` over the given columns, centered.
    pub(super) fn combination(
        &self,
        design: &Design<'_>,
        columns: impl Iterator<Item = (usize, f64)> + Clone,
    ) -> Vec<f64> {
        let mut out = vec![0.0; design.n_rows()];
        design.add_columns(columns, &mut out);
        self.center(&mut out);
        out
    }
}
