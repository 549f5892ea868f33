//! One set of numbers from which everything of a private run follows, so that nothing can disagree.

pub(crate) mod losses;

use std::fmt;

mod solve;

use crate::calibrate::{self, Target};
pub use losses::{LossPlan, LossSchedule};

use crate::{
    Accountant, ClipNorm, Delta, DpEvent, EpsilonBound, Error, ExpectedBatchSize, Ledger,
    NeighboringRelation, NoiseMultiplier, Result, SampleRate, UnitOfPrivacy,
};

/// The numbers of a plan as the user gives them; [`build`](PlanBuilder::build) checks and completes them.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields, default))]
pub struct PlanBuilder {
    n_samples: Option<u64>,
    expected_batch_size: Option<f64>,
    sample_rate: Option<f64>,
    steps: Option<u64>,
    epochs: Option<f64>,
    clip_norm: Option<f64>,
    delta: Option<f64>,
    target_epsilon: Option<f64>,
    noise_multiplier: Option<f64>,
    clip_count_noise: Option<f64>,
    losses: losses::Wanted,
    relation: NeighboringRelation,
    unit: Option<UnitOfPrivacy>,
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
        let n_samples = self.n_samples.ok_or(missing("the number of samples"))?;
        if n_samples == 0 {
            return Err(Error::EmptyData);
        }
        let (sample_rate, expected_batch_size) = self.batch(n_samples)?;
        let steps = self.length(sample_rate)?;
        let clip_norm = ClipNorm::new(self.clip_norm.ok_or(missing("the clip norm"))?)?;
        let delta = Delta::new(self.delta.ok_or(missing("delta"))?)?;
        let schedule = self.losses.schedule()?;
        let clip_counts = self.clip_counts()?;
        let mut plan = PrivacyPlan {
            n_samples,
            sample_rate,
            expected_batch_size,
            steps,
            clip_norm,
            delta,
            noise_multiplier: NoiseMultiplier::new(0.0)?,
            clip_counts,
            losses: None,
            relation: self.relation,
            unit: self.unit.clone().unwrap_or_default(),
            epsilon: EpsilonBound::Upper(f64::INFINITY),
            warnings: Vec::new(),
        };
        match (self.target_epsilon, self.noise_multiplier) {
            (Some(epsilon), None) => {
                let target = Target::new(epsilon, delta.get())?;
                let history = |sigma| Ok(plan.accounted(plan.history(sigma, None)));
                let alone = calibrate::noise_multiplier(accountant, target, history)?;
                plan.noise_multiplier = alone;
                if let Some(schedule) = schedule {
                    let joint = |sigma, losses: &LossPlan| {
                        plan.accounted(plan.history(sigma, Some(losses)))
                    };
                    let within = (accountant, target);
                    let (gradients, losses) = self.losses.split(schedule, alone, within, joint)?;
                    plan.noise_multiplier = gradients;
                    plan.losses = Some(losses);
                }
            }
            (None, Some(sigma)) => {
                plan.noise_multiplier = NoiseMultiplier::new(sigma)?;
                plan.losses = schedule.map(|schedule| self.losses.given(schedule)).transpose()?;
            }
            (None, None) => return Err(missing("a target epsilon or a noise multiplier")),
            (Some(_), Some(_)) => return Err(conflict("target epsilon", "noise multiplier")),
        }
        plan.epsilon = accountant.epsilon(&plan.accounted(plan.event()), delta)?;
        if 1.0 <= delta.get() * n_samples as f64 {
            plan.warnings.push(PlanWarning::LargeDelta { delta: delta.get(), n_samples });
        }
        let silent = |sigma: NoiseMultiplier| sigma.get() <= 0.0;
        if silent(plan.noise_multiplier)
            || clip_counts.is_some_and(silent)
            || plan.losses.is_some_and(|losses| silent(losses.noise_multiplier()))
        {
            plan.warnings.push(PlanWarning::NoNoise);
        }
        if let Some(losses) = plan.losses.filter(|losses| losses.is_noisy(expected_batch_size)) {
            let relative_noise = losses.relative_noise(expected_batch_size);
            plan.warnings.push(PlanWarning::NoisyLosses { relative_noise });
        }
        Ok(plan)
    }

    fn clip_counts(&self) -> Result<Option<NoiseMultiplier>> {
        self.clip_count_noise.map(NoiseMultiplier::new).transpose()
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
            (None, Some(epochs)) => {
                let exact = epochs / rate.get();
                if !(exact.is_finite() && 0.0 < epochs && exact < u64::MAX as f64) {
                    return Err(Error::InvalidScalar {
                        name: "number of epochs",
                        must: "finite and positive",
                        got: epochs,
                    });
                }
                // Rounded up, but not because of the last digit of the quotient.
                #[allow(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "checked"
                )]
                let steps = (exact * (1.0 - 1e-12)).ceil() as u64;
                steps
            }
            (None, None) => return Err(missing("a number of steps or of epochs")),
            (Some(_), Some(_)) => return Err(conflict("number of steps", "number of epochs")),
        };
        if steps == 0 { Err(Error::ZeroSteps) } else { Ok(steps) }
    }
}

fn missing(field: &'static str) -> Error {
    Error::PlanMissing { field }
}

fn conflict(first: &'static str, second: &'static str) -> Error {
    Error::PlanConflict { first, second }
}

