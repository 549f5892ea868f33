//! A perceptron pretrained on digits, changed targets, and the training of every subset of its six leaves.

use candle_core::{DType, Device, Tensor};
use hessian_lr::adapeft::{Findings, GroupFindings, Probe};
use hessian_lr::controller::{HiDlr, Settings};
use hessian_lr::criterion::{Fisher, GradientNorm};
use hessian_lr::driver::{AutoRate, Batches, ProbeData};
use rand::RngExt;
use tape_nn::net::Mlp;
use tape_nn::{Activation, Builder, Classifier, LabeledBatch, Taped};
use tensor_tree::{
    AdamW, Differentiable, Groups, Key, Label, Objective, Pass, Reduction, Schedule, Transform,
    Tree,
};

use crate::data::{Dataset, ImageSet, Layout, Places};
use crate::error::{Error, Result};
use crate::machine;
use crate::session::Session;

const SIZES: [usize; 4] = [64, 64, 32, 10];
/// Groups: weights and biases of three layers.
pub(super) const GROUPS: usize = 6;
const N_TEST: usize = 397;
const SPLIT_SEED: u64 = 2024;
const PRETRAINING: u64 = 300;
/// Steps of a training.
pub(super) const STEPS: u64 = 150;
/// Steps of a probe phase: a tenth.
pub(super) const PROBE: u64 = 15;
const BATCH: usize = 100;
/// Of each subset the rate with the smaller training loss counts.
const RATES: [f64; 2] = [3e-3, 3e-2];
const HOW: (Pass, Reduction) = (Pass::Eval, Reduction::Mean);

/// What values groups, all from a phase with the defaults, but for the last: a fit before every step instead of every fourth.
pub(super) const CRITERIA: [&str; 5] = [
    "influence",
    "gradient norm",
    "Fisher",
    "influence, mean of accepted fits",
    "influence, a fit each step",
];
const COSTS: usize = 4;

/// What becomes of the digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Turned by a right angle.
    Rotated,
    /// Black for white.
    Inverted,
    /// Other labels.
    Relabelled,
}

impl Target {
    pub(super) const ALL: [Target; 3] = [Target::Rotated, Target::Inverted, Target::Relabelled];

    pub(super) fn name(self) -> &'static str {
        match self {
            Target::Rotated => "rotated",
            Target::Inverted => "inverted",
            Target::Relabelled => "relabelled",
        }
    }
}

/// Images with labels.
struct Part {
    pixels: Vec<f32>,
    labels: Vec<u32>,
}

impl Part {
    fn new(set: &ImageSet) -> Result<Self> {
        let all: Vec<usize> = (0..set.n_samples()).collect();
        let pixels = set.gather(&all, Layout::Nchw, None)?;
        Ok(Part { pixels, labels: set.gather_labels(&all)? })
    }

    fn changed(&self, target: Target) -> Self {
        let (n, side) = (SIZES[0], 8);
        let turned = |image: &[f32]| -> Vec<f32> {
            (0..n).map(|i| image[(i % side) * side + (side - 1 - i / side)]).collect()
        };
        let (mut pixels, mut labels) = (self.pixels.clone(), self.labels.clone());
        match target {
            Target::Rotated => pixels = pixels.chunks_exact(n).flat_map(turned).collect(),
            Target::Inverted => pixels.iter_mut().for_each(|p| *p = 1.0 - *p),
            // A permutation that keeps no label.
            Target::Relabelled => labels.iter_mut().for_each(|l| *l = (3 * *l + 1) % 10),
        }
        Part { pixels, labels }
    }

    fn batch(&self, records: &[usize]) -> Result<LabeledBatch> {
        let mut pixels = Vec::with_capacity(records.len() * SIZES[0]);
        for record in records {
            pixels.extend_from_slice(&self.pixels[record * SIZES[0]..][..SIZES[0]]);
        }
        let labels: Vec<u32> = records.iter().map(|record| self.labels[*record]).collect();
        let inputs = Tensor::from_vec(pixels, (records.len(), SIZES[0]), &Device::Cpu)?;
        Ok(LabeledBatch::new(inputs, Tensor::from_vec(labels, records.len(), &Device::Cpu)?))
    }

    fn all(&self) -> Result<LabeledBatch> {
        self.batch(&(0..self.labels.len()).collect::<Vec<_>>())
    }

