//! One step's privacy loss, cut into bins of equal width, each split between its two ends.
//!
//! A bin `(t_k, t_k + D]` of the loss with mass `a` under "present" and `b` under "absent" becomes mass `u` at `t_k`
//! and `v` at `t_k + D` with `u + v = a` and `u exp(-t_k) + v exp(-t_k - D) = b`: the chord of the curve
//! `delta(exp(eps))` between the nodes, an upper bound under any composition. The same numbers give the masses
//! `a`, `b` of the bin itself, which are what an observer sees who learns the bin only: a lower bound.
//!
//! Source: arXiv 2207.04380 (connect the dots), in the form that keeps masses and never subtracts deltas near 1.

use std::f64::consts::TAU;

use super::super::gdp::normal_mass;
use super::super::normal::tail_quantile;
use super::super::rdp::curve::ln_mixture;

/// A step with a monotone privacy loss: `P = (1 - q) Q + q N` against `Q`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    /// `Q = N(0, s^2)`, `N = N(1, s^2)`.
    Gaussian { q: f64, s: f64 },
    /// `Q` and `N` are Laplace of scale `b` around 0 and 1.
    Laplace { q: f64, b: f64 },
}

/// A mass under "present" and under "absent".
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Mass {
    pub(super) present: f64,
    pub(super) absent: f64,
}

/// All bins of a step; node `i` has the loss `offset + (first + i) width`.
#[derive(Clone, Debug)]
pub(super) struct Bins {
    pub(super) offset: f64,
    pub(super) first: i64,
    /// Mass that goes to the lower end of each bin, under "present".
    pub(super) down: Vec<f64>,
    /// Mass that goes to the upper end.
    pub(super) up: Vec<f64>,
    /// `exp(-loss)` of each node; one more than bins.
    pub(super) ratio: Vec<f64>,
    /// Mass of losses below the lowest node.
    pub(super) below: Mass,
    /// Mass of losses above the highest node.
    pub(super) above: Mass,
}

impl Step {
    fn rate(self) -> f64 {
        match self {
            Step::Gaussian { q, .. } | Step::Laplace { q, .. } => q,
        }
    }

    /// Without sampling, both directions are the same.
    pub(super) fn is_symmetric(self) -> bool {
        1.0 <= self.rate()
    }

    /// The loss where the unsampled loss is `e`.
    fn loss(self, e: f64) -> f64 {
        let q = self.rate();
        if 1.0 <= q { e } else { ln_mixture(q, e) }
    }

    /// The range of losses outside which either tail has at most `exp(ln_cut)` under "present" above and under
    /// both below.
    pub(super) fn range(self, ln_cut: f64) -> (f64, f64) {
        match self {
            Step::Gaussian { q, s } => {
                let low = -tail_quantile(ln_cut) * s;
                let half = ln_cut - std::f64::consts::LN_2;
                let shifted = (half - q.ln()).min(-1e-3);
                let high = (tail_quantile(half) * s).max(1.0 + tail_quantile(shifted) * s);
                let e = |x: f64| (2.0 * x - 1.0) / (2.0 * s * s);
                (self.loss(e(low)), self.loss(e(high)))
            }
            Step::Laplace { b, .. } => (self.loss(-1.0 / b), self.loss(1.0 / b)),
        }
    }

    /// The loss where "absent" has its mode: most of the mass is near, and a node there costs it nothing.
    fn mode(self) -> f64 {
        match self {
            Step::Gaussian { s, .. } => self.loss(-0.5 / (s * s)),
            Step::Laplace { b, .. } => self.loss(-1.0 / b),
        }
    }

