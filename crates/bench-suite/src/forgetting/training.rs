//! A method at work.

use std::time::Instant;

use candle_core::Device;
use cpu_time::ThreadTime;
use hessian_lr::controller::{FirstRate, Gen, Settings as AutoSettings};
use serde::{Deserialize, Serialize};
use tape_nn::net::LanguageModel;
use tensor_tree::{AdamW, Key, Schedule, Sgd, Tree};
use unlearn::auto_rate::{gen_raw, gen_searched, gen_smoothed};
use unlearn::batch::Item;
use unlearn::exam::SetResult;
use unlearn::feed::Anchor;
use unlearn::loss::Reference;
use unlearn::method::Method;
use unlearn::run::{Ceiling, Checks, Ended, Optimizer, Rate, Run, Settings, State, Stop};
use unlearn::task_vector;
use unlearn::trained::Trained;

use super::outcome::{Outcome, Shown, Summary};
use super::world::World;
use crate::error::{Error, Result};
use crate::machine;

/// Most bytes of logits that are kept of the target.
const MOST_BYTES: usize = 2 << 30;

/// Learning the rows to forget some more, and taking off several times what that did: no name of [`unlearn::method::METHODS`].
pub const TASK_VECTOR: &str = "task-vector";
/// How many times, as in the script of MUSE.
const FACTOR: f64 = 5.0;

/// What takes steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Base {
    /// Plain descent.
    Sgd,
    /// AdamW without decay.
    AdamW,
}

/// Where rates come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rates {
    /// The given rate at every step.
    Constant,
    /// [`unlearn::auto_rate::gen_smoothed`] from the given one.
    Smoothed,
    /// [`unlearn::auto_rate::gen_raw`] from the given one.
    Raw,
    /// [`unlearn::auto_rate::gen_searched`], whose search doubles from a thousandth of the given one.
    Searched,
}

/// A method with its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// A name of [`unlearn::method::METHODS`].
    pub method: String,
    /// What takes its steps.
    pub base: Base,
    /// The rate; of automatic ones the first.
    pub rate: f64,
    /// Where rates come from.
    pub rates: Rates,
    /// Most steps.
    pub steps: u64,
    /// Checks of both losses in so many steps.
    pub checks: u64,
    /// Rows of each set in a check, at most.
    pub checked: usize,
    /// Rows of each set in a step.
    pub batch: usize,
    /// Rows of a pass.
    pub micro_batch: usize,
    /// Whether the run ends where the forget loss is that of the gold model.
    pub to_gold: bool,
    /// Rank of adapters that are trained; all parameters are without.
    pub rank: Option<usize>,
    /// Of orders and pairs.
    pub seed: u64,
}

/// A run that is over.
struct Done<M> {
    model: M,
    trained: Trained,
    params: Tree,
    frozen: Tree,
    state: State,
    ended: Ended,
    n_skipped: u64,
    did_nothing: Option<String>,
    cpu_s: f64,
    wall_s: f64,
}

