//! Reading epsilon and delta off a composed distribution, from the largest loss down.
//!
//! A weight `W` at the integer `j` stands for the mass `exp(ln M - x j) W`. Sums are carried relative to the
//! current node, so no exponential leaves its range, and what the weights may be wrong by (wrap-around, tails,
//! rounding) is a slack on the sum: upwards for upper bounds and downwards for lower ones. Negative weights are left
//! alone, because the slack covers every linear functional.

use super::compose::Composed;

/// Nodes between two comparisons with the threshold, which costs an exponential.
const BLOCK: usize = 16;

/// Root of the sum of squares of `exp(-x j) (1 - exp(-D j))` over `n` nodes, whatever the fraction that j starts at: a
/// sum of a function with one maximum is at most its integral and the maximum.
pub(super) fn norm_above(x: f64, width: f64, n: f64) -> f64 {
    let a = 2.0 * x;
    let integral = 2.0 * width * width / (a * (a + width) * (a + 2.0 * width));
    let peak = (2.0 * ln_peak(x / width)).exp();
    (integral + peak).min(n * peak).sqrt()
}

/// The same of `exp(-x j)`.
pub(super) fn norm_of_tail(x: f64, n: f64) -> f64 {
    (-1.0 / (-2.0 * x).exp_m1()).min(n).sqrt()
}

/// Whether what the weights may be wrong by is counted against the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slack {
    /// The answer is a bound.
    Counted,
    /// The answer is what the bound would be on this grid if a hundredth were neglected.
    Mostly,
}

impl Slack {
    fn of(self, slack: f64) -> f64 {
        if self == Slack::Counted { slack } else { 0.01 * slack }
    }
}

/// Masses of the pair at nodes whose ratio is `exp(loss)`.
#[derive(Clone, Debug)]
pub(super) struct UpperCurve {
    pub(super) sum: Composed,
    /// Tilt per node.
    pub(super) tilt: f64,
    /// Loss between two nodes.
    pub(super) width: f64,
    /// Loss of the integer 0.
    pub(super) offset: f64,
    /// The tilted sum's mass outside the window, at most; folded in at the wrong place.
    pub(super) outside: f64,
    /// Mass of infinite loss.
    pub(super) infinite: f64,
    /// What masses may be too small by, relative.
    pub(super) relative: f64,
}

/// `max over t of exp(-theta t) (1 - exp(-t))`, in logarithms.
pub(super) fn ln_peak(theta: f64) -> f64 {
    if theta <= 0.0 { 0.0 } else { theta * theta.ln() - (1.0 + theta) * theta.ln_1p() }
}

impl UpperCurve {
    fn loss(&self, i: usize) -> f64 {
        self.offset + self.integer(i) * self.width
    }

    fn integer(&self, i: usize) -> f64 {
        (self.sum.first + i as i64) as f64
    }

    /// What the sum of weights times `h(t) = exp(-theta t) (1 - exp(-t))` may be too small by, `t` being the loss
    /// above epsilon: mass outside times the maximum of `h`, and rounding times its norm.
    fn slack(&self) -> f64 {
        let peak = ln_peak(self.tilt / self.width).exp();
        let norm = norm_above(self.tilt, self.width, self.sum.weights.len() as f64);
        self.outside * peak + self.sum.rounding * norm
    }

