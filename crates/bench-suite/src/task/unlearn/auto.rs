//! Automatic rates from starts that are far apart.

use report::figures::Better;
use report::html::Section;
use report::number::{mean_std, significant};
use report::plot::{Plot, Series};
use report::table::{Align, Table};

use super::TASK;
use super::runs::{Cell, Runs};
use crate::error::Result;
use crate::forgetting::{Base, Training};
use crate::task::claim::{Asks, Check, Claim};
use crate::task::curves::mean_and_std;

/// A rate of plain descent that is good for NGDiff here.
const GOOD: f64 = 0.03;
/// What starts are multiplied by.
const STARTS: [f64; 3] = [1.0, 0.1, 10.0];
/// Enough for a smoothed rate to move by a factor of ten either way.
const STEPS: u64 = 600;
/// Points within which runs from all starts are to end.
const POINTS: f64 = 15.0;

pub(super) fn run(runs: &mut Runs<'_>) -> Result<Section> {
    let seeds = runs.scale.seeds;
    let training = |start: f64, automatic: bool, seed: u64| Training {
        base: Base::Sgd,
        automatic,
        steps: STEPS,
        batch: 8,
        to_gold: false,
        ..runs.training("ngdiff", start * GOOD, seed)
    };
    let mut trainings = Vec::new();
    for automatic in [true, false] {
        for start in STARTS {
            trainings.extend((0..seeds).map(|seed| training(start, automatic, seed)));
        }
    }
    let outcomes = runs.outcomes(&format!("{TASK}: automatic rates"), &trainings)?;
    let n = usize::try_from(seeds).unwrap_or(usize::MAX);
    let cells: Vec<Cell> = trainings
        .chunks(n)
        .zip(outcomes.chunks(n))
        .map(|(t, o)| Cell { training: t[0].clone(), at_end: false, outcomes: o.to_vec() })
        .collect();
    let mut table = Table::new([
        "rates",
        "first rate",
        "last rate",
        "distance",
        "forget ROUGE",
        "retain ROUGE",
        "retain loss",
    ])
    .with_caption("NGDiff under plain descent, all steps, mean and standard deviation over seeds");
    for column in 1..7 {
        table = table.align(column, Align::Right);
    }
    let mut plot = Plot::new("Rates").x_label("step").y_label("rate").log_y();
    for cell in &cells {
        let shown = |of: fn(&crate::forgetting::Outcome) -> f64| {
            let (mean, std) = mean_and_std(&cell.values(of));
            mean_std(mean, std)
        };
        let first = significant(cell.training.rate, 2);
        let kind = if cell.training.automatic { "automatic" } else { "constant" };
        table.push_row([
            kind.to_owned(),
            first.clone(),
            shown(|o| o.rates.last().map_or(f64::NAN, |r| r.1)),
            shown(|o| o.summary.distance),
            shown(|o| o.summary.forget_rouge),
            shown(|o| o.summary.retain_rouge),
            shown(|o| o.summary.retain_loss),
        ]);
        if cell.training.automatic {
            for (seed, outcome) in cell.outcomes.iter().enumerate() {
                let points = outcome.rates.iter().map(|(step, rate)| (*step as f64, *rate));
                plot = plot.series(Series::line(format!("from {first}, seed {seed}"), points));
            }
        }
        let name = format!("{kind}-from-{first}-distance");
        runs.figure(&name, &cell.values(|o| o.summary.distance), "share", Better::Lower)?;
    }
    let good = &cells[0];
    let mut checks = Vec::new();
    for cell in &cells[1..STARTS.len()] {
        let parts: [(&str, fn(&crate::forgetting::Outcome) -> f64); 3] = [
            ("distance", |o| o.summary.distance),
            ("forget ROUGE", |o| o.summary.forget_rouge),
            ("retain ROUGE", |o| o.summary.retain_rouge),
        ];
        for (what, of) in parts {
            let pairs = cell.values(of).into_iter().zip(good.values(of));
            checks.push(Check {
                what: format!(
                    "points of {what} between the starts {} and {}",
                    significant(cell.training.rate, 2),
                    significant(good.training.rate, 2)
                ),
                asks: Asks::AtMost(POINTS),
                values: pairs.map(|(a, b)| 100.0 * (a - b).abs()).collect(),
            });
        }
    }
    let claim = Claim {
        published: "NGDiff paper: with automatic rates the first rate does not matter",
        miniature: format!(
            "NGDiff, plain descent, a smoothed fit every tenth of {STEPS} steps, from ten times and a tenth of a good rate, within {POINTS} points"
        ),
        command: "cargo xtask bench unlearn --only rates",
        seeds: format!("{seeds}, the same for all"),
        checks,
    };
    Ok(Section::new("Automatic rates")
        .table(&table)
        .plot(
            &plot.to_svg()?,
            "A smoothed rate grows by at most a tenth and shrinks by at most a twentieth every ten steps.",
        )
        .section(claim.section()))
}
