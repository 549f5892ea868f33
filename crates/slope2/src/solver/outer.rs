//! The loop that all solvers with columns share: certificate, model, step, and the fall of the objective.

use super::Start;
use super::model::Model;
use super::moments::Moments;
use super::session::Session;
use super::source::Source;
use crate::certificate::{
    Certificate, Intercept, Point, certificate_at, certificate_of_moments, certify_with_point,
};
use crate::error::{Error, Result, entries, length, number};
use crate::penalty::{DualNorm, Shape};
use crate::problem::{Problem, Report, Solution, Termination};

/// Coefficients and the way to improve them on a weighted least-squares problem.
pub(super) trait Method<P> {
    /// The coefficients.
    fn coefficients(&self) -> &[f64];
    /// Goes on from these coefficients.
    fn restart(&mut self, penalty: &P, b: Vec<f64>);
    /// The weights of the model have changed: inner products no longer hold.
    fn forget(&mut self);
    /// Improves the coefficients on the problem of `source`, whose gradient is given; `gap` is the relative duality gap.
    fn step(&mut self, penalty: &P, source: &Source<'_>, gradient: &[f64], gap: f64);
}

/// Outer steps without a smaller gap that end a solve.
const PATIENCE: usize = 30;
/// Halvings of a step that did not lower the objective.
const HALVINGS: usize = 30;

/// Second moments cost about one product with the design for this many columns. They are computed within a solve once four
/// times that was spent, and between two solves once half of it was: more are to come.
const COLUMNS_PER_PRODUCT: usize = 32;
/// Most columns whose second moments are kept.
const MOST_MOMENTS: usize = 4096;

/// A method at work, with what lasts over several penalties.
pub(super) struct Descent<'a, P, M> {
    problem: Problem<'a, P>,
    max_iters: usize,
    tolerance: f64,
    method: M,
    /// Of the coefficients that the method has.
    point: Option<Point>,
    intercepts: Vec<f64>,
    n_iters: usize,
    /// Products with the whole design so far.
    n_products: usize,
    /// The model of a Gaussian response, which does not change.
    model: Option<Model>,
    moments: Option<Moments>,
    /// Whether the moments may be trusted and are worth it.
    may_use_moments: bool,
}

impl<P: Shape, M: Method<P>> Session<P> for Descent<'_, P, M> {
    /// Without coefficients to start from, and with fewer rows than columns, the penalty first falls from where all
    /// coefficients are zero.
    fn solve(&mut self, penalty: &P, start: &Start) -> Result<Solution> {
        self.problem.penalty = penalty.clone();
        let b = starting(&self.problem, start, self.tolerance)?;
        if !self.problem.design.has_columns() {
            return Err(Error::NeedsColumns);
        }
        self.n_iters = 0;
        if self.point.is_none() || b != self.method.coefficients() {
            self.intercepts.clone_from(&start.intercepts);
            self.point = None;
        }
        self.method.restart(penalty, b);
        if 0 < self.n_products {
            self.use_moments(1);
        }
        if start.coefficients.is_empty() && self.problem.design.n_rows() < penalty.len() {
            self.continue_from_zero()?;
        }
        self.problem.penalty = penalty.clone();
        self.descend(self.tolerance)
    }
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
    let free = p + problem.datafit.n_predictors() * usize::from(problem.intercept);
    if problem.datafit.n_etas() < free && !problem.penalty.dual_norm(&vec![1.0; p]).is_finite() {
        return Err(Error::NotUnique { n: problem.design.n_rows(), p });
    }
    if start.coefficients.is_empty() {
        return Ok(vec![0.0; p]);
    }
    length("starting coefficients", p, start.coefficients.len())?;
    entries("starting coefficients", "finite", &start.coefficients, f64::is_finite)?;
    Ok(start.coefficients.clone())
}

