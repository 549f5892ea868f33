//! One library on one task, answering requests for steps over JSON lines.

use std::{collections::BTreeMap, io::Write, path::Path, process::Command, time::Duration};

use serde::{Deserialize, de::DeserializeOwned};

use super::{
    Environment, Error, Job, Memory, Peer, Result,
    process::{Line, Running, in_words},
};

/// Thresholds of the allocator with [`Memory::Kept`].
const KEPT_BYTES: &str = "1073741824";

/// How long a worker may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// From the start until model and batch are built (for JAX: compiled).
    pub ready: Duration,
    /// For a request, however few steps it asks for.
    pub request: Duration,
    /// For each step of a request, on top.
    pub step: Duration,
    /// For the end after its input has ended; then it is killed.
    pub end: Duration,
}

impl Default for Limits {
    /// Five minutes to get ready, one for a request and half a minute for each of its steps.
    fn default() -> Self {
        Limits {
            ready: Duration::from_secs(300),
            request: Duration::from_secs(60),
            step: Duration::from_secs(30),
            end: Duration::from_secs(5),
        }
    }
}

/// What a worker says of itself before its first step.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Ready {
    /// Trainable numbers of its network.
    pub parameters: u64,
    /// Threads that it was told to use.
    pub threads: u64,
    /// Resident size in bytes: libraries, model and batch.
    pub rss_before_bytes: u64,
    /// Versions of Python and of the libraries, by name.
    pub versions: BTreeMap<String, String>,
}

/// The answer to a request for steps; one value per step where it is a list.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct StepTimes {
    /// Process CPU seconds, all threads together.
    pub cpu_s: Vec<f64>,
    /// Wall seconds.
    pub wall_s: Vec<f64>,
    /// Resident size in bytes after the last step.
    pub rss_bytes: u64,
    /// Largest resident size in bytes since the first step began.
    pub peak_rss_bytes: u64,
    /// CPU seconds of `forward`, `backward` and `optimizer`; empty for a library without parts.
    pub parts: BTreeMap<String, Vec<f64>>,
}

impl StepTimes {
    /// Whether every list has `n` finite values that are not negative.
    fn is_complete(&self, n: usize) -> bool {
        let is_sound = |values: &Vec<f64>| {
            values.len() == n && values.iter().all(|value| value.is_finite() && 0.0 <= *value)
        };
        // No steps, no parts.
        is_sound(&self.cpu_s) && is_sound(&self.wall_s) && self.parts.values().all(is_sound)
    }
}

/// A running worker. It is killed when dropped.
#[derive(Debug)]
pub struct Worker {
    running: Running,
    peer: Peer,
    limits: Limits,
    ready: Ready,
    failed: bool,
}

impl Worker {
    /// Starts a worker and waits until it has built its model and batch.
    ///
    /// # Errors
    /// [`Error::Absent`] if the peer's packages could not be installed, else as
    /// [`Worker::step_times`]; also [`Error::Answer`] if its network has another number of parameters
    /// than the task.
    pub fn start(environment: &Environment, job: &Job, limits: Limits) -> Result<Self> {
        let mut command = command(environment.python(job.peer)?, &environment.script(), job);
        Self::from_command(&mut command, job, limits)
    }

    /// The same for any program that speaks the protocol.
    pub(super) fn from_command(command: &mut Command, job: &Job, limits: Limits) -> Result<Self> {
        let running = Running::start(command).map_err(|source| Error::Start {
            what: format!("the worker of {}", job.peer),
            source,
        })?;
        let ready =
            Ready { parameters: 0, threads: 0, rss_before_bytes: 0, versions: BTreeMap::new() };
        let mut worker = Worker { running, peer: job.peer, limits, ready, failed: false };
        let (ready, line): (Ready, String) = worker.answer("`ready`", limits.ready)?;
        if ready.parameters != job.task.n_parameters() {
            let expected = format!("{} parameters", job.task.n_parameters());
            return Err(worker.wrong_answer(expected, &line));
        }
        worker.ready = ready;
        Ok(worker)
    }

    /// What the worker said before its first step.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Asks for `n` complete steps and waits for their times. The first steps of a worker are slow.
    ///
    /// # Errors
    /// [`Error::Died`], [`Error::Timeout`] or [`Error::Answer`], each with the end of the worker's
    /// stderr; after one of them the worker is stopped, and every further call is
    /// [`Error::Stopped`].
    pub fn step_times(&mut self, n: usize) -> Result<StepTimes> {
        if self.failed {
            return Err(Error::Stopped { peer: self.peer });
        }
        let request = format!("{{\"steps\":{n}}}\n");
        let sent = match self.running.stdin() {
            Some(stdin) => stdin.write_all(request.as_bytes()).and_then(|()| stdin.flush()).is_ok(),
            None => false,
        };
        if !sent {
            return Err(self.died());
        }
        let steps = u32::try_from(n).unwrap_or(u32::MAX);
        let limit = self.limits.request.saturating_add(self.limits.step.saturating_mul(steps));
        let (times, line): (StepTimes, String) =
            self.answer("`cpu_s` and its companions", limit)?;
        if times.is_complete(n) {
            Ok(times)
        } else {
            Err(self.wrong_answer(format!("{n} finite times in each list"), &line))
        }
    }

    /// The next line as `T`, and as it came.
    fn answer<T: DeserializeOwned>(
        &mut self,
        expected: &str,
        limit: Duration,
    ) -> Result<(T, String)> {
        match self.running.line(limit) {
            Line::Text(line) => match serde_json::from_str(&line) {
                Ok(answer) => Ok((answer, line)),
                Err(_) => Err(self.wrong_answer(expected.to_owned(), &line)),
            },
            Line::End => Err(self.died()),
            Line::Timeout => {
                self.stop();
                let stderr = self.running.stderr_tail();
                Err(Error::Timeout { peer: self.peer, limit, stderr })
            }
        }
    }

    fn died(&mut self) -> Error {
        self.failed = true;
        let status = in_words(self.running.wait(self.limits.end));
        Error::Died { peer: self.peer, status, stderr: self.running.stderr_tail() }
    }

    fn wrong_answer(&mut self, expected: String, line: &str) -> Error {
        self.stop();
        let got = line.chars().take(120).collect();
        Error::Answer { peer: self.peer, expected, got, stderr: self.running.stderr_tail() }
    }

    fn stop(&mut self) {
        self.failed = true;
        self.running.kill();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // A worker that is well quits at the end of its input; `Running` kills what is left.
        if !self.failed {
            let _ = self.running.wait(self.limits.end);
        }
    }
}

/// The command line and the environment variables of a worker.
fn command(python: &Path, script: &Path, job: &Job) -> Command {
    let threads = job.threads.to_string();
    let mut command = Command::new(python);
    command
        .arg("-B")
        .arg(script)
        .args(["--task", job.task.name(), "--peer", job.peer.name()])
        .args(["--threads", &threads, "--optimizer", job.optimizer.name()]);
    for name in ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"] {
        command.env(name, &threads);
    }
    // Work-arounds for old builds that slow down a current one, and settings of other interpreters.
    for name in ["OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "PYTHONPATH", "PYTHONHOME"] {
        command.env_remove(name);
    }
    for name in ["MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"] {
        match job.memory {
            Memory::System => command.env_remove(name),
            Memory::Kept => command.env(name, KEPT_BYTES),
        };
    }
    command
}
