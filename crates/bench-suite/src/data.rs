//! Readers of real data sets: images, tables and texts, from bytes to checked values.
//!
//! Each parser is a function of bytes (and of a name for its errors) that returns a value or a
//! typed error: it does not panic, and what it allocates is bounded by the bytes that are really
//! there and by a limit on decompressed content, never by a number that a header claims. The
//! functions named `open` only read a file and hand it on.
//!
//! | module | what |
//! |---|---|
//! | [`sets`], [`places`] | the named data sets, their checksums; where they lie |
//! | [`images`], [`split`], [`gather`] | labeled images; training and test part; conversion to `f32` |
//! | [`text`], [`pairs`] | characters, tokens, windows; inputs with their texts, a line each |
//! | [`idx`], [`cifar`], [`csv`] | file formats |
//! | [`file`](mod@file) | reading with a limit, gzip, sha256 |
//!
//! This module writes no file and draws no minibatch.

pub mod places;
pub mod sets;

pub mod gather;
pub mod images;
pub mod pairs;
pub mod split;
pub mod text;

pub mod cifar;
pub mod csv;
pub use tape_nn::load::idx;

pub mod file;

pub use gather::{Layout, Normalization};
pub use images::{ImageFormat, ImageSet};
pub use places::Places;
pub use sets::{Dataset, Images};
pub use split::Split;
