//! Trainings of one call of the task, and what they come to.

use report::figures::Better;
use report::number::mean_std;

use super::{Setting, TASK};
use crate::error::Result;
use crate::hyfree::{Method, Outcome, Training, train};
use crate::problem::Problem;
use crate::session::{Session, Spread};
use crate::task::curves::mean_and_std;
use crate::task::jobs::{Jobs, worker};
use crate::task::store::Store;

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

    /// Trains with each method, from each of so many seeds.
    pub(super) fn cells<P: Problem + Sync>(
        &mut self,
        (title, problem): (&str, &P),
        methods: &[Method],
        setting: &Setting,
        seeds: u64,
    ) -> Result<Vec<Cell>> {
        let of = |method: &Method| {
            let method = method.clone();
            (0..seeds).map(move |seed| setting.training(&method, seed))
        };
        let trainings: Vec<Training> = methods.iter().flat_map(of).collect();
        let mut outcomes = self.outcomes((title, problem), &trainings)?.into_iter();
        let n = usize::try_from(seeds).unwrap_or(usize::MAX);
        let cell = |method: &Method| Cell {
            method: method.clone(),
            outcomes: outcomes.by_ref().take(n).collect(),
        };
        Ok(methods.iter().map(cell).collect())
    }

    /// Outcomes of these trainings in their order.
    pub(super) fn outcomes<P: Problem + Sync>(
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

    /// Appends an accuracy as a figure.
    pub(super) fn figure(&self, name: &str, cell: &Cell) -> Result<()> {
        let (mean, std) = mean_and_std(&cell.accuracies());
        let n_seeds = u32::try_from(cell.outcomes.len()).unwrap_or(u32::MAX);
        let spread = Spread { better: Better::Higher, std, n_seeds, config: "default".into() };
        self.session.figure(TASK, name, mean, "%", spread)
    }
}

impl Setting {
    /// One training.
    pub(super) fn training(&self, method: &Method, seed: u64) -> Training {
        let Setting { clipping, epsilon, batch_size, steps, .. } = *self;
        Training { method: method.clone(), clipping, epsilon, batch_size, steps, seed }
    }
}

impl Cell {
    /// In percent, one for each seed.
    pub(super) fn accuracies(&self) -> Vec<f64> {
        self.outcomes.iter().map(|o| 100.0 * o.accuracy).collect()
    }

    pub(super) fn mean(&self) -> f64 {
        mean_and_std(&self.accuracies()).0
    }

    pub(super) fn shown(&self) -> String {
        let (mean, std) = mean_and_std(&self.accuracies());
        mean_std(mean, std)
    }

    /// How many points below another, seed by seed.
    pub(super) fn below(&self, other: &Cell) -> Vec<f64> {
        self.accuracies().iter().zip(other.accuracies()).map(|(a, b)| b - a).collect()
    }
}

/// The cell with the best mean; none of no cells.
pub(super) fn best(cells: &[Cell]) -> Option<&Cell> {
    cells.iter().max_by(|a, b| a.mean().total_cmp(&b.mean()))
}
