//! The training loop: private or not, with checkpoints, curves and a way to stop and go on.

mod state;

use std::path::PathBuf;
use std::time::Instant;

use dp_core::{
    Accountant, Charge, ClipFunction, ClipNorm, ClipStyle, Clipping, Delta, Ledger, PoissonSampler,
    PrivacyPlan, PrivateStep, RdpAccountant, RunKey, SampleRate, Sampled, StepKey, UnitOfPrivacy,
};
use tensor_tree::{
    AdamW, Differentiable, Momentum, Objective, Pass, ProbePoint, Reduction, Running, Schedule,
    SingleProcess, Stage, Transform, Tree,
};

use crate::config::{ClipConfig, OptimizerConfig, PrivacyConfig, RunConfig};
use crate::error::{Error, Result};
use crate::outcome::{Outcome, Point};
use crate::problem::Problem;
use crate::session::Session;
use state::RunState;

/// Samples per micro-batch.
const MICRO_BATCH: usize = 128;

/// Trains `problem` as `config` says, or returns the saved outcome of the same configuration if the session resumes.
///
/// # Errors
/// [`Error::Interrupted`] after Ctrl-C, with the state saved; any error of data, model or files.
pub fn train<P: Problem>(problem: &P, config: &RunConfig, session: &Session) -> Result<Outcome> {
    config.check()?;
    let hash = config.hash()?;
    let files = Files {
        checkpoint: session.path(&format!("runs/{hash}.safetensors")),
        outcome: session.path(&format!("runs/{hash}.json")),
    };
    if session.resume
        && let Some(outcome) = Outcome::read(&files.outcome)?
    {
        return Ok(outcome);
    }
    let mut run = Run::start(problem, config, &hash)?;
    if session.resume {
        run.load(&files.checkpoint)?;
    }
    let title = format!("{}: {}", config.problem, config.label());
    let task = session.progress.task(&title, config.steps);
    task.start_at(run.state.step);
    let mut saved = Instant::now();
    while run.state.step < config.steps {
        run.step()?;
        task.advance(1);
        if run.state.step % config.eval_every == 0 || run.state.step == config.steps {
            let point = run.evaluate()?;
            task.message(message(&point));
        }
        let stop = session.interrupt.is_set();
        if (stop || session.checkpoint_every < saved.elapsed()) && run.state.step < config.steps {
            run.save(&files.checkpoint)?;
            saved = Instant::now();
        }
        if stop && run.state.step < config.steps {
            return Err(Error::Interrupted);
        }
    }
    task.finish();
    let outcome = run.outcome()?;
    outcome.write(&files.outcome)?;
    remove(&files.checkpoint)?;
    Ok(outcome)
}

struct Files {
    checkpoint: PathBuf,
    outcome: PathBuf,
}

