//! Reading of files. Everything else in this crate takes values.
//!
//! [`rows`] reads a file of JSON lines, or a folder of them, in any of these formats. The fields of the first line say which, and all
//! other lines must be of the same.
//!
//! | format | fields of a line |
//! | --- | --- |
//! | [`Format::Lume`] | `id`, `input`, `output`, `task`; our own `paraphrased_inputs`, `paraphrased_output`, `wrong_outputs` may follow |
//! | [`Format::Tofu`] | `question`, `answer` |
//! | [`Format::TofuPerturbed`] | and `paraphrased_question`, `paraphrased_answer`, `perturbed_answer` (a list) |
//! | [`Format::TofuFacts`] | `question`, `answer`, `perturbed_answer` |
//! | [`Format::TofuOptions`] | `question`, `option1` to `option4`, `answer` |
//! | [`Format::InputOutput`] | `input`, `output`; may have `id`, `kind` (`completion` or `question`) and the three of our own |
//! | [`Format::PromptCompletion`] | `prompt`, `completion`; may have `id` |
//! | [`Format::Text`] | `text`, or `document` as in the files of membership inference of SemEval-2025 Task 4; may have `id` and the three of our own |
//!
//! A file `*.txt` is one [`Format::Text`] row, its whole content, such as a corpus of MUSE.
//!
//! A row without an id gets one from the name of its file and the number of its line: `forget10-12`. Nothing is passed over: an empty
//! line, a field that is missing, unknown or named twice, a value that is no text or has no characters but white space, an id that was
//! there before and bytes that are no UTF-8 are errors with the path and the line.

mod format;
mod generic;
mod list;
mod lume;
mod muse;
mod predictions;
mod rows;
mod tofu;

use std::fs;
use std::path::Path;

pub use format::Format;
pub use muse::{KnowMem, Muse, PrivLeak, Raw, muse};
pub use predictions::{Prediction, Predictions, predictions, predictions_of};
pub use rows::{Rows, rows};
pub use tofu::{option_questions, refusals, tofu_split};

use crate::error::{Error, Result};
use crate::line;
use crate::multiple_choice::Questions;

/// Multiple-choice questions from a file in the format of [`crate::multiple_choice`].
///
/// # Errors
/// [`Error::Read`] if it cannot be read, [`Error::InFile`] with the path and what [`Questions::parse`] says, or the line that is no
/// UTF-8.
pub fn questions(path: &Path) -> Result<Questions> {
    within(path, Questions::parse)
}

/// Reads a file and makes something of its text; errors carry the path.
fn within<T>(path: &Path, parse: impl FnOnce(&str) -> Result<T>) -> Result<T> {
    let bytes = fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let parsed = text(&bytes).and_then(parse);
    parsed.map_err(|source| Error::InFile { path: path.to_owned(), source: Box::new(source) })
}

/// # Errors
/// [`Error::Line`] with the first line that is no UTF-8, or for a byte order mark.
fn text(bytes: &[u8]) -> Result<&str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.starts_with('\u{feff}') => {
            Err(line::whole(1, "UTF-8 without a byte order mark", "one"))
        }
        Ok(text) => Ok(text),
        Err(error) => {
            let (good, bad) = bytes.split_at(error.valid_up_to());
            let number = 1 + good.iter().filter(|byte| **byte == b'\n').count();
            let got = bad.first().map_or(String::new(), |byte| format!("the byte 0x{byte:02x}"));
            Err(line::whole(number, "UTF-8", &got))
        }
    }
}

/// The name of a file without its extension.
fn stem(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}
