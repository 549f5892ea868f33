//! A weighted least-squares problem in the features: the problem itself for Gaussian responses, its local model for others.

use faer::linalg::solvers::Solve;
use faer::{Mat, Side};

use crate::datafit::Datafit;
use crate::design::Design;
use crate::kernel::dot;

/// `1/2 (target - b0 - X b)' Omega (target - b0 - X b)` around a point, the intercepts at their best.
#[derive(Clone, Debug)]
pub(super) struct Model {
    /// The diagonal of `Omega`.
    pub(super) omega: Vec<f64>,
    /// Whether residuals and columns are centered by these weights, which is what free intercepts do.
    pub(super) centered: bool,
    total: f64,
    /// What several predictors of one observation have in common.
    coupling: Option<Coupling>,
}

/// `Omega_i = a_i (diag(p_i) - p_i p_i') + least` for the predictors of observation `i`.
#[derive(Clone, Debug)]
struct Coupling {
    /// The weights `a_i` of the observations.
    weights: Vec<f64>,
    /// Probabilities of the classes but the last, predictor after predictor.
    probabilities: Vec<f64>,
    least: f64,
    /// Sum of all `Omega_i`, a column for each predictor.
    total: Mat<f64>,
}

/// Least weight relative to the largest: observations that are fitted perfectly would otherwise leave the model flat.
const LEAST: f64 = 1e-6;

impl Model {
    /// The model at the predictor `eta`.
    pub(super) fn at(datafit: &Datafit<'_>, eta: &[f64], centered: bool) -> Self {
        let mut omega = vec![0.0; eta.len()];
        datafit.curvature(eta, &mut omega);
        let top = omega.iter().copied().fold(0.0, f64::max);
        let (c, n) = (datafit.factor(), datafit.y().len());
        let weights: Vec<f64> =
            (0..n).map(|i| c * datafit.weights().map_or(1.0, |w| w[i])).collect();
        let q = datafit.n_predictors();
        if 1 < q {
            let least = LEAST * top;
            omega.iter_mut().for_each(|omega| *omega += least);
            let probabilities = datafit.probabilities(eta);
            let total = Mat::<f64>::zeros(q, q);
            let mut coupling = Coupling { weights, probabilities, least, total };
            coupling.total = coupling.summed(q);
            return Model { omega, centered, total: 0.0, coupling: Some(coupling) };
        }
        for (omega, weight) in omega.iter_mut().zip(&weights) {
            if 0.0 < *weight {
                *omega = omega.max(LEAST * top);
            }
        }
        let total = omega.iter().sum();
        Model { omega, centered, total, coupling: None }
    }

    /// Whether observations and predictors have nothing to do with each other.
    pub(super) fn is_diagonal(&self) -> bool {
        self.coupling.is_none()
    }

    /// The weighted mean, for diagonal weights.
    pub(super) fn mean(&self, v: &[f64]) -> f64 {
        if 0.0 < self.total { dot(&self.omega, v) / self.total } else { 0.0 }
    }

    /// The roots of diagonal weights.
    pub(super) fn roots(&self) -> Vec<f64> {
        self.omega.iter().map(|w| w.sqrt()).collect()
    }

    /// Takes off what free intercepts would: the constants that are nearest in the weighted norm.
    pub(super) fn center(&self, v: &mut [f64]) {
        if !self.centered {
            return;
        }
        match &self.coupling {
            None => {
                let mean = self.mean(v);
                v.iter_mut().for_each(|v| *v -= mean);
            }
            Some(coupling) => {
                let n = coupling.weights.len();
                let sums: Vec<f64> =
                    self.weighted(v).chunks(n).map(|v| v.iter().sum::<f64>()).collect();
                let Ok(factor) = coupling.total.llt(Side::Lower) else { return };
                let means = factor.solve(Mat::from_fn(sums.len(), 1, |k, _| sums[k]));
                for (k, v) in v.chunks_mut(n).enumerate() {
                    v.iter_mut().for_each(|v| *v -= means[(k, 0)]);
                }
            }
        }
    }

    /// `Omega v`.
    pub(super) fn weighted(&self, v: &[f64]) -> Vec<f64> {
        match &self.coupling {
            None => self.omega.iter().zip(v).map(|(w, v)| w * v).collect(),
            Some(coupling) => coupling.weighted(v),
        }
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

impl Coupling {
    fn weighted(&self, v: &[f64]) -> Vec<f64> {
        let n = self.weights.len();
        let mut mean = vec![0.0; n];
        for (v, p) in v.chunks(n).zip(self.probabilities.chunks(n)) {
            mean.iter_mut().zip(v.iter().zip(p)).for_each(|(mean, (v, p))| *mean += p * v);
        }
        let entry = |(at, (v, p)): (usize, (&f64, &f64))| {
            let i = at % n;
            self.weights[i] * p * (v - mean[i]) + self.least * v
        };
        v.iter().zip(&self.probabilities).enumerate().map(entry).collect()
    }

    fn summed(&self, q: usize) -> Mat<f64> {
        let n = self.weights.len();
        let p = |k: usize, i: usize| self.probabilities[k * n + i];
        Mat::from_fn(q, q, |k, l| {
            let own = if k == l { 1.0 } else { 0.0 };
            (0..n).map(|i| self.weights[i] * p(k, i) * (own - p(l, i)) + own * self.least).sum()
        })
    }
}
