//! The one error type of the crate.

use std::path::PathBuf;

/// `Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with layers, networks and files of weights.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An input of a layer has the wrong shape.
    #[error("{layer}: expected input of shape {expected}, got {got:?}")]
    InputShape {
        /// Layer.
        layer: String,
        /// Expected shape in words.
        expected: String,
        /// Shape that came.
        got: Vec<usize>,
    },
    /// A parameter has another shape than the layer needs.
    #[error("parameter `{name}`: expected shape {expected:?}, got {got:?}")]
    ParamShape {
        /// Leaf name.
        name: String,
        /// Shape the layer needs.
        expected: Vec<usize>,
        /// Shape that came.
        got: Vec<usize>,
    },
    /// A parameter is in neither the trainable nor the frozen tree.
    #[error("parameter `{name}` is neither among the trainable nor among the frozen parameters")]
    MissingParam {
        /// Leaf name.
        name: String,
    },
    /// Trainable parameters took no part in the loss, or were used outside a layer that records them.
    #[error("the backward pass recorded nothing for {}: they take no part in the loss, or are used outside a recording layer", .names.join(", "))]
    NotRecorded {
        /// Leaf names.
        names: Vec<String>,
    },
    /// A layer whose input had another number of samples than the batch.
    #[error(
        "parameter `{name}` was used on {got} samples in a batch of {expected}: the first axis must be the sample"
    )]
    SampleAxis {
        /// Leaf name.
        name: String,
        /// Samples of the batch.
        expected: usize,
        /// Length of the first axis of the layer's input.
        got: usize,
    },
    /// Dropout in training without one number of each sample.
    #[error(
        "{layer}: dropout in training needs the number of each of the {expected} samples in the data set, got {got}"
    )]
    SampleIds {
        /// Layer.
        layer: String,
        /// Samples of the batch.
        expected: usize,
        /// Numbers that came.
        got: usize,
    },
    /// A linear layer whose adapter could not be told from another's or not be merged by its name.
    #[error("no adapter fits the layer `{layer}`: {problem}")]
    AdapterName {
        /// Name of the layer.
        layer: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A label or token outside its range.
    #[error("{what}: {got} at position {position} is outside 0..{limit}")]
    OutOfRange {
        /// What kind of number.
        what: &'static str,
        /// Value.
        got: i64,
        /// Position in the batch, row-major.
        position: usize,
        /// One above the largest permitted value.
        limit: usize,
    },
    /// A setting outside its range.
    #[error("{name} must be {must}, got {got}")]
    InvalidSetting {
        /// Setting.
        name: String,
        /// Permitted range in words.
        must: &'static str,
        /// Value that came.
        got: String,
    },
    /// A gradient that the probe batch found missing, zero or not finite.
    #[error(
        "trainable parameter `{name}` {problem} on the probe batch{}; operations known to cut gradients: {known}",
        if .others.is_empty() { String::new() } else { format!(" (and so {} others: {})", .others.len(), some(.others)) }
    )]
    CutGradient {
        /// Leaf name.
        name: String,
        /// Other leaves with the same problem.
        others: Vec<String>,
        /// What is wrong with the gradient.
        problem: &'static str,
        /// Known offenders.
        known: &'static str,
    },
    /// A gradient that disagrees with differences of the loss.
    #[error(
        "{name}: the gradient gives a slope of {gradient:.4e}, differences of the loss give {difference:.4e}; operations known for a wrong gradient: {known}"
    )]
    WrongGradient {
        /// The leaf, or the direction.
        name: String,
        /// Slope of the loss according to the gradient.
        gradient: f64,
        /// Slope of the loss according to differences.
        difference: f64,
        /// Known offenders.
        known: &'static str,
    },
    /// A pattern that fits no layer or leaf.
    #[error("{what}: `{pattern}` fits none of the {} names: {}", .available.len(), some(.available))]
    NothingSelected {
        /// What was to be selected.
        what: &'static str,
        /// The pattern.
        pattern: String,
        /// The names there are.
        available: Vec<String>,
    },
    /// A data type without kernels.
    #[error("{what}: data type {got} is not supported, expected f32 or f64")]
    UnsupportedDType {
        /// Operation.
        what: &'static str,
        /// Type that came.
        got: String,
    },
    /// A file of weights, a configuration or a tokenizer that cannot be used.
    #[error("{what}{}: {reason}", .path.as_ref().map(|p| format!(" `{}`", p.display())).unwrap_or_default())]
    Load {
        /// Kind of file.
        what: &'static str,
        /// File, where it came from one.
        path: Option<PathBuf>,
        /// What is wrong.
        reason: String,
    },
    /// The caller ended the work before it was done.
    #[error("{what} ended by the caller after {done} of {total}")]
    Stopped {
        /// What was being done, and to what.
        what: &'static str,
        /// How many were done.
        done: usize,
        /// How many there were.
        total: usize,
    },
    /// From the tree of parameters.
    #[error(transparent)]
    Tree(#[from] tensor_tree::Error),
    /// From the tensor back-end.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// Names for a message: all of them, or the first ones and how many more.
fn some(names: &[String]) -> String {
    const SHOWN: usize = 24;
    let shown = names.iter().take(SHOWN).map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(SHOWN) {
        Some(more) if 0 < more => format!("{shown} and {more} more"),
        _ => shown,
    }
}

impl From<Error> for candle_core::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Candle(inner) => inner,
            other => candle_core::Error::wrap(other),
        }
    }
}

impl From<Error> for tensor_tree::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Tree(inner) => inner,
            Error::NotRecorded { names } => tensor_tree::Error::NotDifferentiated { leaves: names },
            other => tensor_tree::Error::Candle(other.into()),
        }
    }
}
