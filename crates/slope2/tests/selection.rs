//! Folds, scores and cross-validation.

mod cross_validation;
mod folds;
mod refits;
mod scores;
