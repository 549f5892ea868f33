//! The solver that suits a penalty and a design, or the one that was asked for.

use super::settings::Method;
use crate::error::{Error, Result};
use crate::penalty::{SortedL1, TwoLevel};
use crate::problem::{Problem, Solution};
use crate::solver::{ClusterDescent, Fista, Separate, Session, Solver, Start, ZoneDescent};

/// Descent over zones for two levels, over clusters for other sequences, and accelerated gradients where single columns cannot
/// be had.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Engine {
    pub(super) method: Method,
    pub(super) tolerance: f64,
    pub(super) max_iters: usize,
}

impl Default for Engine {
    fn default() -> Self {
        Engine { method: Method::default(), tolerance: 1e-8, max_iters: 1000 }
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
        match self.method {
            Method::Suitable if problem.design.has_columns() => self.zones().solve(problem, start),
            Method::Suitable | Method::Fista => self.fista().solve(problem, start),
            Method::ZoneDescent => self.zones().solve(problem, start),
            Method::ClusterDescent => {
                let sorted = SortedL1::new(problem.penalty.sequence())?;
                self.clusters().solve(&problem.with_penalty(sorted), start)
            }
        }
    }

    fn session<'a>(&'a self, problem: &Problem<'a, TwoLevel>) -> Box<dyn Session<TwoLevel> + 'a>
    where
        TwoLevel: 'a,
    {
        match self.method {
            Method::Suitable if problem.design.has_columns() => self.zones().at_work(problem),
            Method::ZoneDescent => self.zones().at_work(problem),
            _ => Box::new(Separate::new(self, *problem)),
        }
    }
}

impl Solver<SortedL1> for Engine {
    fn solve(&self, problem: &Problem<'_, SortedL1>, start: &Start) -> Result<Solution> {
        match self.method {
            Method::Suitable if problem.design.has_columns() => {
                self.clusters().solve(problem, start)
            }
            Method::Suitable | Method::Fista => self.fista().solve(problem, start),
            Method::ClusterDescent => self.clusters().solve(problem, start),
            Method::ZoneDescent => {
                Err(Error::Settings("descent over zones is for two levels and the LASSO"))
            }
        }
    }

    fn session<'a>(&'a self, problem: &Problem<'a, SortedL1>) -> Box<dyn Session<SortedL1> + 'a>
    where
        SortedL1: 'a,
    {
        match self.method {
            Method::Suitable if problem.design.has_columns() => self.clusters().at_work(problem),
            Method::ClusterDescent => self.clusters().at_work(problem),
            _ => Box::new(Separate::new(self, problem.clone())),
        }
    }
}
