//! Dense columns.

use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, Mat, MatRef, Par};

use super::Columns;
use super::preconditioner::single;
use crate::design::Design;
use crate::kernel::{
    axpy, dot, dots, shifted_and_scaled, shifted_axpy, shifted_dot, weighted_axpy,
};
use crate::solver::model::Model;
use crate::solver::products::shift_and_factor;

/// Rows at a time for inner products.
const ROWS: usize = 32;

/// A stored column `x` that is fitted as `factor (x - shift)`.
#[derive(Clone, Copy)]
struct Column<'a> {
    entries: &'a [f64],
    shift: f64,
    factor: f64,
    own: f64,
}

/// Columns of a dense design of one block under diagonal weights.
pub(in crate::solver::two_level) struct DenseColumns<'a> {
    columns: Vec<Column<'a>>,
    omega: &'a [f64],
    /// The roots of the weights.
    roots: Vec<f64>,
    /// The weight of all observations, where they have one in common.
    common: Option<f64>,
}

impl<'a> DenseColumns<'a> {
    pub(in crate::solver::two_level) fn new(
        design: &'a Design<'a>,
        model: &'a Model,
        features: &[usize],
    ) -> Self {
        let n = design.n_rows();
        let (roots, mut written_out) = (model.roots(), vec![0.0; n]);
        let column = |j: &usize| {
            let entries = design.stored_entries(*j, 0..n);
            let (shift, factor) = shift_and_factor(design, model, *j);
            shifted_and_scaled(entries, shift, factor, &roots, &mut written_out);
            Column { entries, shift, factor, own: dot(&written_out, &written_out) }
        };
        let columns = features.iter().map(column).collect();
        let omega = model.omega.as_slice();
        let common = omega.first().copied().filter(|first| omega.iter().all(|w| w == first));
        DenseColumns { columns, omega, roots, common }
    }
}

impl Columns for DenseColumns<'_> {
    type Weighted = Vec<f64>;

    fn weighted(&self, v: Vec<f64>) -> Vec<f64> {
        v
    }

    fn own(&self, i: usize) -> f64 {
        self.columns[i].own
    }

    fn product(&self, i: usize, v: &Vec<f64>) -> f64 {
        let Column { entries, shift, factor, .. } = self.columns[i];
        factor * shifted_dot(entries, shift, v)
    }

    fn products(&self, set: &[usize], v: &Vec<f64>) -> Vec<f64> {
        let mut out = vec![0.0; set.len()];
        let column = |k: usize| {
            let Column { entries, shift, .. } = self.columns[set[k]];
            (entries, shift)
        };
        dots(column, true, v, &mut out);
        out.iter_mut().zip(set).for_each(|(out, i)| *out *= self.columns[*i].factor);
        out
    }

    fn inner_products(&self, set: &[usize], scales: &[f64]) -> Option<Mat<f32>> {
        let (n, m) = (self.omega.len(), set.len());
        let mut products = Mat::<f32>::zeros(m, m);
        let mut written_out = vec![0.0; ROWS.min(n)];
        let mut block = vec![0.0f32; m * ROWS.min(n)];
        for first in (0..n).step_by(ROWS) {
            let rows = first..n.min(first + ROWS);
            let height = rows.len();
            for ((i, scale), out) in set.iter().zip(scales).zip(block.chunks_exact_mut(height)) {
                let Column { entries, shift, factor, .. } = self.columns[*i];
                let (entries, roots) = (&entries[rows.clone()], &self.roots[rows.clone()]);
                let written_out = &mut written_out[..height];
                shifted_and_scaled(entries, shift, factor * scale, roots, written_out);
                out.iter_mut().zip(written_out).for_each(|(out, x)| *out = single(*x));
            }
            let block = MatRef::from_column_major_slice(&block[..m * height], height, m);
            triangular::matmul(
                products.as_mut(),
                BlockStructure::TriangularLower,
                Accum::Add,
                block.transpose(),
                BlockStructure::Rectangular,
                block,
                BlockStructure::Rectangular,
                1.0,
                Par::Seq,
            );
        }
        Some(products)
    }

    fn add(&self, i: usize, by: f64, v: &mut Vec<f64>) {
        let Column { entries, shift, factor, .. } = self.columns[i];
        match self.common {
            Some(weight) => shifted_axpy(by * factor * weight, entries, shift, v),
            None => weighted_axpy(by * factor, entries, shift, self.omega, v),
        }
    }

    fn add_weighted(&self, by: f64, other: &Vec<f64>, v: &mut Vec<f64>) {
        axpy(by, other, v);
    }
}
