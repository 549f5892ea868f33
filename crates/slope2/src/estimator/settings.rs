//! What an estimator can be asked for.

use crate::datafit::{Binomial, Gaussian, Loss, LossScale, Poisson};
use crate::error::Result;
use crate::path::{Alphas, PathSettings};
use crate::penalty::{SortedL1, TwoLevel};
use crate::selection::{Criterion, Score};
use crate::sequence;

/// The family of the response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum FamilyKind {
    /// Any numbers, squared errors.
    #[default]
    Gaussian,
    /// 0 or 1.
    Binomial,
    /// Counts.
    Poisson,
    /// Classes, counted from 0; the last is the reference.
    Multinomial,
}

impl FamilyKind {
    /// The loss for this response, which says how many classes there are: all up to the largest, and at least two.
    #[must_use]
    pub fn loss(self, y: &[f64]) -> Loss<'static> {
        match self {
            FamilyKind::Gaussian => Loss::Of(&Gaussian),
            FamilyKind::Binomial => Loss::Of(&Binomial),
            FamilyKind::Poisson => Loss::Of(&Poisson),
            FamilyKind::Multinomial => {
                let top = y.iter().copied().fold(1.0, f64::max).min(y.len().max(1) as f64);
                #[allow(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "at most the number of observations"
                )]
                let n_classes = top as usize + 1;
                Loss::Multinomial { n_classes }
            }
        }
    }

    /// Whether the response is a class.
    #[must_use]
    pub fn has_classes(self) -> bool {
        matches!(self, FamilyKind::Binomial | FamilyKind::Multinomial)
    }
}

/// The shape of the penalty; the strength multiplies it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum PenaltyForm {
    /// `lambda1` is the strength, `lambda2` is `ratio` times it; `share` of the coefficients are at the higher level, rounded
    /// to the nearest number, but at least one if the share is above 0.
    TwoLevel {
        /// Between 0 and 1.
        ratio: f64,
        /// Between 0 and 1.
        share: f64,
    },
    /// As [`PenaltyForm::TwoLevel`] with every pair of these, of which cross-validation chooses one.
    TwoLevelGrid {
        /// Each between 0 and 1.
        ratios: Vec<f64>,
        /// Each between 0 and 1.
        shares: Vec<f64>,
    },
    /// One level.
    Lasso,
    /// These weights, non-increasing.
    Sequence(Vec<f64>),
    /// [`sequence::benjamini_hochberg`] at rate `q`.
    BenjaminiHochberg {
        /// Above 0 and below 1.
        q: f64,
    },
    /// [`sequence::gaussian`] at rate `q` for as many rows as are fitted.
    Gaussian {
        /// Above 0 and below 1.
        q: f64,
    },
    /// [`sequence::oscar`].
    Oscar {
        /// Not negative.
        theta1: f64,
        /// Not negative.
        theta2: f64,
    },
}

/// A shape for given sizes.
pub(super) enum Shaped {
    Two(TwoLevel),
    Sorted(SortedL1),
    Grid { ratios: Vec<f64>, shares: Vec<f64> },
}

impl PenaltyForm {
    pub(super) fn shape(&self, n: usize, p: usize) -> Result<Shaped> {
        let sorted = |lambda: Vec<f64>| Ok(Shaped::Sorted(SortedL1::new(lambda)?));
        match self {
            PenaltyForm::TwoLevel { ratio, share } => {
                Ok(Shaped::Two(crate::grid::GridSettings::penalty(1.0, *ratio, *share, p)?))
            }
            PenaltyForm::TwoLevelGrid { ratios, shares } => {
                Ok(Shaped::Grid { ratios: ratios.clone(), shares: shares.clone() })
            }
            PenaltyForm::Lasso => Ok(Shaped::Two(TwoLevel::new(1.0, 1.0, p, p)?)),
            PenaltyForm::Sequence(lambda) => sorted(lambda.clone()),
            PenaltyForm::BenjaminiHochberg { q } => sorted(sequence::benjamini_hochberg(*q, p)?),
            PenaltyForm::Gaussian { q } => sorted(sequence::gaussian(*q, p, n)?),
            PenaltyForm::Oscar { theta1, theta2 } => sorted(sequence::oscar(*theta1, *theta2, p)?),
        }
    }
}

/// The solver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Method {
    /// [`crate::ZoneDescent`] for two levels and the LASSO, [`crate::ClusterDescent`] for other sequences, [`crate::Fista`]
    /// for designs known by their products.
    #[default]
    Suitable,
    /// [`crate::ZoneDescent`].
    ZoneDescent,
    /// [`crate::ClusterDescent`].
    ClusterDescent,
    /// [`crate::Fista`].
    Fista,
}

/// How folds are made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FoldPlan {
    /// Random folds, the same for the same seed. Those of binomial and multinomial responses keep the shares of the classes.
    Seeded {
        /// Number of folds.
        n_folds: usize,
        /// Number of repeats.
        n_repeats: usize,
        /// The seed.
        seed: u64,
    },
    /// Random folds that keep rows of one group together.
    Grouped {
        /// The group of each row.
        groups: Vec<usize>,
        /// Number of folds.
        n_folds: usize,
        /// The seed.
        seed: u64,
    },
    /// The fold of each row.
    Given(Vec<usize>),
}

/// Which candidate of a cross-validation is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rule {
    /// The best mean.
    #[default]
    Best,
    /// The strongest penalty within one standard error of it.
    OneStandardError,
}

/// The strength of the penalty, or how it is chosen.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Strength {
    /// This factor on the shape.
    Alpha(f64),
    /// This part of the smallest strength at which all coefficients are zero.
    Relative(f64),
    /// The noise of a Gaussian response, estimated in rounds: `noise / sqrt(n)` for [`LossScale::Mean`], `noise * sqrt(n)`
    /// for [`LossScale::Sum`]. Meant for sequences for unit noise, and columns of standard deviation 1.
    Noise,
    /// The point of a path with the least criterion.
    Criterion {
        /// The path.
        path: PathSettings,
        /// The criterion.
        criterion: Criterion,
    },
    /// The strength that predicts held-out rows best.
    CrossValidated {
        /// The strengths.
        alphas: Alphas,
        /// The folds.
        folds: FoldPlan,
        /// What predictions are judged by; [`Score::usual`] if nothing is said.
        score: Option<Score>,
        /// Which candidate is taken.
        rule: Rule,
    },
}

/// The factor by which noise becomes a strength.
pub(super) fn per_noise(scale: LossScale, n: usize) -> f64 {
    match scale {
        LossScale::Mean => 1.0 / (n as f64).sqrt(),
        LossScale::Sum => (n as f64).sqrt(),
    }
}
