//! A network on its data, with each filter before each optimizer.

use report::figures::Better;
use report::html::Section;
use report::number::significant;
use report::table::{Align, Table};

use super::runs::{Cell, Runs};
use super::{SEEDS, Setting, claims, plots};
use crate::error::{Error, Result};
use crate::filters::{Base, Filtering};
use crate::problem::Problem;
use crate::task::curves::mean_and_std;

/// All filters before one optimizer, at one epsilon.
pub(super) struct Column {
    pub(super) base: Base,
    pub(super) epsilon: f64,
    pub(super) cells: Vec<Cell>,
}

impl Column {
    pub(super) fn cell(&self, filtering: Filtering) -> Result<&Cell> {
        self.cells.iter().find(|cell| cell.filtering == filtering).ok_or(Error::TooFewRuns)
    }
}

pub(super) fn run<P: Problem + Sync>(
    runs: &mut Runs<'_>,
    problem: &P,
    setting: &Setting,
) -> Result<Section> {
    let mut columns = Vec::new();
    for base in Base::ALL {
        let rates = runs.rates(problem, (setting, base), setting.grid(base))?;
        for epsilon in setting.epsilons {
            let cells = runs.cells(problem, (setting, base, *epsilon), &rates)?;
            columns.push(Column { base, epsilon: *epsilon, cells });
        }
    }
    record(runs, setting, &columns)?;
    let sigma = |column: &Column| {
        column.cells.first().and_then(|cell| cell.outcomes.first()).map(|o| o.sigma)
    };
    let sigmas: Vec<String> = columns
        .iter()
        .filter(|column| column.base == Base::Sgd)
        .filter_map(|column| {
            Some(format!("{} ({})", significant(sigma(column)?, 4), column.epsilon))
        })
        .collect();
    let mut section = Section::new(problem.name())
        .key_values([
            ("training records", report::number::count(problem.n_train() as u64)),
            (
                "trainable parameters",
                report::number::count(problem.initial(0)?.n_elements() as u64),
            ),
            ("expected batch size", setting.batch_size.to_string()),
            ("steps", setting.steps.to_string()),
            ("noise multiplier (epsilon)", sigmas.join(", ")),
            ("seeds", SEEDS.to_string()),
        ])
        .table(&qualities(setting, &columns));
    if let Some(samples) = samples(&columns) {
        section = section.table(&samples);
    }
    if let Some(watched) = watched(setting, &columns) {
        section = section.table(&errors(watched)?);
        for (svg, caption) in plots::along(setting, watched)? {
            section = section.plot(&svg, caption);
        }
    }
    for claim in claims::of(setting, &columns)? {
        section = section.section(claim.section());
    }
    Ok(section)
}

/// The column in which errors were measured.
pub(super) fn watched<'c>(setting: &Setting, columns: &'c [Column]) -> Option<&'c Column> {
    columns.iter().find(|column| setting.watched && column.base == Base::Sgd)
}

fn qualities(setting: &Setting, columns: &[Column]) -> Table {
    let labels = columns.iter().map(|c| format!("{}, epsilon {}", c.base.name(), c.epsilon));
    let header = std::iter::once("filter".to_owned()).chain(labels);
    let mut table = Table::new(header).with_caption(format!(
        "{} after the last step, mean and standard deviation over seeds; in brackets the rate, with a star at an end of the grid",
        setting.quality.caption()
    ));
    for column in 1..=columns.len() {
        table = table.align(column, Align::Right);
    }
    for filtering in Filtering::all(Base::AdamW) {
        let shown = columns.iter().map(|column| match column.cell(filtering) {
            Ok(cell) => {
                let grid = setting.grid(column.base);
                let ends = [grid.first(), grid.last()];
                let at_end = if ends.contains(&Some(&cell.rate)) { "*" } else { "" };
                let rate = significant(cell.rate, 1);
                format!("{} ({rate}{at_end})", cell.shown(setting.quality))
            }
            Err(_) => String::new(),
        });
        table.push_row(std::iter::once(filtering.name()).chain(shown));
    }
    table
}

/// What the first seed of each cell writes; none where models do not write.
fn samples(columns: &[Column]) -> Option<Table> {
    let first = |cell: &Cell| cell.outcomes.first().and_then(|outcome| outcome.sample.clone());
    let prompt = columns.iter().flat_map(|c| &c.cells).find_map(first)?.0;
    let mut table = Table::new(["optimizer, epsilon", "filter", "written"])
        .with_caption(format!("The likeliest continuation of `{prompt}`, first seed"));
    for column in columns {
        for cell in &column.cells {
            if let Some((_, text)) = first(cell) {
                let at = format!("{}, {}", column.base.name(), column.epsilon);
                table.push_row([at, cell.filtering.name(), text]);
            }
        }
    }
    Some(table)
}

fn errors(column: &Column) -> Result<Table> {
    let header =
        ["filter, SGD", "error of the estimate over an unfiltered one", "noise power gain"];
    let mut table = Table::new(header).with_caption(
        "Mean squared error along training, from step 20 on; what exceeds the noise power gain is lag, and what a shared batch explains",
    );
    for at in 1..3 {
        table = table.align(at, Align::Right);
    }
    for cell in &column.cells {
        let (mean, std) = mean_and_std(&cell.error_ratios());
        table.push_row([
            cell.filtering.name(),
            report::number::mean_std(mean, std),
            significant(cell.filtering.at_rest()?.noise_power_gain(), 3),
        ]);
    }
    Ok(table)
}

fn record(runs: &Runs<'_>, setting: &Setting, columns: &[Column]) -> Result<()> {
    for column in columns {
        for cell in &column.cells {
            let (base, key) = (column.base.key(), cell.filtering.key());
            let name = format!("{}-eps{}-{base}-{key}", setting.key, column.epsilon);
            let (unit, better) = setting.quality.unit();
            runs.figure(&name, &cell.qualities(setting.quality), unit, better)?;
        }
    }
    if let Some(column) = watched(setting, columns) {
        for cell in &column.cells {
            let name = format!("{}-error-{}", setting.key, cell.filtering.key());
            runs.figure(&name, &cell.error_ratios(), "of an unfiltered one", Better::Lower)?;
        }
    }
    Ok(())
}
