//! Files of golden values. Their folder is `GOLDEN_DIR` if set, else the repository's own.

use serde_json::Value;

mod accountant;
#[cfg(feature = "tensor")]
mod clipping;
#[cfg(feature = "tensor")]
mod hyfree;
mod pld;

/// The parsed file of the folder of golden values; none if it is not there.
pub(crate) fn file(name: &str) -> Option<Value> {
    report::golden::file(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/golden"), name)
}
