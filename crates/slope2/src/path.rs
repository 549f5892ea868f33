//! Solutions along a grid of strengths, each started from the one before it.

mod alphas;

use crate::certificate::{Intercept, certify_with_point};
use crate::error::Result;
use crate::pattern::n_clusters;
use crate::penalty::Shape;
use crate::problem::{Problem, Report, Solution, Termination};
use crate::progress::{Progress, tell};
use crate::solver::{Session, Solver, Start};
pub use alphas::Alphas;

/// Which strengths, and when a geometric grid ends early. Given strengths are never stopped early.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PathSettings {
    /// The strengths.
    pub alphas: Alphas,
    /// Ends when the share of explained deviance is above this.
    pub enough: f64,
    /// Ends when a step raises the share of explained deviance by less than this part of it.
    pub least_change: f64,
}

impl Default for PathSettings {
    /// # Source
    /// The defaults of glmnet and of libslope.
    fn default() -> Self {
        PathSettings { alphas: Alphas::default(), enough: 0.999, least_change: 1e-5 }
    }
}

/// The solution at one strength.
#[derive(Clone, Debug, PartialEq)]
pub struct PathPoint {
    /// Factor on the penalty of the path's problem.
    pub alpha: f64,
    /// The solution, for the columns as they were fitted.
    pub solution: Solution,
    /// The intercepts for the columns as they are stored. If columns were centered they are not zero even without an intercept.
    pub original_intercepts: Vec<f64>,
    /// The coefficients of the columns as they are stored.
    pub original_coefficients: Vec<f64>,
    /// Number of distinct non-zero magnitudes of the fitted coefficients: the degrees of freedom without the intercept.
    pub n_clusters: usize,
    /// The deviance.
    pub deviance: f64,
    /// `1 - deviance / null deviance`; 1 where there is nothing to explain.
    pub deviance_ratio: f64,
}

/// Why a path has no more points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathEnd {
    /// All strengths were solved.
    AllSolved,
    /// The share of explained deviance is large enough.
    Explained,
    /// The share of explained deviance hardly changes.
    NoChange,
    /// There are more distinct magnitudes than observations.
    Saturated,
}

/// A path of solutions, from strong to weak penalties.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    /// The points.
    pub points: Vec<PathPoint>,
    /// The smallest strength at which all coefficients are zero.
    pub alpha_max: f64,
    /// The deviance of the fit without features.
    pub null_deviance: f64,
    /// Why it ended.
    pub end: PathEnd,
}

impl PathSettings {
    /// Solves `problem` with its penalty times each strength.
    ///
    /// # Errors
    /// Those of [`Alphas::values`] and of the solver; [`crate::Error::Cancelled`] if `progress` asks for it. A solver that
    /// does not reach its gap is no error: see the report of each point.
    pub fn fit<P: Shape>(
        &self,
        solver: &impl Solver<P>,
        problem: &Problem<'_, P>,
        progress: &dyn Progress,
    ) -> Result<Path> {
        let Null { deviance: null_deviance, alpha_max } = Null::of(problem)?;
        let (n, p) = (problem.datafit.y().len(), problem.design.n_cols());
        let alphas = self.alphas.values(alpha_max, n, p)?;
        let mut path =
            Path { points: Vec::new(), alpha_max, null_deviance, end: PathEnd::AllSolved };
        let mut start = Start { intercepts: problem.null_intercepts(), ..Start::default() };
        let mut session = solver.session(problem);
        for (i, alpha) in alphas.iter().enumerate() {
            let solution = solve_at(&mut *session, problem, *alpha, alpha_max, &start)?;
            // A start without coefficients lets the solver choose its own way to a first small strength.
            if *alpha < alpha_max {
                start = Start::at(&solution);
            }
            let point = describe(problem, *alpha, null_deviance, solution);
            let end = if self.alphas.may_stop() { self.end(&path, &point, n) } else { None };
            path.points.push(point);
            tell(progress, i + 1, alphas.len())?;
            if let Some(end) = end {
                path.end = end;
                break;
            }
        }
        Ok(path)
    }

    fn end(&self, path: &Path, point: &PathPoint, n: usize) -> Option<PathEnd> {
        let ratio = point.deviance_ratio;
        if self.enough < ratio {
            return Some(PathEnd::Explained);
        }
        if n < point.n_clusters {
            return Some(PathEnd::Saturated);
        }
        let before = path.points.last().map(|p| p.deviance_ratio).filter(|r| 0.0 < *r)?;
        (ratio - before < self.least_change * ratio).then_some(PathEnd::NoChange)
    }
}

impl Path {
    /// The point with the largest strength that is not above `alpha`; none if all are.
    #[must_use]
    pub fn at_most(&self, alpha: f64) -> Option<&PathPoint> {
        self.points.iter().find(|point| point.alpha <= alpha)
    }
}

impl Start {
    /// Where a solution ends.
    #[must_use]
    pub fn at(solution: &Solution) -> Start {
        Start {
            intercepts: solution.intercepts.clone(),
            coefficients: solution.coefficients.clone(),
        }
    }
}

/// What the fit without features leaves to explain.
pub(crate) struct Null {
    /// Its deviance; exactly 0 where only rounding is left.
    pub(crate) deviance: f64,
    /// The smallest strength at which all coefficients are zero; 0 if there is nothing to explain.
    pub(crate) alpha_max: f64,
}

impl Null {
    pub(crate) fn of<P: Shape>(problem: &Problem<'_, P>) -> Result<Null> {
        let gradient = problem.checked_null_gradient()?;
        let datafit = &problem.datafit;
        let n = datafit.n_etas();
        let deviance = datafit.deviance(&problem.null_eta());
        let whole = datafit.deviance(&vec![0.0; n]);
        if deviance <= 1e-26 * n as f64 * whole {
            return Ok(Null { deviance: 0.0, alpha_max: 0.0 });
        }
        Ok(Null { deviance, alpha_max: problem.penalty.dual_norm(&gradient) })
    }
}

/// The solution with `alpha` times the penalty. From `alpha_max` on it is the fit without features, and no solver is asked.
pub(crate) fn solve_at<P: Shape>(
    session: &mut (dyn Session<P> + '_),
    problem: &Problem<'_, P>,
    alpha: f64,
    alpha_max: f64,
    start: &Start,
) -> Result<Solution> {
    let penalty = problem.penalty.scaled(alpha)?;
    if alpha < alpha_max {
        return session.solve(&penalty, start);
    }
    let coefficients = vec![0.0; problem.design.n_cols()];
    let intercepts = problem.null_intercepts();
    let certified = Intercept::Fixed(&intercepts);
    let (certificate, point) =
        certify_with_point(&problem.with_penalty(penalty), certified, &coefficients)?;
    let report = Report { termination: Termination::GapReached, n_iters: 0 };
    Ok(Solution { intercepts, coefficients, loss: point.loss, certificate, report })
}

fn describe<P>(
    problem: &Problem<'_, P>,
    alpha: f64,
    null_deviance: f64,
    solution: Solution,
) -> PathPoint {
    let Problem { design, datafit, .. } = problem;
    let deviance = datafit.deviance_of(solution.loss);
    let deviance_ratio = if 0.0 < null_deviance { 1.0 - deviance / null_deviance } else { 1.0 };
    let (original_intercepts, original_coefficients) =
        design.on_original_scale(&solution.intercepts, &solution.coefficients);
    PathPoint {
        alpha,
        original_intercepts,
        original_coefficients,
        n_clusters: n_clusters(&solution.coefficients),
        deviance,
        deviance_ratio,
        solution,
    }
}
