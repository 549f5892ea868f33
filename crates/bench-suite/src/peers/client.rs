//! The side that starts measuring processes, ours and other libraries', and asks them line by line.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Command;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::process::{Line, Running};
use crate::error::{Error, Result};

/// How long a process may take to read its design and to compile what it compiles.
const START: Duration = Duration::from_secs(300);

/// The first line that a measuring process writes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Ready {
    /// Whether it is ready.
    pub ready: bool,
    /// Resident memory before there was anything to measure; of ours only.
    #[serde(default)]
    pub start_rss_bytes: u64,
    /// Versions of what it measures, by name.
    #[serde(default)]
    pub versions: BTreeMap<String, String>,
}

/// What a measuring process of ours says: one line, at once.
///
/// # Errors
/// [`Error::Worker`] if nobody listens.
pub(crate) fn say(output: &mut impl Write, line: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string(line).map_err(|e| Error::Worker { reason: e.to_string() })?;
    writeln!(output, "{text}")
        .and_then(|()| output.flush())
        .map_err(|e| Error::Worker { reason: e.to_string() })
}

/// A running measuring process. It is killed when dropped.
#[derive(Debug)]
pub struct Client {
    name: String,
    running: Running,
    ready: Ready,
}

/// What a process said.
#[derive(Debug)]
pub enum Reply<T> {
    /// The work was done.
    Done(T),
    /// It could not be done, for this reason; the process goes on.
    Refused(String),
}

impl Client {
    /// Starts this program again, with these arguments, as a measuring process.
    ///
    /// # Errors
    /// [`Error::Worker`] if it does not start or does not say that it is ready.
    pub fn start(name: &str, arguments: &[&str], threads: usize) -> Result<Self> {
        let own = std::env::current_exe();
        let own = own.map_err(|e| Error::Worker { reason: format!("own program: {e}") })?;
        let mut command = Command::new(own);
        command.args(arguments);
        Self::from_command(name, &mut command, threads)
    }

    /// The same for any program that speaks the protocol.
    pub(crate) fn from_command(name: &str, command: &mut Command, threads: usize) -> Result<Self> {
        for variable in ["RAYON", "CANDLE", "OMP", "MKL", "OPENBLAS", "NUMBA"] {
            command.env(format!("{variable}_NUM_THREADS"), threads.to_string());
        }
        let running = Running::start(command)
            .map_err(|e| Error::Worker { reason: format!("{name} does not start: {e}") })?;
        let mut client = Client { name: name.to_owned(), running, ready: Ready::default() };
        let line = client.line(START)?;
        client.ready = serde_json::from_str(&line).map_err(|e| client.wrong(&line, &e))?;
        Ok(client)
    }

    /// What it is.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it said of itself.
    #[must_use]
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Asks for one piece of work.
    ///
    /// # Errors
    /// [`Error::Worker`] if the process ends, takes longer than `limit` or answers something else; it is of no use then.
    pub fn ask<T: DeserializeOwned>(
        &mut self,
        request: &impl Serialize,
        limit: Duration,
    ) -> Result<Reply<T>> {
        let failed = |e: &dyn std::fmt::Display| Error::Worker { reason: e.to_string() };
        let request = serde_json::to_string(request).map_err(|e| failed(&e))?;
        let Some(input) = self.running.stdin() else {
            return Err(Error::Worker { reason: format!("{} has no input", self.name) });
        };
        if writeln!(input, "{request}").and_then(|()| input.flush()).is_err() {
            let reason = format!("{} ended: {}", self.name, self.running.stderr_tail());
            return Err(Error::Worker { reason });
        }
        let line = self.line(limit)?;
        let value: serde_json::Value =
            serde_json::from_str(&line).map_err(|e| self.wrong(&line, &e))?;
        if let Some(reason) = value.get("error").and_then(|reason| reason.as_str()) {
            return Ok(Reply::Refused(reason.to_owned()));
        }
        serde_json::from_value(value).map(Reply::Done).map_err(|e| self.wrong(&line, &e))
    }

    fn line(&mut self, limit: Duration) -> Result<String> {
        let what = match self.running.line(limit) {
            Line::Text(line) => return Ok(line),
            Line::End => "ended without an answer".to_owned(),
            Line::Timeout => format!("took longer than {} s", limit.as_secs()),
        };
        self.running.kill();
        let said = self.running.stderr_tail();
        Err(Error::Worker { reason: format!("{} {what}; it said: {said}", self.name) })
    }

    fn wrong(&self, line: &str, error: &serde_json::Error) -> Error {
        let line: String = line.chars().take(120).collect();
        Error::Worker { reason: format!("{}: answer `{line}`: {error}", self.name) }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Answer {
        cpu_s: Vec<f64>,
    }

    fn fake(script: &str) -> Result<Client> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Client::from_command("fake", &mut command, 1)
    }

    #[test]
    fn answers_refusals_and_garbage_are_told_apart() {
        let script = r#"
            echo '{"ready": true, "versions": {"fake": "1"}}'
            read line; echo '{"cpu_s": [0.5], "wall_s": [1.0]}'
            read line; echo '{"error": "cannot"}'
            read line; echo 'hello'
            read line"#;
        let limit = Duration::from_secs(60);
        let mut client = fake(script).unwrap();
        assert_eq!(client.ready().versions["fake"], "1");
        let mut ask = || client.ask::<Answer>(&1, limit);
        assert!(matches!(ask(), Ok(Reply::Done(answer)) if answer.cpu_s == [0.5]));
        assert!(matches!(ask(), Ok(Reply::Refused(why)) if why == "cannot"));
        assert!(ask().unwrap_err().to_string().contains("hello"));
    }

    #[test]
    fn the_end_and_the_limit_are_errors() {
        let ended = fake("echo sorry >&2; exit 3").unwrap_err().to_string();
        assert!(ended.contains("sorry"), "{ended}");
        let mut slow = fake("echo '{\"ready\": true}'; read line; sleep 60").unwrap();
        let late = slow.ask::<Answer>(&1, Duration::from_millis(200)).unwrap_err().to_string();
        assert!(late.contains("took longer"), "{late}");
    }
}
