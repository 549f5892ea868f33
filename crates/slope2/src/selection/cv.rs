//! Cross-validation: each fold is predicted by fits on all others.

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::candidates::Candidates;
use super::folds::{Folds, Split};
use super::score::Score;
use crate::datafit::LossScale;
use crate::error::{Error, FoldPart, Result, length};
use crate::observations::{Observations, Preparation};
use crate::problem::{Solution, add_intercepts};
use crate::progress::{Progress, tell};

/// How candidates are compared.
#[derive(Clone, Debug, PartialEq)]
pub struct CrossValidation {
    /// Which rows are held out together.
    pub folds: Folds,
    /// What predictions are judged by.
    pub score: Score,
}

/// The score of one candidate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CandidateScore {
    /// Mean over all folds, each counting alike.
    pub mean: f64,
    /// Its standard error: the standard deviation over the folds of one repeat over the root of their number, averaged
    /// over repeats. Further repeats do not make it smaller, since they see the same rows.
    pub standard_error: f64,
}

/// What cross-validation found.
#[derive(Clone, Debug, PartialEq)]
pub struct Validated {
    /// The score of each candidate.
    pub scores: Vec<CandidateScore>,
    /// The scores on each fold, folds in the order of [`Folds::splits`], candidates in theirs.
    pub by_fold: Vec<Vec<f64>>,
    /// The candidate with the best mean; the first of equal ones.
    pub best: usize,
    /// The one with the strongest penalty among those that are simpler than the best and within one standard error of it.
    pub one_standard_error: usize,
}

impl CrossValidation {
    /// Fits all candidates in all folds, on the threads of the current pool, and scores their predictions.
    ///
    /// Columns are centered and scaled by the rows that are fitted on, never by those held out. Penalties are those per
    /// observation: with [`LossScale::Sum`] they shrink with the number of rows fitted on. Results do not depend on the number
    /// of threads.
    ///
    /// # Errors
    /// [`Error::Length`] if there is not one fold for each row; [`Error::Score`] for a score of other responses; [`Error::Fold`] with those of the fits and of [`Score::of`], for
    /// the first fold that has one; [`Error::Cancelled`] if `progress` asks for it.
    pub fn run(
        &self,
        observations: &Observations<'_>,
        preparation: &Preparation,
        candidates: &dyn Candidates,
        progress: &dyn Progress,
    ) -> Result<Validated> {
        length("rows of the folds", observations.design.n_rows(), self.folds.n_rows())?;
        if candidates.is_empty() {
            return Err(Error::Length { name: "candidates", expected: 1, got: 0 });
        }
        self.score.check(observations.loss)?;
        let splits = self.folds.splits();
        let counter = Counter {
            done: AtomicUsize::new(0),
            failed: AtomicUsize::new(usize::MAX),
            total: splits.len() * candidates.len(),
            progress,
        };
        let fold = |(i, split): (usize, &Split)| {
            let scores =
                self.fold(observations, preparation, candidates, split, &|| counter.count(i));
            scores.map_err(|error| counter.stop_after(i, error))
        };
        let results: Vec<Result<Vec<f64>>> = splits.par_iter().enumerate().map(fold).collect();
        // The first fold with an error was not stopped by others, so it is the same on any number of threads.
        let failed = results.iter().filter_map(|r| r.as_ref().err());
        let mut failed: Vec<&Error> = failed.collect();
        failed.sort_by_key(|e| **e == Error::Cancelled);
        if let Some(error) = failed.first() {
            return Err((*error).clone());
        }
        let by_fold: Vec<Vec<f64>> = results.into_iter().flatten().collect();
        Ok(self.judge(&splits, by_fold, candidates))
    }

