//! The numbers of a plan as they are given, and what follows from them.

use super::losses::{LossPlan, LossSchedule, Wanted};
use super::{PlanWarning, PrivacyPlan};
use crate::calibrate::{self, Target};
use crate::{
    Accountant, ClipNorm, Delta, EpsilonBound, Error, ExpectedBatchSize, NeighboringRelation,
    NoiseMultiplier, Result, SampleRate, UnitOfPrivacy,
};

/// The numbers of a plan as the user gives them; [`build`](PlanBuilder::build) checks and completes them.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields, default))]
pub struct PlanBuilder {
    pub(super) n_samples: Option<u64>,
    pub(super) expected_batch_size: Option<f64>,
    pub(super) sample_rate: Option<f64>,
    pub(super) steps: Option<u64>,
    pub(super) epochs: Option<f64>,
    pub(super) clip_norm: Option<f64>,
    pub(super) delta: Option<f64>,
    pub(super) target_epsilon: Option<f64>,
    pub(super) noise_multiplier: Option<f64>,
    pub(super) clip_count_noise: Option<f64>,
    pub(super) losses: Wanted,
    pub(super) relation: NeighboringRelation,
    pub(super) unit: Option<UnitOfPrivacy>,
}

impl PlanBuilder {
    /// The number of units in the data set. It becomes public: declare a number that may be known.
    pub fn n_samples(mut self, n_samples: u64) -> Self {
        self.n_samples = Some(n_samples);
        self
    }

    /// Samples expected in a batch; a real number. Give this or [`sample_rate`](Self::sample_rate).
    pub fn expected_batch_size(mut self, size: f64) -> Self {
        self.expected_batch_size = Some(size);
        self
    }

    /// Probability with which each unit joins a batch.
    pub fn sample_rate(mut self, rate: f64) -> Self {
        self.sample_rate = Some(rate);
        self
    }

    /// Number of steps. Give this or [`epochs`](Self::epochs).
    pub fn steps(mut self, steps: u64) -> Self {
        self.steps = Some(steps);
        self
    }

    /// Expected passes over the data; steps are `epochs / sample_rate`, rounded up.
    pub fn epochs(mut self, epochs: f64) -> Self {
        self.epochs = Some(epochs);
        self
    }

    /// The norm to which a unit's whole gradient is clipped, over all groups together.
    pub fn clip_norm(mut self, clip_norm: f64) -> Self {
        self.clip_norm = Some(clip_norm);
        self
    }

    /// The delta of the guarantee.
    pub fn delta(mut self, delta: f64) -> Self {
        self.delta = Some(delta);
        self
    }

    /// The epsilon to spend. Give this or [`noise_multiplier`](Self::noise_multiplier).
    pub fn target_epsilon(mut self, epsilon: f64) -> Self {
        self.target_epsilon = Some(epsilon);
        self
    }

    /// The noise to add. Zero is allowed for tests; the plan's epsilon is then infinite.
    pub fn noise_multiplier(mut self, noise_multiplier: f64) -> Self {
        self.noise_multiplier = Some(noise_multiplier);
        self
    }

    /// Losses that are released beside gradients, as for learning rates. With a target epsilon, gradients get
    /// [`gradient_noise_factor`](Self::gradient_noise_factor) times the noise that would spend the target on them alone, and losses the
    /// noise that spends the rest; else give [`loss_noise_multiplier`](Self::loss_noise_multiplier).
    pub fn losses(mut self, schedule: LossSchedule) -> Self {
        self.losses.schedule = Some(schedule);
        self
    }

    /// What gradients pay for the losses: their noise over what it would be without; 1.01 unless it is given.
    pub fn gradient_noise_factor(mut self, factor: f64) -> Self {
        self.losses.gradient_noise_factor = Some(factor);
        self
    }

    /// The noise of losses where that of gradients is given too. Zero is allowed for tests; epsilon is then infinite.
    pub fn loss_noise_multiplier(mut self, noise_multiplier: f64) -> Self {
        self.losses.noise_multiplier = Some(noise_multiplier);
        self
    }

    /// Clip thresholds that follow a quantile of the norms ([`QuantileClip`](crate::QuantileClip)): each step also releases, with this
    /// noise multiplier, how many samples are clipped. With a target epsilon the gradients get what noise the rest asks for. Zero is
    /// allowed for tests; epsilon is then infinite.
    pub fn clip_count_noise(mut self, noise_multiplier: f64) -> Self {
        self.clip_count_noise = Some(noise_multiplier);
        self
    }

    /// Which data sets are neighbors; add-or-remove-one by default.
    pub fn relation(mut self, relation: NeighboringRelation) -> Self {
        self.relation = relation;
        self
    }

    /// What is protected; "one record" by default.
    pub fn unit(mut self, unit: UnitOfPrivacy) -> Self {
        self.unit = Some(unit);
        self
    }

