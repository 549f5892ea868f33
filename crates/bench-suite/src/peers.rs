//! Other libraries on the shapes of the engine benchmark, measured in processes of their own.
//!
//! [`Environment::prepare`] makes a throw-away Python environment with pinned versions,
//! [`Worker::start`] runs one library on one task in it, and [`Worker::step_times`] asks for
//! complete steps, so that the benchmark can alternate them with its own. A library that cannot be
//! had here is an [`Error`] with a sentence to print, never a failed benchmark.
//!
//! Nothing here is timed on our side: the worker reads its own process CPU time.

pub mod client;
pub(crate) mod environment;
mod error;
mod job;
pub(crate) mod process;
#[cfg(test)]
mod tests;
mod worker;

use std::collections::BTreeMap;

pub use environment::Environment;
pub use error::{Error, Result};
pub use job::{Job, Memory, Optimizer, Peer, Task};
pub use worker::{Limits, Ready, StepTimes, Worker};

/// Medians over the steps of one worker.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// Median process CPU time of a step in seconds, all threads together.
    pub cpu_s: f64,
    /// Median wall time of a step in seconds.
    pub wall_s: f64,
    /// Median CPU seconds by part of the step; empty for a library without parts.
    pub parts: BTreeMap<String, f64>,
    /// Largest resident size in bytes minus the resident size before the first step.
    pub peak_bytes: u64,
    /// Resident size in bytes before the first step: libraries, model and batch.
    pub rss_before_bytes: u64,
    /// Versions of what was measured, by name.
    pub versions: BTreeMap<String, String>,
}

/// Starts a worker for `job`, does `n_warm_up` steps, then `n` steps, and takes medians.
///
/// For comparisons on a machine whose speed drifts, alternate [`Worker::step_times`] instead.
///
/// # Errors
/// Those of [`Worker::start`] and [`Worker::step_times`].
pub fn measure(
    environment: &Environment,
    job: &Job,
    n_warm_up: usize,
    n: usize,
) -> Result<Measurement> {
    let mut worker = Worker::start(environment, job, Limits::default())?;
    worker.step_times(n_warm_up)?;
    let times = worker.step_times(n)?;
    let ready = worker.ready();
    Ok(Measurement {
        cpu_s: median(&times.cpu_s),
        wall_s: median(&times.wall_s),
        parts: times.parts.iter().map(|(name, cpu_s)| (name.clone(), median(cpu_s))).collect(),
        peak_bytes: times.peak_rss_bytes.saturating_sub(ready.rss_before_bytes),
        rss_before_bytes: ready.rss_before_bytes,
        versions: ready.versions.clone(),
    })
}

/// The middle value, of an even number the mean of the two in the middle; NaN of none.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.len() % 2) {
        (Some(&upper), 0) => 0.5 * (sorted[middle - 1] + upper),
        (Some(&value), _) => value,
        (None, _) => f64::NAN,
    }
}
