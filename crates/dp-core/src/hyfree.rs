//! Learning rates and loss bounds from private losses: HyFreeDP, with its published rule and one that needs no first rate.
//!
//! Every few steps the loss is released at some points along the update, on the batch of its gradient and with noise of its own;
//! a parabola through these numbers gives the rate. Rates, bounds and reports are functions of what was released, hence free; what
//! the losses cost is in the plan ([`crate::PlanBuilder::losses`]) and is charged together with the gradient of their batch.
//!
//! [`HyFree`] is arithmetic on released numbers: it owns no model, no tensor and no key.
//! [`HyFreeStep`] answers it for any objective and any chain of transformations.

mod bound;
mod driver;
mod ladder;
mod policy;
mod probe;
mod saved;
mod settings;
mod state;

use policy::Limits;
use probe::{Fit, Points};
use settings::MOST_CENTERS;
use state::Round;

pub use driver::{HyFreeState, HyFreeStep, HyFreeUpdate};
pub use policy::{Estimate, Outcome};
pub use settings::{Evidence, Farthest, Gated, PaperLike, RatePolicy, RlRule, Settings, Start};
pub use state::{Line, Query, Report, State};

use crate::{Error, LossBound, LossClip, PrivacyPlan, Result};

/// Losses are taken to have at least the noise of single precision, relative to their bound.
const ROUNDING: f64 = 6e-8;

/// Chooses the rate of each step, and the clip bound of losses, from private losses.
///
/// Before a step, once its direction is known: [`HyFree::begin`]; then, until [`HyFree::ask`] asks for nothing,
/// release what it asks for and [`HyFree::tell`]; then take [`HyFree::rate`], and say that the step was taken by
/// [`HyFree::stepped`].
///
/// # Examples
/// ```
/// use dp_core::hyfree::{HyFree, Line, Settings};
///
/// // A parabola with its minimum 3 directions away, and losses with noise of a thousandth of their bound.
/// let controller = HyFree::with_noise(Settings::default(), 1e-3)?;
/// let mut state = controller.init();
/// controller.begin(Line::new(8.0, 0.5)?, &mut state)?;
/// while let Some(query) = controller.ask(&state) {
///     let loss = |x: &f64| (0.25 + 0.05 * (x - 3.0).powi(2)).min(query.clip.bound.get());
///     controller.tell(&query.distances.iter().map(loss).collect::<Vec<_>>(), &mut state)?;
/// }
/// let rate = controller.rate(&state)?;
/// controller.stepped(&mut state)?;
/// assert!(0.3 < rate && rate < 3.0);
/// # Ok::<(), dp_core::Error>(())
/// ```
///
/// # Source
/// arXiv 2503.00703, Algorithm 1.
#[derive(Clone, Debug, PartialEq)]
pub struct HyFree {
    settings: Settings,
    points: Points,
    /// Deviation of the noise of a released loss over its bound.
    noise: f64,
}

impl HyFree {
    /// The controller of a plan that includes its losses.
    ///
    /// # Errors
    /// [`Error::PlanMissing`] and [`Error::OtherLosses`] unless the plan has the losses of [`Settings::schedule`];
    /// else as [`HyFree::with_noise`].
    pub fn new(settings: Settings, plan: &PrivacyPlan) -> Result<Self> {
        let losses =
            plan.losses().ok_or(Error::PlanMissing { field: "a schedule of the losses" })?;
        let (found, expected) = (losses.schedule(), settings.schedule());
        if found != expected {
            let (found, expected) = (format!("{found:?}"), format!("{expected:?}"));
            return Err(Error::OtherLosses { found, expected });
        }
        let per_bound = settings.range.sensitivity(LossBound::new(1.0)?, plan.relation());
        let noise = per_bound * losses.relative_noise(plan.expected_batch_size());
        Self::with_noise(settings, noise)
    }

    /// The same for losses whose noise has `noise` times their bound as standard deviation: `sigma_l / B` where records are added
    /// or removed.
    ///
    /// # Errors
    /// [`Error::InvalidScalar`] for a setting outside its range; [`Error::Fit`] for points that determine no parabola.
    pub fn with_noise(settings: Settings, noise: f64) -> Result<Self> {
        settings.check()?;
        if !(0.0..f64::INFINITY).contains(&noise) {
            let (name, must) = ("noise of a loss over its bound", "finite and not negative");
            return Err(Error::InvalidScalar { name, must, got: noise });
        }
        let points = Points::new(&settings)?;
        Ok(HyFree { settings, points, noise })
    }

