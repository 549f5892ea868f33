//! The one error type of the crate.

/// `Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with fits, rates and choices.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
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
    /// Two lists that belong together have different lengths.
    #[error("{name}: expected {expected}, got {got}")]
    Length {
        /// What was counted.
        name: &'static str,
        /// How many were needed.
        expected: usize,
        /// How many came.
        got: usize,
    },
    /// Too few probes for the unknowns of a fit.
    #[error("a fit needs {needed} different probes, got {got}")]
    FewProbes {
        /// Different probes needed.
        needed: usize,
        /// Different probes that came.
        got: usize,
    },
    /// Probes that do not tell groups apart.
    #[error("probes do not tell groups {groups:?} apart: rank {rank} of {columns}")]
    RankDeficient {
        /// Rank of the equations.
        rank: usize,
        /// Unknowns.
        columns: usize,
        /// Numbers of the groups.
        groups: Vec<usize>,
    },
    /// Rates were wanted, or a step was taken, before all losses were told.
    #[error("the controller still asks for losses: tell it those before taking rates or a step")]
    StillAsking,
    /// A pattern of names that is none.
    #[error("pattern `{pattern}`: {source}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        #[source]
        source: Box<regex::Error>,
    },
    /// Groups that are no partition of the parameters.
    #[error("groups: {reason}")]
    Grouping {
        /// What does not fit, with the names.
        reason: String,
    },
    /// Probes use another batch than the gradient, and none was given.
    #[cfg(feature = "tensor")]
    #[error(
        "the controller asks for losses on another batch than that of the gradient, and none was given"
    )]
    NoProbeBatch,
    /// From tensors.
    #[cfg(feature = "tensor")]
    #[error(transparent)]
    Tensor(#[from] tensor_tree::Error),
}
