//! The best intercepts for given predictors.

use faer::linalg::solvers::Solve;
use faer::{Mat, Side};

use super::{Datafit, Family, Loss};

/// Most steps of Newton's method.
const MOST_STEPS: usize = 200;
/// Most halvings of a step.
const HALVINGS: usize = 40;

impl Datafit<'_> {
    /// The constants that, added to every `eta_i` of each predictor, make `F` smallest: Newton's method from `start`, where
    /// missing values count as 0. Infinite where more is always better, as for a response of one class.
    #[must_use]
    pub fn intercepts(&self, eta: &[f64], start: &[f64]) -> Vec<f64> {
        let first = start.first().copied().filter(|b| b.is_finite()).unwrap_or(0.0);
        match self.loss {
            Loss::Of(family) => vec![self.single(family, eta, first)],
            Loss::Multinomial { n_classes } => self.of_classes(n_classes, eta, start),
        }
    }

    /// One intercept, kept inside a bracket.
    fn single(&self, family: &dyn Family, eta: &[f64], start: f64) -> f64 {
        let (total, weighted) = self.totals();
        if let Some(end) = family.saturated(weighted / total) {
            return end;
        }
        let slope = |b: f64| -> (f64, f64) {
            eta.iter().zip(self.y).enumerate().fold((0.0, 0.0), |(g, h), (i, (eta, y))| {
                let w = self.weight(i);
                let at = eta + b;
                (g + w * (y - family.mean(at)), h + w * family.curvature(at))
            })
        };
        // Where the curvature changes, a step from far away may be huge; where it does not, the first one is exact.
        let far = if self.loss.is_quadratic() { f64::INFINITY } else { 10.0 };
        let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
        let mut b = start;
        for _ in 0..MOST_STEPS {
            let (g, h) = slope(b);
            if g == 0.0 {
                break;
            }
            if 0.0 < g {
                low = b;
            } else {
                high = b;
            }
            let newton = b + g / h;
            let next = if newton.is_finite() && low < newton && newton < high {
                newton.clamp(b - far, b + far)
            } else if low.is_finite() && high.is_finite() {
                0.5 * (low + high)
            } else {
                b + 2.0f64.copysign(g)
            };
            if next == b || (next - b).abs() <= 1e-15 * (1.0 + b.abs()) {
                b = next;
                break;
            }
            b = next;
        }
        b
    }

    /// Sum of the weights, and of the weighted responses.
    fn totals(&self) -> (f64, f64) {
        let sums = self.y.iter().enumerate();
        sums.fold((0.0, 0.0), |(w, wy), (i, y)| (w + self.weight(i), wy + self.weight(i) * y))
    }

    fn of_classes(&self, n_classes: usize, eta: &[f64], start: &[f64]) -> Vec<f64> {
        let (n, q) = (self.y.len(), n_classes - 1);
        let of_class = |k: usize| -> f64 {
            (0..n).filter(|i| self.y[*i] == k as f64).map(|i| self.weight(i)).sum()
        };
        if of_class(q) <= 0.0 {
            return vec![f64::INFINITY; q];
        }
        let missing: Vec<bool> = (0..q).map(|k| of_class(k) <= 0.0).collect();
        if missing.contains(&true) {
            return missing.iter().map(|m| if *m { f64::NEG_INFINITY } else { 0.0 }).collect();
        }
        let mut b = vec![0.0; q];
        b.iter_mut().zip(start).filter(|(_, s)| s.is_finite()).for_each(|(b, s)| *b = *s);
        let shifted = |b: &[f64]| -> Vec<f64> {
            eta.iter().enumerate().map(|(at, e)| e + b[at / n]).collect()
        };
        let mut at = shifted(&b);
        let mut value = self.value(&at);
        for _ in 0..MOST_STEPS {
            let Some(step) = self.newton(q, &at) else { break };
            // A step from far away may be huge.
            let longest = step.iter().fold(0.0f64, |top, d| top.max(d.abs()));
            let mut length = if 10.0 < longest { 10.0 / longest } else { 1.0 };
            let mut next = (b.clone(), at.clone(), value);
            for _ in 0..HALVINGS {
                let moved: Vec<f64> = b.iter().zip(&step).map(|(b, d)| b + length * d).collect();
                let there = shifted(&moved);
                let found = self.value(&there);
                // A short step is Newton's, whatever rounding makes of the values.
                if found <= value || longest <= 1e-4 {
                    next = (moved, there, found);
                    break;
                }
                length *= 0.5;
            }
            let largest = b.iter().fold(0.0f64, |top, b| top.max(b.abs()));
            (b, at, value) = next;
            if longest <= 1e-15 * (1.0 + largest) {
                break;
            }
        }
        b
    }

    /// Newton's step of the intercepts; none where it is nothing or cannot be had.
    fn newton(&self, q: usize, eta: &[f64]) -> Option<Vec<f64>> {
        let n = self.y.len();
        let p = self.probabilities(eta);
        let mut pull = vec![0.0; eta.len()];
        self.pull(eta, &mut pull);
        let mut rhs = Mat::<f64>::zeros(q, 1);
        let mut curvature = Mat::<f64>::zeros(q, q);
        let c = self.factor();
        for k in 0..q {
            rhs[(k, 0)] = pull[k * n..(k + 1) * n].iter().sum();
            for l in 0..=k {
                let sum: f64 = (0..n)
                    .map(|i| {
                        let own = if k == l { p[k * n + i] } else { 0.0 };
                        c * self.weight(i) * (own - p[k * n + i] * p[l * n + i])
                    })
                    .sum();
                (curvature[(k, l)], curvature[(l, k)]) = (sum, sum);
            }
        }
        if (0..q).all(|k| rhs[(k, 0)] == 0.0) {
            return None;
        }
        let factor = curvature.llt(Side::Lower).ok()?;
        let step = factor.solve(&rhs);
        let step: Vec<f64> = (0..q).map(|k| step[(k, 0)]).collect();
        step.iter().all(|d| d.is_finite()).then_some(step)
    }
}