    /// What was set.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Memory before the first step.
    #[must_use]
    pub fn init(&self) -> State {
        let (rate, distance) = match &self.settings.policy {
            RatePolicy::PaperLike(PaperLike { first_rate, .. }) => (*first_rate, *first_rate),
            RatePolicy::Gated(gated) => (gated.first_rate, gated.first_distance),
            RatePolicy::Evidence(Evidence { start: Start::Rate(rate), .. }) => (*rate, *rate),
            // Of no use before the ladder.
            RatePolicy::Evidence(_) => (self.settings.rates[0], 1.0),
        };
        State::new(rate, distance, self.settings.first_bound)
    }

    /// How many losses the next step may ask for: what is charged with its gradient.
    #[must_use]
    pub fn n_losses(&self, state: &State) -> u64 {
        self.settings.schedule().at(state.step)
    }

    /// Begins a step along a direction.
    ///
    /// # Errors
    /// [`Error::OutOfTurn`] if a step has begun.
    pub fn begin(&self, line: Line, state: &mut State) -> Result<()> {
        if state.round != Round::Rest {
            return Err(Error::OutOfTurn { why: "has begun a step already" });
        }
        state.reach = line.reach();
        state.round = if self.n_losses(state) == 0 {
            Round::Ready
        } else if state.step == 0 && (self.settings.finds_bound || self.settings.has_ladder()) {
            Round::Center { asked: 0 }
        } else {
            Round::Probe
        };
        if let (true, RatePolicy::Evidence(evidence)) =
            (state.step == 0 && self.settings.has_ladder(), &self.settings.policy)
        {
            // What stays if the ladder says nothing at all.
            let bottom = ladder::rungs(state.reach).last().copied().unwrap_or(state.reach);
            state.memory.rate = self.limits(state).rate(bottom / evidence.horizon);
            state.memory.distance = bottom;
        }
        Ok(())
    }

    /// The losses that are needed now; none if the rate is ready.
    #[must_use]
    pub fn ask(&self, state: &State) -> Option<Query> {
        let beside = || self.points.beside(state.memory.distance);
        let distances = match &state.round {
            Round::Rest | Round::Ready => return None,
            Round::Center { .. } => vec![0.0],
            Round::Rungs { .. } => ladder::rungs(state.reach),
            Round::Beside { .. } => beside(),
            Round::Probe => std::iter::once(0.0).chain(beside()).collect(),
        };
        Some(Query { distances, clip: self.clip(state)? })
    }

    /// The private losses at the distances of the last [`HyFree::ask`]. On an error the state is as it was.
    ///
    /// A loss that is not finite leaves rate and bound as they are.
    ///
    /// # Errors
    /// [`Error::OutOfTurn`] if nothing was asked; [`Error::InvalidScalar`] unless there is one loss for each distance.
    pub fn tell(&self, losses: &[f64], state: &mut State) -> Result<()> {
        let asked = self.ask(state).map(|query| query.distances.len());
        let Some(asked) = asked else { return Err(Error::OutOfTurn { why: "asks for nothing" }) };
        if losses.len() != asked {
            let (name, must) = ("number of private losses", "that of the distances");
            return Err(Error::InvalidScalar { name, must, got: losses.len() as f64 });
        }
        let with = |center: f64| -> Vec<f64> {
            std::iter::once(center).chain(losses.iter().copied()).collect()
        };
        let mut next = state.clone();
        next.n_losses += losses.len() as u64;
        match state.round {
            Round::Center { asked } => self.at_rest(asked + 1, losses[0], &mut next)?,
            Round::Rungs { center } => self.climbed(&with(center), &mut next),
            Round::Beside { center } => self.probed(&with(center), &mut next)?,
            _ => self.probed(losses, &mut next)?,
        }
        *state = next;
        Ok(())
    }

    /// The rate of this step.
    ///
    /// # Errors
    /// [`Error::OutOfTurn`] before all losses were told.
    pub fn rate(&self, state: &State) -> Result<f64> {
        if state.round == Round::Ready {
            Ok(state.memory.rate)
        } else {
            Err(Error::OutOfTurn {
                why: "has no rate yet: begin the step and tell what it asks for",
            })
        }
    }

