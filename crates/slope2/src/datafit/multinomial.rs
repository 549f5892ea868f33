//! The multinomial loss: one linear predictor for each class but the last.

use super::Datafit;
use super::family::entropy;

impl Datafit<'_> {
    /// The predictors of an observation.
    fn of_row<'e>(&self, eta: &'e [f64], i: usize) -> impl Iterator<Item = f64> + Clone + 'e {
        let n = self.y.len();
        eta.iter().skip(i).step_by(n).copied()
    }

    /// Whether observation `i` is of class `k`.
    fn is_of(&self, i: usize, k: usize) -> bool {
        self.y[i] == k as f64
    }

    pub(super) fn class_loss(&self, eta: &[f64], i: usize) -> f64 {
        // Relative to the class of the row, so that a small loss keeps its digits.
        let mut own = 0.0;
        let mut is_last = true;
        for (k, e) in self.of_row(eta, i).enumerate() {
            if self.is_of(i, k) {
                (own, is_last) = (e, false);
            }
        }
        let others = || {
            let predictors = self.of_row(eta, i).enumerate();
            let last = (!is_last).then_some(-own);
            predictors.filter(|(k, _)| !self.is_of(i, *k)).map(|(_, e)| e - own).chain(last)
        };
        let top = others().fold(0.0, f64::max);
        let sum: f64 = others().map(|d| (d - top).exp()).sum();
        if top == 0.0 { sum.ln_1p() } else { top + (sum + (-top).exp()).ln() }
    }

    /// The probabilities of all classes but the last, laid out as `eta` is.
    pub(crate) fn probabilities(&self, eta: &[f64]) -> Vec<f64> {
        let n = self.y.len();
        let mut out = vec![0.0; eta.len()];
        for i in 0..n {
            let predictors = self.of_row(eta, i);
            let top = predictors.clone().fold(0.0, f64::max);
            let sum: f64 = predictors.clone().map(|e| (e - top).exp()).sum::<f64>() + (-top).exp();
            for (k, e) in predictors.enumerate() {
                out[k * n + i] = (e - top).exp() / sum;
            }
        }
        out
    }

    pub(super) fn class_pull(&self, eta: &[f64], out: &mut [f64]) {
        let (c, n) = (self.factor(), self.y.len());
        let p = self.probabilities(eta);
        // The rest of one, from the others: a small rest keeps its digits.
        let last = |i: usize| {
            let predictors = self.of_row(eta, i);
            let top = predictors.clone().fold(0.0, f64::max);
            let sum: f64 = predictors.map(|e| (e - top).exp()).sum::<f64>() + (-top).exp();
            (-top).exp() / sum
        };
        for (at, out) in out.iter_mut().enumerate() {
            let (k, i) = (at / n, at % n);
            let residual = if self.is_of(i, k) {
                let others = (0..p.len() / n).filter(|other| *other != k);
                others.map(|other| p[other * n + i]).sum::<f64>() + last(i)
            } else {
                -p[at]
            };
            *out = c * self.weight(i) * residual;
        }
    }

    pub(super) fn class_curvature(&self, eta: &[f64], out: &mut [f64]) {
        let (c, n) = (self.factor(), self.y.len());
        for (at, (out, p)) in out.iter_mut().zip(self.probabilities(eta)).enumerate() {
            *out = c * self.weight(at % n) * p * (1.0 - p);
        }
    }

    /// `-(sum_k u_k log u_k)` over all classes, `u = y - theta`.
    pub(super) fn class_dual(&self, theta: &[f64], i: usize) -> f64 {
        let (mut sum, mut rest) = (0.0, 1.0);
        for (k, theta) in self.of_row(theta, i).enumerate() {
            let u = f64::from(self.is_of(i, k)) - theta;
            if u < 0.0 {
                return f64::NEG_INFINITY;
            }
            rest -= u;
            sum += entropy(u);
        }
        // Below zero by rounding alone: the probabilities of a row add up to one.
        if rest < -1e-12 { f64::NEG_INFINITY } else { -(sum + entropy(rest.max(0.0))) }
    }
}