/// Unlearns, and examines what is left. `stop` is asked before every step.
///
/// # Errors
/// [`Error::Interrupted`] once `stop` says so; those of models and rows.
pub fn unlearn<M: LanguageModel + Clone>(
    world: &World<M>,
    training: &Training,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Outcome> {
    let done = steps(world, training, stop)?;
    let found = world.found(&done.model, (&done.params, &done.frozen), stop)?;
    Ok(Outcome {
        summary: Summary::of(&found, &world.of_gold, world.of_target.accuracy)?,
        steps: done.state.step(),
        ended: named(done.ended),
        n_skipped: done.n_skipped,
        did_nothing: done.did_nothing,
        checks: done.state.checks().to_vec(),
        rates: rates(&done.state),
        raised: raised(&done.state),
        shown: Shown::some(&found),
        cpu_s: done.cpu_s,
        wall_s: done.wall_s,
        peak_bytes: machine::peak(),
    })
}

/// The whole model that [`unlearn()`] ends with.
///
/// # Errors
/// As [`unlearn()`].
pub fn unlearned<M: LanguageModel + Clone>(
    world: &World<M>,
    training: &Training,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Tree> {
    let done = steps(world, training, stop)?;
    Ok(done.trained.merge(&done.params, &done.frozen)?)
}

fn steps<M: LanguageModel + Clone>(
    world: &World<M>,
    training: &Training,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Done<M>> {
    let takes_off = training.method == TASK_VECTOR;
    let method = Method::named(if takes_off { "retain" } else { &training.method })?;
    let (wall, cpu) = (Instant::now(), ThreadTime::now());
    let trained = training.trained();
    let mut model = world.model.clone();
    let device = Device::Cpu;
    let key = Key::from_seed(training.seed);
    let parts = trained.split(&mut model, world.target.clone(), key, &device)?;
    let (forget, mut retain) = filled(world, &method, training.micro_batch)?;
    let mut settings = settings(world, training, method);
    if takes_off {
        // Each row once in an epoch.
        settings.anchor = Anchor::Retain;
        retain.clone_from(&forget);
    }
    // Rows that are learned and not examined would cost most of a check.
    let examined = &retain[..retain.len().min(world.exam.retain.len())];
    let checked = (drawn(&forget, training.checked), drawn(examined, training.checked));
    let checks = Checks::new((&checked.0, &checked.1), training.micro_batch, &device)?;
    let run = Run::new((&model, &parts.frozen), (&forget, &retain), checks, settings, &device)?;
    let mut state = run.init(parts.trainable)?;
    let ended = loop {
        if stop() {
            return Err(Error::Interrupted);
        }
        if let Some(ended) = run.advance(&mut state)? {
            break ended;
        }
    };
    let mut last = run.outcome(&mut state)?;
    if takes_off {
        last.params = task_vector::subtract(&world.target, &last.params, FACTOR)?;
    }
    // Of a task vector that would be said of the learning, before it is taken off.
    let did_nothing = last.no_op.filter(|_| !takes_off).map(|why| why.to_string());
    let (cpu_s, wall_s) = (cpu.elapsed().as_secs_f64(), wall.elapsed().as_secs_f64());
    drop(run);
    Ok(Done {
        model,
        trained,
        params: last.params,
        frozen: parts.frozen,
        state,
        ended,
        n_skipped: last.n_skipped,
        did_nothing,
        cpu_s,
        wall_s,
    })
}

impl Training {
    fn trained(&self) -> Trained {
        match self.rank {
            None => Trained::Full,
            Some(rank) => Trained::Lora(tape_nn::LoraConfig {
                rank,
                alpha: 2.0 * rank as f64,
                ..tape_nn::LoraConfig::for_layers(["*"])
            }),
        }
    }
}

/// Samples with what the losses of a method need of the target.
fn filled<M: LanguageModel + Clone>(
    world: &World<M>,
    method: &Method,
    batch: usize,
) -> Result<(Vec<Item>, Vec<Item>)> {
    let mut forget = match method.forget.needs().refusal {
        true => world.with_refusals()?,
        false => world.forget.clone(),
    };
    let mut retain = world.retain.clone();
    let reference = Reference {
        model: &world.model,
        params: &world.target,
        frozen: &Tree::new(),
        device: &Device::Cpu,
        batch,
        most_bytes: MOST_BYTES,
    };
    reference.fill(&mut forget, method.forget)?;
    reference.fill(&mut retain, method.retain)?;
    Ok((forget, retain))
}

fn settings<M>(world: &World<M>, training: &Training, method: Method) -> Settings {
    let Training { base, rate, rates, steps, checks, batch, micro_batch, to_gold, seed, .. } =
        *training;
    let forget_ceiling = if to_gold {
        Ceiling::Nats(world.forget_loss_of_gold(training.checked))
    } else {
        Ceiling::None
    };
    Settings {
        optimizer: match base {
            Base::Sgd => Optimizer::Sgd(Sgd::default()),
            Base::AdamW => Optimizer::AdamW(AdamW::default()),
        },
        rate: match rates {
            Rates::Constant => Rate::Fixed { rate, schedule: Schedule::Constant },
            Rates::Smoothed => Rate::Auto(gen_smoothed(rate)),
            Rates::Raw => Rate::Auto(gen_raw(rate)),
            Rates::Searched => Rate::Auto(searched(rate)),
        },
        batch,
        micro_batch,
        stop: Stop { forget_ceiling, ..Stop::after(steps) },
        check_every: (steps / checks.max(1)).max(1),
        seed,
        ..Settings::new(method, rate, steps)
    }
}

impl<M> World<M> {
    /// The mean loss of the gold model over the tokens of the rows to forget that a check has, of at most so many: where runs end.
    pub fn forget_loss_of_gold(&self, most: usize) -> f64 {
        by_token(&self.of_gold.forget, most)
    }
}

fn searched(from: f64) -> Gen {
    let Gen { settings } = gen_searched();
    Gen { settings: AutoSettings { first_rate: FirstRate::Auto(from), ..settings } }
}

/// The rows of a check, of sets of the same size the same.
fn drawn<T: Clone>(rows: &[T], most: usize) -> Vec<T> {
    Checks::drawn(rows.len(), most).into_iter().map(|i| rows[i].clone()).collect()
}

/// The mean loss over tokens of the rows of a check; that of a set is over rows.
fn by_token(set: &SetResult, most: usize) -> f64 {
    let rows = drawn(&set.rows, most);
    let n: usize = rows.iter().map(|row| row.n_tokens).sum();
    rows.iter().map(|row| row.loss * row.n_tokens as f64).sum::<f64>() / n.max(1) as f64
}

fn named(ended: Ended) -> String {
    match ended {
        Ended::Steps => "all steps",
        Ended::UtilityFloor { .. } => "utility floor",
        Ended::ForgetCeiling { .. } => "loss of the gold model",
        Ended::NonFinite => "not finite",
    }
    .to_owned()
}

/// Steps and rates, at most a hundred of them.
fn rates(state: &State) -> Vec<(u64, f64)> {
    let every = state.log().len().div_ceil(100).max(1);
    state.log().iter().step_by(every).map(|log| (log.step, log.rate)).collect()
}

/// The parts of steps that raised the retain loss and the loss to forget by to first order.
fn raised(state: &State) -> [f64; 2] {
    let part = |falls: Vec<f64>| {
        falls.iter().filter(|fall| **fall < 0.0).count() as f64 / falls.len().max(1) as f64
    };
    let log = state.log();
    [
        part(log.iter().filter_map(|l| l.retain_fall).collect()),
        part(log.iter().filter_map(|l| l.forget_fall).collect()),
    ]
}
