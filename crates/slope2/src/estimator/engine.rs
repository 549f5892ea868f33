//! The solver that suits a penalty and a design.

use crate::error::Result;
use crate::penalty::{SortedL1, TwoLevel};
use crate::problem::{Problem, Solution};
use crate::solver::{ClusterDescent, Fista, Separate, Session, Solver, Start, ZoneDescent};

/// Descent over zones for two levels, over clusters for other sequences, and accelerated gradients where single columns cannot
/// be had.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Engine {
    pub(super) tolerance: f64,
    pub(super) max_iters: usize,
}

impl Default for Engine {
    fn default() -> Self {
        Engine { tolerance: 1e-8, max_iters: 1000 }
    }
}

impl Engine {
    /// A hundred gradient steps stand for one outer step of the others.
    fn fista(&self) -> Fista {
        let (tolerance, max_iters) = (self.tolerance, self.max_iters.saturating_mul(100));
        Fista { tolerance, max_iters, ..Fista::default() }
    }

    fn zones(&self) -> ZoneDescent {
        let (tolerance, max_iters) = (self.tolerance, self.max_iters);
        ZoneDescent { tolerance, max_iters, ..ZoneDescent::default() }
    }

    fn clusters(&self) -> ClusterDescent {
        let (tolerance, max_iters) = (self.tolerance, self.max_iters);
        ClusterDescent { tolerance, max_iters, ..ClusterDescent::default() }
    }
}

impl Solver<TwoLevel> for Engine {
    fn solve(&self, problem: &Problem<'_, TwoLevel>, start: &Start) -> Result<Solution> {
        if !problem.design.has_columns() {
            return self.fista().solve(problem, start);
        }
        self.zones().solve(problem, start)
    }

    fn session<'a>(&'a self, problem: &Problem<'a, TwoLevel>) -> Box<dyn Session<TwoLevel> + 'a>
    where
        TwoLevel: 'a,
    {
        if !problem.design.has_columns() {
            return Box::new(Separate::new(self, *problem));
        }
        self.zones().at_work(problem)
    }
}

impl Solver<SortedL1> for Engine {
    fn solve(&self, problem: &Problem<'_, SortedL1>, start: &Start) -> Result<Solution> {
        if !problem.design.has_columns() {
            return self.fista().solve(problem, start);
        }
        self.clusters().solve(problem, start)
    }

    fn session<'a>(&'a self, problem: &Problem<'a, SortedL1>) -> Box<dyn Session<SortedL1> + 'a>
    where
        SortedL1: 'a,
    {
        if !problem.design.has_columns() {
            return Box::new(Separate::new(self, problem.clone()));
        }
        self.clusters().at_work(problem)
    }
}