    /// The step was taken.
    ///
    /// # Errors
    /// As [`HyFree::rate`].
    pub fn stepped(&self, state: &mut State) -> Result<()> {
        self.rate(state)?;
        state.step += 1;
        state.round = Round::Rest;
        Ok(())
    }

    /// Bounds in a state are in the range of [`LossBound`]: floors and limits see to it.
    fn clip(&self, state: &State) -> Option<LossClip> {
        let bound = LossBound::new(state.bound).ok()?;
        Some(LossClip { bound, range: self.settings.range })
    }

    fn tau(&self, state: &State) -> f64 {
        self.noise.max(ROUNDING) * state.bound
    }

    fn limits(&self, state: &State) -> Limits {
        let distance = match &self.settings.policy {
            RatePolicy::PaperLike(_) => f64::INFINITY,
            RatePolicy::Evidence(evidence) => evidence.farthest.limit(state.reach),
            RatePolicy::Gated(gated) => gated.farthest.limit(state.reach),
        };
        Limits { rates: self.settings.rates, distance }
    }

    /// After the loss at rest of a first step.
    fn at_rest(&self, asked: u64, center: f64, state: &mut State) -> Result<()> {
        let most = if self.settings.finds_bound { MOST_CENTERS } else { 1 };
        let larger = self.settings.larger_bound(state.bound, center).filter(|_| asked < most);
        if let Some(bound) = larger {
            state.bound = bound;
            state.round = Round::Center { asked };
            return Ok(());
        }
        state.round = if self.settings.has_ladder() {
            Round::Rungs { center }
        } else {
            Round::Beside { center }
        };
        Ok(())
    }

    fn climbed(&self, losses: &[f64], state: &mut State) {
        let RatePolicy::Evidence(evidence) = &self.settings.policy else { return };
        let (before, limits) = (state.memory.rate, self.limits(state));
        let outcome = if losses.iter().all(|loss| loss.is_finite()) {
            let told = (losses[0], &losses[1..]);
            evidence.climb(state.reach, told, self.tau(state), &limits, &mut state.memory)
        } else {
            Outcome::NotFinite
        };
        let (reach, bound) = (state.reach, self.settings.next_bound(state.bound, &losses[..1]));
        self.conclude(state, (outcome, reach, before), losses, bound, [None, None]);
    }

    fn probed(&self, losses: &[f64], state: &mut State) -> Result<()> {
        let (before, distance, limits) =
            (state.memory.rate, state.memory.distance, self.limits(state));
        let mut shown = [None, None];
        let outcome = if losses.iter().all(|loss| loss.is_finite()) {
            let fit = self.points.fit(distance, losses, self.tau(state))?;
            shown[0] = Some(Estimate::from(&fit));
            self.decide(&fit, &limits, state, &mut shown[1])
        } else {
            Outcome::NotFinite
        };
        let bound = self.settings.next_bound(state.bound, losses);
        self.conclude(state, (outcome, distance, before), losses, bound, shown);
        Ok(())
    }

    fn decide(
        &self,
        fit: &Fit,
        limits: &Limits,
        state: &mut State,
        estimate: &mut Option<Estimate>,
    ) -> Outcome {
        match &self.settings.policy {
            RatePolicy::PaperLike(paper) => paper.update(fit, limits, &mut state.memory),
            RatePolicy::Gated(gated) => gated.update(fit, limits, &mut state.memory),
            RatePolicy::Evidence(evidence) => {
                let (outcome, all) = evidence.update(fit, &self.points, limits, &mut state.memory);
                *estimate = Some(all);
                outcome
            }
        }
    }

    fn conclude(
        &self,
        state: &mut State,
        (outcome, distance, before): (Outcome, f64, f64),
        losses: &[f64],
        bound: f64,
        [fit, estimate]: [Option<Estimate>; 2],
    ) {
        *state.counts.entry(outcome).or_insert(0) += 1;
        state.report = Some(Report {
            step: state.step,
            outcome,
            losses: losses.to_vec(),
            distance,
            next_distance: state.memory.distance,
            fit,
            estimate,
            rate: [before, state.memory.rate],
            bound: [state.bound, bound],
        });
        state.bound = bound;
        state.round = Round::Ready;
    }
}
