//! What makes conjugate gradients short where columns are nearly dependent: a Cholesky factor in single precision.

use std::collections::HashMap;

use faer::Mat;

use crate::kernel::largest;
use crate::solver::ridged::{factor, solve_factored};

/// Added to the inner products of columns of unit length, which are off by rounding in single precision.
const RIDGE: f32 = 1e-5;

/// A factor for some features, which serves others too: those that it does not know are taken to be orthogonal to all, and those
/// that are not asked for stand still.
#[derive(Debug)]
pub(in crate::solver::two_level) struct Preconditioner {
    features: Vec<usize>,
    /// One over the length of each.
    scales: Vec<f64>,
    factor: Mat<f32>,
    /// Where the factor has each column of the working set.
    known: Vec<Option<usize>>,
}

impl Preconditioner {
    /// From the inner products of features, scaled to unit length by `scales`; only the lower triangle is read. None where rounding
    /// leaves them indefinite.
    pub(super) fn new(
        features: Vec<usize>,
        scales: Vec<f64>,
        mut products: Mat<f32>,
    ) -> Option<Self> {
        (0..features.len()).for_each(|i| products[(i, i)] += RIDGE);
        factor(products.as_mut())?;
        Some(Preconditioner { features, scales, factor: products, known: Vec::new() })
    }

    /// For a working set of these features.
    pub(super) fn seen_from(mut self, set: &[usize]) -> Self {
        let rows: HashMap<usize, usize> =
            self.features.iter().enumerate().map(|(row, feature)| (*feature, row)).collect();
        self.known = set.iter().map(|feature| rows.get(feature).copied()).collect();
        self
    }

    /// In place of `left`, one entry for each of `free`, what solves for it nearly; `diagonal` for columns that are not known.
    pub(super) fn apply(&self, free: &[usize], diagonal: &[f64], left: &mut [f64]) {
        // Single precision has not the range of double.
        let size = largest(left);
        if size <= 0.0 || !size.is_finite() {
            return;
        }
        let mut rhs = Mat::<f32>::zeros(self.factor.nrows(), 1);
        for (i, left) in free.iter().zip(&*left) {
            if let Some(at) = self.known[*i] {
                rhs[(at, 0)] = single(left / size * self.scales[at]);
            }
        }
        solve_factored(self.factor.as_ref(), rhs.as_mut());
        for ((i, left), own) in free.iter().zip(left).zip(diagonal) {
            *left = match self.known[*i] {
                Some(at) => f64::from(rhs[(at, 0)]) * size * self.scales[at],
                None => *left / own,
            };
        }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "single precision is meant")]
pub(super) fn single(x: f64) -> f32 {
    x as f32
}
