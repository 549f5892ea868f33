//! Automatic rates from starts that are far apart.

use report::figures::Better;
use report::html::Section;
use report::number::{mean_std, significant};
use report::plot::{Plot, Series, Svg};
use report::table::{Align, Table};

use super::TASK;
use super::runs::{Cell, Runs};
use crate::error::Result;
use crate::forgetting::{Base, Outcome, Rates, Training};
use crate::task::claim::{Asks, Check, Claim};
use crate::task::curves::mean_and_std;

/// A rate of plain descent that is good for NGDiff here.
const GOOD: f64 = 0.03;
/// What starts are multiplied by; the good one first.
const STARTS: [f64; 3] = [1.0, 0.1, 10.0];
/// Enough for a smoothed rate to move by a factor of ten either way.
const STEPS: u64 = 600;
/// Checks of both losses in so many steps.
const CHECKS: u64 = 15;
/// Points within which runs from all starts are to end.
const POINTS: f64 = 15.0;

/// How rates come about, and how a table names that.
const KINDS: [(Rates, &str); 4] = [
    (Rates::Smoothed, "smoothed"),
    (Rates::Raw, "raw"),
    (Rates::Searched, "searched"),
    (Rates::Constant, "constant"),
];

type Number = fn(&Outcome) -> f64;

/// What is compared between starts, in shares.
const COMPARED: [(&str, Number); 3] = [
    ("distance", |o| o.summary.distance),
    ("forget ROUGE", |o| o.summary.forget_rouge),
    ("retain ROUGE", |o| o.summary.retain_rouge),
];

pub(super) fn run(runs: &mut Runs<'_>) -> Result<Section> {
    let seeds = runs.scale.seeds;
    let mut section = Section::new("Automatic rates");
    for (to_gold, title, key) in [
        (false, "All steps, whatever was forgotten before", "all"),
        (true, "Until the forget loss is that of the gold model", "gold"),
    ] {
        let cells = cells(runs, to_gold)?;
        record(runs, key, &cells)?;
        let mut part = Section::new(title).table(&table(&cells));
        if !to_gold {
            part = part.plot(
                &plot(&cells)?,
                "First seed. A smoothed rate grows by at most a tenth and shrinks by at most a twentieth every ten steps; a raw one goes where the fit says; a searched one is smoothed with a gate against noise, and begins at half the best rate of a search along the first direction, which doubles from a thousandth of the given one.",
            );
        }
        for (rates, name) in KINDS.iter().filter(|kind| kind.0 != Rates::Constant) {
            let miniature = format!(
                "NGDiff, plain descent, a {name} rate, fitted at every tenth of at most {STEPS} steps, from ten times and a tenth of a good rate, within {POINTS} points; {}",
                if to_gold {
                    "ended where the forget loss is the gold model's"
                } else {
                    "no other end"
                }
            );
            part = part.section(claim(&cells, *rates, miniature, seeds).section());
        }
        section = section.section(part);
    }
    Ok(section)
}

/// All kinds from all starts, with all seeds.
fn cells(runs: &mut Runs<'_>, to_gold: bool) -> Result<Vec<Cell>> {
    let seeds = runs.scale.seeds;
    let mut trainings = Vec::new();
    for (rates, _) in KINDS {
        for start in STARTS {
            let training = Training {
                base: Base::Sgd,
                rates,
                steps: STEPS,
                batch: 8,
                checks: CHECKS,
                to_gold,
                ..runs.training("ngdiff", start * GOOD, 0)
            };
            trainings.extend((0..seeds).map(|seed| Training { seed, ..training.clone() }));
        }
    }
    let outcomes = runs.outcomes(&format!("{TASK}: automatic rates"), &trainings)?;
    let n = usize::try_from(seeds).unwrap_or(usize::MAX);
    let pairs = trainings.chunks(n).zip(outcomes.chunks(n));
    let cell = |(t, o): (&[Training], &[Outcome])| {
        Some(Cell { training: t.first()?.clone(), at_end: false, outcomes: o.to_vec() })
    };
    Ok(pairs.filter_map(cell).collect())
}

fn named(rates: Rates) -> &'static str {
    KINDS.iter().find(|kind| kind.0 == rates).map_or("", |kind| kind.1)
}

fn table(cells: &[Cell]) -> Table {
    let heads = ["rates", "given rate", "last rate", "steps"].into_iter();
    let heads = heads.chain(COMPARED.map(|(name, _)| name)).chain([
        "forget loss",
        "retain loss",
        "at the first check",
    ]);
    let mut table = Table::new(heads)
        .with_caption("NGDiff under plain descent, mean and standard deviation over seeds; the first check of the retain loss comes after a fifteenth of the steps, or at the end");
    for column in 1..10 {
        table = table.align(column, Align::Right);
    }
    for cell in cells {
        let mean = |of: Number| mean_and_std(&cell.values(of)).0;
        let shown = |of: Number| {
            let (mean, std) = mean_and_std(&cell.values(of));
            mean_std(mean, std)
        };
        let row = [
            named(cell.training.rates).to_owned(),
            significant(cell.training.rate, 2),
            significant(mean(|o| o.rates.last().map_or(f64::NAN, |r| r.1)), 2),
            significant(mean(|o| o.steps as f64), 3),
        ];
        let row = row.into_iter().chain(COMPARED.map(|(_, of)| shown(of)));
        table.push_row(row.chain([
            shown(|o| o.summary.forget_loss),
            shown(|o| o.summary.retain_loss),
            shown(|o| o.checks.get(1).map_or(f64::NAN, |check| check.retain)),
        ]));
    }
    table
}

fn plot(cells: &[Cell]) -> Result<Svg> {
    let mut plot = Plot::new("Rates").x_label("step").y_label("rate").log_y();
    for cell in cells.iter().filter(|cell| cell.training.rates != Rates::Constant) {
        if let Some(outcome) = cell.outcomes.first() {
            let first = significant(cell.training.rate, 2);
            let label = format!("{} from {first}", named(cell.training.rates));
            let points = outcome.rates.iter().map(|(step, rate)| (*step as f64, *rate));
            plot = plot.series(Series::line(label, points));
        }
    }
    Ok(plot.to_svg()?)
}

fn claim(cells: &[Cell], rates: Rates, miniature: String, seeds: u64) -> Claim {
    let of_kind: Vec<&Cell> = cells.iter().filter(|cell| cell.training.rates == rates).collect();
    let mut checks = Vec::new();
    if let [good, others @ ..] = &of_kind[..] {
        for cell in others {
            for (what, of) in COMPARED {
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
    }
    Claim {
        published: "NGDiff paper: with automatic rates the first rate does not matter",
        miniature,
        command: "cargo xtask bench unlearn --only rates",
        seeds: format!("{seeds}, the same for all"),
        checks,
    }
}

fn record(runs: &Runs<'_>, key: &str, cells: &[Cell]) -> Result<()> {
    for cell in cells {
        let (kind, first) = (named(cell.training.rates), significant(cell.training.rate, 1));
        let name = format!("rates-{key}-{kind}-from-{first}-distance");
        runs.figure(&name, &cell.values(|o| o.summary.distance), "share", Better::Lower)?;
    }
    Ok(())
}