impl<'a, P: Shape, M: Method<P>> Descent<'a, P, M> {
    /// With at most so many steps for each penalty, down to this relative gap.
    pub(super) fn new(
        problem: &Problem<'a, P>,
        (max_iters, tolerance): (usize, f64),
        method: M,
    ) -> Self {
        let (n, p) = (problem.design.n_rows(), problem.design.n_cols());
        let is_quadratic = problem.datafit.loss().is_quadratic();
        Descent {
            problem: problem.clone(),
            max_iters,
            tolerance,
            method,
            point: None,
            intercepts: Vec::new(),
            n_iters: 0,
            n_products: 0,
            model: None,
            moments: None,
            may_use_moments: is_quadratic && p < n && p <= MOST_MOMENTS,
        }
    }

    fn is_quadratic(&self) -> bool {
        self.problem.datafit.loss().is_quadratic()
    }

    /// From the penalty at which all is zero down to the problem's own, halving it with a loose gap.
    fn continue_from_zero(&mut self) -> Result<()> {
        let target = self.problem.penalty.clone();
        let (_, point) = self.here()?;
        let mut ratio = target.dual_norm(&point.gradient);
        self.point = Some(point);
        while ratio.is_finite() && 4.0 < ratio {
            ratio *= 0.5;
            self.problem.penalty = target.scaled(ratio)?;
            self.descend(1e-2)?;
        }
        Ok(())
    }

    /// Steps until the gap is at most `tolerance`, or nothing improves. Returns the best that was seen.
    fn descend(&mut self, tolerance: f64) -> Result<Solution> {
        let mut termination = Termination::MaxIters;
        let quadratic = self.is_quadratic();
        let mut waited = 0;
        let mut last_gap = 1.0f64;
        let mut at = self.here()?;
        if !at.0.primal.is_finite() {
            // A start from which nothing can be computed.
            self.method.restart(&self.problem.penalty, vec![0.0; self.problem.penalty.len()]);
            at = self.evaluate()?;
        }
        let mut best = self.record(&at);
        for iter in 0..=self.max_iters {
            let (certificate, point) = &at;
            if certificate.holds(tolerance) {
                termination = Termination::GapReached;
                break;
            }
            if iter == self.max_iters {
                break;
            }
            if self.moments.is_some()
                && tolerance * certificate.primal.abs() < 10.0 * point.rounding
            {
                // Too small for the moments: from here on with the columns.
                (self.moments, self.may_use_moments) = (None, false);
                at = self.evaluate()?;
                best = self.record(&at);
                continue;
            }
            if PATIENCE < waited {
                termination = Termination::Stalled;
                break;
            }
            last_gap = certificate.relative_gap().min(1.0).min(2.0 * last_gap);
            if quadratic {
                self.step(&at.1, last_gap);
            } else {
                self.method.forget();
                let before = self.method.coefficients().to_vec();
                let primal = certificate.primal;
                self.step(&at.1, last_gap);
                self.damp(before, primal);
            }
            if self.method.coefficients().iter().any(|b| !b.is_finite()) {
                self.method.restart(&self.problem.penalty, best.3.clone());
                termination = Termination::Stalled;
                at = self.evaluate()?;
                break;
            }
            at = self.evaluate()?;
            waited += 1;
            if at.0.gap() < best.0.gap() {
                best = self.record(&at);
                waited = 0;
            }
        }
        self.point = Some(at.1);
        let (certificate, intercepts, loss, coefficients) = best;
        let report = Report { termination, n_iters: self.n_iters };
        Ok(Solution { intercepts, coefficients, loss, certificate, report })
    }

    /// What a solution is made of.
    fn record(&self, at: &(Certificate, Point)) -> (Certificate, Vec<f64>, f64, Vec<f64>) {
        let (certificate, point) = at;
        let b = self.method.coefficients().to_vec();
        (*certificate, point.intercepts.clone(), point.loss, b)
    }

