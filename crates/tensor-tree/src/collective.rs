//! Sums over the processes of a group.

use crate::error::Result;
use crate::key::Key;
use crate::tree::Tree;

/// A group of processes that train together.
pub trait Collective {
    /// This process's number.
    fn rank(&self) -> usize;
    /// Number of processes.
    fn world_size(&self) -> usize;
    /// The sum of everyone's tree, the same on every process, in a fixed order.
    ///
    /// # Errors
    /// If the transport fails or the trees differ in structure.
    fn all_reduce_sum(&self, tree: Tree) -> Result<Tree>;
    /// Whether every process holds this key; compared by fingerprint.
    ///
    /// # Errors
    /// If the transport fails.
    fn agree_on(&self, key: Key) -> Result<bool>;
    /// Overwrites `bytes` with those of process 0, of the same length on every process.
    ///
    /// # Privacy
    /// Secret keys go this way. The transport must be secret: who sees the bytes can subtract the noise.
    ///
    /// # Errors
    /// If the transport fails or the lengths differ.
    fn broadcast(&self, bytes: &mut [u8]) -> Result<()>;
}

/// A group of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SingleProcess;

impl Collective for SingleProcess {
    fn rank(&self) -> usize {
        0
    }

    fn world_size(&self) -> usize {
        1
    }

    fn all_reduce_sum(&self, tree: Tree) -> Result<Tree> {
        Ok(tree)
    }

    fn agree_on(&self, _key: Key) -> Result<bool> {
        Ok(true)
    }

    fn broadcast(&self, _bytes: &mut [u8]) -> Result<()> {
        Ok(())
    }
}
