//! The loop that all solvers with columns share: certificate, model, step, and the fall of the objective.

use super::Start;
use super::model::Model;
use crate::certificate::{Certificate, Intercept, Point, certify_with_point};
use crate::error::{Error, Result, entries, length, number};
use crate::penalty::{DualNorm, Shape};
use crate::problem::{Problem, Report, Solution, Termination};

/// Coefficients and the way to improve them on a weighted least-squares model.
pub(super) trait Method<P> {
    /// The coefficients.
    fn coefficients(&self) -> &[f64];
    /// Goes on from these coefficients.
    fn restart(&mut self, penalty: &P, b: Vec<f64>);
    /// The weights of the model have changed: inner products no longer hold.
    fn forget(&mut self);
    /// Improves the coefficients on the model around `point`, whose relative duality gap is `gap`.
    fn step(&mut self, problem: &Problem<'_, P>, model: &Model, point: &Point, gap: f64);
}

/// Outer steps without a smaller gap that end a solve.
const PATIENCE: usize = 30;
/// Halvings of a step that did not lower the objective.
const HALVINGS: usize = 30;

/// What lasts over several penalties.
#[derive(Clone, Copy, Debug)]
struct Outer {
    max_iters: usize,
    intercept: f64,
    n_iters: usize,
}

/// Solves with the method that `method` makes for the coefficients to start from. Without any, and with fewer rows than
/// columns, the penalty first falls from where all coefficients are zero.
pub(super) fn solve<P: Shape, M: Method<P>>(
    problem: &Problem<'_, P>,
    start: &Start,
    (max_iters, tolerance): (usize, f64),
    method: impl FnOnce(Vec<f64>) -> M,
) -> Result<Solution> {
    let b = starting(problem, start, tolerance)?;
    if !problem.design.has_columns() {
        return Err(Error::NeedsColumns);
    }
    let cold = start.coefficients.is_empty() && problem.design.n_rows() < b.len();
    let mut method = method(b);
    let mut outer = Outer { max_iters, intercept: start.intercept, n_iters: 0 };
    if cold {
        outer.continue_from_zero(problem, &mut method)?;
    }
    outer.solve(problem, &mut method, tolerance)
}

/// Checks what each solver needs, and returns the coefficients to start from.
pub(super) fn starting<P: DualNorm>(
    problem: &Problem<'_, P>,
    start: &Start,
    tolerance: f64,
) -> Result<Vec<f64>> {
    let holds = tolerance.is_finite() && 0.0 <= tolerance;
    number("tolerance", "finite and not negative", holds, tolerance)?;
    problem.check()?;
    let p = problem.design.n_cols();
    if start.coefficients.is_empty() {
        return Ok(vec![0.0; p]);
    }
    length("starting coefficients", p, start.coefficients.len())?;
    entries("starting coefficients", "finite", &start.coefficients, f64::is_finite)?;
    Ok(start.coefficients.clone())
}

impl Outer {
    /// From the penalty at which all is zero down to the problem's own, halving it with a loose gap.
    fn continue_from_zero<P: Shape>(
        &mut self,
        problem: &Problem<'_, P>,
        method: &mut impl Method<P>,
    ) -> Result<()> {
        let mut ratio = problem.alpha_max();
        while ratio.is_finite() && 4.0 < ratio {
            ratio *= 0.5;
            let penalty = problem.penalty.scaled(ratio)?;
            let Problem { design, datafit, intercept, .. } = *problem;
            let looser = Problem { design, datafit, penalty, intercept };
            self.solve(&looser, method, 1e-2)?;
        }
        Ok(())
    }

    /// Steps until the gap is at most `tolerance`, or nothing improves. Returns the best that was seen.
    fn solve<P: DualNorm>(
        &mut self,
        problem: &Problem<'_, P>,
        method: &mut impl Method<P>,
        tolerance: f64,
    ) -> Result<Solution> {
        let mut termination = Termination::MaxIters;
        let quadratic = problem.datafit.family().name() == "gaussian";
        let mut model: Option<Model> = None;
        let mut waited = 0;
        let mut last_gap = 1.0f64;
        let (first, point) = self.certify(problem, method.coefficients())?;
        let mut best = (first, point.intercept, method.coefficients().to_vec());
        let mut at = (first, point);
        for _ in 0..self.max_iters {
            let (certificate, point) = &at;
            if certificate.holds(tolerance) {
                termination = Termination::GapReached;
                break;
            }
            if PATIENCE < waited {
                termination = Termination::Stalled;
                break;
            }
            last_gap = certificate.relative_gap().min(1.0).min(2.0 * last_gap);
            if !quadratic {
                method.forget();
                model = None;
            }
            let model = model
                .get_or_insert_with(|| Model::at(&problem.datafit, &point.eta, problem.intercept));
            let before = (!quadratic).then(|| method.coefficients().to_vec());
            method.step(problem, model, point, last_gap);
            if let Some(before) = before {
                self.damp(problem, method, before, certificate.primal);
            }
            at = self.certify(problem, method.coefficients())?;
            waited += 1;
            if at.0.gap() < best.0.gap() {
                best = (at.0, self.intercept, method.coefficients().to_vec());
                waited = 0;
            }
        }
        let (certificate, intercept, coefficients) = best;
        let report = Report { termination, n_iters: self.n_iters };
        Ok(Solution { intercept, coefficients, certificate, report })
    }

    fn certify<P: DualNorm>(
        &mut self,
        problem: &Problem<'_, P>,
        b: &[f64],
    ) -> Result<(Certificate, Point)> {
        let (certificate, point) = certify_with_point(problem, Intercept::Best(self.intercept), b)?;
        self.n_iters += 1;
        self.intercept = point.intercept;
        match point.gradient.iter().position(|g| !g.is_finite()) {
            None => Ok((certificate, point)),
            Some(j) => Err(problem.design.find_bad_entry().unwrap_or(Error::InvalidEntry {
                name: "gradient",
                place: format!("column {j}"),
                must: "finite",
                got: point.gradient[j],
            })),
        }
    }

    /// Goes back toward the coefficients before until the objective has fallen. The model is not the objective here.
    fn damp<P: DualNorm>(
        &self,
        problem: &Problem<'_, P>,
        method: &mut impl Method<P>,
        before: Vec<f64>,
        primal: f64,
    ) {
        let full = method.coefficients().to_vec();
        let mut length = 1.0f64;
        for _ in 0..HALVINGS {
            let b = method.coefficients();
            let mut eta = vec![0.0; problem.design.n_rows()];
            problem.design.apply(b, &mut eta);
            let datafit = &problem.datafit;
            let b0 = if problem.intercept { datafit.intercept(&eta, self.intercept) } else { 0.0 };
            eta.iter_mut().for_each(|e| *e += b0);
            if datafit.value(&eta) + problem.penalty.value(b) <= primal * (1.0 + 1e-14) {
                return;
            }
            length *= 0.5;
            let mixed = before.iter().zip(&full).map(|(b, f)| b + length * (f - b)).collect();
            method.restart(&problem.penalty, mixed);
        }
        method.restart(&problem.penalty, before);
    }
}
