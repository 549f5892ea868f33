//! The normal distribution in both tails, with relative accuracy.
//!
//! Ten lines of our own on top of `libm::erfc` in place of a crate for the scaled function: the one that keeps its
//! digits (`errorfunctions`) brings arithmetic of big integers into the graph.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// `ln sqrt(2 pi)`.
pub(super) const LN_SQRT_TAU: f64 = 0.918_938_533_204_672_8;

/// `exp(x^2) erfc(x)` for `x >= -5`, to a few units in the last place.
pub(super) fn erfcx(x: f64) -> f64 {
    if x < 25.0 {
        // x^2 with its rounding error, which the exponential would amplify.
        let square = x * x;
        let rest = x.mul_add(x, -square);
        return libm::erfc(x) * square.exp() * (1.0 + rest);
    }
    // Asymptotic series, 1 - 1/(2x^2) + 3/(2x^2)^2 - ...: the sixth term is below 1e-16 here.
    let w = 0.5 / (x * x);
    let series = 1.0 - w * (1.0 - 3.0 * w * (1.0 - 5.0 * w * (1.0 - 7.0 * w * (1.0 - 9.0 * w))));
    series / (x * PI.sqrt())
}

/// `Pr[Z > z]` of a standard normal.
pub(super) fn tail(z: f64) -> f64 {
    0.5 * libm::erfc(z * FRAC_1_SQRT_2)
}

/// `ln Pr[Z > z]`, for any `z`: no underflow.
pub(super) fn ln_tail(z: f64) -> f64 {
    if z < 0.0 {
        (-tail(-z)).ln_1p()
    } else if z < 2.0 {
        tail(z).ln()
    } else {
        (0.5 * erfcx(z * FRAC_1_SQRT_2)).ln() - 0.5 * z * z
    }
}

/// `Pr[Z > z]` over the density at `z`, for `z >= -7`.
pub(super) fn mills(z: f64) -> f64 {
    (PI / 2.0).sqrt() * erfcx(z * FRAC_1_SQRT_2)
}

/// `Pr[a < Z <= b]`, from the tail on whose side the interval lies; ends may be infinite.
pub(super) fn interval(a: f64, b: f64) -> f64 {
    if 0.0 < a { tail(a) - tail(b) } else { tail(-b) - tail(-a) }
}

/// The `z` with `ln Pr[Z > z] = ln_p`, to 1e-12.
pub(super) fn tail_quantile(ln_p: f64) -> f64 {
    if -std::f64::consts::LN_2 < ln_p {
        // The complement, through its own logarithm.
        return -tail_quantile((-ln_p.exp_m1()).ln());
    }
    // The logarithm of the tail is concave, so Newton's steps from above stay above.
    let mut z = (-2.0 * ln_p).sqrt();
    for _ in 0..60 {
        let step = (ln_tail(z) - ln_p) * mills(z);
        z += step;
        if step.abs() <= 1e-14 * (1.0 + z) {
            break;
        }
    }
    z
}

#[cfg(test)]
mod tests {
    use super::*;

    /// mpmath, 40 digits: `exp(x^2) erfc(x)`.
    #[test]
    fn the_scaled_function_agrees_with_forty_digits() {
        for (x, exact) in [
            (-3.0, 16_205.988_853_999_586),
            (0.1, 0.896_456_979_969_126_6),
            (1.0, 0.427_583_576_155_807),
            (5.0, 0.110_704_637_733_068_63),
            (12.5, 0.044_992_099_001_027_92),
            (24.9, 0.022_639_987_776_049_506),
            (25.0, 0.022_549_572_432_641_29),
            (1e3, 5.641_893_014_533_876e-4),
            (1e9, 5.641_895_835_477_563e-10),
        ] {
            assert!((erfcx(x) / exact - 1.0).abs() < 2e-15, "{x}: {}", erfcx(x));
        }
    }

    #[test]
    fn logarithms_of_tails_do_not_underflow() {
        // mpmath, 40 digits.
        for (z, exact) in [
            (-10.0, -7.619_853_024_160_495e-24),
            (-1.0, -0.172_753_779_023_449_88),
            (0.0, -std::f64::consts::LN_2),
            (1.0, -1.841_021_645_009_263_5),
            (10.0, -53.231_285_150_512_47),
            (100.0, -5_005.524_208_694_205),
            (1e5, -5_000_000_012.431_864),
        ] {
            let got = ln_tail(z);
            assert!((got / exact - 1.0).abs() < 1e-14, "{z}: {got} and not {exact}");
        }
    }

    #[test]
    fn quantiles_undo_tails() {
        for ln_p in [-1e-12, -1e-3, -0.5, -0.7, -3.0, -50.0, -700.0, -1e6] {
            let back = ln_tail(tail_quantile(ln_p));
            assert!((back / ln_p - 1.0).abs() < 1e-11, "{ln_p}: {back}");
        }
    }
}
