//! Sets by density: fast, and good except where one item fills the budget.

use super::front::FrontPoint;
use super::knapsack::{Knapsack, Subset};
use crate::error::Result;

/// The nested sets of the densest items: none, the densest, the two densest, ...
#[derive(Clone, Debug, PartialEq)]
pub struct Prefixes {
    order: Vec<usize>,
    forced: Vec<usize>,
    points: Vec<FrontPoint>,
}

impl Prefixes {
    /// Weight and value of each set, from the smallest. Forced items belong to all of them.
    #[must_use]
    pub fn points(&self) -> &[FrontPoint] {
        &self.points
    }

    /// The items of the set of the `k` densest; none if there are fewer.
    #[must_use]
    pub fn subset(&self, k: usize) -> Option<Subset> {
        let FrontPoint { weight, value } = *self.points.get(k)?;
        let mut items = [&self.order[..k], &self.forced].concat();
        items.sort_unstable();
        Some(Subset { items, value, weight })
    }
}

impl Knapsack {
    /// The nested sets of the densest items. They hold every vertex of the front's upper hull, and only those are sure
    /// to be best for some budget.
    ///
    /// # Source
    /// arXiv 2505.12579: groups are added by falling influence for each parameter.
    #[must_use]
    pub fn greedy_prefixes(&self) -> Prefixes {
        let (weight, value) = (self.forced_weight(), self.forced_value());
        let point = |k| {
            let (w, v) = self.relaxation().sum(k);
            FrontPoint { weight: weight + w, value: value + v }
        };
        Prefixes {
            order: self.order().to_vec(),
            forced: self.forced_items().collect(),
            points: (0..=self.relaxation().len()).map(point).collect(),
        }
    }

    /// The longest prefix of [`Knapsack::order`] that fits.
    ///
    /// # Errors
    /// [`crate::Error::ForcedTooHeavy`] if the forced items alone exceed `budget`.
    pub fn greedy_stop(&self, budget: u64) -> Result<Subset> {
        let k = self.relaxation().split(self.room(budget)?);
        Ok(self.subset(self.order()[..k].to_vec()))
    }

    /// Goes through [`Knapsack::order`] and takes what still fits.
    ///
    /// # Errors
    /// [`crate::Error::ForcedTooHeavy`] if the forced items alone exceed `budget`.
    pub fn greedy_fill(&self, budget: u64) -> Result<Subset> {
        Ok(self.subset(self.fill(self.room(budget)?)))
    }

    fn fill(&self, mut room: u64) -> Vec<usize> {
        let mut chosen = Vec::new();
        for (_, item, _, weight) in self.relaxation().items() {
            if weight <= room {
                room -= weight;
                chosen.push(item);
            }
        }
        chosen
    }

    /// The most valuable item that fits, with those that have no weight. Equal values: the lighter, then the one with
    /// the lower index.
    ///
    /// # Errors
    /// [`crate::Error::ForcedTooHeavy`] if the forced items alone exceed `budget`.
    pub fn best_single(&self, budget: u64) -> Result<Subset> {
        let room = self.room(budget)?;
        let (light, heavy): (Vec<_>, Vec<_>) =
            self.relaxation().items().partition(|(_, _, _, weight)| *weight == 0);
        let fits = heavy.into_iter().filter(|(_, _, _, weight)| *weight <= room);
        let best =
            fits.min_by(|(_, i, v, w), (_, j, u, x)| u.total_cmp(v).then(w.cmp(x)).then(i.cmp(j)));
        Ok(self.subset(light.into_iter().chain(best).map(|(_, item, _, _)| item).collect()))
    }

    /// The better of [`Knapsack::greedy_fill`] and [`Knapsack::best_single`]: at least half of the optimum.
    ///
    /// # Errors
    /// [`crate::Error::ForcedTooHeavy`] if the forced items alone exceed `budget`.
    pub fn greedy_half(&self, budget: u64) -> Result<Subset> {
        let (fill, single) = (self.greedy_fill(budget)?, self.best_single(budget)?);
        Ok(if fill.value < single.value { single } else { fill })
    }

    /// The best of several cheap sets, to start a search with: [`Knapsack::greedy_half`], and the longest prefix with
    /// one item more, or one longer than that with one item less.
    pub(super) fn incumbent(&self, budget: u64) -> Result<Subset> {
        let room = self.room(budget)?;
        let dense = self.relaxation();
        let k = dense.split(room);
        let (weight, _) = dense.sum(k);
        let spare = room - weight;
        let most = |a: &f64, b: &f64| a.total_cmp(b);
        let add = dense.items().skip(k).filter(|(_, _, _, w)| *w <= spare);
        let add = add.max_by(|(_, _, a, _), (_, _, b, _)| most(a, b));
        let mut best = self.greedy_half(budget)?;
        let mut offer = |chosen: Vec<usize>| {
            let subset = self.subset(chosen);
            if best.value < subset.value {
                best = subset;
            }
        };
        if let Some((_, item, _, _)) = add {
            offer(self.order()[..k].iter().copied().chain([item]).collect());
        }
        if k < dense.len() {
            let excess = dense.weight(k) - spare;
            let drop = dense.items().take(k).filter(|(_, _, _, w)| excess <= *w);
            if let Some((at, ..)) = drop.min_by(|(_, _, a, _), (_, _, b, _)| most(a, b)) {
                let kept = self.order()[..=k].iter().enumerate().filter(|(j, _)| *j != at);
                offer(kept.map(|(_, item)| *item).collect());
            }
        }
        Ok(best)
    }
}
