//! The scalar estimator that a two-level penalty becomes in the limit, and its moments under a normal observation.

use super::normal::{Cut, density, gauss_nodes, mean_excess, upper_tail};
use super::prior::Component;
use crate::error::{Result, number};

/// An odd function of the observation `y`, for `y >= 0`:
///
/// ```text
/// 0                      up to low
/// y - low                up to low + height
/// height                 up to low + width + height
/// y - low - width        above
/// ```
///
/// Here `low` and `low + width` are the two levels and `height` is where magnitudes are held together. With `height = 0`
/// it is soft thresholding at `low + width`, with `width = 0` at `low`.
///
/// # Source
/// Derived: the limit of the proximal map of [`crate::TwoLevel`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shrinkage {
    /// The lower level.
    pub low: f64,
    /// The upper level less the lower one.
    pub width: f64,
    /// The magnitude that entries between the levels share.
    pub height: f64,
}

impl Shrinkage {
    /// Soft thresholding at `level`.
    #[must_use]
    pub fn soft(level: f64) -> Self {
        Shrinkage { low: level, width: 0.0, height: 0.0 }
    }

    /// The estimate for the observation `y`.
    #[must_use]
    pub fn apply(&self, y: f64) -> f64 {
        let over = y.abs() - self.low;
        let estimate = over - (over - self.height).clamp(0.0, self.width);
        if 0.0 < over { estimate.max(0.0).copysign(y) } else { 0.0 }
    }

    /// The magnitude of an observation above which the estimate is not zero.
    #[must_use]
    pub fn zero_threshold(&self) -> f64 {
        if 0.0 < self.height { self.low } else { self.low + self.width }
    }

    /// The same shape on a scale `factor` times as large.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        Shrinkage {
            low: factor * self.low,
            width: factor * self.width,
            height: factor * self.height,
        }
    }

    /// What two levels become for the observations of a prior: `height` is the root of
    ///
    /// ```text
    /// E clip(|Y| - low - height, 0, width) = share * width,
    /// ```
    ///
    /// or 0 if the left side is not above the right one there.
    pub(super) fn fit(
        low: f64,
        width: f64,
        share: f64,
        observations: &[Observation],
    ) -> Result<Self> {
        number("width of the levels", "finite and not negative", 0.0 <= width, width)?;
        if width == 0.0 || share <= 0.0 {
            return Ok(Shrinkage::soft(low));
        }
        let at = |height| {
            let mean = |o: &Observation| o.weight * o.mean_clipped(low + height, width);
            observations.iter().map(mean).sum::<f64>() / width - share
        };
        if at(0.0) <= 0.0 {
            return Ok(Shrinkage { low, width, height: 0.0 });
        }
        let largest = |o: &Observation| o.mean.abs() + o.std;
        let mut high = observations.iter().map(largest).fold(0.0, f64::max);
        while 0.0 < at(high) {
            high *= 2.0;
        }
        let name = "height of the cluster";
        let height = super::root::bracketed(name, 0.0, high, 1e-17 * high, |h| Ok(at(h)))?;
        Ok(Shrinkage { low, width, height })
    }
}

/// One part of the law of an observation `Y = B + tau Z` together with `E(B | Y) = mean + slope (Y - mean)`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Observation {
    pub(super) weight: f64,
    pub(super) is_zero: bool,
    mean: f64,
    std: f64,
    slope: f64,
    /// `1 - slope`, without cancellation.
    remainder: f64,
    /// `E var(B | Y)`.
    variance_left: f64,
}

/// Probabilities of an observation against a shrinkage.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shares {
    /// Estimates that are not zero.
    pub(super) selected: f64,
    /// Estimates held at the height of the cluster.
    pub(super) flat: f64,
    /// Estimates that move with their observation: the mean derivative.
    pub(super) moving: f64,
}

impl Observation {
    /// The observation of `part` under noise of standard deviation `tau`.
    pub(super) fn of(part: &Component, tau: f64) -> Self {
        let noise = tau * tau;
        let variance = part.variance + noise;
        Observation {
            weight: part.weight,
            is_zero: part.is_zero(),
            mean: part.mean,
            std: variance.sqrt(),
            slope: part.variance / variance,
            remainder: noise / variance,
            variance_left: part.variance * (noise / variance),
        }
    }

    /// A fixed signal under noise of variance one.
    pub(super) fn unit(signal: f64) -> Self {
        Self::of(&Component::point(1.0, signal), 1.0)
    }

    /// `P(|Y| > level)`.
    pub(super) fn exceeds(&self, level: f64) -> f64 {
        upper_tail((level - self.mean) / self.std) + upper_tail((level + self.mean) / self.std)
    }

    /// `E clip(|Y| - low, 0, width) = int_low^(low + width) P(|Y| > x) dx`.
    pub(super) fn mean_clipped(&self, low: f64, width: f64) -> f64 {
        if width < 0.25 * self.std {
            // The closed form is a difference of nearly equal numbers here.
            let parts = gauss_nodes(low, low + width).map(|(x, weight)| weight * self.exceeds(x));
            return parts.iter().sum();
        }
        let excess = |level: f64| mean_excess(level / self.std);
        let near = excess(low - self.mean) - excess(low + width - self.mean);
        let far = excess(low + self.mean) - excess(low + width + self.mean);
        self.std * (near + far)
    }

