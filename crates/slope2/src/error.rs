//! Everything that can be wrong with a call.

/// Errors of this crate.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A number that cannot be meant.
    #[error("{name}: expected {must}, got {got}")]
    InvalidNumber {
        /// What the number is.
        name: &'static str,
        /// What it must be.
        must: &'static str,
        /// What it was.
        got: f64,
    },
    /// An entry of a vector or matrix that cannot be meant.
    #[error("{name} at {place}: expected {must}, got {got}")]
    InvalidEntry {
        /// What the entry belongs to.
        name: &'static str,
        /// Position, counted from 0; rows before columns.
        place: String,
        /// What it must be.
        must: &'static str,
        /// What it was.
        got: f64,
    },
    /// Sizes that do not fit together.
    #[error("{name}: expected length {expected}, got {got}")]
    Length {
        /// What has the length.
        name: &'static str,
        /// What the length must be.
        expected: usize,
        /// What it was.
        got: usize,
    },
    /// Parts of a sparse matrix that do not fit together.
    #[error("sparse design, column {at}: expected that {what}")]
    SparseStructure {
        /// What must hold.
        what: &'static str,
        /// The column where it does not.
        at: usize,
    },
    /// A solver or a scaling that looks at single columns was given a design known by its products.
    #[error("this needs single columns; a design known by its products has none")]
    NeedsColumns,
    /// A response that has no model.
    #[error("{0}")]
    Response(&'static str),
    /// A penalty without strength, for which no grid of strengths has a start.
    #[error(
        "the penalty is zero, or zero on too many coefficients: no strength makes all of them zero"
    )]
    NoAlphaMax,
    /// No penalty at all on more unknowns than rows: the solution is not unique.
    #[error("the penalty is zero, and {p} columns with {n} rows have no unique fit without one")]
    NotUnique {
        /// Rows.
        n: usize,
        /// Columns.
        p: usize,
    },
    /// A score that says nothing about this response.
    #[error("score {score}: {why}")]
    Score {
        /// The score.
        score: &'static str,
        /// Why it has no value.
        why: &'static str,
    },
    /// Settings that do not go together.
    #[error("{0}")]
    Settings(&'static str),
    /// A saved fit of a version that this one does not know.
    #[error("saved fit: expected version {known}, got {got}")]
    UnknownVersion {
        /// The version that is written.
        known: u64,
        /// What was found.
        got: String,
    },
    /// A saved fit that cannot be read.
    #[error("saved fit, line {line}, column {column}: {what}")]
    Malformed {
        /// Line, counted from 1; 0 if the place is not known.
        line: usize,
        /// Column, counted from 1; 0 if the place is not known.
        column: usize,
        /// What was expected.
        what: String,
    },
    /// A candidate that is not in the list.
    #[error("candidate: expected a number below {n}, got {candidate}")]
    NoCandidate {
        /// What was asked for, counted from 0.
        candidate: usize,
        /// Number of candidates.
        n: usize,
    },
    /// What went wrong in one fold of a cross-validation.
    #[error("fold {fold} of repeat {repeat}, {part}: {source}")]
    Fold {
        /// The repeat, counted from 1.
        repeat: usize,
        /// The fold in it, counted from 1.
        fold: usize,
        /// Which of its rows.
        part: FoldPart,
        /// What went wrong.
        source: Box<Error>,
    },
    /// The caller's progress asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// More coordinates at the higher level than there are.
    #[error("coordinates at the higher level: expected at most {p}, got {k}")]
    TooManyAtUpperLevel {
        /// What was asked for.
        k: usize,
        /// Number of coefficients.
        p: usize,
    },
    /// Thresholds below the smallest for which state evolution has a fixed point.
    #[error(
        "thresholds too low: pure noise keeps {noise_risk} of its variance, expected less than delta = {delta}"
    )]
    NoFixedPoint {
        /// What is left of noise of variance one.
        noise_risk: f64,
        /// Rows for each column.
        delta: f64,
    },
    /// Without noise, the limit of the fit is the truth itself.
    #[error("the fixed point is tau = 0: the coefficients are recovered exactly")]
    ExactRecovery,
    /// A fixed point that rounding keeps from holding.
    #[error("fixed point: relative residual {residual} is too large")]
    Uncertified {
        /// Relative difference of the two sides.
        residual: f64,
    },
    /// Thresholds that belong to no penalty.
    #[error(
        "no penalty has these thresholds: {divergence} degrees of freedom for each coefficient, expected less than delta = {delta}"
    )]
    NoPenalty {
        /// Degrees of freedom for each coefficient.
        divergence: f64,
        /// Rows for each column.
        delta: f64,
    },
    /// A search without a result.
    #[error("{name}: no root between {low} and {high}")]
    NoRoot {
        /// What was searched.
        name: &'static str,
        /// Lower end of the search.
        low: f64,
        /// Upper end of the search.
        high: f64,
    },
}

/// Rows of a fold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoldPart {
    /// Those that are fitted: all others.
    Fitted,
    /// Those that are held out.
    HeldOut,
}

impl std::fmt::Display for FoldPart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            FoldPart::Fitted => "the rows that are fitted",
            FoldPart::HeldOut => "the rows that are held out",
        })
    }
}

/// Results of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Refuses a number that does not hold what it must.
pub(crate) fn number(name: &'static str, must: &'static str, holds: bool, got: f64) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::InvalidNumber { name, must, got }) }
}

/// Refuses a vector of another length.
pub(crate) fn length(name: &'static str, expected: usize, got: usize) -> Result<()> {
    if expected == got { Ok(()) } else { Err(Error::Length { name, expected, got }) }
}

/// Refuses a vector with an entry that does not hold what it must.
pub(crate) fn entries(
    name: &'static str,
    must: &'static str,
    values: &[f64],
    holds: impl Fn(f64) -> bool,
) -> Result<()> {
    match values.iter().position(|v| !holds(*v)) {
        None => Ok(()),
        Some(i) => Err(Error::InvalidEntry { name, place: i.to_string(), must, got: values[i] }),
    }
}
