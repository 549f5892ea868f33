//! The one error type of the crate.

use std::io;
use std::path::PathBuf;

use crate::statement::Refusal;

/// The result of everything here that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, with the values that a caller needs to put it right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A number is outside its range, or is NaN.
    #[error("{name} must be {must}, got {got}")]
    InvalidScalar {
        /// The name of the quantity.
        name: &'static str,
        /// Its range in words.
        must: &'static str,
        /// The number that came.
        got: f64,
    },
    /// The unit of privacy has no words.
    #[error("the unit of privacy must say what is protected, for example `one record`")]
    EmptyUnit,
    /// The accountant has no analysis of this event.
    #[error("the {accountant} accountant cannot account for `{event}`: {why}")]
    UnsupportedEvent {
        /// The accountant's name.
        accountant: &'static str,
        /// The event in words.
        event: String,
        /// What is missing.
        why: &'static str,
    },
    /// More repetitions of one event than `u64` holds.
    #[error("the number of repetitions of `{event}` exceeds the range of 64 bits")]
    CountOverflow {
        /// The event in words.
        event: String,
    },
    /// No privacy statement can be made; every reason is listed.
    #[error("no privacy guarantee: {}", join(.reasons))]
    NoGuarantee {
        /// All reasons, not only the first.
        reasons: Vec<Refusal>,
    },
    /// A guarantee was asked of an accountant that only estimates.
    #[error("the {accountant} accountant gives an estimate here, not an upper bound")]
    EstimateOnly {
        /// The accountant's name.
        accountant: &'static str,
    },
    /// Per-sample gradients were added up in half precision, whose rounding changes a sum by more than its bound.
    #[error(
        "the clipped sum of `{name}` is in half precision, whose rounding no noise covers: per-sample gradients must be added in f32 or f64"
    )]
    HalfPrecisionSum {
        /// The leaf.
        name: String,
    },
    /// A release would exceed the budget of a privacy filter; it must not be made.
    #[error(
        "divergence {asked} of order {order} is more than what is left of the budget {budget}: {spent} is spent"
    )]
    BudgetExceeded {
        /// The divergence of the release that was refused.
        asked: f64,
        /// What earlier releases have spent.
        spent: f64,
        /// What all of them may spend.
        budget: f64,
        /// The order of the divergences.
        order: f64,
    },
    /// No value of the calibrated quantity within its bounds meets the target.
    #[error(
        "no {what} on this side of the limit {limit} fits epsilon {target}: there it is {epsilon}"
    )]
    CalibrationLimit {
        /// The quantity that was searched for.
        what: &'static str,
        /// The bound that was met.
        limit: f64,
        /// Epsilon at that bound.
        epsilon: f64,
        /// The epsilon that was asked for.
        target: f64,
    },
    /// A plan lacks a number.
    #[error("the plan needs {field}")]
    PlanMissing {
        /// What to give.
        field: &'static str,
    },
    /// A plan was given two numbers of which one determines the other.
    #[error("the plan takes either {first} or {second}, not both")]
    PlanConflict {
        /// One of them.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// A plan over no records.
    #[error("the data set is empty")]
    EmptyData,
    /// A plan of no steps.
    #[error("the plan has no steps")]
    ZeroSteps,
    /// More records expected in a batch than there are.
    #[error("expected batch size {expected_batch_size} exceeds the {n_samples} samples")]
    BatchLargerThanData {
        /// What was asked for.
        expected_batch_size: f64,
        /// The public number of samples.
        n_samples: u64,
    },
    /// Stored text does not describe an event or a ledger.
    #[error("not a stored {what}: {why}")]
    Malformed {
        /// What was to be read.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A ledger file is damaged before its last line.
    #[error("ledger `{}`, line {line}: {why}", .path.display())]
    LedgerCorrupt {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The ledger file protects something else than the caller said.
    #[error("ledger `{}` has {what} `{found}`, expected `{expected}`", .path.display())]
    LedgerMismatch {
        /// The file.
        path: PathBuf,
        /// The quantity.
        what: &'static str,
        /// What the file says.
        found: String,
        /// What the caller said.
        expected: String,
    },
    /// Another ledger has the file open; two writers would lose charges.
    #[error("ledger `{}` is in use by another writer", .path.display())]
    LedgerInUse {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {action} `{}`: {source}", .path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// There is no trainable element.
    #[error("there are no trainable parameters")]
    NothingToTrain,
    /// Parameters that cannot be trained privately as they stand.
    #[cfg(feature = "tensor")]
    #[error("{}", join(.problems))]
    Untrainable {
        /// Every problem that was found.
        problems: Vec<crate::validate::Problem>,
    },
    /// The processes of a group hold different keys or settings, so their noise would differ.
    #[error("the processes of the group do not share the noise key and the settings of the step")]
    KeysDiffer,
    /// A batch was drawn with the key of another step, so it may be one of several that somebody chose from.
    #[error("the batch was drawn with the key of another step")]
    BatchOfAnotherStep,
    /// A batch was drawn as that of another process than the one that uses it, so it may be one of several that somebody
    /// chose from, or the same as that of another process.
    #[error(
        "the batch was drawn as that of process {drawn}, but this is process {here} of its group"
    )]
    BatchOfAnotherProcess {
        /// The rank it was drawn with.
        drawn: usize,
        /// The rank of the process.
        here: usize,
    },
    /// The file of a ledger is not the one that charges are written to any more.
    #[error(
        "the ledger `{}` was renamed, removed or replaced by another file while a run wrote to it: put back the file with the most charges",
        .path.display()
    )]
    LedgerReplaced {
        /// The file.
        path: PathBuf,
    },
    /// The ledger protects something else than the plan says, so its epsilon would be another's.
    #[error("the ledger has {what} `{found}`, the step's plan `{expected}`")]
    LedgerOfAnotherPlan {
        /// The quantity.
        what: &'static str,
        /// What the ledger says.
        found: String,
        /// What the plan says.
        expected: String,
    },
    /// More losses of a batch than were charged.
    #[error("all {charged} losses that were charged for this batch have been released")]
    LossesSpent {
        /// How many were charged with the gradient of the batch.
        charged: u64,
    },
    /// A plan releases losses at other steps than a controller of rates asks for them.
    #[error("the plan has {found}, the controller of rates asks for {expected}")]
    OtherLosses {
        /// What the plan releases.
        found: String,
        /// What the controller needs.
        expected: String,
    },
    /// A controller of rates was called out of turn.
    #[error("the controller of rates {why}")]
    OutOfTurn {
        /// What is to be done first.
        why: &'static str,
    },
    /// From fits of losses.
    #[cfg(feature = "tensor")]
    #[error(transparent)]
    Fit(#[from] hessian_lr::Error),
    /// From the trees of parameters and gradients.
    #[cfg(feature = "tensor")]
    #[error(transparent)]
    Tree(#[from] tensor_tree::Error),
    /// A file could not be replaced.
    #[error(transparent)]
    Report(#[from] report::Error),
}

fn join(reasons: &[impl ToString]) -> String {
    reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
