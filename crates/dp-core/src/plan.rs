//! One set of numbers from which everything of a private run follows, so that nothing can disagree.

mod builder;
pub(crate) mod losses;
mod solve;
mod warning;

pub use builder::PlanBuilder;
pub use losses::{LossPlan, LossSchedule};
pub use warning::PlanWarning;

use crate::{
    ClipNorm, Delta, DpEvent, EpsilonBound, ExpectedBatchSize, Ledger, NeighboringRelation,
    NoiseMultiplier, SampleRate, UnitOfPrivacy,
};

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
