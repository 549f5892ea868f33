//! Accelerated proximal gradients: the robust reference.

use super::outer::starting;
use super::{Solver, Start};
use crate::certificate::{Intercept, certify_with_point};
use crate::error::Result;
use crate::penalty::DualNorm;
use crate::problem::{Problem, Report, Solution, Termination};

/// FISTA with backtracking and restarts. The intercept is at its best value for every point.
///
/// # Source
/// Beck and Teboulle 2009, Algorithm "FISTA with backtracking"; restarts by the gradient test of O'Donoghue and Candes 2015.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fista {
    /// Relative duality gap to stop at.
    pub tolerance: f64,
    /// Most iterations.
    pub max_iters: usize,
    /// Iterations between certificates.
    pub check_every: usize,
}

impl Default for Fista {
    fn default() -> Self {
        Fista { tolerance: 1e-8, max_iters: 100_000, check_every: 10 }
    }
}

/// A point with its smooth part.
struct At {
    intercepts: Vec<f64>,
    value: f64,
    gradient: Vec<f64>,
}

impl<P: DualNorm> Solver<P> for Fista {
    fn solve(&self, problem: &Problem<'_, P>, start: &Start) -> Result<Solution> {
        let mut b = starting(problem, start, self.tolerance)?;
        let mut intercepts = start.intercepts.clone();
        intercepts.resize(problem.datafit.n_predictors(), 0.0);
        let mut z = b.clone();
        let (mut momentum, mut step) = (1.0f64, 1.0);
        let mut report = Report { termination: Termination::MaxIters, n_iters: 0 };
        let certified =
            |b0: &[f64], b: &[f64]| certify_with_point(problem, Intercept::Fixed(b0), b);
        let (mut certificate, mut point) = certified(&intercepts, &b)?;
        for iter in 1..=self.max_iters {
            report.n_iters = iter;
            let at = smooth(problem, &z, &intercepts);
            if let Some(j) = at.gradient.iter().position(|g| !g.is_finite()) {
                return Err(problem.design.find_bad_entry().unwrap_or_else(|| {
                    let (name, place) = ("gradient", format!("column {j}"));
                    let (must, got) = ("finite", at.gradient[j]);
                    crate::Error::InvalidEntry { name, place, must, got }
                }));
            }
            let (next, next_intercepts) = loop {
                let mut next: Vec<f64> =
                    z.iter().zip(&at.gradient).map(|(z, g)| z + step * g).collect();
                problem.penalty.prox(&mut next, step)?;
                let value = smooth_value(problem, &next, &at.intercepts);
                let (mut linear, mut square) = (0.0, 0.0);
                for ((next, z), g) in next.iter().zip(&z).zip(&at.gradient) {
                    let d = next - z;
                    linear += g * d;
                    square += d * d;
                }
                // Differences of objectives say nothing about moves that change them by less than their rounding.
                let visible = 1e-9 * at.value.abs() < square / (2.0 * step);
                let bound = at.value - linear + square / (2.0 * step);
                if value.0 <= bound || !visible {
                    step *= if visible { 1.02 } else { 1.0 };
                    break (next, value.1);
                }
                step *= 0.5;
            };
            // Against the momentum: start over.
            let against: f64 =
                z.iter().zip(&next).zip(&b).map(|((z, next), b)| (z - next) * (next - b)).sum();
            let after = if 0.0 < against {
                momentum = 1.0;
                1.0
            } else {
                0.5 * (1.0 + (1.0 + 4.0 * momentum * momentum).sqrt())
            };
            let factor = (momentum - 1.0) / after;
            z = next.iter().zip(&b).map(|(next, b)| next + factor * (next - b)).collect();
            momentum = after;
            b = next;
            intercepts = next_intercepts;
            if iter % self.check_every.max(1) == 0 || iter == self.max_iters {
                (certificate, point) = certified(&intercepts, &b)?;
                if certificate.holds(self.tolerance) {
                    report.termination = Termination::GapReached;
                    break;
                }
            }
        }
        Ok(Solution { intercepts, coefficients: b, loss: point.loss, certificate, report })
    }
}

/// `F` at its best intercept.
fn smooth_value<P>(problem: &Problem<'_, P>, b: &[f64], start: &[f64]) -> (f64, Vec<f64>) {
    let mut eta = vec![0.0; problem.design.n_rows()];
    problem.design.apply(b, &mut eta);
    let intercepts = problem.best_intercepts(&eta, start);
    problem.add_intercepts(&intercepts, &mut eta);
    (problem.datafit.value(&eta), intercepts)
}

/// `F` and minus its gradient at its best intercept.
fn smooth<P>(problem: &Problem<'_, P>, b: &[f64], start: &[f64]) -> At {
    let mut eta = vec![0.0; problem.design.n_rows()];
    problem.design.apply(b, &mut eta);
    let intercepts = problem.best_intercepts(&eta, start);
    problem.add_intercepts(&intercepts, &mut eta);
    let mut pull = vec![0.0; eta.len()];
    problem.datafit.pull(&eta, &mut pull);
    let mut gradient = vec![0.0; b.len()];
    problem.design.adjoint(&pull, &mut gradient);
    At { intercepts, value: problem.datafit.value(&eta), gradient }
}
