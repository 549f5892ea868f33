//! Loss against trained parameters: chosen sets, fixed methods, full training.

use report::figures::Better;
use report::html::Section;
use report::number::{count, significant};
use report::plot::{Plot, Series};
use report::table::{Align, Table};

use super::claim::{Asks, Check, Claim};
use super::method::{BATCH, Bench, By, Method, PROBE, RANK, STEPS, Size};
use super::pretrain::{self, CONTEXT, WIDTH};
use super::sets::{Set, chosen};
use super::tune::{RATES, Tuned};
use super::{SEEDS, cell, figure};
use crate::error::Result;
use crate::task::curves::mean_and_std;

/// Percent of the parameters that may be trained.
pub(super) const PERCENT: [f64; 5] = [0.1, 0.3, 1.0, 3.0, 10.0];
const CRITERIA: [(&str, &str); 2] =
    [("influence", "AdaPEFT"), ("gradient_norm", "by gradient norm")];
const FIXED: [Method; 5] =
    [Method::BitFit, Method::Norms, Method::Head, Method::Lora(1), Method::Lora(RANK)];
/// What the paper asks for: this part of the parameters, at most so many percent above full training.
const BUDGET_OF_CLAIM: f64 = 0.3;
const ABOVE_OF_CLAIM: f64 = 1.0;

/// One method over all seeds.
struct Row {
    label: String,
    /// For figures.
    short: String,
    rate: f64,
    runs: Vec<Tuned>,
    /// Forward passes and seconds of the probe phase of each seed.
    probes: Vec<[f64; 2]>,
    sets: Vec<Set>,
}

impl Row {
    fn losses(&self) -> Vec<f64> {
        self.runs.iter().map(|run| run.test).collect()
    }

    fn mean(&self, of: impl Fn(&Tuned) -> f64) -> f64 {
        self.runs.iter().map(of).sum::<f64>() / self.runs.len() as f64
    }

    fn parameters(&self) -> f64 {
        self.mean(|run| run.n_trained)
    }

    fn probe(&self, part: usize) -> f64 {
        let n = self.probes.len().max(1) as f64;
        self.probes.iter().map(|probe| probe[part]).sum::<f64>() / n
    }

    fn forwards(&self) -> f64 {
        self.probe(0) + STEPS as f64
    }

    fn seconds(&self) -> f64 {
        self.probe(1) + self.mean(|run| run.seconds)
    }
}

/// A fixed method.
fn fixed(bench: &mut Bench<'_>, method: &Method) -> Result<Row> {
    let rate = bench.rate(Size::Small, method, *SEEDS.start())?;
    let runs = SEEDS.map(|seed| bench.tuned(Size::Small, method, seed, rate));
    let label = method.label();
    Ok(Row {
        short: label.replace(", ", "-").replace(' ', "-").to_lowercase(),
        label,
        rate: RATES[rate],
        runs: runs.collect::<Result<_>>()?,
        probes: Vec::new(),
        sets: Vec::new(),
    })
}

/// Sets chosen within a budget, of each seed its own. The rate is that of the first seed's set.
fn adaptive(
    bench: &mut Bench<'_>,
    criterion: (&str, &str),
    budget: u64,
    name: &str,
) -> Result<Row> {
    let (mut runs, mut probes, mut sets) = (Vec::new(), Vec::new(), Vec::new());
    let mut rate = None;
    for seed in SEEDS {
        let found = bench.found(Size::Small, By::Layer, PROBE, seed)?;
        let set = chosen(&found.report, criterion.0, budget)?;
        let method = Method::Groups(By::Layer, set.clone());
        let used = bench.shared_rate(Size::Small, &method, seed, &mut rate)?;
        runs.push(bench.tuned(Size::Small, &method, seed, used)?);
        // A squared norm of the gradient needs no losses beside those of the gradients.
        let cost = found.report.cost;
        probes.push(match criterion.0 {
            "influence" => [(cost.n_forwards + cost.n_steps) as f64, found.seconds],
            _ => {
                let steps = cost.n_steps as f64;
                let full = bench.tuned(Size::Small, &Method::Full, seed, 3)?;
                [steps, full.seconds * steps / STEPS as f64]
            }
        });
        sets.push(set);
    }
    Ok(Row {
        label: format!("{}, {name}", criterion.1),
        short: format!("{}-{name}", criterion.0.replace('_', "-")).replace(' ', ""),
        rate: rate.map_or(f64::NAN, |rate| RATES[rate]),
        runs,
        probes,
        sets,
    })
}

