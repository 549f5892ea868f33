//! What a fit knows and can say.

use super::Slope2;
use super::fit::Fit;
use super::settings::FamilyKind;
use crate::certificate::Certificate;
use crate::design::Design;
use crate::error::{Error, Result, length};
use crate::pattern::{Cluster, clusters};
use crate::penalty::{SortedL1, TwoLevel};
use crate::problem::{Report, Solution, Termination};
use crate::selection::Validated;

/// The penalty of a fit, with its strength in it.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case", deny_unknown_fields))]
#[non_exhaustive]
pub enum FittedPenalty {
    /// Two levels; equal ones are a LASSO.
    TwoLevel {
        /// The higher level.
        lambda1: f64,
        /// The lower level.
        lambda2: f64,
        /// Number of coefficients at the higher level.
        k: usize,
    },
    /// Any weights.
    Sequence(Vec<f64>),
}

impl From<TwoLevel> for FittedPenalty {
    fn from(two: TwoLevel) -> Self {
        FittedPenalty::TwoLevel { lambda1: two.lambda1(), lambda2: two.lambda2(), k: two.k() }
    }
}

impl From<SortedL1> for FittedPenalty {
    fn from(sorted: SortedL1) -> Self {
        FittedPenalty::Sequence(sorted.lambda().to_vec())
    }
}

/// A fit to data.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    pub(super) family: FamilyKind,
    pub(super) penalty: FittedPenalty,
    pub(super) alpha: f64,
    pub(super) intercept: f64,
    pub(super) coefficients: Vec<f64>,
    pub(super) centers: Vec<f64>,
    pub(super) scales: Vec<f64>,
    pub(super) certificate: Certificate,
    pub(super) report: Report,
    pub(super) validated: Option<Validated>,
}

impl Fit<'_, '_> {
    pub(super) fn finish(
        &self,
        penalty: FittedPenalty,
        alpha: f64,
        solution: &Solution,
        validated: Option<Validated>,
    ) -> Fitted {
        let Slope2 { family, .. } = self.slope;
        let design = self.problem.design;
        let Solution { intercept, coefficients, certificate, report, .. } = solution.clone();
        Fitted {
            family: *family,
            penalty,
            alpha,
            intercept,
            coefficients,
            centers: (0..design.n_cols()).map(|j| design.center(j)).collect(),
            scales: (0..design.n_cols()).map(|j| design.scale(j)).collect(),
            certificate,
            report,
            validated,
        }
    }
}

impl Fitted {
    /// The family of the response.
    #[must_use]
    pub fn family(&self) -> FamilyKind {
        self.family
    }

    /// The penalty, on the columns as they were fitted.
    #[must_use]
    pub fn penalty(&self) -> &FittedPenalty {
        &self.penalty
    }

    /// The strength by which the shape of the penalty was multiplied.
    #[must_use]
    pub fn alpha(&self) -> f64 {
        self.alpha
    }

    /// The coefficients of the columns as they were given.
    #[must_use]
    pub fn coefficients(&self) -> Vec<f64> {
        self.coefficients.iter().zip(&self.scales).map(|(b, s)| b / s).collect()
    }

    /// The intercept for the columns as they were given. If columns were centered it is not zero even without an intercept.
    #[must_use]
    pub fn intercept(&self) -> f64 {
        let shift = self.coefficients().iter().zip(&self.centers).map(|(b, m)| b * m).sum::<f64>();
        self.intercept - shift
    }

    /// The coefficients of the columns as they were fitted, centered and scaled. Clusters are equal magnitudes of these.
    #[must_use]
    pub fn standardized_coefficients(&self) -> &[f64] {
        &self.coefficients
    }

    /// The intercept for the columns as they were fitted.
    #[must_use]
    pub fn standardized_intercept(&self) -> f64 {
        self.intercept
    }

    /// What was taken off each column.
    #[must_use]
    pub fn centers(&self) -> &[f64] {
        &self.centers
    }

    /// What each centered column was divided by.
    #[must_use]
    pub fn scales(&self) -> &[f64] {
        &self.scales
    }

    /// Coefficients that share a magnitude, on the columns as they were fitted.
    #[must_use]
    pub fn clusters(&self) -> Vec<Cluster> {
        clusters(&self.coefficients)
    }

    /// What is proven about the fit.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// How the solver ended.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Whether the duality gap is as small as was asked for.
    #[must_use]
    pub fn converged(&self) -> bool {
        self.report.termination == Termination::GapReached
    }

    /// What cross-validation found, if it chose the penalty. A saved fit does not keep it.
    #[must_use]
    pub fn validated(&self) -> Option<&Validated> {
        self.validated.as_ref()
    }

    /// The linear predictor of each row of `x`, whose columns are taken as they are stored.
    ///
    /// # Errors
    /// [`Error::Length`] if `x` has another number of columns.
    pub fn predictor(&self, x: &Design<'_>) -> Result<Vec<f64>> {
        length("columns of the design", self.coefficients.len(), x.n_cols())?;
        let mut eta = vec![0.0; x.n_rows()];
        x.stored().apply(&self.coefficients(), &mut eta);
        let intercept = self.intercept();
        eta.iter_mut().for_each(|e| *e += intercept);
        Ok(eta)
    }

    /// The mean of the response for each row: a value, the probability of 1, or a rate.
    ///
    /// # Errors
    /// As [`Fitted::predictor`].
    pub fn predict(&self, x: &Design<'_>) -> Result<Vec<f64>> {
        let mut eta = self.predictor(x)?;
        eta.iter_mut().for_each(|e| *e = self.family.family().mean(*e));
        Ok(eta)
    }

    /// The likelier class of each row, for binomial responses.
    ///
    /// # Errors
    /// As [`Fitted::predictor`]; [`Error::Response`] for other families.
    pub fn classify(&self, x: &Design<'_>) -> Result<Vec<bool>> {
        if self.family != FamilyKind::Binomial {
            return Err(Error::Response("only a binomial response has classes"));
        }
        Ok(self.predictor(x)?.iter().map(|e| 0.0 <= *e).collect())
    }
}
