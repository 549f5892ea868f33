//! A working set of sparse columns by the residual itself: a step costs as much as its column has entries.

use super::space::{Pull, Space};
use crate::design::Design;
use crate::kernel::dot;
use crate::solver::model::Model;

/// Most iterations of conjugate gradients for a joint step.
const MOST_ITERS: usize = 200;

/// A weighted vector of observations `omega v`, where a multiple of the constant that all columns lack is kept apart.
#[derive(Default)]
struct Weighted {
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

/// The residual and the cluster as vectors of observations.
pub(super) struct BySparseResidual<'a> {
    design: &'a Design<'a>,
    model: &'a Model,
    columns: Vec<Summary>,
    residual: Weighted,
    cluster: Weighted,
    direction: Weighted,
    /// Sum of the weights.
    total: f64,
}

impl<'a> BySparseResidual<'a> {
    /// For these features, the weighted residual and the sum of the cluster's columns.
    pub(super) fn new(
        design: &'a Design<'a>,
        model: &'a Model,
        features: &[usize],
        pull: &[f64],
        cluster: &[f64],
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
        let weighted = |stored: Vec<f64>| {
            let sum = stored.iter().sum();
            Weighted { stored, constant: 0.0, sum }
        };
        BySparseResidual {
            design,
            model,
            columns: features.iter().map(summary).collect(),
            residual: weighted(pull.to_vec()),
            cluster: weighted(model.weighted(cluster)),
            direction: weighted(Vec::new()),
            total,
        }
    }

    /// `x_i' v`.
    fn product(&self, i: usize, v: &Weighted) -> f64 {
        let Summary { feature, factor, off, total, .. } = self.columns[i];
        factor * self.design.stored_dot(feature, &v.stored) + v.constant * total - off * v.sum
    }

    /// `v += by omega x_i`.
    fn add(&self, i: usize, by: f64, v: &mut Weighted) {
        let Summary { feature, factor, off, total, .. } = self.columns[i];
        let omega = &self.model.omega;
        self.design.scatter(feature, |row, x| v.stored[row] += by * factor * x * omega[row]);
        v.constant -= by * off;
        v.sum += by * (total - off * self.total);
    }

    /// `omega (sum_i d_i x_i)`.
    fn combination(&self, free: &[usize], d: &[f64]) -> Weighted {
        let stored = vec![0.0; self.residual.stored.len()];
        let mut v = Weighted { stored, constant: 0.0, sum: 0.0 };
        free.iter().zip(d).filter(|(_, d)| **d != 0.0).for_each(|(i, d)| self.add(*i, *d, &mut v));
        v
    }
}

impl Weighted {
    /// `self += by other`.
    fn add(&mut self, by: f64, other: &Weighted) {
        crate::kernel::axpy(by, &other.stored, &mut self.stored);
        self.constant += by * other.constant;
        self.sum += by * other.sum;
    }
}

impl Space for BySparseResidual<'_> {
    fn own(&self, i: usize) -> f64 {
        self.columns[i].own
    }

    fn q(&self, i: usize) -> f64 {
        self.product(i, &self.residual)
    }

    fn t(&self, i: usize) -> f64 {
        self.product(i, &self.cluster)
    }

    fn shift(&mut self, i: usize, by: f64) {
        let mut residual = std::mem::take(&mut self.residual);
        self.add(i, -by, &mut residual);
        self.residual = residual;
    }

    fn raise(&mut self, by: f64) {
        self.residual.add(-by, &self.cluster);
    }

    fn join(&mut self, i: usize, sign: f64) {
        let mut cluster = std::mem::take(&mut self.cluster);
        self.add(i, sign, &mut cluster);
        self.cluster = cluster;
    }

    fn dissolve(&mut self) {
        self.cluster.stored.fill(0.0);
        (self.cluster.constant, self.cluster.sum) = (0.0, 0.0);
    }

    /// Conjugate gradients with the diagonal as preconditioner, until no entry is off by more than a tenth of `enough`.
    fn newton(
        &self,
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
        let small = |left: &[f64]| {
            let (own, height) = (&left[..m], left[m]);
            crate::kernel::largest(own) <= 0.1 * enough && height.abs() <= 0.1 * enough
        };
        let scaled = |left: &[f64]| -> Vec<f64> {
            left.iter().zip(&diagonal).map(|(left, own)| left / own).collect()
        };
        let mut x = vec![0.0; m + 1];
        let mut z = scaled(&left);
        let mut p = z.clone();
        let mut rho = dot(&left, &z);
        for _ in 0..MOST_ITERS {
            if small(&left) || rho <= 0.0 {
                break;
            }
            let mut v = self.combination(free, &p[..m]);
            if cluster.is_some() {
                v.add(p[m], &self.cluster);
            }
            let mut along: Vec<f64> = free.iter().map(|i| self.product(*i, &v)).collect();
            along.push(0.0);
            if let Some(Pull { tt, .. }) = cluster {
                let others: f64 = free.iter().zip(&p).map(|(i, p)| p * self.t(*i)).sum();
                along[m] = others + p[m] * tt;
            }
            let curvature = dot(&p, &along);
            if curvature <= 0.0 || curvature.is_nan() {
                break;
            }
            let length = rho / curvature;
            crate::kernel::axpy(length, &p, &mut x);
            crate::kernel::axpy(-length, &along, &mut left);
            z = scaled(&left);
            let next = dot(&left, &z);
            let keep = next / rho;
            p.iter_mut().zip(&z).for_each(|(p, z)| *p = z + keep * *p);
            rho = next;
        }
        let dh = x.pop()?;
        (dh.is_finite() && x.iter().all(|d| d.is_finite())).then_some((x, dh))
    }

    fn aim(&mut self, free: &[usize], d: &[f64]) -> f64 {
        self.direction = self.combination(free, d);
        free.iter().zip(d).map(|(i, d)| d * self.product(*i, &self.direction)).sum()
    }

    fn go(&mut self, length: f64) {
        let direction = std::mem::take(&mut self.direction);
        self.residual.add(-length, &direction);
        self.direction = direction;
    }
}
