//! The two matrices of low-rank adapters, each with its rate.

use hessian_lr::controller::FirstRate;
use report::html::Section;
use report::number::significant;
use report::table::{Align, Table};

use super::runs::{Cell, Runs, best, loss_text};
use super::{curves, gen_of, hidlr_of, settings};
use crate::autorate::{Base, Course, Grouped, Method, Outcome};
use crate::data::Places;
use crate::error::{Error, Result};
use crate::problem::{LanguageProblem, Tuning};
use crate::task::claim::{Asks, Check, Claim};
use crate::task::curves::mean_and_std;

const STEPS: u64 = 80;
const BATCH: usize = 8;
const SEEDS: u64 = 3;
const SEEDS_OF_FULL: u64 = 10;
const AROUND: f64 = 1e-3;
/// Rates of the schedule, tried with seed 0.
const GRID: [f64; 5] = [1e-3, 3e-3, 1e-2, 3e-2, 1e-1];

pub(super) fn run(runs: &mut Runs<'_>, places: &Places) -> Result<Section> {
    let problem = LanguageProblem::open(Tuning::Lora, places)?;
    let subject = ("shakespeare-lora", &problem);
    let seeds = 0..if runs.session.full { SEEDS_OF_FULL } else { SEEDS };
    let size = (STEPS, BATCH);
    let base = Base::AdamW;
    let settings = || settings(FirstRate::Auto(AROUND), STEPS);
    let methods = [gen_of(base, settings()), hidlr_of(base, settings(), Grouped::Lora)];
    let cells = runs.sized("adapters", subject, &methods, seeds.clone(), size)?;
    let grid = GRID.map(|rate| Method::Scheduled { base, course: Course::Cosine, rate });
    let tried = runs.sized("adapters: rates", subject, &grid, 0..1, size)?;
    let method = best(&tried).map(|cell| cell.method.clone()).ok_or(Error::TooFewRuns)?;
    let tuned = runs.sized("adapters: cosine", subject, &[method], seeds.clone(), size)?;
    let ([single, grouped], [cosine]) = (&cells[..], &tuned[..]) else {
        return Err(Error::TooFewRuns);
    };
    let mut table =
        Table::new(["method", "training loss", "held-out loss", "more forwards", "cpu s"]);
    for column in 1..5 {
        table = table.align(column, Align::Right);
    }
    let label = match cosine.method {
        Method::Scheduled { rate, .. } => format!("cosine {}, tuned", significant(rate, 1)),
        _ => "cosine".into(),
    };
    for (label, key, cell) in [
        ("GeN", "gen", single),
        ("Hi-DLR, A and B", "hidlr", grouped),
        (label.as_str(), "cosine", cosine),
    ] {
        let held_out: Vec<f64> = cell.outcomes.iter().map(|o| o.test_loss).collect();
        table.push_row([
            label.to_owned(),
            loss_text(cell.loss()),
            loss_text(mean_and_std(&held_out).0),
            significant(cell.forwards(), 4),
            significant(cell.seconds(), 3),
        ]);
        runs.figures(&format!("lora-{key}"), cell)?;
    }
    let ratios: Vec<f64> = grouped.outcomes.iter().map(ratio).collect();
    let gains = |of: &Cell, than: &Cell| -> Vec<f64> {
        of.outcomes.iter().zip(&than.outcomes).map(|(a, b)| a.loss - b.loss).collect()
    };
    let check = |what: &str, asks, values| Check { what: what.into(), asks, values };
    let claim = |published, checks| Claim {
        published,
        miniature: format!(
            "adapters of rank 4 on a language model of 260 thousand parameters, {STEPS} steps of {BATCH} windows of \
             Shakespeare; losses over 128 windows of the training text"
        ),
        command: "cargo xtask bench auto-rates --only lora",
        seeds: format!("{}, the same for all", seeds.end),
        checks,
    };
    let mut section = Section::new("Adapters").table(&table);
    if let Some(outcome) = grouped.outcomes.first() {
        for (group, name) in ["A", "B"].into_iter().enumerate() {
            let (svg, caption) =
                curves::decisions(&format!("Hi-DLR, matrices {name}"), outcome, group)?;
            section = section.plot(&svg, caption);
        }
    }
    Ok(section
        .section(
            claim(
                "rates for A and B apart are better than one for both (2501.06954)",
                vec![
                    check("Hi-DLR less GeN, nats", Asks::Smaller, gains(grouped, single)),
                    check(
                        "Hi-DLR less tuned cosine, nats",
                        Asks::NotLarger,
                        gains(grouped, cosine),
                    ),
                ],
            )
            .section(),
        )
        .section(
            claim(
                "B wants a larger rate than A (LoRA+, 2402.12354)",
                vec![check(
                    "ln(rate of B / rate of A), mean over steps",
                    Asks::LargerThan(0.0),
                    ratios,
                )],
            )
            .section(),
        ))
}

/// Mean logarithm of the rate of the second group over that of the first.
fn ratio(outcome: &Outcome) -> f64 {
    let logs = outcome.trace.rates.iter().filter_map(|rates| match rates.0[..] {
        [a, b] if 0.0 < a && 0.0 < b => Some((b / a).ln()),
        _ => None,
    });
    mean_and_std(&logs.collect::<Vec<_>>()).0
}
