//! Partitions of leaves: for clipping, rates, filters and the choice of subsets.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::tree::Tree;

/// Each leaf name in one of `n` groups, numbered from zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Groups {
    of: BTreeMap<String, usize>,
    names: Vec<String>,
}

impl Groups {
    /// All leaves in one group.
    #[must_use]
    pub fn one(tree: &Tree) -> Self {
        Self::by(tree, |_| "all".into())
    }

    /// Each leaf in a group of its own.
    #[must_use]
    pub fn per_leaf(tree: &Tree) -> Self {
        Self::by(tree, str::to_owned)
    }

    /// Leaves whose names agree up to the last dot together: `fc.weight` and `fc.bias`.
    #[must_use]
    pub fn per_layer(tree: &Tree) -> Self {
        Self::by(tree, |name| name.rsplit_once('.').map_or(name, |(layer, _)| layer).to_owned())
    }

    /// Leaves together for which `label` gives the same string. Groups are numbered in the order of
    /// the first leaf of each.
    #[must_use]
    pub fn by(tree: &Tree, label: impl Fn(&str) -> String) -> Self {
        let mut names: Vec<String> = Vec::new();
        let mut of = BTreeMap::new();
        for name in tree.names() {
            let label = label(name);
            let group = names.iter().position(|n| *n == label).unwrap_or_else(|| {
                names.push(label);
                names.len() - 1
            });
            of.insert(name.to_owned(), group);
        }
        Groups { of, names }
    }

    /// Groups given as lists of leaf names.
    ///
    /// # Errors
    /// [`Error::Groups`] if a leaf of `tree` is in no list or in two, a list names an unknown leaf, or is empty.
    pub fn from_lists(tree: &Tree, lists: &[Vec<String>]) -> Result<Self> {
        let mut of = BTreeMap::new();
        for (group, list) in lists.iter().enumerate() {
            if list.is_empty() {
                return Err(Error::Groups { reason: format!("group {group} is empty") });
            }
            for name in list {
                if tree.get(name).is_none() {
                    return Err(Error::Groups {
                        reason: format!("group {group} names `{name}`, which is not a leaf"),
                    });
                }
                if let Some(other) = of.insert(name.clone(), group) {
                    return Err(Error::Groups {
                        reason: format!("leaf `{name}` is in groups {other} and {group}"),
                    });
                }
            }
        }
        if let Some(name) = tree.names().find(|name| !of.contains_key(*name)) {
            return Err(Error::Groups { reason: format!("leaf `{name}` is in no group") });
        }
        Ok(Groups { of, names: (0..lists.len()).map(|k| format!("group{k}")).collect() })
    }

    /// Number of groups.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is no group.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Names of the groups.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The group of a leaf.
    ///
    /// # Errors
    /// [`Error::Groups`] if the leaf is in none.
    pub fn of(&self, leaf: &str) -> Result<usize> {
        self.of
            .get(leaf)
            .copied()
            .ok_or_else(|| Error::Groups { reason: format!("leaf `{leaf}` is in no group") })
    }

    /// The leaves of one group, in order.
    pub fn members(&self, group: usize) -> impl Iterator<Item = &str> {
        self.of.iter().filter(move |(_, g)| **g == group).map(|(name, _)| name.as_str())
    }

    /// Whether the groups cover exactly the leaves of `tree`.
    ///
    /// # Errors
    /// [`Error::Groups`] with the first leaf that does not fit.
    pub fn check(&self, tree: &Tree) -> Result<()> {
        for name in tree.names() {
            self.of(name)?;
        }
        match self.of.keys().find(|name| tree.get(name).is_none()) {
            Some(name) => {
                Err(Error::Groups { reason: format!("`{name}` is not a leaf of the tree") })
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};

    use super::*;

    fn tree() -> Tree {
        let leaf = || Tensor::zeros(2, DType::F32, &Device::Cpu).unwrap();
        Tree::from_leaves(["a.weight", "a.bias", "b.weight"].map(|n| (n, leaf()))).unwrap()
    }

    #[test]
    fn a_layer_is_what_stands_before_the_last_dot() {
        let groups = Groups::per_layer(&tree());
        assert_eq!(groups.names(), ["a", "b"]);
        assert_eq!(groups.members(0).collect::<Vec<_>>(), ["a.bias", "a.weight"]);
        assert_eq!(Groups::per_leaf(&tree()).len(), 3);
        assert_eq!(Groups::one(&tree()).len(), 1);
    }

    #[test]
    fn lists_must_be_a_partition() {
        let name = |s: &str| s.to_owned();
        let bad = [
            vec![vec![name("a.weight"), name("a.bias")]],
            vec![vec![name("a.weight"), name("a.bias"), name("b.weight"), name("c")]],
            vec![vec![name("a.weight"), name("a.bias")], vec![name("a.bias"), name("b.weight")]],
            vec![vec![], vec![name("a.weight"), name("a.bias"), name("b.weight")]],
        ];
        for lists in bad {
            assert!(matches!(Groups::from_lists(&tree(), &lists), Err(Error::Groups { .. })));
        }
        let good = [vec![name("a.weight")], vec![name("a.bias"), name("b.weight")]];
        assert_eq!(Groups::from_lists(&tree(), &good).unwrap().of("b.weight").unwrap(), 1);
    }
}
