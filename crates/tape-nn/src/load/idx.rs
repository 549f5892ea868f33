//! The idx format of MNIST and its successors: a header of big-endian dimensions, then elements.
//!
//! ```text
//! 0 0 8 rank | dimension 1 | .. | dimension rank | elements, last dimension fastest
//! ```
//!
//! Only unsigned bytes (type code 8) of rank 1 to 4 are read, plain or gzip-compressed.

use std::io::{self, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::read_file;
use crate::error::{Error, Result};

/// The most elements that [`open`] accepts: 256 MiB.
pub const LIMIT_BYTES: u64 = 1 << 28;

/// Names of the four dimensions in errors.
const DIMENSIONS: [&str; 4] = ["dimension 1", "dimension 2", "dimension 3", "dimension 4"];

/// An array of bytes of rank 1 to 4; the product of the dimensions is the number of elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idx {
    dims: Vec<usize>,
    elements: Vec<u8>,
}

impl Idx {
    /// Lengths along each dimension, the slowest first; a length may be 0.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// The elements, the last dimension fastest.
    pub fn elements(&self) -> &[u8] {
        &self.elements
    }

    /// Dimensions and elements as vectors of the caller.
    pub fn into_parts(self) -> (Vec<usize>, Vec<u8>) {
        (self.dims, self.elements)
    }
}

/// Reads and parses an idx file, plain or gzip-compressed.
///
/// # Errors
/// [`Error::Load`] if the file cannot be read; as [`parse`].
pub fn open(path: &Path) -> Result<Idx> {
    parse(&read_file("idx file", path)?, path, LIMIT_BYTES)
}

/// Parses the bytes of an idx file, plain or gzip-compressed; `file` names them in errors.
///
/// Memory grows with the elements that are really there, at most to twice `limit_bytes`; a header
/// that announces more than the limit is refused before an element is read.
///
/// # Errors
/// [`Error::Load`] if the first two bytes are not 0 or the type code is not 8, for a rank beyond 1 to 4 or more elements than
/// `limit_bytes`, if header and length disagree, and for a damaged stream.
///
/// # Examples
/// ```
/// # use std::path::Path;
/// # use tape_nn::load::idx;
/// let labels = idx::parse(&[0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9], Path::new("labels"), 1024)?;
/// assert_eq!((labels.dims(), labels.elements()), (&[3][..], &[7, 8, 9][..]));
/// # Ok::<(), tape_nn::Error>(())
/// ```
pub fn parse(bytes: &[u8], file: &Path, limit_bytes: u64) -> Result<Idx> {
    if bytes.starts_with(&[0x1f, 0x8b]) {
        Source { reader: MultiGzDecoder::new(bytes), file }.idx(limit_bytes)
    } else {
        Source { reader: bytes, file }.idx(limit_bytes)
    }
}

fn refused(file: &Path, reason: String) -> Error {
    Error::Load { what: "idx file", path: Some(file.to_owned()), reason }
}

/// A stream of content and the name it has in errors. Only a gzip stream can fail to read.
struct Source<'a, R> {
    reader: R,
    file: &'a Path,
}

