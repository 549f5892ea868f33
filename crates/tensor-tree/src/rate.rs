//! Learning rates, one for all leaves or one per group.

use crate::error::{Error, Result};
use crate::groups::Groups;

/// The rate that multiplies a direction before it is subtracted from the parameters.
#[derive(Clone, Debug, PartialEq)]
pub enum Rates {
    /// One rate for all leaves.
    Uniform(f64),
    /// One rate per group.
    Grouped {
        /// Which leaf is in which group.
        groups: Groups,
        /// One rate per group.
        rates: Vec<f64>,
    },
}

impl Rates {
    /// One rate for all leaves.
    #[must_use]
    pub fn uniform(rate: f64) -> Self {
        Rates::Uniform(rate)
    }

    /// One rate per group.
    ///
    /// # Errors
    /// [`Error::Groups`] unless there are as many rates as groups.
    pub fn grouped(groups: Groups, rates: Vec<f64>) -> Result<Self> {
        if groups.len() != rates.len() {
            return Err(Error::Groups {
                reason: format!("{} rates for {} groups", rates.len(), groups.len()),
            });
        }
        Ok(Rates::Grouped { groups, rates })
    }

    /// The rate of a leaf.
    ///
    /// # Errors
    /// [`Error::Groups`] if the leaf is in no group.
    pub fn of(&self, leaf: &str) -> Result<f64> {
        match self {
            Rates::Uniform(rate) => Ok(*rate),
            Rates::Grouped { groups, rates } => Ok(rates[groups.of(leaf)?]),
        }
    }
}

impl From<f64> for Rates {
    fn from(rate: f64) -> Self {
        Rates::Uniform(rate)
    }
}
