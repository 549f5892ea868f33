//! A small network on images, with each of three directions.

use report::html::Section;
use report::number::significant;
use report::table::{Align, Table};

use super::runs::{Cell, Runs, best};
use super::{SEEDS, Setting, claims, plots};
use crate::autorate::Course;
use crate::data::Places;
use crate::error::{Error, Result};
use crate::hyfree::{Base, Method, Outcome, Rival, Training};
use crate::problem::{ImageProblem, Problem};

/// Seeds that choose the best of a grid.
const GRID_SEEDS: u64 = 2;
const COURSES: [Course; 2] = [Course::Constant, Course::Linear];
/// Rates that runs begin with where there is no ladder.
pub(super) const STARTS: [f64; 3] = [1e-4, 1e-2, 1.0];
/// DP-hyper: part of epsilon for the training, and steps of each candidate of the search.
const TRAINING_SHARE: f64 = 0.85;
const SEARCH_STEPS: u64 = 50;

/// Half decades around what suits the direction.
fn grid(base: Base) -> [f64; 6] {
    match base {
        Base::Sgd => [0.1, 0.3, 1.0, 3.0, 10.0, 30.0],
        Base::HeavyBall => [0.01, 0.03, 0.1, 0.3, 1.0, 3.0],
        Base::Adam => [3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1],
    }
}

/// All methods with one direction.
pub(super) struct Column {
    pub(super) base: Base,
    /// The best constant rate, and the best that fades in a line.
    pub(super) tuned: [Cell; 2],
    pub(super) hyper: Cell,
    pub(super) ladder: Cell,
    /// From each of [`STARTS`].
    pub(super) from: Vec<Cell>,
    /// The published rule from the first two of [`STARTS`]: its own, and one of the right order for Adam.
    pub(super) paper: [Cell; 2],
}

pub(super) fn run(runs: &mut Runs<'_>, places: &Places, setting: Setting) -> Result<Section> {
    let problem = &ImageProblem::open(setting.problem, places)?;
    let mut columns = Vec::new();
    for base in Base::ALL {
        columns.push(column(runs, problem, &setting, base)?);
    }
    let rivals = runs.cells(
        (&format!("{}, rivals", setting.key), problem),
        &Rival::ALL.map(Method::Rival),
        &setting,
        SEEDS,
    )?;
    record(runs, &setting, &columns, &rivals)?;
    let mut section = Section::new(format!("{}, epsilon {}", setting.problem, setting.epsilon))
        .key_values([
            ("training records", report::number::count(problem.n_train() as u64)),
            (
                "trainable parameters",
                report::number::count(problem.initial(0)?.n_elements() as u64),
            ),
            ("expected batch size", setting.batch_size.to_string()),
            ("steps", setting.steps.to_string()),
            ("seeds", SEEDS.to_string()),
        ])
        .table(&table(&columns, &rivals));
    if let Some(spent) = spent(&columns) {
        section = section.paragraph(spent);
    }
    for (svg, caption) in plots::all(&setting, &columns)? {
        section = section.plot(&svg, caption);
    }
    for claim in claims::of(&setting, &columns, &rivals)? {
        section = section.section(claim.section());
    }
    Ok(section)
}

fn column(
    runs: &mut Runs<'_>,
    problem: &ImageProblem,
    setting: &Setting,
    base: Base,
) -> Result<Column> {
    let title = |what: &str| format!("{}, {}, {what}", setting.key, base.name());
    let mut tuned = Vec::new();
    for course in COURSES {
        let methods = grid(base).map(|rate| Method::Given { base, rate, course });
        let title = title(&format!("{} rates", course.name()));
        let tried = runs.cells((&title, problem), &methods, setting, GRID_SEEDS)?;
        let method = best(&tried).map(|cell| cell.method.clone()).ok_or(Error::TooFewRuns)?;
        tuned.extend(runs.cells((&title, problem), &[method], setting, SEEDS)?);
    }
    let tuned = tuned.try_into().map_err(|_| Error::TooFewRuns)?;
    let mut methods = vec![Method::evidence(base, None)?];
    methods.extend([STARTS[0], STARTS[1]].map(|start| Method::paper(base, start)));
    for start in STARTS {
        methods.push(Method::evidence(base, Some(start))?);
    }
    let mut cells =
        runs.cells((&title("private losses"), problem), &methods, setting, SEEDS)?.into_iter();
    let mut next = || cells.next().ok_or(Error::TooFewRuns);
    let (ladder, paper) = (next()?, [next()?, next()?]);
    let hyper = hyper(runs, (&title("DP-hyper"), problem), setting, base)?;
    Ok(Column { base, tuned, hyper, ladder, from: cells.collect(), paper })
}

