//! What the methods built on Adam have in common.

use tensor_tree::Schedule;

/// The rate of an Adam step without the estimate of the distance: factor, course and correction for bias.
#[derive(Clone, Copy)]
pub(super) struct AdamPace {
    pub(super) rate: f64,
    pub(super) schedule: Schedule,
    /// Decays of the two moments, where their bias is corrected.
    pub(super) corrected: Option<[f64; 2]>,
}

impl AdamPace {
    /// The factor of the step after `step` others.
    #[allow(clippy::cast_precision_loss, reason = "steps stay below 2^53")]
    pub(super) fn factor(&self, step: u64) -> f64 {
        let k = step as f64 + 1.0;
        let bias = self
            .corrected
            .map_or(1.0, |[beta1, beta2]| (1.0 - beta2.powf(k)).sqrt() / (1.0 - beta1.powf(k)));
        self.rate * self.schedule.factor(step) * bias
    }
}
