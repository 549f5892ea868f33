//! Many trainings, side by side, each on one thread, and what they come to.

use std::ops::Range;

use report::figures::Better;
use report::number::{mean_std, significant};

use sha2::{Digest, Sha256};

use super::{BATCH, SEEDS, SEEDS_OF_FULL, STEPS, TASK};
use crate::autorate::{Method, Outcome, Subject, Training, train};
use crate::error::Result;
use crate::session::{Session, Spread};
use crate::task::curves::mean_and_std;
use crate::task::jobs::{Jobs, worker};
use crate::task::store::Store;

/// Trainings of one call of the task.
pub(super) struct Runs<'s> {
    pub(super) session: &'s Session,
    store: Store<Outcome>,
}

/// A method with its outcomes, one for each seed.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) method: Method,
    pub(super) outcomes: Vec<Outcome>,
}

impl<'s> Runs<'s> {
    pub(super) fn open(session: &'s Session) -> Result<Self> {
        Ok(Runs { session, store: Store::open(session, TASK)? })
    }

    pub(super) fn seeds(&self) -> Range<u64> {
        0..if self.session.full { SEEDS_OF_FULL } else { SEEDS }
    }

    /// Trains on digits with each method, from each seed.
    pub(super) fn cells<S: Subject>(
        &mut self,
        title: &str,
        subject: (&str, &S),
        methods: &[Method],
        seeds: Range<u64>,
    ) -> Result<Vec<Cell>> {
        self.sized(title, subject, methods, seeds, (STEPS, BATCH))
    }

    /// The same for other numbers of steps and sizes of batches.
    pub(super) fn sized<S: Subject>(
        &mut self,
        title: &str,
        subject: (&str, &S),
        methods: &[Method],
        seeds: Range<u64>,
        (steps, batch_size): (u64, usize),
    ) -> Result<Vec<Cell>> {
        let of = |method: &Method| {
            let method = method.clone();
            seeds.clone().map(move |seed| Training {
                method: method.clone(),
                steps,
                batch_size,
                seed,
            })
        };
        let trainings: Vec<Training> = methods.iter().flat_map(of).collect();
        let mut outcomes = self.outcomes(title, subject, &trainings)?.into_iter();
        let per_method = usize::try_from(seeds.end - seeds.start).unwrap_or(usize::MAX);
        Ok(methods
            .iter()
            .map(|method| Cell {
                method: method.clone(),
                outcomes: outcomes.by_ref().take(per_method).collect(),
            })
            .collect())
    }

    /// Outcomes of all trainings in their order.
    fn outcomes<S: Subject>(
        &mut self,
        title: &str,
        (name, subject): (&str, &S),
        trainings: &[Training],
    ) -> Result<Vec<Outcome>> {
        let mut keys = Vec::with_capacity(trainings.len());
        for training in trainings {
            let text = serde_json::to_string(training).map_err(|e| worker(&e))?;
            keys.push(format!("{name} {text}"));
        }
        let title = format!("{TASK}: {title}");
        let jobs = Jobs { title: &title, keys: &keys, jobs: trainings };
        jobs.run(self.session, &mut self.store, |training, stop| train(subject, training, stop))
    }

    /// Appends the geometric mean of the loss, and the accuracy, as figures.
    pub(super) fn figures(&self, name: &str, cell: &Cell) -> Result<()> {
        let n_seeds = u32::try_from(cell.outcomes.len()).unwrap_or(u32::MAX);
        let text = serde_json::to_string(&cell.method).map_err(|e| worker(&e))?;
        let digest = Sha256::digest(text.as_bytes());
        let config: String = digest.iter().take(6).map(|b| format!("{b:02x}")).collect();
        let record = |what: &str, value: f64, std: Option<f64>, unit: &str, better| {
            if !value.is_finite() {
                return Ok(());
            }
            let std = std.filter(|std| std.is_finite());
            let spread = Spread { better, std, n_seeds, config: config.clone() };
            self.session.figure(TASK, &format!("{name}-{what}"), value, unit, spread)
        };
        record("loss", cell.loss(), None, "nats", Better::Lower)?;
        if let Some((mean, std)) = cell.accuracy() {
            record("accuracy", mean, std, "%", Better::Higher)?;
        }
        Ok(())
    }

    /// Appends a number as a figure.
    pub(super) fn figure(&self, name: &str, values: &[f64], unit: &str) -> Result<()> {
        let (mean, std) = mean_and_std(values);
        if !mean.is_finite() {
            return Ok(());
        }
        let n_seeds = u32::try_from(values.len()).unwrap_or(u32::MAX);
        let spread = Spread { better: Better::Lower, std, n_seeds, config: "default".into() };
        self.session.figure(TASK, name, mean, unit, spread)
    }
}

/// The loss at the end, or that of the first batch where that is smaller.
fn learned(outcome: &Outcome) -> f64 {
    outcome.losses.first().copied().filter(|loss| loss.is_finite()).map_or(outcome.loss, |first| {
        if outcome.loss.is_finite() { outcome.loss.min(first) } else { first }
    })
}

impl Cell {
    /// Logarithms of the losses. What diverged, or ended above where it began, counts as having learned nothing: with the loss of its
    /// first batch. One such seed then weighs as much as it should, and no mean of logarithms is infinite.
    pub(super) fn logs(&self) -> Vec<f64> {
        self.outcomes.iter().map(|o| learned(o).max(f64::MIN_POSITIVE).ln()).collect()
    }

    /// The geometric mean of the losses.
    pub(super) fn loss(&self) -> f64 {
        mean_and_std(&self.logs()).0.exp()
    }

    /// Logarithms of the losses over those of another method, seed by seed.
    pub(super) fn over(&self, other: &Cell) -> Vec<f64> {
        self.logs().iter().zip(other.logs()).map(|(a, b)| a - b).collect()
    }

    /// Mean and standard deviation of the accuracy in percent.
    pub(super) fn accuracy(&self) -> Option<(f64, Option<f64>)> {
        let values: Option<Vec<f64>> = self.outcomes.iter().map(|o| o.accuracy).collect();
        values.map(|v| mean_and_std(&v.iter().map(|a| 100.0 * a).collect::<Vec<_>>()))
    }

    pub(super) fn forwards(&self) -> f64 {
        mean_and_std(&self.outcomes.iter().map(|o| o.n_forwards as f64).collect::<Vec<_>>()).0
    }

    pub(super) fn seconds(&self) -> f64 {
        mean_and_std(&self.outcomes.iter().map(|o| o.cpu_s).collect::<Vec<_>>()).0
    }

    /// Loss with its range over seeds, accuracy, forward passes and seconds, as cells of a table.
    pub(super) fn shown(&self) -> [String; 5] {
        let losses = || self.outcomes.iter().map(|o| o.loss);
        let (low, high) = (losses().fold(f64::INFINITY, f64::min), losses().fold(0.0, f64::max));
        [
            loss_text(self.loss()),
            format!("{} to {}", loss_text(low), loss_text(high)),
            self.accuracy().map_or_else(String::new, |(mean, std)| mean_std(mean, std)),
            significant(self.forwards(), 4),
            significant(self.seconds(), 2),
        ]
    }
}

/// A loss, or that there is none.
pub(super) fn loss_text(loss: f64) -> String {
    if loss.is_finite() { significant(loss, 3) } else { "diverged".into() }
}

/// The cell with the least loss; none of no cells.
pub(super) fn best(cells: &[Cell]) -> Option<&Cell> {
    cells.iter().min_by(|a, b| a.loss().total_cmp(&b.loss()))
}
