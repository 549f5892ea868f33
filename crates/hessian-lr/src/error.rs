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
    /// Weights of a knapsack that a `u64` cannot add.
    #[error("item {item}: weight {weight} on top of {sum} is more than a u64 holds")]
    WeightOverflow {
        /// Name or index of the item.
        item: String,
        /// Its weight.
        weight: u64,
        /// The sum of the weights before it.
        sum: u64,
    },
    /// Values of a knapsack that an `f64` cannot add.
    #[error("item {item}: with value {value} the sum of the values is no longer finite")]
    ValueOverflow {
        /// Name or index of the item.
        item: String,
        /// Its value.
        value: f64,
    },
    /// An index without an item.
    #[error("index of an item: expected a number below {n_items}, got {index}")]
    NoItem {
        /// What was asked for, counted from 0.
        index: usize,
        /// Number of items.
        n_items: usize,
    },
    /// What is trained in any case exceeds the budget.
    #[error("the forced items weigh {weight}, more than the budget of {budget}")]
    ForcedTooHeavy {
        /// The sum of their weights.
        weight: u64,
        /// The budget.
        budget: u64,
    },
    /// More trade-offs than are kept.
    #[error(
        "the front needs more than {limit} {what}; `branch_and_bound` finds one set with a certified gap"
    )]
    FrontTooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How many are kept.
        limit: usize,
    },
    /// A table beyond its limits.
    #[error(
        "a table of {n_items} items times {units} units is too large; expected at most 1e7 units and 2^33 entries: a larger unit helps"
    )]
    TableTooLarge {
        /// Items that may be chosen.
        n_items: u64,
        /// Units of weight.
        units: u64,
    },
    /// A value that all items together do not have.
    #[error("required value {required}: all items together have {most}")]
    Unreachable {
        /// What was required.
        required: f64,
        /// The most that can be reached.
        most: f64,
    },
    /// Nothing to choose: no value is finite and positive.
    #[error(
        "nothing to choose: none of {n_items} values is finite and positive, {n_not_finite} are not finite"
    )]
    NothingUseful {
        /// Number of items.
        n_items: usize,
        /// How many of their values are not finite.
        n_not_finite: usize,
    },
    /// The budget is too small for every item with a value.
    #[error(
        "nothing fits into the budget of {budget}: the lightest item with a value, {lightest}, weighs {weight}"
    )]
    NothingFits {
        /// The budget.
        budget: u64,
        /// Name or index of the lightest item with a value.
        lightest: String,
        /// Its weight.
        weight: u64,
    },
    /// A search that ended before its gap.
    #[error("relative gap: expected at most {wanted}, reached {reached} in {n_nodes} nodes")]
    GapNotReached {
        /// The gap that was asked for.
        wanted: f64,
        /// The gap that is certified.
        reached: f64,
        /// Nodes that were looked at.
        n_nodes: u64,
    },
    /// A name that nothing has.
    #[error("{what} `{name}`: expected one of `{}`", .known.join("`, `"))]
    Unknown {
        /// What was named.
        what: &'static str,
        /// The name that came.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// Gradients of single samples are needed, and none were given.
    #[error(
        "values by `{criterion}` need the gradient of each sample: take steps with `step_per_sample`"
    )]
    NoSamples {
        /// Name of the criterion.
        criterion: String,
    },
    /// A probe phase that could value no group.
    #[error("probe phase: {reason}")]
    Probe {
        /// What is wrong with its settings.
        reason: String,
    },
    /// A probe phase that has had all its steps.
    #[error("the probe phase is over after {steps} steps")]
    ProbeOver {
        /// Its length.
        steps: u64,
    },
    /// Settings other than those that a state was begun with.
    #[error("{what}: the state has {expected}, got {got}")]
    OtherSettings {
        /// What differs.
        what: &'static str,
        /// What the state was begun with.
        expected: String,
        /// What came.
        got: String,
    },
    /// A file that cannot be used.
    #[error("{what}: {reason}")]
    Document {
        /// What was read or written.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Groups of a report that do not fit another model.
    #[error("transfer to another model: {reason}")]
    Transfer {
        /// What does not fit, with the names.
        reason: String,
    },
    /// From tensors.
    #[cfg(feature = "tensor")]
    #[error(transparent)]
    Tensor(#[from] tensor_tree::Error),
    /// A loss, a gradient or parameters that are not finite: the run diverged, or a batch is broken.
    #[error("{what} must be finite, got {got}")]
    NonFinite {
        /// What was looked at.
        what: &'static str,
        /// Value that came, or the squared norm of the values.
        got: f64,
    },
    /// A step was ended while a loss is still needed.
    #[error("the step still needs the loss at a trial point")]
    OpenQuestion,
    /// A loss came as an answer where nothing was asked.
    #[error("a loss came as an answer, but nothing was asked")]
    NothingAsked,
}
