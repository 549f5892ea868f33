//! All best trade-offs of value and weight.

use super::hull;
use super::knapsack::{Knapsack, Subset};
use super::lists::{List, trade_offs};
use super::reduction::steps;
use crate::error::{Error, Result};

/// A trade-off: no set of at most this weight has more value.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct FrontPoint {
    /// Sum of the weights.
    pub weight: u64,
    /// Sum of the values.
    pub value: f64,
}

/// The Pareto front: every trade-off, by strictly rising weight and value. Holds at least one point.
///
/// Takes 20 bytes for each point, and 8 for each link of the chains that its sets share.
#[derive(Clone, Debug)]
pub struct Front<'a> {
    knapsack: &'a Knapsack,
    list: List,
}

impl Knapsack {
    /// All best trade-offs of value and weight.
    ///
    /// # Errors
    /// [`Error::FrontTooLarge`] beyond two million points: their number is at most that of the different total weights,
    /// and grows with every item where weights hardly repeat.
    ///
    /// # Source
    /// Nemhauser and Ullmann, Discrete dynamic programming and capital allocation, Management Science 15 (1969).
    ///
    /// # Examples
    /// ```
    /// use hessian_lr::select::Knapsack;
    ///
    /// let knapsack = Knapsack::new(&[2.0, 100.0, -1.0], &[1, 100, 5])?;
    /// let front = knapsack.pareto_front()?;
    /// let weights: Vec<u64> = front.points().map(|point| point.weight).collect();
    /// assert_eq!(weights, [0, 1, 100, 101]);
    /// assert_eq!(front.best_within(100)?.items, [1]);
    /// # Ok::<(), hessian_lr::Error>(())
    /// ```
    pub fn pareto_front(&self) -> Result<Front<'_>> {
        let (steps, start) = steps(self, &[], self.order());
        let list = trade_offs(self.n_items(), &steps, start, u64::MAX, None)?;
        Ok(Front { knapsack: self, list })
    }
}

impl Front<'_> {
    /// Number of points, at least 1.
    #[must_use]
    pub fn n_points(&self) -> usize {
        self.list.weights.len()
    }

    /// The points, by rising weight.
    pub fn points(&self) -> impl DoubleEndedIterator<Item = FrontPoint> + '_ {
        let pairs = self.list.weights.iter().zip(&self.list.values);
        pairs.map(|(&weight, &value)| FrontPoint { weight, value })
    }

    /// The set of a point, counted from 0; none if there are fewer points.
    #[must_use]
    pub fn subset(&self, point: usize) -> Option<Subset> {
        let head = self.list.heads.get(point)?;
        Some(self.knapsack.subset(self.list.links.items(*head)))
    }

    /// The most valuable set within `budget`.
    ///
    /// # Errors
    /// [`Error::ForcedTooHeavy`] if the forced items alone exceed it.
    pub fn best_within(&self, budget: u64) -> Result<Subset> {
        if self.knapsack.everything().weight <= budget {
            return Ok(self.knapsack.everything());
        }
        let n = self.list.weights.partition_point(|weight| *weight <= budget);
        let weight = self.knapsack.forced_weight();
        let refused = Error::ForcedTooHeavy { weight, budget };
        n.checked_sub(1).and_then(|point| self.subset(point)).ok_or(refused)
    }

    /// The lightest set whose value is at least `required`.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for NaN, [`Error::Unreachable`] if all items together have less value.
    pub fn lightest_reaching(&self, required: f64) -> Result<Subset> {
        self.knapsack.check_required(required)?;
        let point = self.list.values.partition_point(|value| *value < required);
        // A last sum may miss what all items have by rounding.
        Ok(self.subset(point).unwrap_or_else(|| self.knapsack.everything()))
    }

    /// The vertices of the upper hull: the points that are best for some price of weight. Points on a line between
    /// two others, up to rounding, are none.
    #[must_use]
    pub fn hull(&self) -> Vec<FrontPoint> {
        hull::upper(self.points(), self.knapsack.rounding())
    }
}
