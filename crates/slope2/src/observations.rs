//! What was observed, and how it is brought into a problem. Folds of a cross-validation go the same way as all rows.

use crate::datafit::{Datafit, Loss, LossScale, normalized};
use crate::design::{Center, Design, Scale};
use crate::error::{Result, length};
use crate::problem::Problem;

/// Features and response, row by row.
#[derive(Clone, Copy)]
pub struct Observations<'a> {
    /// The features. Only the columns as they are stored are looked at.
    pub design: &'a Design<'a>,
    /// The response.
    pub y: &'a [f64],
    /// Weights, not negative, of any sum; none means all ones.
    pub weights: Option<&'a [f64]>,
    /// The loss of one response.
    pub loss: Loss<'a>,
}

impl std::fmt::Debug for Observations<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Observations({:?}, {})", self.design, self.loss.name())
    }
}

/// How observations become a problem.
#[derive(Clone, Debug, PartialEq)]
pub struct Preparation {
    /// What is taken off each column.
    pub center: Center,
    /// What each column is divided by.
    pub scale: Scale,
    /// Whether there is an intercept.
    pub intercept: bool,
    /// The factor of the loss.
    pub loss_scale: LossScale,
}

impl Default for Preparation {
    /// Columns of mean 0 and population standard deviation 1, an intercept, and the mean loss.
    fn default() -> Self {
        let (center, scale) = (Center::Mean, Scale::Sd);
        Preparation { center, scale, intercept: true, loss_scale: LossScale::Mean }
    }
}

/// Some rows of observations, copied.
pub(crate) struct Rows {
    pub(crate) design: Design<'static>,
    pub(crate) y: Vec<f64>,
    pub(crate) weights: Option<Vec<f64>>,
}

impl Rows {
    pub(crate) fn observations<'a>(&'a self, loss: Loss<'a>) -> Observations<'a> {
        let weights = self.weights.as_deref();
        Observations { design: &self.design, y: &self.y, weights, loss }
    }
}

impl Observations<'_> {
    /// Calls `f` with the problem of all rows. Centers, scales and weights are computed from these rows alone.
    ///
    /// # Errors
    /// Those of [`Design::standardized`], [`Datafit::new`] and [`normalized`]; an entry of the design that is not finite is
    /// named; and those of `f`.
    pub fn with_problem<R>(
        &self,
        preparation: &Preparation,
        f: impl FnOnce(&Problem<'_, ()>) -> Result<R>,
    ) -> Result<R> {
        length("response", self.design.n_rows(), self.y.len())?;
        if let Some(bad) = self.design.find_bad_entry() {
            return Err(bad);
        }
        let weights = self.weights.map(normalized).transpose()?;
        let weights = weights.as_deref();
        let Preparation { center, scale, intercept, loss_scale } = preparation;
        let mut datafit = Datafit::new(self.loss, self.y, *loss_scale)?;
        if let Some(weights) = weights {
            datafit = datafit.with_weights(weights)?;
        }
        let design = self.design.stored().standardized(center, scale, weights)?;
        let design = design.in_blocks(datafit.n_predictors());
        f(&Problem { design: &design, datafit, penalty: (), intercept: *intercept })
    }

    /// The given rows, in increasing order.
    pub(crate) fn rows(&self, rows: &[usize]) -> Result<Rows> {
        let design = self.design.stored_rows(rows)?;
        let of = |v: &[f64]| -> Vec<f64> { rows.iter().map(|i| v[*i]).collect() };
        Ok(Rows { design, y: of(self.y), weights: self.weights.map(of) })
    }
}