    /// The bins of this width that cover [`range`](Self::range).
    pub(super) fn bins(self, width: f64, ln_cut: f64) -> Bins {
        let offset = self.mode();
        let (low, high) = self.range(ln_cut);
        #[allow(clippy::cast_possible_truncation, reason = "the caller limits the number of bins")]
        let index = |t: f64| ((t - offset) / width).floor() as i64;
        let (first, last) = (index(low), index(high).max(index(low)) + 1);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "last > first")]
        let n = (last - first) as usize;
        let mut bins = Bins {
            offset,
            first,
            down: Vec::with_capacity(n),
            up: Vec::with_capacity(n),
            ratio: Vec::with_capacity(n + 1),
            below: Mass::default(),
            above: Mass::default(),
        };
        let q = self.rate();
        // u = b exp(t) - q G / (exp(D) - 1), v = q G / (1 - exp(-D)), with q G = a - b exp(t).
        let (share_down, share_up) = (1.0 / width.exp_m1(), -1.0 / (-width).exp_m1());
        let loss = |k: i64| offset + k as f64 * width;
        let (grow, grow_m1) = (width.exp(), width.exp_m1());
        let mut t_m1 = 0.0;
        // exp(t) - 1 by recursion, started anew often enough that rounding stays at a few units.
        let mut node = |k: i64| {
            let t = loss(k);
            t_m1 = if (k - first) % 16 == 0 { t.exp_m1() } else { t_m1 * grow + grow_m1 };
            Node::new(self, t, t_m1)
        };
        let mut lower = node(first);
        bins.ratio.push(1.0 / lower.exp_t);
        bins.below = self.mass(f64::NEG_INFINITY, lower.x);
        for k in first..last {
            let upper = node(k + 1);
            let (absent, excess) = self.bin(&lower, &upper);
            // exp(t) = 1 - q + q y, without cancellation where y <= 0 lies below all losses.
            let down = absent * lower.exp_t - q * excess * share_down;
            bins.down.push(down.max(0.0));
            bins.up.push(q * excess * share_up);
            bins.ratio.push(1.0 / upper.exp_t);
            lower = upper;
        }
        bins.above = self.mass(lower.x, f64::INFINITY);
        if let Step::Laplace { b, .. } = self {
            // The lower atom sits at the lowest node, which is the offset; the upper one is inside the last bin.
            bins.below = Mass::default();
            bins.above = Mass::default();
            let far = 0.5 * (-1.0 / b).exp();
            for (t, absent) in [(offset, 0.5), (high, far)] {
                let k = index(t).clamp(first, last - 1);
                #[allow(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = ">= 0")]
                let i = (k - first) as usize;
                let start = loss(k);
                // v = b (exp(t) - exp(start)) / (1 - exp(-D))
                let up = absent * start.exp() * (t - start).exp_m1().max(0.0) * share_up;
                bins.up[i] += up;
                bins.down[i] += (absent * t.exp() - up).max(0.0);
            }
        }
        bins
    }

    /// The mass of an interval of answers.
    fn mass(self, from: f64, to: f64) -> Mass {
        match self {
            Step::Gaussian { q, s } => {
                let absent = normal_mass(from, to, 0.0, s);
                let shifted = normal_mass(from, to, 1.0, s);
                Mass { present: (1.0 - q) * absent + q * shifted, absent }
            }
            Step::Laplace { .. } => Mass::default(),
        }
    }

    /// Mass `N0` under "absent" and `G = N1 - y N0` of a bin, `y` being `exp(e)` at its lower end.
    fn bin(self, lower: &Node, upper: &Node) -> (f64, f64) {
        match self {
            Step::Gaussian { s, .. } => gaussian_bin(s, lower, upper),
            Step::Laplace { b, .. } => {
                let from = lower.x.max(0.0);
                let to = upper.x.clamp(from, 1.0);
                let w = (to - from) / b;
                let absent = -0.5 * (-from / b).exp() * (-w).exp_m1();
                // The bin's lower end may lie below the answers' interval: a constant more of the ratio.
                let sinh = (0.5 * w).sinh();
                let at_from = ((2.0 * from - 1.0) / b).exp();
                let inside = 0.5 * ((from - 1.0) / b).exp() * 4.0 * sinh * sinh;
                let more = if lower.x < from { (at_from - lower.y).max(0.0) } else { 0.0 };
                (absent, inside + more * absent)
            }
        }
    }
}

