//! What becomes of trainings that start from a rate far off.

use hessian_lr::controller::{FirstRate, HiDlr, Settings};
use hessian_lr::driver::ProbeData;
use report::html::Section;
use report::number::significant;
use report::plot::{Plot, Series};
use report::table::{Align, Table};

use super::runs::{Cell, Runs, best, loss_text};
use super::{STEPS, curves, gen_of, hidlr_of, settings};
use crate::autorate::{Base, Course, Grouped, Method, Perceptron};
use crate::error::{Error, Result};
use crate::task::claim::{Asks, Check, Claim};
use crate::task::curves::mean_and_std;

/// First rates, and what a schedule is tuned over: half decades.
const FIRST: [f64; 7] = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0];
const GRID: [f64; 15] =
    [1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0, 10.0];
/// A loss counts as that of the tuned schedule up to this factor.
pub(super) const FACTOR: f64 = 1.5;
const COMMAND: &str = "cargo xtask bench auto-rates --only first-rate";

/// A schedule over the grid, for each direction.
pub(super) struct Tuned {
    pub(super) base: Base,
    pub(super) course: Course,
    pub(super) cells: Vec<Cell>,
}

impl Tuned {
    pub(super) fn best(&self) -> Result<&Cell> {
        best(&self.cells).ok_or(Error::TooFewRuns)
    }
}

/// Trains with every schedule at every rate of the grid, from the same seeds as everything else.
pub(super) fn tune(runs: &mut Runs<'_>, digits: &Perceptron) -> Result<Vec<Tuned>> {
    let seeds = runs.seeds();
    let mut tuned = Vec::new();
    for base in [Base::AdamW, Base::Sgd] {
        for course in Course::ALL {
            let methods = GRID.map(|rate| Method::Scheduled { base, course, rate });
            let title = format!("{} {}", base.name(), course.name());
            let cells = runs.cells(&title, ("digits", digits), &methods, seeds.clone())?;
            let of = Tuned { base, course, cells };
            runs.figures(&format!("{}-{}", base.key(), course.name()), of.best()?)?;
            tuned.push(of);
        }
    }
    Ok(tuned)
}

/// The tuned schedule of that kind.
pub(super) fn find(tuned: &[Tuned], base: Base, course: Course) -> Result<&Tuned> {
    tuned.iter().find(|t| t.base == base && t.course == course).ok_or(Error::TooFewRuns)
}

/// A way to set rates, from every first rate.
struct Line {
    label: &'static str,
    key: &'static str,
    cells: Vec<Cell>,
}

type Maker = fn(Base, f64) -> Method;

const MAKERS: [(&str, &str, Maker); 6] = [
    ("GeN", "gen", |base, x| gen_of(base, settings(FirstRate::Auto(x), STEPS))),
    ("Hi-DLR, 6 groups", "hidlr", |base, x| {
        hidlr_of(base, settings(FirstRate::Auto(x), STEPS), Grouped::Leaves)
    }),
    ("GeN, first rate as it is", "gen-given", |base, x| {
        gen_of(base, settings(FirstRate::Given(x), STEPS))
    }),
    ("Hi-DLR, first rate as it is", "hidlr-given", |base, x| {
        hidlr_of(base, settings(FirstRate::Given(x), STEPS), Grouped::Leaves)
    }),
    ("GeN, preset paper", "gen-paper", |base, x| gen_of(base, Settings::paper(x))),
    ("Hi-DLR, preset paper", "hidlr-paper", |base, x| Method::HiDlr {
        base,
        controller: HiDlr::paper(x),
        probe_data: ProbeData::Next,
        groups: Grouped::Leaves,
    }),
];

fn lines(runs: &mut Runs<'_>, digits: &Perceptron, base: Base) -> Result<Vec<Line>> {
    let seeds = runs.seeds();
    let mut line = |(label, key, make): (&'static str, &'static str, Maker)| {
        let title = format!("{} {label}", base.name());
        let cells =
            runs.cells(&title, ("digits", digits), &FIRST.map(|x| make(base, x)), seeds.clone())?;
        Ok(Line { label, key, cells })
    };
    MAKERS.into_iter().map(&mut line).collect()
}

pub(super) fn run(runs: &mut Runs<'_>, digits: &Perceptron, tuned: &[Tuned]) -> Result<Section> {
    let mut section = Section::new("The first rate").paragraph(
        "By default the first rate is where a search by forward passes begins, a thousandfold below it; `as it is` leaves the \
         search out. `paper` is the preset of the publications: no search, no horizon, no gate, three points (GeN) or five.",
    );
    for base in [Base::AdamW, Base::Sgd] {
        let lines = lines(runs, digits, base)?;
        section = section.section(part(runs, base, &lines, tuned)?);
    }
    Ok(section)
}

