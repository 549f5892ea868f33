//! Plots, tables and claims about choices on digits.

use report::figures::Better;
use report::html::Section;
use report::number::{count, significant};
use report::plot::{Plot, Series, Svg};
use report::table::{Align, Table};

use super::{CHEAP, CRITERIA, EACH_STEP, INFLUENCE, Measured, RANDOM, SEEDS, ways};
use crate::error::Result;
use crate::session::Session;
use crate::task::adapeft::digits::{GROUPS, PROBE, STEPS, Target};
use crate::task::adapeft::{cell, figure};
use crate::task::claim::{Asks, Check, Claim};
use crate::task::curves::mean_and_std;

pub(super) fn section(session: &Session, all: &[Measured], budgets: &[u64]) -> Result<Section> {
    figures(session, all)?;
    let mut section = Section::new("Choices on digits, against the best of all subsets").paragraph(format!(
        "A perceptron of 64, 64, 32 and 10 units is pretrained on 1,400 digits; then these are turned by a right angle, inverted, or \
         labelled otherwise. Its {GROUPS} leaves are the groups. A probe phase of {PROBE} steps with the defaults of the crate values \
         them; all 64 subsets are trained for {STEPS} steps with AdamW, each at two rates of which the one with the smaller training \
         loss counts. At every budget that is the size of a subset, the chosen set's held-out loss is compared with the least of \
         all subsets that fit."
    ));
    let ends = [budgets.first(), budgets.last()].map(|end| count(end.copied().unwrap_or(0)));
    let caption = format!(
        "0 is the best subset at that budget; means over seeds. Budgets go from {} to {} parameters. Greedy sets are in the table.",
        ends[0], ends[1]
    );
    for measured in all {
        section = section.plot(&curves(measured)?, &caption);
    }
    section = section.table(&scores(all)).table(&alone(all)).key_values(costs(all));
    for claim in claims(all, budgets.len()) {
        section = section.section(claim.section());
    }
    Ok(section)
}

fn figures(session: &Session, all: &[Measured]) -> Result<()> {
    for measured in all {
        let target = measured.target.name();
        for ((_, label), scores) in ways().iter().zip(&measured.scores) {
            let name = format!("choice-{target}-{}", key(label));
            figure(session, &name, scores, "mean log ratio", Better::Lower)?;
        }
        for (criterion, ranks) in CRITERIA.iter().zip(&measured.alone) {
            let name = format!("choice-{target}-{}-alone", key(criterion));
            figure(session, &name, ranks, "Spearman", Better::Higher)?;
        }
    }
    Ok(())
}

fn key(label: &str) -> String {
    label.replace(", ", "-").replace(' ', "-").to_lowercase()
}

fn curves(measured: &Measured) -> Result<Svg> {
    let ways = ways();
    let mut plot =
        Plot::new(format!("Digits {}: chosen sets against the best", measured.target.name()))
            .x_label("budget: its place among the sizes of all subsets")
            .y_label("mean of log(loss / least loss)");
    for w in [INFLUENCE[1], CHEAP[0], CHEAP[1], EACH_STEP, RANDOM] {
        let points = (1u32..).zip(&measured.curves[w]);
        let points = points.map(|(place, ratio)| (f64::from(place), *ratio));
        plot = plot.series(Series::line(ways[w].1.clone(), points));
    }
    Ok(plot.to_svg()?)
}

/// A column for each target.
fn by_target(caption: String, first: &str, rows: Vec<(String, Vec<String>)>) -> Table {
    let columns = std::iter::once(first).chain(Target::ALL.map(Target::name));
    let mut table = Table::new(columns).with_caption(caption);
    for column in 1..=Target::ALL.len() {
        table = table.align(column, Align::Right);
    }
    for (label, cells) in rows {
        table.push_row(std::iter::once(label).chain(cells));
    }
    table
}

fn scores(all: &[Measured]) -> Table {
    let rows = ways().into_iter().enumerate().map(|(w, (_, label))| {
        (label, all.iter().map(|measured| cell(&measured.scores[w])).collect())
    });
    let caption = format!("Mean over budgets of log(loss / least loss), {SEEDS} seeds");
    by_target(caption, "choice", rows.collect())
}

fn alone(all: &[Measured]) -> Table {
    let rows = CRITERIA.iter().enumerate().map(|(c, label)| {
        ((*label).to_owned(), all.iter().map(|measured| cell(&measured.alone[c])).collect())
    });
    let caption = "Rank correlation of a group's value with what training it alone gains; 1 would order the six groups rightly";
    by_target(caption.into(), "value", rows.collect())
}

fn costs(all: &[Measured]) -> [(&'static str, String); 5] {
    let mean = |cost: usize| {
        let values: Vec<f64> = all.iter().flat_map(|m| m.costs[cost].iter().copied()).collect();
        significant(mean_and_std(&values).0, 3)
    };
    [
        ("forward passes of a probe phase", mean(0)),
        ("forward and backward passes of one training", STEPS.to_string()),
        (
            "processor seconds of a probe phase, Fisher's gradients of single samples included",
            mean(1),
        ),
        ("processor seconds of all trainings of one seed", mean(2)),
        ("percent of fits that were not accepted", mean(3)),
    ]
}

/// Scores of one way less those of another, seed by seed, for each target.
fn differences(all: &[Measured], ours: usize, other: usize, asks: Asks) -> Vec<Check> {
    let ways = ways();
    let one = |measured: &Measured| {
        let pairs = measured.scores[ours].iter().zip(&measured.scores[other]);
        Check {
            what: format!("{}: {} less {}", measured.target.name(), ways[ours].1, ways[other].1),
            asks,
            values: pairs.map(|(ours, other)| ours - other).collect(),
        }
    };
    all.iter().map(one).collect()
}

fn claims(all: &[Measured], n_budgets: usize) -> [Claim; 4] {
    let claim = |published, checks| Claim {
        published,
        miniature: format!("six groups, all {n_budgets} budgets, see above"),
        command: "cargo xtask bench adapeft --only choice",
        seeds: format!("{SEEDS}: pretraining, batches and probe phase"),
        checks,
    };
    let chance = INFLUENCE.into_iter().chain([EACH_STEP]);
    let chance = chance.flat_map(|way| differences(all, way, RANDOM, Asks::Smaller));
    let pairs = [(INFLUENCE[1], CHEAP[0]), (INFLUENCE[1], CHEAP[1]), (EACH_STEP, CHEAP[0])];
    let against =
        pairs.iter().flat_map(|(ours, other)| differences(all, *ours, *other, Asks::NotLarger));
    let reversed =
        pairs.iter().flat_map(|(ours, other)| differences(all, *other, *ours, Asks::NotLarger));
    [
        claim("groups by influence are better than chance (2505.12579)", chance.collect()),
        claim(
            "the exact knapsack is at least as good as adding groups by influence (ours)",
            differences(all, INFLUENCE[1], INFLUENCE[0], Asks::NotLarger),
        ),
        claim(
            "influence chooses at least as well as gradient norms and Fisher information (asked by reviewers, not published)",
            against.collect(),
        ),
        claim(
            "gradient norms and Fisher information, which need no fits, choose at least as well as influence (ours)",
            reversed.collect(),
        ),
    ]
}
