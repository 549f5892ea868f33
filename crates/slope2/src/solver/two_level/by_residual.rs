//! A working set by the residual itself: a step costs as much as its column has entries, and no inner products are kept.

mod dense;
mod preconditioner;
mod sparse;

use std::cell::Cell;

use super::space::{Pull, Space};
use crate::kernel::{axpy, dot, largest};
pub(super) use dense::DenseColumns;
use faer::Mat;
pub(super) use preconditioner::Preconditioner;
pub(super) use sparse::SparseColumns;

/// Most iterations of conjugate gradients for a joint step.
const MOST_ITERS: usize = 200;
/// Columns whose inner products cost as much as one iteration.
const COLUMNS_PER_ITER: usize = 48;

/// The columns of a working set, as they are fitted, and weighted vectors of observations `omega v`.
pub(super) trait Columns {
    /// A weighted vector of observations.
    type Weighted;

    /// From what is weighted already and, with an intercept, adds up to nothing.
    fn weighted(&self, v: Vec<f64>) -> Self::Weighted;
    /// `x_i' omega x_i`.
    fn own(&self, i: usize) -> f64;
    /// `x_i' v`.
    fn product(&self, i: usize, v: &Self::Weighted) -> f64;
    /// `x_i' v` for several.
    fn products(&self, set: &[usize], v: &Self::Weighted) -> Vec<f64> {
        set.iter().map(|i| self.product(*i, v)).collect()
    }
    /// Inner products of some, each multiplied by its scale, in the lower triangle. None where they are not worth their price.
    fn inner_products(&self, set: &[usize], scales: &[f64]) -> Option<Mat<f32>>;
    /// `v += by omega x_i`.
    fn add(&self, i: usize, by: f64, v: &mut Self::Weighted);
    /// `v += by other`.
    fn add_weighted(&self, by: f64, other: &Self::Weighted, v: &mut Self::Weighted);
}

/// The residual and the cluster as vectors of observations.
pub(super) struct ByResidual<'s, C: Columns> {
    columns: C,
    /// The feature that each column is.
    set: &'s [usize],
    n: usize,
    residual: C::Weighted,
    cluster: C::Weighted,
    direction: C::Weighted,
    /// Products of the columns with the cluster as far as they are known; others are not a number.
    t: Vec<Cell<f64>>,
    preconditioner: &'s mut Option<Preconditioner>,
}

impl<'s, C: Columns> ByResidual<'s, C> {
    /// For columns that are these features, with the weighted residual and the weighted sum of the cluster's columns.
    pub(super) fn new(
        (columns, set): (C, &'s [usize]),
        residual: Vec<f64>,
        cluster: Vec<f64>,
        preconditioner: &'s mut Option<Preconditioner>,
    ) -> Self {
        let n = residual.len();
        let t = vec![Cell::new(f64::NAN); set.len()];
        let (residual, cluster) = (columns.weighted(residual), columns.weighted(cluster));
        let direction = columns.weighted(Vec::new());
        *preconditioner = preconditioner.take().map(|known| known.seen_from(set));
        ByResidual { columns, set, n, residual, cluster, direction, t, preconditioner }
    }

    /// `omega (sum_i d_i x_i)`.
    fn combination(&self, free: &[usize], d: &[f64]) -> C::Weighted {
        let mut v = self.columns.weighted(vec![0.0; self.n]);
        let moving = free.iter().zip(d).filter(|(_, d)| **d != 0.0);
        moving.for_each(|(i, d)| self.columns.add(*i, *d, &mut v));
        v
    }

    /// A preconditioner for these columns; whether one could be had.
    fn learn(&mut self, free: &[usize], diagonal: &[f64]) -> bool {
        *self.preconditioner = None;
        let scales: Vec<f64> = diagonal[..free.len()].iter().map(|own| 1.0 / own.sqrt()).collect();
        if let Some(products) = self.columns.inner_products(free, &scales) {
            let features = free.iter().map(|i| self.set[*i]).collect();
            let learned = Preconditioner::new(features, scales, products);
            *self.preconditioner = learned.map(|learned| learned.seen_from(self.set));
        }
        self.preconditioner.is_some()
    }

    /// Solves nearly, the height apart.
    fn precondition(&self, free: &[usize], diagonal: &[f64], left: &mut [f64]) {
        let (own, height) = left.split_at_mut(free.len());
        match self.preconditioner.as_ref() {
            Some(preconditioner) => preconditioner.apply(free, diagonal, own),
            None => own.iter_mut().zip(diagonal).for_each(|(left, own)| *left /= own),
        }
        height.iter_mut().for_each(|left| *left /= diagonal[free.len()]);
    }

    /// The cluster changed.
    fn forget_products(&mut self) {
        self.t.iter_mut().for_each(|t| t.set(f64::NAN));
    }
}

impl<C: Columns> Space for ByResidual<'_, C> {
    const CHEAP_READS: bool = false;

