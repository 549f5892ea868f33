//! Noisy losses beside gradients: when a run asks for how many, and what noise they get.

use super::PrivacyPlan;
use crate::calibrate::{self, Target};
use crate::{Accountant, DpEvent, Error, ExpectedBatchSize, NoiseMultiplier, Result};

/// A plan warns where the standard deviation of a released loss exceeds this part of its clip bound.
const NOISY: f64 = 0.03;

/// How many losses a run releases at which steps, on the batch of the step's gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct LossSchedule {
    /// Losses are released at the steps 0, `period`, `2 period` and so on.
    pub period: u64,
    /// How many at step 0.
    pub first: u64,
    /// How many at each later one of these steps.
    pub each: u64,
}

impl LossSchedule {
    /// How many losses step `t` releases; steps count from 0.
    #[must_use]
    pub fn at(&self, t: u64) -> u64 {
        match t {
            0 => self.first,
            _ if t.is_multiple_of(self.period) => self.each,
            _ => 0,
        }
    }

    /// Among `steps` steps, the number of those that release losses.
    #[must_use]
    pub fn n_probes(&self, steps: u64) -> u64 {
        if self.period == 0 { 0 } else { steps.div_ceil(self.period) }
    }

    /// All losses of `steps` steps.
    #[must_use]
    pub fn total(&self, steps: u64) -> u64 {
        match self.n_probes(steps) {
            0 => 0,
            n => self.first.saturating_add(self.each.saturating_mul(n - 1)),
        }
    }

    fn check(self) -> Result<Self> {
        let counts = [
            ("period of the losses", self.period),
            ("losses at the first step", self.first),
            ("losses at a later step", self.each),
        ];
        match counts.into_iter().find(|(_, n)| *n == 0) {
            Some((name, _)) => Err(Error::InvalidScalar { name, must: "at least 1", got: 0.0 }),
            None => Ok(self),
        }
    }
}

/// The losses that a plan includes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossPlan {
    pub(super) schedule: LossSchedule,
    pub(super) noise_multiplier: NoiseMultiplier,
    pub(super) gradients_alone: Option<NoiseMultiplier>,
}

impl LossPlan {
    /// When losses are released.
    #[must_use]
    pub fn schedule(&self) -> LossSchedule {
        self.schedule
    }

    /// Standard deviation of the noise on a sum of clipped losses over its sensitivity, `sigma_l`.
    #[must_use]
    pub fn noise_multiplier(&self) -> NoiseMultiplier {
        self.noise_multiplier
    }

    /// The noise multiplier that would spend the whole target on gradients, `sigma`; none where the noise was given.
    #[must_use]
    pub fn gradients_alone(&self) -> Option<NoiseMultiplier> {
        self.gradients_alone
    }

    /// Standard deviation of a released loss over its clip bound, where records are added or removed.
    #[must_use]
    pub fn relative_noise(&self, expected_batch_size: ExpectedBatchSize) -> f64 {
        self.noise_multiplier.get() / expected_batch_size.get()
    }

    pub(super) fn is_noisy(&self, expected_batch_size: ExpectedBatchSize) -> bool {
        NOISY < self.relative_noise(expected_batch_size)
    }
}

/// Losses as a user asks for them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields, default))]
pub(super) struct Wanted {
    pub(super) schedule: Option<LossSchedule>,
    pub(super) noise_multiplier: Option<f64>,
    pub(super) gradient_noise_factor: Option<f64>,
}

/// The published limit of the additional noise on gradients.
const GRADIENT_NOISE_FACTOR: f64 = 1.01;

impl Wanted {
    /// The schedule; none if no losses are wanted.
    pub(super) fn schedule(&self) -> Result<Option<LossSchedule>> {
        match self.schedule {
            Some(schedule) => schedule.check().map(Some),
            None if *self == Wanted::default() => Ok(None),
            None => Err(Error::PlanMissing { field: "a schedule of the losses" }),
        }
    }

    /// The noise of losses beside gradients whose noise was given.
    pub(super) fn given(&self, schedule: LossSchedule) -> Result<LossPlan> {
        if self.gradient_noise_factor.is_some() {
            return Err(Error::PlanConflict {
                first: "gradient noise factor",
                second: "noise multiplier",
            });
        }
        let missing = Error::PlanMissing { field: "a noise multiplier of the losses" };
        let noise_multiplier = NoiseMultiplier::new(self.noise_multiplier.ok_or(missing)?)?;
        Ok(LossPlan { schedule, noise_multiplier, gradients_alone: None })
    }

