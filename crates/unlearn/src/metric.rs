//! Metrics of single texts and of samples: plain functions of strings and numbers.

pub mod attack;
pub mod auc;
pub mod calibrated;
pub mod exact_match;
pub mod ks;
pub mod mean;
pub mod memorization;
pub mod min_k;
pub mod porter;
pub mod probability;
pub mod rouge;
pub mod truth_ratio;
