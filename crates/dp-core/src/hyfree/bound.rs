//! How the clip bound of losses follows the losses that were released.

use super::settings::{RlRule, Settings};

/// Bounds stay below this, however often losses that are not numbers raise them.
const HIGHEST: f64 = 1e12;

impl Settings {
    /// The bound after losses of which that at rest is the first. After a ladder only that one counts.
    ///
    /// # Privacy
    /// A function of what was released: free.
    pub(super) fn next_bound(&self, bound: f64, losses: &[f64]) -> f64 {
        let center = losses.first().copied().unwrap_or(f64::NAN);
        let next = match self.rl_rule {
            RlRule::Previous => center,
            RlRule::SumOfProbes if losses.len() == 1 => (3.0 * center).abs(),
            RlRule::SumOfProbes => losses.iter().sum::<f64>().abs(),
            RlRule::Scaled { rho, shrink } => (rho * center).max(shrink * bound),
        };
        // A loss that is no number leaves the bound.
        let next = if center.is_finite() && next.is_finite() { next } else { bound };
        self.clamp_bound(next)
    }

    /// The bound while it is looked for: three times a loss that is more than half of it.
    pub(super) fn larger_bound(&self, bound: f64, center: f64) -> Option<f64> {
        let larger = self.clamp_bound((3.0 * center).max(bound));
        (0.5 * bound < center && bound < larger).then_some(larger)
    }

    fn clamp_bound(&self, bound: f64) -> f64 {
        bound.clamp(self.rl_floor, HIGHEST.max(self.rl_floor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(rl_rule: RlRule) -> Settings {
        Settings { rl_rule, ..Settings::default() }
    }

    #[test]
    #[allow(clippy::float_cmp, reason = "products of small whole numbers")]
    fn each_rule_is_its_formula() {
        assert_eq!(with(RlRule::Previous).next_bound(8.0, &[2.0, 1.0, 4.0]), 2.0);
        assert_eq!(with(RlRule::SumOfProbes).next_bound(8.0, &[2.0, 1.0, 4.0]), 7.0);
        assert_eq!(with(RlRule::SumOfProbes).next_bound(8.0, &[-2.0, -1.0, -4.0]), 7.0);
        let scaled = with(RlRule::default());
        assert_eq!(scaled.next_bound(8.0, &[2.0]), 6.0);
        assert_eq!(scaled.next_bound(20.0, &[2.0]), 10.0);
        assert_eq!(scaled.next_bound(1e-3, &[-5.0]), 1e-3);
    }

    #[test]
    #[allow(clippy::float_cmp, reason = "products of small whole numbers")]
    fn a_bound_that_cuts_losses_off_is_tripled_and_no_other() {
        let settings = Settings::default();
        assert_eq!(settings.larger_bound(1.0, 0.5), None);
        assert_eq!(settings.larger_bound(1.0, 0.75), Some(2.25));
        assert_eq!(settings.larger_bound(2.25, 2.0), Some(6.0));
        assert_eq!(settings.larger_bound(1.0, f64::NAN), None);
    }
}
