//! Gaussian differential privacy: exact for Gaussian releases of the whole data set, without any grid.

use super::normal::{LN_SQRT_TAU, interval, ln_tail, mills, tail, tail_quantile};
use crate::{Delta, Epsilon, Error, Result};

/// `mu`-Gaussian differential privacy: what one Gaussian release of noise multiplier `1/mu` gives, exactly.
///
/// # Privacy
/// Under add-or-remove-one, `T_i` Gaussian releases of the whole data set with noise multipliers `s_i` are
/// together exactly `sqrt(sum T_i / s_i^2)`-Gaussian differentially private. With sampling nothing of the kind is exact;
/// see [`CentralLimit`](crate::CentralLimit) for the estimate.
///
/// # Source
/// arXiv 1905.02383, definition 2.6, corollaries 2.13 and 3.3; delta by arXiv 1805.06530, theorem 8.
///
/// # Examples
/// ```
/// use dp_core::{Delta, GaussianDp};
///
/// // 100 releases with noise multiplier 5.
/// let all = GaussianDp::new(100_f64.sqrt() / 5.0)?;
/// let epsilon = all.epsilon(Delta::new(1e-5)?);
/// assert!((epsilon - 9.9973).abs() < 1e-3);
/// # Ok::<(), dp_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GaussianDp {
    mu: f64,
}

impl GaussianDp {
    /// Checks `mu`.
    ///
    /// # Errors
    /// [`Error::InvalidScalar`] unless `mu` is finite and not negative; NaN is refused.
    pub fn new(mu: f64) -> Result<Self> {
        if mu.is_finite() && 0.0 <= mu {
            Ok(GaussianDp { mu })
        } else {
            Err(Error::InvalidScalar { name: "mu", must: "finite and not negative", got: mu })
        }
    }

    /// The parameter.
    pub fn mu(self) -> f64 {
        self.mu
    }

    /// `ln delta` at an epsilon, to about 1e-12 relative in delta; minus infinity for `mu = 0`.
    ///
    /// ```text
    /// delta = Phi(mu/2 - eps/mu) - exp(eps) Phi(-mu/2 - eps/mu)
    /// ```
    pub fn ln_delta(self, epsilon: Epsilon) -> f64 {
        ln_delta(self.mu, epsilon.get())
    }

    /// The epsilon at a delta, to about 1e-13 relative; infinite for a delta of zero unless `mu = 0`.
    pub fn epsilon(self, delta: Delta) -> f64 {
        epsilon(self.mu, delta.ln())
    }

    /// The trade-off function: the least type-II error of a test of level `alpha`.
    ///
    /// ```text
    /// f(alpha) = Phi(Phi^-1(1 - alpha) - mu)
    /// ```
    pub fn type_ii_error(self, alpha: f64) -> f64 {
        if alpha <= 0.0 {
            return 1.0;
        }
        if 1.0 <= alpha {
            return 0.0;
        }
        tail(self.mu - tail_quantile(alpha.ln()))
    }
}

/// `ln delta` of `mu`-GDP at any real epsilon.
pub(super) fn ln_delta(mu: f64, epsilon: f64) -> f64 {
    if mu <= 0.0 {
        return if epsilon < 0.0 { (-epsilon.exp_m1()).ln() } else { f64::NEG_INFINITY };
    }
    let z = epsilon / mu - mu / 2.0;
    if z < -3.0 {
        // The first term is near 1; exp(eps) phi(z + mu) = phi(z) keeps the second from overflowing.
        let other = epsilon + ln_tail(z + mu);
        return (ln_tail(z).exp() - other.exp()).max(0.0).ln();
    }
    ln_density(z) + mills_difference(z, mu).ln()
}

/// The epsilon, at least 0, with `ln delta = ln_delta`.
pub(super) fn epsilon(mu: f64, ln_delta_wanted: f64) -> f64 {
    if mu <= 0.0 || ln_delta(mu, 0.0) <= ln_delta_wanted {
        return 0.0;
    }
    if ln_delta_wanted == f64::NEG_INFINITY {
        return f64::INFINITY;
    }
    // delta <= exp(-(eps - mu^2/2)^2 / (2 mu^2)) encloses; ln delta is concave in eps, so Newton's steps from
    // above never pass the root, but for rounding.
    let (mut low, mut high) = (0.0, mu * mu / 2.0 + mu * (-2.0 * ln_delta_wanted).sqrt());
    let mut at = high;
    for _ in 0..200 {
        let ln = ln_delta(mu, at);
        if ln <= ln_delta_wanted {
            high = at;
        } else {
            low = at;
        }
        if high - low <= 1e-15 * high {
            break;
        }
        // d ln delta / d eps = -exp(eps) Phi(-z - mu) / delta
        let z = at / mu - mu / 2.0;
        let slope = -(at + ln_tail(z + mu) - ln).exp();
        let newton = at + (ln_delta_wanted - ln) / slope;
        if (newton - at).abs() <= 1e-15 * at {
            break;
        }
        at = if low < newton && newton < high { newton } else { 0.5 * (low + high) };
    }
    at
}

