//! Loss against trained parameters: chosen sets, fixed methods, full training.

mod cards;

use report::figures::Better;
use report::html::Section;
use report::number::{count, significant};
use report::plot::{Plot, Series};
use report::table::{Align, Table};

use super::method::{BATCH, Bench, By, FITS, Method, PROBE, RANK, STEPS, Size};
use super::pretrain::{self, CONTEXT, WIDTH};
use super::probe::Fits;
use super::sets::{Set, chosen};
use super::tune::{RATES, Tuned};
use super::{SEEDS, cell, figure};
use crate::error::{Error, Result};
use crate::task::curves::mean_and_std;

/// Percent of the parameters that may be trained.
pub(super) const PERCENT: [f64; 5] = [0.1, 0.3, 1.0, 3.0, 10.0];
/// Ways to choose; the first is that with the defaults.
const WAYS: [Way; 4] = [
    Way { label: "AdaPEFT", key: "influence", criterion: "influence", fits: FITS },
    Way {
        label: "AdaPEFT, a fit each step",
        key: "influence-each-step",
        criterion: "influence",
        fits: Fits { period: 1, ..FITS },
    },
    Way {
        label: "AdaPEFT, fits on 64 windows",
        key: "influence-64",
        criterion: "influence",
        fits: Fits { windows: 64, ..FITS },
    },
    Way { label: "by gradient norm", key: "gradient-norm", criterion: "gradient_norm", fits: FITS },
];
const FIXED: [Method; 5] =
    [Method::BitFit, Method::Norms, Method::Head, Method::Lora(1), Method::Lora(RANK)];
/// Forward passes that a step of training counts as: one and a backward pass.
const PASSES_OF_A_STEP: f64 = 3.0;

/// How groups are chosen.
#[derive(Clone, Copy, Debug)]
struct Way {
    label: &'static str,
    /// For figures.
    key: &'static str,
    /// What values groups, as reports name it.
    criterion: &'static str,
    fits: Fits,
}

/// What a probe phase cost.
#[derive(Clone, Copy, Debug)]
struct ProbeCost {
    /// Steps of training.
    steps: f64,
    /// Losses for fits and rates, each a forward pass; one over more windows than a step's counts as so many more.
    losses: f64,
    /// Of the processor, all threads.
    seconds: f64,
}

impl ProbeCost {
    /// In forward passes.
    fn passes(&self) -> f64 {
        self.losses + PASSES_OF_A_STEP * self.steps
    }
}

/// One method over all seeds.
struct Row {
    label: String,
    /// For figures.
    key: String,
    /// Rates that were used, each once.
    rates: Vec<f64>,
    /// Steps of training.
    steps: u64,
    runs: Vec<Tuned>,
    /// Of each seed, if the method has a probe phase.
    probes: Vec<ProbeCost>,
    sets: Vec<Set>,
}

impl Row {
    fn losses(&self) -> Vec<f64> {
        self.runs.iter().map(|run| run.test).collect()
    }

    fn parameters(&self) -> f64 {
        mean(self.runs.iter().map(|run| run.n_trained))
    }

    /// Forward passes of the training.
    fn training_passes(&self) -> f64 {
        PASSES_OF_A_STEP * self.steps as f64
    }

    fn probe_passes(&self) -> f64 {
        mean(self.probes.iter().map(ProbeCost::passes))
    }

    /// Processor seconds of probe phase and training, seed by seed.
    fn seconds(&self) -> Vec<f64> {
        let probes = self.probes.iter().map(|probe| probe.seconds).chain(std::iter::repeat(0.0));
        self.runs.iter().zip(probes).map(|(run, probe)| run.seconds + probe).collect()
    }

    /// Percent by which losses are above those of another row, seed by seed.
    fn above(&self, other: &Row) -> Vec<f64> {
        let pairs = self.runs.iter().zip(&other.runs);
        pairs.map(|(a, b)| 100.0 * (a.test / b.test - 1.0)).collect()
    }
}

/// The mean; 0 of nothing.
fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len().max(1) as f64;
    // An empty sum is -0.
    (values.sum::<f64>() + 0.0) / n
}

/// A label as a part of the name of a figure.
fn key(label: &str) -> String {
    label.replace(", ", "-").replace(' ', "-").replace("-%", "").to_lowercase()
}

/// The network as it was pretrained.
fn untrained(bench: &mut Bench<'_>) -> Result<Row> {
    let nothing = Method::Groups(By::Layer, Set::new());
    let runs = SEEDS.map(|seed| bench.best(Size::Small, &nothing, seed));
    Ok(Row {
        label: "nothing".into(),
        key: "nothing".into(),
        rates: Vec::new(),
        steps: 0,
        runs: runs.collect::<Result<_>>()?,
        probes: Vec::new(),
        sets: Vec::new(),
    })
}

