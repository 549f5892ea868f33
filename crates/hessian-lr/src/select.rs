//! Which groups to train under a budget: the 0-1 knapsack, exactly and greedily.
//!
//! A group has a value, the loss it is predicted to take away, and a weight, its number of parameters. Choosing groups
//! for both goals at once, a small loss and few trained parameters, becomes
//!
//! ```text
//! max  sum_k z_k v_k    subject to  sum_k z_k n_k <= budget,   z_k in {0, 1}
//! ```
//!
//! or, the other way round, the smallest weight whose value is large enough. [`select`] and the methods of
//! [`Knapsack`] named `select_..` are for callers who train what they get: they refuse an empty choice. The solvers
//! below them give the empty [`Subset`] where that is the answer.
//!
//! | method of [`Knapsack`] | gives | cost |
//! | --- | --- | --- |
//! | [`pareto_front`](Knapsack::pareto_front) | all best trade-offs | grows with the number of trade-offs |
//! | [`solve_exact`](Knapsack::solve_exact), [`solve_reaching`](Knapsack::solve_reaching) | one of them | the part of the front that bounds leave |
//! | [`branch_and_bound`](Knapsack::branch_and_bound) | a set and how far from the best it can be | at most as long as asked |
//! | [`solve_dp`](Knapsack::solve_dp) | the best for weights in coarse units | items times units |
//! | [`greedy_prefixes`](Knapsack::greedy_prefixes), `greedy_..` | sets by density | a sort |
//!
//! Items whose value is not finite and positive are never chosen. Items without weight and with a value always are.
//! Among equally valuable sets the lighter wins, then the one whose sorted indices come first. Values are added as
//! `f64`, from the last index to the first: sets whose values differ by less than the rounding of such a sum count as equal.
//!
//! # Source
//! arXiv 2505.12579: from two objectives to a knapsack, and sets by density as the Pareto front.

mod branch;
mod budget;
mod exact;
mod front;
mod greedy;
mod hull;
mod knapsack;
mod links;
mod lists;
mod reduction;
mod relaxation;
mod selection;
mod table;

pub use branch::{BranchAndBound, Certified, SearchEnd};
pub use budget::Budget;
pub use front::{Front, FrontPoint};
pub use greedy::Prefixes;
pub use knapsack::{Item, Knapsack, Subset};
pub use selection::{Selection, select};
