//! Steps.

use candle_core::Device;
use hessian_lr::controller::RateController;
use hessian_lr::driver::Probes;
use serde::{Deserialize, Serialize};
use tape_nn::net::LanguageModel;
use tensor_tree::{Groups, Rates, Reduction, Transform, Tree};

use super::check::{Check, Checks, nats};
use super::log::{Skipped, StepLog};
use super::optimizer::{Chain, OptimizerState};
use super::settings::{Keep, Rate, Settings};
use super::state::{Best, State};
use super::watch::NoOp;
use crate::batch::{Batch, Item};
use crate::direction::Gram;
use crate::feed::{Feed, normals};
use crate::loss::{Objective, Pass};
use crate::method::Values;
use crate::{Error, Result};

/// A run: a model, rows of both sets, and settings.
#[derive(Debug)]
pub struct Run<'a, M: ?Sized> {
    model: &'a M,
    frozen: &'a Tree,
    forget: &'a [Item],
    retain: &'a [Item],
    checks: Checks,
    feed: Feed,
    settings: Settings,
    device: Device,
}

/// Why a run is over.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Ended {
    /// All steps were taken.
    Steps,
    /// The utility fell below its floor.
    UtilityFloor {
        /// The utility there.
        utility: f64,
    },
    /// The forget loss reached its ceiling.
    ForgetCeiling {
        /// The loss there, in nats for each token.
        forget: f64,
    },
    /// Too many steps in a row had losses or directions that are not finite.
    NonFinite,
}

/// A step that was taken, with the check behind it if there was to be one.
struct Taken {
    log: StepLog,
    moved: Moved,
    check: Option<Check>,
}

/// What a step changes.
struct Moved {
    params: Tree,
    optimizer: OptimizerState,
    rates: Option<hessian_lr::controller::State>,
}

/// What a run ends with.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The parameters that were trained, as [`Keep`] says.
    pub params: Tree,
    /// The check of these parameters, or the last one.
    pub check: Check,
    /// Steps that were not taken, or taken back.
    pub n_skipped: u64,
    /// Whether the run did nothing.
    pub no_op: Option<NoOp>,
}