    /// An epsilon at which delta is at most `exp(ln_delta)`; infinite if what is neglected alone is more.
    pub(super) fn epsilon(&self, ln_delta: f64, slack: Slack) -> f64 {
        let finite = ln_delta.exp() / (1.0 + self.relative) - self.infinite;
        if finite.is_nan() || finite <= 0.0 {
            return f64::INFINITY;
        }
        let ln_finite = finite.ln() - self.sum.ln_moment;
        let threshold = |i: usize| (ln_finite + self.tilt * self.integer(i)).exp();
        let (shrink, shrink_other) = ((-self.tilt).exp(), (-self.tilt - self.width).exp());
        // Rounding of the recursion, whose terms are positive but for noise.
        let rounding = 4.0 * f64::EPSILON * self.sum.weights.len() as f64;
        let slack = slack.of(self.slack());
        let too_much = |u: f64, v: f64, at: usize, slack: f64| {
            threshold(at) < u - v + slack + rounding * (u.abs() + v.abs())
        };

        let n = self.sum.weights.len();
        let (mut u, mut v) = (0.0_f64, 0.0_f64);
        if too_much(u, v, n, slack) {
            return f64::INFINITY; // even with nothing above the window the slack alone is more than delta
        }
        let mut end = n;
        while 0 < end {
            let start = end.saturating_sub(BLOCK);
            let saved = (u, v);
            for weight in self.sum.weights[start..end].iter().rev() {
                u = u * shrink + weight;
                v = v * shrink_other + weight;
            }
            if !too_much(u, v, start, slack) {
                if self.loss(start) <= 0.0 {
                    return 0.0;
                }
                end = start;
                continue;
            }
            // The crossing is in this block: the last node that passes, and the chord below it.
            (u, v) = saved;
            for i in (start..end).rev() {
                let above = (u, v);
                u = u * shrink + self.sum.weights[i];
                v = v * shrink_other + self.sum.weights[i];
                if too_much(u, v, i, slack) {
                    return self.chord(i, above, threshold, slack, rounding);
                }
            }
            end = start;
        }
        self.loss(0).max(0.0)
    }

    /// Solves `u - exp(eps - t) v + slack = threshold` for eps between node `i` and `i + 1`.
    fn chord(
        &self,
        i: usize,
        (u, v): (f64, f64),
        threshold: impl Fn(usize) -> f64,
        slack: f64,
        rounding: f64,
    ) -> f64 {
        let (low, high) = (self.loss(i), self.loss(i + 1));
        let slack = slack * self.tilt.exp() + rounding * (u.abs() + v.abs());
        let ratio = (u + slack - threshold(i + 1)) / v;
        // The node above passes, whatever rounding makes of the chord.
        let epsilon = if 0.0 < v && 0.0 < ratio { high + ratio.ln() } else { high };
        epsilon.clamp(low.min(high), high).max(0.0)
    }

    /// `ln` of a delta that is enough at this epsilon.
    pub(super) fn ln_delta(&self, epsilon: f64, slack: Slack) -> f64 {
        let (shrink, shrink_other) = ((-self.tilt).exp(), (-self.tilt - self.width).exp());
        let at = (epsilon - self.offset) / self.width - self.sum.first as f64;
        // The first node above epsilon, counted from the window's first.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
        let from = (at.floor() + 1.0).clamp(0.0, self.sum.weights.len() as f64) as usize;
        let (mut u, mut v) = (0.0_f64, 0.0_f64);
        for weight in self.sum.weights[from..].iter().rev() {
            u = u * shrink + weight;
            v = v * shrink_other + weight;
        }
        let rounding = 4.0 * f64::EPSILON * self.sum.weights.len() as f64 * (u.abs() + v.abs());
        let to_epsilon = from as f64 - at;
        let slack = slack.of(self.slack()) * (self.tilt * to_epsilon).exp();
        let scaled = u - (-self.width * to_epsilon).exp() * v + slack + rounding;
        let ln_finite = self.sum.ln_moment - self.tilt * self.integer(from) + scaled.max(0.0).ln();
        (ln_finite.exp() + self.infinite).ln().max(ln_finite) + self.relative.ln_1p()
    }
}

/// Masses of the pair where only a function of the answers is seen.
#[derive(Clone, Debug)]
pub(super) struct LowerCurve {
    pub(super) first_of_pair: Composed,
    pub(super) second_of_pair: Composed,
    /// Tilt per node of the first; the second's is more by the width.
    pub(super) tilt: f64,
    pub(super) width: f64,
    /// The tilted sums' mass outside the window, at most.
    pub(super) outside: f64,
    /// What masses may be wrong by, relative.
    pub(super) relative: f64,
}

/// Tail sums of both, relative to a node.
#[derive(Clone, Copy, Debug, Default)]
struct Tails {
    first: f64,
    second: f64,
}

