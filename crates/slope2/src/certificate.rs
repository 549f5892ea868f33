//! What is proven about a solution. Knows no solver, and no solver can change it: everything is computed from the
//! coefficients alone, over all features.

use crate::error::{Result, length};
use crate::penalty::DualNorm;
use crate::problem::Problem;

/// Primal and dual objective of a solution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Certificate {
    /// `P(b0, b)`.
    pub primal: f64,
    /// A lower bound of the smallest objective.
    pub dual: f64,
    /// `J*(c X' w (y - mu))`; at most 1 at an optimum.
    pub dual_norm: f64,
}

impl Certificate {
    /// How far the objective is from the smallest at most.
    #[must_use]
    pub fn gap(&self) -> f64 {
        self.primal - self.dual
    }

    /// The gap over the magnitude of the objective; 0 where both are.
    #[must_use]
    pub fn relative_gap(&self) -> f64 {
        if self.gap() == 0.0 { 0.0 } else { self.gap() / self.primal.abs() }
    }

    /// Whether `gap <= tolerance |P|`.
    #[must_use]
    pub fn holds(&self, tolerance: f64) -> bool {
        self.gap() <= tolerance * self.primal.abs()
    }
}

/// Everything at one point that the dual needs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Point {
    /// The intercepts of the primal objective.
    pub(crate) intercepts: Vec<f64>,
    /// `b0 + X b`.
    pub(crate) eta: Vec<f64>,
    /// `c w (y - mu)` at the best intercept.
    pub(crate) pull: Vec<f64>,
    /// `X' pull`.
    pub(crate) gradient: Vec<f64>,
    /// `F(b0 + X b)`.
    pub(crate) loss: f64,
    /// What rounding may have added to the gap, where the certificate is that of second moments; part of it already.
    pub(crate) rounding: f64,
}

/// What the certificate of a Gaussian problem needs of the response if columns and response are known by their second
/// moments.
pub(crate) struct Moments<'a> {
    /// `X' Omega y`.
    pub(crate) xy: &'a [f64],
    /// `y' Omega y`.
    pub(crate) yy: f64,
    /// Norms of the columns as they are stored.
    pub(crate) x_size: &'a [f64],
    /// The norm of the response before it is centered.
    pub(crate) y_size: f64,
    /// Rounding of an inner product relative to the two norms.
    pub(crate) rounding: f64,
}

/// Certifies `(intercepts, coefficients)`, with one intercept for each linear predictor.
///
/// The dual point is the residual, shrunk until it is feasible. With an intercept the residual is that of the best
/// intercept for these coefficients, since only that one is feasible.
///
/// # Errors
/// [`crate::Error::Length`] if the coefficients do not fit.
///
/// # Source
/// Derived from Fenchel duality; the scaling as in arXiv 1802.07481, section 2.
pub fn certify<P: DualNorm>(
    problem: &Problem<'_, P>,
    intercepts: &[f64],
    coefficients: &[f64],
) -> Result<Certificate> {
    Ok(certify_with_point(problem, Intercept::Fixed(intercepts), coefficients)?.0)
}

