//! The first rate, from private losses at steps of very different lengths along the first direction.

use super::policy::{Limits, Memory, Outcome};
use super::settings::{Evidence, N_RUNGS};

/// The lengths of the steps, longest first: `reach` directions move the parameters by as much as they are long.
pub(super) fn rungs(reach: f64) -> Vec<f64> {
    (0..N_RUNGS).map(|j| reach * 0.25f64.powf(j as f64)).collect()
}

impl Evidence {
    /// Takes the smallest step that keeps half of the best decrease; without a visible one, the smallest step as rate and the longest
    /// harmless one as distance of the next probe.
    ///
    /// Losses that are not numbers count as high ones.
    pub(super) fn climb(
        &self,
        reach: f64,
        (center, losses): (f64, &[f64]),
        tau: f64,
        limits: &Limits,
        memory: &mut Memory,
    ) -> Outcome {
        let rungs = rungs(reach);
        let bottom = rungs.last().copied().unwrap_or(reach);
        let noise = self.ladder_gate * std::f64::consts::SQRT_2 * tau;
        let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
        let smallest_first = || rungs.iter().zip(losses).rev();
        memory.descent = least < center - noise;
        let (rate, distance) = if memory.descent {
            let good = smallest_first().find(|(_, loss)| **loss <= 0.5 * (least + center));
            let h = good.map_or(bottom, |(h, _)| *h);
            (0.5 * h / self.horizon, h)
        } else {
            let harmless = rungs.iter().zip(losses).find(|(_, loss)| **loss <= center + noise);
            (bottom / self.horizon, harmless.map_or(bottom, |(h, _)| *h))
        };
        memory.rate = limits.rate(rate);
        memory.distance = distance.min(limits.distance);
        if memory.descent { Outcome::Descent } else { Outcome::NoDescent }
    }
}
