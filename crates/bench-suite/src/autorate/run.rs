//! One training, from a seed to its outcome.

use cpu_time::ThreadTime;
use hessian_lr::controller::GroupRates;
use hessian_lr::controller::{RateController, State};
use hessian_lr::driver::{AutoRate, Batches, ProbeData};
use hessian_lr::rival::{
    Armijo, Averaged, Contender, DAdaptAdam, DAdaptSgd, Dog, Hypergradient, MetaRule, Move, Paced,
    PolyakStep, Prodigy, RateLimit, Reset, Rival, Running, ScheduleFree, Scheduled,
};
use hessian_lr::trace::Trace;
use serde::{Deserialize, Serialize};
use tensor_tree::{
    AdamW, Differentiable, Groups, Objective, Pass, Reduction, Schedule, Sgd, Transform, Tree,
};

use super::method::{Base, Course, Kind, Method};
use super::subject::Subject;
use crate::data::split::shuffled_indices;
use crate::error::{Error, Result};

/// A training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// Where rates come from.
    pub method: Method,
    /// Steps.
    pub steps: u64,
    /// Records of a batch.
    pub batch_size: usize,
    /// Of the first parameters and of the order of the data.
    pub seed: u64,
}

/// What came of a training.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// Mean loss over the training set at the end; infinite if the training diverged.
    #[serde(with = "crate::number")]
    pub loss: f64,
    /// Mean loss over held-out samples.
    #[serde(with = "crate::number")]
    pub test_loss: f64,
    /// Share of held-out samples classified correctly.
    pub accuracy: Option<f64>,
    /// Losses of a batch that were evaluated beside those of the gradients.
    pub n_forwards: u64,
    /// Seconds of processor time of the steps on their thread.
    pub cpu_s: f64,
    /// The loss of each step's batch before it.
    #[serde(with = "crate::number")]
    pub losses: Vec<f64>,
    /// Rates and decisions; without rates where a method has none to show.
    pub trace: Trace,
}

type Batch<S> = <<S as Subject>::Objective as Objective>::Batch;
const HOW: (Pass, Reduction) = (Pass::Eval, Reduction::Mean);

/// Trains on one thread. `stop` is asked before every step.
///
/// # Errors
/// [`Error::Interrupted`] once `stop` says so; those of data, networks and settings. Divergence is an outcome.
pub fn train<S: Subject>(
    subject: &S,
    training: &Training,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Outcome> {
    let run = Run { subject, training, stop, order: order(subject.n_train(), training) };
    match &training.method {
        Method::Scheduled { base, course, rate } => {
            let schedule = schedule(*course, training.steps);
            match base {
                Base::Sgd => {
                    run.rival(Scheduled { transform: Sgd::default(), rate: *rate, schedule })
                }
                Base::AdamW => {
                    run.rival(Scheduled { transform: AdamW::default(), rate: *rate, schedule })
                }
            }
        }
        Method::Gen { base, controller, probe_data } => {
            run.auto(*base, controller, *probe_data, |params| Ok(Groups::one(params)))
        }
        Method::HiDlr { base, controller, probe_data, groups } => {
            run.auto(*base, controller, *probe_data, |params| groups.groups(params))
        }
        Method::Rival { kind, rate } => run.named(*kind, *rate),
    }
}

fn schedule(course: Course, total: u64) -> Schedule {
    match course {
        Course::Constant => Schedule::Constant,
        Course::Linear => Schedule::Linear { warmup: 0, total, floor: 0.0 },
        Course::Cosine => Schedule::Cosine { warmup: 0, total, floor: 0.0 },
    }
}

/// Records of all batches: epochs in orders of their own, one after the other. One batch more than there are steps.
fn order(n: usize, training: &Training) -> Vec<usize> {
    let wanted = (usize::try_from(training.steps).unwrap_or(usize::MAX).saturating_add(1))
        .saturating_mul(training.batch_size);
    let mut order = Vec::with_capacity(wanted + n);
    let mut epoch = 0;
    while order.len() < wanted && 0 < n {
        order.extend(shuffled_indices(n, training.seed.wrapping_mul(1_000_003) + epoch));
        epoch += 1;
    }
    order.truncate(wanted);
    order
}

struct Run<'a, S: Subject> {
    subject: &'a S,
    training: &'a Training,
    stop: &'a (dyn Fn() -> bool + Sync),
    order: Vec<usize>,
}

/// What a training gathers along its way.
#[derive(Default)]
struct Log {
    losses: Vec<f64>,
    trace: Trace,
    n_forwards: u64,
    diverged: bool,
}