    fn drawn(&self, key: Key, step: u64) -> Result<LabeledBatch> {
        let mut rng = key.child(Label::Step(step)).rng();
        let n = self.labels.len();
        self.batch(&(0..BATCH).map(|_| rng.random_range(0..n)).collect::<Vec<_>>())
    }
}

/// The digits, and one changed target.
pub(super) struct Digits {
    train: Part,
    test: Part,
}

/// What is known of a target with one seed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Known {
    /// Held-out loss after training each subset; the bit `k` stands for group `k`.
    pub(super) losses: Vec<f64>,
    /// Values by criterion, see [`CRITERIA`].
    pub(super) values: Vec<Vec<f64>>,
    /// Forward passes and processor seconds of the probe phase, seconds of all trainings, percent of fits that were not
    /// accepted.
    pub(super) cost: [f64; COSTS],
}

impl Known {
    pub(super) fn to_values(&self) -> Vec<f64> {
        [&self.losses[..], &self.values.concat(), &self.cost].concat()
    }

    pub(super) fn from_values(values: &[f64]) -> Result<Self> {
        let subsets = 1 << GROUPS;
        if values.len() != subsets + CRITERIA.len() * GROUPS + COSTS {
            return Err(Error::TooFewRuns);
        }
        let (losses, rest) = values.split_at(subsets);
        let (values, cost) = rest.split_at(CRITERIA.len() * GROUPS);
        Ok(Known {
            losses: losses.to_vec(),
            values: values.chunks(GROUPS).map(<[f64]>::to_vec).collect(),
            cost: [cost[0], cost[1], cost[2], cost[3]],
        })
    }
}

/// Numbers of parameters of the groups, in the order of [`Known`].
pub(super) fn weights() -> Result<Vec<u64>> {
    let (_, params) = network(Key::from_seed(0))?;
    let groups = Groups::per_leaf(&params);
    groups.names().iter().map(|name| Ok(params.leaf(name)?.elem_count() as u64)).collect()
}

fn network(key: Key) -> Result<(Mlp, Tree)> {
    let builder = Builder::init(key, DType::F32, &Device::Cpu);
    let mlp = Mlp::new(&SIZES, Activation::Relu, builder.vb())?;
    Ok((mlp, builder.into_tree()?))
}

impl Digits {
    pub(super) fn open(places: &Places) -> Result<Self> {
        let (train, test) = Dataset::Digits.images(places)?.train_and_test(N_TEST, SPLIT_SEED)?;
        Ok(Digits { train: Part::new(&train)?, test: Part::new(&test)? })
    }

    /// Pretrains, probes on the target, and trains every subset.
    pub(super) fn known(&self, session: &Session, target: Target, seed: u64) -> Result<Known> {
        let key = Key::from_seed(seed);
        let (mlp, params) = network(key)?;
        let whole = Taped(Classifier::new(mlp.clone()));
        let start = descend(session, &whole, params, PRETRAINING, 1e-2, |step| {
            self.train.drawn(key, step)
        })?;
        let (train, test) = (self.train.changed(target), self.test.changed(target));
        let key = Key::from_seed(100 + seed);
        let started = machine::cpu_seconds();
        let findings = probe(session, &whole, &start, 4, |step| train.drawn(key, step))?;
        let probe_s = machine::cpu_seconds() - started;
        let often = probe(session, &whole, &start, 1, |step| train.drawn(key, step))?;
        let of = |findings: &Findings, criterion| -> Result<Vec<f64>> {
            Ok(findings.items(criterion)?.iter().map(|item| item.value).collect())
        };
        let n_fits = findings.n_fits as f64;
        let rejected = |group: &GroupFindings| group.influence.n_rejected() as f64;
        let mean =
            |group: &GroupFindings| group.influence.value / (n_fits - rejected(group)).max(1.0);
        let values = vec![
            of(&findings, "influence")?,
            of(&findings, "gradient_norm")?,
            of(&findings, "fisher")?,
            findings.groups.iter().map(mean).collect(),
            of(&often, "influence")?,
        ];
        let rejects = findings.groups.iter().map(rejected).sum::<f64>() / GROUPS as f64 / n_fits;

        let started = machine::cpu_seconds();
        let (everything, held_out) = (train.all()?, test.all()?);
        let groups = Groups::per_leaf(&start);
        let mut losses = Vec::with_capacity(1 << GROUPS);
        for subset in 0u32..1 << GROUPS {
            let (trained, frozen) =
                start.partition(|name| groups.of(name).is_ok_and(|k| subset >> k & 1 == 1));
            let objective = Taped(Classifier::with_frozen(mlp.clone(), frozen));
            let mut best = [f64::INFINITY; 2];
            for rate in RATES {
                let end = match trained.is_empty() {
                    true => trained.clone(),
                    false => descend(session, &objective, trained.clone(), STEPS, rate, |step| {
                        train.drawn(key, step)
                    })?,
                };
                let of = |batch| -> Result<f64> {
                    Ok(objective.losses(&end, batch, Pass::Eval)?.mean()?)
                };
                let now = [of(&everything)?, of(&held_out)?];
                if now[0] < best[0] {
                    best = now;
                }
            }
            losses.push(best[1]);
        }
        let forwards = (findings.n_forwards + findings.n_steps) as f64;
        let trainings_s = machine::cpu_seconds() - started;
        let cost = [forwards, probe_s, trainings_s, 100.0 * rejects];
        Ok(Known { losses, values, cost })
    }
}