    /// Checks the numbers and derives the missing ones; see [`solve`](Self::solve) for other numbers than the noise.
    ///
    /// # Errors
    /// [`Error::PlanMissing`] and [`Error::PlanConflict`] for too few or too many numbers,
    /// [`Error::EmptyData`], [`Error::BatchLargerThanData`], [`Error::ZeroSteps`], [`Error::InvalidScalar`], and
    /// what [`calibrate::noise_multiplier`] returns.
    pub fn build(self, accountant: &dyn Accountant) -> Result<PrivacyPlan> {
        let mut plan = self.draft()?;
        match (self.target_epsilon, self.noise_multiplier) {
            (Some(epsilon), None) => {
                let target = Target::new(epsilon, plan.delta.get())?;
                let history = |sigma| Ok(plan.accounted(plan.history(sigma, None)));
                let alone = calibrate::noise_multiplier(accountant, target, history)?;
                plan.noise_multiplier = alone;
                if let Some(schedule) = self.losses.schedule()? {
                    let joint = |sigma, losses: &LossPlan| {
                        plan.accounted(plan.history(sigma, Some(losses)))
                    };
                    let within = (accountant, target);
                    let (gradients, losses) = self.losses.split(schedule, alone, within, joint)?;
                    plan.noise_multiplier = gradients;
                    plan.losses = Some(losses);
                }
            }
            (None, Some(_)) => {}
            (None, None) => return Err(missing("a target epsilon or a noise multiplier")),
            (Some(_), Some(_)) => return Err(conflict("target epsilon", "noise multiplier")),
        }
        plan.epsilon = accountant.epsilon(&plan.accounted(plan.event()), plan.delta)?;
        plan.warnings = warnings(&plan);
        Ok(plan)
    }

    /// The plan before any accounting: without a given noise its noise is zero and its losses are missing.
    pub(super) fn draft(&self) -> Result<PrivacyPlan> {
        let n_samples = self.n_samples.ok_or(missing("the number of samples"))?;
        if n_samples == 0 {
            return Err(Error::EmptyData);
        }
        let (sample_rate, expected_batch_size) = self.batch(n_samples)?;
        let schedule = self.losses.schedule()?;
        let losses = match self.noise_multiplier {
            Some(_) => schedule.map(|schedule| self.losses.given(schedule)).transpose()?,
            None => None,
        };
        Ok(PrivacyPlan {
            n_samples,
            sample_rate,
            expected_batch_size,
            steps: self.length(sample_rate)?,
            clip_norm: ClipNorm::new(self.clip_norm.ok_or(missing("the clip norm"))?)?,
            delta: Delta::new(self.delta.ok_or(missing("delta"))?)?,
            noise_multiplier: NoiseMultiplier::new(self.noise_multiplier.unwrap_or(0.0))?,
            clip_counts: self.clip_count_noise.map(NoiseMultiplier::new).transpose()?,
            losses,
            relation: self.relation,
            unit: self.unit.clone().unwrap_or_default(),
            epsilon: EpsilonBound::Upper(f64::INFINITY),
            warnings: Vec::new(),
        })
    }

    fn batch(&self, n_samples: u64) -> Result<(SampleRate, ExpectedBatchSize)> {
        let n = n_samples as f64;
        match (self.expected_batch_size, self.sample_rate) {
            (Some(size), None) => {
                let size = ExpectedBatchSize::new(size)?;
                if n < size.get() {
                    let expected_batch_size = size.get();
                    return Err(Error::BatchLargerThanData { expected_batch_size, n_samples });
                }
                Ok((SampleRate::new(size.get() / n)?, size))
            }
            (None, Some(rate)) => {
                let rate = SampleRate::new(rate)?;
                Ok((rate, ExpectedBatchSize::new(rate.get() * n)?))
            }
            (None, None) => Err(missing("an expected batch size or a sample rate")),
            (Some(_), Some(_)) => Err(conflict("expected batch size", "sample rate")),
        }
    }

    fn length(&self, rate: SampleRate) -> Result<u64> {
        let steps = match (self.steps, self.epochs) {
            (Some(steps), None) => steps,
            (None, Some(epochs)) => rate.steps_of(epochs)?,
            (None, None) => return Err(missing("a number of steps or of epochs")),
            (Some(_), Some(_)) => return Err(conflict("number of steps", "number of epochs")),
        };
        if steps == 0 { Err(Error::ZeroSteps) } else { Ok(steps) }
    }
}

/// What of this plan is allowed, but probably not meant.
fn warnings(plan: &PrivacyPlan) -> Vec<PlanWarning> {
    let mut warnings = Vec::new();
    let (delta, n_samples) = (plan.delta.get(), plan.n_samples);
    if 1.0 <= delta * n_samples as f64 {
        warnings.push(PlanWarning::LargeDelta { delta, n_samples });
    }
    let silent = |sigma: NoiseMultiplier| sigma.get() <= 0.0;
    if silent(plan.noise_multiplier)
        || plan.clip_counts.is_some_and(silent)
        || plan.losses.is_some_and(|losses| silent(losses.noise_multiplier()))
    {
        warnings.push(PlanWarning::NoNoise);
    }
    let size = plan.expected_batch_size;
    if let Some(losses) = plan.losses.filter(|losses| losses.is_noisy(size)) {
        warnings.push(PlanWarning::NoisyLosses { relative_noise: losses.relative_noise(size) });
    }
    warnings
}

pub(super) fn missing(field: &'static str) -> Error {
    Error::PlanMissing { field }
}

fn conflict(first: &'static str, second: &'static str) -> Error {
    Error::PlanConflict { first, second }
}