pub(super) fn run(bench: &mut Bench<'_>) -> Result<Section> {
    let n_rows = 1 + 2 * FIXED.len() + CRITERIA.len() * PERCENT.len();
    let session = bench.session;
    let task = session.progress.task("adapeft: budgets", n_rows as u64);
    let full = fixed(bench, &Method::Full)?;
    task.advance(1);
    let mut rivals = Vec::new();
    for method in FIXED {
        let row = fixed(bench, &method)?;
        task.advance(1);
        // The chosen set with as many parameters.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let budget = row.parameters() as u64;
        let name = format!("as {}", row.label);
        let ours = adaptive(bench, CRITERIA[0], budget, &name)?;
        task.advance(1);
        rivals.push((row, ours));
    }
    let mut by_criterion = Vec::new();
    for criterion in CRITERIA {
        let mut rows = Vec::new();
        for part in PERCENT {
            let budget = bench.budget(Size::Small, part)?;
            rows.push(adaptive(bench, criterion, budget, &format!("{part} %"))?);
            task.advance(1);
        }
        by_criterion.push(rows);
    }
    task.finish();

    let n_base = bench.net(Size::Small)?.params.n_elements();
    let all = || {
        std::iter::once(&full)
            .chain(rivals.iter().flat_map(|(a, b)| [a, b]))
            .chain(by_criterion.iter().flatten())
    };
    for row in all() {
        let name = format!("budgets-{}", row.short);
        figure(session, &format!("{name}-loss"), &row.losses(), "nats", Better::Lower)?;
        figure(session, &format!("{name}-seconds"), &[row.seconds()], "s", Better::Lower)?;
    }
    let ours = &by_criterion[0];
    let forwards = ours[0].probe(0) / (3.0 * STEPS as f64);
    figure(
        session,
        "budgets-probe-over-training",
        &[forwards],
        "forward passes of the probe phase over those of full training, a gradient counted as three",
        Better::Lower,
    )?;
    let mut section = Section::new("Loss against trained parameters")
        .paragraph(format!(
            "A network of the GPT-2 kind, width {WIDTH}, two blocks, {CONTEXT} characters, {} parameters, pretrained for {} \
             steps of {} windows on Tiny Shakespeare (one pretraining for all seeds), learns E2E's descriptions of restaurants \
             for {STEPS} steps of {BATCH} windows with AdamW and a rate that falls to a tenth. Each row's rate is found alike: \
             downhill on a grid of half decades, by 64 windows that are not those of the test, with the first seed; that search \
             is in no cost. Groups are kinds in layers; the network whose groups are chosen carries adapters of rank {RANK}, and \
             budgets are parts of the network without them. A probe phase is {PROBE} steps with the defaults of the crate, and \
             its cost is in the totals: forward passes are those of losses and of gradients, each gradient has a backward pass \
             too.",
            count(n_base as u64),
            pretrain::STEPS,
            pretrain::BATCH,
        ))
        .table(&table(all(), n_base as f64));
    section = section.table(&sets_of(ours.iter().chain(&by_criterion[1])));
    section = section.plot(
        &plot(&full, &rivals, &by_criterion)?.to_svg()?,
        "Mean loss of test windows over seeds, with one standard deviation around chosen sets.",
    );
    section = section.section(within_a_percent(&full, ours).section());
    section = section.section(against_fixed(&rivals).section());
    for claim in against_gradient_norm(&by_criterion) {
        section = section.section(claim.section());
    }
    Ok(section)
}

fn table<'r>(rows: impl Iterator<Item = &'r Row>, n_base: f64) -> Table {
    let mut table = Table::new([
        "trained",
        "parameters",
        "%",
        "rate",
        "test loss, nats per character",
        "forward passes",
        "of the probe phase",
        "seconds",
        "of the probe phase",
    ])
    .with_caption(format!(
        "Means over {} seeds, with the standard deviation of the loss",
        SEEDS.count()
    ));
    for column in 1..9 {
        table = table.align(column, Align::Right);
    }
    for row in rows {
        table.push_row([
            row.label.clone(),
            format!("{:.0}", row.parameters()),
            significant(100.0 * row.parameters() / n_base, 2),
            significant(row.rate, 1),
            cell(&row.losses()),
            format!("{:.0}", row.forwards()),
            format!("{:.0}", row.probe(0)),
            significant(row.seconds(), 3),
            significant(row.probe(1), 3),
        ]);
    }
    table
}

