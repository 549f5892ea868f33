//! An independent check without any grid of losses: delta as a contour integral of the moment function.
//!
//!     delta(eps) = 1/pi int_0^inf Re[ M(z)^T exp(-z eps) / (z (z + 1)) ] dw,   z = theta + i w,   M(z) = E_Q[r^(1+z)]
//!
//! with `M` by the trapezoid rule over the answers. It holds for every `theta > 0`, so two of them must agree.

use dp_core::{Accountant, Delta, DeltaBound, DpEvent, Epsilon, PldAccountant};

/// `delta` in the remove direction.
fn delta(q: f64, s: f64, steps: f64, epsilon: f64, theta: f64, w_max: f64, period: f64) -> f64 {
    let dw = std::f64::consts::TAU / period;
    let h = (s * s / w_max).min(s * s).min(s) / 4.0;
    let points: Vec<(f64, f64)> = (0..)
        .map(|i| -12.0 * s + f64::from(i) * h)
        .take_while(|x| *x < 12.0 * s + 2.0 + theta)
        .map(|x| {
            let loss = (q * ((2.0 * x - 1.0) / (2.0 * s * s)).exp_m1()).ln_1p();
            let ln_weight = (1.0 + theta) * loss - x * x / (2.0 * s * s);
            (loss, ln_weight.exp() * h / (s * std::f64::consts::TAU.sqrt()))
        })
        .collect();
    let integrand = |w: f64| {
        let (re, im) = points.iter().fold((0.0, 0.0), |(re, im), (loss, weight)| {
            let (sin, cos) = (w * loss).sin_cos();
            (re + weight * cos, im + weight * sin)
        });
        let ln_size = 0.5 * (re * re + im * im).ln();
        let angle = steps * im.atan2(re) - w * epsilon;
        let size = (steps * ln_size - theta * epsilon).exp();
        // 1 / (z (z + 1))
        let (a, b) = (theta * (theta + 1.0) - w * w, w * (2.0 * theta + 1.0));
        let (sin, cos) = angle.sin_cos();
        size * (cos * a + sin * b) / (a * a + b * b)
    };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
    let n = (w_max / dw) as u32;
    let sum: f64 = (1..n).map(|i| integrand(f64::from(i) * dw)).sum();
    (0.5 * integrand(0.0) + sum) * dw / std::f64::consts::PI
}

#[test]
fn brackets_hold_the_contour_integral() {
    let accountant = PldAccountant::with_tolerance(1e-4, 0.0).unwrap();
    for (q, s, steps, at, theta, w_max) in [
        (0.01, 1.0, 1000_u64, 1e-5, 5.0, 60.0),
        (0.05, 1.0, 200, 1e-7, 3.0, 30.0),
        (0.1, 5.0, 1000, 1e-6, 4.0, 40.0),
        (0.02, 1.5, 2500, 1e-10, 4.0, 40.0),
    ] {
        let event = DpEvent::gaussian(s).unwrap().sampled(q).unwrap().repeated(steps);
        let found = accountant.optimize(&event, Delta::new(at).unwrap()).unwrap();
        let at_epsilon =
            |epsilon: f64, theta: f64| delta(q, s, steps as f64, epsilon, theta, w_max, 60.0);
        let (upper, lower) = (at_epsilon(found.upper, theta), at_epsilon(found.lower, theta));
        let again = at_epsilon(found.upper, 1.4 * theta);
        assert!(
            (upper / again - 1.0).abs() < 1e-5,
            "the oracle disagrees with itself: {upper}, {again}"
        );
        assert!(upper <= at * (1.0 + 1e-6), "delta({}) = {upper:e} and not {at:e}", found.upper);
        assert!(at * (1.0 - 1e-6) <= lower, "delta({}) = {lower:e} and not {at:e}", found.lower);
        // The bracket is narrow, so the two deltas enclose the wanted one closely.
        assert!(at * 0.998 < upper && lower < at * 1.002, "{lower:e}, {upper:e}, {at:e}");
        let epsilon = Epsilon::new(found.upper).unwrap();
        let DeltaBound::Bracket { ln_lower, ln_upper } = accountant.delta(&event, epsilon).unwrap()
        else {
            panic!("no bracket")
        };
        assert!(ln_lower <= upper.ln() + 1e-6 && upper.ln() - 1e-6 <= ln_upper);
        assert!(ln_upper - ln_lower < 0.01, "{ln_lower}, {ln_upper}");
    }
}

/// Pessimistic values of dp-accounting 0.6.0, at intervals 1e-4 and 3e-5: the truth needs a larger epsilon.
#[test]
fn the_contour_integral_finds_published_upper_bounds_below_the_truth() {
    for (q, s, steps, at, peer, theta, w_max, excess) in [
        (1e-5, 0.5, 1_000_000_u64, 1e-9, 2.823_041_8, 3.5, 120.0, 1.0399),
        (0.01, 1.0, 1000, 1e-12, 3.913_848_4, 5.0, 60.0, 1.0032),
    ] {
        let at_epsilon = |epsilon| delta(q, s, steps as f64, epsilon, theta, w_max, 60.0);
        let ratio = at_epsilon(peer) / at;
        assert!(excess < ratio && ratio < excess + 3e-4, "{ratio}");
        let event = DpEvent::gaussian(s).unwrap().sampled(q).unwrap().repeated(steps);
        let found = PldAccountant::new().optimize(&event, Delta::new(at).unwrap()).unwrap();
        assert!(at_epsilon(found.upper) <= at * (1.0 + 1e-6), "{found:?}");
        assert!(at * (1.0 - 1e-6) <= at_epsilon(found.lower), "{found:?}");
    }
}
