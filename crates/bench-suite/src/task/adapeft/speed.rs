//! What training a chosen set saves: time and memory of a step, and of its backward pass.

use std::time::Instant;

use report::figures::Better;
use report::html::Section;
use report::number::significant;
use report::plot::Bars;
use report::table::{Align, Table};
use tape_nn::Taped;
use tape_nn::net::{Gpt, NextToken, Texts};
use tensor_tree::{AdamW, AdamWState, Differentiable, Objective, Pass, Reduction, Transform, Tree};

use super::claim::{Asks, Check, Claim};
use super::method::{Bench, By, Method, PROBE, RANK, Size};
use super::pretrain::{CONTEXT, WIDTH};
use super::sets::chosen;
use super::{DEEP_SEEDS, cell, figure};
use crate::error::{Error, Result};
use crate::session::Session;
use crate::task::curves::mean_and_std;

/// Steps that are timed of each kind, in turn.
const ROUNDS: u64 = 25;
const WARM_UP: u64 = 3;
/// Windows of a batch.
const BATCH: usize = 16;
/// Percent of the parameters.
const PERCENT: [f64; 2] = [3.0, 10.0];
const FIXED: [Method; 3] = [Method::BitFit, Method::Lora(RANK), Method::Head];
/// What the paper says, and what counts as about that.
const CLAIMED: f64 = 1.5;
const ALLOWED: f64 = 0.15;
/// How much of full training's backward pass may be left beyond what is counted: norms, activations and softmax, which are no
/// products of matrices.
const UNCOUNTED: f64 = 0.15;
const MIB: f64 = 1_048_576.0;

/// A training under way.
struct Training {
    objective: Taped<NextToken<Gpt>>,
    params: Tree,
    state: AdamWState,
}

/// What a step takes.
#[derive(Clone, Copy)]
struct Step {
    /// Of the losses alone, in a pass of their own.
    forward_s: f64,
    /// Of losses and gradients together.
    gradient_s: f64,
    /// Of everything, the update included.
    step_s: f64,
    /// The most on the heap, beyond what is held between steps.
    peak_bytes: f64,
}

impl Training {
    fn new(bench: &mut Bench<'_>, method: &Method, seed: u64) -> Result<Self> {
        let (net, is_trained) = bench.trained(Size::Large, method, seed)?;
        let (objective, params) = net.training(is_trained);
        let state = AdamW::default().init(&params)?;
        Ok(Training { objective, params, state })
    }

