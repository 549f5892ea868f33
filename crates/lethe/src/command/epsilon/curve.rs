//! `lethe epsilon curve`: epsilon against one number of a run.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::{Args, ValueEnum};
use dp_core::{Accountant, CentralLimit, Delta, RdpAccountant};
use rayon::prelude::*;
use report::number::significant;
use report::plot::{Plot, Series, Svg};
use report::table::Table;
use serde_json::{Value, json};
use slope2::Progress;

use super::account::{Answer, at_least, at_most, number, safe, why_infinite};
use super::flags::{AccountFlags, Chosen, RunFlags, refused, refused_alone};
use super::phase::Fill;
use super::spec::{Run, RunSpec};
use super::swept::Swept;
use crate::command::write::{self, Folder, Picture};
use crate::command::{Outcome, Session};
use crate::error::{Error, Result};

/// Flags of `curve`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// What changes along the curve.
    #[arg(long, value_enum)]
    over: Over,
    /// Where the curve begins [default: suits the run].
    #[arg(long, value_name = "X")]
    from: Option<f64>,
    /// Where it ends.
    #[arg(long, value_name = "X")]
    to: Option<f64>,
    /// Number of points.
    #[arg(long, value_name = "N", default_value_t = 60)]
    points: usize,
    #[command(flatten)]
    run: RunFlags,
    #[command(flatten)]
    account: AccountFlags,
    /// The folder of the results.
    #[arg(long, value_name = "FOLDER", default_value = "epsilon")]
    out: PathBuf,
    /// Print the JSON instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Over {
    /// The delta of the guarantee.
    Delta,
    /// The steps of the run so far, phase after phase.
    Steps,
    /// The noise multiplier of a run with one phase.
    Noise,
    /// The sampling rate of a run with one phase, at its number of steps or epochs.
    Rate,
}

/// Epsilons at one place.
#[derive(Clone, Copy, Debug)]
struct Point {
    x: f64,
    lower: Option<f64>,
    upper: f64,
    renyi: f64,
    /// None where the limit is not taken: Laplace noise.
    central_limit: Option<f64>,
}

impl Over {
    fn name(self) -> &'static str {
        match self {
            Over::Delta => "delta",
            Over::Steps => "steps",
            Over::Noise => "noise",
            Over::Rate => "rate",
        }
    }
}

impl Flags {
    pub(super) fn outcome(&self, session: &Session) -> Result<Outcome> {
        let (spec, fill) = self.spec()?;
        let run = spec.run(fill).map_err(refused)?;
        let delta = spec.delta().map_err(refused_alone)?;
        let chosen = self.account.chosen()?;
        let places = self.places(&spec, &run)?;
        let points = self.points(session, &chosen, &spec, &places)?;
        if points.iter().all(|p| p.upper.is_infinite()) {
            let number = if delta.get() <= 0.0 { "a delta" } else { "noise" };
            return Err(Error::OutOfReach(format!(
                "epsilon is infinite everywhere, so there is no curve: {}; give {number} above 0",
                why_infinite(delta)
            )));
        }
        let swept = self.swept(&spec, &run, delta, &places)?;
        let columns = [self.over.name(), "lower", "upper", "renyi", "central_limit"];
        let cells = |p: &Point| {
            let text = |x: Option<f64>| x.map(|x| x.to_string()).unwrap_or_default();
            let [lower, limit] = [p.lower, p.central_limit].map(text);
            vec![p.x.to_string(), lower, p.upper.to_string(), p.renyi.to_string(), limit]
        };
        let table = write::csv(&columns, points.iter().map(cells))?;
        let json = write::json(&json!({
            "format": "lethe-epsilon-curve",
            "version": 1,
            "over": self.over.name(),
            "accountant": chosen.as_dyn().name(),
            "columns": columns,
            "curve": points.iter().map(Point::json).collect::<Vec<Value>>(),
            "run": swept.json,
        }))?;
        let mut lines = swept.lines;
        lines.push(("accountant".into(), chosen.as_dyn().name().into()));
        let caption = "What is certain lies in the band; the Renyi accountant's bound is above it, and the central limit, an \
             estimate, may be below the truth.";
        let svg = self.plot(&points)?;
        let pictures = [Picture { name: "curve.svg", caption: caption.into(), svg }];
        let mut folder = Folder::named(self.out.clone());
        folder.add("curve.csv", table);
        folder.add("curve.svg", pictures[0].svg.as_str());
        folder.add("report.html", write::page("Epsilon", &lines, &pictures, []));
        folder.add("curve.json", json.as_str());
        let (written, files) = folder.finish();
        let shown = self.table(&points).to_terminal(None);
        let text = format!("{}\n{shown}\n\n{written}", write::aligned(&lines));
        let stdout = if self.json { json } else { text };
        Ok(Outcome { stdout, files, ..Outcome::default() })
    }

