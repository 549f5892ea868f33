//! Inner products of columns under the weights of a model, computed in blocks of rows.

use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::reborrow::ReborrowMut;
use faer::{Accum, MatMut, MatRef, Par};

use super::model::Model;
use crate::design::Design;
use crate::kernel::shifted_and_scaled;

/// Rows at a time: what is copied for them stays in the cache.
pub(super) const ROWS: usize = 128;
/// At least so many.
const FEW_ROWS: usize = 32;
/// What is copied is at most so many vectors of rows and features.
const VECTORS: usize = 2;

/// A column of the working set.
pub(super) enum Column<'a> {
    /// A feature with its sign.
    Feature(usize, f64),
    /// A sum of features, written out and not centered.
    Sum(&'a [f64]),
}

impl Column<'_> {
    fn shift_and_factor(&self, design: &Design<'_>, model: &Model) -> (f64, f64) {
        match self {
            Column::Feature(j, sign) => {
                let (shift, factor) = shift_and_factor(design, model, *j);
                (shift, sign * factor)
            }
            Column::Sum(sum) if model.centered => {
                let (mean, is_flat) = mean_of(model, sum);
                (mean, if is_flat { 0.0 } else { 1.0 })
            }
            Column::Sum(_) => (0.0, 1.0),
        }
    }
}

/// The products of all `columns` with those from `old` on, one column of `out` for each of the latter. Below `old` all rows are
/// filled, from `old` on the lower triangle alone.
pub(super) fn dense(
    design: &Design<'_>,
    model: &Model,
    columns: &[Column<'_>],
    old: usize,
    mut out: MatMut<'_, f64>,
) {
    let (n, m) = (design.n_rows(), columns.len());
    out.fill(0.0);
    // What is taken off a column, and what it is multiplied by besides the weights.
    let shifts: Vec<(f64, f64)> =
        columns.iter().map(|column| column.shift_and_factor(design, model)).collect();
    let roots = model.roots();
    let few = (VECTORS * (n + design.n_cols()) / m.max(1)).max(FEW_ROWS);
    let most = ROWS.min(few).min(n);
    let mut block = vec![0.0; m * most];
    for first in (0..n).step_by(most) {
        let rows = first..n.min(first + most);
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
        let (top, bottom) = out.rb_mut().split_at_row_mut(old);
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
}

/// What is taken off a stored column of a dense design, and what it is multiplied by. A column that is constant up to rounding
/// is multiplied by zero if an intercept takes its part.
pub(super) fn shift_and_factor(design: &Design<'_>, model: &Model, j: usize) -> (f64, f64) {
    if !model.centered {
        return (design.center(j), design.factor(j));
    }
    let (mean, is_flat) = mean_of(model, design.stored_entries(j, 0..design.n_rows()));
    (mean, if is_flat { 0.0 } else { design.factor(j) })
}

/// The weighted mean, and whether there is nothing else.
fn mean_of(model: &Model, v: &[f64]) -> (f64, bool) {
    let mean = model.mean(v);
    let rounding = 8.0 * f64::EPSILON * mean.abs();
    (mean, v.iter().all(|x| (x - mean).abs() <= rounding))
}

/// The same for a sparse design and columns that are sums of signed features: one column is written out at a time, and the
/// stored entries of the others are multiplied with it. Fills the lower triangle from `old` on.
pub(super) fn sparse(
    design: &Design<'_>,
    model: &Model,
    columns: &[Vec<(usize, f64)>],
    old: usize,
    mut out: MatMut<'_, f64>,
) {
    let m = columns.len();
    // Factors of the features, and what is taken off them after that.
    let total: f64 = model.omega.iter().sum();
    let features: Vec<Vec<(usize, f64, f64)>> = columns
        .iter()
        .map(|members| {
            let feature = |(j, sign): &(usize, f64)| {
                let factor = sign * design.factor(*j);
                let off = if !model.centered {
                    factor * design.center(*j)
                } else if 0.0 < total {
                    factor * design.stored_dot(*j, &model.omega) / total
                } else {
                    0.0
                };
                (*j, factor, off)
            };
            members.iter().map(feature).collect()
        })
        .collect();
    for i in old..m {
        let column = model.combination(design, columns[i].iter().copied());
        let weighted = model.weighted(&column);
        // With an intercept it is zero, and only rounding would be left of it.
        let sum = if model.centered { 0.0 } else { weighted.iter().sum() };
        for k in (0..old).chain(i..m) {
            out[(k, i - old)] = features[k]
                .iter()
                .map(|(j, factor, off)| {
                    let (mut product, mut stored) = (0.0, 0.0);
                    let mut n_stored = 0;
                    design.scatter(*j, |row, x| {
                        product += (factor * x - off) * weighted[row];
                        stored += weighted[row];
                        n_stored += 1;
                    });
                    // Rows that are not stored have minus `off`.
                    if n_stored == weighted.len() {
                        product
                    } else {
                        product - off * (sum - stored)
                    }
                })
                .sum();
        }
    }
}
