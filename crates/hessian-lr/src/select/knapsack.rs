//! The items of a knapsack, checked once.

use super::budget::Budget;
use super::relaxation::Relaxation;
use crate::error::{Error, Result};

/// Something that can be chosen: a group of parameters.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Item {
    /// Its name, for messages.
    pub name: String,
    /// What choosing it brings. Not finite or not positive: it is never chosen.
    pub value: f64,
    /// What choosing it costs: its number of parameters.
    pub weight: u64,
}

/// A set of items of a [`Knapsack`].
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Subset {
    /// Their indices, ascending; those of forced items are among them.
    pub items: Vec<usize>,
    /// The sum of their values. A forced item without a finite, positive value counts as 0.
    pub value: f64,
    /// The sum of their weights.
    pub weight: u64,
}

/// Items with values and weights, and those among them that are chosen in any case.
///
/// # Examples
/// ```
/// use hessian_lr::select::Knapsack;
///
/// // The densest item alone, or the one that fills the budget?
/// let knapsack = Knapsack::new(&[2.0, 100.0], &[1, 100])?;
/// assert_eq!(knapsack.greedy_fill(100)?.value, 2.0);
/// assert_eq!(knapsack.solve_exact(100)?.value, 100.0);
/// # Ok::<(), hessian_lr::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Knapsack {
    names: Vec<String>,
    values: Vec<f64>,
    weights: Vec<u64>,
    total_weight: u64,
    forced: Vec<bool>,
    forced_weight: u64,
    forced_value: f64,
    relaxation: Relaxation,
}

impl Knapsack {
    /// Items without names.
    ///
    /// # Errors
    /// [`Error::Length`] if there are not as many weights as values, [`Error::WeightOverflow`] if the weights add up to
    /// more than a `u64` holds, [`Error::ValueOverflow`] if the finite, positive values add up to infinity.
    pub fn new(values: &[f64], weights: &[u64]) -> Result<Knapsack> {
        Knapsack::build(Vec::new(), values.to_vec(), weights.to_vec())
    }

