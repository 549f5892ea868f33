//! Our measuring process: answers each line it reads.

use std::io::{BufRead, Write};
use std::time::Instant;

use dp_core::{PldAccountant, RdpAccountant};
use serde::Deserialize;

use super::{Answer, Setting};
use crate::error::{Error, Result};
use crate::machine::cpu_seconds;
use crate::peers::client::{Client, Ready, say};

/// One request, as [`Request`](super::Request) writes it.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Asked {
    #[serde(flatten)]
    setting: Setting,
    repeats: usize,
    width: Option<f64>,
}

/// Starts this program again as a measuring process, on one thread.
///
/// # Errors
/// [`Error::Worker`] if it does not start or does not say that it is ready.
pub fn start() -> Result<Client> {
    Client::start("dp-core", &["--accountant-worker"], 1)
}

/// Serves requests from `input` until it ends.
///
/// # Errors
/// [`Error::Worker`] for a request that cannot be read; any error of the accountants.
pub fn serve(input: impl BufRead, mut output: impl Write) -> Result<()> {
    say(&mut output, &Ready { ready: true, ..Ready::default() })?;
    for line in input.lines() {
        let line = line.map_err(|e| Error::Worker { reason: e.to_string() })?;
        let asked: Asked = serde_json::from_str(&line)
            .map_err(|e| Error::Worker { reason: format!("request `{line}`: {e}") })?;
        say(&mut output, &answer(&asked)?)?;
    }
    Ok(())
}

fn answer(asked: &Asked) -> Result<Answer> {
    let (event, delta) = (asked.setting.event()?, asked.setting.delta()?);
    let brackets =
        asked.width.map(|width| PldAccountant::with_tolerance(width, 0.0)).transpose()?;
    let mut answer = Answer { cpu_s: Vec::new(), wall_s: Vec::new(), lower: None, upper: f64::NAN };
    for _ in 0..asked.repeats {
        let (cpu, wall) = (cpu_seconds(), Instant::now());
        (answer.lower, answer.upper) = match brackets {
            Some(accountant) => {
                let found = accountant.optimize(&event, delta)?;
                (Some(found.lower), found.upper)
            }
            None => (None, RdpAccountant::new().optimize(&event, delta)?.epsilon),
        };
        answer.cpu_s.push(cpu_seconds() - cpu);
        answer.wall_s.push(wall.elapsed().as_secs_f64());
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::super::Request;
    use super::*;

    #[test]
    fn brackets_and_bounds_are_answered_with_times() {
        let setting = Setting { q: 0.01, noise: 1.0, steps: 1000, delta: 1e-5 };
        let lines: String = [Some(0.01), None]
            .map(|width| Request { setting, repeats: 3, interval: None, width })
            .map(|request| serde_json::to_string(&request).unwrap() + "\n")
            .concat();
        let mut output = Vec::new();
        serve(lines.as_bytes(), &mut output).unwrap();
        let lines: Vec<&str> = std::str::from_utf8(&output).unwrap().lines().collect();
        let answers = lines[1..].iter().map(|line| serde_json::from_str::<Answer>(line).unwrap());
        let [bracket, renyi] = answers.collect::<Vec<_>>().try_into().unwrap();
        assert_eq!((bracket.cpu_s.len(), renyi.wall_s.len(), renyi.lower), (3, 3, None));
        let lower = bracket.lower.unwrap();
        assert!(lower <= 1.8283 && 1.8282 <= bracket.upper && bracket.upper <= lower + 0.01);
        assert!(bracket.upper < renyi.upper);
    }
}
