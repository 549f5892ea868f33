//! The planner: a target and all numbers of a run but one, from which the missing one follows.

use super::builder::missing;
use super::{PlanBuilder, PrivacyPlan};
use crate::calibrate::{self, Target};
use crate::{Accountant, Error, Result, SampleRate};

impl PlanBuilder {
    /// Finds whichever of noise, steps and sample rate is missing, so that the run spends at most the target epsilon,
    /// and builds the plan: the least noise, the most steps, or the highest rate.
    ///
    /// With a given number of epochs, a higher rate means fewer steps.
    ///
    /// # Privacy
    /// The plan's epsilon, asked of the accountant for the numbers that were found, is at most the target.
    ///
    /// # Errors
    /// Those of [`build`](Self::build); [`Error::PlanMissing`] without a target or with two numbers missing,
    /// [`Error::PlanConflict`] with none missing; [`Error::ZeroSteps`] if not a single step fits the target;
    /// [`Error::CalibrationLimit`] if no rate does.
    ///
    /// # Examples
    /// ```
    /// use dp_core::{PldAccountant, PrivacyPlan};
    ///
    /// // How long may a run be?
    /// let plan = PrivacyPlan::builder()
    ///     .n_samples(60_000)
    ///     .expected_batch_size(256.0)
    ///     .clip_norm(1.0)
    ///     .delta(1e-6)
    ///     .noise_multiplier(0.8)
    ///     .target_epsilon(3.0)
    ///     .solve(&PldAccountant::new())?;
    /// assert!(plan.epsilon().value() <= 3.0 && 4000 < plan.steps());
    /// # Ok::<(), dp_core::Error>(())
    /// ```
    pub fn solve(mut self, accountant: &dyn Accountant) -> Result<PrivacyPlan> {
        let epsilon = self.target_epsilon.ok_or(missing("a target epsilon"))?;
        if self.noise_multiplier.is_none() {
            return self.build(accountant);
        }
        let target = Target::new(epsilon, self.delta.ok_or(missing("delta"))?)?;
        let has_rate = self.sample_rate.is_some() || self.expected_batch_size.is_some();
        let has_length = self.steps.is_some() || self.epochs.is_some();
        let history = |builder: PlanBuilder| {
            let plan = builder.draft()?;
            Ok(plan.accounted(plan.event()))
        };
        match (has_rate, has_length) {
            (true, true) => return self.build(accountant),
            (false, false) => {
                return Err(missing("a sample rate or a number of steps beside the noise"));
            }
            (true, false) => {
                let with = |steps| history(self.clone().steps(steps));
                match calibrate::steps_of(accountant, target, with)? {
                    0 => return Err(Error::ZeroSteps),
                    steps => self.steps = Some(steps),
                }
            }
            (false, true) => {
                let with = |rate: SampleRate| history(self.clone().sample_rate(rate.get()));
                self.sample_rate = Some(calibrate::sample_rate(accountant, target, with)?.get());
            }
        }
        self.target_epsilon = None;
        self.build(accountant)
    }
}