    /// Items with names.
    ///
    /// # Errors
    /// Those of [`Knapsack::new`].
    pub fn from_items(items: impl IntoIterator<Item = Item>) -> Result<Knapsack> {
        let (mut names, mut values, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for Item { name, value, weight } in items {
            names.push(name);
            values.push(value);
            weights.push(weight);
        }
        Knapsack::build(names, values, weights)
    }

    fn build(names: Vec<String>, values: Vec<f64>, weights: Vec<u64>) -> Result<Knapsack> {
        let n = values.len();
        if weights.len() != n {
            return Err(Error::Length { name: "weights", expected: n, got: weights.len() });
        }
        let mut knapsack = Knapsack {
            names,
            values,
            weights,
            total_weight: 0,
            forced: vec![false; n],
            forced_weight: 0,
            forced_value: 0.0,
            relaxation: Relaxation::default(),
        };
        let mut value = 0.0;
        for i in 0..n {
            let (sum, weight) = (knapsack.total_weight, knapsack.weights[i]);
            let overflow = || Error::WeightOverflow { item: knapsack.label(i), weight, sum };
            knapsack.total_weight = sum.checked_add(weight).ok_or_else(overflow)?;
            value += knapsack.worth(i);
            if value == f64::INFINITY {
                let value = knapsack.values[i];
                return Err(Error::ValueOverflow { item: knapsack.label(i), value });
            }
        }
        knapsack.relax();
        Ok(knapsack)
    }

    /// The same items, where those with these indices are chosen in any case and charged first.
    ///
    /// # Errors
    /// [`Error::NoItem`] if there is no item with such an index.
    pub fn with_forced(mut self, forced: &[usize]) -> Result<Knapsack> {
        let n_items = self.n_items();
        self.forced = vec![false; n_items];
        for &index in forced {
            *self.forced.get_mut(index).ok_or(Error::NoItem { index, n_items })? = true;
        }
        self.relax();
        Ok(self)
    }

    /// The same items beside `weight` parameters that belong to no item and stay frozen: they count in the total that fractions
    /// and shares refer to.
    ///
    /// # Errors
    /// [`Error::WeightOverflow`] if all weights together are more than a `u64` holds.
    pub fn with_others(mut self, weight: u64) -> Result<Knapsack> {
        let sum = self.weights.iter().sum();
        let overflow = || Error::WeightOverflow { item: "outside".into(), weight, sum };
        self.total_weight = sum.checked_add(weight).ok_or_else(overflow)?;
        Ok(self)
    }

    /// Sums over what is forced, and the relaxation over what can be chosen.
    fn relax(&mut self) {
        let forced: Vec<usize> = self.forced_items().collect();
        self.forced_weight = forced.iter().map(|i| self.weights[*i]).sum();
        self.forced_value = forced.iter().map(|i| self.worth(*i)).sum();
        let useful = (0..self.n_items()).filter(|i| self.is_useful(*i)).collect();
        self.relaxation = Relaxation::new(useful, &self.values, &self.weights);
    }

    /// Number of items.
    #[must_use]
    pub fn n_items(&self) -> usize {
        self.values.len()
    }

    /// The values as they were given.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The weights.
    #[must_use]
    pub fn weights(&self) -> &[u64] {
        &self.weights
    }

    /// The sum of all weights, those of items that cannot be chosen and of [`Knapsack::with_others`] included.
    #[must_use]
    pub fn total_weight(&self) -> u64 {
        self.total_weight
    }

    /// `budget` as a number of parameters of this list.
    ///
    /// # Errors
    /// Those of [`Budget::count`].
    pub fn count(&self, budget: impl Into<Budget>) -> Result<u64> {
        budget.into().count(self.total_weight)
    }

    /// Whether the item with this index is chosen in any case; no item is none.
    #[must_use]
    pub fn is_forced(&self, index: usize) -> bool {
        self.forced.get(index).copied().unwrap_or(false)
    }

    /// The sum of the weights of forced items.
    #[must_use]
    pub fn forced_weight(&self) -> u64 {
        self.forced_weight
    }

    /// The items that can be chosen and are not forced, by falling value for each unit of weight. Equal ratios: the
    /// lighter first, then the one with the lower index.
    #[must_use]
    pub fn order(&self) -> &[usize] {
        self.relaxation.order()
    }

    /// All items that can be chosen, and the forced ones: the most that any budget buys.
    #[must_use]
    pub fn everything(&self) -> Subset {
        self.subset(self.order().to_vec())
    }

    /// The forced items alone.
    #[must_use]
    pub fn only_forced(&self) -> Subset {
        self.subset(Vec::new())
    }

    /// The name of an item for messages, or its index where items have no names.
    pub(super) fn label(&self, index: usize) -> String {
        self.names.get(index).cloned().unwrap_or_else(|| index.to_string())
    }

    pub(super) fn relaxation(&self) -> &Relaxation {
        &self.relaxation
    }

    /// What an item adds to the value of a set.
    pub(super) fn worth(&self, index: usize) -> f64 {
        let value = self.values[index];
        if value.is_finite() && 0.0 < value { value } else { 0.0 }
    }

    /// The sum of the values of forced items.
    pub(super) fn forced_value(&self) -> f64 {
        self.forced_value
    }

    /// Indices of the forced items, ascending.
    pub(super) fn forced_items(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.n_items()).filter(|i| self.forced[*i])
    }

    fn is_useful(&self, index: usize) -> bool {
        !self.forced[index] && 0.0 < self.worth(index)
    }

    /// What is left of a budget for items that are not forced.
    pub(super) fn room(&self, budget: u64) -> Result<u64> {
        let weight = self.forced_weight;
        budget.checked_sub(weight).ok_or(Error::ForcedTooHeavy { weight, budget })
    }

    /// The set of the forced items and of those in `chosen`, which are not forced and in no order.
    pub(super) fn subset(&self, mut chosen: Vec<usize>) -> Subset {
        chosen.extend(self.forced_items());
        chosen.sort_unstable();
        // From the last to the first, as the lists and the table add, so that equal sets have equal values.
        let value = chosen.iter().rev().fold(0.0, |sum, i| sum + self.worth(*i));
        let weight = chosen.iter().map(|i| self.weights[*i]).sum();
        Subset { items: chosen, value, weight }
    }

    /// The largest relative difference that the order of summation makes.
    pub(super) fn rounding(&self) -> f64 {
        4.0 * (self.n_items() + 1) as f64 * f64::EPSILON
    }
}
