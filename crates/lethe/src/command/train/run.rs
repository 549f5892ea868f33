//! A private run: what is known before it, its steps and its checkpoints.

use std::path::{Path, PathBuf};

use dp_core::hyfree::{HyFree, HyFreeStep, Settings};
use dp_core::{
    Charge, ClipFunction, ClipNorm, ClipStyle, ClipThresholds, Clipping, Ledger, LedgerFile,
    PoissonSampler, PrivacyPlan, PrivateStep, QuantileClip, RunKey, validate,
};
use tape_nn::net::Network;
use tape_nn::{Classifier, Taped};
use tensor_tree::{
    AdamW, Checkpoint, Momentum, ProbePoint, Rates, Schedule, Sgd, SingleProcess, Transform, Tree,
};

use super::budget;
use super::config::{Clip, Config, Course, Optimizer, Rate, Style};
use super::data::{self, Set};
use super::net::{self, Built};
use super::plan;
use super::saved::{Memory, Point, RunState};
use crate::command::identity::Identity;
use crate::command::{Outcome, Session, write};
use crate::error::{Error, Result};

/// Everything that is known before the first step.
pub(super) struct Prepared {
    pub(super) config: Config,
    /// Of the checkpoints of this run.
    identity: Identity,
    pub(super) plan: PrivacyPlan,
    pub(super) folder: PathBuf,
    train: Set,
    pub(super) test: Option<Set>,
    net: Taped<Classifier<Box<dyn Network>>>,
    params: Tree,
    pub(super) frozen: Tree,
    step: PrivateStep,
    rates: Option<Settings>,
}

/// What a run left.
pub(super) struct Trained {
    pub(super) params: Tree,
    pub(super) course: Vec<Point>,
    pub(super) ledger: Ledger,
}

/// Files of a run that are no results.
pub(super) fn ledger_path(folder: &Path) -> PathBuf {
    folder.join("run.ledger")
}

pub(super) fn checkpoint_path(folder: &Path) -> PathBuf {
    folder.join("checkpoint.safetensors")
}

impl Prepared {
    /// Reads the data, builds the network, checks that it can be trained privately, and plans.
    pub(super) fn new(config: Config, folder: &Path) -> Result<Self> {
        let (train, test, shape) = data::read(&config.data, &config.model)?;
        let Built { net, params, frozen } = net::build(&config, shape)?;
        let rates = plan::rates(&config)?;
        let plan = plan::of(&config, train.len() as u64, rates.as_ref())?;
        let identity = config.identity.clone().with("records", plan.n_samples());
        let net = Taped(Classifier::with_frozen(net, frozen.clone()));
        let clipping = clipping(&config, &params, plan.clip_norm())?;
        let validated = {
            let made_up = Set::made_up(shape);
            let alone = [made_up.batch(&[0])?, made_up.batch(&[1])?];
            // Off the initial values, where gradients may vanish and hide a coupling.
            let key = tensor_tree::Key::from_seed(0);
            let moved = params.map(|name, leaf| {
                key.child(tensor_tree::Label::Leaf(name)).add_normal(leaf, 0.05)
            })?;
            validate(&net, &moved, &made_up.batch(&[0, 1])?, &alone)?
        };
        let step = PrivateStep::new(&plan, clipping)?.with_validated(validated);
        let folder = folder.to_owned();
        Ok(Prepared {
            config,
            identity,
            plan,
            folder,
            train,
            test,
            net,
            params,
            frozen,
            step,
            rates,
        })
    }

    /// What the run would be.
    pub(super) fn outcome(&self) -> Outcome {
        Outcome {
            stdout: write::aligned(&self.lines()),
            notes: self.plan.warnings().iter().map(ToString::to_string).collect(),
            ..Outcome::default()
        }
    }

