//! The worker process: reads a number of steps a line, answers with their times.

use std::io::{BufRead, Write};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::step::{Mode, Parts, step};
use super::{Shape, Subject};
use crate::error::{Error, Result};
use crate::machine::{cpu_seconds, memory};
use crate::peers::client::say;

/// The first line a worker writes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ready {
    /// Whether it is ready.
    pub ready: bool,
    /// Number of trainable parameters.
    pub n_params: usize,
}

/// One request.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Steps to take.
    pub steps: u64,
}

/// The answer to one request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// Processor time of each step, all threads, in seconds.
    pub cpu_s: Vec<f64>,
    /// Wall time of each step in seconds.
    pub wall_s: Vec<f64>,
    /// Highest resident memory so far.
    pub peak_rss_bytes: u64,
    /// Resident memory before the first step.
    pub start_rss_bytes: u64,
    /// Mean wall time of the parts of a step.
    pub parts: Parts,
}

/// Serves requests from `input` until it ends.
///
/// # Errors
/// [`Error::Worker`] for a request that cannot be read; any error of the network.
pub fn serve(shape: &Shape, mode: Mode, input: impl BufRead, mut output: impl Write) -> Result<()> {
    let mut subject = Subject::new(shape)?;
    let n_params = match &subject {
        Subject::Classifier(_, params, _) | Subject::Language(_, params, _) => params.n_elements(),
    };
    let start_rss_bytes = memory().map_or(0, |(now, _)| now);
    say(&mut output, &Ready { ready: true, n_params })?;
    let mut index = 0;
    for line in input.lines() {
        let line = line.map_err(|e| Error::Worker { reason: e.to_string() })?;
        let request: Request = serde_json::from_str(&line)
            .map_err(|e| Error::Worker { reason: format!("request `{line}`: {e}") })?;
        let (mut cpu_s, mut wall_s, mut sum) = (Vec::new(), Vec::new(), Parts::default());
        for _ in 0..request.steps {
            let (cpu, wall) = (cpu_seconds(), Instant::now());
            let parts = subject.step(mode, index)?;
            cpu_s.push(cpu_seconds() - cpu);
            wall_s.push(wall.elapsed().as_secs_f64());
            sum = add(sum, parts, 1.0);
            index += 1;
        }
        let parts = add(Parts::default(), sum, 1.0 / (request.steps.max(1) as f64));
        let peak_rss_bytes = memory().map_or(0, |(_, peak)| peak);
        say(&mut output, &Answer { cpu_s, wall_s, peak_rss_bytes, start_rss_bytes, parts })?;
    }
    Ok(())
}

fn add(a: Parts, b: Parts, factor: f64) -> Parts {
    Parts {
        forward: a.forward + factor * b.forward,
        backward: a.backward + factor * b.backward,
        norms: a.norms + factor * b.norms,
        sums: a.sums + factor * b.sums,
        noise: a.noise + factor * b.noise,
        optimizer: a.optimizer + factor * b.optimizer,
    }
}

impl Subject {
    fn step(&mut self, mode: Mode, index: u64) -> Result<Parts> {
        match self {
            Subject::Classifier(loss, params, batch) => {
                let (new, parts) = step(loss, params, batch, mode, index)?;
                *params = new;
                Ok(parts)
            }
            Subject::Language(loss, params, batch) => {
                let (new, parts) = step(loss.as_ref(), params, batch, mode, index)?;
                *params = new;
                Ok(parts)
            }
        }
    }
}
