//! How good predictions of held-out rows are.

use crate::datafit::{Datafit, Family, LossScale};
use crate::error::{Error, Result};

/// What predictions are judged by. Means are weighted as the rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Score {
    /// Mean squared difference of response and predicted mean.
    SquaredError,
    /// Mean magnitude of that difference.
    AbsoluteError,
    /// Mean deviance.
    Deviance,
    /// Share of rows on the wrong side of a mean of one half; for binomial responses.
    Misclassification,
    /// Probability that a row with response 1 is predicted above one with 0, equal predictions counted half; for binomial
    /// responses. The only score of which more is better.
    Auc,
}

impl Score {
    /// Squared errors for Gaussian responses, deviances for others.
    #[must_use]
    pub fn usual(family: &dyn Family) -> Self {
        if family.name() == "gaussian" { Score::SquaredError } else { Score::Deviance }
    }

    /// The score's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Score::SquaredError => "mse",
            Score::AbsoluteError => "mae",
            Score::Deviance => "deviance",
            Score::Misclassification => "misclassification",
            Score::Auc => "auc",
        }
    }

    /// The score as a loss, of which less is better.
    #[must_use]
    pub fn loss(self, score: f64) -> f64 {
        if self == Score::Auc { -score } else { score }
    }

    /// The score of the predictors `eta`, which the family turns into means.
    ///
    /// # Errors
    /// [`Error::Score`] for classes of a response that is not binomial, for an area without rows of both classes, and for no
    /// weight; [`Error::Length`] if lengths differ.
    pub fn of(
        self,
        family: &dyn Family,
        y: &[f64],
        eta: &[f64],
        weights: Option<&[f64]>,
    ) -> Result<f64> {
        crate::error::length("predictors", y.len(), eta.len())?;
        if let Some(weights) = weights {
            crate::error::length("weights of the observations", y.len(), weights.len())?;
        }
        let error = |why: &'static str| Err(Error::Score { score: self.name(), why });
        if matches!(self, Score::Misclassification | Score::Auc) && family.name() != "binomial" {
            return error("only a binomial response has classes");
        }
        let w = |i: usize| weights.map_or(1.0, |w| w[i]);
        let total: f64 = (0..y.len()).map(w).sum();
        if total <= 0.0 {
            return error("the rows have no weight");
        }
        let mean =
            |f: &dyn Fn(usize) -> f64| (0..y.len()).map(|i| w(i) * f(i)).sum::<f64>() / total;
        Ok(match self {
            Score::SquaredError => mean(&|i| (y[i] - family.mean(eta[i])).powi(2)),
            Score::AbsoluteError => mean(&|i| (y[i] - family.mean(eta[i])).abs()),
            Score::Misclassification => mean(&|i| f64::from((0.0 <= eta[i]) != (y[i] == 1.0))),
            Score::Deviance => {
                // One row at a time, since weights of a few rows need not have mean 1.
                let mut losses = vec![0.0; y.len()];
                for (i, loss) in losses.iter_mut().enumerate() {
                    let row = Datafit::new(family, &y[i..=i], LossScale::Sum)?;
                    *loss = row.deviance(&eta[i..=i]);
                }
                mean(&|i| losses[i])
            }
            Score::Auc => match area(y, eta, w) {
                Some(area) => area,
                None => return error("the rows are of one class"),
            },
        })
    }
}

/// The weighted statistic of Mann and Whitney; none without rows of both classes.
fn area(y: &[f64], eta: &[f64], w: impl Fn(usize) -> f64) -> Option<f64> {
    let mut order: Vec<usize> = (0..y.len()).collect();
    order.sort_by(|a, b| eta[*a].total_cmp(&eta[*b]));
    let (mut below, mut ones, mut pairs) = (0.0, 0.0, 0.0);
    for ties in order.chunk_by(|a, b| eta[*a] == eta[*b]) {
        let of = |class: f64| ties.iter().filter(|i| y[**i] == class).map(|i| w(*i)).sum::<f64>();
        let (zero, one) = (of(0.0), of(1.0));
        pairs += one * (below + 0.5 * zero);
        below += zero;
        ones += one;
    }
    (0.0 < below && 0.0 < ones).then(|| pairs / (below * ones))
}
