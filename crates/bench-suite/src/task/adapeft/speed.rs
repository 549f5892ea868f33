//! What training a chosen set saves: time and memory of a step.

use std::time::Instant;

use report::figures::Better;
use report::html::Section;
use report::table::{Align, Table};
use tape_nn::Taped;
use tape_nn::net::{Gpt, NextToken, Texts};
use tensor_tree::{AdamW, AdamWState, Differentiable, Pass, Reduction, Transform, Tree};

use super::claim::{Asks, Check, Claim};
use super::method::{Bench, By, Method, PROBE, RANK, Size};
use super::sets::chosen;
use super::{DEEP_SEEDS, cell, figure};
use crate::error::{Error, Result};

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

/// A training under way.
struct Training {
    objective: Taped<NextToken<Gpt>>,
    params: Tree,
    state: AdamWState,
}

impl Training {
    fn new(bench: &mut Bench<'_>, method: &Method, seed: u64) -> Result<Self> {
        let (net, is_trained) = bench.trained(Size::Large, method, seed)?;
        let (objective, params) = net.training(is_trained);
        let state = AdamW::default().init(&params)?;
        Ok(Training { objective, params, state })
    }

    /// Seconds and peak bytes of a step.
    fn step(&mut self, batch: &Texts) -> Result<[f64; 2]> {
        let started = Instant::now();
        let (done, bytes) = report::heap::peak_of(|| -> Result<()> {
            let how = (Pass::Eval, Reduction::Mean);
            let (_, grads) = self.objective.value_and_grad(&self.params, batch, how.0, how.1)?;
            let direction = AdamW::default().update(grads, &self.params, &mut self.state)?;
            self.params = self.params.descend(&direction, &1e-4.into())?;
            Ok(())
        });
        done?;
        Ok([started.elapsed().as_secs_f64(), bytes as f64])
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

pub(super) fn run(bench: &mut Bench<'_>) -> Result<Section> {
    let session = bench.session;
    let task =
        session.progress.task("adapeft: speed", DEEP_SEEDS.count() as u64 * (WARM_UP + ROUNDS));
    // For full training, each budget and fixed methods: milliseconds, bytes, parameters, of each seed.
    let mut found = vec![[const { Vec::new() }; 3]; 1 + PERCENT.len() + FIXED.len()];
    let mut sets = Vec::new();
    for seed in DEEP_SEEDS {
        let report = bench.found(Size::Large, By::Module, PROBE, seed)?.report;
        let mut trainings = vec![Training::new(bench, &Method::Full, seed)?];
        for part in PERCENT {
            let set = chosen(&report, "influence", bench.budget(Size::Large, part)?)?;
            sets.push(format!("{} %, seed {seed}: {}", part, set.join(", ")));
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
        for ((found, steps), training) in found.iter_mut().zip(&steps).zip(&trainings) {
            found[0].push(1e3 * median(steps.iter().map(|step| step[0])));
            found[1].push(median(steps.iter().map(|step| step[1])) / 1048576.0);
            found[2].push(training.params.n_elements() as f64);
        }
    }
    task.finish();
    let mut table = Table::new([
        "trained",
        "parameters",
        "ms per step",
        "full training over it",
        "peak MiB of a step",
        "full training over it",
    ])
    .with_caption(format!(
        "Medians of {ROUNDS} steps of {BATCH} windows in turn, means over seeds, six blocks, AdamW; memory beyond what is \
         held between steps"
    ));
    for column in 1..6 {
        table = table.align(column, Align::Right);
    }
    let over = |i: usize, what: usize| -> Vec<f64> {
        found[0][what].iter().zip(&found[i][what]).map(|(full, ours)| full / ours).collect()
    };
    let mut checks = Vec::new();
    for (i, row) in found.iter().enumerate() {
        let name = match i.checked_sub(1) {
            None => "full training".to_owned(),
            Some(k) => match PERCENT.get(k) {
                Some(part) => format!("chosen within {} %", part),
                None => FIXED[k - PERCENT.len()].label(),
            },
        };
        let (speed, memory) = (over(i, 0), over(i, 1));
        table.push_row([
            name.clone(),
            cell(&row[2]),
            cell(&row[0]),
            cell(&speed),
            cell(&row[1]),
            cell(&memory),
        ]);
        if let Some(part) = i.checked_sub(1).and_then(|k| PERCENT.get(k)) {
            figure(session, &format!("speed-{part}"), &speed, "ratio", Better::Higher)?;
            figure(session, &format!("memory-{part}"), &memory, "ratio", Better::Higher)?;
            checks.push(Check {
                what: format!("{name}: full training's seconds a step over its own"),
                asks: Asks::LargerThan(CLAIMED - ALLOWED),
                values: speed,
            });
        }
    }
    let claim = Claim {
        published: "training the chosen groups alone is about 1.5 times as fast (2501.06954)",
        miniature: format!(
            "complete steps of the network of six blocks, the rest frozen; at least {} times counts as about that. The probe \
             phase is not in it: see the table of budgets",
            CLAIMED - ALLOWED
        ),
        command: "cargo xtask bench adapeft --only speed",
        seeds: "3 choices".into(),
        checks,
    };
    Ok(Section::new("Time and memory of a step")
        .table(&table)
        .code(sets.join("\n"))
        .section(claim.section()))
}