impl<R: Read> Source<'_, R> {
    fn idx(mut self, limit_bytes: u64) -> Result<Idx> {
        let (dims, header_bytes) = self.header()?;
        let n_elements = dims.iter().fold(1, |n: u64, &dim| n.saturating_mul(u64::from(dim)));
        if limit_bytes < n_elements {
            let got = format!("number of elements: expected 0 to {limit_bytes}, got {n_elements}");
            return Err(refused(self.file, got));
        }
        let elements = self.take("elements", n_elements)?;
        if !self.read_up_to(1)?.is_empty() {
            let expected_bytes = header_bytes.saturating_add(n_elements);
            let expected =
                format!("expected the content to end after {expected_bytes} bytes, it goes on");
            return Err(refused(self.file, expected));
        }
        Ok(Idx { dims: dims.into_iter().map(|dim| dim as usize).collect(), elements })
    }

    /// The dimensions and the length of the header.
    fn header(&mut self) -> Result<(Vec<u32>, u64)> {
        let [zero_0, zero_1, type_code, rank] = self.word("magic number")?;
        let wrong = |what: String| Err(refused(self.file, what));
        if zero_0 != 0 || zero_1 != 0 {
            let got = u16::from_be_bytes([zero_0, zero_1]);
            return wrong(format!("first two bytes: expected 0, got {got}"));
        }
        if type_code != 8 {
            return wrong(format!("type code: expected 8, got {type_code}"));
        }
        let names = match usize::from(rank) {
            rank @ 1..=4 => &DIMENSIONS[..rank],
            _ => return wrong(format!("rank: expected 1 to 4, got {rank}")),
        };
        let dims: Result<Vec<u32>> =
            names.iter().map(|name| Ok(u32::from_be_bytes(self.word(name)?))).collect();
        Ok((dims?, 4 + 4 * u64::from(rank)))
    }

    fn word(&mut self, field: &'static str) -> Result<[u8; 4]> {
        let bytes = self.take(field, 4)?;
        let mut word = [0; 4];
        word.copy_from_slice(&bytes);
        Ok(word)
    }

    /// Exactly `n_bytes`.
    fn take(&mut self, field: &'static str, n_bytes: u64) -> Result<Vec<u8>> {
        let bytes = self.read_up_to(n_bytes)?;
        let got_bytes = bytes.len() as u64;
        if got_bytes < n_bytes {
            let what =
                format!("{field}: expected {n_bytes} bytes, the content ends after {got_bytes}");
            return Err(refused(self.file, what));
        }
        Ok(bytes)
    }

    fn read_up_to(&mut self, n_bytes: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read: io::Result<usize> = self.reader.by_ref().take(n_bytes).read_to_end(&mut bytes);
        read.map_err(|e| refused(self.file, format!("damaged gzip stream: {e}")))?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_error(bytes: &[u8]) -> String {
        parse(bytes, Path::new("t"), 1 << 20).unwrap_err().to_string()
    }

    #[test]
    fn each_wrong_field_is_named_with_what_was_expected_and_what_came() {
        for (bytes, message) in [
            (&[][..], "idx file `t`: magic number: expected 4 bytes, the content ends after 0"),
            (&[0, 0, 8], "idx file `t`: magic number: expected 4 bytes, the content ends after 3"),
            (&[1, 0, 8, 1], "idx file `t`: first two bytes: expected 0, got 256"),
            (&[0, 0, 13, 1], "idx file `t`: type code: expected 8, got 13"),
            (&[0, 0, 8, 0], "idx file `t`: rank: expected 1 to 4, got 0"),
            (&[0, 0, 8, 5], "idx file `t`: rank: expected 1 to 4, got 5"),
            (
                &[0, 0, 8, 2, 0, 0, 0, 1, 0],
                "idx file `t`: dimension 2: expected 4 bytes, the content ends after 1",
            ),
            (
                &[0, 0, 8, 1, 0, 0, 0, 3, 7, 7],
                "idx file `t`: elements: expected 3 bytes, the content ends after 2",
            ),
            (
                &[0, 0, 8, 1, 0, 0, 0, 1, 7, 7],
                "idx file `t`: expected the content to end after 9 bytes, it goes on",
            ),
            (
                &[0, 0, 8, 1, 255, 255, 255, 255],
                "idx file `t`: number of elements: expected 0 to 1048576, got 4294967295",
            ),
        ] {
            assert_eq!(parse_error(bytes), message);
        }
    }

    #[test]
    fn a_product_beyond_64_bits_is_refused_like_any_large_one() {
        let bytes = [&[0, 0, 8, 4][..], &[255; 16]].concat();
        assert_eq!(
            parse_error(&bytes),
            format!("idx file `t`: number of elements: expected 0 to 1048576, got {}", u64::MAX)
        );
    }

    #[test]
    fn a_dimension_of_zero_gives_no_elements() {
        let idx = parse(&[0, 0, 8, 2, 0, 0, 0, 0, 255, 0, 0, 0], Path::new("t"), 10).unwrap();
        assert_eq!(idx.into_parts(), (vec![0, 255 << 24], vec![]));
    }
}