    /// The plan in words.
    pub(super) fn lines(&self) -> Vec<(String, String)> {
        let plan = &self.plan;
        let mut lines = vec![
            ("records", plan.n_samples().to_string()),
            ("expected batch", plan.expected_batch_size().to_string()),
            ("sample rate", plan.sample_rate().to_string()),
            ("steps", plan.steps().to_string()),
            ("trained parameters", self.params.n_elements().to_string()),
            ("frozen parameters", self.frozen.n_elements().to_string()),
            ("clip norm", plan.clip_norm().to_string()),
            ("noise multiplier", format!("{:.6}", plan.noise_multiplier().get())),
            ("planned epsilon", plan.epsilon().to_string()),
            ("delta", plan.delta().to_string()),
            ("unit", plan.unit().to_string()),
        ];
        if let Some(losses) = plan.losses() {
            let noise = losses.noise_multiplier().get();
            lines.push(("noise of losses", format!("{noise:.6}")));
        }
        if let Some(noise) = plan.clip_count_noise() {
            lines.push(("noise of clip counts", format!("{:.6}", noise.get())));
        }
        lines.into_iter().map(|(name, text)| (name.to_owned(), text)).collect()
    }
}

fn clipping(config: &Config, params: &Tree, norm: ClipNorm) -> Result<Clipping> {
    let function = match config.privacy.clip {
        Clip::Automatic => ClipFunction::automatic(),
        Clip::Abadi => ClipFunction::default(),
    };
    let style = match config.privacy.clip_style {
        Style::Flat => ClipStyle::Flat,
        Style::Layer => ClipStyle::PerLayer,
        Style::Tensor => ClipStyle::PerParam,
    };
    Ok(Clipping::new(function, &style, params, norm)?)
}

/// Trains, from the last checkpoint if there is one.
pub(super) fn train(prepared: &Prepared, session: &Session) -> Result<Trained> {
    let weight_decay = prepared.config.training.weight_decay;
    match prepared.config.training.optimizer {
        Optimizer::Sgd => Run::start(prepared, Sgd { weight_decay })?.go(session),
        Optimizer::Momentum => Run::start(prepared, Momentum::default())?.go(session),
        Optimizer::Adamw => {
            Run::start(prepared, AdamW { weight_decay, ..AdamW::default() })?.go(session)
        }
    }
}

struct Run<'p, T: Transform> {
    prepared: &'p Prepared,
    chain: T,
    found: Option<HyFreeStep<T>>,
    sampler: PoissonSampler,
    keys: RunKey,
    ledger: LedgerFile,
    state: RunState<T::State>,
    /// Steps that may be taken in all.
    last: u64,
}

