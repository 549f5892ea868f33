//! What makes conjugate gradients short where columns are nearly dependent: a Cholesky factor in single precision.

use faer::Mat;

use crate::kernel::largest;
use crate::solver::ridged::{factor, solve_factored};

/// Added to the inner products of columns of unit length, which are off by rounding in single precision.
const RIDGE: f32 = 1e-5;

/// A factor for columns of a working set. It serves other columns too: those that it does not know are taken to be orthogonal to
/// all, and those that are not asked for stand still.
pub(super) struct Preconditioner {
    /// Position in the factor of each column of the set that has one, with one over its length.
    known: Vec<Option<(usize, f64)>>,
    factor: Mat<f32>,
}

impl Preconditioner {
    /// From the inner products of the columns `free` of a set of `n`, scaled to unit length by `scales`; only the lower triangle is
    /// read. None where rounding leaves them indefinite.
    pub(super) fn new(
        n: usize,
        free: &[usize],
        scales: &[f64],
        mut products: Mat<f32>,
    ) -> Option<Self> {
        let mut known = vec![None; n];
        for (at, (i, scale)) in free.iter().zip(scales).enumerate() {
            known[*i] = Some((at, *scale));
            products[(at, at)] += RIDGE;
        }
        factor(products.as_mut())?;
        Some(Preconditioner { known, factor: products })
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
            if let Some((at, scale)) = self.known[*i] {
                rhs[(at, 0)] = single(left / size * scale);
            }
        }
        solve_factored(self.factor.as_ref(), rhs.as_mut());
        for ((i, left), own) in free.iter().zip(left).zip(diagonal) {
            *left = match self.known[*i] {
                Some((at, scale)) => f64::from(rhs[(at, 0)]) * size * scale,
                None => *left / own,
            };
        }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "single precision is meant")]
pub(super) fn single(x: f64) -> f32 {
    x as f32
}
