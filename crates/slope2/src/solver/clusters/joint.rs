//! Steps of all magnitudes at once, with an exact line search through the kinks.

use faer::Mat;

use super::inner::Inner;
use super::ranks::Ranks;
use crate::kernel::{axpy, largest};
use crate::solver::ridged::solve_ridged;

/// Relative ridge: more clusters than observations are normal on the way, and this sends them along the null directions until
/// they meet a kink.
const RIDGE: f64 = 1e-12;
/// A step that moves all magnitudes by less than this, relative to the largest, gets nowhere.
const BLOCKED: f64 = 1e-3;
/// Most such steps in a row.
const MOST_BLOCKED: usize = 100;
/// Halvings of the bracket of the minimum along a direction.
const HALVINGS: usize = 60;

/// A direction from the magnitudes.
struct Ray<'a> {
    ranks: &'a Ranks<'a>,
    c: Vec<f64>,
    d: Vec<f64>,
    count: Vec<usize>,
    /// `q' d` and `d' G d`.
    pull: f64,
    curvature: f64,
}

/// A point on the ray: what comes after what, and with which sign.
#[derive(Clone)]
struct Stand {
    at: f64,
    /// The slope of the objective just behind this point.
    slope: f64,
    order: Vec<usize>,
}

impl Ray<'_> {
    fn value(&self, i: usize, at: f64) -> f64 {
        self.c[i] + at * self.d[i]
    }

    /// The sign just behind this point.
    fn sign(&self, i: usize, at: f64) -> f64 {
        let v = self.value(i, at);
        if v == 0.0 { self.d[i].signum() } else { v.signum() }
    }

    fn stand(&self, at: f64, mut order: Vec<usize>) -> Stand {
        let keys: Vec<(f64, f64)> = (0..self.c.len())
            .map(|i| (self.value(i, at).abs(), self.sign(i, at) * self.d[i]))
            .collect();
        order.sort_by(|a, b| {
            keys[*b].0.total_cmp(&keys[*a].0).then(keys[*b].1.total_cmp(&keys[*a].1))
        });
        let mut slope = at * self.curvature - self.pull;
        let mut first = 0;
        for i in &order {
            slope += self.ranks.of(first, self.count[*i]) * keys[*i].1;
            first += self.count[*i];
        }
        Stand { at, slope, order }
    }

    fn same(&self, a: &Stand, b: &Stand) -> bool {
        a.order == b.order && (0..self.c.len()).all(|i| self.sign(i, a.at) == self.sign(i, b.at))
    }

    /// The minimum along the ray, between two points: equal where no kink is between them. None if nothing falls.
    fn minimum(&self) -> Option<(Stand, Stand)> {
        let start = self.stand(0.0, (0..self.c.len()).collect());
        if 0.0 <= start.slope || start.slope.is_nan() {
            return None;
        }
        // Kinks only raise the slope, so the minimum lies before that of the parabola.
        let end = -start.slope / self.curvature;
        let end = if end.is_finite() { end } else { 1.0 };
        let (mut low, mut high) = (start.clone(), self.stand(end, start.order));
        for _ in 0..HALVINGS {
            if self.same(&low, &high) {
                let at = low.at - low.slope / self.curvature;
                let at = if at.is_finite() { at.clamp(low.at, high.at) } else { high.at };
                let there = self.stand(at, low.order);
                return Some((there.clone(), there));
            }
            if high.slope <= 0.0 {
                return Some((high.clone(), high));
            }
            let middle = 0.5 * (low.at + high.at);
            if middle <= low.at || high.at <= middle {
                break;
            }
            let stand = self.stand(middle, low.order.clone());
            if stand.slope < 0.0 {
                low = stand;
            } else {
                high = stand;
            }
        }
        Some((low, high))
    }
}

