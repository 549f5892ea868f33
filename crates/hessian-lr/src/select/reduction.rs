//! What bounds alone decide: items that belong to every good set, or to none.

use super::knapsack::Knapsack;
use super::lists::{List, Pruning, Step, trade_offs};
use super::relaxation::Relaxation;
use crate::error::Result;

/// A knapsack whose sets weigh at most `budget` and are worth at least `threshold`, with the items that all of them
/// share taken in and those that none of them has left out.
pub(super) struct Reduction {
    /// In every such set; not the forced ones.
    pub(super) fixed: Vec<usize>,
    /// In some such sets, densest first.
    pub(super) free: Relaxation,
    budget: u64,
    threshold: f64,
}

impl Reduction {
    /// `threshold` is lowered by the rounding of sums, so that no set of that value is lost.
    pub(super) fn new(knapsack: &Knapsack, budget: u64, threshold: f64) -> Result<Reduction> {
        let room = knapsack.room(budget)?;
        let threshold = threshold * (1.0 - knapsack.rounding());
        let weights = knapsack.weights();
        let fits = knapsack.relaxation().filtered(|item| weights[item] <= room);
        let split = fits.split(room);
        let base = knapsack.forced_value();
        let (mut fixed, mut free) = (Vec::new(), vec![false; knapsack.n_items()]);
        for (k, item, value, weight) in fits.items() {
            if k < split {
                // Without it, what it leaves goes to others.
                let with = base + fits.bound(room.saturating_add(weight));
                // The difference is as exact as the sum, which may be much larger.
                let without = with - value + knapsack.rounding() * with;
                if weight == 0 || without < threshold {
                    fixed.push(item);
                } else {
                    free[item] = true;
                }
            } else {
                free[item] = threshold <= base + value + fits.bound(room - weight);
            }
        }
        Ok(Reduction { fixed, free: fits.filtered(|item| free[item]), budget, threshold })
    }

    /// The trade-offs that are left. `only_best`: only the most valuable one is wanted.
    pub(super) fn trade_offs(&self, knapsack: &Knapsack, only_best: bool) -> Result<List> {
        let pruning = Pruning {
            free: &self.free,
            threshold: self.threshold,
            rises: only_best,
            rounding: knapsack.rounding(),
        };
        let (steps, start) = steps(knapsack, &self.fixed, self.free.order());
        trade_offs(knapsack.n_items(), &steps, start, self.budget, Some(pruning))
    }
}

/// The items by falling index, as the lists want them, and the weight of those that are in every set: the `fixed` and
/// the forced.
pub(super) fn steps(knapsack: &Knapsack, fixed: &[usize], free: &[usize]) -> (Vec<Step>, u64) {
    let step = |item: usize, always: bool| {
        let (value, weight) = (knapsack.worth(item), knapsack.weights()[item]);
        Step { item, value, weight, always }
    };
    let always = fixed.iter().copied().chain(knapsack.forced_items());
    let mut steps: Vec<Step> = always.map(|item| step(item, true)).collect();
    let start = steps.iter().map(|step| step.weight).sum();
    steps.extend(free.iter().map(|item| step(*item, false)));
    steps.sort_unstable_by_key(|step| std::cmp::Reverse(step.item));
    (steps, start)
}