    fn own(&self, i: usize) -> f64 {
        self.columns.own(i)
    }

    fn q(&self, i: usize) -> f64 {
        self.columns.product(i, &self.residual)
    }

    fn t(&self, i: usize) -> f64 {
        let known = &self.t[i];
        if known.get().is_nan() {
            known.set(self.columns.product(i, &self.cluster));
        }
        known.get()
    }

    fn shift(&mut self, i: usize, by: f64) {
        self.columns.add(i, -by, &mut self.residual);
    }

    fn raise(&mut self, by: f64) {
        self.columns.add_weighted(-by, &self.cluster, &mut self.residual);
    }

    fn join(&mut self, i: usize, sign: f64) {
        self.columns.add(i, sign, &mut self.cluster);
        self.forget_products();
    }

    fn dissolve(&mut self) {
        self.cluster = self.columns.weighted(vec![0.0; self.n]);
        self.forget_products();
    }

    /// Conjugate gradients until no entry is off by more than a tenth of `enough`. The diagonal is the preconditioner until that
    /// has cost as much as a better one.
    fn newton(
        &mut self,
        free: &[usize],
        wanted: &[f64],
        cluster: Option<Pull>,
        enough: f64,
    ) -> Option<(Vec<f64>, f64)> {
        let m = free.len();
        let mut left = wanted.to_vec();
        let mut diagonal: Vec<f64> = free.iter().map(|i| self.own(*i)).collect();
        left.push(cluster.map_or(0.0, |c| c.wanted));
        diagonal.push(cluster.map_or(1.0, |c| c.tt));
        if diagonal.iter().any(|own| *own <= 0.0) {
            return None;
        }
        let t: Vec<f64> =
            if cluster.is_some() { free.iter().map(|i| self.t(*i)).collect() } else { Vec::new() };
        let patience = m / COLUMNS_PER_ITER + 1;
        let mut x = vec![0.0; m + 1];
        let mut p = vec![0.0; m + 1];
        // The last residual, and its product with what the preconditioner made of it.
        let (mut before, mut rho) = (left.clone(), f64::INFINITY);
        for iter in 0..MOST_ITERS {
            if largest(&left) <= 0.1 * enough {
                break;
            }
            if iter == patience && self.learn(free, &diagonal) {
                rho = f64::INFINITY;
            }
            let mut z = left.clone();
            self.precondition(free, &diagonal, &mut z);
            // Of Polak and Ribiere, since single precision is not the same map every time.
            let next = dot(&left, &z);
            let keep = ((next - dot(&before, &z)) / rho).max(0.0);
            p.iter_mut().zip(&z).for_each(|(p, z)| *p = z + keep * *p);
            (rho, before) = (next, left.clone());
            let mut v = self.combination(free, &p[..m]);
            if cluster.is_some() {
                self.columns.add_weighted(p[m], &self.cluster, &mut v);
            }
            let mut along = self.columns.products(free, &v);
            along.push(cluster.map_or(0.0, |c| dot(&t, &p[..m]) + p[m] * c.tt));
            let curvature = dot(&p, &along);
            if curvature <= 0.0 || curvature.is_nan() {
                break;
            }
            let length = dot(&left, &p) / curvature;
            axpy(length, &p, &mut x);
            axpy(-length, &along, &mut left);
        }
        let dh = x.pop()?;
        (dh.is_finite() && x.iter().all(|d| d.is_finite())).then_some((x, dh))
    }

    fn aim(&mut self, free: &[usize], d: &[f64]) -> f64 {
        self.direction = self.combination(free, d);
        dot(d, &self.columns.products(free, &self.direction))
    }

    fn go(&mut self, length: f64) {
        self.columns.add_weighted(-length, &self.direction, &mut self.residual);
    }
}
