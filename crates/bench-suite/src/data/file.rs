//! Files as bytes: reading with a limit, gzip found by its magic number, sha256.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, Read},
    path::Path,
};

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// The most bytes, compressed or not, that the `open` functions accept: 256 MiB, five times the
/// largest file of the sets named in [`sets`](crate::data::sets).
pub const LIMIT_BYTES: u64 = 1 << 28;

/// Reads a whole file of at most [`LIMIT_BYTES`].
///
/// # Errors
/// [`Error::Read`] from the operating system, [`Error::TooLarge`] above the limit.
pub fn read(file: &Path) -> Result<Vec<u8>> {
    let failed = |source| Error::Read { file: file.to_owned(), source };
    let opened = File::open(file).map_err(failed)?;
    read_to_limit(opened, LIMIT_BYTES).map_err(failed)?.ok_or_else(|| too_large(file, LIMIT_BYTES))
}

/// Reads a whole file and compares the sha256 of its bytes (as stored, so mostly compressed).
///
/// # Errors
/// As [`read()`], and [`Error::Checksum`] if the file is another one.
pub fn read_verified(file: &Path, sha256: &str) -> Result<Vec<u8>> {
    let bytes = read(file)?;
    let got = sha256_hex(&bytes);
    if got == sha256 {
        Ok(bytes)
    } else {
        Err(Error::Checksum { file: file.to_owned(), expected: sha256.to_owned(), got })
    }
}

/// The sha256 of `bytes` in lower-case hexadecimal digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether `bytes` begin as a gzip stream does. None of the formats read here begins so.
pub fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// The content of a file that may be gzip-compressed; plain bytes are only borrowed.
///
/// Members of a gzip stream are joined; anything else behind the first one is an error.
///
/// # Errors
/// [`Error::Gzip`] for a damaged stream, [`Error::TooLarge`] if the content is longer than
/// `limit_bytes`; never more than about twice the limit is allocated.
pub fn content<'a>(bytes: &'a [u8], file: &Path, limit_bytes: u64) -> Result<Cow<'a, [u8]>> {
    if !is_gzip(bytes) {
        if limit_bytes < bytes.len() as u64 {
            return Err(too_large(file, limit_bytes));
        }
        return Ok(Cow::Borrowed(bytes));
    }
    let content =
        read_to_limit(gunzip(bytes), limit_bytes).map_err(|source| damaged(file, source))?;
    content.map(Cow::Owned).ok_or_else(|| too_large(file, limit_bytes))
}

/// A reader of the decompressed stream.
pub(super) fn gunzip(bytes: &[u8]) -> MultiGzDecoder<&[u8]> {
    MultiGzDecoder::new(bytes)
}

/// The error of a damaged gzip stream.
pub(super) fn damaged(file: &Path, source: io::Error) -> Error {
    Error::Gzip { file: file.to_owned(), source }
}

fn too_large(file: &Path, limit_bytes: u64) -> Error {
    Error::TooLarge { file: file.to_owned(), limit_bytes }
}

/// Everything up to the end, or nothing if that is more than the limit.
fn read_to_limit(reader: impl Read, limit_bytes: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    reader.take(limit_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit_bytes).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn sha256_of_abc_is_the_published_one() {
        assert_eq!(
            sha256_hex(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn gzip_content_equals_the_plain_content() {
        let plain = b"0,1,2\n".repeat(100);
        let file = Path::new("x");
        assert!(matches!(content(&plain, file, 600).unwrap(), Cow::Borrowed(_)));
        assert_eq!(content(&gzip(&plain), file, 600).unwrap(), plain);
        let two_members = [gzip(&plain[..60]), gzip(&plain[60..])].concat();
        assert_eq!(content(&two_members, file, 600).unwrap(), plain);
    }

    #[test]
    fn a_small_stream_cannot_become_a_large_content() {
        let bomb = gzip(&vec![0; 1 << 22]);
        assert!(bomb.len() < 8192);
        let error = content(&bomb, Path::new("bomb.gz"), 1 << 16).unwrap_err();
        assert!(matches!(error, Error::TooLarge { limit_bytes: 65536, .. }), "{error}");
        assert!(content(&bomb, Path::new("bomb.gz"), 1 << 22).is_ok());
    }

    #[test]
    fn bytes_behind_a_gzip_stream_are_refused() {
        let mut bytes = gzip(b"1,2\n");
        bytes.extend_from_slice(b"more");
        let error = content(&bytes, Path::new("x.gz"), 100).unwrap_err();
        assert!(matches!(error, Error::Gzip { .. }), "{error}");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = read(Path::new("no/such/file")).unwrap_err();
        assert_eq!(error.to_string(), "`no/such/file`: cannot be read");
    }
}
