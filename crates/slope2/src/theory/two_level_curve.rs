//! The trade-off of two-level penalties, by optimization over penalty and prior.

use super::shrinkage::{Observation, Shrinkage, noise_risk};
use super::simplex::Simplex;
use super::trade_off::{check, fdp_at, lasso_threshold, slope_upper_fdp};
use crate::error::{Result, number};

/// A point of the curve.
///
/// The point is feasible: `risk <= delta` was computed at these settings, so `fdp` is an upper estimate of the curve `q_2`
/// whatever the search missed. What it may have missed has two parts: the width of the last bracket, `fdp - fdp_refused`,
/// and thresholds that a local search refused though they are feasible. An independent search with a finer grid of signals
/// agrees within 2e-5 in the golden values; neither bounds the second part, for which 1e-3 is allowed here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TwoLevelPoint {
    /// The share of signals selected.
    pub tpp: f64,
    /// The false discovery proportion reached.
    pub fdp: f64,
    /// The false discovery proportion at the first threshold that was refused.
    pub fdp_refused: f64,
    /// The estimator per unit of `tau`. With `height = 0` it is the limit of small heights: selection happens above `low`.
    pub shrinkage: Shrinkage,
    /// Mean squared error per unit of `tau^2` under the best prior for it; at most `delta`.
    pub risk: f64,
}

/// `q_2(u)`: the smallest false discovery proportion of any two-level penalty that selects the share `u` of the signals,
/// over all priors and noise levels.
///
/// The threshold `a` of selection fixes the false discovery proportion, and a larger one has a smaller. For given `a`,
/// height and width (the share of the upper level follows from them) the smallest error over priors is a linear
/// programme with two constraints, so it is reached by two points of the curve (selection probability, error) of one
/// signal. The largest `a` at which some height and width have an error of at most `delta` is bracketed and halved.
///
/// # Errors
/// [`crate::Error::InvalidNumber`] unless `0 < delta`, `0 < eps < 1` and `0 < u <= 1`.
///
/// # Source
/// Derived; arXiv 2507.09110 proves a characterization of the same curve.
pub fn two_level_fdp(delta: f64, eps: f64, u: f64) -> Result<TwoLevelPoint> {
    check(delta, eps)?;
    number("true positive rate", "above 0 and at most 1", 0.0 < u && u <= 1.0, u)?;
    let search = Search { delta, eps, u };
    let mut best = search.start()?;
    let mut refused;
    loop {
        // Far enough up to be refused, by the quick search.
        let mut step = FIRST_STEP;
        refused = best.a + step;
        while let Some(found) = search.near(refused, best) {
            best = found;
            step *= 2.0;
            refused = best.a + step;
        }
        while RESOLUTION < refused - best.a {
            let middle = 0.5 * (best.a + refused);
            match search.near(middle, best) {
                Some(found) => best = found,
                None => refused = middle,
            }
        }
        // The refusal that counts is that of the thorough search.
        match search.anywhere(refused) {
            Some(found) => best = found,
            None => break,
        }
    }
    Ok(TwoLevelPoint {
        tpp: u,
        fdp: fdp_at(eps, best.a, u),
        fdp_refused: fdp_at(eps, refused, u),
        shrinkage: best.eta(),
        risk: best.risk,
    })
}

/// First widening of the bracket of thresholds.
const FIRST_STEP: f64 = 0.01;
/// Width at which the bracket of thresholds is left.
const RESOLUTION: f64 = 1e-5;
/// Logarithms of heights and widths looked at.
const LOG_HEIGHT: [f64; 5] = [-3.0, -1.5, -0.5, 0.5, 2.0];
const LOG_WIDTH: [f64; 5] = [-2.0, -0.7, 0.0, 0.7, 1.8];
/// Bounds of the same in the search: beyond them nothing changes.
const LOG_HEIGHT_RANGE: (f64, f64) = (-7.0, 2.4);
const LOG_WIDTH_RANGE: (f64, f64) = (-7.0, 2.4);

#[derive(Clone, Copy, Debug)]
struct Search {
    delta: f64,
    eps: f64,
    u: f64,
}

/// A threshold with the best height and width found for it.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    a: f64,
    height: f64,
    width: f64,
    risk: f64,
}

impl Candidate {
    fn eta(&self) -> Shrinkage {
        Shrinkage { low: self.a, width: self.width, height: self.height }
    }
}

impl Search {
    /// A threshold that is feasible by a closed form: that of the LASSO, or that of the limit of small heights.
    fn start(&self) -> Result<Candidate> {
        let Search { delta, eps, u } = *self;
        if let Some(a) = lasso_threshold(delta, eps, u)? {
            return Ok(Candidate { a, height: 0.0, width: 0.0, risk: delta });
        }
        // fdp_at(eps, a, u) = q solved for a; at u = 1 it is 0, the threshold that selects everything.
        let q = slope_upper_fdp(delta, eps, u)?;
        let tail = (q * eps * u / (2.0 * (1.0 - eps) * (1.0 - q))).min(0.5);
        let a = super::normal::quantile(1.0 - tail)?.max(0.0);
        let found = self.small_heights(a);
        Ok(Candidate { risk: delta, ..found })
    }

    fn admits(&self, found: Candidate) -> Option<Candidate> {
        (found.risk <= self.delta).then_some(found)
    }

    /// A feasible height and width at `a` close to those of `known`.
    fn near(&self, a: f64, known: Candidate) -> Option<Candidate> {
        if let Some(found) = self.admits(self.small_heights(a)) {
            return Some(found);
        }
        if 0.0 < known.height {
            return self.admits(self.local(a, known.height.ln(), known.width.ln(), 0.1, 90));
        }
        self.anywhere(a)
    }

