//! Random settings far beyond what anybody trains with: widths reached, times, and that nothing fails.

use chacha20::ChaCha20Rng;
use dp_core::{PldAccountant, PldMethod};
use rand::{RngExt, SeedableRng};
use report::figures::Better;
use report::html::Section;
use report::number::significant;
use report::plot::Histogram;
use report::table::{Align, Table};

use super::figure;
use crate::accountant::Setting;
use crate::error::{Error, Result};
use crate::machine::cpu_seconds;
use crate::session::Session;
use crate::task::claim::{Asks, Check, Claim};

const N: u32 = 10_000;
const SEED: u64 = 2;
/// Wide brackets that are shown.
const SHOWN: usize = 12;

/// One setting with its answer.
struct Answered {
    setting: Setting,
    lower: f64,
    upper: f64,
    is_narrow: bool,
    by_renyi: bool,
    cpu_s: f64,
}

pub(super) fn run(session: &Session) -> Result<Section> {
    let mut rng = ChaCha20Rng::seed_from_u64(SEED);
    let task = session.progress.task("accountant: random settings", u64::from(N));
    let mut all = Vec::new();
    for _ in 0..N {
        if session.interrupt.is_set() {
            return Err(Error::Interrupted);
        }
        all.push(answered(draw(&mut rng))?);
        task.advance(1);
    }
    task.finish();
    let mut times: Vec<f64> = all.iter().map(|answer| answer.cpu_s).collect();
    times.sort_by(f64::total_cmp);
    let (middle, last) = (times[times.len() / 2], times.last().copied().unwrap_or(0.0));
    let n = f64::from(N);
    let share = |holds: fn(&Answered) -> bool| {
        100.0 * all.iter().filter(|answer| holds(answer)).count() as f64 / n
    };
    let met = share(|answer| answer.is_narrow);
    let by_renyi = share(|answer| answer.by_renyi);
    let disordered = share(|a| a.lower.is_nan() || a.upper.is_nan() || a.upper < a.lower);
    let config = format!("{N} settings, seed {SEED}");
    for (name, value, unit, better) in [
        ("random-width-met", met, "%", Better::Higher),
        ("random-median-ms", 1e3 * middle, "ms", Better::Lower),
        ("random-longest-s", last, "s", Better::Lower),
        ("random-by-renyi", by_renyi, "%", Better::Lower),
    ] {
        figure(session, name, value, unit, better, &config)?;
    }
    let claim = Claim {
        published: "any setting is answered, as narrowly as wanted on 94 %, within 2 s",
        miniature: format!(
            "{config}, log-uniform: q 1e-6..1, noise 0.2..100, steps 1..1e7, delta 1e-30..0.5"
        ),
        command: "cargo xtask bench accountant --only random",
        seeds: SEED.to_string(),
        checks: vec![
            check("% of settings without an order of both ends", Asks::AtMost(0.0), disordered),
            check("% of settings wider than wanted", Asks::AtMost(6.0), 100.0 - met),
            check("seconds of the longest query", Asks::AtMost(2.0), last),
        ],
    };
    let logs = all.iter().map(|answer| (1e3 * answer.cpu_s).max(1e-4).log10());
    let histogram = Histogram::new("Time of a query")
        .x_label("log10 of CPU milliseconds")
        .values("random settings", logs)
        .to_svg()?;
    Ok(Section::new("Random settings")
        .plot(&histogram, "Most queries take less than a millisecond; the longest are sums of two million points.")
        .table(&widest(&mut all))
        .section(claim.section()))
}

fn check(what: &str, asks: Asks, value: f64) -> Check {
    Check { what: what.to_owned(), asks, values: vec![value] }
}

fn draw(rng: &mut ChaCha20Rng) -> Setting {
    let mut ln_uniform = |low: f64, high: f64| {
        let u: f64 = rng.random();
        (low.ln() + (high / low).ln() * u).exp()
    };
    let (q, noise) = (ln_uniform(1e-6, 1.0), ln_uniform(0.2, 100.0));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to 1e7")]
    let steps = ln_uniform(1.0, 1e7) as u64;
    Setting { q, noise, steps, delta: ln_uniform(1e-30, 0.5) }
}

fn answered(setting: Setting) -> Result<Answered> {
    let (event, delta) = (setting.event()?, setting.delta()?);
    let start = cpu_seconds();
    let found = PldAccountant::new().optimize(&event, delta)?;
    Ok(Answered {
        setting,
        lower: found.lower,
        upper: found.upper,
        is_narrow: found.is_as_narrow_as_wanted(),
        by_renyi: found.method == PldMethod::Renyi,
        cpu_s: cpu_seconds() - start,
    })
}

/// The brackets whose ends are furthest apart in proportion.
fn widest(all: &mut [Answered]) -> Table {
    let share = |answer: &Answered| (answer.upper - answer.lower) / answer.upper.max(0.1);
    all.sort_by(|a, b| share(b).total_cmp(&share(a)));
    let mut table = Table::new(["q", "noise", "steps", "delta", "at least", "at most"])
        .with_caption("The widest brackets of all.");
    for column in 0..6 {
        table = table.align(column, Align::Right);
    }
    for Answered { setting, lower, upper, .. } in all.iter().take(SHOWN) {
        table.push_row([
            significant(setting.q, 3),
            significant(setting.noise, 3),
            setting.steps.to_string(),
            format!("{:.1e}", setting.delta),
            significant(*lower, 4),
            significant(*upper, 4),
        ]);
    }
    table
}
