//! The knapsack: exact, greedy, and against brute force.
