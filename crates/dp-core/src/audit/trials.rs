//! The audit of many runs: one canary, in some and not in others.

use crate::accountant::gdp::GaussianDp;
use crate::{Confidence, Delta, Error, Result};

use super::binomial;

/// Scores of independent runs with the canary and of runs without it; a larger score speaks for the canary.
///
/// # Examples
/// ```
/// use dp_core::audit::Trials;
/// use dp_core::{Confidence, Delta};
///
/// // A trainer that always betrays the canary.
/// let with = vec![1.0; 400];
/// let without = vec![0.0; 400];
/// let bound = Trials::new(with, without)?
///     .lower_bound(Delta::new(1e-5)?, Confidence::of_failure(1e-4)?)?;
/// assert!(2.5 < bound.epsilon);
/// # Ok::<(), dp_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Trials {
    with: Vec<f64>,
    without: Vec<f64>,
}

/// What a trainer's epsilon is at least, and what it rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrialsBound {
    /// Epsilon is at least this, with the stated confidence.
    pub epsilon: f64,
    /// "With the canary" is said of scores of at least this.
    pub threshold: f64,
    /// Of runs with the canary, at least this share have such a score.
    pub true_positives: f64,
    /// Of runs without it, at most this share.
    pub false_positives: f64,
}

/// Thresholds that are tried on the half that chooses.
const THRESHOLDS: usize = 128;

impl Trials {
    /// Scores in the order in which the runs were made.
    ///
    /// # Errors
    /// [`Error::InvalidScalar`] for fewer than two runs of either kind, or a score that is NaN.
    pub fn new(with: Vec<f64>, without: Vec<f64>) -> Result<Self> {
        for scores in [&with, &without] {
            if scores.len() < 2 {
                let got = scores.len() as f64;
                return Err(Error::InvalidScalar {
                    name: "number of runs",
                    must: "at least 2",
                    got,
                });
            }
            if let Some(score) = scores.iter().find(|score| score.is_nan()) {
                return Err(Error::InvalidScalar { name: "score", must: "a number", got: *score });
            }
        }
        Ok(Trials { with, without })
    }

    /// A lower bound on epsilon at `delta`, for either direction: with `TPR` and `FPR` of any test,
    ///
    /// ```text
    /// eps >= ln( (TPR - delta) / FPR )   and   eps >= ln( (1 - FPR - delta) / (1 - TPR) )
    /// ```
    ///
    /// The threshold is chosen on every other run; both rates are bounded on the remaining ones, each with half of the
    /// allowed failure. No assumption on the trainer is made. With `n` runs of each kind in the half that bounds, the result cannot
    /// exceed about `ln(n / ln(2 / failure))`.
    ///
    /// # Errors
    /// Those of [`Confidence::shared_by`], which halving a valid confidence does not meet.
    ///
    /// # Source
    /// arXiv 2006.07709 (the test), arXiv 1905.02383, proposition 2.4.
    pub fn lower_bound(&self, delta: Delta, confidence: Confidence) -> Result<TrialsBound> {
        self.best(confidence, |rates| from_rates(rates, delta.get()))
    }

    /// A lower bound on `mu`, and epsilon at `delta` for it, *if the trade-off function is that of a Gaussian mechanism*: releases
    /// of the whole data set. With sampling it is not, and the number is an indication only. Tighter than
    /// [`lower_bound`](Self::lower_bound), since one point of the curve gives all of it.
    ///
    /// # Errors
    /// As [`lower_bound`](Self::lower_bound).
    ///
    /// # Source
    /// arXiv 2302.07956, section 5.
    pub fn lower_bound_if_gaussian(
        &self,
        delta: Delta,
        confidence: Confidence,
    ) -> Result<(GaussianDp, TrialsBound)> {
        let mut bound = self.best(confidence, mu_from_rates)?;
        let gaussian = GaussianDp::new(bound.epsilon.min(f64::MAX))?;
        bound.epsilon = gaussian.epsilon(delta);
        Ok((gaussian, bound))
    }

    /// The best threshold of one half, scored on the other.
    fn best(&self, confidence: Confidence, score: impl Fn(Rates) -> f64) -> Result<TrialsBound> {
        let half = |scores: &[f64], from: usize| -> Vec<f64> {
            let mut half: Vec<f64> = scores.iter().skip(from).step_by(2).copied().collect();
            half.sort_by(f64::total_cmp);
            half
        };
        let choose = (half(&self.with, 0), half(&self.without, 0));
        let judge = (half(&self.with, 1), half(&self.without, 1));
        let each = confidence.shared_by(2)?;
        let mut candidates: Vec<f64> = choose.0.iter().chain(&choose.1).copied().collect();
        candidates.sort_by(f64::total_cmp);
        let stride = candidates.len().div_ceil(THRESHOLDS).max(1);
        let mut best = (f64::NEG_INFINITY, candidates[0]);
        for &threshold in candidates.iter().step_by(stride) {
            let value = score(Rates::of(&choose, threshold, each)?);
            if best.0 < value {
                best = (value, threshold);
            }
        }
        let rates = Rates::of(&judge, best.1, each)?;
        Ok(TrialsBound {
            epsilon: score(rates).max(0.0),
            threshold: best.1,
            true_positives: rates.true_positives,
            false_positives: rates.false_positives,
        })
    }
}

/// Bounds on the rates of one test.
#[derive(Clone, Copy)]
struct Rates {
    /// At least.
    true_positives: f64,
    /// At most.
    false_positives: f64,
}

impl Rates {
    /// Of sorted scores with and without.
    fn of(scores: &(Vec<f64>, Vec<f64>), threshold: f64, each: Confidence) -> Result<Rates> {
        let above = |scores: &[f64]| {
            let below = scores.partition_point(|score| *score < threshold);
            ((scores.len() - below) as u64, scores.len() as u64)
        };
        let ((hits, with), (alarms, without)) = (above(&scores.0), above(&scores.1));
        Ok(Rates {
            true_positives: binomial::at_least(hits, with, each)?,
            false_positives: binomial::at_most(alarms, without, each)?,
        })
    }
}

fn from_rates(rates: Rates, delta: f64) -> f64 {
    let ratio = |p: f64, q: f64| if delta < p { ((p - delta) / q).ln() } else { f64::NEG_INFINITY };
    let present = ratio(rates.true_positives, rates.false_positives);
    present.max(ratio(1.0 - rates.false_positives, 1.0 - rates.true_positives))
}

/// The largest `mu` that both rates exclude: `f_mu(FPR) = 1 - TPR`, with `f_mu` falling in `mu`.
fn mu_from_rates(rates: Rates) -> f64 {
    let missed = 1.0 - rates.true_positives;
    let above = |mu: f64| {
        GaussianDp::new(mu).is_ok_and(|g| missed < g.type_ii_error(rates.false_positives))
    };
    if !above(0.0) {
        return 0.0;
    }
    let (mut low, mut high) = (0.0, 1.0);
    while above(high) && high < 1e3 {
        (low, high) = (high, 2.0 * high);
    }
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if above(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests;