impl LowerCurve {
    /// What tail sums of the first may be too large by, and of the second too small.
    fn slacks(&self, slack: Slack) -> (f64, f64) {
        let of = |sum: &Composed, tilt: f64| {
            let norm = norm_of_tail(tilt, sum.weights.len() as f64);
            slack.of(self.outside + sum.rounding * norm)
        };
        (of(&self.first_of_pair, self.tilt), of(&self.second_of_pair, self.tilt + self.width))
    }

    /// An epsilon that delta `exp(ln_delta)` does not allow to undercut: for every test `S >= c`,
    ///
    /// ```text
    /// eps >= ln( (P[S >= c] - delta) / Q[S >= c] )
    /// ```
    pub(super) fn epsilon(&self, ln_delta: f64, slack: Slack) -> f64 {
        let slacks = self.slacks(slack);
        let ln_threshold = ln_delta + 2.0 * self.relative - self.first_of_pair.ln_moment;
        let shift = self.first_of_pair.ln_moment - self.second_of_pair.ln_moment;
        let best = self.best(|tails, c| {
            let threshold = (ln_threshold + self.tilt * c).exp();
            let first = tails.first - slacks.0 - threshold;
            if first <= 0.0 {
                return f64::NEG_INFINITY;
            }
            shift + self.width * c + (first / (tails.second + slacks.1)).ln()
        });
        (best - 2.0 * self.relative).max(0.0)
    }

    /// `ln` of a delta that this epsilon does not allow to undercut: `delta >= P[S >= c] - exp(eps) Q[S >= c]`.
    pub(super) fn ln_delta(&self, epsilon: f64, slack: Slack) -> f64 {
        let slacks = self.slacks(slack);
        let shift = self.second_of_pair.ln_moment - self.first_of_pair.ln_moment + epsilon;
        let best = self.best(|tails, c| {
            let factor = (shift - self.width * c).min(700.0).exp() * (1.0 + 2.0 * self.relative);
            let scaled = tails.first - slacks.0 - factor * (tails.second + slacks.1);
            if scaled <= 0.0 {
                return f64::NEG_INFINITY;
            }
            self.first_of_pair.ln_moment - self.tilt * c + scaled.ln()
        });
        best - self.relative
    }

    /// The largest score over all `c`: first at the ends of blocks, then around the best of them.
    fn best(&self, score: impl Fn(Tails, f64) -> f64) -> f64 {
        let (first, second) = (&self.first_of_pair.weights, &self.second_of_pair.weights);
        let (shrink, shrink_other) = ((-self.tilt).exp(), (-self.tilt - self.width).exp());
        let n = first.len().min(second.len());
        let rounding = 2.0 * f64::EPSILON * n as f64;
        let integer = |i: usize| (self.first_of_pair.first + i as i64) as f64;
        let score = |tails: Tails, i: usize| {
            let safe = Tails {
                first: tails.first - rounding * tails.first.abs(),
                second: tails.second.max(0.0) * (1.0 + rounding),
            };
            score(safe, integer(i))
        };
        let step = |tails: &mut Tails, i: usize| {
            tails.first = tails.first * shrink + first[i];
            tails.second = tails.second * shrink_other + second[i];
        };

        let mut ends = Vec::with_capacity(n / BLOCK + 2); // (end of block, tails above it)
        let mut tails = Tails::default();
        let (mut best, mut best_block) = (f64::NEG_INFINITY, 0);
        let mut end = n;
        while 0 < end {
            ends.push((end, tails));
            let start = end.saturating_sub(BLOCK);
            (start..end).rev().for_each(|i| step(&mut tails, i));
            let value = score(tails, start);
            if best < value {
                (best, best_block) = (value, ends.len() - 1);
            }
            end = start;
        }
        for block in [best_block, best_block + 1] {
            let Some(&(end, mut tails)) = ends.get(block) else { continue };
            for i in (end.saturating_sub(BLOCK)..end).rev() {
                step(&mut tails, i);
                best = best.max(score(tails, i));
            }
        }
        best
    }
}
