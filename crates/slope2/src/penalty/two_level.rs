//! Two levels: the `k` largest magnitudes cost more than the others. Nothing here sorts.
//!
//! Everything rests on one identity: with `D = lambda1 - lambda2`,
//! `J(b) = min over h >= 0 of lambda2 |b|_1 + D (k h + sum_j (|b_j| - h)_+)`,
//! attained between the `k`-th and the next magnitude. For a given height `h` it is a sum over coordinates.

use super::{DualNorm, Penalty};
use crate::error::{Error, Result, number};
use crate::kernel::{Window, clipped_excess, largest, shrink, window};

/// `J(beta) = lambda1 (sum of the k largest magnitudes) + lambda2 (sum of the others)`.
///
/// # Source
/// arXiv 2507.09110.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct TwoLevel {
    lambda1: f64,
    lambda2: f64,
    k: usize,
    p: usize,
}

/// The penalty of the LASSO, `lambda |beta|_1`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct L1 {
    lambda: f64,
    p: usize,
}

impl TwoLevel {
    /// The penalty of `p` coefficients with `k` of them at the higher level.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] unless `lambda1 >= lambda2 >= 0` and both are finite; [`Error::TooManyAtUpperLevel`] if
    /// `k > p`.
    pub fn new(lambda1: f64, lambda2: f64, k: usize, p: usize) -> Result<Self> {
        let level = |x: f64| x.is_finite() && 0.0 <= x;
        number("lambda1", "finite and not negative", level(lambda1), lambda1)?;
        number("lambda2", "finite and not negative", level(lambda2), lambda2)?;
        number("lambda2", "at most lambda1", lambda2 <= lambda1, lambda2)?;
        if p < k {
            return Err(Error::TooManyAtUpperLevel { k, p });
        }
        Ok(TwoLevel { lambda1, lambda2, k, p })
    }

    /// The penalty with the share `s` of the coefficients at the higher level: `k = s p`, rounded to the nearest, halves
    /// up.
    ///
    /// # Errors
    /// As [`TwoLevel::new`]; [`Error::InvalidNumber`] unless `0 <= s <= 1`.
    pub fn with_share(lambda1: f64, lambda2: f64, s: f64, p: usize) -> Result<Self> {
        number("share at the higher level", "between 0 and 1", (0.0..=1.0).contains(&s), s)?;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and p"
        )]
        let k = (s * p as f64).round() as usize;
        Self::new(lambda1, lambda2, k.min(p), p)
    }

    /// The higher level.
    #[must_use]
    pub fn lambda1(&self) -> f64 {
        self.lambda1
    }

    /// The lower level.
    #[must_use]
    pub fn lambda2(&self) -> f64 {
        self.lambda2
    }

    /// Number of coefficients at the higher level.
    #[must_use]
    pub fn k(&self) -> usize {
        self.k
    }

    /// The same penalty times `alpha`.
    ///
    /// # Errors
    /// As [`TwoLevel::new`].
    pub fn scaled(&self, alpha: f64) -> Result<Self> {
        Self::new(alpha * self.lambda1, alpha * self.lambda2, self.k, self.p)
    }

    /// The weights as a sequence: `k` times `lambda1`, then `lambda2`.
    #[must_use]
    pub fn sequence(&self) -> Vec<f64> {
        (0..self.p).map(|j| if j < self.k { self.lambda1 } else { self.lambda2 }).collect()
    }

    /// One canonical form for penalties that are equal as functions: those that are a LASSO have `lambda1 = lambda2` and
    /// `k = p`.
    #[must_use]
    pub fn canonical(self) -> Self {
        let lambda = if self.k == 0 { self.lambda2 } else { self.lambda1 };
        if self.k == 0 || self.k == self.p || self.lambda1 <= self.lambda2 {
            TwoLevel { lambda1: lambda, lambda2: lambda, k: self.p, p: self.p }
        } else {
            self
        }
    }

    /// The one level of a penalty that is a LASSO.
    #[must_use]
    pub fn as_lasso(&self) -> Option<f64> {
        let form = self.canonical();
        (form.lambda1 <= form.lambda2).then_some(form.lambda1)
    }

    /// `lambda1 - lambda2`.
    pub(crate) fn step(&self) -> f64 {
        self.lambda1 - self.lambda2
    }

    /// `k (lambda1 - lambda2)`: what the excesses over `lambda2` of a vector in the dual ball may sum to.
    pub(crate) fn budget(&self) -> f64 {
        self.k as f64 * self.step()
    }

    /// As [`Penalty::prox`], and returns the height `h` at which magnitudes were held together; 0 if none were. `start` is
    /// a guess of it.
    ///
    /// # Errors
    /// As [`Penalty::prox`].
    ///
    /// # Source
    /// Derived from the identity of this module: `z_j = sgn(v_j) (|v_j| - l2 - clip(|v_j| - l2 - h, 0, d))_+` with
    /// `l2 = step lambda2`, `d = step (lambda1 - lambda2)` and `h` the root of `sum_j clip(|v_j| - l2 - h, 0, d) = k d`.
    pub fn prox_with_height(&self, v: &mut [f64], step: f64, start: f64) -> Result<f64> {
        if let Some(lambda) = self.as_lasso() {
            super::check(v)?;
            soft(v, step * lambda);
            return Ok(0.0);
        }
        let (low, width) = (step * self.lambda2, step * self.step());
        let clip = Clip { low, width, k: self.k as f64 };
        let h = clip.height(v, if start <= 0.0 { clip.sampled(v) } else { start });
        if shrink(v, low, h, width) { Ok(h) } else { super::check(v).map(|()| h) }
    }
}

