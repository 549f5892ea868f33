//! What is to be minimized, and what a solver returns.

use crate::certificate::Certificate;
use crate::datafit::Datafit;
use crate::design::Design;
use crate::error::{Error, Result, length, number};
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

    /// The intercepts of the fit without features; zeros if there are none.
    #[must_use]
    pub fn null_intercepts(&self) -> Vec<f64> {
        self.best_intercepts(&vec![0.0; self.datafit.n_etas()], &[])
    }

    /// The best intercepts, one for each linear predictor, for predictors without them; zeros if there are none.
    pub(crate) fn best_intercepts(&self, eta: &[f64], start: &[f64]) -> Vec<f64> {
        if self.intercept {
            self.datafit.intercepts(eta, start)
        } else {
            vec![0.0; self.datafit.n_predictors()]
        }
    }

    /// Predictors without features.
    pub(crate) fn null_eta(&self) -> Vec<f64> {
        let mut eta = vec![0.0; self.datafit.n_etas()];
        self.add_intercepts(&self.null_intercepts(), &mut eta);
        eta
    }

    /// Adds to every predictor its intercept.
    pub(crate) fn add_intercepts(&self, intercepts: &[f64], eta: &mut [f64]) {
        add_intercepts(intercepts, self.datafit.y().len(), eta);
    }
}

impl<P: DualNorm> Problem<'_, P> {
    /// Checks that the sizes fit and that an optimum exists.
    ///
    /// # Errors
    /// [`Error::Length`]; [`Error::Response`] for a response of one class (or of zero counts) with an intercept, which grows
    /// without bound.
    pub fn check(&self) -> Result<()> {
        let blocks = self.datafit.n_predictors();
        let holds = self.design.n_blocks() == blocks;
        let must = "one for each linear predictor";
        number("blocks of the design", must, holds, self.design.n_blocks() as f64)?;
        length("response", self.design.n_rows() / blocks, self.datafit.y().len())?;
        length("weights of the penalty", self.design.n_cols(), self.penalty.len())?;
        if !self.null_intercepts().iter().all(|b| b.is_finite()) {
            return Err(Error::Response(
                "a class without observations, or a response of zero counts, has no finite intercept",
            ));
        }
        Ok(())
    }

    /// `c X' w (y - mu)` of the fit without features.
    #[must_use]
    pub fn null_gradient(&self) -> Vec<f64> {
        let eta = self.null_eta();
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
    /// The intercepts, one for each linear predictor; zeros if there are none.
    pub intercepts: Vec<f64>,
    /// The coefficients of the columns as they were fitted (centered and scaled); with several linear predictors all of the
    /// first, then all of the second, and so on.
    pub coefficients: Vec<f64>,
    /// `F(b0 + X b)`: the objective without the penalty.
    pub loss: f64,
    /// What is proven about it.
    pub certificate: Certificate,
    /// How the solver ended.
    pub report: Report,
}

impl Solution {
    /// The first intercept, which is the only one unless there are several linear predictors.
    #[must_use]
    pub fn intercept(&self) -> f64 {
        self.intercepts.first().copied().unwrap_or(0.0)
    }
}

/// Adds to the `n` entries of each predictor its intercept.
pub(crate) fn add_intercepts(intercepts: &[f64], n: usize, eta: &mut [f64]) {
    for (intercept, eta) in intercepts.iter().zip(eta.chunks_mut(n.max(1))) {
        eta.iter_mut().for_each(|e| *e += intercept);
    }
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