impl<'a, M: LanguageModel + ?Sized> Run<'a, M> {
    /// A run of `model` with its parameters that stay in `frozen`. Items need what the losses of the method ask for: see
    /// [`crate::loss::Reference::fill`].
    ///
    /// # Errors
    /// [`Error::Empty`] for an empty set, [`Error::OutOfRange`] for settings, [`Error::AutomaticRate`] for a method that allows none,
    /// [`Error::Missing`] for rows to forget without a token that counts.
    pub fn new(
        (model, frozen): (&'a M, &'a Tree),
        (forget, retain): (&'a [Item], &'a [Item]),
        checks: Checks,
        settings: Settings,
        device: &Device,
    ) -> Result<Self> {
        settings.check()?;
        let feed = Feed {
            n_forget: forget.len(),
            n_retain: retain.len(),
            batch: settings.batch,
            anchor: settings.anchor,
            pairing: settings.pairing,
            seed: settings.seed,
        };
        feed.check()?;
        for item in forget {
            settings.method.forget.check_item(item)?;
        }
        let device = device.clone();
        Ok(Run { model, frozen, forget, retain, checks, feed, settings, device })
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Memory before the first step, with the check there.
    ///
    /// # Errors
    /// From the optimizer, the controller of the rate and the model.
    pub fn init(&self, params: Tree) -> Result<State> {
        let optimizer = self.chain().init(&params)?;
        let rates = match &self.settings.rate {
            Rate::Fixed { .. } => None,
            Rate::Auto(auto) => Some(auto.init(1)?),
        };
        let mut state = State {
            step: 0,
            start: params.clone(),
            params,
            previous: None,
            optimizer,
            rates,
            log: Vec::new(),
            checks: Vec::new(),
            best: None,
            in_a_row: 0,
        };
        self.look(&mut state)?;
        Ok(state)
    }

    fn chain(&self) -> Chain {
        Chain { optimizer: self.settings.optimizer, max_norm: self.settings.max_norm }
    }

    /// One step, and a check where one is due. A step whose losses or directions are not finite, or after which the losses of the check
    /// are not, is not taken; that is logged. Where the losses of a batch are not finite because the step before went too far, that one is
    /// taken back, which is logged with it. So parameters stay at points with finite losses. On an error the state is as it was.
    ///
    /// # Errors
    /// [`Error::Missing`] for items that lack what a loss needs; those of the model.
    pub fn advance(&self, state: &mut State) -> Result<Option<Ended>> {
        if let Some(ended) = self.ended(state) {
            return Ok(Some(ended));
        }
        // Tensors are shared.
        let mut next = state.clone();
        self.take(&mut next)?;
        *state = next;
        Ok(self.ended(state))
    }

    fn take(&self, state: &mut State) -> Result<()> {
        let tried = self.try_step(state)?;
        let step = state.step;
        state.step += 1;
        let check = match tried {
            Ok(Taken { log, moved: Moved { params, optimizer, rates }, check }) => {
                // A step that was taken is a good one once the losses behind it are finite.
                if state.previous.is_some() {
                    state.in_a_row = 0;
                }
                state.log.push(log);
                state.previous = Some(std::mem::replace(&mut state.params, params));
                (state.optimizer, state.rates) = (optimizer, rates);
                check
            }
            Err(why) => {
                state.in_a_row += 1;
                if let Some(previous) = state.previous.take_if(|_| why == Skipped::Loss) {
                    state.params = previous;
                    if let Some(last) = state.log.iter_mut().rev().find(|l| l.skipped.is_none()) {
                        last.skipped = Some(Skipped::TakenBack);
                    }
                }
                state.log.push(StepLog { step, skipped: Some(why), ..StepLog::default() });
                None
            }
        };
        match check {
            Some(check) => self.keep(state, check),
            // One is due after a step that was not taken, too; where it cannot be made, the next step says so.
            None if self.is_due(state.step) => match self.look(state) {
                Ok(_) | Err(Error::NonFinite { .. }) => {}
                Err(error) => return Err(error),
            },
            None => {}
        }
        Ok(())
    }

    fn is_due(&self, step: u64) -> bool {
        step.is_multiple_of(self.settings.check_every) || step == self.settings.stop.steps
    }

    /// A step with the check behind it, if there is to be one.
    fn try_step(&self, state: &State) -> Result<std::result::Result<Taken, Skipped>> {
        let (log, moved) = match self.step(state) {
            Ok(step) => step,
            Err(error) => return skipped(&error).map(Err).ok_or(error),
        };
        let ceiling = nats(self.settings.stop.forget_ceiling, self.model.vocab_size());
        let above = log.forget_nll.zip(ceiling).is_some_and(|(nll, most)| most <= nll);
        if !self.is_due(state.step + 1) && !above {
            return Ok(Ok(Taken { log, moved, check: None }));
        }
        match self.check_at(&moved.params, state.step + 1, state.checks.first()) {
            Ok(check) => Ok(Ok(Taken { log, moved, check: Some(check) })),
            Err(Error::NonFinite { .. }) => Ok(Err(Skipped::Check)),
            Err(error) => Err(error),
        }
    }

    fn check_at(&self, params: &Tree, step: u64, first: Option<&Check>) -> Result<Check> {
        let ceiling = self.settings.stop.forget_ceiling;
        Check::of((self.model, self.frozen), params, &self.checks, (step, first), ceiling)
    }

    /// Why the run is over, if it is.
    #[must_use]
    pub fn ended(&self, state: &State) -> Option<Ended> {
        let stop = self.settings.stop;
        if stop.most_skipped < state.in_a_row {
            return Some(Ended::NonFinite);
        }
        let last = state.checks.last()?;
        let ceiling = nats(stop.forget_ceiling, self.model.vocab_size());
        if 0 < last.step && last.step == state.step {
            if stop.utility_floor.is_some_and(|floor| last.utility < floor) {
                return Some(Ended::UtilityFloor { utility: last.utility });
            }
            if ceiling.is_some_and(|most| most <= last.forget) {
                return Some(Ended::ForgetCeiling { forget: last.forget });
            }
        }
        (stop.steps <= state.step).then_some(Ended::Steps)
    }

    /// Checks both losses now, and remembers the point if it is the best of those whose utility is not below the floor.
    ///
    /// # Errors
    /// [`Error::NonFinite`] if a loss is not finite; those of the model.
    pub fn look(&self, state: &mut State) -> Result<Check> {
        if let Some(last) = state.checks.last()
            && last.step == state.step
        {
            return Ok(*last);
        }
        let check = self.check_at(&state.params, state.step, state.checks.first())?;
        self.keep(state, check);
        Ok(check)
    }

    /// Remembers a check, and its point if it is the best that is above the utility floor. Utility is 1 before the first step, so there is
    /// always one.
    fn keep(&self, state: &mut State, check: Check) {
        let floor = self.settings.stop.utility_floor;
        let is_allowed = floor.is_none_or(|floor| floor <= check.utility);
        if is_allowed && state.best.as_ref().is_none_or(|best| best.quality < check.quality) {
            let (step, params, quality) = (check.step, state.params.clone(), check.quality);
            state.best = Some(Best { step, params, quality });
        }
        state.checks.push(check);
    }

    /// What the run ends with, now. Where the last point has no finite losses, that is the best one.
    ///
    /// # Errors
    /// As [`Self::look`], but for losses that are not finite where there is a best point.
    pub fn outcome(&self, state: &mut State) -> Result<Outcome> {
        let (keep, last) = match (self.look(state), state.checks.last()) {
            (Ok(last), _) => (self.settings.keep, last),
            (Err(Error::NonFinite { .. }), Some(last)) if state.best.is_some() => {
                (Keep::Best, *last)
            }
            (Err(error), _) => return Err(error),
        };
        let kept = match (keep, &state.best) {
            (Keep::Best, Some(best)) => (best.step, &best.params),
            _ => (state.step, &state.params),
        };
        let check = state.checks.iter().find(|c| c.step == kept.0).copied().unwrap_or(last);
        let first = state.checks.first().copied().unwrap_or(last);
        let no_op = NoOp::between((&state.start, kept.1), (&first, &check))?;
        let n_skipped = state.log.iter().filter(|l| l.skipped.is_some()).count() as u64;
        Ok(Outcome { params: kept.1.clone(), check, n_skipped, no_op })
    }

    /// Where a step leads.
    fn step(&self, state: &State) -> Result<(StepLog, Moved)> {
        let method = &self.settings.method;
        let rows = self.feed.rows(state.step);
        let uses_retain = method.recipe.uses_retain();
        let automatic = matches!(self.settings.rate, Rate::Auto(_));
        let (of_retain, of_forget) = (self.objective(method.retain), self.objective(method.forget));
        // Automatic rates look at rows to keep whatever the direction is made of.
        let kept = if uses_retain || automatic {
            self.batches(self.retain, &rows.retain)?
        } else {
            Vec::new()
        };
        let retain = match uses_retain {
            true => Some(of_retain.gradient(&state.params, &kept)?),
            false => None,
        };
        let forget = match method.recipe.uses_forget() {
            true => {
                let batches = self.batches(self.forget, &rows.forget)?;
                Some(of_forget.gradient(&state.params, &batches)?)
            }
            false => None,
        };
        let value = |pass: &Option<Pass>| pass.as_ref().map(|p| p.loss);
        let nll = forget.as_ref().map(|p| p.nll);
        let mut log = StepLog {
            step: state.step,
            retain: value(&retain),
            forget: value(&forget),
            forget_nll: nll,
            ..StepLog::default()
        };
        let direction = match (&retain, &forget) {
            (Some(r), Some(f)) => {
                let values =
                    Values { retain: r.loss, forget: f.loss, forget_nll: nll.unwrap_or(0.0) };
                let draws = normals(self.settings.seed, state.step);
                let gram = Gram::of(&r.gradient, &f.gradient)?;
                log.cosine = Some(gram.cosine());
                log.norms = Some([gram.rr.sqrt(), gram.ff.sqrt()]);
                let direction = method.recipe.direction(method, values, draws);
                direction.with(gram, &r.gradient, &f.gradient)?
            }
            (Some(one), None) | (None, Some(one)) => one.gradient.clone(),
            (None, None) => return Err(Error::Empty { what: "gradients of a step" }),
        };
        let mut optimizer = state.optimizer.clone();
        let direction = self.chain().update(direction, &state.params, &mut optimizer)?;
        if !direction.is_finite()? {
            return Err(Error::NonFinite { what: "direction of a step", got: f64::NAN });
        }
        let mut rates = state.rates.clone();
        let params = match &self.settings.rate {
            Rate::Fixed { rate, schedule } => {
                log.rate = rate * schedule.factor(state.step);
                state.params.descend(&direction, &Rates::uniform(log.rate))?
            }
            Rate::Auto(auto) => {
                let groups = Groups::one(&state.params);
                let mut memory = rates.take().map_or_else(|| auto.init(1), Ok)?;
                let probes = Probes {
                    objective: &of_retain,
                    params: &state.params,
                    direction: &direction,
                    groups: &groups,
                    reduction: Reduction::WeightedMean,
                };
                log.n_probes = probes.settle(auto, &mut memory, &kept)?;
                let used = auto.rates(&memory)?;
                log.rate = used.0[0];
                let params = probes.at(&used)?;
                auto.stepped(&mut memory)?;
                rates = Some(memory);
                params
            }
        };
        let fall = |pass: &Option<Pass>| -> Result<Option<f64>> {
            Ok(match pass {
                Some(pass) => Some(log.rate * pass.gradient.dot(&direction)?),
                None => None,
            })
        };
        (log.retain_fall, log.forget_fall) = (fall(&retain)?, fall(&forget)?);
        Ok((log, Moved { params, optimizer, rates }))
    }

    fn objective(&self, loss: crate::loss::Loss) -> Objective<'a, M> {
        Objective { model: self.model, frozen: self.frozen, loss }
    }

    fn batches(&self, items: &[Item], rows: &[usize]) -> Result<Vec<Batch>> {
        let items = rows.iter().map(|i| items[*i].clone()).collect();
        Batch::passes(items, self.settings.micro_batch, &self.device)
    }
}

/// Whether an error means that this step is to be skipped.
fn skipped(error: &Error) -> Option<Skipped> {
    match error {
        Error::NonFinite { what: "direction of a step", .. } => Some(Skipped::Direction),
        Error::NonFinite { .. } => Some(Skipped::Loss),
        // Of inner products and of losses that a direction divides by.
        Error::OutOfRange { got, .. } if !got.is_finite() || *got == 0.0 => {
            Some(Skipped::Direction)
        }
        _ => None,
    }
}
