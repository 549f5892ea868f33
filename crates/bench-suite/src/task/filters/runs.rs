//! Trainings of one call of the task, and what they come to.

use report::figures::Better;
use report::number::mean_std;

use super::{SEEDS, Setting, TASK, TUNING_SEED};
use crate::error::{Error, Result};
use crate::filters::{Base, Filtering, Outcome, Training, Watch, train};
use crate::problem::Problem;
use crate::session::{Session, Spread};
use crate::task::curves::mean_and_std;
use crate::task::jobs::{Jobs, worker};
use crate::task::store::Store;

pub(super) struct Runs<'s> {
    pub(super) session: &'s Session,
    store: Store<Outcome>,
}

/// What tells good trainings from bad ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quality {
    /// Held-out samples classified correctly, in percent.
    Accuracy,
    /// Held-out loss, in nats for each token.
    Loss,
}

impl Quality {
    pub(super) fn caption(self) -> &'static str {
        match self {
            Quality::Accuracy => "Test accuracy in percent",
            Quality::Loss => "Held-out loss in nats for each token",
        }
    }

    pub(super) fn unit(self) -> (&'static str, Better) {
        match self {
            Quality::Accuracy => ("%", Better::Higher),
            Quality::Loss => ("nats", Better::Lower),
        }
    }
}

/// A method at its rate, with its outcomes, one for each seed.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) filtering: Filtering,
    pub(super) rate: f64,
    pub(super) outcomes: Vec<Outcome>,
}

impl<'s> Runs<'s> {
    pub(super) fn open(session: &'s Session) -> Result<Self> {
        Ok(Runs { session, store: Store::open(session, TASK)? })
    }

    /// The best rate of the grid for each filter, at the first epsilon.
    pub(super) fn rates<P: Problem + Sync>(
        &mut self,
        problem: &P,
        (setting, base): (&Setting, Base),
        grid: &[f64],
    ) -> Result<Vec<f64>> {
        let of = |filtering: Filtering| {
            grid.iter().map(move |rate| Training {
                seed: TUNING_SEED,
                ..setting.training(filtering, base, *rate)
            })
        };
        let trainings: Vec<Training> = Filtering::all(base).into_iter().flat_map(of).collect();
        let title = format!("{}, {}, rates", setting.key, base.name());
        let outcomes = self.outcomes((&title, problem), &trainings)?;
        let best = |outcomes: &[Outcome]| {
            let scored = grid.iter().zip(outcomes);
            let best = scored.max_by(|a, b| a.1.score().total_cmp(&b.1.score()));
            best.map(|(rate, _)| *rate).ok_or(Error::TooFewRuns)
        };
        outcomes.chunks(grid.len()).map(best).collect()
    }

    /// Each filter at its rate, from each seed.
    pub(super) fn cells<P: Problem + Sync>(
        &mut self,
        problem: &P,
        (setting, base, epsilon): (&Setting, Base, f64),
        rates: &[f64],
    ) -> Result<Vec<Cell>> {
        // Behind an optimizer with memory of its own the estimate is not what moves the parameters.
        let watched = setting.watched && base == Base::Sgd;
        let of = |(filtering, rate): (Filtering, &f64)| {
            let training = Training { epsilon, ..setting.training(filtering, base, *rate) };
            (0..SEEDS).map(move |seed| {
                let watch = match (watched, filtering) {
                    (false, _) => Watch::Nothing,
                    (true, Filtering::None) => Watch::ErrorsAndCorrelation,
                    (true, _) => Watch::Errors,
                };
                Training { seed, watch, ..training.clone() }
            })
        };
        let trainings: Vec<Training> =
            Filtering::all(base).into_iter().zip(rates).flat_map(of).collect();
        let title = format!("{}, {}, epsilon {epsilon}", setting.key, base.name());
        let mut outcomes = self.outcomes((&title, problem), &trainings)?.into_iter();
        let n = usize::try_from(SEEDS).unwrap_or(usize::MAX);
        let cell = |(filtering, rate): (Filtering, &f64)| Cell {
            filtering,
            rate: *rate,
            outcomes: outcomes.by_ref().take(n).collect(),
        };
        Ok(Filtering::all(base).into_iter().zip(rates).map(cell).collect())
    }

