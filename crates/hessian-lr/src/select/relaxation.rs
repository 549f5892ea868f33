//! The knapsack where parts of items may be taken: its optimum bounds that of whole items.

use super::knapsack::Knapsack;
use crate::error::Result;

/// Items by falling value for each unit of weight, with running sums.
#[derive(Clone, Debug, Default)]
pub(super) struct Relaxation {
    order: Vec<usize>,
    values: Vec<f64>,
    weights: Vec<u64>,
    /// `sums[k]`: weight and value of the first `k`.
    sums: Vec<(u64, f64)>,
}

impl Relaxation {
    /// Sorts `items`, whose values are finite and positive.
    pub(super) fn new(mut items: Vec<usize>, values: &[f64], weights: &[u64]) -> Relaxation {
        let ratio = |i: usize| values[i] / weights[i] as f64;
        items.sort_by(|&i, &j| {
            let by_ratio = ratio(j).total_cmp(&ratio(i));
            by_ratio.then(weights[i].cmp(&weights[j])).then(i.cmp(&j))
        });
        let mut sorted = Relaxation::default();
        sorted.refill(items.into_iter().map(|i| (i, values[i], weights[i])));
        sorted
    }

    /// Those of the items that `keep` names, in the same order.
    pub(super) fn filtered(&self, keep: impl Fn(usize) -> bool) -> Relaxation {
        let mut kept = Relaxation::default();
        kept.refill(
            self.items().filter(|(_, item, _, _)| keep(*item)).map(|(_, i, v, w)| (i, v, w)),
        );
        kept
    }

    /// Replaces `self` by those of the items of `all` that `keep` names, in the same order.
    pub(super) fn refill_from(&mut self, all: &Relaxation, keep: impl Fn(usize) -> bool) {
        self.refill(
            all.items().filter(|(_, item, _, _)| keep(*item)).map(|(_, i, v, w)| (i, v, w)),
        );
    }

    fn refill(&mut self, sorted: impl Iterator<Item = (usize, f64, u64)>) {
        self.order.clear();
        self.values.clear();
        self.weights.clear();
        self.sums.clear();
        let mut sum = (0, 0.0);
        self.sums.push(sum);
        for (item, value, weight) in sorted {
            sum = (sum.0 + weight, sum.1 + value);
            self.order.push(item);
            self.values.push(value);
            self.weights.push(weight);
            self.sums.push(sum);
        }
    }

    /// Indices of the items in order.
    pub(super) fn order(&self) -> &[usize] {
        &self.order
    }

    /// Place in the order, index, value and weight of each item.
    pub(super) fn items(&self) -> impl DoubleEndedIterator<Item = (usize, usize, f64, u64)> + '_ {
        (0..self.order.len()).map(|k| (k, self.order[k], self.values[k], self.weights[k]))
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn value(&self, k: usize) -> f64 {
        self.values[k]
    }

    pub(super) fn weight(&self, k: usize) -> u64 {
        self.weights[k]
    }

    /// Weight and value of the first `k`.
    pub(super) fn sum(&self, k: usize) -> (u64, f64) {
        self.sums[k]
    }

    /// How many of the first items fit into `room`.
    pub(super) fn split(&self, room: u64) -> usize {
        self.sums.partition_point(|(weight, _)| *weight <= room).saturating_sub(1)
    }

    /// The value of the first `k` and of that part of the next which fills `room`, where `k` is `split(room)`.
    pub(super) fn bound_at(&self, k: usize, room: u64) -> f64 {
        let (weight, value) = self.sums[k];
        if k == self.order.len() {
            return value;
        }
        value + self.values[k] * ((room - weight) as f64 / self.weights[k] as f64)
    }

    /// The largest value of whole and broken items in `room`.
    pub(super) fn bound(&self, room: u64) -> f64 {
        self.bound_at(self.split(room), room)
    }
}

impl Knapsack {
    /// The optimum if parts of items could be taken: never less than [`Knapsack::solve_exact`], up to rounding.
    ///
    /// # Errors
    /// [`crate::Error::ForcedTooHeavy`] if the forced items alone exceed `budget`.
    ///
    /// # Source
    /// Dantzig, Discrete-variable extremum problems, Operations Research 5 (1957).
    pub fn lp_bound(&self, budget: u64) -> Result<f64> {
        Ok(self.forced_value() + self.relaxation().bound(self.room(budget)?))
    }
}
