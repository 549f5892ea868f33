//! Solvers. Each stops on the duality gap over all features, computed by [`crate::certificate`].

mod clusters;
mod fista;
mod gram;
mod model;
mod moments;
mod outer;
mod products;
mod ridged;
mod session;
mod source;
mod two_level;

use crate::error::Result;
use crate::problem::{Problem, Solution};
pub use clusters::ClusterDescent;
pub use fista::Fista;
pub(crate) use session::Separate;
pub use session::Session;
pub use two_level::ZoneDescent;

/// Where a solver starts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Start {
    /// The intercepts, one for each linear predictor; missing ones count as zero.
    pub intercepts: Vec<f64>,
    /// The coefficients; empty means zeros.
    pub coefficients: Vec<f64>,
}

/// A method that minimizes problems with penalties of type `P`.
pub trait Solver<P> {
    /// Solves from `start`. Not reaching the gap is a result and no error.
    ///
    /// # Errors
    /// Those of [`Problem::check`], and for entries that are not finite.
    fn solve(&self, problem: &Problem<'_, P>, start: &Start) -> Result<Solution>;

    /// Goes to work on problems that differ from this one in the penalty alone, as along a path. What a solver keeps from one
    /// to the next is its own affair; the solutions are those of separate solves, up to the gap.
    fn session<'a>(&'a self, problem: &Problem<'a, P>) -> Box<dyn Session<P> + 'a>
    where
        P: Clone + 'a,
    {
        Box::new(Separate::new(self, problem.clone()))
    }
}
