//! Which groups to train under a budget: the 0-1 knapsack, exactly and greedily.
