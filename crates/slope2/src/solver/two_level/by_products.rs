//! A working set by its inner products: a step costs as much as the set has columns, whatever their length.

use faer::Mat;

use super::space::{Pull, Space};
use crate::kernel::axpy;
use crate::solver::gram::Gram;
use crate::solver::ridged::solve_ridged;

/// Relative ridge: more free coefficients than observations are normal on the way, and this sends them along the null
/// directions until they meet a kink.
const RIDGE: f64 = 1e-12;
/// Least curvature of the height that the free coefficients leave, relative to its own.
const FLOOR: f64 = 1e-10;

/// Inner products with the residual and with the cluster, kept up to date.
pub(super) struct ByProducts<'a> {
    set: &'a Gram,
    q: Vec<f64>,
    t: Vec<f64>,
    along: Vec<f64>,
}

impl<'a> ByProducts<'a> {
    pub(super) fn new(set: &'a Gram, q: Vec<f64>, t: Vec<f64>) -> Self {
        ByProducts { set, q, t, along: Vec::new() }
    }
}

impl Space for ByProducts<'_> {
    const CHEAP_READS: bool = true;

    fn own(&self, i: usize) -> f64 {
        self.set.row(i)[i]
    }

    fn q(&self, i: usize) -> f64 {
        self.q[i]
    }

    fn t(&self, i: usize) -> f64 {
        self.t[i]
    }

    fn shift(&mut self, i: usize, by: f64) {
        axpy(-by, self.set.row(i), &mut self.q);
    }

    fn raise(&mut self, by: f64) {
        axpy(-by, &self.t, &mut self.q);
    }

    fn join(&mut self, i: usize, sign: f64) {
        axpy(sign, self.set.row(i), &mut self.t);
    }

    fn dissolve(&mut self) {
        self.t.fill(0.0);
    }

    fn newton(
        &mut self,
        free: &[usize],
        wanted: &[f64],
        cluster: Option<Pull>,
        _: f64,
    ) -> Option<(Vec<f64>, f64)> {
        let m = free.len();
        let mut block = Mat::<f64>::zeros(m, m);
        self.set.block(free, block.as_mut());
        let mut solved = Mat::<f64>::zeros(m, 2);
        for (a, i) in free.iter().enumerate() {
            solved[(a, 0)] = wanted[a];
            solved[(a, 1)] = self.t[*i];
        }
        solve_ridged(block.as_mut(), RIDGE, solved.as_mut())?;
        let mut dh = 0.0;
        if let Some(Pull { wanted, tt }) = cluster {
            let (mut pull, mut curvature) = (wanted, tt);
            for (a, i) in free.iter().enumerate() {
                pull -= self.t[*i] * solved[(a, 0)];
                curvature -= self.t[*i] * solved[(a, 1)];
            }
            dh = pull / curvature.max(FLOOR * tt);
        }
        let d: Vec<f64> = (0..m).map(|a| solved[(a, 0)] - dh * solved[(a, 1)]).collect();
        (dh.is_finite() && d.iter().all(|d| d.is_finite())).then_some((d, dh))
    }

    fn aim(&mut self, free: &[usize], d: &[f64]) -> f64 {
        self.along.clear();
        self.along.resize(self.q.len(), 0.0);
        for (i, d) in free.iter().zip(d) {
            axpy(*d, self.set.row(*i), &mut self.along);
        }
        free.iter().zip(d).map(|(i, d)| d * self.along[*i]).sum()
    }

    fn go(&mut self, length: f64) {
        axpy(-length, &self.along, &mut self.q);
    }
}
