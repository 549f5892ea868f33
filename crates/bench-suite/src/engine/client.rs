//! The side that starts worker processes and asks them for steps.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::Shape;
use super::step::Mode;
use super::worker::{Answer, Ready, Request};
use crate::error::{Error, Result};

/// A running worker of our own. It is killed when dropped.
#[derive(Debug)]
pub struct Client {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    n_params: usize,
}

impl Client {
    /// Starts this program again as a worker with the given number of threads.
    ///
    /// # Errors
    /// [`Error::Worker`] if it does not start or does not say that it is ready.
    pub fn start(shape: &Shape, mode: Mode, threads: usize) -> Result<Self> {
        let own = std::env::current_exe();
        let own = own.map_err(|e| Error::Worker { reason: format!("own program: {e}") })?;
        Self::start_program(&own, shape, mode, threads)
    }

    /// Starts another build of this program as a worker.
    ///
    /// # Errors
    /// As [`Client::start`].
    pub fn start_program(
        program: &Path,
        shape: &Shape,
        mode: Mode,
        threads: usize,
    ) -> Result<Self> {
        let failed = |what: &str, e: &dyn std::fmt::Display| Error::Worker {
            reason: format!("{what}: {e}"),
        };
        let text = |value: serde_json::Result<String>| value.map_err(|e| failed("request", &e));
        let mode = text(serde_json::to_string(&mode))?;
        let mut child = Command::new(program)
            .args(["--engine-worker", &text(serde_json::to_string(shape))?])
            .args(["--mode", mode.trim_matches('"')])
            .env("RAYON_NUM_THREADS", threads.to_string())
            .env("CANDLE_NUM_THREADS", threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| failed("start", &e))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::Worker { reason: "no pipes".into() });
        };
        let mut client = Client { child, input, output: BufReader::new(output), n_params: 0 };
        client.n_params = client.read::<Ready>()?.n_params;
        Ok(client)
    }

    /// Number of trainable parameters.
    #[must_use]
    pub fn n_params(&self) -> usize {
        self.n_params
    }

    /// Takes steps.
    ///
    /// # Errors
    /// [`Error::Worker`] if the worker ends or answers something else.
    pub fn steps(&mut self, steps: u64) -> Result<Answer> {
        let failed = |e: &dyn std::fmt::Display| Error::Worker { reason: e.to_string() };
        let request = serde_json::to_string(&Request { steps }).map_err(|e| failed(&e))?;
        writeln!(self.input, "{request}").map_err(|e| failed(&e))?;
        self.input.flush().map_err(|e| failed(&e))?;
        self.read()
    }

    fn read<T: serde::de::DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        let n = self
            .output
            .read_line(&mut line)
            .map_err(|e| Error::Worker { reason: e.to_string() })?;
        if n == 0 {
            return Err(Error::Worker { reason: "it ended without an answer".into() });
        }
        serde_json::from_str(&line)
            .map_err(|e| Error::Worker { reason: format!("answer `{}`: {e}", line.trim()) })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It may have ended by itself; either way nobody waits for its result.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
