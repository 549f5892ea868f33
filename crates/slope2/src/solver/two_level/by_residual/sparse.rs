//! Sparse columns: what is taken off all rows alike is kept apart from the stored entries.

use faer::Mat;

use super::Columns;
use crate::design::Design;
use crate::kernel::axpy;
use crate::solver::model::Model;

/// A weighted vector of observations `omega v`, where a multiple of the constant that all columns lack is kept apart.
pub(in crate::solver::two_level) struct Weighted {
    /// Without the constant.
    stored: Vec<f64>,
    /// The constant, not weighted.
    constant: f64,
    /// Sum of all entries, the constant included.
    sum: f64,
}

/// What is needed of a column besides its entries.
#[derive(Clone, Copy)]
struct Summary {
    feature: usize,
    /// One over the scale.
    factor: f64,
    /// What is taken off, after scaling.
    off: f64,
    /// Weighted sum of the scaled column before anything is taken off.
    total: f64,
    own: f64,
}

/// Columns of a sparse design under diagonal weights.
pub(in crate::solver::two_level) struct SparseColumns<'a> {
    design: &'a Design<'a>,
    model: &'a Model,
    columns: Vec<Summary>,
    /// Sum of the weights.
    total: f64,
}

impl<'a> SparseColumns<'a> {
    pub(in crate::solver::two_level) fn new(
        design: &'a Design<'a>,
        model: &'a Model,
        features: &[usize],
    ) -> Self {
        let total: f64 = model.omega.iter().sum();
        let summary = |feature: &usize| {
            let factor = design.factor(*feature);
            let (mut sum, mut square) = (0.0, 0.0);
            design.scatter(*feature, |row, x| {
                let weighted = model.omega[row] * x;
                sum += weighted;
                square += weighted * x;
            });
            let (sum, square) = (factor * sum, factor * factor * square);
            let off = if !model.centered {
                factor * design.center(*feature)
            } else if 0.0 < total {
                sum / total
            } else {
                0.0
            };
            let own = (square - 2.0 * off * sum + off * off * total).max(0.0);
            Summary { feature: *feature, factor, off, total: sum, own }
        };
        SparseColumns { design, model, columns: features.iter().map(summary).collect(), total }
    }
}

impl Columns for SparseColumns<'_> {
    type Weighted = Weighted;

    fn weighted(&self, stored: Vec<f64>) -> Weighted {
        let sum = stored.iter().sum();
        Weighted { stored, constant: 0.0, sum }
    }

    fn own(&self, i: usize) -> f64 {
        self.columns[i].own
    }

    fn product(&self, i: usize, v: &Weighted) -> f64 {
        let Summary { feature, factor, off, total, .. } = self.columns[i];
        factor * self.design.stored_dot(feature, &v.stored) + v.constant * total - off * v.sum
    }

    /// Products of sparse columns cost a pass each.
    fn inner_products(&self, _: &[usize], _: &[f64]) -> Option<Mat<f32>> {
        None
    }

    fn add(&self, i: usize, by: f64, v: &mut Weighted) {
        let Summary { feature, factor, off, total, .. } = self.columns[i];
        let omega = &self.model.omega;
        self.design.scatter(feature, |row, x| v.stored[row] += by * factor * x * omega[row]);
        v.constant -= by * off;
        v.sum += by * (total - off * self.total);
    }

    fn add_weighted(&self, by: f64, other: &Weighted, v: &mut Weighted) {
        axpy(by, &other.stored, &mut v.stored);
        v.constant += by * other.constant;
        v.sum += by * other.sum;
    }
}