/// What is chosen, with how many of the seeds chose it.
fn sets_of<'r>(rows: impl Iterator<Item = &'r Row>) -> Table {
    let mut table = Table::new(["budget", "seeds", "chosen"]).with_caption("Chosen groups");
    for row in rows {
        for (i, set) in row.sets.iter().enumerate() {
            if row.sets[..i].contains(set) {
                continue;
            }
            let same: Vec<String> = SEEDS
                .zip(&row.sets)
                .filter(|(_, other)| *other == set)
                .map(|(seed, _)| seed.to_string())
                .collect();
            let names =
                if set.is_empty() { "nothing with a value fits".into() } else { set.join(", ") };
            table.push_row([row.label.clone(), same.join(", "), names]);
        }
    }
    table
}

fn plot(full: &Row, rivals: &[(Row, Row)], chosen: &[Vec<Row>]) -> Result<Plot> {
    let mut plot = Plot::new("Loss against trained parameters")
        .x_label("trained parameters")
        .y_label("test loss in nats per character")
        .log_x()
        .horizontal(mean_and_std(&full.losses()).0, "full training");
    for (rows, (_, label)) in chosen.iter().zip(CRITERIA) {
        let points = rows.iter().map(|row| (row.parameters(), mean_and_std(&row.losses()).0));
        let stds: Vec<f64> =
            rows.iter().map(|row| mean_and_std(&row.losses()).1.unwrap_or(0.0)).collect();
        plot = plot.series(Series::line(label, points).with_markers().with_std(&stds)?);
    }
    for (row, _) in rivals {
        let point = (row.parameters(), mean_and_std(&row.losses()).0);
        plot = plot.series(Series::points(row.label.clone(), [point]));
    }
    Ok(plot)
}

/// Percent by which the losses of one row are above those of another, seed by seed.
fn above(row: &Row, other: &Row) -> Vec<f64> {
    let pairs = row.runs.iter().zip(&other.runs);
    pairs.map(|(a, b)| 100.0 * (a.test / b.test - 1.0)).collect()
}

fn claim(published: &'static str, miniature: &str, checks: Vec<Check>) -> Claim {
    Claim {
        published,
        miniature: miniature.into(),
        command: "cargo xtask bench adapeft --only budgets",
        seeds: format!(
            "{}: batches, adapters and probe phase; the same batches for all methods",
            SEEDS.count()
        ),
        checks,
    }
}

fn within_a_percent(full: &Row, ours: &[Row]) -> Claim {
    let checks = PERCENT.iter().zip(ours).filter(|(part, _)| BUDGET_OF_CLAIM <= **part);
    let checks = checks.map(|(part, row)| Check {
        what: format!("chosen within {part} %: percent above full training"),
        asks: Asks::AtMost(ABOVE_OF_CLAIM),
        values: above(row, full),
    });
    claim(
        "less than half a percent of the parameters comes within about one percent of full training (2501.06954, 2505.12579)",
        "the table above; the budgets beyond half a percent say where it begins",
        checks.collect(),
    )
}

fn against_fixed(rivals: &[(Row, Row)]) -> Claim {
    let check = |(rival, ours): &(Row, Row)| Check {
        what: format!("chosen with as many parameters as {}: percent above it", rival.label),
        asks: Asks::NotLarger,
        values: above(ours, rival),
    };
    claim(
        "chosen groups are at least as good as fixed methods of the same size (2505.12579)",
        "each budget is the number of parameters of the fixed method",
        rivals.iter().map(check).collect(),
    )
}

/// Both ways round: where neither is better beyond its errors, both hold.
fn against_gradient_norm(chosen: &[Vec<Row>]) -> [Claim; 2] {
    let checks = |ours: usize, other: usize| {
        let pairs = PERCENT.iter().zip(chosen[ours].iter().zip(&chosen[other]));
        let check = pairs.map(|(part, (row, other))| Check {
            what: format!("within {part} %: {} above {}, %", row.label, other.label),
            asks: Asks::NotLarger,
            values: above(row, other),
        });
        check.collect::<Vec<_>>()
    };
    let miniature = "the same probe phase, the same exact knapsack, other values";
    [
        claim(
            "influence chooses at least as well as a squared gradient norm (asked by reviewers of 2505.12579, not published)",
            miniature,
            checks(0, 1),
        ),
        claim(
            "a squared gradient norm, which needs no fits, chooses at least as well as influence (ours)",
            miniature,
            checks(1, 0),
        ),
    ]
}