    fn step(&mut self, batch: &Texts) -> Result<Step> {
        let how = (Pass::Eval, Reduction::Mean);
        let started = Instant::now();
        self.objective.losses(&self.params, batch, how.0)?.mean()?;
        let forward_s = started.elapsed().as_secs_f64();
        let started = Instant::now();
        let (gradient_s, peak_bytes) = report::heap::peak_of(|| -> Result<f64> {
            let (_, grads) = self.objective.value_and_grad(&self.params, batch, how.0, how.1)?;
            let gradient_s = started.elapsed().as_secs_f64();
            let direction = AdamW::default().update(grads, &self.params, &mut self.state)?;
            self.params = self.params.descend(&direction, &1e-4.into())?;
            Ok(gradient_s)
        });
        let (gradient_s, step_s) = (gradient_s?, started.elapsed().as_secs_f64());
        Ok(Step { forward_s, gradient_s, step_s, peak_bytes: peak_bytes as f64 })
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The part of full training's products of matrices in the backward pass that is left for biases alone, and for the head
/// alone. Of each token and block there are `12 w^2` multiplications with weights, which a backward pass repeats once for
/// gradients of inputs and once for those of weights, and `2 t w` of attention, which it repeats twice.
fn counted(n_chars: usize) -> [f64; 2] {
    let (width, texts, blocks) = (WIDTH as f64, CONTEXT as f64, Size::Large.n_blocks() as f64);
    let head = width * n_chars as f64;
    let weights = 12.0 * width * width * blocks + head;
    let attention = 2.0 * 2.0 * texts * width * blocks;
    let full = 2.0 * weights + attention;
    [(weights + attention) / full, head / full]
}

/// What was measured of one kind of training, one value for each seed.
#[derive(Default)]
struct Row {
    name: String,
    n_trained: Vec<f64>,
    step_ms: Vec<f64>,
    /// Losses and gradients less losses alone.
    backward_ms: Vec<f64>,
    peak_mib: Vec<f64>,
}

impl Row {
    fn add(&mut self, training: &Training, steps: &[Step]) {
        let of = |what: fn(&Step) -> f64| median(steps.iter().map(what));
        self.n_trained.push(training.params.n_elements() as f64);
        self.step_ms.push(1e3 * of(|step| step.step_s));
        self.backward_ms.push(1e3 * of(|step| step.gradient_s - step.forward_s));
        self.peak_mib.push(of(|step| step.peak_bytes) / MIB);
    }
}

fn quotients(above: &[f64], below: &[f64]) -> Vec<f64> {
    above.iter().zip(below).map(|(above, below)| above / below).collect()
}

pub(super) fn run(bench: &mut Bench<'_>) -> Result<Section> {
    let session = bench.session;
    let task =
        session.progress.task("adapeft: speed", DEEP_SEEDS.count() as u64 * (WARM_UP + ROUNDS));
    let names = std::iter::once(Method::Full.label())
        .chain(PERCENT.map(|part| format!("chosen within {part} %")))
        .chain(FIXED.map(|method| method.label()));
    let mut rows: Vec<Row> = names.map(|name| Row { name, ..Row::default() }).collect();
    let mut sets = Table::new(["budget, %", "seed", "chosen"]).with_caption("Chosen groups");
    for seed in DEEP_SEEDS {
        let report = bench.found(Size::Large, By::Module, PROBE, seed)?.report;
        let mut trainings = vec![Training::new(bench, &Method::Full, seed)?];
        for part in PERCENT {
            let set = chosen(&report, "influence", bench.budget(Size::Large, part)?)?;
            sets.push_row([part.to_string(), seed.to_string(), set.join(", ")]);
            trainings.push(Training::new(bench, &Method::Groups(By::Module, set), seed)?);
        }
        for method in FIXED {
            trainings.push(Training::new(bench, &method, seed)?);
        }
        let mut steps = vec![Vec::new(); trainings.len()];
        for round in 0..WARM_UP + ROUNDS {
            if session.interrupt.is_set() {
                return Err(Error::Interrupted);
            }
            let batch = bench.corpora.restaurants.batch(BATCH, seed, round)?;
            for (training, steps) in trainings.iter_mut().zip(&mut steps) {
                let step = training.step(&batch)?;
                if WARM_UP <= round {
                    steps.push(step);
                }
            }
            task.advance(1);
        }
        for ((row, steps), training) in rows.iter_mut().zip(&steps).zip(&trainings) {
            row.add(training, steps);
        }
    }
    task.finish();
    let [full, others @ ..] = &rows[..] else { return Err(Error::TooFewRuns) };
    let (chosen, fixed) = others.split_at(PERCENT.len());
    for (part, row) in PERCENT.iter().zip(chosen) {
        let (speed, memory) =
            (quotients(&full.step_ms, &row.step_ms), quotients(&full.peak_mib, &row.peak_mib));
        figure(session, &format!("speed-{part}"), &speed, "ratio", Better::Higher)?;
        figure(session, &format!("memory-{part}"), &memory, "ratio", Better::Higher)?;
    }
    let counted = counted(bench.corpora.n_chars);
    Ok(Section::new("Time and memory of a step")
        .table(&table(&rows, full))
        .plot(
            &bars(&rows)?.to_svg()?,
            "Means over seeds of the medians above. The backward pass is what losses with gradients take beyond losses alone.",
        )
        .table(&sets)
        .section(faster(full, chosen).section())
        .section(free(session, full, fixed, counted)?.section()))
}

fn table(rows: &[Row], full: &Row) -> Table {
    let mut table = Table::new([
        "trained",
        "parameters",
        "ms per step",
        "full training over it",
        "ms of the backward pass",
        "over full training",
        "peak MiB of a step",
        "full training over it",
    ])
    .with_caption(format!(
        "Medians of {ROUNDS} steps of {BATCH} windows in turn, means over seeds, six blocks, AdamW; memory beyond what is \
         held between steps"
    ));
    for column in 1..8 {
        table = table.align(column, Align::Right);
    }
    for row in rows {
        table.push_row([
            row.name.clone(),
            cell(&row.n_trained),
            cell(&row.step_ms),
            cell(&quotients(&full.step_ms, &row.step_ms)),
            cell(&row.backward_ms),
            cell(&quotients(&row.backward_ms, &full.backward_ms)),
            cell(&row.peak_mib),
            cell(&quotients(&full.peak_mib, &row.peak_mib)),
        ]);
    }
    table
}

fn bars(rows: &[Row]) -> Result<Bars> {
    let mean = |values: &[f64]| mean_and_std(values).0;
    // A difference of two times may come out below zero.
    let backward = |row: &Row| mean(&row.backward_ms).max(0.0);
    let rest = |row: &Row| mean(&row.step_ms) - backward(row);
    Ok(Bars::new("A step of the network of six blocks", rows.iter().map(|row| row.name.as_str()))
        .y_label("ms")
        .stacked()
        .series("backward pass", rows.iter().map(backward))?
        .series("forward pass and update", rows.iter().map(rest))?)
}

fn claim(published: &'static str, miniature: String, checks: Vec<Check>) -> Claim {
    Claim {
        published,
        miniature,
        command: "cargo xtask bench adapeft --only speed",
        seeds: "3: choices and batches".into(),
        checks,
    }
}

fn faster(full: &Row, chosen: &[Row]) -> Claim {
    let check = |row: &Row| Check {
        what: format!("{}: full training's seconds a step over its own", row.name),
        asks: Asks::LargerThan(CLAIMED - ALLOWED),
        values: quotients(&full.step_ms, &row.step_ms),
    };
    claim(
        "training the chosen groups alone is about 1.5 times as fast (2501.06954)",
        format!(
            "complete steps of the network of six blocks, the rest frozen; at least {} times counts as about that. The probe \
             phase is not in it: it has a card among the budgets",
            CLAIMED - ALLOWED
        ),
        chosen.iter().map(check).collect(),
    )
}

/// Biases and the head, which say what frozen weights in all blocks, and whole frozen blocks, still cost.
fn free(session: &Session, full: &Row, fixed: &[Row], counted: [f64; 2]) -> Result<Claim> {
    let [biases, _, head] = fixed else { return Err(Error::TooFewRuns) };
    let mut checks = Vec::new();
    for (row, part, name) in [(biases, counted[0], "bitfit"), (head, counted[1], "head")] {
        let values = quotients(&row.backward_ms, &full.backward_ms);
        figure(
            session,
            &format!("speed-backward-{name}"),
            &values,
            "of full training's",
            Better::Lower,
        )?;
        checks.push(Check {
            what: format!("{}: its backward pass over that of full training", row.name),
            asks: Asks::AtMost(part + UNCOUNTED),
            values,
        });
    }
    Ok(claim(
        "frozen groups cost nothing in the backward pass (2501.06954, 2505.12579)",
        format!(
            "counted products of matrices leave {} of the backward pass for biases alone and {} for the head alone; {} of it \
             are allowed on top for what is no product",
            significant(counted[0], 2),
            significant(counted[1], 2),
            UNCOUNTED
        ),
        checks,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_alone_needs_next_to_nothing_and_biases_more_than_half() {
        let [biases, head] = counted(90);
        assert!(0.5 < biases && biases < 0.6 && head < 0.01, "{biases} {head}");
    }
}
