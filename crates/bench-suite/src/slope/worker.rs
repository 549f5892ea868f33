//! Our measuring process: reads a design once, then works for each line it reads.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::Instant;

use report::heap::peak_of;
use serde::{Deserialize, Serialize};
use slope2::{Datafit, Gaussian, LossScale, Problem};

use super::data::{Data, write_floats};
use super::simulate::{Kind, Simulation};
use super::work::{Prepared, Shape, Work, worst_gap};
use crate::error::{Error, Result};
use crate::machine::{cpu_seconds, forget_peak, memory};
use crate::peers::client::{Client, Ready, say};

/// Where the design comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A folder that [`Data::write`] wrote.
    Folder(PathBuf),
    /// Drawn by the process itself.
    Simulated(Simulation),
}

/// One request to our process.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// What to do.
    pub work: Work,
    /// The relative gap to reach.
    pub tolerance: f64,
    /// How often.
    pub repeats: usize,
    /// Where the coefficients of the last time go.
    pub out: Option<PathBuf>,
}

/// The answer, of ours and of peers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Process CPU seconds of each time, all threads together.
    pub cpu_s: Vec<f64>,
    /// Wall seconds.
    pub wall_s: Vec<f64>,
    /// Resident memory before the first.
    pub rss_bytes: u64,
    /// Highest resident memory since then.
    pub peak_rss_bytes: u64,
    /// The most that the calling thread held on the heap at once beside what it held before; of ours only.
    #[serde(default)]
    pub heap_bytes: u64,
    /// The largest relative gap of all solutions; of ours only.
    #[serde(default)]
    pub gap: Option<f64>,
}

/// Starts this program again as a measuring process.
///
/// # Errors
/// [`Error::Worker`] if it does not start or does not say that it is ready.
pub fn start(source: &Source, threads: usize) -> Result<Client> {
    let source = serde_json::to_string(source)
        .map_err(|e| Error::Worker { reason: format!("source: {e}") })?;
    Client::start("slope2", &["--slope-worker", &source], threads)
}

/// Serves requests from `input` until it ends.
///
/// # Errors
/// [`Error::Worker`] for a request that cannot be read; any error of the design and the fits.
pub fn serve(source: &Source, input: impl BufRead, mut output: impl Write) -> Result<()> {
    warm_up()?;
    let start_rss_bytes = memory().map_or(0, |(now, _)| now);
    let data = match source {
        Source::Folder(folder) => Data::read(folder)?,
        Source::Simulated(simulation) => simulation.draw(),
    };
    let design = data.design()?;
    let datafit = Datafit::new(&Gaussian, &data.y, LossScale::Mean)?;
    let problem = Problem { design: &design, datafit, penalty: (), intercept: false };
    say(&mut output, &Ready { ready: true, start_rss_bytes, ..Ready::default() })?;
    for line in input.lines() {
        let line = line.map_err(|e| Error::Worker { reason: e.to_string() })?;
        let request: Request = serde_json::from_str(&line)
            .map_err(|e| Error::Worker { reason: format!("request `{line}`: {e}") })?;
        say(&mut output, &answer(&problem, &request)?)?;
    }
    Ok(())
}

/// A small fit: the program's own pages are then in memory.
fn warm_up() -> Result<()> {
    let kind = Kind::Autoregression { rho: 0.5 };
    let data = Simulation { n: 30, p: 60, kind, seed: 0 }.draw();
    let design = data.design()?;
    let datafit = Datafit::new(&Gaussian, &data.y, LossScale::Mean)?;
    let problem = Problem { design: &design, datafit, penalty: (), intercept: false };
    let work = Work::Fit { shape: Shape { share: 0.05, ratio: 0.5 }, part: 10.0 };
    answer(&problem, &Request { work, tolerance: 1e-6, repeats: 1, out: None }).map(|_| ())
}

fn answer(problem: &Problem<'_, ()>, request: &Request) -> Result<Answer> {
    let chains = request.work.chains(problem)?;
    let mut prepared = Prepared::new(&request.work, problem, &chains, request.tolerance);
    forget_peak();
    let rss_bytes = memory().map_or(0, |(now, _)| now);
    let (mut cpu_s, mut wall_s, mut coefficients) = (Vec::new(), Vec::new(), Vec::new());
    let mut heap_bytes = 0;
    for _ in 0..request.repeats {
        let mut laps = Vec::with_capacity(2);
        let (result, bytes) =
            peak_of(|| prepared.run(&mut || laps.push((cpu_seconds(), Instant::now()))));
        coefficients = result?;
        heap_bytes = heap_bytes.max(bytes as u64);
        if let [(cpu, wall), (cpu_end, wall_end)] = laps[..] {
            cpu_s.push(cpu_end - cpu);
            wall_s.push((wall_end - wall).as_secs_f64());
        }
    }
    let peak_rss_bytes = memory().map_or(0, |(_, peak)| peak);
    let gap = match coefficients.is_empty() {
        true => None,
        false => Some(worst_gap(problem, &chains, &coefficients)?),
    };
    if let Some(file) = &request.out {
        write_floats(file, &coefficients)?;
    }
    Ok(Answer { cpu_s, wall_s, rss_bytes, peak_rss_bytes, heap_bytes, gap })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_work_is_done_and_certified() {
        let kind = Kind::Autoregression { rho: 0.5 };
        let source = Source::Simulated(Simulation { n: 30, p: 60, kind, seed: 1 });
        let shape = Shape { share: 0.05, ratio: 0.5 };
        let (shares, ratios) = (vec![0.05, 0.25], vec![0.25, 0.5, 0.75]);
        let works = [
            Work::Fit { shape, part: 10.0 },
            Work::Path { shape: Shape::LASSO, n_points: 5, part: 20.0 },
            Work::Grid { shares, ratios, n_points: 3, part: 10.0 },
            Work::CrossValidation { shape, n_folds: 3, n_points: 4, part: 10.0 },
            Work::Prox { p: 100, general: true },
            Work::Prox { p: 100, general: false },
        ];
        let request = |work: &Work| {
            let (work, out) = (work.clone(), None);
            serde_json::to_string(&Request { work, tolerance: 1e-6, repeats: 2, out }).unwrap()
        };
        let input = works.iter().map(|work| request(work) + "\n").collect::<String>();
        let mut output = Vec::new();
        serve(&source, input.as_bytes(), &mut output).unwrap();
        let lines: Vec<&str> = std::str::from_utf8(&output).unwrap().lines().collect();
        assert_eq!(lines.len(), 1 + works.len());
        for (i, line) in lines[1..].iter().enumerate() {
            let answer: Answer = serde_json::from_str(line).unwrap();
            assert_eq!((answer.cpu_s.len(), answer.wall_s.len()), (2, 2));
            assert_eq!(answer.gap.is_some(), i < 3, "{line}");
            assert!(answer.gap.is_none_or(|gap| gap <= 1e-6), "{line}");
        }
    }
}
