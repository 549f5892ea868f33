//! Solvers. Each stops on the duality gap over all features, computed by [`crate::certificate`].

mod clusters;
mod fista;
mod gram;
mod model;
mod outer;
mod two_level;

use crate::error::Result;
use crate::problem::{Problem, Solution};
pub use clusters::ClusterDescent;
pub use fista::Fista;
pub use two_level::ZoneDescent;

/// Where a solver starts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Start {
    /// The intercept.
    pub intercept: f64,
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
}
