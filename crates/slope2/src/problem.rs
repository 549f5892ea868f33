//! What is to be minimized, and what a solver returns.

use crate::certificate::Certificate;
use crate::datafit::Datafit;
use crate::design::Design;
use crate::error::{Error, Result, length};
use crate::penalty::DualNorm;

/// `P(b0, b) = F(b0 + X b) + J(b)`; the intercept is free and costs nothing.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a, P> {
    /// The features.
    pub design: &'a Design<'a>,
    /// The response and its loss.
    pub datafit: Datafit<'a>,
    /// The penalty.
    pub penalty: P,
    /// Whether there is an intercept; without it `b0 = 0`.
    pub intercept: bool,
}

impl<'a, P> Problem<'a, P> {
    /// The same problem with another penalty.
    #[must_use]
    pub fn with_penalty<Q>(&self, penalty: Q) -> Problem<'a, Q> {
        let Problem { design, datafit, intercept, .. } = *self;
        Problem { design, datafit, penalty, intercept }
    }

    /// The intercept of the fit without features; 0 if there is none.
    #[must_use]
    pub fn null_intercept(&self) -> f64 {
        if !self.intercept {
            return 0.0;
        }
        self.datafit.intercept(&vec![0.0; self.design.n_rows()], 0.0)
    }
}

impl<P: DualNorm> Problem<'_, P> {
    /// Checks that the sizes fit and that an optimum exists.
    ///
    /// # Errors
    /// [`Error::Length`]; [`Error::Response`] for a response of one class (or of zero counts) with an intercept, which grows
    /// without bound.
    pub fn check(&self) -> Result<()> {
        length("response", self.design.n_rows(), self.datafit.y().len())?;
        length("weights of the penalty", self.design.n_cols(), self.penalty.len())?;
        let zero = vec![0.0; self.design.n_rows()];
        if self.intercept && !self.datafit.intercept(&zero, 0.0).is_finite() {
            return Err(Error::Response(
                "a response of one class, or of zero counts, has no finite intercept",
            ));
        }
        Ok(())
    }

    /// `c X' w (y - mu)` of the fit without features.
    #[must_use]
    pub fn null_gradient(&self) -> Vec<f64> {
        let eta = vec![self.null_intercept(); self.design.n_rows()];
        let mut pull = vec![0.0; eta.len()];
        self.datafit.pull(&eta, &mut pull);
        let mut gradient = vec![0.0; self.design.n_cols()];
        self.design.adjoint(&pull, &mut gradient);
        gradient
    }

    /// The smallest factor on the penalty at which all coefficients are zero: the dual norm of the gradient of the fit
    /// without features.
    #[must_use]
    pub fn alpha_max(&self) -> f64 {
        self.penalty.dual_norm(&self.null_gradient())
    }

    /// Checks the problem, and the entries of the design as far as they show. Returns the null gradient.
    pub(crate) fn checked_null_gradient(&self) -> Result<Vec<f64>> {
        self.check()?;
        let gradient = self.null_gradient();
        if let Some(j) = gradient.iter().position(|g| !g.is_finite()) {
            return Err(self.design.find_bad_entry().unwrap_or(Error::InvalidEntry {
                name: "gradient",
                place: format!("column {j}"),
                must: "finite",
                got: gradient[j],
            }));
        }
        Ok(gradient)
    }
}

/// A fit with its certificate.
#[derive(Clone, Debug, PartialEq)]
pub struct Solution {
    /// The intercept, 0 if there is none.
    pub intercept: f64,
    /// The coefficients of the columns as they were fitted (centered and scaled).
    pub coefficients: Vec<f64>,
    /// `F(b0 + X b)`: the objective without the penalty.
    pub loss: f64,
    /// What is proven about it.
    pub certificate: Certificate,
    /// How the solver ended.
    pub report: Report,
}

/// How a solver ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Report {
    /// Why it stopped.
    pub termination: Termination,
    /// Iterations of the outer loop.
    pub n_iters: usize,
}

/// Why a solver stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Termination {
    /// The duality gap is at most what was asked for.
    GapReached,
    /// All iterations were used. The certificate says how far the solution is.
    MaxIters,
    /// Rounding lets nothing improve any more. The certificate says how far the solution is.
    Stalled,
}
