//! The penalties among which is chosen.

use crate::error::{Error, Result};
use crate::grid::GridSettings;
use crate::path::{Alphas, Null, solve_at};
use crate::penalty::{Shape, TwoLevel};
use crate::problem::{Problem, Solution};
use crate::progress::Silent;
use crate::solver::{Solver, Start};

/// What [`Candidates::fit_each`] calls with each candidate and its solution. An error ends the fits.
pub type Visit<'a> = dyn FnMut(usize, &Solution) -> Result<()> + 'a;

/// A fixed list of penalties, each fitted in every fold.
pub trait Candidates: Sync {
    /// Number of candidates.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fits all candidates with `strength` times their penalties, and shows each once, in any order.
    ///
    /// # Errors
    /// Those of the fits and of `visit`.
    fn fit_each(
        &self,
        problem: &Problem<'_, ()>,
        strength: f64,
        visit: &mut Visit<'_>,
    ) -> Result<()>;

    /// Fits one candidate.
    ///
    /// # Errors
    /// [`Error::NoCandidate`] and those of the fit.
    fn fit_one(&self, problem: &Problem<'_, ()>, candidate: usize) -> Result<Solution>;

    /// Candidates that differ from this one by a stronger penalty, strongest first.
    fn simpler_than(&self, candidate: usize) -> Vec<usize>;
}

/// One penalty with several strengths.
#[derive(Clone, Debug)]
pub struct PathCandidates<P, S> {
    /// The penalty of strength 1.
    pub shape: P,
    /// The strengths, from large to small.
    pub alphas: Vec<f64>,
    /// The solver.
    pub solver: S,
}

impl<P: Shape + Sync, S: Solver<P> + Sync> Candidates for PathCandidates<P, S> {
    fn len(&self) -> usize {
        self.alphas.len()
    }

    fn fit_each(
        &self,
        problem: &Problem<'_, ()>,
        strength: f64,
        visit: &mut Visit<'_>,
    ) -> Result<()> {
        let problem = problem.with_penalty(self.shape.clone());
        let alpha_max = Null::of(&problem)?.alpha_max;
        let mut start = Start { intercepts: problem.null_intercepts(), ..Start::default() };
        let mut session = self.solver.session(&problem);
        for (i, alpha) in self.alphas.iter().enumerate() {
            let alpha = strength * alpha;
            let solution = solve_at(&mut *session, &problem, alpha, alpha_max, &start)?;
            visit(i, &solution)?;
            if alpha < alpha_max {
                start = Start::at(&solution);
            }
        }
        Ok(())
    }

    fn fit_one(&self, problem: &Problem<'_, ()>, candidate: usize) -> Result<Solution> {
        let none = Error::NoCandidate { candidate, n: self.len() };
        let alpha = *self.alphas.get(candidate).ok_or(none)?;
        let problem = problem.with_penalty(self.shape.clone());
        let alpha_max = Null::of(&problem)?.alpha_max;
        let start = Start { intercepts: problem.null_intercepts(), ..Start::default() };
        solve_at(&mut *self.solver.session(&problem), &problem, alpha, alpha_max, &start)
    }

    fn simpler_than(&self, candidate: usize) -> Vec<usize> {
        (0..candidate.min(self.len())).collect()
    }
}

/// Two levels with several strengths, ratios and shares. Equal cells share fits in every fold.
#[derive(Clone, Debug)]
pub struct GridCandidates<S> {
    lambda1: Vec<f64>,
    ratios: Vec<f64>,
    shares: Vec<f64>,
    /// The solver.
    pub solver: S,
}

impl<S: Solver<TwoLevel> + Sync> GridCandidates<S> {
    /// The cells of a grid, whose strengths are those for this problem.
    ///
    /// # Errors
    /// As [`GridSettings::fit`].
    pub fn new(settings: &GridSettings, problem: &Problem<'_, ()>, solver: S) -> Result<Self> {
        let lambda1 = settings.strengths(problem)?;
        let GridSettings { ratios, shares, .. } = settings.clone();
        Ok(GridCandidates { lambda1, ratios, shares, solver })
    }

    /// The penalty of a candidate: the higher level, the ratio, and the share.
    #[must_use]
    pub fn cell(&self, candidate: usize) -> Option<(f64, f64, f64)> {
        let (r, s) = (self.ratios.len(), self.shares.len());
        let lambda1 = self.lambda1.get(candidate / (r * s).max(1))?;
        Some((*lambda1, self.ratios[candidate / s % r], self.shares[candidate % s]))
    }
}

impl<S: Solver<TwoLevel> + Sync> Candidates for GridCandidates<S> {
    fn len(&self) -> usize {
        self.lambda1.len() * self.ratios.len() * self.shares.len()
    }

    fn fit_each(
        &self,
        problem: &Problem<'_, ()>,
        strength: f64,
        visit: &mut Visit<'_>,
    ) -> Result<()> {
        let per_strength = self.ratios.len() * self.shares.len();
        let lambda1 = Alphas::Given(self.lambda1.iter().map(|l| strength * l).collect());
        let (ratios, shares) = (self.ratios.clone(), self.shares.clone());
        let settings = GridSettings { lambda1, ratios, shares };
        settings.fit_each(&self.solver, problem, &Silent, &mut |first, grid| {
            (0..per_strength).try_for_each(|i| match grid.solution(i) {
                Some(solution) => visit(first + i, solution),
                None => Ok(()),
            })
        })
    }

    fn fit_one(&self, problem: &Problem<'_, ()>, candidate: usize) -> Result<Solution> {
        let none = Error::NoCandidate { candidate, n: self.len() };
        let (lambda1, ratio, share) = self.cell(candidate).ok_or(none)?;
        let p = problem.design.n_cols();
        let penalty = GridSettings::penalty(lambda1, ratio, share, p)?;
        let start = Start { intercepts: problem.null_intercepts(), ..Start::default() };
        self.solver.solve(&problem.with_penalty(penalty), &start)
    }

    fn simpler_than(&self, candidate: usize) -> Vec<usize> {
        let per_strength = self.ratios.len() * self.shares.len();
        (candidate % per_strength..candidate).step_by(per_strength).collect()
    }
}
