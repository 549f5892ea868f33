//! The table over all capacities, for weights in units.

use super::knapsack::{Knapsack, Subset};
use super::lists::Step;
use super::reduction::steps;
use crate::error::{Error, Result};

/// Most capacities of a table.
const MOST_UNITS: u64 = 10_000_000;
/// Most decisions that are remembered, a bit each: 1 GiB.
const MOST_DECISIONS: u64 = 1 << 33;

impl Knapsack {
    /// The most valuable set within `budget` if weights are rounded up to multiples of `unit`: never too heavy, and the
    /// set of [`Knapsack::solve_exact`] where `unit` divides `budget`, what is forced, and all weights. Of equally valuable
    /// sets the lightest in units, then that whose sorted indices come first.
    ///
    /// Takes as many steps as items times units.
    ///
    /// # Errors
    /// [`Error::ForcedTooHeavy`] if the forced items alone exceed `budget`, [`Error::InvalidSetting`] for a unit of 0,
    /// [`Error::TableTooLarge`] beyond ten million units or a gibibyte of decisions.
    ///
    /// # Source
    /// Bellman, Dynamic programming, Princeton University Press (1957).
    pub fn solve_dp(&self, budget: u64, unit: u64) -> Result<Subset> {
        if unit == 0 {
            return Err(Error::InvalidSetting {
                name: "unit of weight",
                must: "positive",
                got: 0.0,
            });
        }
        let everything = self.everything();
        if everything.weight <= budget {
            return Ok(everything);
        }
        let units = |weight: u64| weight.div_ceil(unit);
        let room = self.room(budget)? / unit;
        let fits = |item: usize| units(self.weights()[item]) <= room;
        let free = self.relaxation().filtered(fits);
        let needed: u64 =
            free.items().map(|(.., weight)| units(weight)).fold(0, u64::saturating_add);
        let (steps, _) = steps(self, &[], free.order());
        let chosen =
            Table::new(&steps, units, room.min(needed), free.len() as u64)?.best(&steps, units);
        Ok(self.subset(chosen))
    }
}

/// The values of all capacities, and which items were taken for them.
struct Table {
    values: Vec<f64>,
    /// A row of bits for each item that may be chosen.
    taken: Vec<u64>,
    n_words: usize,
}

impl Table {
    fn new(
        steps: &[Step],
        units: impl Fn(u64) -> u64,
        capacity: u64,
        n_free: u64,
    ) -> Result<Table> {
        let decisions = n_free.saturating_mul(capacity + 1);
        if MOST_UNITS < capacity || MOST_DECISIONS < decisions {
            return Err(Error::TableTooLarge { n_items: n_free, units: capacity });
        }
        let length = index(capacity) + 1;
        let n_words = length.div_ceil(64);
        let mut table = Table { values: vec![0.0; length], taken: Vec::new(), n_words };
        table.taken.reserve_exact(n_words * index(n_free));
        let mut old = vec![0.0; length];
        for step in steps {
            if step.always {
                table.values.iter_mut().for_each(|value| *value += step.value);
            } else {
                std::mem::swap(&mut old, &mut table.values);
                table.push(&old, step.value, index(units(step.weight)));
            }
        }
        Ok(table)
    }

    /// The row of one more item, from the `old` values.
    fn push(&mut self, old: &[f64], value: f64, units: usize) {
        for (word, new) in self.values.chunks_mut(64).enumerate() {
            let first = word * 64;
            let mut bits = 0;
            for (bit, new) in new.iter_mut().enumerate() {
                let capacity = first + bit;
                let without = old[capacity];
                let with =
                    capacity.checked_sub(units).map_or(f64::NEG_INFINITY, |c| old[c] + value);
                // The items after this one are in the old values: at equal value the lower index comes first.
                let takes = without <= with;
                *new = if takes { with } else { without };
                bits |= u64::from(takes) << bit;
            }
            self.taken.push(bits);
        }
    }

    /// The items of the lightest of the most valuable sets.
    fn best(&self, steps: &[Step], units: impl Fn(u64) -> u64) -> Vec<usize> {
        let most = self.values.last().copied().unwrap_or(0.0);
        let mut capacity = self.values.partition_point(|value| *value < most);
        let mut chosen = Vec::new();
        let rows = self.taken.chunks(self.n_words).rev();
        for (step, row) in steps.iter().filter(|step| !step.always).rev().zip(rows) {
            if row[capacity / 64] >> (capacity % 64) & 1 == 1 {
                chosen.push(step.item);
                capacity -= index(units(step.weight));
            }
        }
        chosen
    }
}

/// Numbers here are at most the limits of the table.
#[allow(clippy::cast_possible_truncation, reason = "checked against the limits of the table")]
fn index(number: u64) -> usize {
    number as usize
}
