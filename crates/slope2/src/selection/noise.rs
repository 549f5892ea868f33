//! Penalties in units of a noise that is not known.

use super::refit::refit;
use crate::error::{Error, Result};
use crate::penalty::Shape;
use crate::problem::{Problem, Solution};
use crate::progress::{Progress, tell};
use crate::solver::{Solver, Start};

/// Rounds of fitting and estimating.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct UnknownNoise {
    /// Most rounds. The support may alternate for ever without a limit.
    pub max_rounds: usize,
}

impl Default for UnknownNoise {
    fn default() -> Self {
        UnknownNoise { max_rounds: 20 }
    }
}

/// A fit with the noise it was made for.
#[derive(Clone, Debug, PartialEq)]
pub struct NoiseFit {
    /// Standard deviation of the noise: the factor on the penalty of `solution`.
    pub noise_std: f64,
    /// The last fit.
    pub solution: Solution,
    /// The estimate of each round, the first from the response alone.
    pub history: Vec<f64>,
    /// Why it ended.
    pub end: NoiseEnd,
}

/// Why rounds ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoiseEnd {
    /// The support did not change.
    Settled,
    /// All rounds were used, and the support still changes.
    MaxRounds,
    /// The support leaves no residual degrees of freedom. The estimate is the last one that had some.
    Saturated,
    /// The support explains the response exactly. The estimate is the last one that was not zero.
    Exact,
}

impl UnknownNoise {
    /// Fits `problem`, whose penalty is in units of the noise, and estimates the noise by the residuals of least squares on
    /// the support, until the support stays.
    ///
    /// With columns of population standard deviation 1, a sequence for unit noise such as
    /// [`crate::sequence::benjamini_hochberg`] is `1 / sqrt(n)` times that for [`crate::LossScale::Mean`], and `sqrt(n)` times
    /// that for [`crate::LossScale::Sum`].
    ///
    /// # Errors
    /// [`Error::Response`] for responses that are not Gaussian; [`Error::NeedsColumns`]; those of the solver;
    /// [`Error::Cancelled`] if `progress` asks for it.
    ///
    /// # Source
    /// arXiv 1407.3824, Algorithm 5, with a limit on the rounds.
    pub fn fit<P: Shape>(
        &self,
        solver: &impl Solver<P>,
        problem: &Problem<'_, P>,
        progress: &dyn Progress,
    ) -> Result<NoiseFit> {
        if !problem.datafit.loss().is_quadratic() {
            return Err(Error::Response("only a gaussian response has noise to estimate"));
        }
        if !problem.design.has_columns() {
            return Err(Error::NeedsColumns);
        }
        problem.checked_null_gradient()?;
        let mut support: Vec<usize> = Vec::new();
        let mut history = Vec::new();
        let mut start = Start { intercepts: problem.null_intercepts(), ..Start::default() };
        let mut noise = match estimate(problem, &support) {
            Estimate::Noise(noise) => noise,
            // One row, or a constant response: any strength gives zeros.
            Estimate::Saturated | Estimate::Exact => 1.0,
        };
        let mut session = solver.session(problem);
        loop {
            history.push(noise);
            let solution = session.solve(&problem.penalty.scaled(noise)?, &start)?;
            start = Start::at(&solution);
            tell(progress, history.len(), self.max_rounds)?;
            let found: Vec<usize> = (0..solution.coefficients.len())
                .filter(|j| solution.coefficients[*j] != 0.0)
                .collect();
            let next = estimate(problem, &found);
            let end = match next {
                _ if found == support => Some(NoiseEnd::Settled),
                Estimate::Saturated => Some(NoiseEnd::Saturated),
                Estimate::Exact => Some(NoiseEnd::Exact),
                Estimate::Noise(_) if self.max_rounds <= history.len() => Some(NoiseEnd::MaxRounds),
                Estimate::Noise(next) => {
                    noise = next;
                    None
                }
            };
            support = found;
            if let Some(end) = end {
                return Ok(NoiseFit { noise_std: noise, solution, history, end });
            }
        }
    }
}

enum Estimate {
    Noise(f64),
    Saturated,
    Exact,
}

/// The residual standard deviation of least squares on the support.
fn estimate<P>(problem: &Problem<'_, P>, support: &[usize]) -> Estimate {
    let n = problem.design.n_rows();
    if n <= support.len() + usize::from(problem.intercept) {
        return Estimate::Saturated;
    }
    let column = |j: &usize| {
        let mut column = vec![0.0; n];
        problem.design.column_into(*j, &mut column);
        column
    };
    let mut columns: Vec<Vec<f64>> = support.iter().map(column).collect();
    if problem.intercept {
        columns.push(vec![1.0; n]);
    }
    let fit = refit(&problem.datafit, &columns);
    let left = problem.datafit.deviance(&fit.eta);
    let whole = problem.datafit.deviance(&vec![0.0; n]);
    if left <= 1e-24 * whole {
        return Estimate::Exact;
    }
    Estimate::Noise((left / (n - fit.rank) as f64).sqrt())
}