    fn step(&mut self, point: &Point, gap: f64) {
        let Problem { design, datafit, .. } = &self.problem;
        if let Some(moments) = &self.moments {
            let source = Source::Moments(moments);
            return self.method.step(&self.problem.penalty, &source, &point.gradient, gap);
        }
        let kept = self.model.take();
        let model = kept.unwrap_or_else(|| Model::at(datafit, &point.eta, self.problem.intercept));
        let source = Source::Columns { design, model: &model, pull: &point.pull };
        self.method.step(&self.problem.penalty, &source, &point.gradient, gap);
        if self.is_quadratic() {
            self.model = Some(model);
        }
    }

    /// The certificate of the coefficients; without products where they are where they were.
    fn here(&mut self) -> Result<(Certificate, Point)> {
        let Some(mut point) = self.point.take() else { return self.evaluate() };
        self.n_iters += 1;
        let b = self.method.coefficients();
        let Some(moments) = &self.moments else {
            return Ok((certificate_at(&self.problem, &point, b), point));
        };
        let (penalty, moments) = (&self.problem.penalty, moments.certified());
        let (certificate, _, rounding) =
            certificate_of_moments(penalty, &moments, b, &point.gradient);
        point.rounding = rounding;
        Ok((certificate, point))
    }

    /// The certificate of the coefficients, over all features.
    fn evaluate(&mut self) -> Result<(Certificate, Point)> {
        self.n_iters += 1;
        self.use_moments(8);
        let b = self.method.coefficients();
        if let Some(moments) = &self.moments {
            let gradient = moments.gradient(b);
            let penalty = &self.problem.penalty;
            let (certificate, loss, rounding) =
                certificate_of_moments(penalty, &moments.certified(), b, &gradient);
            self.intercepts = vec![moments.intercept(b)];
            let intercepts = self.intercepts.clone();
            let point = Point { intercepts, gradient, loss, rounding, ..Point::default() };
            return Ok((certificate, point));
        }
        self.n_products += 1;
        let (certificate, point) =
            certify_with_point(&self.problem, Intercept::Best(&self.intercepts), b)?;
        self.intercepts.clone_from(&point.intercepts);
        match point.gradient.iter().position(|g| !g.is_finite()) {
            None => Ok((certificate, point)),
            Some(j) => Err(self.problem.design.find_bad_entry().unwrap_or(Error::InvalidEntry {
                name: "gradient",
                place: format!("column {j}"),
                must: "finite",
                got: point.gradient[j],
            })),
        }
    }

    /// Computes the second moments once they have paid for themselves.
    fn use_moments(&mut self, halves: usize) {
        let p = self.problem.design.n_cols();
        let enough = (halves * p / (2 * COLUMNS_PER_PRODUCT)).max(2);
        if self.may_use_moments && self.moments.is_none() && enough <= self.n_products {
            let model = self.model.get_or_insert_with(|| {
                let zeros = vec![0.0; self.problem.design.n_rows()];
                Model::at(&self.problem.datafit, &zeros, self.problem.intercept)
            });
            self.moments = Some(Moments::of(&self.problem, model));
        }
    }

    /// Goes back toward the coefficients before until the objective has fallen. The model is not the objective here.
    fn damp(&mut self, before: Vec<f64>, primal: f64) {
        let Problem { design, datafit, penalty, .. } = &self.problem;
        let full = self.method.coefficients().to_vec();
        let mut length = 1.0f64;
        for _ in 0..HALVINGS {
            let b = self.method.coefficients();
            let mut eta = vec![0.0; design.n_rows()];
            design.apply(b, &mut eta);
            let b0 = self.problem.best_intercepts(&eta, &self.intercepts);
            self.problem.add_intercepts(&b0, &mut eta);
            if datafit.value(&eta) + penalty.value(b) <= primal + 1e-14 * primal.abs() {
                return;
            }
            length *= 0.5;
            let mixed = before.iter().zip(&full).map(|(b, f)| b + length * (f - b)).collect();
            self.method.restart(penalty, mixed);
        }
        self.method.restart(penalty, before);
    }
}