/// The intercepts of the primal objective.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Intercept<'a> {
    /// These.
    Fixed(&'a [f64]),
    /// The best for the coefficients, searched from here; zeros if the problem has none.
    Best(&'a [f64]),
}

pub(crate) fn certify_with_point<P: DualNorm>(
    problem: &Problem<'_, P>,
    intercept: Intercept<'_>,
    coefficients: &[f64],
) -> Result<(Certificate, Point)> {
    let Problem { design, datafit, .. } = problem;
    length("coefficients", design.n_cols(), coefficients.len())?;
    let mut eta = vec![0.0; design.n_rows()];
    design.apply(coefficients, &mut eta);
    let (Intercept::Fixed(start) | Intercept::Best(start)) = intercept;
    let best = problem.best_intercepts(&eta, start);
    let intercepts = if matches!(intercept, Intercept::Fixed(_)) {
        length("intercepts", best.len(), start.len())?;
        start.to_vec()
    } else {
        best.clone()
    };
    let mut pull = vec![0.0; eta.len()];
    problem.add_intercepts(&best, &mut eta);
    datafit.pull(&eta, &mut pull);
    if intercepts != best {
        let change: Vec<f64> = intercepts.iter().zip(&best).map(|(to, from)| to - from).collect();
        problem.add_intercepts(&change, &mut eta);
    }
    let mut gradient = vec![0.0; coefficients.len()];
    design.adjoint(&pull, &mut gradient);
    let loss = datafit.value(&eta);
    let point = Point { intercepts, eta, pull, gradient, loss, rounding: 0.0 };
    Ok((certificate_at(problem, &point, coefficients), point))
}

/// The certificate of coefficients of which everything but the penalty is known. Needs no product with the design.
pub(crate) fn certificate_at<P: DualNorm>(
    problem: &Problem<'_, P>,
    point: &Point,
    coefficients: &[f64],
) -> Certificate {
    let primal = point.loss + problem.penalty.value(coefficients);
    let dual_norm = problem.penalty.dual_norm(&point.gradient);
    let dual = dual_value(problem, &point.pull, dual_norm);
    Certificate { primal, dual, dual_norm }
}

/// The certificate of coefficients of a Gaussian problem from second moments, its loss, and what of the gap is a bound on
/// rounding: a lower bound of the objective whatever the moments were rounded to.
pub(crate) fn certificate_of_moments<P: DualNorm>(
    penalty: &P,
    moments: &Moments<'_>,
    coefficients: &[f64],
    gradient: &[f64],
) -> (Certificate, f64, f64) {
    let (mut along, mut square) = (moments.yy, moments.yy);
    let mut size = moments.y_size;
    for (j, b) in coefficients.iter().enumerate() {
        along -= b * moments.xy[j];
        square -= b * (moments.xy[j] + gradient[j]);
        size += b.abs() * moments.x_size[j];
    }
    let square = square.max(0.0);
    let loss = 0.5 * square;
    let primal = loss + penalty.value(coefficients);
    // An entry of the gradient is off by at most `rounding * size` times the norm of its column.
    let own = penalty.dual_norm(gradient);
    let dual_norm = own + moments.rounding * size * penalty.dual_norm(moments.x_size);
    let dual = parabola(along, square, dual_norm) - 2.0 * moments.rounding * size * size;
    let rounding = parabola(along, square, own) - dual;
    (Certificate { primal, dual, dual_norm: own }, loss, rounding)
}

/// The largest value of `t along - t^2 square / 2` for multiples `t` that are feasible.
fn parabola(along: f64, square: f64, dual_norm: f64) -> f64 {
    if dual_norm.is_nan() || square.is_nan() || along.is_nan() {
        return f64::NAN;
    }
    let limit = if dual_norm == 0.0 { f64::INFINITY } else { 1.0 / dual_norm };
    let t = if square == 0.0 { 0.0 } else { (along / square).clamp(-limit, limit) };
    t * along - 0.5 * t * t * square
}

/// The largest dual value that scaling the residual gives.
fn dual_value<P: DualNorm>(problem: &Problem<'_, P>, pull: &[f64], dual_norm: f64) -> f64 {
    let datafit = &problem.datafit;
    let c = datafit.factor();
    let n = datafit.y().len();
    let w = |at: usize| datafit.weights().map_or(1.0, |w| w[at % n]);
    // theta_i = y_i - mu_i; where an observation has no weight, it has no part in the dual either.
    let theta: Vec<f64> = pull
        .iter()
        .enumerate()
        .map(|(i, pull)| if w(i) == 0.0 { 0.0 } else { pull / (c * w(i)) })
        .collect();
    if !datafit.loss().is_quadratic() {
        let t = if dual_norm <= 1.0 { 1.0 } else { 1.0 / dual_norm };
        return datafit.dual(&theta.iter().map(|theta| t * theta).collect::<Vec<f64>>());
    }
    // The dual is a parabola along the residual. With an intercept the residual has mean zero, and the response may be taken
    // from its mean: a large mean would otherwise multiply the rounding of that zero.
    let total: f64 = (0..theta.len()).map(w).sum();
    let mean = |v: &dyn Fn(usize) -> f64| {
        let sum: f64 = (0..theta.len()).map(|i| w(i) * v(i)).sum();
        if problem.intercept && 0.0 < total { sum / total } else { 0.0 }
    };
    let (center, excess) = (mean(&|i| datafit.y()[i]), mean(&|i| theta[i]));
    let (mut along, mut square) = (0.0, 0.0);
    for (i, theta) in theta.iter().enumerate() {
        let theta = theta - excess;
        along += w(i) * theta * (datafit.y()[i] - center);
        square += w(i) * theta * theta;
    }
    c * parabola(along, square, dual_norm)
}