/// An end of a bin.
struct Node {
    /// `exp` of the loss.
    exp_t: f64,
    /// The answer with this loss.
    x: f64,
    /// Ratio of the unsampled pair there: 0 or less below all losses.
    y: f64,
}

impl Node {
    /// Of a loss `t` and `exp(t) - 1`.
    fn new(step: Step, t: f64, t_m1: f64) -> Self {
        let q = step.rate();
        // Near -1 the difference has lost its digits.
        let exp_t = if t_m1 < -0.5 || 1.0 <= q { t.exp() } else { 1.0 + t_m1 };
        let (e, y) = if 1.0 <= q {
            (t, exp_t)
        } else {
            // Near the bottom the first form would cancel, and for small rates the second.
            let y = if q < 0.5 || -0.5 < t { 1.0 + t_m1 / q } else { (exp_t - (1.0 - q)) / q };
            (if y <= 0.0 { f64::NEG_INFINITY } else { y.ln() }, y)
        };
        let x = match step {
            Step::Gaussian { s, .. } => s * s * e + 0.5,
            Step::Laplace { b, .. } => 0.5 * (b * e + 1.0),
        };
        Node { exp_t, x, y }
    }
}

/// Gauss-Legendre nodes and weights on [-1, 1], the positive half.
const GAUSS_3: [(f64, f64); 2] =
    [(0.0, 0.888_888_888_888_888_8), (0.774_596_669_241_483_4, 0.555_555_555_555_555_6)];
const GAUSS_4: [(f64, f64); 2] = [
    (0.339_981_043_584_856_26, 0.652_145_154_862_546_1),
    (0.861_136_311_594_052_6, 0.347_854_845_137_453_86),
];

fn gaussian_bin(s: f64, lower: &Node, upper: &Node) -> (f64, f64) {
    let w = upper.x - lower.x;
    let variance = s * s;
    // How much the logarithms of the integrands change over the bin.
    let change = w * (lower.x.abs().max(upper.x.abs()) + s + 1.0) / variance;
    if 0.25 < change || change.is_nan() {
        let absent = normal_mass(lower.x, upper.x, 0.0, s);
        let shifted = normal_mass(lower.x, upper.x, 1.0, s);
        return (absent, (shifted - lower.y * absent).max(0.0));
    }
    // Differences of tails would lose 1e-16 / change^2 of the excess; the rule's error is change^6 / 2e6 with three
    // points and change^8 / 2e9 with four.
    let (middle, half) = (0.5 * (lower.x + upper.x), 0.5 * w);
    let (mut mass, mut excess) = (0.0, 0.0);
    let mut add = |x: f64, weight: f64| {
        let density = weight * (-0.5 * x * x / variance).exp();
        mass += density;
        excess += density * small_exp_m1((x - lower.x) / variance);
    };
    let rule = if change < 0.03 { GAUSS_3 } else { GAUSS_4 };
    for (node, weight) in rule {
        if 0.0 < node {
            add(middle - half * node, weight);
        }
        add(middle + half * node, weight);
    }
    let scale = half / (s * TAU.sqrt());
    (mass * scale, lower.y * excess * scale)
}

/// `exp(z) - 1` for `0 <= z <= 0.25`.
fn small_exp_m1(z: f64) -> f64 {
    const INVERSE: [f64; 8] =
        [1.0 / 9.0, 1.0 / 8.0, 1.0 / 7.0, 1.0 / 6.0, 1.0 / 5.0, 1.0 / 4.0, 1.0 / 3.0, 1.0 / 2.0];
    let mut tail = 1.0 + z * 0.1;
    for inverse in INVERSE {
        tail = 1.0 + z * inverse * tail;
    }
    z * tail
}

#[cfg(test)]
mod tests;