impl<'p, T: Transform + Clone> Run<'p, T>
where
    T::State: Checkpoint + Clone,
{
    fn start(prepared: &'p Prepared, chain: T) -> Result<Self> {
        let Prepared { config, identity, plan, params, step, .. } = prepared;
        let checkpoint = checkpoint_path(&prepared.folder);
        report::atomic::create_parent(&checkpoint)?;
        let ledger = LedgerFile::open_or_create(
            ledger_path(&prepared.folder),
            plan.relation(),
            plan.unit(),
        )?;
        let found = match &prepared.rates {
            Some(settings) => Some(HyFreeStep {
                step: step.clone(),
                controller: HyFree::new(settings.clone(), plan)?,
                chain: chain.clone(),
            }),
            None => None,
        };
        let state = match RunState::read(&checkpoint, identity, config.training.finds_rates())? {
            Some(state) => state,
            None => RunState {
                step: 0,
                params: params.clone(),
                memory: match &found {
                    Some(found) => Memory::Found(Box::new(found.init(params)?)),
                    None => Memory::Given(chain.init(params)?),
                },
                thresholds: ClipThresholds::of(step.clipping()),
                course: Vec::new(),
            },
        };
        let keys = match config.training.seed {
            Some(seed) => RunKey::seeded(seed, state.step),
            None => RunKey::private()?,
        };
        let last = budget::last_step(prepared, ledger.ledger(), state.step)?;
        Ok(Run {
            prepared,
            chain,
            found,
            sampler: PoissonSampler::new(prepared.train.len(), plan.sample_rate())?,
            keys,
            ledger,
            last,
            state,
        })
    }

    fn go(mut self, session: &Session) -> Result<Trained> {
        let Prepared { config, identity, plan, .. } = self.prepared;
        let checkpoint = checkpoint_path(&self.prepared.folder);
        let task = session.progress.task("training", self.last);
        task.start_at(self.state.step);
        if self.last < plan.steps() {
            session.progress.note(format!(
                "steps that were lost in a crash are charged: {} of {} remain affordable",
                self.last,
                plan.steps()
            ));
        }
        let evaluate_every = config.training.evaluate_every.unwrap_or(u64::MAX);
        while self.state.step < self.last {
            if session.interrupt.is_set() {
                self.state.write(&checkpoint, identity)?;
                return Err(Error::Paused { step: self.state.step, steps: self.last });
            }
            let rate = self.step()?;
            task.advance(1);
            let step = self.state.step;
            let ends = step == self.last;
            let accuracy =
                if ends || step.is_multiple_of(evaluate_every) { self.accuracy()? } else { None };
            let clip_norm = norm(self.state.thresholds.thresholds());
            self.state.course.push(Point { step, rate, clip_norm, accuracy });
            if let Some(accuracy) = accuracy {
                task.message(format!("accuracy {:.1} %", 100.0 * accuracy));
            }
            if step.is_multiple_of(config.training.checkpoint_every) || ends {
                self.state.write(&checkpoint, identity)?;
            }
        }
        task.finish();
        let RunState { params, course, .. } = self.state;
        Ok(Trained { params, course, ledger: self.ledger.ledger().clone() })
    }

    /// One step; its rate.
    fn step(&mut self) -> Result<f64> {
        let Prepared { config, train, net, step, .. } = self.prepared;
        let key = self.keys.next_step();
        let parts = self.sampler.draw(&key).try_map(|records| {
            let parts = records.chunks(config.training.micro_batch);
            parts.map(|part| train.batch(part)).collect::<Result<Vec<_>>>()
        })?;
        let state = &mut self.state;
        let (group, ledger) = (&SingleProcess, &mut self.ledger);
        if let (Some(found), Memory::Found(memory)) = (&self.found, &mut state.memory) {
            let update = found.run(net, &state.params, parts, key, group, ledger, memory)?;
            state.params = update.params;
            state.step += 1;
            return Ok(update.rate);
        }
        let points = ProbePoint::single(&state.params);
        let grads = match config.privacy.clip_quantile {
            Some(quantile) => {
                let rule = QuantileClip::new(quantile, 0.2)?;
                let at = &mut state.thresholds;
                step.run_adapting(net, &points, parts, &rule, at, key, group, ledger)?
            }
            None => step.run_in_parts(net, &points, parts, key, group, ledger)?,
        };
        let Memory::Given(memory) = &mut state.memory else { return Err(Error::NoResult) };
        let direction = self.chain.update(grads, &state.params, memory)?;
        let rate = rate(config, self.prepared.plan.steps(), state.step);
        state.params = state.params.descend(&direction, &Rates::uniform(rate))?;
        state.step += 1;
        Ok(rate)
    }

    /// The share of the test set that is classified rightly.
    fn accuracy(&self) -> Result<Option<f64>> {
        let Some(test) = &self.prepared.test else { return Ok(None) };
        let all: Vec<usize> = (0..test.len()).collect();
        let mut right = 0;
        for part in all.chunks(256) {
            right += self.prepared.net.0.n_correct(&self.state.params, &test.batch(part)?)?;
        }
        Ok(Some(right as f64 / test.len() as f64))
    }
}

fn norm(thresholds: &[f64]) -> f64 {
    thresholds.iter().map(|r| r * r).sum::<f64>().sqrt()
}

fn rate(config: &Config, steps: u64, step: u64) -> f64 {
    let Rate::Number(rate) = config.training.rate else { return 0.0 };
    let schedule = match config.training.schedule {
        Course::Constant => Schedule::Constant,
        Course::Linear => Schedule::Linear { warmup: 0, total: steps, floor: 0.0 },
        Course::Cosine => Schedule::Cosine { warmup: 0, total: steps, floor: 0.0 },
    };
    rate * schedule.factor(step)
}
