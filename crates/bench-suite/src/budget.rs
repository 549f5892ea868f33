//! What a private training of a benchmark may spend, and the plan and step that follow from it.

use dp_core::{
    ClipFunction, ClipStyle, Clipping, PlanBuilder, PrivacyPlan, PrivateStep, UnitOfPrivacy,
};
use tensor_tree::Tree;

use crate::config::ClipConfig;
use crate::error::Result;

/// Sizes of a private training but its epsilon; delta is `n^-1.1`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    pub(crate) clipping: ClipConfig,
    pub(crate) batch_size: f64,
    pub(crate) steps: u64,
}

impl Budget {
    /// A plan of so many records that lacks epsilon or noise.
    pub(crate) fn plan(&self, n_samples: usize, unit: &str) -> Result<PlanBuilder> {
        Ok(PrivacyPlan::builder()
            .n_samples(n_samples as u64)
            .expected_batch_size(self.batch_size)
            .steps(self.steps)
            .clip_norm(self.clip().1)
            .delta((n_samples as f64).powf(-1.1))
            .unit(UnitOfPrivacy::new(unit)?))
    }

    /// The step of a plan, all parameters clipped together.
    pub(crate) fn step(&self, plan: &PrivacyPlan, params: &Tree) -> Result<PrivateStep> {
        let clipping = Clipping::new(self.clip().0, &ClipStyle::Flat, params, plan.clip_norm())?;
        Ok(PrivateStep::new(plan, clipping)?)
    }

    fn clip(&self) -> (ClipFunction, f64) {
        match self.clipping {
            ClipConfig::Flat { norm } => (ClipFunction::default(), norm),
            ClipConfig::Automatic => (ClipFunction::automatic(), 1.0),
        }
    }
}
