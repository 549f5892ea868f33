//! All methods, ranked by their distance from the gold model.

use report::figures::Better;
use report::html::Section;
use report::number::{mean_std, significant};
use report::table::{Align, Table};

use super::columns::{Column, SHARED, generations};
use super::runs::{Cell, Runs};
use super::{TASK, claims, plots};
use crate::error::{Error, Result};
use crate::forgetting::{Outcome, Shown, Summary, TASK_VECTOR, Training};
use crate::task::curves::mean_and_std;
use unlearn::method::METHODS;

/// At which both weights of a gradient difference are compared.
const ONE_RATE: f64 = 3e-4;

/// Everything that is measured, with the models it is measured against.
pub(super) struct Measured {
    /// In the order of their mean distance.
    pub(super) cells: Vec<Cell>,
    pub(super) target: Vec<Summary>,
    pub(super) gold: Vec<Summary>,
    /// Gradient differences with weights .9 and .1 on what is kept, at one rate.
    pub(super) weighted: [Vec<Outcome>; 2],
    /// Where runs of the first seed end: the loss of its gold model on rows to forget, in nats for each token.
    pub(super) end: f64,
}

impl Measured {
    pub(super) fn cell(&self, method: &str) -> Result<&Cell> {
        self.cells.iter().find(|c| c.training.method == method).ok_or(Error::TooFewRuns)
    }
}

pub(super) fn run(runs: &mut Runs<'_>) -> Result<Section> {
    let mut names: Vec<&str> =
        METHODS.iter().map(|(name, _)| *name).filter(|name| *name != "retain").collect();
    names.push(TASK_VECTOR);
    let mut cells = runs.tuned("methods", &names)?;
    let mean = |cell: &Cell| mean_and_std(&cell.values(|o| o.summary.distance)).0;
    cells.sort_by(|a, b| mean(a).total_cmp(&mean(b)));
    let seeds: Vec<u64> = (0..runs.scale.seeds).collect();
    let weighted = ["gdiff-0.9", "gdiff-0.1"].map(|method| {
        let training = |seed: &u64| runs.training(method, ONE_RATE, *seed);
        let trainings: Vec<Training> = seeds.iter().map(training).collect();
        runs.outcomes(&format!("{TASK}: {method} at one rate"), &trainings)
    });
    let [more, less] = weighted;
    let worlds = runs.worlds(&seeds)?;
    let summaries = |of: fn(&crate::forgetting::World<tape_nn::net::Gpt>) -> Result<Summary>| {
        worlds.iter().map(|w| of(w)).collect::<Result<Vec<_>>>()
    };
    let measured = Measured {
        cells,
        target: summaries(|w| Summary::of(&w.of_target, &w.of_gold, w.of_target.accuracy))?,
        weighted: [more?, less?],
        end: worlds.first().ok_or(Error::TooFewRuns)?.forget_loss_of_gold(runs.scale.checked),
        gold: summaries(|w| Summary::of(&w.of_gold, &w.of_gold, w.of_target.accuracy))?,
    };
    record(runs, &measured)?;
    let world = worlds.first().ok_or(Error::TooFewRuns)?;
    let mut section = Section::new("Methods").key_values([
        ("parameters", report::number::count(world.target.n_elements() as u64)),
        ("rows to forget, to keep", format!("{}, {}", world.forget.len(), world.retain.len())),
        ("tokens", world.tokenizer.n_tokens().to_string()),
        ("most steps", runs.scale.steps.to_string()),
        ("rows of each set in a step", runs.scale.batch.to_string()),
        ("optimizer", "AdamW".into()),
        ("seeds", runs.scale.seeds.to_string()),
    ]);
    section = section.table(&ranking(&measured)).table(&course(&measured));
    for (svg, caption) in plots::of(&measured)? {
        section = section.plot(&svg, caption);
    }
    let before = (Shown::some(&world.of_target), Shown::some(&world.of_gold));
    section = section.table(&written(&measured, &before));
    for claim in claims::of(runs.scale, &measured)? {
        section = section.section(claim.section());
    }
    Ok(section)
}

/// A number of an outcome.
type Number = fn(&Outcome) -> f64;

/// Columns behind the shared ones.
const MORE: [Column; 3] = [
    ("aggregate", |s| s.aggregate),
    ("final", |s| s.last),
    ("passes the gate", |s| f64::from(u8::from(s.passes_gate))),
];

