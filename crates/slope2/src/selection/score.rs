//! How good predictions of held-out rows are.

use crate::datafit::{Datafit, Loss, LossScale};
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
    /// Share of rows whose likeliest class is another; for binomial and multinomial responses. At equal chances the higher class
    /// counts as the likelier.
    Misclassification,
    /// Probability that a row with response 1 is predicted above one with 0, equal predictions counted half; for binomial
    /// responses. The only score of which more is better.
    Auc,
}

impl Score {
    /// Squared errors for Gaussian responses, deviances for others.
    #[must_use]
    pub fn usual<'a>(loss: impl Into<Loss<'a>>) -> Self {
        if loss.into().is_quadratic() { Score::SquaredError } else { Score::Deviance }
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

    /// Refuses a score that says nothing about responses of this kind.
    pub(super) fn check(self, loss: Loss<'_>) -> Result<()> {
        let error = |why: &'static str| Err(Error::Score { score: self.name(), why });
        let of_classes = matches!(self, Score::Misclassification | Score::Auc);
        match loss {
            Loss::Of(family) if of_classes && family.name() != "binomial" => {
                error("only a binomial or multinomial response has classes")
            }
            Loss::Multinomial { .. }
                if !matches!(self, Score::Deviance | Score::Misclassification) =>
            {
                error("a response of several classes has no single mean")
            }
            _ => Ok(()),
        }
    }

    /// The score of the predictors `eta`, which the family turns into means.
    ///
    /// # Errors
    /// [`Error::Score`] for classes of a response that has none, for the error of a mean where there are several, for an area
    /// without rows of both classes, and for no weight; [`Error::Length`] if lengths differ.
    pub fn of<'a>(
        self,
        loss: impl Into<Loss<'a>>,
        y: &[f64],
        eta: &[f64],
        weights: Option<&[f64]>,
    ) -> Result<f64> {
        let loss = loss.into();
        let n = y.len();
        crate::error::length("predictors", n * loss.n_predictors(), eta.len())?;
        if let Some(weights) = weights {
            crate::error::length("weights of the observations", y.len(), weights.len())?;
        }
        self.check(loss)?;
        let error = |why: &'static str| Err(Error::Score { score: self.name(), why });
        let family = match loss {
            Loss::Of(family) => Some(family),
            Loss::Multinomial { .. } => None,
        };
        let mean_of = |eta: f64| family.map_or(f64::NAN, |family| family.mean(eta));
        let w = |i: usize| weights.map_or(1.0, |w| w[i]);
        let total: f64 = (0..y.len()).map(w).sum();
        if total <= 0.0 {
            return error("the rows have no weight");
        }
        let mean =
            |f: &dyn Fn(usize) -> f64| (0..y.len()).map(|i| w(i) * f(i)).sum::<f64>() / total;
        Ok(match self {
            Score::SquaredError => mean(&|i| (y[i] - mean_of(eta[i])).powi(2)),
            Score::AbsoluteError => mean(&|i| (y[i] - mean_of(eta[i])).abs()),
            Score::Misclassification => match family {
                Some(_) => mean(&|i| f64::from((0.0 <= eta[i]) != (y[i] == 1.0))),
                None => mean(&|i| f64::from(likeliest(eta, n, i) as f64 != y[i])),
            },
            Score::Deviance => {
                // One row at a time, since weights of a few rows need not have mean 1.
                let of_row = loss;
                let mut losses = vec![0.0; y.len()];
                for (i, loss) in losses.iter_mut().enumerate() {
                    let row = Datafit::new(of_row, &y[i..=i], LossScale::Sum)?;
                    let own: Vec<f64> = eta.iter().skip(i).step_by(n).copied().collect();
                    *loss = row.deviance(&own);
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

/// The class with the largest predictor of observation `i`; that of the last class is 0.
pub(crate) fn likeliest(eta: &[f64], n: usize, i: usize) -> usize {
    let own = eta.iter().skip(i).step_by(n).copied().chain([0.0]);
    own.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(class, _)| class)
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
