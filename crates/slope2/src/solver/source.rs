//! Where inner products of features come from: from the columns, or from second moments.

use faer::MatMut;

use super::model::Model;
use super::moments::Moments;
use super::products::{self, Column};
use crate::design::Design;
use crate::kernel::dot;

/// The quadratic problem that a method works on.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    /// Columns under the weights of a model.
    Columns {
        design: &'a Design<'a>,
        model: &'a Model,
        /// The weighted residual.
        pull: &'a [f64],
    },
    /// The moments of a Gaussian problem.
    Moments(&'a Moments),
}

/// The products of a sum of features.
pub(super) struct Along {
    /// With the features that were asked for.
    pub(super) features: Vec<f64>,
    /// With itself.
    pub(super) own: f64,
}

impl Source<'_> {
    /// Number of features.
    pub(super) fn n_features(&self) -> usize {
        match self {
            Source::Columns { design, .. } => design.n_cols(),
            Source::Moments(moments) => moments.n_features(),
        }
    }

    /// Whether sums of features are worth keeping.
    pub(super) fn keeps_sums(&self) -> bool {
        matches!(self, Source::Columns { design, model, .. } if model.is_diagonal() && !design.is_sparse())
    }

    /// The stored sum of features, not centered by the model.
    pub(super) fn sum(&self, members: &[(usize, f64)]) -> Vec<f64> {
        let Source::Columns { design, .. } = self else { return Vec::new() };
        let mut out = vec![0.0; design.n_rows()];
        design.add_columns(members.iter().copied(), &mut out);
        out
    }

    /// Products of `sum_j a_j x_j` with itself and with the given features.
    pub(super) fn along(
        &self,
        moves: impl Iterator<Item = (usize, f64)> + Clone,
        features: &[usize],
    ) -> Along {
        match self {
            Source::Columns { design, model, .. } => {
                let sum = model.combination(design, moves);
                let weighted = model.weighted(&sum);
                let mut products = vec![0.0; features.len()];
                design.adjoint_of(features, &weighted, &mut products);
                Along { features: products, own: dot(&weighted, &sum) }
            }
            Source::Moments(moments) => {
                let along = moments.along(moves.clone());
                let own = moves.map(|(j, a)| a * along[j]).sum::<f64>().max(0.0);
                Along { features: features.iter().map(|j| along[*j]).collect(), own }
            }
        }
    }

    /// Products of columns, each a signed sum of features, with those from `old` on, a column of `out` for each of these: all
    /// above `old`, the lower triangle below. Columns that `sums` has are written out there.
    pub(super) fn products(
        &self,
        columns: &[Vec<(usize, f64)>],
        sums: &[Option<Vec<f64>>],
        old: usize,
        mut out: MatMut<'_, f64>,
    ) {
        match self {
            Source::Columns { model, .. } if !model.is_diagonal() => {
                self.one_by_one(columns, old, out);
            }
            Source::Columns { design, model, .. } if design.is_sparse() => {
                products::sparse(design, model, columns, old, out);
            }
            Source::Columns { design, model, .. } => {
                let dense: Vec<Column<'_>> = (columns.iter().zip(sums))
                    .map(|(members, sum)| match (sum, members.as_slice()) {
                        (Some(sum), _) => Column::Sum(sum),
                        (None, [(j, sign)]) => Column::Feature(*j, *sign),
                        (None, _) => Column::Sum(&[]),
                    })
                    .collect();
                products::dense(design, model, &dense, old, out);
            }
            Source::Moments(moments) => {
                let m = columns.len();
                for i in old..m {
                    let value = |along: &dyn Fn(usize) -> f64, k: usize| -> f64 {
                        columns[k].iter().map(|(j, sign)| sign * along(*j)).sum()
                    };
                    if let [(j, sign)] = columns[i][..] {
                        let row = moments.row(j);
                        for k in (0..old).chain(i..m) {
                            out[(k, i - old)] = sign * value(&|j| row[j], k);
                        }
                    } else {
                        let row = moments.along(columns[i].iter().copied());
                        for k in (0..old).chain(i..m) {
                            out[(k, i - old)] = value(&|j| row[j], k);
                        }
                    }
                }
            }
        }
    }

    /// The products of one column after the other with all features.
    fn one_by_one(&self, columns: &[Vec<(usize, f64)>], old: usize, mut out: MatMut<'_, f64>) {
        let features: Vec<usize> = columns.iter().flatten().map(|m| m.0).collect();
        for (i, column) in columns.iter().enumerate().skip(old) {
            let along = self.along(column.iter().copied(), &features);
            let mut rest = along.features.as_slice();
            for (k, members) in columns.iter().enumerate() {
                let (own, others) = rest.split_at(members.len());
                rest = others;
                out[(k, i - old)] = members.iter().zip(own).map(|(m, product)| m.1 * product).sum();
            }
        }
    }
}