fn columns() -> impl Iterator<Item = Column> {
    SHARED.into_iter().chain(MORE)
}

fn ranking(measured: &Measured) -> Table {
    let heads = ["method", "rate"].into_iter().chain(columns().map(|(head, _)| head));
    let mut table = Table::new(heads).with_caption(
        "Mean and standard deviation over seeds, nearest to the gold model first; losses in nats for each token, the divergence from what the gold model expects at tokens to forget likewise; a star marks a rate at an end of the grid",
    );
    for column in 1..SHARED.len() + MORE.len() + 2 {
        table = table.align(column, Align::Right);
    }
    let mut push = |name: &str, rate: String, summaries: &[Summary]| {
        let shown = columns().map(|(_, of)| {
            let (mean, std) = mean_and_std(&summaries.iter().map(of).collect::<Vec<f64>>());
            mean_std(mean, std)
        });
        table.push_row([name.to_owned(), rate].into_iter().chain(shown));
    };
    push("(gold model)", String::new(), &measured.gold);
    for cell in &measured.cells {
        let star = if cell.at_end { "*" } else { "" };
        let rate = format!("{}{star}", significant(cell.training.rate, 1));
        let summaries: Vec<Summary> = cell.outcomes.iter().map(|o| o.summary.clone()).collect();
        push(&cell.training.method, rate, &summaries);
    }
    push("(target)", String::new(), &measured.target);
    table
}

fn course(measured: &Measured) -> Table {
    let heads = [
        "method",
        "steps",
        "ended at the gold loss",
        "steps that raised the retain loss",
        "that raised the loss to forget by",
        "skipped",
        "did nothing",
        "cpu s",
    ];
    let mut table = Table::new(heads).with_caption(
        "How runs went: shares of steps are to first order, by the inner product of the gradient with the step that AdamW took",
    );
    for column in 1..8 {
        table = table.align(column, Align::Right);
    }
    for cell in &measured.cells {
        let mean =
            |of: fn(&Outcome) -> f64, digits| significant(mean_and_std(&cell.values(of)).0, digits);
        let count = |of: fn(&Outcome) -> bool| {
            let n = cell.outcomes.iter().filter(|o| of(o)).count();
            format!("{n} of {}", cell.outcomes.len())
        };
        table.push_row([
            cell.training.method.clone(),
            mean(|o| o.steps as f64, 3),
            count(|o| o.ended == "loss of the gold model"),
            mean(|o| o.raised[0], 2),
            mean(|o| o.raised[1], 2),
            mean(|o| o.n_skipped as f64, 2),
            count(|o| o.did_nothing.is_some()),
            mean(|o| o.cpu_s, 2),
        ]);
    }
    table
}

/// What models wrote before and after, first seed.
fn written(measured: &Measured, (target, gold): &(Vec<Shown>, Vec<Shown>)) -> Table {
    let of = |method: &'static str| {
        let first = measured.cell(method).ok().and_then(|cell| cell.outcomes.first());
        (method, first.map_or(&[][..], |o| &o.shown[..]))
    };
    let caption = "Generations of the first seed: rows to forget, then rows to keep";
    generations(caption, (target, gold), &["ngdiff", "blur", "gdiff", "npo"].map(of))
}

fn record(runs: &Runs<'_>, measured: &Measured) -> Result<()> {
    for cell in &measured.cells {
        let name = &cell.training.method;
        let numbers: [(&str, Number, Better); 5] = [
            ("distance", |o| o.summary.distance, Better::Lower),
            ("divergence", |o| o.summary.divergence, Better::Lower),
            ("retain-exact", |o| o.summary.retain_exact, Better::Higher),
            ("forget-rouge", |o| o.summary.forget_rouge, Better::Lower),
            ("final", |o| o.summary.last, Better::Higher),
        ];
        for (what, of, better) in numbers {
            let unit = if what == "divergence" { "nats" } else { "share" };
            runs.figure(&format!("{name}-{what}"), &cell.values(of), unit, better)?;
        }
    }
    let of = |summaries: &[Summary]| summaries.iter().map(|s| s.last).collect::<Vec<_>>();
    runs.figure("gold-final", &of(&measured.gold), "share", Better::Higher)?;
    runs.figure("target-final", &of(&measured.target), "share", Better::Higher)
}
