//! What is compared with ourselves: proximal maps with and without a sort, and cross-validation on one and two threads.

use report::figures::Better;
use report::html::Section;
use report::number::significant;
use report::table::{Align, Table};

use super::cases::Group;
use super::measure::done;
use super::result::median;
use crate::error::{Error, Result};
use crate::peers::client::Client;
use crate::session::{Session, Spread};
use crate::slope::simulate::{Kind, Simulation};
use crate::slope::work::{Shape, Work};
use crate::slope::worker::{self, Request, Source};
use crate::slope::{GAP, LIMIT};

/// Proximal maps of each kind, in turn.
const PROX_REPEATS: usize = 15;
const CV_REPEATS: usize = 21;

fn figure(session: &Session, name: &str, value: f64, unit: &str, better: Better) -> Result<()> {
    let spread = Spread { better, std: None, n_seeds: 1, config: "slope".into() };
    session.figure("slope", name, value, unit, spread)
}

fn request(work: Work, repeats: usize) -> Request {
    Request { work, tolerance: GAP, repeats, out: None }
}

/// The proximal map of two levels beside that of any sequence, which sorts.
pub(super) fn prox(session: &Session) -> Result<Option<Section>> {
    let mut table = Table::new(["coefficients", "two levels ms", "general ms", "ratio", "goal"]);
    for column in 1..5 {
        table = table.align(column, Align::Right);
    }
    let kind = Kind::Autoregression { rho: 0.0 };
    let source = Source::Simulated(Simulation { n: 2, p: 20, kind, seed: 1 });
    for (name, p) in [("prox-1e5", 100_000), ("prox-1e6", 1_000_000)] {
        if !session.wants(name) {
            continue;
        }
        if session.interrupt.is_set() {
            return Err(Error::Interrupted);
        }
        let mut client = worker::start(&source, 1)?;
        let mut times = [Vec::new(), Vec::new()];
        for round in 0..=PROX_REPEATS {
            for (general, times) in [false, true].into_iter().zip(&mut times) {
                let answer = client.ask(&request(Work::Prox { p, general }, 3), LIMIT)?;
                if 0 < round {
                    times.extend(done(answer)?.cpu_s);
                }
            }
        }
        let [two, general] = times.map(|times| 1e3 * median(&times));
        figure(session, &format!("{name}-two-levels-cpu-ms"), two, "ms", Better::Lower)?;
        figure(session, &format!("{name}-general-cpu-ms"), general, "ms", Better::Lower)?;
        let ratio = two / general;
        figure(session, &format!("{name}-over-general"), ratio, "ratio of medians", Better::Lower)?;
        table.push_row([
            p.to_string(),
            significant(two, 3),
            significant(general, 3),
            format!("1/{}", significant(1.0 / ratio, 3)),
            "1/20".into(),
        ]);
    }
    Ok((!table.is_empty()).then(|| {
        Section::new("Proximal maps")
            .paragraph("Levels 2 and 1, a share of .02 at the higher one, of normal numbers of standard deviation 2.")
            .table(&table)
    }))
}

/// Cross-validation on one and on two threads, and beside them what the machine gives: twice one thread, as two processes that
/// have nothing to do with each other.
pub(super) fn threads(session: &Session) -> Result<Option<Section>> {
    if !session.wants("cv") {
        return Ok(None);
    }
    let source = Source::Simulated(Group::Mid.simulation());
    let shape = Shape { share: 0.02, ratio: 0.5 };
    let work = Work::CrossValidation { shape, n_folds: 10, n_points: 30, part: 20.0 };
    let request = request(work, 1);
    let ask = |client: &mut Client| -> Result<f64> {
        Ok(median(&done(client.ask(&request, LIMIT)?)?.wall_s))
    };
    let [mut first, mut second] = [worker::start(&source, 1)?, worker::start(&source, 1)?];
    let mut both = worker::start(&source, 2)?;
    let [mut one, mut two, mut apart] = [Vec::new(), Vec::new(), Vec::new()];
    let task = session.progress.task("slope: cross-validation", CV_REPEATS as u64);
    for _ in 0..CV_REPEATS {
        if session.interrupt.is_set() {
            return Err(Error::Interrupted);
        }
        one.push(ask(&mut first)?);
        two.push(ask(&mut both)?);
        let (a, b) = std::thread::scope(|scope| {
            let other = scope.spawn(|| ask(&mut second));
            let own = ask(&mut first);
            let gone = Error::Worker { reason: "a measuring thread ended".into() };
            (own, other.join().unwrap_or(Err(gone)))
        });
        apart.push(a?.max(b?));
        task.advance(1);
    }
    task.finish();
    let [one, two, apart] = [one, two, apart].map(|wall| median(&wall));
    let (speedup, most) = (one / two, 2.0 * one / apart);
    figure(session, "cv-one-thread-wall-ms", 1e3 * one, "ms", Better::Lower)?;
    figure(session, "cv-two-threads-wall-ms", 1e3 * two, "ms", Better::Lower)?;
    figure(session, "cv-one-over-two-threads", speedup, "ratio of medians", Better::Higher)?;
    figure(session, "cv-two-processes-gain", most, "ratio of medians", Better::Higher)?;
    Ok(Some(
        Section::new("Cross-validation on threads")
            .paragraph(format!(
                "500 x 2000, two levels, 10 folds of 30 strengths; wall time, medians of {CV_REPEATS}. Two threads cannot gain \
                 more than two processes of one thread that work side by side on problems of their own: these share the \
                 memory and the clock of the machine, and nothing else."
            ))
            .key_values([
                ("one thread, ms", significant(1e3 * one, 4)),
                ("two threads, ms", significant(1e3 * two, 4)),
                ("ratio, goal at least 1.7", significant(speedup, 3)),
                ("ratio of two processes side by side", significant(most, 3)),
            ]),
    ))
}