fn ln_density(z: f64) -> f64 {
    -0.5 * z * z - LN_SQRT_TAU
}

/// `mills(z) - mills(z + mu)` for `z >= -3`: by difference, or by its integral where that would cancel.
fn mills_difference(z: f64, mu: f64) -> f64 {
    let at_z = mills(z);
    let difference = at_z - mills(z + mu);
    if 1e-2 * at_z < difference {
        return difference;
    }
    // int_0^inf exp(-z t - t^2/2) (1 - exp(-mu t)) dt with t = exp(u): the trapezoid rule converges geometrically.
    const STEP: f64 = 0.125;
    let top = (2.0 + (1.0 + 0.5 * z.abs()).ln()).max(2.3);
    let scale = if z <= 1.0 { 1.0 } else { 1.0 / z };
    let mut sum = 0.0;
    let mut u = top;
    while -20.0 < u {
        let t = scale * u.exp();
        sum += (-z * t - 0.5 * t * t).exp() * -(-mu * t).exp_m1() * t;
        u -= STEP;
    }
    sum * STEP
}

/// `ln delta` of one Laplace release of scale `b` at any real epsilon: `1 - exp((eps - 1/b)/2)` inside.
pub(super) fn ln_delta_laplace(b: f64, epsilon: f64) -> f64 {
    let pure = 1.0 / b;
    if pure <= epsilon {
        f64::NEG_INFINITY
    } else if epsilon < -pure {
        (-epsilon.exp_m1()).ln()
    } else {
        (-((epsilon - pure) / 2.0).exp_m1()).ln()
    }
}

/// `Pr[a < N(shift, s^2) <= b]`.
pub(super) fn normal_mass(a: f64, b: f64, shift: f64, s: f64) -> f64 {
    interval((a - shift) / s, (b - shift) / s)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deltas_agree_with_fifty_digits() {
        // mpmath.
        for (mu, epsilon, exact) in [
            (1.0, 0.0, -0.959_916_333_695_622_3),
            (1.0, 1.0, -2.064_066_446_500_390_6),
            (0.5, 3.0, -21.801_807_376_715_113),
            (1e-3, 1e-3, -9.392_376_384_039_413),
            (1e-6, 0.0, -14.734_449_091_168_989),
            (1e-6, 5e-6, -30.559_809_220_625_386),
            (20.0, 10.0, -2.000_775_956_804_052e-21),
            (20.0, 250.0, -5.215_418_516_217_649),
            (3.0, 40.0, -75.019_048_442_961_34),
            (0.01, 0.3, -462.179_836_419_021_96),
        ] {
            let got = ln_delta(mu, epsilon);
            assert!((got - exact).abs() <= 2e-12, "{mu}, {epsilon}: {got} and not {exact}");
        }
    }

    #[test]
    fn epsilon_undoes_delta_over_the_whole_range() {
        for mu in [1e-5, 1e-2, 0.5, 1.0, 7.0, 300.0, 1e5] {
            for ln in [-0.5, -3.0, -12.0, -70.0, -800.0, -1e5] {
                let at = epsilon(mu, ln);
                assert!(at.is_finite() && 0.0 <= at);
                if 0.0 < at {
                    // At large mu the last digit of epsilon moves delta.
                    let slack = 1e-12 * (1.0 - ln) + 1e-15 * at * (1.0 - ln).sqrt() * (1.0 + at);
                    assert!((ln_delta(mu, at) - ln).abs() <= slack, "{mu} {ln} {at}");
                }
            }
        }
    }

    #[test]
    fn nothing_and_zero_delta_have_exact_answers() {
        assert!(epsilon(0.0, -5.0) <= 0.0);
        assert!(epsilon(1.0, f64::NEG_INFINITY).is_infinite());
        assert!(GaussianDp::new(f64::NAN).is_err() && GaussianDp::new(-1.0).is_err());
        assert!((GaussianDp::new(0.0).unwrap().type_ii_error(0.3) - 0.7).abs() < 1e-15);
    }
}
