//! Files as bytes, with a limit; gzip by its first bytes or by the file's name.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::error::{Error, Result};

/// The most bytes of a file, compressed or not: 4 GiB.
pub(super) const LIMIT_BYTES: u64 = 1 << 32;

/// Reads a whole file.
pub(super) fn read(file: &Path) -> Result<Vec<u8>> {
    let failed = |e: io::Error| Error::Read { file: file.to_owned(), why: e.to_string() };
    let opened = File::open(file).map_err(failed)?;
    read_to_limit(opened, LIMIT_BYTES).map_err(failed)?.ok_or_else(|| too_large(file, LIMIT_BYTES))
}

/// The content of a file that may be gzip-compressed; plain bytes are only borrowed.
pub(super) fn content<'a>(bytes: &'a [u8], file: &Path, limit_bytes: u64) -> Result<Cow<'a, [u8]>> {
    let named = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"));
    if !named && !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(Cow::Borrowed(bytes));
    }
    let damaged = |e: io::Error| Error::Gzip { file: file.to_owned(), why: e.to_string() };
    let content = read_to_limit(MultiGzDecoder::new(bytes), limit_bytes).map_err(damaged)?;
    content.map(Cow::Owned).ok_or_else(|| too_large(file, limit_bytes))
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

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn gzip_is_found_by_its_first_bytes_or_its_name() {
        let (plain, name) = (b"a\n1\n".as_slice(), Path::new("x"));
        assert_eq!(content(&gzip(plain), name, 100).unwrap(), plain);
        assert!(matches!(content(plain, name, 100).unwrap(), Cow::Borrowed(_)));
        let named = content(plain, Path::new("x.gz"), 100);
        assert!(matches!(named, Err(Error::Gzip { .. })), "{named:?}");
    }

    #[test]
    fn a_stream_that_is_cut_or_that_grows_too_large_is_refused() {
        let packed = gzip(&b"a\n".repeat(1000));
        let cut = content(&packed[..packed.len() - 4], Path::new("x.gz"), 1 << 20);
        assert!(matches!(cut, Err(Error::Gzip { .. })), "{cut:?}");
        let large = content(&packed, Path::new("x.gz"), 1999);
        assert!(matches!(large, Err(Error::TooLarge { limit_bytes: 1999, .. })), "{large:?}");
        assert!(content(&packed, Path::new("x.gz"), 2000).is_ok());
    }
}