/// Each seed looks for its rate with a part of epsilon and trains with the rest.
fn hyper(
    runs: &mut Runs<'_>,
    subject: (&str, &ImageProblem),
    setting: &Setting,
    base: Base,
) -> Result<Cell> {
    let of = |rate: f64| Method::Given { base, rate, course: Course::Constant };
    let search = Setting {
        epsilon: (1.0 - TRAINING_SHARE) * setting.epsilon,
        steps: SEARCH_STEPS,
        ..*setting
    };
    let tried = runs.cells(subject, &grid(base).map(of), &search, SEEDS)?;
    let train = Setting { epsilon: TRAINING_SHARE * setting.epsilon, ..*setting };
    let mut trainings: Vec<Training> = Vec::new();
    for seed in 0..SEEDS {
        let accuracy = |cell: &Cell| -> f64 {
            let own = cell.outcomes.get(usize::try_from(seed).unwrap_or(usize::MAX));
            own.map_or(0.0, |outcome: &Outcome| outcome.accuracy)
        };
        let chosen = tried.iter().max_by(|a, b| accuracy(a).total_cmp(&accuracy(b)));
        let chosen = chosen.ok_or(Error::TooFewRuns)?;
        trainings.push(train.training(&chosen.method, seed));
    }
    let outcomes = runs.outcomes(subject, &trainings)?;
    let method = trainings.first().map(|t| t.method.clone()).ok_or(Error::TooFewRuns)?;
    Ok(Cell { method, outcomes })
}

/// A method in the table.
struct Row<'c> {
    label: String,
    /// In figures.
    key: &'static str,
    cells: Vec<(Base, &'c Cell)>,
}

fn rows(columns: &[Column]) -> Vec<Row<'_>> {
    let all = |of: fn(&Column) -> &Cell| columns.iter().map(|c| (c.base, of(c))).collect();
    let row = |label: &str, key, of| Row { label: label.into(), key, cells: all(of) };
    let mut rows = vec![
        row("best constant rate of a grid, unpaid", "grid", |c| &c.tuned[0]),
        row("best rate of a grid that fades in a line, unpaid", "grid-linear", |c| &c.tuned[1]),
        row("DP-hyper, 85 and 15 % of epsilon", "dp-hyper", |c| &c.hyper),
        row("HyFreeDP as published, from 1e-4", "paper", |c| &c.paper[0]),
        row("HyFreeDP as published, from 1e-2", "paper-from-1e-2", |c| &c.paper[1]),
        row("our rule, with a ladder", "evidence", |c| &c.ladder),
    ];
    let keys = ["evidence-from-1e-4", "evidence-from-1e-2", "evidence-from-1"];
    for (i, key) in keys.into_iter().enumerate() {
        let cells = columns.iter().filter_map(|c| Some((c.base, c.from.get(i)?))).collect();
        rows.push(Row { label: format!("our rule, from {}", STARTS[i]), key, cells });
    }
    rows
}

fn table(columns: &[Column], rivals: &[Cell]) -> Table {
    let header = std::iter::once("method").chain(Base::ALL.map(Base::name));
    let mut table = Table::new(header).with_caption(
        "Test accuracy in percent after the last step, mean and standard deviation over seeds; in brackets the rate of a grid",
    );
    for column in 1..=Base::ALL.len() {
        table = table.align(column, Align::Right);
    }
    for Row { label, key, cells } in rows(columns) {
        let shown = cells.iter().map(|(_, cell)| match cell.method {
            Method::Given { rate, .. } if key != "dp-hyper" => {
                format!("{} ({})", cell.shown(), significant(rate, 1))
            }
            _ => cell.shown(),
        });
        table.push_row(std::iter::once(label).chain(shown));
    }
    for (rival, cell) in Rival::ALL.into_iter().zip(rivals) {
        let at = match rival {
            Rival::DAdaptSgd => 0,
            Rival::DAdaptAdam | Rival::Prodigy => 2,
        };
        let mut row = vec![rival.name().to_owned(), String::new(), String::new(), String::new()];
        row[1 + at] = cell.shown();
        table.push_row(row);
    }
    table
}

fn record(runs: &Runs<'_>, setting: &Setting, columns: &[Column], rivals: &[Cell]) -> Result<()> {
    for Row { key, cells, .. } in rows(columns) {
        for (base, cell) in cells {
            runs.figure(&format!("{}-{}-{key}", setting.key, base.key()), cell)?;
        }
    }
    for (rival, cell) in Rival::ALL.into_iter().zip(rivals) {
        runs.figure(&format!("{}-{}", setting.key, rival.key()), cell)?;
    }
    Ok(())
}

/// What the budget went to, in a sentence.
fn spent(columns: &[Column]) -> Option<String> {
    let column = columns.first()?;
    let (plain, ladder) = (column.tuned[0].outcomes.first()?, column.ladder.outcomes.first()?);
    let without = column.from.first()?.outcomes.first()?;
    Some(format!(
        "Noise multiplier of gradients {} alone, {} beside losses; of losses {} with a ladder ({} losses released of {} charged), {} \
         without. Simulated epsilon at the end: {} and {}.",
        significant(plain.sigma, 4),
        significant(ladder.sigma, 4),
        significant(ladder.sigma_l?, 4),
        ladder.n_losses,
        charged(&column.ladder)?,
        significant(without.sigma_l?, 4),
        significant(plain.simulated_epsilon, 6),
        significant(ladder.simulated_epsilon, 6),
    ))
}

fn charged(cell: &Cell) -> Option<u64> {
    let Method::HyFree { settings, .. } = &cell.method else { return None };
    let steps = cell.outcomes.first()?.rates.len() as u64;
    Some(settings.schedule().total(steps))
}