/// Entries that are searched for their height without a sample of them first.
const MOST_SEARCHED: usize = 8192;

/// Neighbors that are sampled together.
const RUN: usize = 64;

/// Soft thresholding.
fn soft(v: &mut [f64], by: f64) {
    for v in v {
        *v = (v.abs() - by).max(0.0).copysign(*v);
    }
}

/// The equation of the height: `B(h) = sum_j clip(|v_j| - low - h, 0, width) = k width`.
#[derive(Clone, Copy)]
struct Clip {
    low: f64,
    width: f64,
    k: f64,
}

impl Clip {
    /// The height of a sample, or 0: runs of entries from all over the vector, since single ones would touch as much memory as
    /// all of them.
    fn sampled(&self, v: &[f64]) -> f64 {
        if v.len() <= MOST_SEARCHED {
            return 0.0;
        }
        let mut sample = Vec::with_capacity(MOST_SEARCHED / 2);
        let runs = v.chunks(RUN).step_by(v.len() / (MOST_SEARCHED / 4));
        runs.for_each(|run| sample.extend_from_slice(run));
        let k = self.k * sample.len() as f64 / v.len() as f64;
        // Rather too low: there the sum is above its target, as it has to be at 0.
        0.98 * Clip { k, ..*self }.height(&sample, 0.0)
    }

    /// The root, or 0 if `B(0)` is not above `k width`. A Newton step on the piecewise linear `B`, kept inside a bracket; exact
    /// once the set inside the window stands still.
    fn height(&self, v: &[f64], start: f64) -> f64 {
        let Clip { low, width, k } = *self;
        let target = k * width;
        let mut h = start.max(0.0);
        let mut seen = window(v, low + h, width);
        let excess =
            |seen: &Window, h: f64| seen.above * width + seen.inside_sum - seen.inside * (low + h);
        if excess(&seen, h) <= target && 0.0 < h {
            h = 0.0;
            seen = window(v, low, width);
        }
        if h == 0.0 && (v.len() as f64 <= k || clipped_excess(v, low, width) <= target) {
            return 0.0;
        }
        let (mut lower, mut upper) = (h, f64::INFINITY);
        let mut last = None;
        loop {
            let excess = excess(&seen, h);
            if target < excess {
                lower = h;
            } else {
                upper = h;
            }
            if 0.0 < seen.inside {
                // The root if the window holds the same magnitudes there.
                let spent = (k - seen.above) * width;
                let root = (seen.inside_sum - seen.inside * low - spent) / seen.inside;
                let stands = last.is_some_and(|last| last == (seen.above, seen.inside));
                if stands || (root - h).abs() <= 0.0 {
                    return root.max(0.0);
                }
                last = Some((seen.above, seen.inside));
                if lower < root && root < upper {
                    h = root;
                    seen = window(v, low + h, width);
                    continue;
                }
            } else if (excess - target).abs() <= 0.0 {
                return h;
            }
            if upper == f64::INFINITY {
                upper = largest(v) - low;
            }
            let middle = 0.5 * (lower + upper);
            if middle <= lower || upper <= middle {
                return upper;
            }
            h = middle;
            seen = window(v, low + h, width);
        }
    }
}

