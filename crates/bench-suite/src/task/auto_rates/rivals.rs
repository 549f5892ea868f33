//! Against schedules that were tuned, and against other ways to have no rate to tune.

use hessian_lr::controller::FirstRate;
use report::html::Section;
use report::table::{Align, Table};

use super::first_rate::{FACTOR, Tuned, find};
use super::runs::{Cell, Runs, best};
use super::{STEPS, curves, gen_of, hidlr_of, settings};
use crate::autorate::{Base, Course, Grouped, Kind, Method, Perceptron};
use crate::error::{Error, Result};
use crate::task::claim::{Asks, Check, Claim};

/// Half decades for the rates of rivals that have one.
const GRID: [f64; 9] = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0];
const AROUND: f64 = 1e-3;

struct Row {
    label: String,
    cell: Cell,
}

pub(super) fn run(runs: &mut Runs<'_>, digits: &Perceptron, tuned: &[Tuned]) -> Result<Section> {
    let own = own(runs, digits)?;
    let rivals = rivals(runs, digits)?;
    let mut schedules = Vec::new();
    for of in tuned {
        let cell = of.best()?;
        let Method::Scheduled { rate, .. } = cell.method else { continue };
        let label = format!("{}, {} {rate}, tuned", of.base.name(), of.course.name());
        schedules.push(Row { label, cell: cell.clone() });
    }
    let columns = ["method", "loss", "range over seeds", "accuracy, %", "more forwards", "cpu s"];
    let mut table = Table::new(columns);
    for column in 1..6 {
        table = table.align(column, Align::Right);
    }
    for row in own.iter().chain(&schedules).chain(&rivals) {
        let shown = row.cell.shown();
        table.push_row(std::iter::once(row.label.clone()).chain(shown));
    }
    for row in own.iter().chain(&rivals) {
        let key = row.label.to_lowercase().replace(", ", "-").replace([' ', ','], "-");
        runs.figures(&key, &row.cell)?;
    }
    let adam = |course| -> Result<&Cell> { find(tuned, Base::AdamW, course)?.best() };
    let (gen_, hidlr) = match &own[..] {
        [gen_, hidlr, ..] => (&gen_.cell, &hidlr.cell),
        _ => return Err(Error::TooFewRuns),
    };
    let cosine = adam(Course::Cosine)?;
    let shown: Vec<(String, &Cell)> = vec![
        ("GeN".into(), gen_),
        ("Hi-DLR".into(), hidlr),
        ("cosine, tuned".into(), cosine),
        ("constant, tuned".into(), adam(Course::Constant)?),
        ("Prodigy".into(), find_row(&rivals, Kind::Prodigy.name())?),
        ("Schedule-Free, tuned".into(), find_row(&rivals, "Schedule-Free AdamW, tuned")?),
    ];
    let (svg, caption) = curves::losses("Losses along training", &shown)?;
    let mut section = Section::new("Tuned schedules and rivals")
        .paragraph(
            "Schedules are tuned over half decades with the seeds that are shown. Rivals have their authors' defaults (Polyak and \
             Armijo with the 11 batches of our epoch); where they have a rate, a second row has the best of half decades of seed 0. \
             `More forwards` are evaluations of a batch beside those of the gradients.",
        )
        .table(&table)
        .plot(&svg, caption);
    let claim = |published, miniature: &str, checks| Claim {
        published,
        miniature: miniature.into(),
        command: "cargo xtask bench auto-rates --only rivals",
        seeds: format!("{}, the same for all", runs.seeds().end),
        checks,
    };
    let mut matches = Vec::new();
    for (name, cell) in [("GeN", gen_), ("Hi-DLR", hidlr)] {
        for course in Course::ALL {
            matches.push(Check {
                what: format!("{name}: ln(loss / tuned {})", course.name()),
                asks: Asks::AtMost(FACTOR.ln()),
                values: cell.over(adam(course)?),
            });
        }
    }
    section = section.section(
        claim(
            "GeN is as good as schedules whose rate was tuned (2407.02772)",
            "AdamW; training loss within 1.5 of that of the best rate of each schedule",
            matches,
        )
        .section(),
    );
    let beats = |cell: &Cell| -> Vec<Check> {
        rivals
            .iter()
            .map(|row| Check {
                what: format!("ln(loss / {})", row.label),
                asks: Asks::Smaller,
                values: cell.over(&row.cell),
            })
            .collect()
    };
    for (published, cell) in [
        ("GeN is better than rivals without a rate to tune (2407.02772)", gen_),
        ("Hi-DLR is better than rivals without a rate to tune (2501.06954)", hidlr),
    ] {
        let miniature = "AdamW; training loss smaller than that of each rival";
        section = section.section(claim(published, miniature, beats(cell)).section());
    }
    Ok(section)
}

fn find_row<'r>(rows: &'r [Row], label: &str) -> Result<&'r Cell> {
    rows.iter().find(|row| row.label == label).map(|row| &row.cell).ok_or(Error::TooFewRuns)
}

fn own(runs: &mut Runs<'_>, digits: &Perceptron) -> Result<Vec<Row>> {
    let seeds = runs.seeds();
    let settings = || settings(FirstRate::Auto(AROUND), STEPS);
    let methods = [
        gen_of(Base::AdamW, settings()),
        hidlr_of(Base::AdamW, settings(), Grouped::Leaves),
        gen_of(Base::Sgd, settings()),
        hidlr_of(Base::Sgd, settings(), Grouped::Leaves),
    ];
    let labels = ["GeN, AdamW", "Hi-DLR, AdamW", "GeN, SGD", "Hi-DLR, SGD"];
    let cells = runs.cells("GeN and Hi-DLR", ("digits", digits), &methods, seeds)?;
    Ok(labels
        .into_iter()
        .zip(cells)
        .map(|(label, cell)| Row { label: label.into(), cell })
        .collect())
}

fn rivals(runs: &mut Runs<'_>, digits: &Perceptron) -> Result<Vec<Row>> {
    let seeds = runs.seeds();
    let methods = Kind::ALL.map(|kind| Method::Rival { kind, rate: None });
    let cells = runs.cells("rivals", ("digits", digits), &methods, seeds.clone())?;
    let mut rows = Vec::new();
    for (kind, cell) in Kind::ALL.into_iter().zip(cells) {
        rows.push(Row { label: kind.name().into(), cell });
        if kind.rate().is_none() {
            continue;
        }
        let methods = GRID.map(|rate| Method::Rival { kind, rate: Some(rate) });
        let title = format!("rates of {}", kind.name());
        let tried = runs.cells(&title, ("digits", digits), &methods, 0..1)?;
        let method = best(&tried).map(|cell| cell.method.clone()).ok_or(Error::TooFewRuns)?;
        let tuned = runs.cells(&title, ("digits", digits), &[method], seeds.clone())?;
        let label = format!("{}, tuned", kind.name());
        rows.extend(tuned.into_iter().map(|cell| Row { label: label.clone(), cell }));
    }
    Ok(rows)
}