fn remove(path: &std::path::Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Read { file: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

fn message(point: &Point) -> String {
    let quality = match point.test.accuracy {
        Some(accuracy) => format!("accuracy {:.1} %", 100.0 * accuracy),
        None => format!("loss {:.3}", point.test.loss),
    };
    match point.simulated_epsilon {
        Some(epsilon) => format!("{quality}, simulated epsilon {epsilon:.2}"),
        None => quality,
    }
}

/// Clipping, noise and the ledger of a private run.
struct Private {
    step: PrivateStep,
    ledger: Ledger,
    delta: Delta,
    noise_multiplier: f64,
}

struct Run<'p, P: Problem> {
    problem: &'p P,
    config: &'p RunConfig,
    hash: String,
    sampler: PoissonSampler,
    keys: RunKey,
    private: Option<Private>,
    optimizer: Box<dyn Stage>,
    schedule: Schedule,
    state: RunState,
}

impl<'p, P: Problem> Run<'p, P> {
    fn start(problem: &'p P, config: &'p RunConfig, hash: &str) -> Result<Self> {
        let params = problem.initial(config.seed)?;
        let n = problem.n_train();
        let rate = SampleRate::new(config.batch_size / n as f64)?;
        Ok(Run {
            problem,
            config,
            hash: hash.to_owned(),
            sampler: PoissonSampler::new(n, rate)?,
            keys: RunKey::seeded(config.seed, 0),
            private: config
                .privacy
                .as_ref()
                .map(|p| private(problem, config, p, &params))
                .transpose()?,
            optimizer: optimizer(config.optimizer, &params)?,
            schedule: Schedule::Linear { warmup: 0, total: config.steps, floor: 0.1 },
            state: RunState::new(params),
        })
    }

    fn step(&mut self) -> Result<()> {
        let started = Instant::now();
        let key = self.keys.next_step();
        let drawn = self.sampler.draw(&key);
        let batches = drawn.try_map(|records| {
            records
                .chunks(MICRO_BATCH)
                .map(|part| self.problem.batch(part))
                .collect::<Result<Vec<_>>>()
        })?;
        let grads = match self.private.is_some() {
            true => self.private_gradient(batches, key)?,
            false => self.plain_gradient(batches.batch())?,
        };
        let direction = self.optimizer.apply(grads, &self.state.params)?;
        let rate = self.config.learning_rate * self.schedule.factor(self.state.step);
        self.state.params = self.state.params.descend(&direction, &rate.into())?;
        self.state.step += 1;
        self.state.train_s += started.elapsed().as_secs_f64();
        Ok(())
    }

    fn private_gradient(
        &mut self,
        batches: Sampled<Vec<<P::Objective as Objective>::Batch>>,
        key: StepKey,
    ) -> Result<Tree> {
        let Some(private) = &mut self.private else {
            return Err(dp_core::Error::NothingToTrain.into());
        };
        let (grads, shown) = private.step.run_showing_diagnostics(
            self.problem.objective(),
            &ProbePoint::single(&self.state.params),
            batches,
            key,
            &SingleProcess,
            &mut private.ledger,
        )?;
        self.state.observe(&shown);
        Ok(grads)
    }

    /// The sum over the batch of each sample's gradient, divided by the expected size as in the private run.
    fn plain_gradient(&mut self, batches: &[<P::Objective as Objective>::Batch]) -> Result<Tree> {
        let mut sum = self.state.params.zeros_like()?;
        for batch in batches {
            let (losses, grads) = self.problem.objective().value_and_grad(
                &self.state.params,
                batch,
                Pass::Eval,
                Reduction::Sum,
            )?;
            self.state.observe_losses(&losses)?;
            sum = sum.add_scaled(1.0, &grads)?;
        }
        Ok(sum.scale(1.0 / self.config.batch_size)?)
    }

    fn evaluate(&mut self) -> Result<Point> {
        let simulated_epsilon = self
            .private
            .as_ref()
            .map(|p| {
                Ok::<_, Error>(p.ledger.simulated_epsilon(&RdpAccountant::new(), p.delta)?.value())
            })
            .transpose()?;
        let test = self.problem.evaluate(&self.state.params)?;
        Ok(self.state.point(test, simulated_epsilon))
    }

    fn outcome(self) -> Result<Outcome> {
        Ok(Outcome {
            config: self.config.clone(),
            n_params: self.state.params.n_elements(),
            noise_multiplier: self.private.map_or(0.0, |p| p.noise_multiplier),
            fingerprint: state::fingerprint(&self.state.params)?,
            norms: self.state.norms,
            points: self.state.points,
            train_s: self.state.train_s,
        })
    }

    fn save(&self, path: &std::path::Path) -> Result<()> {
        self.state.save(path, &self.hash, self.optimizer.as_ref())
    }

    /// Goes on from a checkpoint, if there is one. The ledger is charged for the steps that were taken.
    fn load(&mut self, path: &std::path::Path) -> Result<()> {
        if !path.exists() {
            return Ok(());
        }
        self.state = RunState::load(path, &self.hash, self.optimizer.as_mut())?;
        self.keys = RunKey::seeded(self.config.seed, self.state.step);
        if let Some(private) = &mut self.private {
            let event = dp_core::DpEvent::gaussian(private.noise_multiplier)?
                .sampled(self.config.batch_size / self.problem.n_train() as f64)?;
            private.ledger.charge(&event.repeated(self.state.step))?;
        }
        Ok(())
    }
}

fn private<P: Problem>(
    problem: &P,
    config: &RunConfig,
    privacy: &PrivacyConfig,
    params: &Tree,
) -> Result<Private> {
    let (function, norm) = match privacy.clipping {
        ClipConfig::Flat { norm } => (ClipFunction::default(), norm),
        ClipConfig::Automatic => (ClipFunction::automatic(), 1.0),
    };
    let accountant = RdpAccountant::new();
    let plan = PrivacyPlan::builder()
        .n_samples(problem.n_train() as u64)
        .expected_batch_size(config.batch_size)
        .steps(config.steps)
        .clip_norm(norm)
        .delta(privacy.delta)
        .target_epsilon(privacy.epsilon)
        .unit(UnitOfPrivacy::new(problem.unit())?)
        .build(&accountant as &dyn Accountant)?;
    let clipping = Clipping::new(function, &ClipStyle::Flat, params, ClipNorm::new(norm)?)?;
    Ok(Private {
        step: PrivateStep::new(&plan, clipping)?,
        ledger: plan.ledger(),
        delta: plan.delta(),
        noise_multiplier: plan.noise_multiplier().get(),
    })
}

fn optimizer(config: OptimizerConfig, params: &Tree) -> Result<Box<dyn Stage>> {
    fn boxed<T: Transform + 'static>(transform: T, params: &Tree) -> Result<Box<dyn Stage>> {
        Ok(Box::new(Running::new(transform, params)?))
    }
    match config {
        OptimizerConfig::Sgd { momentum } => {
            boxed(Momentum { decay: momentum, ..Momentum::default() }, params)
        }
        OptimizerConfig::Adamw { weight_decay } => {
            boxed(AdamW { weight_decay, ..AdamW::default() }, params)
        }
    }
}
