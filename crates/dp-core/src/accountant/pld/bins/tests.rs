use super::super::super::normal::tail;
use super::*;

const STEPS: [Step; 7] = [
    Step::Gaussian { q: 0.01, s: 1.0 },
    Step::Gaussian { q: 1e-6, s: 0.3 },
    Step::Gaussian { q: 0.3, s: 40.0 },
    Step::Gaussian { q: 0.999, s: 2.0 },
    Step::Gaussian { q: 1.0, s: 0.7 },
    Step::Laplace { q: 1.0, b: 2.0 },
    Step::Laplace { q: 0.05, b: 0.4 },
];

fn widths(step: Step) -> [f64; 4] {
    let (low, high) = step.range(-40.0);
    [2.0, 30.0, 700.0, 40_000.0].map(|n| (high - low) / n)
}

#[test]
fn no_mass_is_lost_in_either_world() {
    for step in STEPS {
        for width in widths(step) {
            let bins = step.bins(width, -40.0);
            let present: f64 = bins.down.iter().chain(&bins.up).sum();
            let absent: f64 = bins
                .down
                .iter()
                .zip(&bins.up)
                .zip(bins.ratio.windows(2))
                .map(|((down, up), ratio)| down * ratio[0] + up * ratio[1])
                .sum();
            let present = present + bins.below.present + bins.above.present;
            let absent = absent + bins.below.absent + bins.above.absent;
            assert!((present - 1.0).abs() < 1e-12, "{step:?}, {width}: {present}");
            assert!((absent - 1.0).abs() < 1e-12, "{step:?}, {width}: {absent}");
            assert!(bins.down.iter().chain(&bins.up).all(|mass| 0.0 <= *mass));
        }
    }
}

#[test]
fn masses_of_bins_agree_with_differences_of_tails() {
    let (q, s) = (0.01, 1.0);
    let step = Step::Gaussian { q, s };
    for width in [0.3, 0.01, 1e-4] {
        let bins = step.bins(width, -30.0);
        let x = |i: usize| {
            let t: f64 = bins.offset + (bins.first + i as i64) as f64 * width;
            let y = 1.0 + t.exp_m1() / q;
            if y <= 0.0 { f64::NEG_INFINITY } else { s * s * y.ln() + 0.5 }
        };
        for i in 0..bins.down.len() {
            let (from, to) = (x(i), x(i + 1));
            let absent = tail(from) - tail(to);
            let present = (1.0 - q) * absent + q * (tail(from - 1.0) - tail(to - 1.0));
            let got = bins.down[i] + bins.up[i];
            assert!((got - present).abs() <= 1e-15 + 1e-11 * present, "{i}: {got}, {present}");
            let got = bins.down[i] * bins.ratio[i] + bins.up[i] * bins.ratio[i + 1];
            assert!((got - absent).abs() <= 1e-15 + 1e-11 * absent, "{i}: {got}, {absent}");
        }
    }
}

#[test]
fn quadrature_keeps_relative_accuracy_far_out_and_in_narrow_bins() {
    // The excess of a bin of width w to leading order is phi(x) y (w / s^2)^2 / 2 of its middle; two halves agree with
    // the whole, whatever the rule.
    let s = 1.3;
    let node = |x: f64| Node { exp_t: 1.0, x, y: ((2.0 * x - 1.0) / (2.0 * s * s)).exp() };
    for from in [-9.0, -1.0, 0.2, 4.0, 11.0] {
        for w in [1e-7, 1e-3, 0.01, 0.02, 0.2] {
            let (a, b, c) = (node(from), node(from + 0.5 * w), node(from + w));
            let whole = gaussian_bin(s, &a, &c);
            let (left, right) = (gaussian_bin(s, &a, &b), gaussian_bin(s, &b, &c));
            // G over [a, c] from parts: G1 + G2 + (y_b - y_a) N2.
            let joined = left.1 + right.1 + (b.y - a.y) * right.0;
            assert!((whole.0 / (left.0 + right.0) - 1.0).abs() < 1e-13, "{from} {w}");
            let rounding = 2e-15 * from.abs().max(1.0) / w; // of the ends and of the test's own differences
            assert!((whole.1 / joined - 1.0).abs() < 2e-13 + rounding, "{from} {w}");
        }
    }
}