fn part(runs: &Runs<'_>, base: Base, lines: &[Line], tuned: &[Tuned]) -> Result<Section> {
    let cosine = find(tuned, base, Course::Cosine)?.best()?;
    let mut columns = vec!["loss from a first rate of".to_owned()];
    columns.extend(FIRST.map(|x| significant(x, 1)));
    columns.extend(["worst over tuned cosine".to_owned(), "forwards".into(), "s".into()]);
    let mut table = Table::new(columns);
    for column in 1..4 + FIRST.len() {
        table = table.align(column, Align::Right);
    }
    let mut plot = Plot::new(format!("{}: final loss against the first rate", base.name()))
        .x_label("first rate, or peak rate of a schedule")
        .y_label("training loss after the last step")
        .log_x()
        .log_y()
        .horizontal(FACTOR * cosine.loss(), "1.5 of tuned cosine");
    for line in lines {
        let worst = line.cells.iter().map(|c| mean_and_std(&c.over(cosine)).0.exp());
        let worst = worst.fold(0.0, f64::max);
        let mut row = vec![line.label.to_owned()];
        row.extend(line.cells.iter().map(|c| loss_text(c.loss())));
        let mean = |of: fn(&Cell) -> f64| {
            significant(mean_and_std(&line.cells.iter().map(of).collect::<Vec<_>>()).0, 3)
        };
        row.extend([significant(worst, 3), mean(Cell::forwards), mean(Cell::seconds)]);
        table.push_row(row);
        runs.figure(&format!("{}-{}-worst-over-cosine", base.key(), line.key), &[worst], "factor")?;
        let points = FIRST.iter().zip(&line.cells).map(|(x, c)| (*x, c.loss()));
        plot = plot.series(Series::line(line.label, points).with_markers());
    }
    for course in [Course::Constant, Course::Cosine] {
        let cells = &find(tuned, base, course)?.cells;
        let points = GRID.iter().zip(cells).map(|(x, c)| (*x, c.loss()));
        plot = plot.series(Series::line(course.name(), points));
    }
    let mut section = Section::new(format!("Directions of {}", base.name())).table(&table).plot(
        &plot.to_svg()?,
        "Geometric means over seeds; what diverged counts with the loss of its first batch.",
    );
    let shown = [(0, 0), (0, FIRST.len() - 1), (2, 0), (2, FIRST.len() - 1)];
    for (i, j) in shown {
        if let Some(outcome) = lines.get(i).and_then(|l| l.cells.get(j)?.outcomes.first()) {
            let title = format!("{}, {}, from {}", base.name(), lines[i].label, FIRST[j]);
            let (svg, caption) = curves::decisions(&title, outcome, 0)?;
            section = section.plot(&svg, caption);
        }
    }
    for claim in claims(runs, base, lines, cosine, tuned)? {
        section = section.section(claim.section());
    }
    Ok(section)
}

fn claims(
    runs: &Runs<'_>,
    base: Base,
    lines: &[Line],
    cosine: &Cell,
    tuned: &[Tuned],
) -> Result<Vec<Claim>> {
    let seeds = format!("{}, the same for all", runs.seeds().end);
    let claim = |published, miniature: &str, checks| Claim {
        published,
        miniature: format!(
            "{miniature}; directions of {}; ln of the quotient of losses",
            base.name()
        ),
        command: COMMAND,
        seeds: seeds.clone(),
        checks,
    };
    let within = |line: &Line| -> Vec<Check> {
        let check = |(x, cell): (&f64, &Cell)| Check {
            what: format!("{} from {x}: ln(loss / tuned cosine)", line.label),
            asks: Asks::AtMost(FACTOR.ln()),
            values: cell.over(cosine),
        };
        FIRST.iter().zip(&line.cells).map(check).collect()
    };
    let both = |i: usize, j: usize| -> Vec<Check> {
        [lines.get(i), lines.get(j)].into_iter().flatten().flat_map(within).collect()
    };
    let mut claims = vec![
        claim(
            "rates from curvature do not depend on the first rate (2407.02772), with our defaults",
            "final loss within 1.5 of the best cosine over half decades, from each first rate",
            both(0, 1),
        ),
        claim(
            "the same without the search for the first rate",
            "as before, but the first steps are taken with the first rate",
            both(2, 3),
        ),
        claim("the same with the preset of the papers", "as before", both(4, 5)),
    ];
    if base == Base::Sgd {
        claims.push(claim(
            "a rate that is best for the next step is too small for the whole training (2407.06183)",
            "plain gradients: GeN ends above the best constant rate, and its rate stays below that one",
            undershoot(lines, find(tuned, Base::Sgd, Course::Constant)?.best()?),
        ));
    }
    Ok(claims)
}

/// Checks that the greedy rate is too small.
fn undershoot(lines: &[Line], constant: &Cell) -> Vec<Check> {
    let Method::Scheduled { rate: tuned, .. } = constant.method else { return Vec::new() };
    let middle = FIRST.len() / 2;
    let Some(cell) = lines.first().and_then(|line| line.cells.get(middle)) else {
        return Vec::new();
    };
    let half = |outcome: &crate::autorate::Outcome| {
        let rates = &outcome.trace.rates;
        rates.get(rates.len() / 4).and_then(|r| r.0.first()).map_or(f64::NAN, |r| (r / tuned).ln())
    };
    let from = FIRST[middle];
    vec![
        Check {
            what: format!("GeN from {from}: ln(loss / best constant)"),
            asks: Asks::LargerThan(0.0),
            values: cell.over(constant),
        },
        Check {
            what: format!("GeN from {from}: ln(rate after a quarter / {tuned})"),
            asks: Asks::Smaller,
            values: cell.outcomes.iter().map(half).collect(),
        },
    ]
}
