//! What a fit knows and can say.

use super::Slope2;
use super::fit::Fit;
use super::settings::FamilyKind;
use crate::certificate::Certificate;
use crate::datafit::Loss;
use crate::design::Design;
use crate::error::{Error, Result, length};
use crate::pattern::{Cluster, clusters};
use crate::penalty::{SortedL1, TwoLevel};
use crate::problem::{Report, Solution, Termination, add_intercepts};
use crate::selection::{NoiseEnd, Validated, likeliest};

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
    pub(super) intercepts: Vec<f64>,
    pub(super) coefficients: Vec<f64>,
    pub(super) centers: Vec<f64>,
    pub(super) scales: Vec<f64>,
    pub(super) certificate: Certificate,
    pub(super) report: Report,
    pub(super) validated: Option<Validated>,
    pub(super) noise: Option<NoiseRounds>,
}

/// How the noise of a fit was found.
#[derive(Clone, Debug, PartialEq)]
pub struct NoiseRounds {
    /// Standard deviation of the noise.
    pub noise_std: f64,
    /// The estimate of each round, the first from the response alone.
    pub history: Vec<f64>,
    /// Why rounds ended. Only [`NoiseEnd::Settled`] belongs to the support that was found.
    pub end: NoiseEnd,
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
        let features = || 0..design.n_cols() / design.n_blocks();
        let Solution { intercepts, coefficients, certificate, report, .. } = solution.clone();
        Fitted {
            family: *family,
            penalty,
            alpha,
            intercepts,
            coefficients,
            centers: features().map(|j| design.center(j)).collect(),
            scales: features().map(|j| design.scale(j)).collect(),
            certificate,
            report,
            validated,
            noise: None,
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

    /// Number of features.
    #[must_use]
    pub fn n_features(&self) -> usize {
        self.centers.len()
    }

    /// Number of linear predictors: of classes but one for multinomial responses, else 1.
    #[must_use]
    pub fn n_predictors(&self) -> usize {
        self.intercepts.len()
    }

    /// The coefficients of the columns as they were given; with several linear predictors all of the first, then all of the
    /// second, and so on.
    #[must_use]
    pub fn coefficients(&self) -> Vec<f64> {
        self.coefficients.iter().zip(self.scales.iter().cycle()).map(|(b, s)| b / s).collect()
    }

    /// The intercept of the first linear predictor, which is the only one unless there are several classes, for the columns as
    /// they were given. If columns were centered it is not zero even without an intercept.
    #[must_use]
    pub fn intercept(&self) -> f64 {
        self.intercepts().first().copied().unwrap_or(0.0)
    }

    /// The intercept of each linear predictor.
    #[must_use]
    pub fn intercepts(&self) -> Vec<f64> {
        let coefficients = self.coefficients();
        let shift = |b: &[f64]| b.iter().zip(&self.centers).map(|(b, m)| b * m).sum::<f64>();
        let blocks = coefficients.chunks(self.n_features().max(1)).map(shift);
        let shifts = blocks.chain(std::iter::repeat(0.0));
        self.intercepts.iter().zip(shifts).map(|(b0, shift)| b0 - shift).collect()
    }

    /// The coefficients of the columns as they were fitted, centered and scaled. Clusters are equal magnitudes of these.
    #[must_use]
    pub fn standardized_coefficients(&self) -> &[f64] {
        &self.coefficients
    }

    /// The first intercept for the columns as they were fitted.
    #[must_use]
    pub fn standardized_intercept(&self) -> f64 {
        self.intercepts.first().copied().unwrap_or(0.0)
    }

    /// The intercept of each linear predictor for the columns as they were fitted.
    #[must_use]
    pub fn standardized_intercepts(&self) -> &[f64] {
        &self.intercepts
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

    /// How the noise was found, if the strength was made for it. A saved fit does not keep it.
    #[must_use]
    pub fn noise(&self) -> Option<&NoiseRounds> {
        self.noise.as_ref()
    }

    /// The linear predictor of each row of `x`, whose columns are taken as they are stored; with several of them, all rows of the
    /// first, then all of the second, and so on.
    ///
    /// # Errors
    /// [`Error::Length`] if `x` has another number of columns.
    pub fn predictor(&self, x: &Design<'_>) -> Result<Vec<f64>> {
        let x = x.stored();
        length("columns of the design", self.n_features(), x.n_cols())?;
        let n = x.n_rows();
        let x = x.in_blocks(self.n_predictors());
        let mut eta = vec![0.0; x.n_rows()];
        x.apply(&self.coefficients(), &mut eta);
        add_intercepts(&self.intercepts(), n, &mut eta);
        Ok(eta)
    }

    /// The mean of the response for each row: a value, the probability of 1, or a rate. For several classes the probability of
    /// each: all rows of the first, and so on to the last.
    ///
    /// # Errors
    /// As [`Fitted::predictor`].
    pub fn predict(&self, x: &Design<'_>) -> Result<Vec<f64>> {
        let mut eta = self.predictor(x)?;
        let n = x.stored().n_rows();
        match self.family.loss(&[]) {
            Loss::Of(family) => eta.iter_mut().for_each(|e| *e = family.mean(*e)),
            Loss::Multinomial { .. } => {
                eta.resize(eta.len() + n, 0.0);
                for i in 0..n {
                    let own = || (i..eta.len()).step_by(n);
                    let top = own().map(|at| eta[at]).fold(f64::NEG_INFINITY, f64::max);
                    let sum: f64 = own().map(|at| (eta[at] - top).exp()).sum();
                    for at in own() {
                        eta[at] = (eta[at] - top).exp() / sum;
                    }
                }
            }
        }
        Ok(eta)
    }

    /// The likeliest class of each row, counted from 0, for binomial and multinomial responses; the higher one at equal chances.
    ///
    /// # Errors
    /// As [`Fitted::predictor`]; [`Error::Response`] for other families.
    pub fn classify(&self, x: &Design<'_>) -> Result<Vec<usize>> {
        if !self.family.has_classes() {
            return Err(Error::Response("only a binomial or multinomial response has classes"));
        }
        let eta = self.predictor(x)?;
        let n = x.stored().n_rows();
        Ok(match self.family {
            FamilyKind::Binomial => eta.iter().map(|e| usize::from(0.0 <= *e)).collect(),
            _ => (0..n).map(|i| likeliest(&eta, n, i)).collect(),
        })
    }
}
