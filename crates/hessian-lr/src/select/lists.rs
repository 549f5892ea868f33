//! The method of lists: all best trade-offs of the items seen so far, one item at a time.

use super::links::Links;
use super::relaxation::Relaxation;
use crate::error::{Error, Result};

/// Most points of a list.
pub(super) const MOST_POINTS: usize = 2_000_000;

/// One item on its way through the lists. They come by falling index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) item: usize,
    pub(super) value: f64,
    pub(super) weight: u64,
    /// In every set: its weight has been charged, its value is added in its turn.
    pub(super) always: bool,
}

/// Which points cannot matter: those whose value, with all that could still be added, stays below `threshold`.
pub(super) struct Pruning<'a> {
    /// The items that may be added, densest first.
    pub(super) free: &'a Relaxation,
    /// The value to reach.
    pub(super) threshold: f64,
    /// Whether only the most valuable point is wanted: then the threshold rises to values that can be reached for sure.
    pub(super) rises: bool,
    /// Relative rounding of sums.
    pub(super) rounding: f64,
}

/// Points with strictly rising weight and value.
#[derive(Clone, Debug)]
pub(super) struct List {
    pub(super) weights: Vec<u64>,
    pub(super) values: Vec<f64>,
    pub(super) heads: Vec<u32>,
    pub(super) links: Links,
}

/// All trade-offs of weight up to `budget` that `pruning` leaves, where `start` is the weight of what is always there.
///
/// Values are sums from the last index to the first. Rounding keeps their order, so that what another point dominates is
/// not needed for any later sum either. At equal weight and value the set with the new item, which has the lowest
/// index, comes first among sorted sets.
///
/// # Source
/// Nemhauser and Ullmann, Discrete dynamic programming and capital allocation, Management Science 15 (1969).
pub(super) fn trade_offs(
    n_items: usize,
    steps: &[Step],
    start: u64,
    budget: u64,
    mut pruning: Option<Pruning<'_>>,
) -> Result<List> {
    let mut list = List {
        weights: vec![start],
        values: vec![0.0],
        heads: vec![Links::EMPTY],
        links: Links::new(n_items)?,
    };
    let mut spare = Points::default();
    let mut left = Relaxation::default();
    let mut promised: f64 = steps.iter().filter(|step| step.always).map(|step| step.value).sum();
    for step in steps {
        if step.always {
            promised -= step.value;
            list.raise(step.value);
            continue;
        }
        list.links.reserve(list.weights.len(), &mut list.heads)?;
        list.merge(step, budget, &mut spare)?;
        if let Some(pruning) = &mut pruning {
            // Finding what is left costs as much as there are items: not for every short list.
            if pruning.free.len() < 8 * list.weights.len() {
                left.refill_from(pruning.free, |item| item < step.item);
                list.prune(&left, budget, promised.max(0.0), pruning);
            }
        }
    }
    Ok(list)
}

/// Where the next list is written.
#[derive(Default)]
struct Points {
    weights: Vec<u64>,
    values: Vec<f64>,
    heads: Vec<u32>,
}

impl List {
    /// Adds a value to every point. Where that makes values equal by rounding, the lighter point stays.
    fn raise(&mut self, by: f64) {
        self.values.iter_mut().for_each(|value| *value += by);
        let mut best = f64::NEG_INFINITY;
        self.retain(|_, value| {
            let rises = best < value;
            best = best.max(value);
            rises
        });
    }

    /// Keeps the points of which `keep` says so, told their weight and value in order.
    fn retain(&mut self, mut keep: impl FnMut(u64, f64) -> bool) {
        let mut n_kept = 0;
        for at in 0..self.weights.len() {
            if keep(self.weights[at], self.values[at]) {
                self.weights[n_kept] = self.weights[at];
                self.values[n_kept] = self.values[at];
                self.heads[n_kept] = self.heads[at];
                n_kept += 1;
            }
        }
        self.weights.truncate(n_kept);
        self.values.truncate(n_kept);
        self.heads.truncate(n_kept);
    }

    /// The points with and without one more item.
    fn merge(&mut self, step: &Step, budget: u64, out: &mut Points) -> Result<()> {
        out.weights.clear();
        out.values.clear();
        out.heads.clear();
        // Weights rise, so what is too heavy with the item stands at the end.
        let room = budget.checked_sub(step.weight);
        let n_with = room.map_or(0, |room| self.weights.partition_point(|w| *w <= room));
        let (mut without, mut with) = (0, 0);
        let mut best = f64::NEG_INFINITY;
        loop {
            let old = self.weights.get(without).map(|w| (*w, self.values[without]));
            let new = (with < n_with)
                .then(|| (self.weights[with] + step.weight, self.values[with] + step.value));
            let take = match (old, new) {
                (None, None) => break,
                (Some(_), None) => false,
                (None, Some(_)) => true,
                (Some((w, v)), Some((x, u))) => x < w || x == w && v <= u,
            };
            let Some((weight, value)) = (if take { new } else { old }) else { break };
            if best < value {
                best = value;
                out.weights.push(weight);
                out.values.push(value);
                out.heads.push(if take {
                    self.links.push(step.item, self.heads[with])
                } else {
                    self.heads[without]
                });
            }
            if take {
                with += 1;
            } else {
                without += 1;
            }
        }
        if MOST_POINTS < out.weights.len() {
            return Err(Error::FrontTooLarge { what: "points", limit: MOST_POINTS });
        }
        std::mem::swap(&mut self.weights, &mut out.weights);
        std::mem::swap(&mut self.values, &mut out.values);
        std::mem::swap(&mut self.heads, &mut out.heads);
        Ok(())
    }

    /// Drops the points that cannot reach the threshold with the items that are `left` and what is `promised`.
    fn prune(&mut self, left: &Relaxation, budget: u64, promised: f64, pruning: &mut Pruning<'_>) {
        if pruning.rises {
            let mut k = left.len();
            let mut most: f64 = 0.0;
            for (weight, value) in self.weights.iter().zip(&self.values) {
                k = split_below(left, k, budget - weight);
                most = most.max(value + promised + left.sum(k).1);
            }
            pruning.threshold = pruning.threshold.max(most * (1.0 - pruning.rounding));
        }
        let mut k = left.len();
        let threshold = pruning.threshold;
        self.retain(|weight, value| {
            let room = budget - weight;
            k = split_below(left, k, room);
            threshold <= value + promised + left.bound_at(k, room)
        });
    }
}

/// `left.split(room)` where it is at most `k`.
fn split_below(left: &Relaxation, mut k: usize, room: u64) -> usize {
    while room < left.sum(k).0 {
        k -= 1;
    }
    k
}
