//! Runs of one call of the task, and the worlds they happen in.

use std::sync::{Arc, Mutex};

use report::figures::Better;
use tape_nn::net::Gpt;

use super::{GRID, Scale, TASK, TUNING_SEED};
use crate::error::{Error, Result};
use crate::forgetting::{Base, Kept, Outcome, Rates, Training, World, made, unlearn};
use crate::session::{Session, Spread};
use crate::task::curves::mean_and_std;
use crate::task::jobs::{Jobs, worker};
use crate::task::store::Store;

pub(super) struct Runs<'s> {
    pub(super) session: &'s Session,
    pub(super) scale: Scale,
    store: Store<Outcome>,
    worlds: Vec<(u64, Arc<World<Gpt>>)>,
}

/// A method at its rate, with one outcome for each seed.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) training: Training,
    pub(super) at_end: bool,
    pub(super) outcomes: Vec<Outcome>,
}

impl Cell {
    /// One value for each seed.
    pub(super) fn values(&self, of: impl Fn(&Outcome) -> f64) -> Vec<f64> {
        self.outcomes.iter().map(of).collect()
    }
}

impl<'s> Runs<'s> {
    pub(super) fn open(session: &'s Session, scale: Scale) -> Result<Self> {
        Ok(Runs { session, scale, store: Store::open(session, TASK)?, worlds: Vec::new() })
    }

    pub(super) fn training(&self, method: &str, rate: f64, seed: u64) -> Training {
        Training {
            method: method.to_owned(),
            base: Base::AdamW,
            rate,
            rates: Rates::Constant,
            steps: self.scale.steps,
            batch: self.scale.batch,
            checks: self.scale.checks,
            checked: self.scale.checked,
            micro_batch: 4,
            to_gold: true,
            rank: None,
            seed,
        }
    }

    /// The worlds of these seeds, taught side by side.
    pub(super) fn worlds(&mut self, seeds: &[u64]) -> Result<Vec<Arc<World<Gpt>>>> {
        let missing: Vec<u64> =
            seeds.iter().copied().filter(|s| self.worlds.iter().all(|w| w.0 != *s)).collect();
        let progress =
            self.session.progress.task(format!("{TASK}: teaching"), missing.len() as u64);
        let new = Mutex::new(Vec::new());
        let (session, size) = (self.session, self.scale.size);
        let folder = session.path("runs/unlearn");
        let stop = || session.interrupt.is_set();
        let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build();
        let pool = pool.map_err(|e| worker(&e))?;
        pool.scope(|scope| {
            for seed in missing {
                let (new, folder, progress) = (&new, &folder, &progress);
                scope.spawn(move |_| {
                    let kept = Kept {
                        folder,
                        commit: &session.commit,
                        resume: session.resume,
                        task: progress,
                    };
                    let taught = made(&size, seed).and_then(|start| start.taught(&kept, &stop));
                    if let Ok(mut new) = new.lock() {
                        new.push((seed, taught));
                    }
                    progress.advance(1);
                });
            }
        });
        progress.finish();
        for (seed, world) in new.into_inner().map_err(|e| worker(&e))? {
            self.worlds.push((seed, Arc::new(world?)));
        }
        let of = |seed: &u64| {
            let known = self.worlds.iter().find(|w| w.0 == *seed);
            known.map(|w| w.1.clone()).ok_or(Error::TooFewRuns)
        };
        seeds.iter().map(of).collect()
    }

    /// Outcomes of these runs, each in the world of its seed.
    pub(super) fn outcomes(&mut self, title: &str, trainings: &[Training]) -> Result<Vec<Outcome>> {
        let mut keys = Vec::with_capacity(trainings.len());
        for training in trainings {
            let text = serde_json::to_string(training).map_err(|e| worker(&e))?;
            keys.push(format!("{} {text}", self.scale.size.name));
        }
        let mut seeds: Vec<u64> = trainings.iter().map(|t| t.seed).collect();
        seeds.sort_unstable();
        seeds.dedup();
        let worlds = self.worlds(&seeds)?;
        let jobs = Jobs { title, keys: &keys, jobs: trainings };
        jobs.run(self.session, &mut self.store, |training, stop| {
            let at = seeds.iter().position(|s| *s == training.seed).ok_or(Error::TooFewRuns)?;
            unlearn(&worlds[at], training, stop)
        })
    }

    /// Each method at the rate of the grid that comes nearest to the gold model for the tuning seed, and whether that is an end of the grid.
    pub(super) fn chosen(
        &mut self,
        title: &str,
        methods: &[&str],
    ) -> Result<Vec<(Training, bool)>> {
        let trials: Vec<Training> = methods
            .iter()
            .flat_map(|method| GRID.map(|rate| self.training(method, rate, TUNING_SEED)))
            .collect();
        let tried = self.outcomes(&format!("{TASK}: rates of {title}"), &trials)?;
        let best = |(trials, tried): (&[Training], &[Outcome])| {
            let nearest = |a: &usize, b: &usize| {
                tried[*a].summary.distance.total_cmp(&tried[*b].summary.distance)
            };
            let best = (0..GRID.len()).min_by(nearest).unwrap_or(0);
            (trials[best].clone(), best == 0 || best + 1 == GRID.len())
        };
        Ok(trials.chunks(GRID.len()).zip(tried.chunks(GRID.len())).map(best).collect())
    }

    /// Each method at the rate that is chosen for it, with all seeds.
    pub(super) fn tuned(&mut self, title: &str, methods: &[&str]) -> Result<Vec<Cell>> {
        let chosen = self.chosen(title, methods)?;
        let seeds = self.scale.seeds;
        let all: Vec<Training> = chosen
            .iter()
            .flat_map(|(t, _)| (0..seeds).map(move |seed| Training { seed, ..t.clone() }))
            .collect();
        let mut outcomes = self.outcomes(&format!("{TASK}: {title}"), &all)?.into_iter();
        let n = usize::try_from(seeds).unwrap_or(usize::MAX);
        let cell = |(training, at_end): (Training, bool)| Cell {
            training,
            at_end,
            outcomes: outcomes.by_ref().take(n).collect(),
        };
        Ok(chosen.into_iter().map(cell).collect())
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
        let spread = Spread { better, std, n_seeds, config: self.scale.size.name.into() };
        self.session.figure(TASK, name, mean, unit, spread)
    }
}