    fn outcomes<P: Problem + Sync>(
        &mut self,
        (title, problem): (&str, &P),
        trainings: &[Training],
    ) -> Result<Vec<Outcome>> {
        let mut keys = Vec::with_capacity(trainings.len());
        for training in trainings {
            let text = serde_json::to_string(training).map_err(|e| worker(&e))?;
            keys.push(format!("{} {text}", problem.name()));
        }
        let title = format!("{TASK}: {title}");
        let jobs = Jobs { title: &title, keys: &keys, jobs: trainings };
        jobs.run(self.session, &mut self.store, |training, stop| train(problem, training, stop))
    }

    /// Appends the mean of values over seeds as a figure.
    pub(super) fn figure(
        &self,
        name: &str,
        values: &[f64],
        unit: &str,
        better: Better,
    ) -> Result<()> {
        let (mean, std) = mean_and_std(values);
        let n_seeds = u32::try_from(values.len()).unwrap_or(u32::MAX);
        let spread = Spread { better, std, n_seeds, config: "default".into() };
        self.session.figure(TASK, name, mean, unit, spread)
    }
}

impl Outcome {
    /// What the best of a grid is the largest of: accuracy, or the loss where there is none or the training diverged.
    fn score(&self) -> f64 {
        let loss = if self.test_loss.is_finite() { self.test_loss } else { f64::MAX };
        if 0.0 < self.accuracy { self.accuracy } else { -loss }
    }
}

impl Cell {
    /// One for each seed.
    pub(super) fn qualities(&self, quality: Quality) -> Vec<f64> {
        let of = |outcome: &Outcome| match quality {
            Quality::Accuracy => 100.0 * outcome.accuracy,
            Quality::Loss => outcome.test_loss,
        };
        self.outcomes.iter().map(of).collect()
    }

    /// Mean and deviation over seeds.
    pub(super) fn shown(&self, quality: Quality) -> String {
        let (mean, std) = mean_and_std(&self.qualities(quality));
        mean_std(mean, std)
    }

    /// By how much it is better than another, seed by seed.
    pub(super) fn gain(&self, other: &Cell, quality: Quality) -> Vec<f64> {
        let (ours, theirs) = (self.qualities(quality), other.qualities(quality));
        let gain = |(a, b): (f64, f64)| match quality {
            Quality::Accuracy => a - b,
            Quality::Loss => b - a,
        };
        ours.into_iter().zip(theirs).map(gain).collect()
    }

    /// Mean error of the estimate over the mean error of an unfiltered gradient, one for each seed; without the first steps, in which
    /// filters have seen little.
    pub(super) fn error_ratios(&self) -> Vec<f64> {
        let ratio = |outcome: &Outcome| {
            let late = || outcome.points.iter().filter(|point| 20 <= point.step);
            let raw: f64 = late().map(|point| point.raw).sum();
            late().map(|point| point.filtered).sum::<f64>() / raw
        };
        self.outcomes.iter().map(ratio).filter(|ratio| ratio.is_finite()).collect()
    }

    /// Mean error of an unfiltered gradient over the squared norm of the truth, one for each seed.
    pub(super) fn noise_ratios(&self) -> Vec<f64> {
        let ratio = |outcome: &Outcome| {
            let late = || outcome.points.iter().filter(|point| 20 <= point.step);
            let raw: f64 = late().map(|point| point.raw).sum();
            raw / late().map(|point| point.truth).sum::<f64>()
        };
        self.outcomes.iter().map(ratio).filter(|ratio| ratio.is_finite()).collect()
    }
}
