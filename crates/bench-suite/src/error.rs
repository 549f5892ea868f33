//! The one error type of the crate: which file, which field, what was expected and what came.

use std::{io, path::PathBuf};

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong while data are found, read and cut into samples.
///
/// `file` is the path that was opened, or the name the caller gave to bytes in memory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system could not read the file.
    #[error("`{file}`: cannot be read")]
    Read {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file, plain or decompressed, is larger than the reader accepts.
    #[error("`{file}`: expected at most {limit_bytes} bytes of content, got more")]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// The most bytes of decompressed content that are accepted.
        limit_bytes: u64,
    },
    /// A gzip stream is cut off or damaged.
    #[error("`{file}`: gzip stream cut off or damaged")]
    Gzip {
        /// The file.
        file: PathBuf,
        /// What the decompressor said.
        source: io::Error,
    },
    /// The sha256 of a file of a known set differs from the published one.
    #[error("`{file}`: expected sha256 {expected}, got {got}")]
    Checksum {
        /// The file.
        file: PathBuf,
        /// The published checksum in lower-case hexadecimal digits.
        expected: String,
        /// The checksum of the file's bytes.
        got: String,
    },
    /// The content ends before a field is complete.
    #[error(
        "`{file}`: {field}: expected {expected_bytes} bytes, the content ends after {got_bytes}"
    )]
    Truncated {
        /// The file.
        file: PathBuf,
        /// The field that is cut off.
        field: &'static str,
        /// Length of the field.
        expected_bytes: u64,
        /// How much of it there is.
        got_bytes: u64,
    },
    /// The content goes on where the header says it ends.
    #[error("`{file}`: expected the content to end after {expected_bytes} bytes, it goes on")]
    TrailingBytes {
        /// The file.
        file: PathBuf,
        /// The length of header and elements together.
        expected_bytes: u64,
    },
    /// A field has another value than the only permitted one.
    #[error("`{file}`: {field}: expected {expected}, got {got}")]
    WrongValue {
        /// The file.
        file: PathBuf,
        /// The field.
        field: &'static str,
        /// The only permitted value.
        expected: u64,
        /// The value found.
        got: u64,
    },
    /// A field lies outside its range.
    #[error("`{file}`: {field}: expected {min} to {max}, got {got}")]
    OutOfRange {
        /// The file.
        file: PathBuf,
        /// The field.
        field: &'static str,
        /// The smallest permitted value.
        min: u64,
        /// The largest permitted value.
        max: u64,
        /// The value found.
        got: u64,
    },
    /// There is less of something than makes sense.
    #[error("`{file}`: {field}: expected at least {min}, got {got}")]
    TooFew {
        /// The file.
        file: PathBuf,
        /// What there is too little of.
        field: &'static str,
        /// The smallest permitted number.
        min: u64,
        /// The number found.
        got: u64,
    },
    /// A sample's label names no class.
    #[error("`{file}`: label of sample {sample_idx}: expected less than {n_classes}, got {got}")]
    Label {
        /// The file.
        file: PathBuf,
        /// Position of the sample, from 0.
        sample_idx: usize,
        /// The number of classes.
        n_classes: usize,
        /// The label found.
        got: u8,
    },
    /// A pixel is brighter than the brightest level of its set.
    #[error("`{file}`: pixels of sample {sample_idx}: expected at most {max_level}, got {got}")]
    Pixel {
        /// The file.
        file: PathBuf,
        /// Position of the sample, from 0.
        sample_idx: usize,
        /// The brightest level.
        max_level: u8,
        /// The level found.
        got: u8,
    },
    /// A row of a table is shorter or longer than the first one.
    #[error("`{file}`: row {row}: expected {expected} columns, got {got}")]
    Columns {
        /// The file.
        file: PathBuf,
        /// Row number from 1, header rows counted, empty lines not.
        row: usize,
        /// Columns of the first row of numbers.
        expected: usize,
        /// Columns of this row.
        got: usize,
    },
    /// A cell of a table holds something else than its column asks for.
    #[error("`{file}`: row {row}, column {column}: expected {must}, got `{got}`")]
    Cell {
        /// The file.
        file: PathBuf,
        /// Row number from 1, header rows counted, empty lines not.
        row: usize,
        /// Column number from 1.
        column: usize,
        /// What the cell must hold.
        must: &'static str,
        /// What it holds, cut to 32 characters.
        got: String,
    },
    /// A table cannot be split in rows at all.
    #[error("`{file}`: not a table of comma-separated values")]
    Table {
        /// The file.
        file: PathBuf,
        /// What the reader said.
        source: csv::Error,
    },
    /// A text is not UTF-8.
    #[error("`{file}`: expected UTF-8, got another byte at offset {offset}")]
    NotUtf8 {
        /// The file.
        file: PathBuf,
        /// Offset of the first wrong byte in the decompressed content.
        offset: usize,
    },
    /// A character is not in the vocabulary.
    #[error("character {got:?} at position {position} is not in the vocabulary")]
    UnknownChar {
        /// The character.
        got: char,
        /// Its position, counted in characters from 0.
        position: usize,
    },
    /// A token is not in the vocabulary.
    #[error("token at position {position}: expected less than {n_tokens}, got {got}")]
    UnknownToken {
        /// The token.
        got: u32,
        /// Its position from 0.
        position: usize,
        /// Size of the vocabulary.
        n_tokens: usize,
    },
    /// An index points behind the last sample.
    #[error("sample index: expected less than {n_samples}, got {got}")]
    SampleIndex {
        /// The index.
        got: usize,
        /// How many samples there are.
        n_samples: usize,
    },
    /// A setting lies outside its range.
    #[error("{name}: must be {must}, got {got}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its range in words.
        must: &'static str,
        /// The value given.
        got: f64,
    },
    /// One of the two constants of a normalization has another length than the image has channels.
    #[error("normalization {name}: expected one value for each of {channels} channels, got {got}")]
    NormalizationLength {
        /// `mean` or `std`.
        name: &'static str,
        /// Channels of the images.
        channels: usize,
        /// Values given.
        got: usize,
    },
    /// A data set is in none of the folders where it may be.
    #[error("data set `{set}` not found; looked in {}; {remedy}", list(looked_in))]
    SetNotFound {
        /// The set's folder name.
        set: String,
        /// The folders that do not exist, in the order in which they were tried.
        looked_in: Vec<PathBuf>,
        /// What to do.
        remedy: String,
    },
    /// The folder of a data set lacks one of its files.
    #[error("data set `{set}` is incomplete: no file `{file}`; {remedy}")]
    FileNotFound {
        /// The set's folder name.
        set: String,
        /// The file that is missing.
        file: PathBuf,
        /// What to do.
        remedy: String,
    },
    /// There is no repository above the current folder and no data folder was named.
    #[error(
        "no data folder: `{start}` lies in no workspace (no Cargo.toml with `[workspace]` here or above); set LETHE_DATA"
    )]
    NoDataFolder {
        /// Where the search began.
        start: PathBuf,
    },
    /// The data set holds no data of the kind that was asked for.
    #[error("data set `{set}` holds no {wanted}")]
    WrongKind {
        /// The set's name.
        set: &'static str,
        /// `images` or `text`.
        wanted: &'static str,
    },
    /// A configuration that cannot be used.
    #[error("`{file}`: {reason}")]
    Config {
        /// The file.
        file: PathBuf,
        /// What is wrong, with line and column.
        reason: String,
    },
    /// A task that does not exist.
    #[error("there is no task `{name}`; the tasks are {known}")]
    UnknownTask {
        /// Name that came.
        name: String,
        /// Names that exist.
        known: String,
    },
    /// Parts of a task that do not exist, or not in a call without `--full`.
    #[error("--only {only}: no part of `{task}` here has such a name; expected one of {known}")]
    NoPart {
        /// The task.
        task: &'static str,
        /// What was asked for.
        only: String,
        /// Names of the parts of this call.
        known: String,
    },
    /// A problem that does not exist.
    #[error(
        "there is no problem `{name}`; expected digits, mnist, fashion, signs or cifar10:FOLDER, then /mlp or /cnn"
    )]
    UnknownProblem {
        /// Name that came.
        name: String,
    },
    /// A measuring process that did not do its part.
    #[error("measuring process: {reason}")]
    Worker {
        /// What went wrong.
        reason: String,
    },
    /// A comparison without anything to compare.
    #[error("a comparison needs at least one run of each method")]
    TooFewRuns,
    /// The user asked to stop; the state is saved.
    #[error("stopped; continue with --resume")]
    Interrupted,
    /// A saved result that cannot be read.
    #[error("`{file}`: not a saved result: {reason}")]
    Outcome {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// From private training.
    #[error(transparent)]
    Private(#[from] dp_core::Error),
    /// From filters of private gradients.
    #[error(transparent)]
    Filter(#[from] dp_filters::Error),
    /// From controllers of rates and their rivals.
    #[error(transparent)]
    Rates(#[from] hessian_lr::Error),
    /// From networks and weights.
    #[error(transparent)]
    Network(#[from] tape_nn::Error),
    /// From unlearning.
    #[error(transparent)]
    Unlearning(unlearn::Error),
    /// From trees and checkpoints.
    #[error(transparent)]
    Tree(#[from] tensor_tree::Error),
    /// From the tensor back-end.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
    /// From regressions with sorted-L1 penalties.
    #[error(transparent)]
    Slope(#[from] slope2::Error),
    /// From tables of regressions.
    #[error(transparent)]
    SlopeTable(#[from] slope2::data::Error),
    /// From reports and files.
    #[error(transparent)]
    Report(#[from] report::Error),
}

/// The paths in back-ticks, separated by commas.
fn list(paths: &[PathBuf]) -> String {
    if paths.is_empty() {
        return "no folder".to_owned();
    }
    let quoted: Vec<String> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
    quoted.join(", ")
}

impl From<unlearn::Error> for Error {
    fn from(error: unlearn::Error) -> Self {
        match error {
            // Exams stop where the user asks for it.
            unlearn::Error::Model(tape_nn::Error::Stopped { .. }) => Error::Interrupted,
            other => Error::Unlearning(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_set_names_every_folder_and_the_way_out() {
        let error = Error::SetNotFound {
            set: "fashion-mnist".to_owned(),
            looked_in: vec!["a/fashion-mnist".into(), "b/fashion-mnist".into()],
            remedy: "run `cargo xtask data fashion-mnist`".to_owned(),
        };
        assert_eq!(
            error.to_string(),
            "data set `fashion-mnist` not found; looked in `a/fashion-mnist`, `b/fashion-mnist`; \
             run `cargo xtask data fashion-mnist`"
        );
    }
}
