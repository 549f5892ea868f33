//! What rates from curvature cost: time and memory of a step beside a plain one.

use candle_core::{DType, Device, Tensor};
use cpu_time::ThreadTime;
use hessian_lr::controller::{FirstRate, Gen, HiDlr, RateController, Settings, State};
use hessian_lr::driver::{AutoRate, AutoRateState, Batches, ProbeData};
use report::heap::peak_of;
use report::html::Section;
use report::number::significant;
use report::table::{Align, Table};
use tape_nn::net::Mlp;
use tape_nn::{Activation, Builder, Classifier, LabeledBatch, Taped};
use tensor_tree::{
    AdamW, AdamWState, Differentiable, Groups, Key, Pass, Rates, Reduction, Transform, Tree,
};

use super::TASK;
use crate::autorate::{Perceptron, Subject};
use crate::error::{Error, Result};
use crate::session::{Session, Spread};

/// Rounds of each configuration, in turn, and periods of fits in a round.
const ROUNDS: usize = 40;
const PERIODS: u64 = 5;
/// What a step may cost beyond the forward passes that it makes.
const MARGIN: f64 = 1.1;
/// Copies of the parameters that a step may hold beyond a plain one.
const MOST_COPIES: f64 = 1.0;
/// Widths of the network whose memory is measured: its parameters are most of it.
const WIDE: [usize; 4] = [256, 512, 512, 10];
const WIDE_BATCH: usize = 16;
const HOW: (Pass, Reduction) = (Pass::Eval, Reduction::Mean);

/// Something that trains with AdamW, one step at a time.
struct Bench<'a, O: Differentiable> {
    objective: &'a O,
    start: Tree,
    batches: [O::Batch; 2],
}

impl<O: Differentiable> Bench<'_, O> {
    fn plain(&self, params: &Tree, state: &mut AdamWState) -> Result<Tree> {
        let (losses, grads) =
            self.objective.value_and_grad(params, &self.batches[0], HOW.0, HOW.1)?;
        let direction = AdamW::default().update(grads, params, state)?;
        losses.mean()?;
        Ok(params.descend(&direction, &Rates::uniform(1e-3))?)
    }

    fn auto<C: RateController<State = State>>(
        &self,
        auto: &AutoRate<C, AdamW>,
        params: &Tree,
        state: &mut AutoRateState<State, AdamWState>,
    ) -> Result<(Tree, usize)> {
        let [step, probe] = &self.batches;
        let batches = Batches { step, probe: Some(probe) };
        let step = auto.step(self.objective, params, batches, HOW, state)?;
        Ok((step.params, step.n_probes))
    }

    /// Seconds of processor time of each of so many steps from the start, with the losses they evaluated.
    fn time_auto<C: RateController<State = State>>(
        &self,
        auto: &AutoRate<C, AdamW>,
        steps: u64,
    ) -> Result<(f64, f64)> {
        let (mut params, mut state) = (self.start.clone(), auto.init(&self.start)?);
        let started = ThreadTime::now();
        let mut probes = 0;
        for _ in 0..steps {
            let (next, n) = self.auto(auto, &params, &mut state)?;
            (params, probes) = (next, probes + n);
        }
        Ok((started.elapsed().as_secs_f64() / steps as f64, probes as f64 / steps as f64))
    }

    fn time_plain(&self, steps: u64) -> Result<f64> {
        let (mut params, mut state) = (self.start.clone(), AdamW::default().init(&self.start)?);
        let started = ThreadTime::now();
        for _ in 0..steps {
            params = self.plain(&params, &mut state)?;
        }
        Ok(started.elapsed().as_secs_f64() / steps as f64)
    }

    /// Most bytes that any of the first steps holds.
    fn peak_auto<C: RateController<State = State>>(
        &self,
        auto: &AutoRate<C, AdamW>,
    ) -> Result<f64> {
        let (mut params, mut state) = (self.start.clone(), auto.init(&self.start)?);
        let mut most = 0;
        for _ in 0..2 * Settings::default().period {
            let (next, bytes) = peak_of(|| self.auto(auto, &params, &mut state));
            (params, most) = (next?.0, most.max(bytes));
        }
        Ok(most as f64)
    }

    fn peak_plain(&self) -> Result<f64> {
        let (mut params, mut state) = (self.start.clone(), AdamW::default().init(&self.start)?);
        let mut most = 0;
        for _ in 0..4 {
            let (next, bytes) = peak_of(|| self.plain(&params, &mut state));
            (params, most) = (next?, most.max(bytes));
        }
        Ok(most as f64)
    }
}

fn settings() -> Settings {
    // A first rate as it is: the search for one happens once and is no part of an ordinary step.
    Settings { first_rate: FirstRate::Given(1e-3), ..Settings::default() }
}

fn gen_of(params: &Tree) -> AutoRate<Gen, AdamW> {
    AutoRate {
        controller: Gen { settings: settings() },
        chain: AdamW::default(),
        groups: Groups::one(params),
        probe_data: ProbeData::Next,
    }
}

