//! The one error type of the crate.

use std::path::PathBuf;

/// `Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with metrics, scores and the files behind them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A number outside its range.
    #[error("{name} must be {must}, got {got}")]
    OutOfRange {
        /// What the number is.
        name: &'static str,
        /// Permitted range in words.
        must: &'static str,
        /// Value that came.
        got: f64,
    },
    /// One of several numbers is outside its range.
    #[error("{name}, number {index} counted from 0, must be {must}, got {got}")]
    OneOutOfRange {
        /// What the numbers are.
        name: &'static str,
        /// Position, counted from 0.
        index: usize,
        /// Permitted range in words.
        must: &'static str,
        /// Value that came.
        got: f64,
    },
    /// Nothing to measure.
    #[error("{what}: expected at least one, got none")]
    Empty {
        /// What is missing.
        what: &'static str,
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
    /// A share of the tokens that is no token at all.
    #[error("a share {share} of {n_tokens} tokens is less than one token")]
    NoToken {
        /// The share.
        share: f64,
        /// Length of the text.
        n_tokens: usize,
    },
    /// A p-value that its formula does not define.
    #[error(
        "samples of {n} and {m} values are too small for the asymptotic p-value: n m / (n + m) rounds to 0"
    )]
    SmallSamples {
        /// Size of the first sample.
        n: usize,
        /// Size of the second sample.
        m: usize,
    },
    /// A text whose compressed length cannot be found.
    #[error("a text of {n_bytes} bytes cannot be compressed: {source}")]
    Compress {
        /// Its length.
        n_bytes: usize,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Scores that mean different things.
    #[error("scores of different definitions: `{left}` and `{right}`")]
    DifferentDefinitions {
        /// Definition of the first.
        left: String,
        /// Definition of the second.
        right: String,
    },
    /// A text whose tokens are not the same for two models.
    #[error(
        "tokens of two models differ at position {at}: {own} and {other}, expected the same tokenizer"
    )]
    DifferentTokens {
        /// The first position where they differ.
        at: usize,
        /// What one model reads there.
        own: String,
        /// What the other does.
        other: String,
    },
    /// A row of a task that the benchmark does not have.
    #[error("row `{id}`: task `{task}`, expected `Task1`, `Task2` or `Task3`")]
    UnknownTask {
        /// Id of the row.
        id: String,
        /// Task that came.
        task: String,
    },
    /// A row that is neither a completion nor a question.
    #[error("row `{id}`: expected an id that ends in `sc` or `qa` and digits")]
    UnknownKind {
        /// Id of the row.
        id: String,
    },
    /// A number of the table that has no rows behind it.
    #[error("no rows for {kind} of {task} in the {split} set: expected at least one")]
    EmptyCell {
        /// `forget` or `retain`.
        split: &'static str,
        /// Name of the task.
        task: &'static str,
        /// `regurgitation` or `knowledge`.
        kind: &'static str,
    },
    /// A line of a file that is not what its format says.
    #[error("line {line}, field `{field}`: expected {expected}, got {got}")]
    Line {
        /// Number of the line, counted from 1.
        line: usize,
        /// Name of the field; `line` for the line as a whole.
        field: String,
        /// What the format wants.
        expected: &'static str,
        /// What stands there.
        got: String,
    },
    /// A multiple-choice question that is none.
    #[error("question {index} counted from 0, field `{field}`: expected {expected}, got {got}")]
    Question {
        /// Its place, counted from 0.
        index: usize,
        /// Name of the field.
        field: &'static str,
        /// What a question has there.
        expected: &'static str,
        /// What it has.
        got: String,
    },
    /// A file where none of its name belongs.
    #[error("{}: expected {expected}, and no other file", path.display())]
    UnknownFile {
        /// Its path.
        path: PathBuf,
        /// Which files belong there.
        expected: &'static str,
    },
    /// A file that cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// Its path.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Something wrong in a file that could be read.
    #[error("{}: {source}", path.display())]
    InFile {
        /// Its path.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: Box<Error>,
    },
    /// A name that is no method.
    #[cfg(feature = "tensor")]
    #[error("`{got}` is no method; expected one of {}", method_names())]
    UnknownMethod {
        /// Name that came.
        got: String,
    },
    /// A method whose rate cannot be found from the retain loss.
    #[error(
        "no rate can be found from the retain loss of this method: {why}; expected a given rate"
    )]
    AutomaticRate {
        /// Why not.
        why: &'static str,
    },
    /// A tokenizer that does not belong to the model.
    #[error("the tokenizer has {n_tokens} tokens, expected at most the {vocab_size} of the model")]
    Tokenizer {
        /// Tokens of the tokenizer.
        n_tokens: usize,
        /// Tokens of the model.
        vocab_size: usize,
    },
    /// A text with more tokens than fit.
    #[error("a text of {n_tokens} tokens, expected at most {most}")]
    OverLong {
        /// Tokens of the text.
        n_tokens: usize,
        /// Most that fit.
        most: usize,
    },
    /// Something wrong with one row.
    #[error("row `{id}`: {source}")]
    Row {
        /// Id of the row.
        id: String,
        /// What is wrong.
        #[source]
        source: Box<Error>,
    },
    /// A loss needs what a sample does not have.
    #[error("{loss} needs {what} for each sample")]
    Missing {
        /// The loss.
        loss: String,
        /// What is missing.
        what: &'static str,
    },
    /// Something that would take more memory than it may.
    #[error("{what} would take {bytes} bytes, expected at most {most}")]
    TooLarge {
        /// What it is.
        what: &'static str,
        /// Bytes that it would take.
        bytes: usize,
        /// Most bytes.
        most: usize,
    },
    /// A loss that is not finite.
    #[error("{what} is {got}, expected a finite number")]
    NonFinite {
        /// What it is.
        what: &'static str,
        /// Value that came.
        got: f64,
    },
    /// From controllers of rates.
    #[error(transparent)]
    Rates(#[from] hessian_lr::Error),
    /// A weight that is not finite.
    #[cfg(feature = "tensor")]
    #[error("leaf `{leaf}`: expected finite numbers, got {got} at element {index} counted from 0")]
    NotFinite {
        /// Name of the leaf.
        leaf: String,
        /// Element in row-major order.
        index: usize,
        /// What stands there.
        got: f64,
    },
    /// From trees of tensors.
    #[cfg(feature = "tensor")]
    #[error(transparent)]
    Tree(#[from] tensor_tree::Error),
    /// From models and tokenizers.
    #[cfg(feature = "tensor")]
    #[error(transparent)]
    Model(#[from] tape_nn::Error),
    /// From the back-end.
    #[cfg(feature = "tensor")]
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

#[cfg(feature = "tensor")]
fn method_names() -> String {
    crate::method::METHODS.map(|(name, _)| name).join(", ")
}

#[cfg(feature = "tensor")]
impl Error {
    /// For traits whose error is that of trees.
    pub(crate) fn into_tree(self) -> tensor_tree::Error {
        match self {
            Error::Tree(error) => error,
            other => tensor_tree::Error::from(candle_core::Error::wrap(other)),
        }
    }
}

/// # Errors
/// [`Error::OneOutOfRange`] for the first number that is not finite.
pub(crate) fn all_finite(name: &'static str, values: &[f64]) -> Result<()> {
    all(name, "finite", values, f64::is_finite)
}

/// # Errors
/// [`Error::OneOutOfRange`] for the first number outside the range.
pub(crate) fn all(
    name: &'static str,
    must: &'static str,
    values: &[f64],
    holds: impl Fn(f64) -> bool,
) -> Result<()> {
    match values.iter().position(|value| !holds(*value)) {
        None => Ok(()),
        Some(index) => Err(Error::OneOutOfRange { name, index, must, got: values[index] }),
    }
}

/// # Errors
/// [`Error::OutOfRange`] unless `0 <= value <= 1`; NaN is refused.
pub(crate) fn unit(name: &'static str, value: f64) -> Result<f64> {
    if (0.0..=1.0).contains(&value) {
        Ok(value)
    } else {
        Err(Error::OutOfRange { name, must: "in [0, 1]", got: value })
    }
}
