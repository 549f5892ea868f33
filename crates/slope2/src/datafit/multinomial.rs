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
        let predictors = self.of_row(eta, i);
        let top = predictors.clone().fold(0.0, f64::max);
        let sum: f64 = predictors.clone().map(|e| (e - top).exp()).sum::<f64>() + (-top).exp();
        let own = predictors.enumerate().find(|(k, _)| self.is_of(i, *k)).map_or(0.0, |(_, e)| e);
        top + sum.ln() - own
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
        for (at, (out, p)) in out.iter_mut().zip(self.probabilities(eta)).enumerate() {
            let (k, i) = (at / n, at % n);
            *out = c * self.weight(i) * (f64::from(self.is_of(i, k)) - p);
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