    /// The run, with a value in place of the number that changes where it was left out.
    fn spec(&self) -> Result<(RunSpec, Fill)> {
        let mut spec = self.run.spec();
        let several = || {
            Err(Error::Usage(format!(
                "--over {}: expected a run of one phase, got {}",
                self.over.name(),
                spec.phases.len()
            )))
        };
        let mut fill = Fill::default();
        match self.over {
            Over::Delta => spec.delta = spec.delta.or(Some(1e-6)),
            Over::Steps => {}
            Over::Noise if !spec.phases.is_empty() => return several(),
            Over::Noise => fill.noise = Some(1.0),
            Over::Rate if !spec.phases.is_empty() => return several(),
            Over::Rate => fill.rate = Some(1.0),
        }
        if self.over == Over::Noise && spec.laplace.is_some() {
            return Err(Error::Usage("--over noise is for Gaussian noise".into()));
        }
        Ok((spec, fill))
    }

    /// What is given of the run, without the number that changes.
    fn swept(&self, spec: &RunSpec, run: &Run, delta: Delta, places: &[f64]) -> Result<Swept> {
        let (Some(first), Some(last)) = (places.first(), places.last()) else {
            return Err(Error::NoResult);
        };
        let (from, to) = (significant(*first, 4), significant(*last, 4));
        Ok(match self.over {
            Over::Delta => Swept::over_delta(run, delta),
            Over::Steps => Swept::of(run, delta),
            Over::Noise | Over::Rate => {
                let mut given = spec.clone();
                match self.over {
                    Over::Noise => given.noise = None,
                    _ => (given.rate, given.batch) = (None, None),
                }
                let (run, delta) = self.at(spec, *first)?;
                Swept::over(self.over.name(), (&from, &to), &given, &run, delta)
            }
        })
    }

    /// The numbers along the curve.
    fn places(&self, spec: &RunSpec, run: &Run) -> Result<Vec<f64>> {
        if self.points < 2 {
            return Err(Error::Usage(format!(
                "--points: expected at least 2, got {}",
                self.points
            )));
        }
        let around = |x: f64, factor: f64| (x / factor, x * factor);
        let (from, to) = match self.over {
            Over::Delta => (1e-12, 1e-2),
            Over::Steps => (1.0, run.steps() as f64),
            Over::Noise => around(spec.noise.unwrap_or(1.0), 4.0),
            Over::Rate => {
                let rate = spec.rate.or_else(|| Some(spec.batch? / spec.samples?)).unwrap_or(0.01);
                let (low, high) = around(rate, 10.0);
                (low, high.min(1.0))
            }
        };
        let (from, to) = (self.from.unwrap_or(from), self.to.unwrap_or(to));
        let most = match self.over {
            Over::Delta => 1.0 - f64::EPSILON,
            Over::Steps => run.steps() as f64,
            Over::Noise => 1e6,
            Over::Rate => 1.0,
        };
        if !(0.0 < from && from <= to && to <= most) {
            let name = self.over.name();
            return Err(Error::Usage(format!(
                "--from {from} --to {to}: expected numbers above 0 and up to {most} in rising order for {name}"
            )));
        }
        let last = (self.points - 1) as f64;
        let place = |i: usize| {
            let share = i as f64 / last;
            match self.over {
                Over::Steps => (from + (to - from) * share).round(),
                _ => (from.ln() + (to / from).ln() * share).exp().min(to),
            }
        };
        let mut places: Vec<f64> = (0..self.points).map(place).collect();
        places.dedup_by(|a, b| a.total_cmp(b).is_eq());
        Ok(places)
    }