impl Inner<'_> {
    /// The step that parts the pieces of split clusters.
    pub(super) fn steepest_step(&mut self) {
        let moves = |a: &usize| 0.0 < self.c[*a] || 0.0 < self.rise[*a];
        let free: Vec<usize> = self.order.iter().copied().filter(moves).collect();
        let d: Vec<f64> = free.iter().map(|a| self.rise[*a]).collect();
        self.rise.fill(0.0);
        self.search(&free, d);
    }

    /// Newton steps until one gets somewhere. Clusters that an epoch has just moved, often by less than rounding of the
    /// others, may block the way: each such step joins one of them, or puts it back to zero.
    pub(super) fn newton_steps(&mut self) {
        for _ in 0..MOST_BLOCKED {
            match self.newton_step() {
                Some(moved) if moved <= BLOCKED * largest(&self.c) => {}
                _ => return,
            }
        }
    }

    /// The joint Newton step of all magnitudes that are not zero; returns as [`Self::search`].
    fn newton_step(&mut self) -> Option<f64> {
        let free = self.order[..self.n_positive].to_vec();
        let m = free.len();
        let mut block = Mat::<f64>::zeros(m, m);
        self.set.block(&free, block.as_mut());
        let mut solved = Mat::<f64>::from_fn(m, 1, |k, _| self.q[free[k]] - self.level(k));
        solve_ridged(block.as_mut(), RIDGE, solved.as_mut())?;
        let d: Vec<f64> = (0..m).map(|k| solved[(k, 0)]).collect();
        if d.iter().any(|d| !d.is_finite()) {
            return None;
        }
        self.search(&free, d)
    }

    /// Goes to the minimum along a direction of these clusters. Those that meet there are joined. Returns the largest change of a
    /// magnitude where it ended at a kink; none without a step or a kink.
    fn search(&mut self, free: &[usize], d: Vec<f64>) -> Option<f64> {
        let mut along = vec![0.0; self.c.len()];
        for (a, d) in free.iter().zip(&d).filter(|(_, d)| **d != 0.0) {
            axpy(*d, self.set.row(*a), &mut along);
        }
        let sum = |v: &[f64]| free.iter().zip(&d).map(|(a, d)| v[*a] * d).sum::<f64>();
        let (pull, curvature) = (sum(&self.q), sum(&along).max(0.0));
        let ray = Ray {
            ranks: self.ranks,
            c: free.iter().map(|a| self.c[*a]).collect(),
            count: free.iter().map(|a| self.count[*a]).collect(),
            d,
            pull,
            curvature,
        };
        let (low, high) = ray.minimum()?;
        axpy(-high.at, &along, &mut self.q);
        for (i, a) in free.iter().enumerate() {
            self.c[*a] = ray.value(i, high.at);
            if self.c[*a] < 0.0 {
                self.negate(*a);
            }
        }
        let crossed = |i: &usize| ray.sign(*i, low.at) != ray.sign(*i, high.at);
        let at_zero: Vec<usize> = (0..free.len()).filter(crossed).collect();
        for i in &at_zero {
            self.shift(free[*i], 0.0);
        }
        for group in met(&low.order, &high.order) {
            let group: Vec<usize> =
                group.iter().filter(|i| !at_zero.contains(i)).map(|i| free[*i]).collect();
            if let Some((into, others)) = group.split_first() {
                for a in others {
                    self.shift(*a, self.c[*into]);
                    self.join(*into, *a);
                }
            }
        }
        self.sort();
        (low.at < high.at).then(|| high.at * largest(&ray.d))
    }
}

/// The shortest stretches that hold the same elements in both orders, but not in the same order.
fn met<'a>(low: &'a [usize], high: &[usize]) -> Vec<&'a [usize]> {
    let mut balance = vec![0i32; low.len()];
    let (mut open, mut start) = (0usize, 0);
    let mut groups = Vec::new();
    for (k, (l, h)) in low.iter().zip(high).enumerate() {
        for (i, by) in [(*l, 1), (*h, -1)] {
            open -= usize::from(balance[i] != 0);
            balance[i] += by;
            open += usize::from(balance[i] != 0);
        }
        if open == 0 {
            if start < k {
                groups.push(&low[start..=k]);
            }
            start = k + 1;
        }
    }
    groups
}
