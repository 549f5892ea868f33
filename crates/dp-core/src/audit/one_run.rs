//! The audit of one run: many canaries, each there or not by the toss of a coin.

use crate::{Confidence, Delta, Error, Result};

use super::binomial;

/// Scores of canaries of which each was among the records with probability one half, independently of the others.
///
/// # Source
/// Steinke, Nasr, Jagielski, arXiv 2305.08846, algorithm 1 and theorem 5.2.
#[derive(Clone, Debug, PartialEq)]
pub struct OneRun {
    /// `(score, whether it was there)`, by falling score.
    ranked: Vec<(f64, bool)>,
}

/// How many guesses are made: "was there" of the largest scores, "was not" of the smallest. Of the others nothing
/// is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guesses {
    /// Guesses of presence.
    pub present: usize,
    /// Guesses of absence.
    pub absent: usize,
}

/// What a trainer's epsilon is at least, and what it rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OneRunBound {
    /// Epsilon is at least this, with the stated confidence.
    pub epsilon: f64,
    /// The guesses that gave it.
    pub guesses: Guesses,
    /// How many of them were right.
    pub n_right: usize,
}

impl OneRun {
    /// The score of each canary, larger if it speaks for presence, and whether it was there.
    ///
    /// # Errors
    /// [`Error::InvalidScalar`] for lists of different length, no canary, or a score that is NaN.
    pub fn new(scores: &[f64], present: &[bool]) -> Result<Self> {
        if scores.len() != present.len() || scores.is_empty() {
            return Err(Error::InvalidScalar {
                name: "number of canaries",
                must: "positive, and that of the scores",
                got: present.len() as f64,
            });
        }
        if let Some(score) = scores.iter().find(|score| score.is_nan()) {
            return Err(Error::InvalidScalar { name: "score", must: "a number", got: *score });
        }
        let mut ranked: Vec<(f64, bool)> =
            scores.iter().copied().zip(present.iter().copied()).collect();
        // Stable: equal scores keep the order of the canaries, which says nothing of their presence.
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        Ok(OneRun { ranked })
    }

    /// A lower bound on epsilon at `delta`: the best over all `choices` of numbers of guesses, which share the allowed failure
    /// evenly. Choices must not depend on who was there.
    ///
    /// # Errors
    /// [`Error::InvalidScalar`] for no choice, or more guesses than canaries.
    pub fn lower_bound(
        &self,
        delta: Delta,
        confidence: Confidence,
        choices: &[Guesses],
    ) -> Result<OneRunBound> {
        let each = confidence.shared_by(choices.len())?;
        let mut best: Option<OneRunBound> = None;
        for &guesses in choices {
            let n_right = self.n_right(guesses)?;
            let epsilon =
                self.epsilon(guesses.present + guesses.absent, n_right, delta.get(), each);
            if best.is_none_or(|best| best.epsilon < epsilon) {
                best = Some(OneRunBound { epsilon, guesses, n_right });
            }
        }
        best.ok_or(Error::InvalidScalar {
            name: "number of choices of guesses",
            must: "positive",
            got: 0.0,
        })
    }

    /// Guesses of the `present` largest and the `absent` smallest scores that were right.
    fn n_right(&self, guesses: Guesses) -> Result<usize> {
        let n = self.ranked.len();
        if n < guesses.present.saturating_add(guesses.absent) {
            return Err(Error::InvalidScalar {
                name: "number of guesses",
                must: "at most that of the canaries",
                got: guesses.present as f64 + guesses.absent as f64,
            });
        }
        let top = self.ranked.iter().take(guesses.present).filter(|(_, there)| *there).count();
        let bottom = self.ranked.iter().rev().take(guesses.absent).filter(|(_, there)| !*there);
        Ok(top + bottom.count())
    }

    /// The largest epsilon below which so many right guesses are too improbable.
    fn epsilon(&self, guesses: usize, right: usize, delta: f64, confidence: Confidence) -> f64 {
        let refuted = |epsilon: f64| {
            p_value(self.ranked.len(), guesses, right, epsilon, delta) <= confidence.failure()
        };
        if !refuted(0.0) {
            return 0.0;
        }
        let (mut low, mut high) = (0.0, 0.5);
        while refuted(high) && high < 1e3 {
            (low, high) = (high, high + 0.5);
        }
        for _ in 0..40 {
            let middle = 0.5 * (low + high);
            if refuted(middle) {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    }
}

/// The probability that an `(epsilon, delta)`-private trainer lets `right` or more of `guesses` be right, at most.
///
/// Pure privacy makes the number of right guesses no larger than binomial with probability `e^eps / (1 + e^eps)`; a positive delta
/// adds `2 m delta max_i Pr[right > X >= right - i] / i`.
fn p_value(canaries: usize, guesses: usize, right: usize, epsilon: f64, delta: f64) -> f64 {
    let accuracy = 1.0 / (1.0 + (-epsilon).exp());
    let (n, v) = (guesses as u64, right as u64);
    let beta = binomial::upper_tail(n, accuracy, v);
    let (mut sum, mut alpha) = (0.0, 0.0_f64);
    for i in 1..=v {
        sum += binomial::term(n, accuracy, v - i);
        alpha = alpha.max(sum / i as f64);
        if sum / (i as f64 + 1.0) < alpha && 1.0 - 1e-12 < sum + beta {
            break; // the sum does not grow any more
        }
    }
    (beta + 2.0 * canaries as f64 * delta * alpha).min(1.0)
}

#[cfg(test)]
mod tests;
