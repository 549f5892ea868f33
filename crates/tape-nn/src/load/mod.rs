//! Weights, configurations and tokenizers from files: the only modules of this crate that open any.
//!
//! Each format can be read from bytes and from a path. What is damaged gives [`Error::Load`] with the reason
//! and, where there is one, the path; nothing is allocated on the word of a header alone. Nothing here writes:
//! [`safetensors::to_bytes`] and [`llama_files`] give the bytes, and the caller puts them into files atomically.

pub mod gguf;
pub mod idx;
pub mod llama2c;
#[cfg(test)]
pub(crate) mod mutation;
mod pretrained;
pub mod safetensors;
pub mod tokenizer;
mod written;

use std::path::Path;

use crate::error::{Error, Result};

pub use pretrained::{Pretrained, llama};
pub use tokenizer::Tokenizer;
pub use written::llama_files;

/// An error of this kind of file; the path is added by [`in_file`].
fn broken(what: &'static str, reason: impl Into<String>) -> Error {
    Error::Load { what, path: None, reason: reason.into() }
}

/// Adds the path to an error that has none.
fn in_file<T>(path: &Path, result: Result<T>) -> Result<T> {
    result.map_err(|error| match error {
        Error::Load { what, path: None, reason } => {
            Error::Load { what, path: Some(path.into()), reason }
        }
        other => other,
    })
}

/// The content of a regular file.
fn read_file(what: &'static str, path: &Path) -> Result<Vec<u8>> {
    let failed = |e: std::io::Error| broken(what, format!("cannot be read: {e}"));
    in_file(path, {
        match std::fs::metadata(path) {
            Ok(meta) if meta.is_file() => std::fs::read(path).map_err(failed),
            Ok(_) => Err(broken(what, "is not a regular file")),
            Err(e) => Err(failed(e)),
        }
    })
}