    fn points(
        &self,
        session: &Session,
        chosen: &Chosen,
        spec: &RunSpec,
        places: &[f64],
    ) -> Result<Vec<Point>> {
        let watch = session.watch("curve");
        let done = AtomicUsize::new(0);
        let point = |&x: &f64| -> Result<Point> {
            let (run, delta) = self.at(spec, x)?;
            let event = run.accounted();
            let answer = Answer::of(chosen, &event, delta)?;
            let point = Point {
                x,
                lower: answer.lower(),
                upper: answer.upper(),
                renyi: safe(RdpAccountant::new().optimize(&event, delta)?.epsilon),
                central_limit: CentralLimit::new().epsilon(&event, delta).ok().map(|e| e.value()),
            };
            match watch.advance(done.fetch_add(1, Ordering::Relaxed) + 1, places.len()) {
                ControlFlow::Continue(()) => Ok(point),
                ControlFlow::Break(()) => Err(Error::Interrupted),
            }
        };
        let points = places.par_iter().map(point).collect::<Result<Vec<Point>>>()?;
        watch.finish();
        Ok(points)
    }

    /// The run at one place of the curve.
    fn at(&self, spec: &RunSpec, x: f64) -> Result<(Run, Delta)> {
        let mut spec = spec.clone();
        match self.over {
            Over::Delta => spec.delta = Some(x),
            Over::Steps => {}
            Over::Noise => spec.noise = Some(x),
            Over::Rate => {
                // Of shuffled batches the size counts, not only the rate.
                let batch = spec.samples.filter(|_| spec.shuffled && spec.batch.is_some());
                (spec.rate, spec.batch) = match batch {
                    Some(samples) => (None, Some(x * samples)),
                    None => (Some(x), None),
                };
            }
        }
        let run = spec.run(Fill::default()).map_err(refused)?;
        let delta = spec.delta().map_err(refused_alone)?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most steps")]
        let run = if self.over == Over::Steps { run.truncated(x as u64) } else { run };
        Ok((run, delta))
    }

    fn plot(&self, points: &[Point]) -> Result<Svg> {
        let of = |f: fn(&Point) -> f64| points.iter().map(move |p| (p.x, f(p)));
        let mut certain = Series::line("upper bound", of(|p| p.upper));
        if points.iter().all(|p| p.lower.is_some()) {
            let lower: Vec<f64> = points.iter().filter_map(|p| p.lower).collect();
            let upper: Vec<f64> = points.iter().map(|p| p.upper).collect();
            certain = Series::line("certain bracket", of(|p| p.upper)).with_band(&lower, &upper)?;
        }
        let mut plot = Plot::new("Epsilon")
            .x_label(self.over.name())
            .y_label("epsilon")
            .size(640, 360)
            .series(certain)
            .series(Series::line("Renyi bound", of(|p| p.renyi)))
            .series(Series::line(
                "central limit, an estimate",
                of(|p| p.central_limit.unwrap_or(f64::NAN)),
            ));
        if self.over != Over::Steps {
            plot = plot.log_x();
        }
        if matches!(self.over, Over::Noise | Over::Rate) {
            plot = plot.log_y();
        }
        Ok(plot.to_svg()?)
    }

    fn table(&self, points: &[Point]) -> Table {
        const ROWS: usize = 10;
        let name = self.over.name();
        let mut table = Table::new([name, "at least", "at most", "Renyi bound", "central limit"]);
        let step = points.len().div_ceil(ROWS).max(1);
        let shown = points.iter().rev().step_by(step).collect::<Vec<_>>();
        for p in shown.into_iter().rev() {
            table.push_row([
                if self.over == Over::Steps { p.x.to_string() } else { significant(p.x, 4) },
                p.lower.map_or(String::new(), |x| at_least(x, 5)),
                at_most(p.upper, 5),
                at_most(p.renyi, 5),
                p.central_limit.map_or(String::new(), |x| significant(x, 5)),
            ]);
        }
        table
    }
}

impl Point {
    fn json(&self) -> Value {
        let or_none = |x: Option<f64>| x.map_or(Value::Null, number);
        json!([
            self.x,
            or_none(self.lower),
            number(self.upper),
            number(self.renyi),
            or_none(self.central_limit)
        ])
    }
}
