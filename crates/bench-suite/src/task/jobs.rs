//! Many runs, side by side, each on one thread.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::store::Store;
use crate::error::{Error, Result};
use crate::session::Session;

/// Runs that share a bar of progress.
pub(super) struct Jobs<'a, J> {
    pub(super) title: &'a str,
    /// Under which their results are stored.
    pub(super) keys: &'a [String],
    pub(super) jobs: &'a [J],
}

impl<J: Sync> Jobs<'_, J> {
    /// Results of all in their order, known ones from the store. As many at once as there are processors; which thread works
    /// changes nothing. `work` is told when to stop.
    pub(super) fn run<T: Clone + Send + Serialize + DeserializeOwned>(
        &self,
        session: &Session,
        store: &mut Store<T>,
        work: impl Fn(&J, &(dyn Fn() -> bool + Sync)) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let Jobs { title, keys, jobs } = *self;
        let todo: Vec<usize> =
            (0..keys.len().min(jobs.len())).filter(|i| store.get(&keys[*i]).is_none()).collect();
        let task = session.progress.task(title, keys.len() as u64);
        task.advance((keys.len() - todo.len()) as u64);
        let n_threads = std::thread::available_parallelism().map_or(1, usize::from).min(todo.len());
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let (sender, receiver) = mpsc::channel();
        let interrupt = &session.interrupt;
        let stop = || interrupt.is_set() || failed.load(Ordering::Relaxed);
        let thread = |sender: mpsc::Sender<(usize, Result<T>)>| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
            while let Some(i) = todo.get(next.fetch_add(1, Ordering::Relaxed)) {
                let outcome = match &pool {
                    Ok(pool) => pool.install(|| work(&jobs[*i], &stop)),
                    Err(error) => Err(worker(error)),
                };
                let is_over = outcome.is_err();
                if sender.send((*i, outcome)).is_err() || is_over {
                    return;
                }
            }
        };
        let mut error = None;
        std::thread::scope(|scope| {
            for _ in 0..n_threads {
                let sender = sender.clone();
                let thread = &thread;
                scope.spawn(move || thread(sender));
            }
            drop(sender);
            for (i, outcome) in receiver {
                let kept = outcome.and_then(|outcome| store.put(&keys[i], outcome));
                task.advance(1);
                if let Err(e) = kept {
                    failed.store(true, Ordering::Relaxed);
                    error.get_or_insert(e);
                }
            }
        });
        if let Some(error) = error {
            return Err(error);
        }
        task.finish();
        keys.iter().map(|key| store.get(key).cloned().ok_or(Error::Interrupted)).collect()
    }
}

/// What went wrong in a run.
pub(super) fn worker(error: &impl std::fmt::Display) -> Error {
    Error::Worker { reason: error.to_string() }
}