impl<S: Subject> Run<'_, S> {
    fn batch(&self, step: u64) -> Result<Batch<S>> {
        let start = usize::try_from(step).unwrap_or(usize::MAX) * self.training.batch_size;
        self.subject.batch(&self.order[start..start + self.training.batch_size])
    }

    fn named(&self, kind: Kind, rate: Option<f64>) -> Result<Outcome> {
        let n_batches = self.subject.n_train().div_ceil(self.training.batch_size) as u64;
        let own = rate.or(kind.rate()).unwrap_or(1.0);
        match kind {
            Kind::DAdaptSgd => self.rival(Paced(DAdaptSgd::default())),
            Kind::DAdaptAdam => self.rival(Paced(DAdaptAdam::default())),
            Kind::Prodigy => self.rival(Paced(Prodigy::default())),
            Kind::Dog => self.rival(Paced(Dog::default())),
            Kind::DogAveraged => self.rival(Averaged::new(Paced(Dog::default()))),
            Kind::ScheduleFree => self.rival(ScheduleFree::adamw(own)),
            Kind::Polyak => {
                let limit = RateLimit::smooth(n_batches);
                self.rival(PolyakStep { limit, ..PolyakStep::default() })
            }
            Kind::Armijo => {
                let reset = Reset::Grow { gamma: 2.0, n_batches };
                self.rival(Armijo { reset, ..Armijo::default() })
            }
            Kind::Hypergradient => {
                self.rival(Paced(Hypergradient::adam(own, 1e-7, MetaRule::Additive)))
            }
        }
    }

    fn rival<R: Rival>(&self, rival: R) -> Result<Outcome> {
        let mut params = self.subject.initial(self.training.seed)?;
        let mut running = Running::new(rival, &params)?;
        let mut log = Log::default();
        let started = ThreadTime::now();
        for t in 0..self.training.steps {
            if (self.stop)() {
                return Err(Error::Interrupted);
            }
            match self.step(&mut running, &params, t, &mut log) {
                Ok(next) => params = next,
                Err(Error::Rates(hessian_lr::Error::NonFinite { .. })) => log.diverged = true,
                Err(other) => return Err(other),
            }
            if log.diverged {
                break;
            }
        }
        let cpu_s = started.elapsed().as_secs_f64();
        self.outcome(&running.eval_params(&params)?, log, cpu_s)
    }

    fn step<R: Rival>(
        &self,
        running: &mut Running<R>,
        params: &Tree,
        t: u64,
        log: &mut Log,
    ) -> Result<Tree> {
        let batch = self.batch(t)?;
        let objective = self.subject.objective();
        let at = running.train_params(params)?;
        let (losses, grads) = objective.value_and_grad(&at, &batch, HOW.0, HOW.1)?;
        let loss = losses.mean()?;
        log.losses.push(loss);
        let mut next = running.step(grads, loss, params)?;
        while let Move::Try(at) = next {
            log.n_forwards += 1;
            next = running.answer(objective.losses(&at, &batch, HOW.0)?.mean()?)?;
        }
        if let Some(rate) = running.rate() {
            log.trace.push(t, &GroupRates(vec![rate]), None);
        }
        Ok(next.done()?)
    }

    fn auto<C: RateController<State = State> + Clone>(
        &self,
        base: Base,
        controller: &C,
        probe_data: ProbeData,
        groups: impl Fn(&Tree) -> Result<Groups>,
    ) -> Result<Outcome> {
        let params = self.subject.initial(self.training.seed)?;
        let groups = groups(&params)?;
        let controller = controller.clone();
        match base {
            Base::Sgd => {
                let chain = Sgd::default();
                self.driven(&AutoRate { controller, chain, groups, probe_data }, params)
            }
            Base::AdamW => {
                let chain = AdamW::default();
                self.driven(&AutoRate { controller, chain, groups, probe_data }, params)
            }
        }
    }

    fn driven<C: RateController<State = State>, T: Transform>(
        &self,
        auto: &AutoRate<C, T>,
        mut params: Tree,
    ) -> Result<Outcome> {
        let objective = self.subject.objective();
        let mut state = auto.init(&params)?;
        let mut log = Log::default();
        let held = match auto.probe_data {
            ProbeData::Held => {
                // The last batch of the order is not trained on as such, though its samples are.
                Some(self.batch(self.training.steps)?)
            }
            _ => None,
        };
        let started = ThreadTime::now();
        for t in 0..self.training.steps {
            if (self.stop)() {
                return Err(Error::Interrupted);
            }
            let now = self.batch(t)?;
            let next = match (auto.needs_probe(&state), &held) {
                (true, None) => Some(self.batch(t + 1)?),
                _ => None,
            };
            let batches = Batches { step: &now, probe: held.as_ref().or(next.as_ref()) };
            let step = match auto.step(objective, &params, batches, HOW, &mut state) {
                Err(hessian_lr::Error::NonFinite { .. }) => {
                    log.diverged = true;
                    break;
                }
                step => step?,
            };
            log.losses.push(step.loss);
            log.trace.push(t, &step.rates, state.rates.report());
            log.n_forwards += step.n_probes as u64;
            params = step.params;
        }
        let cpu_s = started.elapsed().as_secs_f64();
        self.outcome(&params, log, cpu_s)
    }

    fn outcome(&self, params: &Tree, log: Log, cpu_s: f64) -> Result<Outcome> {
        let judged = self.subject.judge(params)?;
        let lost = log.diverged || !judged.train_loss.is_finite();
        Ok(Outcome {
            loss: if lost { f64::INFINITY } else { judged.train_loss },
            test_loss: judged.test_loss,
            accuracy: judged.accuracy,
            n_forwards: log.n_forwards,
            cpu_s,
            losses: log.losses,
            trace: log.trace,
        })
    }
}
