//! The idx format of MNIST and its successors: a header of big-endian dimensions, then elements.
//!
//! ```text
//! 0 0 8 rank | dimension 1 | .. | dimension rank | elements, last dimension fastest
//! ```
//!
//! Only unsigned bytes (type code 8) of rank 1 to 4 are read, plain or gzip-compressed.

use std::{
    io::{self, Read},
    path::Path,
};

use crate::{
    data::file,
    error::{Error, Result},
};

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
/// As [`file::read()`] and [`parse`].
pub fn open(path: &Path) -> Result<Idx> {
    parse(&file::read(path)?, path, file::LIMIT_BYTES)
}

/// Parses the bytes of an idx file, plain or gzip-compressed; `file` names them in errors.
///
/// Memory grows with the elements that are really there, at most to twice `limit_bytes`; a header
/// that announces more than the limit is refused before an element is read.
///
/// # Errors
/// [`Error::WrongValue`] if the first two bytes are not 0 or the type code is not 8,
/// [`Error::OutOfRange`] for a rank beyond 1 to 4 or more elements than `limit_bytes`,
/// [`Error::Truncated`] and [`Error::TrailingBytes`] if header and length disagree,
/// [`Error::Gzip`] for a damaged stream.
///
/// # Examples
/// ```
/// # use std::path::Path;
/// # use bench_suite::data::idx;
/// let labels = idx::parse(&[0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9], Path::new("labels"), 1024)?;
/// assert_eq!((labels.dims(), labels.elements()), (&[3][..], &[7, 8, 9][..]));
/// # Ok::<(), bench_suite::Error>(())
/// ```
pub fn parse(bytes: &[u8], file: &Path, limit_bytes: u64) -> Result<Idx> {
    if file::is_gzip(bytes) {
        Source { reader: file::gunzip(bytes), file }.idx(limit_bytes)
    } else {
        Source { reader: bytes, file }.idx(limit_bytes)
    }
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
            return Err(Error::OutOfRange {
                file: self.file.to_owned(),
                field: "number of elements",
                min: 0,
                max: limit_bytes,
                got: n_elements,
            });
        }
        let elements = self.take("elements", n_elements)?;
        if !self.read_up_to(1)?.is_empty() {
            let expected_bytes = header_bytes.saturating_add(n_elements);
            return Err(Error::TrailingBytes { file: self.file.to_owned(), expected_bytes });
        }
        Ok(Idx { dims: dims.into_iter().map(|dim| dim as usize).collect(), elements })
    }

    /// The dimensions and the length of the header.
    fn header(&mut self) -> Result<(Vec<u32>, u64)> {
        let [zero_0, zero_1, type_code, rank] = self.word("magic number")?;
        let wrong = |field, expected, got| {
            Err(Error::WrongValue { file: self.file.to_owned(), field, expected, got })
        };
        if zero_0 != 0 || zero_1 != 0 {
            return wrong("first two bytes", 0, u64::from(u16::from_be_bytes([zero_0, zero_1])));
        }
        if type_code != 8 {
            return wrong("type code", 8, u64::from(type_code));
        }
        let names = match usize::from(rank) {
            rank @ 1..=4 => &DIMENSIONS[..rank],
            _ => {
                return Err(Error::OutOfRange {
                    file: self.file.to_owned(),
                    field: "rank",
                    min: 1,
                    max: 4,
                    got: u64::from(rank),
                });
            }
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
            let file = self.file.to_owned();
            return Err(Error::Truncated { file, field, expected_bytes: n_bytes, got_bytes });
        }
        Ok(bytes)
    }

    fn read_up_to(&mut self, n_bytes: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read: io::Result<usize> = self.reader.by_ref().take(n_bytes).read_to_end(&mut bytes);
        read.map_err(|source| file::damaged(self.file, source))?;
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
            (&[][..], "`t`: magic number: expected 4 bytes, the content ends after 0"),
            (&[0, 0, 8], "`t`: magic number: expected 4 bytes, the content ends after 3"),
            (&[1, 0, 8, 1], "`t`: first two bytes: expected 0, got 256"),
            (&[0, 0, 13, 1], "`t`: type code: expected 8, got 13"),
            (&[0, 0, 8, 0], "`t`: rank: expected 1 to 4, got 0"),
            (&[0, 0, 8, 5], "`t`: rank: expected 1 to 4, got 5"),
            (
                &[0, 0, 8, 2, 0, 0, 0, 1, 0],
                "`t`: dimension 2: expected 4 bytes, the content ends after 1",
            ),
            (
                &[0, 0, 8, 1, 0, 0, 0, 3, 7, 7],
                "`t`: elements: expected 3 bytes, the content ends after 2",
            ),
            (
                &[0, 0, 8, 1, 0, 0, 0, 1, 7, 7],
                "`t`: expected the content to end after 9 bytes, it goes on",
            ),
            (
                &[0, 0, 8, 1, 255, 255, 255, 255],
                "`t`: number of elements: expected 0 to 1048576, got 4294967295",
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
            format!("`t`: number of elements: expected 0 to 1048576, got {}", u64::MAX)
        );
    }

    #[test]
    fn a_dimension_of_zero_gives_no_elements() {
        let idx = parse(&[0, 0, 8, 2, 0, 0, 0, 0, 255, 0, 0, 0], Path::new("t"), 10).unwrap();
        assert_eq!(idx.into_parts(), (vec![0, 255 << 24], vec![]));
    }
}
