//! What a probe phase found of each group.

use std::collections::BTreeMap;

use super::choice::{Choice, Chooser};
use crate::error::{Error, Result};
use crate::influence::Influence;
use crate::select::Item;

/// What a probe phase found, and what it cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Findings {
    /// Steps of training, each with one gradient.
    pub n_steps: u64,
    /// Fits of all groups.
    pub n_fits: u64,
    /// Losses that were evaluated for rates and fits, each one forward pass over a batch.
    pub n_forwards: u64,
    /// One for each group.
    pub groups: Vec<GroupFindings>,
}

/// What was found of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupFindings {
    /// Its name.
    pub name: String,
    /// What fits said, and its size.
    pub influence: Influence,
    /// Its values, by the name of the criterion.
    pub values: BTreeMap<String, f64>,
}

impl Findings {
    /// Names of the criteria by which groups have values.
    #[must_use]
    pub fn criteria(&self) -> Vec<&str> {
        self.groups.first().map_or(Vec::new(), |g| g.values.keys().map(String::as_str).collect())
    }

    /// Groups as items of a knapsack.
    ///
    /// # Errors
    /// [`Error::Unknown`] if a group has no value by this criterion.
    pub fn items(&self, criterion: &str) -> Result<Vec<Item>> {
        let item = |group: &GroupFindings| match group.values.get(criterion) {
            Some(value) => {
                Ok(Item { name: group.name.clone(), value: *value, weight: group.influence.size })
            }
            None => Err(Error::Unknown {
                what: "criterion",
                name: criterion.to_owned(),
                known: group.values.keys().cloned().collect(),
            }),
        };
        self.groups.iter().map(item).collect()
    }

    /// Groups chosen by their values by one criterion.
    ///
    /// # Errors
    /// As [`Findings::items`] and [`Chooser::choose`].
    pub fn choose(&self, criterion: &str, chooser: &Chooser) -> Result<Choice> {
        chooser.choose(&self.items(criterion)?)
    }
}