    /// `E (eta(Y) - B)^2`.
    ///
    /// On each piece `eta(Y) - E(B | Y)` is `offset + rate * std * Z` with constants.
    pub(super) fn mean_squared_error(&self, eta: &Shrinkage) -> f64 {
        let ends = self.ends(eta);
        let (high, height) = (eta.low + eta.width, eta.height);
        // Value at the origin of each piece, and whether it moves with the observation.
        let pieces = [
            (high, true),
            (-height, false),
            (eta.low, true),
            (0.0, false),
            (-eta.low, true),
            (height, false),
            (-high, true),
        ];
        let mut sum = self.variance_left;
        for (pair, (value, moves)) in ends.windows(2).zip(pieces) {
            if pair[1].z() <= pair[0].z() {
                continue;
            }
            let [mass, first, second] = pair[0].moments_up_to(pair[1]);
            let (offset, rate) = if moves {
                (value, self.remainder * self.std)
            } else {
                (value - self.mean, -self.slope * self.std)
            };
            sum += offset * offset * mass + 2.0 * offset * rate * first + rate * rate * second;
        }
        sum
    }

    /// Where pieces of `eta` meet, in units of this observation's standard deviation.
    fn ends(&self, eta: &Shrinkage) -> [Cut; 8] {
        let (near, far) = (eta.low + eta.height, eta.low + eta.width + eta.height);
        let at = |y: f64| Cut::at((y - self.mean) / self.std);
        let end = f64::INFINITY;
        [at(-end), at(-far), at(-near), at(-eta.low), at(eta.low), at(near), at(far), at(end)]
    }

    pub(super) fn shares(&self, eta: &Shrinkage) -> Shares {
        let (near, far) = (eta.low + eta.height, eta.low + eta.width + eta.height);
        let above = self.exceeds(far);
        if eta.height <= 0.0 {
            return Shares { selected: above, flat: 0.0, moving: above };
        }
        let selected = self.exceeds(eta.low);
        let flat = if 0.0 < eta.width { self.exceeds(near) - above } else { 0.0 };
        Shares { selected, flat, moving: selected - flat }
    }
}

/// `E (eta(Z))^2` for a pure noise of variance one: what is left of noise.
pub(super) fn noise_risk(eta: &Shrinkage) -> f64 {
    if eta.height == 0.0 {
        let level = eta.low + eta.width;
        return 2.0 * ((1.0 + level * level) * upper_tail(level) - level * density(level));
    }
    Observation::unit(0.0).mean_squared_error(eta)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETA: Shrinkage = Shrinkage { low: 1.0, width: 0.5, height: 0.75 };

    /// The trapezoidal rule for smooth integrands that vanish at both ends; kinks cost `step^2`.
    fn integral(f: impl Fn(f64) -> f64) -> f64 {
        let step = 1e-4;
        (-100_000..=100_000)
            .map(|i| f(f64::from(i) * step) * density(f64::from(i) * step))
            .sum::<f64>()
            * step
    }

    #[test]
    fn shrinkage_has_its_four_pieces() {
        for (y, x) in [(0.9, 0.0), (1.5, 0.5), (2.0, 0.75), (-2.2, -0.75), (3.0, 1.5)] {
            assert!((ETA.apply(y) - x).abs() < 1e-15, "{y}");
        }
        let soft = Shrinkage { height: 0.0, ..ETA };
        for (got, want) in
            [(soft.apply(2.0), 0.5), (ETA.zero_threshold(), 1.0), (soft.zero_threshold(), 1.5)]
        {
            assert!((got - want).abs() < 1e-15);
        }
    }

    #[test]
    fn moments_agree_with_quadrature() {
        let tau = 0.8;
        for part in [Component::point(1.0, 0.7), Component::gaussian(1.0, -0.4, 1.7)] {
            let o = Observation::of(&part, tau);
            let y = |z: f64| o.mean + o.std * z;
            let guess = |y: f64| o.mean + o.slope * (y - o.mean);
            let risk = integral(|z| (ETA.apply(y(z)) - guess(y(z))).powi(2)) + o.variance_left;
            assert!((o.mean_squared_error(&ETA) - risk).abs() < 1e-7);
            for width in [0.1, 0.5, 3.0] {
                let clipped = integral(|z| (y(z).abs() - 0.9).clamp(0.0, width));
                assert!((o.mean_clipped(0.9, width) - clipped).abs() < 1e-7);
            }
        }
        let risk = integral(|z| ETA.apply(z).powi(2));
        assert!((noise_risk(&ETA) - risk).abs() < 1e-7);
    }

    #[test]
    fn the_two_forms_of_the_clipped_mean_meet() {
        let o = Observation::of(&Component::gaussian(1.0, 0.3, 1.0), 1.0);
        let width = 0.25 * o.std;
        let (below, above) = (width * (1.0 - 1e-15), width * (1.0 + 1e-15));
        assert!((o.mean_clipped(1.1, below) - o.mean_clipped(1.1, above)).abs() < 1e-15);
    }

    #[test]
    fn the_height_spends_the_share() {
        let o = [Observation::of(&Component::gaussian(1.0, 0.0, 4.0), 0.5)];
        let eta = Shrinkage::fit(0.5, 0.6, 0.1, &o).unwrap();
        assert!(0.0 < eta.height);
        assert!((o[0].mean_clipped(0.5 + eta.height, 0.6) - 0.06).abs() < 1e-15);
        assert!(Shrinkage::fit(0.5, 0.6, 0.9, &o).unwrap().height == 0.0);
        assert_eq!(Shrinkage::fit(0.5, 0.6, 0.0, &o).unwrap(), Shrinkage::soft(0.5));
    }
}
