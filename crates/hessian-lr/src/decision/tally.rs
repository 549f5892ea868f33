//! How often each decision was taken.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Decision;

/// Counts of decisions, by the name of the decision where it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally(BTreeMap<Decision, u64>);

impl Tally {
    /// One more.
    pub fn add(&mut self, decision: Decision) {
        let count = self.0.entry(decision).or_insert(0);
        *count = count.saturating_add(1);
    }

    /// How often this was decided.
    #[must_use]
    pub fn count(&self, decision: Decision) -> u64 {
        self.0.get(&decision).copied().unwrap_or(0)
    }

    /// Fits that were not accepted.
    #[must_use]
    pub fn rejected(&self) -> u64 {
        self.iter().filter(|(d, _)| *d != Decision::Accept).fold(0, |n, (_, k)| n.saturating_add(k))
    }

    /// What was decided at least once, with how often.
    pub fn iter(&self) -> impl Iterator<Item = (Decision, u64)> + '_ {
        self.0.iter().map(|(decision, count)| (*decision, *count)).filter(|(_, count)| 0 < *count)
    }
}

/// The reasons of fits that were not accepted: `flat 2, below_noise 1`; empty where all were.
impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rejected = self.iter().filter(|(decision, _)| *decision != Decision::Accept);
        for (i, (decision, count)) in rejected.enumerate() {
            let separator = if i == 0 { "" } else { ", " };
            write!(f, "{separator}{decision} {count}")?;
        }
        Ok(())
    }
}
