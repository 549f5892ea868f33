//! The standard normal distribution: density, tails, quantiles and truncated moments.

use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};

use crate::error::{Result, number};

/// `1 / sqrt(2 pi)`.
const INVERSE_SQRT_TAU: f64 = 0.398_942_280_401_432_7;

/// The density `phi(z)`; 0 at infinity.
#[must_use]
pub fn density(z: f64) -> f64 {
    INVERSE_SQRT_TAU * (-0.5 * z * z).exp()
}

/// The distribution function `Phi(z)`, accurate relative to its own size in the left tail.
#[must_use]
pub fn distribution(z: f64) -> f64 {
    0.5 * libm::erfc(-z * FRAC_1_SQRT_2)
}

/// `1 - Phi(z)`, accurate relative to its own size in the right tail.
#[must_use]
pub fn upper_tail(z: f64) -> f64 {
    distribution(-z)
}

/// The `z` with `Phi(z) = probability`; infinite at 0 and 1.
///
/// # Errors
/// [`crate::Error::InvalidNumber`] unless `0 <= probability <= 1`.
pub fn quantile(probability: f64) -> Result<f64> {
    let holds = (0.0..=1.0).contains(&probability);
    number("probability", "between 0 and 1", holds, probability)?;
    Ok(-SQRT_2 * statrs::function::erf::erfc_inv(2.0 * probability))
}

/// `int_from^to (1, z, z^2) phi(z) dz`; zeros unless `from < to`. Either end may be infinite.
///
/// ```text
/// I0 = Phi(to) - Phi(from),  I1 = phi(from) - phi(to),  I2 = I0 + from phi(from) - to phi(to)
/// ```
///
/// # Source
/// Integration by parts.
#[must_use]
pub fn truncated_moments(from: f64, to: f64) -> [f64; 3] {
    if from < to { Cut::at(from).moments_up_to(Cut::at(to)) } else { [0.0; 3] }
}

/// A point of the line with what moments need of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    z: f64,
    density: f64,
    /// The tail on the side away from zero.
    tail: f64,
}

impl Cut {
    pub(super) fn at(z: f64) -> Self {
        Cut { z, density: density(z), tail: upper_tail(z.abs()) }
    }

    pub(super) fn z(self) -> f64 {
        self.z
    }

    /// The moments of [`truncated_moments`] from here to `to`, which must lie above.
    pub(super) fn moments_up_to(self, to: Cut) -> [f64; 3] {
        if to.z - self.z < NARROW {
            return narrow_moments(self.z, to.z);
        }
        let mass = match (self.z < 0.0, to.z < 0.0) {
            (true, true) => to.tail - self.tail,
            (true, false) => 1.0 - self.tail - to.tail,
            (false, _) => self.tail - to.tail,
        };
        [mass, self.density - to.density, mass + self.boundary_term() - to.boundary_term()]
    }

    /// `z phi(z)`, which is 0 at infinity.
    fn boundary_term(self) -> f64 {
        if self.density == 0.0 { 0.0 } else { self.z * self.density }
    }
}

/// Width of intervals on which differences of closed forms lose digits and quadrature has them all.
const NARROW: f64 = 0.25;

/// The moments between two close points.
fn narrow_moments(from: f64, to: f64) -> [f64; 3] {
    let mut sums = [0.0; 3];
    for (z, weight) in gauss_nodes(from, to) {
        let mass = weight * density(z);
        sums[0] += mass;
        sums[1] += mass * z;
        sums[2] += mass * z * z;
    }
    sums
}

/// The five nodes and weights of Gauss-Legendre quadrature between two points: exact for polynomials of degree nine, so
/// that smooth functions lose less than rounding on intervals of width [`NARROW`].
pub(super) fn gauss_nodes(from: f64, to: f64) -> [(f64, f64); 5] {
    let (middle, half) = (0.5 * (from + to), 0.5 * (to - from));
    UNIT_NODES.map(|(node, weight)| (middle + half * node, half * weight))
}

const UNIT_NODES: [(f64, f64); 5] = [
    (-0.906_179_845_938_664, 0.236_926_885_056_189_1),
    (-0.538_469_310_105_683_1, 0.478_628_670_499_366_5),
    (0.0, 0.568_888_888_888_888_9),
    (0.538_469_310_105_683_1, 0.478_628_670_499_366_5),
    (0.906_179_845_938_664, 0.236_926_885_056_189_1),
];

/// `E (Z - z)_+ = phi(z) - z (1 - Phi(z))`.
pub(super) fn mean_excess(z: f64) -> f64 {
    density(z) - z * upper_tail(z)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_match_values_of_forty_digits() {
        // Computed with mpmath at 40 digits.
        for (p, z) in [
            (1e-300, -37.047_096_299_361_2),
            (1e-10, -6.361_340_902_404_056),
            (0.001, -3.090_232_306_167_813_5),
            (0.025, -1.959_963_984_540_054_2),
            (0.3, -0.524_400_512_708_040_8),
            (0.9, 1.281_551_565_544_600_5),
            (0.999, 3.090_232_306_167_813),
        ] {
            let got = quantile(p).unwrap();
            assert!((got - z).abs() <= 4e-15 * z.abs(), "{p}: {got} {z}");
        }
        assert!(quantile(f64::NAN).is_err() && quantile(1.1).is_err());
        assert!(quantile(0.0).unwrap() == f64::NEG_INFINITY);
    }

    #[test]
    fn truncated_moments_add_up_to_those_of_the_whole_line() {
        let ends = [f64::NEG_INFINITY, -7.0, -1.2, 0.0, 0.3, 0.31, 5.0, f64::INFINITY];
        let mut sum = [0.0; 3];
        for pair in ends.windows(2) {
            for (sum, part) in sum.iter_mut().zip(truncated_moments(pair[0], pair[1])) {
                *sum += part;
            }
        }
        for (sum, whole) in sum.iter().zip([1.0, 0.0, 1.0]) {
            assert!((sum - whole).abs() < 1e-15, "{sum} {whole}");
        }
        assert!(truncated_moments(1.0, 1.0).iter().all(|moment| *moment == 0.0));
    }

    #[test]
    fn narrow_and_wide_intervals_have_one_formula() {
        for from in [-3.0, -0.1, 0.0, 2.0] {
            let (close, wide) = (from + 0.2499, from + 0.5);
            let (near, all) = (truncated_moments(from, close), truncated_moments(from, wide));
            let rest = truncated_moments(close, wide + 1.0);
            let beyond = truncated_moments(wide, wide + 1.0);
            for i in 0..3 {
                assert!((near[i] + rest[i] - all[i] - beyond[i]).abs() < 1e-15);
            }
        }
    }

    #[test]
    fn tails_keep_their_relative_accuracy() {
        // 1 - Phi(10), mpmath.
        let tail = 7.619_853_024_160_527e-24;
        assert!((upper_tail(10.0) / tail - 1.0).abs() < 1e-14);
        let [mass, ..] = truncated_moments(10.0, f64::INFINITY);
        assert!((mass / tail - 1.0).abs() < 1e-14);
    }
}
