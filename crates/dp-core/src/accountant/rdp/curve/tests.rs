use approx::assert_relative_eq;

use super::*;

/// `A - 1` by the binomial sum for integer orders: an independent formula.
fn by_binomial_sum(q: f64, s: f64, a: u32) -> f64 {
    let mut choose = 1.0;
    let mut sum = 0.0;
    for k in 0..=a {
        if k > 0 {
            choose *= f64::from(a - k + 1) / f64::from(k);
        }
        let exponent = f64::from(k * k) - f64::from(k);
        let weight = choose * (f64::from(a - k) * (-q).ln_1p() + f64::from(k) * q.ln()).exp();
        sum += weight * (exponent / (2.0 * s * s)).exp_m1();
    }
    sum.ln_1p() / f64::from(a - 1)
}

#[test]
fn the_quadrature_agrees_with_the_binomial_sum() {
    for q in [1e-7, 1e-3, 0.03, 0.4, 0.95, 0.9999] {
        for s in [0.3, 0.7, 1.0, 2.5, 30.0] {
            for a in [2_u32, 3, 5, 8] {
                let exact = by_binomial_sum(q, s, a);
                assert_relative_eq!(
                    sampled_gaussian(q, s, f64::from(a - 1)),
                    exact,
                    max_relative = 1e-11
                );
            }
        }
    }
}

/// The same sum in logarithms, for large orders and large results.
fn by_binomial_logarithms(q: f64, s: f64, a: u32) -> f64 {
    let terms = (0..=a).map(|k| {
        let (n, k) = (f64::from(a), f64::from(k));
        let choose = libm::lgamma(n + 1.0) - libm::lgamma(k + 1.0) - libm::lgamma(n - k + 1.0);
        choose + (n - k) * (-q).ln_1p() + k * q.ln() + (k * k - k) / (2.0 * s * s)
    });
    let terms: Vec<f64> = terms.collect();
    let top = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = terms.iter().map(|term| (term - top).exp()).sum();
    (top + sum.ln()) / f64::from(a - 1)
}

#[test]
fn large_orders_agree_with_the_binomial_sum() {
    // Around the order where the moments begin to explode, the integrand has two bumps.
    for (q, s, a) in [
        (0.01, 1.0, 10_000),
        (1e-5, 0.1, 3000),
        (0.3, 10.0, 200),
        (0.3, 10.0, 400),
        (0.3, 10.0, 2000),
        (1e-3, 40.0, 20_000),
        (1e-3, 40.0, 22_500),
        (1e-3, 40.0, 25_000),
        (0.5, 60.0, 14_000),
        (0.5, 60.0, 15_000),
    ] {
        let exact = by_binomial_logarithms(q, s, a);
        let value = sampled_gaussian(q, s, f64::from(a - 1));
        // The sum itself loses digits where the result is small.
        let tolerance = (1e-8 / (exact * f64::from(a))).max(1e-10);
        assert_relative_eq!(value, exact, max_relative = tolerance);
    }
}

#[test]
fn sampling_at_rates_near_one_approaches_the_gaussian() {
    for m in [1e-4, 0.1, 3.0, 200.0] {
        for s in [0.1, 1.0, 20.0] {
            let plain = (1.0 + m) / (2.0 * s * s);
            assert_relative_eq!(sampled_gaussian(1.0 - 1e-13, s, m), plain, max_relative = 1e-9);
        }
    }
}

#[test]
fn divergences_do_not_fall_with_the_order() {
    let curves = [
        Curve::SampledGaussian { q: 0.01, s: 0.6 },
        Curve::SampledGaussian { q: 0.3, s: 0.01 },
        Curve::SampledGaussian { q: 1e-5, s: 30.0 },
        Curve::SampledLaplace { q: 0.05, b: 0.5 },
        Curve::SampledLaplace { q: 0.05, b: 0.02 },
        Curve::Laplace { b: 3.0 },
        Curve::Laplace { b: 1e4 },
    ];
    for curve in curves {
        let mut last = 0.0;
        for i in -60..=80 {
            let value = curve.at((f64::from(i) / 5.0).exp());
            assert!(last <= value * (1.0 + 1e-10), "{curve:?} at {i}: {last} then {value}");
            last = value;
        }
    }
}

#[test]
fn a_sampled_laplace_release_has_the_plain_one_as_its_limit() {
    for b in [0.3, 1.0, 10.0] {
        for m in [1e-3, 0.5, 4.0, 100.0] {
            let plain = laplace(b, m);
            assert_relative_eq!(sampled_laplace(1.0 - 1e-12, b, m), plain, max_relative = 1e-9);
            assert!(sampled_laplace(0.1, b, m) < plain);
        }
    }
}

#[test]
fn laplace_of_order_near_one_is_the_relative_entropy() {
    for b in [0.5, 1.0, 40.0] {
        let t: f64 = 1.0 / b;
        let entropy = exp_m1_minus(-t);
        assert_relative_eq!(laplace(b, 1e-9), entropy, max_relative = 1e-7);
    }
}

/// `E_x (1 - q + q f(x - 1) / f(x))^a` for `x` with the Laplace density `f`, by Simpson's rule between the kinks.
fn laplace_by_simpson(q: f64, b: f64, a: f64) -> f64 {
    const PANELS: u32 = 20_000;
    let power = |log_ratio: f64| (q * log_ratio.exp_m1()).ln_1p() * a;
    let inside = |x: f64| (power((2.0 * x - 1.0) / b) - x / b).exp() / (2.0 * b);
    let h = 1.0 / f64::from(PANELS);
    let sum: f64 = (0..PANELS)
        .map(|i| {
            let x = f64::from(i) * h;
            inside(x) + 4.0 * inside(x + 0.5 * h) + inside(x + h)
        })
        .sum();
    let left = 0.5 * power(-1.0 / b).exp();
    let right = 0.5 * (power(1.0 / b) - 1.0 / b).exp();
    (left + right + sum * h / 6.0).ln() / (a - 1.0)
}

#[test]
fn laplace_divergences_agree_with_their_integral() {
    for b in [0.4, 1.0, 3.0] {
        for a in [1.5, 2.0, 7.0, 40.0] {
            let exact = laplace_by_simpson(1.0, b, a);
            assert_relative_eq!(laplace(b, a - 1.0), exact, max_relative = 1e-9);
            for q in [0.01, 0.3, 0.9] {
                let exact = laplace_by_simpson(q, b, a);
                // The integral is near one where the divergence is small, and loses digits there.
                let tolerance = (1e-13 / exact).max(1e-9);
                assert_relative_eq!(
                    sampled_laplace(q, b, a - 1.0),
                    exact,
                    max_relative = tolerance
                );
            }
        }
    }
}
