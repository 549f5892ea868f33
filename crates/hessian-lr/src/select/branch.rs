//! Depth-first branch and bound: may stop early, and says how far from the best it can be.

use super::knapsack::{Knapsack, Subset};
use super::reduction::Reduction;
use super::relaxation::Relaxation;
use crate::error::{Error, Result};

/// How long to search.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct BranchAndBound {
    /// Ends when no set can be more valuable than the best found by more than this part of its value. 0: the optimum.
    pub relative_gap: f64,
    /// Most nodes to look at. 0: greedy sets and the bound of the relaxation, without a search.
    pub max_nodes: u64,
}

impl Default for BranchAndBound {
    /// The optimum, or what some seconds of search find.
    fn default() -> Self {
        BranchAndBound { relative_gap: 0.0, max_nodes: 50_000_000 }
    }
}

/// Why a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub enum SearchEnd {
    /// The gap that was asked for is certified.
    GapReached,
    /// The nodes were used up; the gap that is certified is a wider one.
    MaxNodes,
}

/// A set, and the most that any set can be worth.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Certified {
    /// The best set found.
    pub best: Subset,
    /// The optimum lies in `[best.value, bound]`, up to the rounding of sums.
    pub bound: f64,
    /// Nodes that were looked at; 0 if the root decided.
    pub n_nodes: u64,
    /// Why the search ended.
    pub end: SearchEnd,
}

impl Certified {
    /// By which part of its value the best set can be improved at most: `bound / value - 1`; 0 where both are 0.
    #[must_use]
    pub fn relative_gap(&self) -> f64 {
        if self.bound <= self.best.value { 0.0 } else { self.bound / self.best.value - 1.0 }
    }
}

impl Knapsack {
    /// A set within `budget` whose distance from the optimum is certified. Running out of nodes is a result and no
    /// error. With a gap of 0 that is reached the set is as valuable and as light as that of
    /// [`Knapsack::solve_exact`], though perhaps another such set.
    ///
    /// Weights that repeat, as the layers of a model do, leave gaps that no bound closes: there [`Knapsack::solve_exact`]
    /// is far faster. Where it finds too many trade-offs, this needs no memory.
    ///
    /// # Errors
    /// [`Error::ForcedTooHeavy`] if the forced items alone exceed `budget`, [`Error::InvalidSetting`] for a gap that is
    /// negative, infinite or NaN.
    ///
    /// # Source
    /// Horowitz and Sahni, Computing partitions with applications to the knapsack problem, Journal of the ACM 21
    /// (1974), with the bound of Dantzig; items that the bound at the root decides are fixed first.
    ///
    /// # Examples
    /// ```
    /// use hessian_lr::select::{BranchAndBound, Knapsack};
    ///
    /// let knapsack = Knapsack::new(&[5.0, 4.0, 3.0], &[4, 3, 2])?;
    /// let found = knapsack.branch_and_bound(6, &BranchAndBound::default())?;
    /// assert_eq!((found.best.items, found.bound), (vec![0, 2], 8.0));
    /// # Ok::<(), hessian_lr::Error>(())
    /// ```
    pub fn branch_and_bound(&self, budget: u64, settings: &BranchAndBound) -> Result<Certified> {
        let &BranchAndBound { relative_gap: got, max_nodes } = settings;
        if !(got.is_finite() && 0.0 <= got) {
            let (name, must) = ("relative gap", "finite and not negative");
            return Err(Error::InvalidSetting { name, must, got });
        }
        let everything = self.everything();
        if everything.weight <= budget {
            let bound = everything.value;
            let end = SearchEnd::GapReached;
            return Ok(Certified { best: everything, bound, n_nodes: 0, end });
        }
        let incumbent = self.incumbent(budget)?;
        let reduction = Reduction::new(self, budget, incumbent.value)?;
        let mut search = Search::new(self, &reduction, budget, &incumbent, got);
        let root = search.bound(search.root());
        let open = search.run(max_nodes);
        let free = search.best.iter().map(|k| reduction.free.order()[*k]);
        let best = self.subset(reduction.fixed.iter().copied().chain(free).collect());
        let end = if open.is_some() { SearchEnd::MaxNodes } else { SearchEnd::GapReached };
        // Bounds of parts exceed that of the whole by rounding only.
        let bound = open.map_or(search.given_up, |open| open.max(search.given_up)).min(root);
        Ok(Certified { bound: bound.max(best.value), best, n_nodes: search.n_nodes, end })
    }
}

/// What is decided: the items before `next`, with this value and this much room left.
#[derive(Clone, Copy)]
struct Node {
    next: usize,
    room: u64,
    value: f64,
}

