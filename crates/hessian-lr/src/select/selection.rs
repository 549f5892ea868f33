//! A choice that somebody will train: never empty.

use super::branch::{BranchAndBound, SearchEnd};
use super::budget::Budget;
use super::knapsack::{Knapsack, Subset};
use crate::error::{Error, Result};

/// Groups to train, at least one of them.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Selection {
    subset: Subset,
    bound: Option<f64>,
    n_items: usize,
    total_weight: u64,
}

impl Selection {
    /// Indices of the chosen groups, ascending, forced ones included.
    #[must_use]
    pub fn items(&self) -> &[usize] {
        &self.subset.items
    }

    /// The sum of their values: the loss that they are predicted to take away.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.subset.value
    }

    /// The number of their parameters.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.subset.weight
    }

    /// Their part of all parameters, in `[0, 1]`; 0 if there are none at all.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.subset.weight as f64 / self.total_weight.max(1) as f64
    }

    /// The most that any choice under the same constraint can be worth; none if the choice was not made for its value.
    #[must_use]
    pub fn bound(&self) -> Option<f64> {
        self.bound
    }

    /// Whether a group is chosen.
    #[must_use]
    pub fn contains(&self, item: usize) -> bool {
        self.subset.items.binary_search(&item).is_ok()
    }

    /// For each group whether it is chosen.
    #[must_use]
    pub fn mask(&self) -> Vec<bool> {
        let mut mask = vec![false; self.n_items];
        for item in &self.subset.items {
            mask[*item] = true;
        }
        mask
    }
}

/// The most valuable groups whose costs do not exceed `budget`.
///
/// # Errors
/// Those of [`Knapsack::new`] and of [`Knapsack::select`].
///
/// # Source
/// arXiv 2505.12579: `values` are predicted decreases of the loss, `costs` numbers of parameters.
///
/// # Examples
/// ```
/// use hessian_lr::select::{Budget, select};
///
/// let choice = select(&[0.3, 0.01, 0.2], &[100, 10_000, 50], Budget::Fraction(0.015))?;
/// assert_eq!(choice.items(), [0, 2]);
/// # Ok::<(), hessian_lr::Error>(())
/// ```
pub fn select(values: &[f64], costs: &[u64], budget: impl Into<Budget>) -> Result<Selection> {
    Knapsack::new(values, costs)?.select(budget)
}

impl Knapsack {
    /// The most valuable groups within `budget`, by [`Knapsack::solve_exact`].
    ///
    /// # Errors
    /// [`Error::NothingUseful`] if no group has a value, [`Error::NothingFits`] if none with a value fits; a choice of
    /// forced groups alone is no error. Those of [`Budget::count`] and [`Knapsack::solve_exact`].
    pub fn select(&self, budget: impl Into<Budget>) -> Result<Selection> {
        let budget = self.count(budget)?;
        let best = self.solve_exact(budget)?;
        let bound = Some(best.value);
        self.selection(best, bound, budget)
    }

    /// Groups within `budget` that no choice beats by more than the gap of `settings`, for lists that
    /// [`Knapsack::select`] refuses.
    ///
    /// # Errors
    /// [`Error::GapNotReached`] if the search ends before; else those of [`Knapsack::select`] and
    /// [`Knapsack::branch_and_bound`].
    pub fn select_within(
        &self,
        budget: impl Into<Budget>,
        settings: &BranchAndBound,
    ) -> Result<Selection> {
        let budget = self.count(budget)?;
        let found = self.branch_and_bound(budget, settings)?;
        let (wanted, reached) = (settings.relative_gap, found.relative_gap());
        if found.end == SearchEnd::MaxNodes && wanted < reached {
            return Err(Error::GapNotReached { wanted, reached, n_nodes: found.n_nodes });
        }
        self.selection(found.best, Some(found.bound), budget)
    }

    /// The fewest parameters whose value is at least `required`, by [`Knapsack::solve_reaching`].
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] unless `required` is positive: nothing would do. Those of [`Knapsack::solve_reaching`].
    pub fn select_reaching(&self, required: f64) -> Result<Selection> {
        if required.is_nan() || required <= 0.0 {
            let (name, must) = ("required value", "positive");
            return Err(Error::InvalidSetting { name, must, got: required });
        }
        let best = self.solve_reaching(required)?;
        self.selection(best, None, u64::MAX)
    }

    /// Freezes the groups whose influence for each parameter is below `ratio` of the largest. Groups without parameters
    /// have no such influence: they are kept if they have a value. Forced groups are kept, and do not set the largest.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] unless `ratio` is in `[0, 1]`, [`Error::NothingUseful`] if no group has a value and
    /// none is forced.
    ///
    /// # Source
    /// After the threshold on influence of arXiv 2501.06954, relative here. Value for each parameter is half of
    /// the influence there, which changes no ratio.
    pub fn freeze_below(&self, ratio: f64) -> Result<Selection> {
        if !(0.0..=1.0).contains(&ratio) {
            let (name, must) = ("ratio to the largest influence", "in [0, 1]");
            return Err(Error::InvalidSetting { name, must, got: ratio });
        }
        let density = |(_, _, value, weight): (usize, usize, f64, u64)| value / weight as f64;
        let dense = self.relaxation();
        let largest = dense.items().map(density).find(|d| d.is_finite()).unwrap_or(0.0);
        let kept = dense.items().take_while(|item| ratio * largest <= density(*item)).count();
        self.selection(self.subset(self.order()[..kept].to_vec()), None, u64::MAX)
    }

    /// Refuses the empty set.
    fn selection(&self, subset: Subset, bound: Option<f64>, budget: u64) -> Result<Selection> {
        let (n_items, total_weight) = (self.n_items(), self.total_weight());
        if !subset.items.is_empty() {
            return Ok(Selection { subset, bound, n_items, total_weight });
        }
        let weights = self.weights();
        Err(match self.order().iter().min_by_key(|i| weights[**i]) {
            Some(&i) => Error::NothingFits { budget, lightest: self.label(i), weight: weights[i] },
            None => {
                let n_not_finite = self.values().iter().filter(|v| !v.is_finite()).count();
                Error::NothingUseful { n_items, n_not_finite }
            }
        })
    }
}
