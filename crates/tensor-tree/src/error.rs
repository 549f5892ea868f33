//! The one error type of the crate.

use std::path::PathBuf;

/// `Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with trees, transformations and checkpoints.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Two leaves of the same name have different shapes.
    #[error("leaf `{name}`: expected shape {expected:?}, got {got:?}")]
    ShapeMismatch {
        /// Leaf name.
        name: String,
        /// Shape that was required.
        expected: Vec<usize>,
        /// Shape that came.
        got: Vec<usize>,
    },
    /// A leaf that had to exist does not.
    #[error("leaf `{name}` is missing; the tree has {n_leaves} leaves")]
    MissingLeaf {
        /// Leaf name.
        name: String,
        /// Number of leaves the tree does have.
        n_leaves: usize,
    },
    /// A leaf appeared that the other tree lacks.
    #[error("leaf `{name}` was not expected here")]
    UnexpectedLeaf {
        /// Leaf name.
        name: String,
    },
    /// Two trees that must be disjoint share a leaf, or a leaf was inserted twice.
    #[error("leaf `{name}` appears twice")]
    DuplicateLeaf {
        /// Leaf name.
        name: String,
    },
    /// A data type for which an operation is not defined.
    #[error("{what}: data type {got} is not supported, expected {expected}")]
    UnsupportedDType {
        /// Operation or leaf.
        what: String,
        /// What is supported, in words.
        expected: &'static str,
        /// Name of the type that came.
        got: String,
    },
    /// A setting outside its range.
    #[error("{name} must be {must}, got {got}")]
    InvalidSetting {
        /// Setting.
        name: &'static str,
        /// Permitted range in words.
        must: &'static str,
        /// Value that came.
        got: f64,
    },
    /// Trainable leaves of which the loss gives no gradient.
    #[error("no gradient was recorded for {}: these leaves take no part in the loss, or are used outside a layer that records", .leaves.join(", "))]
    NotDifferentiated {
        /// Names of the leaves.
        leaves: Vec<String>,
    },
    /// A tree without leaves where at least one is needed.
    #[error("{what}: the tree has no leaves, so there is nothing to train")]
    EmptyTree {
        /// What needed leaves.
        what: &'static str,
    },
    /// A leaf that belongs to no group, or a group without leaves.
    #[error("groups: {reason}")]
    Groups {
        /// What does not fit, with the names.
        reason: String,
    },
    /// A checkpoint that cannot be read.
    #[error("checkpoint{}: {reason}", .path.as_ref().map(|p| format!(" `{}`", p.display())).unwrap_or_default())]
    Checkpoint {
        /// File, if it came from one.
        path: Option<PathBuf>,
        /// What is wrong with it.
        reason: String,
    },
    /// A step of a method came before another one that it needs.
    #[error("{step} came before {needs}")]
    OutOfOrder {
        /// What was done.
        step: &'static str,
        /// What had to be done first.
        needs: &'static str,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes: {0}")]
    Entropy(String),
    /// A device that this build or machine does not have.
    #[error("device `{name}` is not available: {reason}")]
    Device {
        /// Name as asked for.
        name: String,
        /// Why not.
        reason: String,
    },
    /// A file could not be written or read.
    #[error("file `{path}`: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// From the tensor back-end.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}