struct Search<'a> {
    free: &'a Relaxation,
    room: u64,
    base: f64,
    /// Values closer than this may differ by rounding alone.
    slack: f64,
    /// One and the gap that is asked for.
    factor: f64,
    /// Whether no gap is left, so that the lighter of equally valuable sets is wanted too.
    exact: bool,
    /// Places of the best set's items in `free`.
    best: Vec<usize>,
    best_value: f64,
    best_weight: u64,
    /// The largest bound of a node that was left out for being within the gap.
    given_up: f64,
    /// The items taken on the way, with the node before each.
    taken: Vec<(usize, Node)>,
    n_nodes: u64,
}

impl<'a> Search<'a> {
    fn new(
        knapsack: &Knapsack,
        Reduction { fixed, free, .. }: &'a Reduction,
        budget: u64,
        incumbent: &Subset,
        relative_gap: f64,
    ) -> Self {
        let weights = knapsack.weights();
        let fixed_weight: u64 = fixed.iter().map(|i| weights[*i]).sum();
        let base = fixed.iter().fold(knapsack.forced_value(), |sum, i| sum + knapsack.worth(*i));
        let has = |item: usize| incumbent.items.binary_search(&item).is_ok();
        let best: Vec<usize> = free.items().filter(|(_, i, ..)| has(*i)).map(|(k, ..)| k).collect();
        let best_value = best.iter().fold(base, |sum, k| sum + free.value(*k));
        Search {
            free,
            room: budget - knapsack.forced_weight() - fixed_weight,
            base,
            slack: knapsack.rounding() * (base + free.sum(free.len()).1),
            factor: 1.0 + relative_gap,
            exact: relative_gap <= 0.0,
            best_weight: best.iter().map(|k| free.weight(*k)).sum(),
            best,
            best_value,
            given_up: 0.0,
            taken: Vec::new(),
            n_nodes: 0,
        }
    }

    fn root(&self) -> Node {
        Node { next: 0, room: self.room, value: self.base }
    }

    /// Searches; the largest bound of what is still open if the nodes do not suffice.
    fn run(&mut self, max_nodes: u64) -> Option<f64> {
        let mut node = self.root();
        loop {
            if self.is_promising(node) {
                if self.n_nodes == max_nodes {
                    let skipped = |(k, before): &(usize, Node)| Node { next: k + 1, ..*before };
                    let open = self.taken.iter().map(skipped).chain([node]);
                    return open.map(|node| self.bound(node)).reduce(f64::max);
                }
                self.n_nodes += 1;
                node = self.descend(node);
                if node.next < self.free.len() {
                    continue;
                }
            }
            let (k, before) = self.taken.pop()?;
            node = Node { next: k + 1, ..before };
        }
    }

    /// Takes the next items as long as they fit, and skips the one that does not.
    fn descend(&mut self, mut node: Node) -> Node {
        let end = self.split(node);
        for k in node.next..end {
            self.taken.push((k, node));
            node.room -= self.free.weight(k);
            node.value += self.free.value(k);
        }
        node.next = end + 1;
        let weight = self.room - node.room;
        let lighter = weight < self.best_weight;
        if self.best_value < node.value || lighter && self.best_value <= node.value {
            self.best = self.taken.iter().map(|(k, _)| *k).collect();
            (self.best_value, self.best_weight) = (node.value, weight);
        }
        node
    }

    /// Whether a better set may lie below: one more valuable by more than the gap or, where there is no gap, one as
    /// valuable and lighter.
    fn is_promising(&mut self, node: Node) -> bool {
        let bound = self.bound(node);
        if self.best_value * self.factor + self.slack < bound {
            return true;
        }
        if self.exact {
            let used = self.room - node.room;
            let Some(lighter) = self.best_weight.checked_sub(used + 1) else { return false };
            let room = node.room.min(lighter);
            return self.best_value - self.slack <= self.bound(Node { room, ..node });
        }
        if self.best_value + self.slack < bound {
            self.given_up = self.given_up.max(bound);
        }
        false
    }

    /// One past the last of the next items that fit one after the other.
    fn split(&self, node: Node) -> usize {
        if self.free.len() <= node.next {
            return self.free.len();
        }
        self.free.split(self.free.sum(node.next).0.saturating_add(node.room))
    }

    fn bound(&self, node: Node) -> f64 {
        if self.free.len() <= node.next {
            return node.value;
        }
        let (weight, value) = self.free.sum(node.next);
        let room = weight.saturating_add(node.room);
        node.value + (self.free.bound(room) - value)
    }
}
