//! Every row of `knapsack.json`.
