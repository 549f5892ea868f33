//! A least-squares problem by its second moments: with many more rows than columns nothing else is needed of the data.

use faer::MatMut;

use super::model::Model;
use super::products::{self, Column};
use crate::certificate::Moments as Certified;
use crate::design::Design;
use crate::kernel::{NARROW, axpy, dot};
use crate::problem::Problem;

/// `X' Omega X`, `X' Omega y` and `y' Omega y`, all of centered columns and response if there is an intercept.
pub(super) struct Moments {
    gram: Vec<f64>,
    xy: Vec<f64>,
    yy: f64,
    x_mean: Vec<f64>,
    y_mean: f64,
    /// Norms of the columns as they are stored, in the scale of the fit.
    x_size: Vec<f64>,
    /// The norm of the response before anything is taken off.
    y_size: f64,
    /// Relative rounding of a product of two columns.
    rounding: f64,
}

impl Moments {
    /// The moments of a Gaussian response.
    pub(super) fn of<P>(problem: &Problem<'_, P>, model: &Model) -> Self {
        let design = problem.design;
        let p = design.n_cols();
        let mut gram = vec![0.0; p * p];
        lower(design, model, MatMut::from_column_major_slice_mut(&mut gram, p, p));
        for j in 0..p {
            for i in j..p {
                gram[i * p + j] = gram[j * p + i];
            }
        }
        let mut y = problem.datafit.y().to_vec();
        let y_mean = if model.centered { model.mean(&y) } else { 0.0 };
        y.iter_mut().for_each(|y| *y -= y_mean);
        let weighted = model.weighted(&y);
        let yy = dot(&weighted, &y);
        let mut xy = vec![0.0; p];
        design.adjoint(&weighted, &mut xy);
        let mut x_mean = vec![0.0; p];
        let total: f64 = model.omega.iter().sum();
        if model.centered {
            design.adjoint(&model.omega, &mut x_mean);
            x_mean.iter_mut().for_each(|m| *m = if 0.0 < total { *m / total } else { 0.0 });
        }
        let x_size = (0..p).map(|j| {
            let shift = x_mean[j] + design.center(j) * design.factor(j);
            gram[j * p + j].sqrt() + shift.abs() * total.sqrt()
        });
        let x_size = x_size.collect();
        let y_size = yy.sqrt() + y_mean.abs() * total.sqrt();
        // No sum has more steps in a row than this.
        let rounding = f64::EPSILON * (products::ROWS + y.len() / NARROW) as f64;
        Moments { gram, xy, yy, x_mean, y_mean, x_size, y_size, rounding }
    }

    /// Number of features.
    pub(super) fn n_features(&self) -> usize {
        self.xy.len()
    }

    /// The inner products of a feature with all.
    pub(super) fn row(&self, j: usize) -> &[f64] {
        let p = self.xy.len();
        &self.gram[j * p..(j + 1) * p]
    }

    /// `X' Omega (sum_j a_j x_j)`.
    pub(super) fn along(&self, moves: impl Iterator<Item = (usize, f64)>) -> Vec<f64> {
        let mut out = vec![0.0; self.xy.len()];
        moves.filter(|(_, a)| *a != 0.0).for_each(|(j, a)| axpy(a, self.row(j), &mut out));
        out
    }

    /// `X' Omega (y - X b)`.
    pub(super) fn gradient(&self, b: &[f64]) -> Vec<f64> {
        let along = self.along(b.iter().copied().enumerate());
        self.xy.iter().zip(along).map(|(xy, along)| xy - along).collect()
    }

    /// The best intercept for these coefficients.
    pub(super) fn intercept(&self, b: &[f64]) -> f64 {
        self.y_mean - dot(&self.x_mean, b)
    }

    /// What the certificate needs of the response.
    pub(super) fn certified(&self) -> Certified<'_> {
        let Moments { xy, yy, x_size, y_size, rounding, .. } = self;
        Certified { xy, yy: *yy, x_size, y_size: *y_size, rounding: *rounding }
    }
}

/// Fills the lower triangle.
fn lower(design: &Design<'_>, model: &Model, out: MatMut<'_, f64>) {
    let p = design.n_cols();
    if design.is_sparse() {
        let columns: Vec<Vec<(usize, f64)>> = (0..p).map(|j| vec![(j, 1.0)]).collect();
        return products::sparse(design, model, &columns, 0, out);
    }
    let columns: Vec<Column<'_>> = (0..p).map(|j| Column::Feature(j, 1.0)).collect();
    products::dense(design, model, &columns, 0, out);
}
