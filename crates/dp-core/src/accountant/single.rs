//! One release: exact hockey-stick divergences in both directions, with and without a Poisson sample.
//!
//! Source: arXiv 1807.01647, theorem 2 (remove), and the same argument for the reverse pair (add).

use super::gdp;
use super::rdp::curve::ln_mixture;

/// The pair of a release of the whole data set, from which sampling starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Base {
    /// Gaussian, noise multiplier `s`.
    Gaussian { s: f64 },
    /// Laplace of scale `b`.
    Laplace { b: f64 },
}

impl Base {
    fn ln_delta(self, epsilon: f64) -> f64 {
        match self {
            Base::Gaussian { s } => gdp::ln_delta(1.0 / s, epsilon),
            Base::Laplace { b } => gdp::ln_delta_laplace(b, epsilon),
        }
    }

    /// The epsilon, at least 0, with this `ln delta`.
    fn epsilon(self, ln_delta: f64) -> f64 {
        match self {
            Base::Gaussian { s } => gdp::epsilon(1.0 / s, ln_delta),
            Base::Laplace { b } => (1.0 / b + 2.0 * (-ln_delta.exp()).ln_1p()).max(0.0),
        }
    }
}

/// `ln delta` of the pair (record present, record absent) at `epsilon >= 0`.
pub(super) fn ln_delta_remove(base: Base, q: f64, epsilon: f64) -> f64 {
    q.ln() + base.ln_delta(unsampled(q, epsilon))
}

/// `ln delta` of the pair (record absent, record present) at `epsilon >= 0`.
pub(super) fn ln_delta_add(base: Base, q: f64, epsilon: f64) -> f64 {
    if 1.0 <= q {
        return base.ln_delta(epsilon); // the pairs are symmetric
    }
    // 1 - exp(eps) (1 - q)
    let weight = q - epsilon.exp_m1() * (1.0 - q);
    if weight <= 0.0 {
        return f64::NEG_INFINITY;
    }
    let inner = (-epsilon).exp_m1() / q;
    if inner <= -1.0 {
        return f64::NEG_INFINITY;
    }
    weight.ln() + base.ln_delta(-inner.ln_1p())
}

/// The larger of both directions.
pub(super) fn ln_delta(base: Base, q: f64, epsilon: f64) -> f64 {
    ln_delta_remove(base, q, epsilon).max(ln_delta_add(base, q, epsilon))
}

/// The epsilon, at least 0, of both directions.
pub(super) fn epsilon(base: Base, q: f64, ln_delta: f64) -> f64 {
    let rest = ln_delta - q.ln();
    let remove = if 0.0 <= rest { 0.0 } else { ln_mixture(q, base.epsilon(rest)) };
    if ln_delta_add(base, q, remove) <= ln_delta {
        return remove;
    }
    // Falls in epsilon, and vanishes at -ln(1 - q).
    let (mut low, mut high) = (remove, -(-q).ln_1p());
    if high.is_infinite() {
        high = base.epsilon(ln_delta).max(low);
    }
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if ln_delta_add(base, q, middle) <= ln_delta {
            high = middle;
        } else {
            low = middle;
        }
        if high - low <= 1e-15 * high {
            break;
        }
    }
    high
}

/// `ln(1 + (exp(eps) - 1)/q)`: the epsilon of the unsampled release behind this one.
fn unsampled(q: f64, epsilon: f64) -> f64 {
    if epsilon < 1.0 {
        (epsilon.exp_m1() / q).ln_1p()
    } else {
        epsilon - q.ln() + (-(1.0 - q) * (-epsilon).exp()).ln_1p()
    }
}
