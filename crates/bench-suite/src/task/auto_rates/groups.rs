//! A rate for each group against one for all, where groups live at different scales.

use hessian_lr::controller::FirstRate;
use report::html::Section;
use report::number::significant;
use report::table::{Align, Table};

use super::runs::{Cell, Runs, best};
use super::{STEPS, curves, gen_of, hidlr_of, settings};
use crate::autorate::{Base, Course, Grouped, Method, Perceptron};
use crate::data::Places;
use crate::error::{Error, Result};
use crate::task::claim::{Asks, Check, Claim};

const AROUND: f64 = 1e-3;
/// Half decades for the single rate.
const GRID: [f64; 9] = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0];

/// Scales of the layers of a network.
struct Scales {
    name: &'static str,
    key: &'static str,
    of: fn(&str) -> f64,
    /// Whether the claim is about it.
    claimed: bool,
}

/// A layer's number, from its leaf's name.
fn layer(name: &str, scales: [f64; 3]) -> f64 {
    let starts = |prefix| name.starts_with(prefix);
    match (starts("fc1"), starts("fc2")) {
        (true, _) => scales[0],
        (_, true) => scales[1],
        _ => scales[2],
    }
}

const SCALES: [Scales; 3] = [
    Scales { name: "as they are", key: "plain", of: |_| 1.0, claimed: false },
    Scales {
        name: "1, 1/10, 10",
        key: "tenfold",
        of: |name| layer(name, [1.0, 0.1, 10.0]),
        claimed: true,
    },
    Scales {
        name: "1, 1/100, 100",
        key: "hundredfold",
        of: |name| layer(name, [1.0, 0.01, 100.0]),
        claimed: true,
    },
];

pub(super) fn run(runs: &mut Runs<'_>, places: &Places) -> Result<Section> {
    let seeds = runs.seeds();
    let columns = ["scales of the layers", "method", "loss", "range over seeds", "accuracy, %"];
    let mut table = Table::new(columns.into_iter().chain(["more forwards", "cpu s"]));
    for column in 2..7 {
        table = table.align(column, Align::Right);
    }
    let settings = || settings(FirstRate::Auto(AROUND), STEPS);
    let base = Base::AdamW;
    let own = [
        ("GeN", gen_of(base, settings())),
        ("Hi-DLR, 3 layers", hidlr_of(base, settings(), Grouped::Layers)),
        ("Hi-DLR, 6 leaves", hidlr_of(base, settings(), Grouped::Leaves)),
    ];
    let grid = GRID.map(|rate| Method::Scheduled { base, course: Course::Cosine, rate });
    let mut section = Section::new("A rate for each group").paragraph(
        "The parameters of each layer are kept divided by a factor and multiplied by it before use. Steps of AdamW have the size \
         of the rate whatever the factor, so that they change the function by that factor: no single rate suits all layers.",
    );
    let (mut better, mut plots) = (Vec::new(), Vec::new());
    for scales in &SCALES {
        let digits = Perceptron::digits(places, scales.of)?;
        let subject = format!("digits-{}", scales.key);
        let methods = own.each_ref().map(|(_, method)| method.clone());
        let title = format!("scales {}", scales.name);
        let cells = runs.cells(&title, (&subject, &digits), &methods, seeds.clone())?;
        let schedules = runs.cells(&title, (&subject, &digits), &grid, seeds.clone())?;
        let cosine = best(&schedules).ok_or(Error::TooFewRuns)?;
        let mut row = |label: String, cell: &Cell| {
            table.push_row([scales.name.to_owned(), label].into_iter().chain(cell.shown()));
        };
        for ((label, _), cell) in own.iter().zip(&cells) {
            row((*label).into(), cell);
            let key = label.to_lowercase().replace(", ", "-").replace(' ', "-");
            runs.figures(&format!("scales-{}-{key}", scales.key), cell)?;
        }
        if let Method::Scheduled { rate, .. } = cosine.method {
            row(format!("cosine {}, tuned", significant(rate, 1)), cosine);
            runs.figures(&format!("scales-{}-cosine", scales.key), cosine)?;
        }
        let [single, layers, leaves] = &cells[..] else { return Err(Error::TooFewRuns) };
        if scales.claimed {
            let check = |what: &str, values| Check {
                what: format!("scales {}: {what}", scales.name),
                asks: Asks::Smaller,
                values,
            };
            better.extend([
                check("ln(Hi-DLR by layers / GeN)", layers.over(single)),
                check("ln(Hi-DLR by leaves / GeN)", leaves.over(single)),
                check("ln(Hi-DLR by layers / cosine with one tuned rate)", layers.over(cosine)),
            ]);
        }
        if let Some(outcome) = layers.outcomes.first().filter(|_| scales.key == "tenfold") {
            for (group, name) in ["fc1", "fc2", "fc3"].into_iter().enumerate() {
                let title = format!("Hi-DLR, scales {}, layer {name}", scales.name);
                plots.push(curves::decisions(&title, outcome, group)?);
            }
        }
    }
    section = section.table(&table);
    for (svg, caption) in plots {
        section = section.plot(&svg, caption);
    }
    let claim = Claim {
        published: "a rate for each group is better than one for all where groups differ (2501.06954)",
        miniature: "layers at scales of their own, AdamW; training loss, ln of quotients".into(),
        command: "cargo xtask bench auto-rates --only groups",
        seeds: format!("{}, the same for all", seeds.end),
        checks: better,
    };
    Ok(section.section(claim.section()))
}