/// A fixed method over so many steps, at the rate that was found for [`STEPS`].
fn fixed(bench: &mut Bench<'_>, method: &Method, steps: u64) -> Result<Row> {
    let rate = bench.rate(Size::Small, method)?;
    let runs = SEEDS.map(|seed| bench.tuned(Size::Small, method, (seed, rate, steps)));
    let runs = runs.collect::<Result<_>>()?;
    let label = match steps {
        STEPS => method.label(),
        _ => format!("{}, longer", method.label()),
    };
    Ok(Row {
        key: key(&label),
        label,
        rates: vec![RATES[rate]],
        steps,
        runs,
        probes: Vec::new(),
        sets: Vec::new(),
    })
}

/// Sets chosen within a budget, of each seed its own.
fn adaptive(bench: &mut Bench<'_>, way: Way, budget: u64, name: &str) -> Result<Row> {
    let (mut runs, mut probes, mut sets, mut rates) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for seed in SEEDS {
        let found = bench.found_with(Size::Small, By::Layer, (PROBE, way.fits), seed)?;
        let set = chosen(&found.report, way.criterion, budget)?;
        let method = Method::Groups(By::Layer, set.clone());
        let rate = RATES[bench.rate(Size::Small, &method)?];
        if !set.is_empty() && !rates.contains(&rate) {
            rates.push(rate);
        }
        runs.push(bench.best(Size::Small, &method, seed)?);
        let (cost, part) = (found.report.cost, way.fits.windows as f64 / BATCH as f64);
        let (steps, losses) = (cost.n_steps as f64, part * cost.n_forwards as f64);
        probes.push(match way.criterion {
            "influence" => ProbeCost { steps, losses, seconds: found.seconds },
            // A squared norm of the gradient needs no losses beside those of the gradients: steps of full training.
            _ => {
                let full = bench.best(Size::Small, &Method::Full, seed)?;
                let seconds = full.seconds * steps / STEPS as f64;
                ProbeCost { steps, losses: 0.0, seconds }
            }
        });
        sets.push(set);
    }
    rates.sort_by(f64::total_cmp);
    Ok(Row {
        label: format!("{}, {name}", way.label),
        key: key(&format!("{} {name}", way.key)),
        rates,
        steps: STEPS,
        runs,
        probes,
        sets,
    })
}

/// A fixed method, the same trained for as long as a probe phase and a training take together, and the chosen set with as many
/// parameters.
struct Rival {
    fixed: Row,
    longer: Row,
    ours: Row,
}

/// All rows of the table.
struct Rows {
    nothing: Row,
    full: Row,
    rivals: Vec<Rival>,
    /// By way and budget.
    chosen: Vec<Vec<Row>>,
}

impl Rows {
    fn measure(bench: &mut Bench<'_>) -> Result<Self> {
        let n_rows = 2 + 3 * FIXED.len() + WAYS.len() * PERCENT.len();
        let task = bench.session.progress.task("adapeft: budgets", n_rows as u64);
        let nothing = untrained(bench)?;
        let full = fixed(bench, &Method::Full, STEPS)?;
        task.advance(2);
        let mut chosen = Vec::new();
        for way in WAYS {
            let mut rows = Vec::new();
            for part in PERCENT {
                let budget = bench.budget(Size::Small, part)?;
                rows.push(adaptive(bench, way, budget, &format!("{part} %"))?);
                task.advance(1);
            }
            chosen.push(rows);
        }
        let passes = chosen.first().and_then(|rows| rows.first()).map(Row::probe_passes);
        let longer = STEPS + in_steps(passes.ok_or(Error::TooFewRuns)?);
        let mut rivals = Vec::new();
        for method in FIXED {
            let (fixed, longer) = (fixed(bench, &method, STEPS)?, fixed(bench, &method, longer)?);
            task.advance(2);
            let name = format!("as {}", fixed.label);
            let ours = adaptive(bench, WAYS[0], whole(fixed.parameters()), &name)?;
            task.advance(1);
            rivals.push(Rival { fixed, longer, ours });
        }
        task.finish();
        Ok(Rows { nothing, full, rivals, chosen })
    }

    fn all(&self) -> impl Iterator<Item = &Row> {
        let rivals =
            self.rivals.iter().flat_map(|rival| [&rival.fixed, &rival.longer, &rival.ours]);
        [&self.nothing, &self.full].into_iter().chain(rivals).chain(self.chosen.iter().flatten())
    }
}

/// Forward passes as steps of training, rounded up.
fn in_steps(passes: f64) -> u64 {
    whole((passes / PASSES_OF_A_STEP).ceil())
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts are far below 2^53"
)]
fn whole(count: f64) -> u64 {
    count as u64
}

