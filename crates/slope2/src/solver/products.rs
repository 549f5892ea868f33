//! Inner products of columns under the weights of a model, computed in blocks of rows.

use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, Mat, MatRef, Par};

use super::model::Model;
use crate::design::Design;
use crate::kernel::shifted_and_scaled;

/// Rows at a time: what is copied for them stays in the cache.
const ROWS: usize = 256;

/// A column of the working set.
pub(super) enum Column<'a> {
    /// A feature with its sign.
    Feature(usize, f64),
    /// A sum of features, written out and not centered.
    Sum(&'a [f64]),
}

/// The products of all `columns` with those from `old` on, one column of the result for each of the latter. Below `old` all rows
/// are filled, from `old` on the lower triangle alone.
pub(super) fn dense(
    design: &Design<'_>,
    model: &Model,
    columns: &[Column<'_>],
    old: usize,
) -> Mat<f64> {
    let (n, m) = (design.n_rows(), columns.len());
    let mut out = Mat::<f64>::zeros(m, m - old);
    // What is taken off a column, and what it is multiplied by besides the weights.
    let shifts: Vec<(f64, f64)> =
        columns.iter().map(|column| shift_and_factor(design, model, column)).collect();
    let roots = model.roots();
    let mut block = vec![0.0; m * ROWS.min(n)];
    for first in (0..n).step_by(ROWS) {
        let rows = first..n.min(first + ROWS);
        let height = rows.len();
        for ((column, (shift, factor)), out) in
            columns.iter().zip(&shifts).zip(block.chunks_exact_mut(height))
        {
            let entries = match column {
                Column::Feature(j, _) => design.stored_entries(*j, rows.clone()),
                Column::Sum(sum) => &sum[rows.clone()],
            };
            shifted_and_scaled(entries, *shift, *factor, &roots[rows.clone()], out);
        }
        let block = MatRef::from_column_major_slice(&block[..m * height], height, m);
        let (before, fresh) = (block.get(.., ..old), block.get(.., old..));
        let (top, bottom) = out.as_mut().split_at_row_mut(old);
        matmul(top, Accum::Add, before.transpose(), fresh, 1.0, Par::Seq);
        triangular::matmul(
            bottom,
            BlockStructure::TriangularLower,
            Accum::Add,
            fresh.transpose(),
            BlockStructure::Rectangular,
            fresh,
            BlockStructure::Rectangular,
            1.0,
            Par::Seq,
        );
    }
    out
}

fn shift_and_factor(design: &Design<'_>, model: &Model, column: &Column<'_>) -> (f64, f64) {
    match column {
        Column::Feature(j, sign) => {
            let shift = if model.centered {
                model.mean(design.stored_entries(*j, 0..design.n_rows()))
            } else {
                design.center(*j)
            };
            (shift, sign / design.scale(*j))
        }
        Column::Sum(sum) => (if model.centered { model.mean(sum) } else { 0.0 }, 1.0),
    }
}

/// The same for a sparse design and columns that are sums of signed features: one column is written out at a time, and the
/// stored entries of the others are multiplied with it. Fills the lower triangle from `old` on.
pub(super) fn sparse(
    design: &Design<'_>,
    model: &Model,
    columns: &[Vec<(usize, f64)>],
    old: usize,
) -> Mat<f64> {
    let m = columns.len();
    let mut out = Mat::<f64>::zeros(m, m - old);
    let mut scratch = vec![0.0; design.n_rows()];
    // Weighted sums of the stored columns, and what the products take off each.
    let total: f64 = model.omega.iter().sum();
    let summary: Vec<(f64, f64)> = columns
        .iter()
        .map(|members| {
            members.iter().fold((0.0, 0.0), |(sum, center), (j, sign)| {
                let factor = sign / design.scale(*j);
                let own = design.stored_dot(*j, &model.omega);
                (sum + factor * own, center + factor * design.center(*j))
            })
        })
        .collect();
    let off = |i: usize| {
        let (sum, center) = summary[i];
        if !model.centered {
            center
        } else if 0.0 < total {
            sum / total
        } else {
            0.0
        }
    };
    for i in old..m {
        for (j, sign) in &columns[i] {
            let factor = sign / design.scale(*j);
            design.scatter(*j, |row, x| scratch[row] += factor * x * model.omega[row]);
        }
        for k in (0..old).chain(i..m) {
            let raw: f64 = (columns[k].iter())
                .map(|(j, sign)| sign / design.scale(*j) * design.stored_dot(*j, &scratch))
                .sum();
            let (a, b) = (off(i), off(k));
            out[(k, i - old)] = raw - a * summary[k].0 - b * summary[i].0 + a * b * total;
        }
        for (j, _) in &columns[i] {
            design.scatter(*j, |row, _| scratch[row] = 0.0);
        }
    }
    out
}