/// Something that is allowed, but probably not meant.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum PlanWarning {
    /// With `delta >= 1/n`, publishing one random record in full would satisfy the guarantee.
    LargeDelta {
        /// The plan's delta.
        delta: f64,
        /// The plan's number of samples.
        n_samples: u64,
    },
    /// Noise multiplier zero, of gradients, of losses or of clip counts: no guarantee at all.
    NoNoise,
    /// Losses are released with so much noise that learning rates found by them are poor.
    NoisyLosses {
        /// Standard deviation of a released loss over its clip bound.
        relative_noise: f64,
    },
}

impl fmt::Display for PlanWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlanWarning::LargeDelta { delta, n_samples } => write!(
                f,
                "delta {delta:e} is not below 1/{n_samples}: publishing one record in full would pass"
            ),
            PlanWarning::NoNoise => f.write_str("no noise is added, so there is no guarantee"),
            PlanWarning::NoisyLosses { relative_noise } => write!(
                f,
                "the noise of a released loss is {relative_noise:.3} of its clip bound: more than 0.03 makes learning \
                 rates poor; larger batches or a larger gradient noise factor help"
            ),
        }
    }
}

/// A checked plan: sampler, clipping, mechanism, divisor and accounting take their numbers from here.
///
/// # Privacy
/// Everything in a plan is public, the number of samples included. Each step is one Gaussian release of
/// the clipped sum of a Poisson sample, divided by the expected batch size; where the plan has losses or counts of clipped samples, these and the
/// gradient of one step are one joint release on one sample. Under replace-one the sensitivity is twice
/// the clip norm and the accounting takes no credit for sampling.
///
/// # Examples
/// ```
/// use dp_core::{PldAccountant, PrivacyPlan};
///
/// let plan = PrivacyPlan::builder()
///     .n_samples(60_000)
///     .expected_batch_size(256.0)
///     .epochs(10.0)
///     .clip_norm(1.0)
///     .delta(1e-6)
///     .target_epsilon(3.0)
///     .build(&PldAccountant::new())?;
/// assert_eq!(plan.steps(), 2344);
/// assert!(plan.epsilon().value() <= 3.0);
/// assert!(plan.warnings().is_empty());
/// # Ok::<(), dp_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct PrivacyPlan {
    n_samples: u64,
    sample_rate: SampleRate,
    expected_batch_size: ExpectedBatchSize,
    steps: u64,
    clip_norm: ClipNorm,
    delta: Delta,
    noise_multiplier: NoiseMultiplier,
    clip_counts: Option<NoiseMultiplier>,
    losses: Option<LossPlan>,
    relation: NeighboringRelation,
    unit: UnitOfPrivacy,
    epsilon: EpsilonBound,
    warnings: Vec<PlanWarning>,
}

impl PrivacyPlan {
    /// Starts a plan.
    pub fn builder() -> PlanBuilder {
        PlanBuilder::default()
    }

    /// The public number of units.
    pub fn n_samples(&self) -> u64 {
        self.n_samples
    }

    /// Probability with which each unit joins a batch.
    pub fn sample_rate(&self) -> SampleRate {
        self.sample_rate
    }

    /// The divisor of private sums: sample rate times number of samples, a real number.
    pub fn expected_batch_size(&self) -> ExpectedBatchSize {
        self.expected_batch_size
    }

    /// Number of steps.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The norm to which a unit's whole gradient is clipped.
    pub fn clip_norm(&self) -> ClipNorm {
        self.clip_norm
    }

    /// Standard deviation of the noise of gradients over their sensitivity.
    pub fn noise_multiplier(&self) -> NoiseMultiplier {
        self.noise_multiplier
    }

    /// The delta of the guarantee.
    pub fn delta(&self) -> Delta {
        self.delta
    }

    /// Which data sets are neighbors.
    pub fn relation(&self) -> NeighboringRelation {
        self.relation
    }

    /// What is protected.
    pub fn unit(&self) -> &UnitOfPrivacy {
        &self.unit
    }

    /// Epsilon after all steps, by the accountant that built the plan.
    pub fn epsilon(&self) -> EpsilonBound {
        self.epsilon
    }

    /// What is allowed, but probably not meant.
    pub fn warnings(&self) -> &[PlanWarning] {
        &self.warnings
    }

    /// Standard deviation of the noise on counts of clipped samples over their sensitivity, where the plan has them.
    pub fn clip_count_noise(&self) -> Option<NoiseMultiplier> {
        self.clip_counts
    }

    /// What one step releases that releases no losses: the gradient, and counts of clipped samples if the plan has them.
    pub fn step_event(&self) -> DpEvent {
        self.on_sample(losses::joint(self.noise_multiplier, self.clip_counts, None))
    }

    /// What all steps release, losses included.
    pub fn event(&self) -> DpEvent {
        self.history(self.noise_multiplier, self.losses.as_ref())
    }

    /// An empty ledger for this plan.
    pub fn ledger(&self) -> Ledger {
        Ledger::new(self.relation, self.unit.clone())
    }

    fn on_sample(&self, event: DpEvent) -> DpEvent {
        DpEvent::PoissonSampled { rate: self.sample_rate, event: Box::new(event) }
    }

    /// The history as an accountant should see it under the plan's relation.
    fn accounted(&self, history: DpEvent) -> DpEvent {
        match self.relation {
            NeighboringRelation::AddOrRemoveOne => history,
            NeighboringRelation::ReplaceOne => history.without_amplification(),
        }
    }
}

#[cfg(test)]
mod tests;
