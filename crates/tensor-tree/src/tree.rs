//! Named trees of tensors: parameters, gradients, updates and optimizer memory are all one type.

mod arithmetic;

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};

/// An ordered map from parameter name to tensor.
///
/// The order is that of the names, so sums, saved files and noise do not depend on hashing or on the
/// order of construction. Leaves are never tracked by automatic differentiation.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    leaves: BTreeMap<String, Tensor>,
}

impl Tree {
    /// A tree without leaves.
    #[must_use]
    pub fn new() -> Self {
        Tree::default()
    }

    /// A tree of the given leaves, detached from any graph.
    ///
    /// # Errors
    /// [`Error::DuplicateLeaf`] if a name comes twice.
    pub fn from_leaves<N: Into<String>>(
        leaves: impl IntoIterator<Item = (N, Tensor)>,
    ) -> Result<Self> {
        let mut tree = Tree::new();
        for (name, tensor) in leaves {
            tree.insert(name, tensor)?;
        }
        Ok(tree)
    }

    /// Adds a leaf, detached from any graph.
    ///
    /// # Errors
    /// [`Error::DuplicateLeaf`] if the name is taken; the tree is then as before.
    pub fn insert(&mut self, name: impl Into<String>, tensor: Tensor) -> Result<()> {
        let name = name.into();
        if self.leaves.contains_key(&name) {
            return Err(Error::DuplicateLeaf { name });
        }
        self.leaves.insert(name, tensor.detach());
        Ok(())
    }

    /// The leaf of that name, if there is one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.leaves.get(name)
    }

    /// The leaf of that name.
    ///
    /// # Errors
    /// [`Error::MissingLeaf`].
    pub fn leaf(&self, name: &str) -> Result<&Tensor> {
        self.get(name).ok_or_else(|| Error::MissingLeaf { name: name.into(), n_leaves: self.len() })
    }

    /// Names and leaves, in the order of the names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Tensor)> {
        self.leaves.iter().map(|(name, leaf)| (name.as_str(), leaf))
    }

    /// The names, in order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.leaves.keys().map(String::as_str)
    }

    /// Number of leaves.
    #[must_use]
    pub fn len(&self) -> usize {
        self.leaves.len()
    }

    /// Whether there is no leaf.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }

    /// Number of elements over all leaves.
    #[must_use]
    pub fn n_elements(&self) -> usize {
        self.leaves.values().map(Tensor::elem_count).sum()
    }

    /// Applies `f` to each leaf.
    ///
    /// # Errors
    /// The first error of `f`.
    pub fn map(&self, mut f: impl FnMut(&str, &Tensor) -> Result<Tensor>) -> Result<Tree> {
        let mut leaves = BTreeMap::new();
        for (name, leaf) in &self.leaves {
            leaves.insert(name.clone(), f(name, leaf)?.detach());
        }
        Ok(Tree { leaves })
    }

    /// Applies `f` to the leaves of the same name in two trees of the same structure.
    ///
    /// # Errors
    /// As [`Tree::check_like`], or the first error of `f`.
    pub fn zip_map(
        &self,
        other: &Tree,
        mut f: impl FnMut(&Tensor, &Tensor) -> Result<Tensor>,
    ) -> Result<Tree> {
        self.check_like(other)?;
        self.map(|name, leaf| f(leaf, other.leaf(name)?))
    }

    /// Whether `other` has the same names and shapes.
    ///
    /// # Errors
    /// [`Error::MissingLeaf`], [`Error::UnexpectedLeaf`] or [`Error::ShapeMismatch`] for the first difference.
    pub fn check_like(&self, other: &Tree) -> Result<()> {
        for (name, leaf) in self.iter() {
            let theirs = other.leaf(name)?;
            if theirs.dims() != leaf.dims() {
                return Err(Error::ShapeMismatch {
                    name: name.into(),
                    expected: leaf.dims().to_vec(),
                    got: theirs.dims().to_vec(),
                });
            }
        }
        match other.names().find(|name| self.get(name).is_none()) {
            Some(name) => Err(Error::UnexpectedLeaf { name: name.into() }),
            None => Ok(()),
        }
    }

    /// Whether both have the same names and share their tensors: then their values are the same, and none have to be compared.
    #[must_use]
    pub fn shares_tensors(&self, other: &Tree) -> bool {
        let same = |((name, leaf), (other, tensor)): ((&str, &Tensor), (&str, &Tensor))| {
            name == other && leaf.id() == tensor.id()
        };
        self.len() == other.len() && self.iter().zip(other.iter()).all(same)
    }

    /// Splits the leaves in those for which `keep` holds and the others.
    #[must_use]
    pub fn partition(&self, mut keep: impl FnMut(&str) -> bool) -> (Tree, Tree) {
        let (kept, rest) =
            self.leaves.iter().map(|(n, t)| (n.clone(), t.clone())).partition(|(n, _)| keep(n));
        (Tree { leaves: kept }, Tree { leaves: rest })
    }

    /// The leaves of both trees.
    ///
    /// # Errors
    /// [`Error::DuplicateLeaf`] if a name is in both.
    pub fn union(&self, other: &Tree) -> Result<Tree> {
        let mut out = self.clone();
        for (name, leaf) in other.iter() {
            out.insert(name, leaf.clone())?;
        }
        Ok(out)
    }

    /// A tree of the same structure filled with zeros.
    ///
    /// # Errors
    /// From the back-end.
    pub fn zeros_like(&self) -> Result<Tree> {
        self.map(|_, leaf| Ok(leaf.zeros_like()?))
    }

    /// All leaves in another data type.
    ///
    /// # Errors
    /// From the back-end.
    pub fn to_dtype(&self, dtype: DType) -> Result<Tree> {
        self.map(|_, leaf| Ok(leaf.to_dtype(dtype)?))
    }

    /// The same values, leaves in half precision as `f32`: the types in which sums over many terms are made.
    ///
    /// # Errors
    /// From the back-end.
    pub fn widen(&self) -> Result<Tree> {
        self.map(|_, leaf| match leaf.dtype() {
            DType::F16 | DType::BF16 => Ok(leaf.to_dtype(DType::F32)?),
            _ => Ok(leaf.clone()),
        })
    }

    /// Each leaf on the device of the leaf of that name in `like`, and of its type: memory that was read from a file is on the host.
    /// Costs nothing where they agree.
    ///
    /// # Errors
    /// As [`Tree::check_like`].
    pub fn beside(&self, like: &Tree) -> Result<Tree> {
        self.zip_map(like, |leaf, like| {
            Ok(leaf.to_device(like.device())?.to_dtype(like.dtype())?)
        })
    }

    /// All leaves on another device.
    ///
    /// # Errors
    /// From the back-end.
    pub fn to_device(&self, device: &Device) -> Result<Tree> {
        self.map(|_, leaf| Ok(leaf.to_device(device)?))
    }
}

#[cfg(test)]
mod tests;