impl Penalty for TwoLevel {
    fn len(&self) -> usize {
        self.p
    }

    fn value(&self, beta: &[f64]) -> f64 {
        let mut magnitudes: Vec<f64> = beta.iter().map(|b| b.abs()).collect();
        let total: f64 = magnitudes.iter().sum();
        if self.k == 0 || self.p == 0 {
            return self.lambda2 * total;
        }
        if self.k < magnitudes.len() {
            // Selection, not sorting.
            magnitudes.select_nth_unstable_by(self.k - 1, |a, b| b.total_cmp(a));
            magnitudes.truncate(self.k);
        }
        self.lambda2 * total + self.step() * magnitudes.iter().sum::<f64>()
    }

    fn prox(&self, v: &mut [f64], step: f64) -> Result<()> {
        self.prox_with_height(v, step, 0.0).map(|_| ())
    }
}

impl DualNorm for TwoLevel {
    /// The smallest `t` with `max_j |v_j| <= t lambda1` and `sum_j (|v_j| - t lambda2)_+ <= t k D`, by Dinkelbach's
    /// iteration: it rises to the norm and stops after a few passes.
    fn dual_norm(&self, v: &[f64]) -> f64 {
        let top = largest(v);
        if v.iter().any(|v| v.is_nan()) {
            return f64::NAN;
        }
        if top == 0.0 {
            return 0.0;
        }
        if self.lambda1 == 0.0 || (self.k == 0 && self.lambda2 == 0.0) {
            return f64::INFINITY;
        }
        if let Some(lambda) = self.as_lasso() {
            return top / lambda;
        }
        let mut t = top / self.lambda1;
        loop {
            let seen = window(v, t * self.lambda2, f64::INFINITY);
            if seen.inside < self.k as f64 {
                return t;
            }
            let next = seen.inside_sum / (self.budget() + seen.inside * self.lambda2);
            if next <= t {
                return t;
            }
            t = next;
        }
    }

    /// One pass: `max_j |v_j| <= lambda1` and `sum_j (|v_j| - lambda2)_+ <= k (lambda1 - lambda2)`.
    fn in_dual_ball(&self, v: &[f64], tolerance: f64) -> bool {
        let slack = 1.0 + tolerance;
        if let Some(lambda) = self.as_lasso() {
            return largest(v) <= slack * lambda;
        }
        largest(v) <= slack * self.lambda1
            && clipped_excess(v, slack * self.lambda2, f64::INFINITY) <= slack * self.budget()
    }
}

impl L1 {
    /// The penalty of `p` coefficients.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] unless `lambda` is finite and not negative.
    pub fn new(lambda: f64, p: usize) -> Result<Self> {
        number("lambda", "finite and not negative", lambda.is_finite() && 0.0 <= lambda, lambda)?;
        Ok(L1 { lambda, p })
    }

    /// The level.
    #[must_use]
    pub fn lambda(&self) -> f64 {
        self.lambda
    }
}

impl Penalty for L1 {
    fn len(&self) -> usize {
        self.p
    }

    fn value(&self, beta: &[f64]) -> f64 {
        self.lambda * beta.iter().map(|b| b.abs()).sum::<f64>()
    }

    fn prox(&self, v: &mut [f64], step: f64) -> Result<()> {
        super::check(v)?;
        soft(v, step * self.lambda);
        Ok(())
    }
}

impl DualNorm for L1 {
    fn dual_norm(&self, v: &[f64]) -> f64 {
        match largest(v) {
            _ if v.iter().any(|v| v.is_nan()) => f64::NAN,
            0.0 => 0.0,
            top => top / self.lambda,
        }
    }
}