pub(super) fn run(bench: &mut Bench<'_>) -> Result<Section> {
    let session = bench.session;
    let rows = Rows::measure(bench)?;
    let [ours, ..] = &rows.chosen[..] else { return Err(Error::TooFewRuns) };
    for row in rows.all() {
        let name = format!("budgets-{}", row.key);
        figure(session, &format!("{name}-loss"), &row.losses(), "nats", Better::Lower)?;
        if row.steps != 0 {
            figure(session, &format!("{name}-seconds"), &row.seconds(), "s", Better::Lower)?;
            let above = row.above(&rows.full);
            figure(session, &format!("{name}-above-full"), &above, "%", Better::Lower)?;
        }
    }
    for (way, rows) in WAYS.iter().zip(&rows.chosen) {
        let Some(row) = rows.first() else { continue };
        let name = format!("budgets-{}-probe-over-training", way.key);
        let parts: Vec<f64> =
            row.probes.iter().map(|probe| probe.passes() / row.training_passes()).collect();
        let unit = "forward passes over those of a training, a step counted as three";
        figure(session, &name, &parts, unit, Better::Lower)?;
    }
    let n_base = bench.net(Size::Small)?.params.n_elements();
    let mut section = Section::new("Loss against trained parameters")
        .paragraph(format!(
            "A network of the GPT-2 kind, width {WIDTH}, two blocks, {CONTEXT} characters, {} parameters, pretrained for {} \
             steps of {} windows on Tiny Shakespeare (one pretraining for all seeds), learns E2E's descriptions of restaurants \
             for {STEPS} steps of {BATCH} windows with AdamW and a rate that falls to a tenth. The rate of each method and of each \
             chosen set is found alike: downhill on a grid of half decades, by 64 windows that are not those of the test, with the \
             first seed; that search is in no cost.",
            count(n_base as u64),
            pretrain::STEPS,
            pretrain::BATCH,
        ))
        .paragraph(format!(
            "Groups are kinds in layers; the network whose groups are chosen carries adapters of rank {RANK}, and budgets are \
             parts of the network without them. A probe phase is {PROBE} steps with the defaults of the crate, \
             or with a fit before each step, or with fits on 64 windows, and its cost is in the totals. A step counts as three forward \
             passes, a loss as one. Longer trainings of fixed methods take the passes of \
             a probe phase in addition, at the rate that was found for the shorter ones."
        ))
        .table(&table(rows.all(), &rows.full, n_base as f64))
        .plot(
            &plot(&rows)?.to_svg()?,
            "Mean loss of test windows over seeds, with one standard deviation around chosen sets.",
        )
        .table(&sets_of(rows.chosen.iter().flatten()));
    for claim in cards::all(&rows, ours) {
        section = section.section(claim.section());
    }
    Ok(section)
}

fn table<'r>(rows: impl Iterator<Item = &'r Row>, full: &Row, n_base: f64) -> Table {
    let mut table = Table::new([
        "trained",
        "parameters",
        "%",
        "rates",
        "test loss, nats per character",
        "above full training, %",
        "forward passes",
        "of the probe phase",
        "processor s",
        "of the probe phase",
    ])
    .with_caption(format!(
        "Means over {} seeds, with standard deviations of losses",
        SEEDS.count()
    ));
    for column in 1..10 {
        table = table.align(column, Align::Right);
    }
    for row in rows {
        let rates: Vec<String> = row.rates.iter().map(|rate| significant(*rate, 1)).collect();
        table.push_row([
            row.label.clone(),
            format!("{:.0}", row.parameters()),
            significant(100.0 * row.parameters() / n_base, 2),
            rates.join(", "),
            cell(&row.losses()),
            cell(&row.above(full)),
            format!("{:.0}", row.probe_passes() + row.training_passes()),
            format!("{:.0}", row.probe_passes()),
            significant(mean_and_std(&row.seconds()).0, 3),
            significant(mean(row.probes.iter().map(|probe| probe.seconds)), 3),
        ]);
    }
    table
}

/// What is chosen, with the seeds that chose it.
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

fn plot(rows: &Rows) -> Result<Plot> {
    let at = |row: &Row| (row.parameters(), mean_and_std(&row.losses()).0);
    let mut plot = Plot::new("Loss against trained parameters")
        .x_label("trained parameters")
        .y_label("test loss in nats per character")
        .log_x()
        .horizontal(at(&rows.full).1, "full training");
    for (rows, way) in rows.chosen.iter().zip(WAYS) {
        let stds: Vec<f64> =
            rows.iter().map(|row| mean_and_std(&row.losses()).1.unwrap_or(0.0)).collect();
        plot = plot
            .series(Series::line(way.label, rows.iter().map(at)).with_markers().with_std(&stds)?);
    }
    for rival in &rows.rivals {
        plot = plot.series(Series::points(rival.fixed.label.clone(), [at(&rival.fixed)]));
    }
    Ok(plot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_figures_have_neither_spaces_nor_signs() {
        assert_eq!(key("LoRA, rank 1"), "lora-rank-1");
        assert_eq!(key("influence 0.1 %"), "influence-0.1");
        assert_eq!(key("influence as linear probe"), "influence-as-linear-probe");
    }

    #[test]
    fn a_probe_phase_is_worth_so_many_steps() {
        let probe = ProbeCost { steps: 15.0, losses: 100.0, seconds: 1.0 };
        assert!((probe.passes() - 145.0).abs() < 1e-12);
        assert_eq!(in_steps(probe.passes()), 49);
    }
}