    fn fold(
        &self,
        observations: &Observations<'_>,
        preparation: &Preparation,
        candidates: &dyn Candidates,
        split: &Split,
        count: &dyn Fn() -> Result<()>,
    ) -> Result<Vec<f64>> {
        let loss = observations.loss;
        let within = |part: FoldPart| move |error: Error| split.error(part, error);
        let mut train = observations.rows(&split.train)?;
        if rayon::current_num_threads() <= self.folds.splits().len() {
            // Folds are on all threads, and products with threads of their own would only be in their way.
            train.design = train.design.serial();
        }
        let test = observations.rows(&split.test)?;
        let strength = match preparation.loss_scale {
            LossScale::Mean => 1.0,
            LossScale::Sum => 1.0 / observations.y.len() as f64,
        };
        let preparation = Preparation { loss_scale: LossScale::Mean, ..preparation.clone() };
        let mut scores = vec![f64::NAN; candidates.len()];
        let test_design = test.design.stored().in_blocks(loss.n_predictors());
        let mut eta = vec![0.0; test_design.n_rows()];
        let fits = train.observations(loss).with_problem(&preparation, |problem| {
            candidates.fit_each(problem, strength, &mut |candidate, solution| {
                let (intercepts, coefficients) =
                    problem.design.on_original_scale(&solution.intercepts, &solution.coefficients);
                test_design.apply(&coefficients, &mut eta);
                add_intercepts(&intercepts, test.y.len(), &mut eta);
                let score = self.score.of(loss, &test.y, &eta, test.weights.as_deref());
                let score = score.map_err(within(FoldPart::HeldOut))?;
                let none = Error::NoCandidate { candidate, n: scores.len() };
                *scores.get_mut(candidate).ok_or(none)? = score;
                count()
            })
        });
        fits.map_err(within(FoldPart::Fitted))?;
        Ok(scores)
    }

    fn judge(
        &self,
        splits: &[Split],
        by_fold: Vec<Vec<f64>>,
        candidates: &dyn Candidates,
    ) -> Validated {
        let scores: Vec<CandidateScore> = (0..candidates.len())
            .map(|c| {
                let column: Vec<f64> = by_fold.iter().map(|scores| scores[c]).collect();
                let mean = average(&column);
                let mut errors = Vec::new();
                let mut start = 0;
                for repeat in splits.chunk_by(|a, b| a.repeat == b.repeat) {
                    let scores = &column[start..start + repeat.len()];
                    start += repeat.len();
                    let center = average(scores);
                    let squares: f64 = scores.iter().map(|s| (s - center).powi(2)).sum();
                    let n = scores.len() as f64;
                    errors.push((squares / (n - 1.0) / n).sqrt());
                }
                CandidateScore { mean, standard_error: average(&errors) }
            })
            .collect();
        let loss = |c: usize| self.score.loss(scores[c].mean);
        let mut best = 0;
        for c in 1..scores.len() {
            if loss(c) < loss(best) || loss(best).is_nan() {
                best = c;
            }
        }
        let limit = loss(best) + scores[best].standard_error;
        let mut simpler = candidates.simpler_than(best).into_iter().filter(|c| *c < scores.len());
        let one_standard_error = simpler.find(|c| loss(*c) <= limit).unwrap_or(best);
        Validated { scores, by_fold, best, one_standard_error }
    }

    /// Fits one candidate on all rows: its solution for columns as they are fitted.
    ///
    /// # Errors
    /// [`Error::NoCandidate`] and those of the fit.
    pub fn refit(
        observations: &Observations<'_>,
        preparation: &Preparation,
        candidates: &dyn Candidates,
        candidate: usize,
    ) -> Result<Solution> {
        observations.with_problem(preparation, |problem| candidates.fit_one(problem, candidate))
    }
}

fn average(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

impl Split {
    /// An error with the fold it belongs to, unless that is said already or it is of no fold.
    fn error(&self, part: FoldPart, error: Error) -> Error {
        match error {
            Error::Cancelled | Error::Fold { .. } => error,
            source => {
                let (repeat, fold) = (self.repeat + 1, self.fold + 1);
                Error::Fold { repeat, fold, part, source: Box::new(source) }
            }
        }
    }
}

/// Fits that are done, of all threads.
struct Counter<'a> {
    done: AtomicUsize,
    /// The first fold with an error; 0 too where all are to end.
    failed: AtomicUsize,
    total: usize,
    progress: &'a dyn Progress,
}

impl Counter<'_> {
    /// One more fit of a fold, unless one before it has an error.
    fn count(&self, fold: usize) -> Result<()> {
        if self.failed.load(Ordering::Relaxed) < fold {
            return Err(Error::Cancelled);
        }
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        tell(self.progress, done, self.total)
    }

    /// Ends the folds after one with an error, or all of them where that is asked for.
    fn stop_after(&self, fold: usize, error: Error) -> Error {
        let asked = error == Error::Cancelled && fold <= self.failed.load(Ordering::Relaxed);
        if asked || error != Error::Cancelled {
            self.failed.fetch_min(if asked { 0 } else { fold }, Ordering::Relaxed);
        }
        error
    }
}