fn hidlr_of(params: &Tree) -> AutoRate<HiDlr, AdamW> {
    AutoRate {
        controller: HiDlr { settings: settings(), ..HiDlr::default() },
        chain: AdamW::default(),
        groups: Groups::per_leaf(params),
        probe_data: ProbeData::Next,
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

pub(super) fn run(session: &Session, digits: &Perceptron) -> Result<Section> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let pool = pool.map_err(|e| Error::Worker { reason: e.to_string() })?;
    let times = pool.install(|| time(session, digits))?;
    let memory = pool.install(memory)?;
    let columns = ["step", "cpu ms", "over plain", "bound", "1.1 bound", "holds"];
    let mut table = Table::new(columns);
    for column in 1..5 {
        table = table.align(column, Align::Right);
    }
    for row in &times {
        let allowed = MARGIN * row.bound;
        table.push_row([
            row.label.to_owned(),
            significant(1e3 * row.seconds, 3),
            significant(row.ratio, 3),
            significant(row.bound, 3),
            significant(allowed, 3),
            (if row.ratio <= allowed { "yes" } else { "no" }).into(),
        ]);
        if row.key != "plain" {
            record(
                session,
                &format!("cost-{}-over-plain", row.key),
                row.ratio,
                "times a plain step",
            )?;
            record(
                session,
                &format!("cost-{}-over-bound", row.key),
                row.ratio / row.bound,
                "of the bound",
            )?;
        }
    }
    let columns =
        ["step", "bytes", "copies of the parameters", "more than plain", "at most", "holds"];
    let mut heap = Table::new(columns);
    for column in 1..5 {
        heap = heap.align(column, Align::Right);
    }
    for (label, key, copies, bytes) in &memory {
        let plain = memory.first().map_or(f64::NAN, |row| row.2);
        let more = copies - plain;
        heap.push_row([
            (*label).to_owned(),
            significant(*bytes, 4),
            significant(*copies, 3),
            significant(more, 2),
            significant(MOST_COPIES, 1),
            (if more <= MOST_COPIES { "yes" } else { "no" }).into(),
        ]);
        if *key != "plain" {
            record(session, &format!("cost-{key}-more-copies"), more, "copies of the parameters")?;
        }
    }
    Ok(Section::new("Cost")
        .paragraph(format!(
            "Steps on digits with AdamW at a period of {}, one thread, medians of {ROUNDS} rounds in turn. The bound counts a \
             step as three forward passes: 1 + forwards / (3 period), with the forwards that were made. Memory is the most on the \
             heap beyond what the step begins with, on a perceptron {WIDE:?} with batches of {WIDE_BATCH}, whose parameters are \
             most of it.",
            Settings::default().period
        ))
        .table(&table)
        .table(&heap))
}

struct Row {
    label: &'static str,
    key: &'static str,
    seconds: f64,
    ratio: f64,
    bound: f64,
}

fn time(session: &Session, digits: &Perceptron) -> Result<Vec<Row>> {
    let records: Vec<usize> = (0..2 * super::BATCH).collect();
    let (first, second) = records.split_at(super::BATCH);
    let bench = Bench {
        objective: digits.objective(),
        start: digits.initial(0)?,
        batches: [digits.batch(first)?, digits.batch(second)?],
    };
    let (gen_, hidlr) = (gen_of(&bench.start), hidlr_of(&bench.start));
    let steps = PERIODS * Settings::default().period;
    let task = session.progress.task(format!("{TASK}: cost"), ROUNDS as u64);
    let mut seconds: [Vec<f64>; 3] = Default::default();
    let mut forwards = [0.0; 3];
    for round in 0..=ROUNDS {
        if session.interrupt.is_set() {
            return Err(Error::Interrupted);
        }
        let plain = bench.time_plain(steps)?;
        let (one, other) = (bench.time_auto(&gen_, steps)?, bench.time_auto(&hidlr, steps)?);
        // The first round warms caches up.
        if 0 < round {
            for (all, now) in seconds.iter_mut().zip([plain, one.0, other.0]) {
                all.push(now);
            }
            task.advance(1);
        }
        forwards = [0.0, one.1, other.1];
    }
    task.finish();
    let medians = seconds.each_mut().map(|all| median(all));
    let names = [("plain", "plain"), ("GeN", "gen"), ("Hi-DLR, 6 groups", "hidlr-6")];
    Ok((0..3)
        .map(|i| Row {
            label: names[i].0,
            key: names[i].1,
            seconds: medians[i],
            ratio: medians[i] / medians[0],
            bound: 1.0 + forwards[i] / 3.0,
        })
        .collect())
}

type Memory = (&'static str, &'static str, f64, f64);

fn memory() -> Result<Vec<Memory>> {
    let builder = Builder::init(Key::from_seed(0), DType::F32, &Device::Cpu);
    let objective = Taped(Classifier::new(Mlp::new(&WIDE, Activation::Relu, builder.vb())?));
    let start = builder.into_tree()?;
    let batch = |seed: u64| -> Result<LabeledBatch> {
        let zeros = Tensor::zeros((WIDE_BATCH, WIDE[0]), DType::F32, &Device::Cpu)?;
        let inputs = Key::from_seed(seed).normal_like(&zeros)?;
        Ok(LabeledBatch::new(inputs, Tensor::zeros(WIDE_BATCH, DType::U32, &Device::Cpu)?))
    };
    let copy = 4.0 * start.n_elements() as f64;
    let bench = Bench { objective: &objective, start, batches: [batch(1)?, batch(2)?] };
    let rows = [
        ("plain", "plain", bench.peak_plain()?),
        ("GeN", "gen", bench.peak_auto(&gen_of(&bench.start))?),
        ("Hi-DLR, 6 groups", "hidlr-6", bench.peak_auto(&hidlr_of(&bench.start))?),
    ];
    Ok(rows.map(|(label, key, bytes)| (label, key, bytes / copy, bytes)).to_vec())
}

fn record(session: &Session, name: &str, value: f64, unit: &str) -> Result<()> {
    let better = report::figures::Better::Lower;
    let spread = Spread { better, std: None, n_seeds: 1, config: "default".into() };
    session.figure(TASK, name, value, unit, spread)
}