    /// The noise of gradients and of losses that together spend the target, where `alone` spends it on gradients.
    ///
    /// # Source
    /// arXiv 2503.00703, Algorithm 2: `sigma_g = gamma sigma`, then `sigma_l` from one joint account.
    pub(super) fn split(
        &self,
        schedule: LossSchedule,
        alone: NoiseMultiplier,
        (accountant, target): (&dyn Accountant, Target),
        history: impl Fn(NoiseMultiplier, &LossPlan) -> DpEvent,
    ) -> Result<(NoiseMultiplier, LossPlan)> {
        if self.noise_multiplier.is_some() {
            return Err(Error::PlanConflict {
                first: "target epsilon",
                second: "noise multiplier of the losses",
            });
        }
        let factor = self.gradient_noise_factor.unwrap_or(GRADIENT_NOISE_FACTOR);
        if !(factor.is_finite() && 1.0 < factor) {
            return Err(Error::InvalidScalar {
                name: "gradient noise factor",
                must: "finite and above 1, so that something is left for the losses",
                got: factor,
            });
        }
        let gradients = NoiseMultiplier::new(factor * alone.get())?;
        let with = |noise_multiplier| LossPlan {
            schedule,
            noise_multiplier,
            gradients_alone: Some(alone),
        };
        let losses = calibrate::noise_multiplier(accountant, target, |sigma| {
            Ok(history(gradients, &with(sigma)))
        })?;
        Ok((gradients, with(losses)))
    }
}

impl PrivacyPlan {
    /// The losses of this plan.
    pub fn losses(&self) -> Option<&LossPlan> {
        self.losses.as_ref()
    }

    /// What a step releases that releases so many losses beside its gradient: one event on one sample.
    ///
    /// # Errors
    /// [`Error::PlanMissing`] if there are losses and the plan has no noise for them.
    pub fn step_event_with(&self, n_losses: u64) -> Result<DpEvent> {
        let noise = self.losses.map(|losses| losses.noise_multiplier);
        let events = release(self.noise_multiplier, self.clip_counts, n_losses, noise)?;
        Ok(self.on_sample(events))
    }

    /// The steps of a run, as few kinds as there are.
    pub(super) fn history(&self, gradients: NoiseMultiplier, losses: Option<&LossPlan>) -> DpEvent {
        let step = |n_losses: u64| {
            let losses = losses.filter(|_| 0 < n_losses);
            let losses = losses.map(|losses| (n_losses, losses.noise_multiplier));
            self.on_sample(joint(gradients, self.clip_counts, losses))
        };
        let Some(LossPlan { schedule, .. }) = losses else { return step(0).repeated(self.steps) };
        let n_probes = schedule.n_probes(self.steps);
        DpEvent::Composed(vec![
            step(schedule.first),
            step(0).repeated(self.steps - n_probes),
            step(schedule.each).repeated(n_probes - 1),
        ])
    }
}

/// A gradient, counts of clipped samples if there are any, and `n_losses` losses of one batch.
pub(crate) fn release(
    gradients: NoiseMultiplier,
    clip_counts: Option<NoiseMultiplier>,
    n_losses: u64,
    losses: Option<NoiseMultiplier>,
) -> Result<DpEvent> {
    match losses {
        _ if n_losses == 0 => Ok(joint(gradients, clip_counts, None)),
        Some(losses) => Ok(joint(gradients, clip_counts, Some((n_losses, losses)))),
        None => Err(Error::PlanMissing { field: "a schedule of the losses" }),
    }
}

/// One event of all answers from one batch; a gradient alone is one of its own.
pub(super) fn joint(
    gradients: NoiseMultiplier,
    clip_counts: Option<NoiseMultiplier>,
    losses: Option<(u64, NoiseMultiplier)>,
) -> DpEvent {
    let gaussian = |noise_multiplier| DpEvent::Gaussian { noise_multiplier };
    let counts = clip_counts.map(gaussian);
    let losses = losses.map(|(n, sigma)| gaussian(sigma).repeated(n));
    let others: Vec<DpEvent> = counts.into_iter().chain(losses).collect();
    if others.is_empty() {
        return gaussian(gradients);
    }
    DpEvent::Composed(std::iter::once(gaussian(gradients)).chain(others).collect())
}
