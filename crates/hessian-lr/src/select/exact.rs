//! One best trade-off: the most value within a budget, or the least weight that is worth enough.

use super::knapsack::{Knapsack, Subset};
use super::reduction::Reduction;
use crate::error::{Error, Result};

impl Knapsack {
    /// The most valuable set within `budget`; of equally valuable ones the lightest, then that whose sorted indices come
    /// first. Empty where nothing fits.
    ///
    /// Bounds fix most items; the rest is the method of lists without the points that bounds rule out.
    ///
    /// # Errors
    /// [`Error::ForcedTooHeavy`] if the forced items alone exceed `budget`; [`Error::FrontTooLarge`] beyond two million
    /// points, for which [`Knapsack::branch_and_bound`] is meant.
    ///
    /// # Source
    /// arXiv 2505.12579: the loss under a bound on the number of trained parameters.
    pub fn solve_exact(&self, budget: u64) -> Result<Subset> {
        let everything = self.everything();
        if everything.weight <= budget {
            return Ok(everything);
        }
        let incumbent = self.incumbent(budget)?;
        let reduction = Reduction::new(self, budget, incumbent.value)?;
        let list = reduction.trade_offs(self, true)?;
        let best = list.heads.last().map(|head| {
            let free = list.links.items(*head);
            self.subset([reduction.fixed, free].concat())
        });
        Ok(best.unwrap_or(incumbent))
    }

    /// The lightest set whose value is at least `required`; of equally light ones the most valuable, then that whose
    /// sorted indices come first. Empty where nothing is required.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for NaN, [`Error::Unreachable`] if all items together have less value;
    /// [`Error::FrontTooLarge`] beyond two million points.
    ///
    /// # Source
    /// arXiv 2505.12579: the number of trained parameters under a bound on the loss.
    pub fn solve_reaching(&self, required: f64) -> Result<Subset> {
        self.check_required(required)?;
        let incumbent = self.light_incumbent(required);
        let reduction = Reduction::new(self, incumbent.weight, required)?;
        let list = reduction.trade_offs(self, false)?;
        let point = list.values.partition_point(|value| *value < required);
        let lightest = list.heads.get(point).map(|head| {
            let free = list.links.items(*head);
            self.subset([reduction.fixed, free].concat())
        });
        Ok(lightest.unwrap_or(incumbent))
    }

    /// Refuses what no set reaches.
    pub(super) fn check_required(&self, required: f64) -> Result<()> {
        let most = self.everything().value;
        if required.is_nan() {
            Err(Error::InvalidSetting { name: "required value", must: "a number", got: required })
        } else if required <= most {
            Ok(())
        } else {
            Err(Error::Unreachable { required, most })
        }
    }

    /// A set that reaches `required`, which some set does: the shortest prefix, or one shorter than it with the lightest
    /// item that is enough, without what is then too much.
    fn light_incumbent(&self, required: f64) -> Subset {
        let dense = self.relaxation();
        let base = self.forced_value();
        let reaches = |k: &usize| required <= base + dense.sum(*k).1;
        let Some(k) = (0..=dense.len()).find(reaches) else { return self.everything() };
        let mut chosen = self.order()[..k].to_vec();
        if let Some(shorter) = k.checked_sub(1) {
            let missing = required - (base + dense.sum(shorter).1);
            let enough = dense.items().skip(shorter).filter(|(_, _, value, _)| missing <= *value);
            if let Some((_, item, _, _)) = enough.min_by_key(|(_, _, _, weight)| *weight) {
                chosen[shorter] = item;
            }
        }
        let weights = self.weights();
        let mut value = base + chosen.iter().map(|i| self.worth(*i)).sum::<f64>();
        // What weighs nothing stays.
        for at in (0..chosen.len()).rev().filter(|at| 0 < weights[chosen[*at]]).collect::<Vec<_>>()
        {
            if required <= value - self.worth(chosen[at]) {
                value -= self.worth(chosen.remove(at));
            }
        }
        let subset = self.subset(chosen);
        // Sums in another order may miss the last bit.
        if required <= subset.value { subset } else { self.everything() }
    }
}
