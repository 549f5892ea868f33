//! A solver at work on problems that differ in their penalty alone.

use super::{Solver, Start};
use crate::error::Result;
use crate::problem::{Problem, Solution};

/// A solver at work on one design and response, for one penalty after the other.
pub trait Session<P> {
    /// Solves with this penalty from `start`. A start at the last solution is cheapest.
    ///
    /// # Errors
    /// As [`Solver::solve`].
    fn solve(&mut self, penalty: &P, start: &Start) -> Result<Solution>;
}

/// A solver that keeps nothing.
pub(crate) struct Separate<'a, S: ?Sized, P> {
    solver: &'a S,
    problem: Problem<'a, P>,
}

impl<'a, S: ?Sized, P> Separate<'a, S, P> {
    pub(crate) fn new(solver: &'a S, problem: Problem<'a, P>) -> Self {
        Separate { solver, problem }
    }
}

impl<S: Solver<P> + ?Sized, P: Clone> Session<P> for Separate<'_, S, P> {
    fn solve(&mut self, penalty: &P, start: &Start) -> Result<Solution> {
        self.solver.solve(&self.problem.with_penalty(penalty.clone()), start)
    }
}
