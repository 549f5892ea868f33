//! Parabolas through released losses, and how sure they are.

use hessian_lr::fit::{Intercept, fit};

use super::settings::Settings;
use crate::Result;

/// Slope and curvature of one probe, with the standard deviations that the noise of its losses gives them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fit {
    pub(super) slope: f64,
    pub(super) curvature: f64,
    pub(super) slope_error: f64,
    pub(super) curvature_error: f64,
    /// Noise of one loss.
    pub(super) tau: f64,
    /// How far the probe went.
    pub(super) distance: f64,
}

/// The points of a probe, and what noise of deviation 1 on each of their losses does to a fit at distance 1.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Points {
    multipliers: Vec<f64>,
    intercept: Intercept,
    slope_gain: f64,
    curvature_gain: f64,
}

impl Points {
    /// # Errors
    /// [`hessian_lr::Error::FewProbes`] without enough different points for a parabola.
    pub(super) fn new(settings: &Settings) -> Result<Self> {
        let Settings { multipliers, intercept, .. } = settings;
        let mut points = Points {
            multipliers: multipliers.clone(),
            intercept: *intercept,
            slope_gain: 0.0,
            curvature_gain: 0.0,
        };
        // A fit is linear in the losses, and a constant on all of them changes nothing: one unit at each point in turn, that at rest
        // included.
        let n = 1 + multipliers.len();
        let (mut slope, mut curvature) = (0.0, 0.0);
        for j in 0..n {
            let unit: Vec<f64> = (0..n).map(|i| if i == j { 1.0 } else { 0.0 }).collect();
            let (b, a) = points.parabola(1.0, &unit)?;
            slope += b * b;
            curvature += a * a;
        }
        points.slope_gain = slope.sqrt();
        points.curvature_gain = curvature.sqrt();
        Ok(points)
    }

    /// How far from rest the losses of a probe at this distance are, that at rest left out.
    pub(super) fn beside(&self, distance: f64) -> Vec<f64> {
        self.multipliers.iter().map(|m| m * distance).collect()
    }

    /// `losses` are that at rest, then those of [`Points::beside`]; `tau` is the deviation of the noise of each.
    pub(super) fn fit(&self, distance: f64, losses: &[f64], tau: f64) -> Result<Fit> {
        let (slope, curvature) = self.parabola(distance, losses)?;
        Ok(Fit {
            slope,
            curvature,
            slope_error: self.slope_gain * tau / distance,
            curvature_error: self.curvature_gain * tau / (distance * distance),
            tau,
            distance,
        })
    }

    /// The distance at which the noise of a curvature would be `curvature / gate`.
    pub(super) fn telling(&self, curvature: f64, tau: f64, gate: f64) -> f64 {
        (gate * self.curvature_gain * tau / curvature).sqrt()
    }

    fn parabola(&self, distance: f64, losses: &[f64]) -> Result<(f64, f64)> {
        let center = losses.first().copied().unwrap_or(f64::NAN);
        let mut x = self.beside(distance);
        let mut differences: Vec<Vec<f64>> =
            losses.iter().skip(1).map(|loss| vec![loss - center]).collect();
        if self.intercept == Intercept::Free {
            x.push(0.0);
            differences.push(vec![0.0]);
        }
        let (parabola, _) = fit(&x, &differences, self.intercept)?;
        Ok((parabola.slope, parabola.curvature))
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;

    use super::*;

    fn points(multipliers: &[f64], intercept: Intercept) -> Points {
        let multipliers = multipliers.to_vec();
        Points::new(&Settings { multipliers, intercept, ..Settings::default() }).unwrap()
    }

    #[test]
    fn three_points_have_the_errors_of_their_closed_form() {
        let three = points(&[1.0, -1.0], Intercept::Pinned);
        assert_relative_eq!(three.slope_gain, 0.5f64.sqrt(), max_relative = 1e-14);
        assert_relative_eq!(three.curvature_gain, 6f64.sqrt(), max_relative = 1e-14);
        let (h, tau) = (0.3, 0.01);
        let fit = three.fit(h, &[2.0, 1.7, 2.5], tau).unwrap();
        assert_relative_eq!(fit.slope, (2.5 - 1.7) / (2.0 * h), max_relative = 1e-14);
        assert_relative_eq!(fit.curvature, (1.7 + 2.5 - 4.0) / (h * h), max_relative = 1e-12);
        assert_relative_eq!(fit.slope_error, tau / (2f64.sqrt() * h), max_relative = 1e-14);
        assert_relative_eq!(fit.curvature_error, 6f64.sqrt() * tau / (h * h), max_relative = 1e-14);
        let h = three.telling(fit.curvature, tau, 1.5);
        let there = three.fit(h, &[0.0; 3], tau).unwrap();
        assert_relative_eq!(1.5 * there.curvature_error, fit.curvature, max_relative = 1e-12);
    }

    #[test]
    fn five_points_with_a_free_intercept_have_the_smaller_error() {
        // Variances of the curvature for noise 1 on each loss: 2/7 free, and 0.464 pinned.
        let five = [1.0, -1.0, 2.0, -2.0];
        let free = points(&five, Intercept::Free).curvature_gain;
        let pinned = points(&five, Intercept::Pinned).curvature_gain;
        assert_relative_eq!(free * free, 2.0 / 7.0, max_relative = 1e-12);
        assert_relative_eq!(pinned * pinned, 0.464, max_relative = 2e-3);
    }

    #[test]
    fn too_few_points_are_refused() {
        for multipliers in [vec![], vec![1.0], vec![2.0, 2.0]] {
            let settings = Settings { multipliers, ..Settings::default() };
            assert!(Points::new(&settings).is_err());
        }
    }
}
