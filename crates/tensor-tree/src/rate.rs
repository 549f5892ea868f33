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
    /// [`Error::Groups`] if the leaf is in no group, or its group has no rate.
    pub fn of(&self, leaf: &str) -> Result<f64> {
        match self {
            Rates::Uniform(rate) => Ok(*rate),
            Rates::Grouped { groups, rates } => {
                let group = groups.of(leaf)?;
                let missing = || Error::Groups {
                    reason: format!(
                        "`{leaf}` is in group {group}, and there are {} rates",
                        rates.len()
                    ),
                };
                rates.get(group).copied().ok_or_else(missing)
            }
        }
    }
}

impl From<f64> for Rates {
    fn from(rate: f64) -> Self {
        Rates::Uniform(rate)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};

    use super::*;
    use crate::tree::Tree;

    #[test]
    fn every_group_needs_a_rate() {
        let leaf = || Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap();
        let tree = Tree::from_leaves([("a", leaf()), ("b", leaf())]).unwrap();
        let groups = Groups::per_leaf(&tree);
        assert!(matches!(Rates::grouped(groups.clone(), vec![0.1]), Err(Error::Groups { .. })));
        let rates = Rates::grouped(groups.clone(), vec![0.1, 0.2]).unwrap();
        assert_eq!((rates.of("a").unwrap(), rates.of("b").unwrap()), (0.1, 0.2));
        assert!(matches!(rates.of("c"), Err(Error::Groups { .. })));
        // The fields are public, so rates may be short without `grouped`.
        let short = Rates::Grouped { groups, rates: vec![0.1] };
        assert!(short.of("a").is_ok() && matches!(short.of("b"), Err(Error::Groups { .. })));
    }
}