/// Training with AdamW and a rate that falls to a tenth.
fn descend(
    session: &Session,
    objective: &Taped<Classifier<Mlp>>,
    mut params: Tree,
    steps: u64,
    rate: f64,
    batch: impl Fn(u64) -> Result<LabeledBatch>,
) -> Result<Tree> {
    if session.interrupt.is_set() {
        return Err(Error::Interrupted);
    }
    let optimizer = AdamW::default();
    let mut state = optimizer.init(&params)?;
    let schedule = Schedule::Linear { warmup: 0, total: steps, floor: 0.1 };
    for step in 0..steps {
        let (_, grads) = objective.value_and_grad(&params, &batch(step)?, HOW.0, HOW.1)?;
        let direction = optimizer.update(grads, &params, &mut state)?;
        params = params.descend(&direction, &(rate * schedule.factor(step)).into())?;
    }
    Ok(params)
}

fn probe(
    session: &Session,
    objective: &Taped<Classifier<Mlp>>,
    params: &Tree,
    period: u64,
    batch: impl Fn(u64) -> Result<LabeledBatch>,
) -> Result<Findings> {
    let settings = Settings { period, ..Settings::default() };
    let auto = AutoRate {
        controller: HiDlr { settings, ..HiDlr::default() },
        chain: AdamW::default(),
        groups: Groups::per_leaf(params),
        probe_data: ProbeData::Next,
    };
    let probe = Probe::new(auto, PROBE).with(GradientNorm).with(Fisher);
    let mut state = probe.init(params)?;
    while !probe.is_done(&state) {
        if session.interrupt.is_set() {
            return Err(Error::Interrupted);
        }
        let (now, next) = (batch(state.n_steps())?, batch(state.n_steps() + 1)?);
        let batches = Batches { step: &now, probe: Some(&next) };
        probe.step_per_sample(objective, batches, HOW, &mut state)?;
    }
    Ok(probe.findings(&state)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_digits_keep_what_they_should() {
        let pixels: Vec<f32> = (0..64u8).map(|i| f32::from(i) / 64.0).collect();
        let part = Part { pixels, labels: (0..10).collect() };
        let turn = |part: &Part| part.changed(Target::Rotated);
        assert_ne!(turn(&part).pixels, part.pixels);
        assert_eq!(turn(&turn(&turn(&turn(&part)))).pixels, part.pixels);
        assert_eq!(part.changed(Target::Inverted).changed(Target::Inverted).pixels, part.pixels);
        let mut labels = part.changed(Target::Relabelled).labels;
        assert!(labels.iter().zip(0..).all(|(new, old)| *new != old));
        labels.sort_unstable();
        assert_eq!(labels, part.labels);
    }

    #[test]
    fn what_is_known_survives_as_numbers() {
        let known = Known {
            losses: (0..64u8).map(f64::from).collect(),
            values: (1..=5u8).map(|v| vec![f64::from(v); GROUPS]).collect(),
            cost: [6.0, 7.0, 8.0, 9.0],
        };
        assert_eq!(Known::from_values(&known.to_values()).unwrap(), known);
        assert!(Known::from_values(&[1.0]).is_err());
    }
}