    /// A feasible height and width at `a`, from several starts.
    fn anywhere(&self, a: f64) -> Option<Candidate> {
        if let Some(found) = self.admits(self.small_heights(a)) {
            return Some(found);
        }
        let mut starts = Vec::new();
        for h in LOG_HEIGHT {
            for w in LOG_WIDTH {
                starts.push((self.risk(a, h.exp(), w.exp()), h, w));
            }
        }
        starts.sort_by(|a, b| a.0.total_cmp(&b.0));
        starts.iter().take(3).find_map(|(_, h, w)| self.admits(self.local(a, *h, *w, 0.4, 140)))
    }

    /// The best width for heights that tend to zero.
    fn small_heights(&self, a: f64) -> Candidate {
        let grid: Vec<f64> = (0..=24).map(|i| 0.25 * f64::from(i)).collect();
        let found = super::root::grid_valley(&grid, 1e-6, |width| self.risk(a, 0.0, width));
        let (width, risk) = found.unwrap_or((0.0, f64::INFINITY));
        Candidate { a, height: 0.0, width, risk }
    }

    /// Local search over the logarithms of height and width; ends as soon as the threshold is feasible.
    fn local(&self, a: f64, h: f64, w: f64, step: f64, max_values: usize) -> Candidate {
        let search = Simplex { max_values, tolerance: 1e-9, good_enough: self.delta };
        let inside = |x: f64, range: (f64, f64)| x.clamp(range.0, range.1);
        let at = |x: &[f64; 2]| {
            let (h, w) = (inside(x[0], LOG_HEIGHT_RANGE), inside(x[1], LOG_WIDTH_RANGE));
            (h.exp(), w.exp())
        };
        let ([h, w], risk) = search.minimize([h, w], [step, step], |x| {
            let (height, width) = at(x);
            self.risk(a, height, width)
        });
        let (height, width) = at(&[h, w]);
        Candidate { a, height, width, risk }
    }

    /// `(1 - eps) (error of a zero) + eps (smallest mean error of signals that are selected with probability u)`.
    fn risk(&self, a: f64, height: f64, width: f64) -> f64 {
        let eta = Shrinkage { low: a, width, height };
        let signal = if self.u < 1.0 || a <= 0.0 {
            hull_at(&eta, self.u)
        } else {
            // Selected almost surely: only an infinite signal is.
            1.0 + (a + width) * (a + width)
        };
        (1.0 - self.eps) * noise_risk(&eta) + self.eps * signal
    }
}

/// A signal of size `t`: probability of selection and error.
#[derive(Clone, Copy, Debug)]
struct Signal {
    t: f64,
    selected: f64,
    error: f64,
}

impl Signal {
    fn of(t: f64, eta: &Shrinkage) -> Self {
        let seen = Observation::unit(t);
        Signal { t, selected: seen.exceeds(eta.low), error: seen.mean_squared_error(eta) }
    }
}

/// The lower convex hull of the curve (probability of selection, error) of signals, at the probability `u`.
///
/// A chord of two points of the curve is above the hull, so a coarse grid errs to the safe side; it is refined where the
/// chord touches.
fn hull_at(eta: &Shrinkage, u: f64) -> f64 {
    let knee = eta.low + eta.height;
    let top = knee + eta.width.min(6.0) + 6.0;
    let mut step = (top / 60.0).max(0.1);
    let mut signals: Vec<Signal> = Vec::with_capacity(120);
    let mut t = 0.0;
    while t <= top {
        signals.push(Signal::of(t, eta));
        t += step;
    }
    let bias = eta.low + eta.width;
    signals.push(Signal { t: f64::INFINITY, selected: 1.0, error: 1.0 + bias * bias });
    let Some(mut touch) = chord(&signals, u, None) else {
        return f64::INFINITY;
    };
    for _ in 0..REFINEMENTS {
        for end in [touch.0, touch.1] {
            let middle = signals[end].t;
            if middle.is_finite() {
                for i in (-4..=4).filter(|i| *i != 0) {
                    let t = middle + f64::from(i) * 0.2 * step;
                    if 0.0 <= t {
                        signals.push(Signal::of(t, eta));
                    }
                }
            }
        }
        step *= 0.2;
        touch = chord(&signals, u, Some(touch)).unwrap_or(touch);
    }
    height_at(&signals[touch.0], &signals[touch.1], u)
}

/// Rounds of refinement of the grid of signals, each by five.
const REFINEMENTS: usize = 3;

/// The chord over `u` that lies lowest there. Ends are improved in turn: if no point lies below the line through both,
/// the chord is an edge of the hull.
fn chord(signals: &[Signal], u: f64, start: Option<(usize, usize)>) -> Option<(usize, usize)> {
    let left = || (0..signals.len()).filter(|i| signals[*i].selected <= u);
    let right = || (0..signals.len()).filter(|i| u <= signals[*i].selected);
    let (mut i, mut j) = match start {
        Some(ends) => ends,
        None => (left().next_back()?, right().next()?),
    };
    let at = |i: usize, j: usize| height_at(&signals[i], &signals[j], u);
    let mut value = at(i, j);
    for _ in 0..signals.len() {
        let better_right = right().min_by(|a, b| at(i, *a).total_cmp(&at(i, *b)))?;
        j = better_right;
        let better_left = left().min_by(|a, b| at(*a, j).total_cmp(&at(*b, j)))?;
        i = better_left;
        if value <= at(i, j) {
            break;
        }
        value = at(i, j);
    }
    Some((i, j))
}

fn height_at(left: &Signal, right: &Signal, u: f64) -> f64 {
    let span = right.selected - left.selected;
    if span <= 0.0 {
        return left.error.min(right.error);
    }
    let share = (u - left.selected) / span;
    left.error + share * (right.error - left.error)
}
