//! Tables of inputs with the texts they ask for, as one text with a line for each pair.

use std::path::Path;

use crate::{
    data::file,
    error::{Error, Result},
};

/// Takes comma-separated values with a header and two columns, plain or gzip-compressed, as lines `input => text`; line
/// breaks inside a cell become spaces. `file` names the bytes in errors.
///
/// # Errors
/// [`Error::NotUtf8`], [`Error::Gzip`] and [`Error::TooLarge`] as [`crate::data::text::parse`]; [`Error::Table`] and
/// [`Error::Columns`] for another table.
pub fn parse(bytes: &[u8], file: &Path, limit_bytes: u64) -> Result<String> {
    let content = file::content(bytes, file, limit_bytes)?;
    let not_utf8 = |error: std::str::Utf8Error| Error::NotUtf8 {
        file: file.to_owned(),
        offset: error.valid_up_to(),
    };
    let content = std::str::from_utf8(&content).map_err(not_utf8)?;
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(content.as_bytes());
    let mut lines = String::with_capacity(content.len());
    for (i, record) in reader.records().enumerate() {
        let record = record.map_err(|source| Error::Table { file: file.to_owned(), source })?;
        let (Some(input), Some(text), 2) = (record.get(0), record.get(1), record.len()) else {
            let (row, got) = (i + 2, record.len());
            return Err(Error::Columns { file: file.to_owned(), row, expected: 2, got });
        };
        for (cell, end) in [(input, " => "), (text, "\n")] {
            lines.extend(cell.trim().chars().map(|c| if c == '\n' || c == '\r' { ' ' } else { c }));
            lines.push_str(end);
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_a_line() {
        let parsed = |text: &str| parse(text.as_bytes(), Path::new("t"), 1000);
        let lines = parsed("mr,ref\n\"a, b\",\"one\ntwo \"\nc,d\n").unwrap();
        assert_eq!(lines, "a, b => one two\nc => d\n");
        let error = parsed("mr,ref\na,b\nc\n").unwrap_err().to_string();
        assert_eq!(error, "`t`: row 3: expected 2 columns, got 1");
        let bytes = [b'm', b',', b'r', b'\n', 0xff];
        assert!(matches!(parse(&bytes, Path::new("t"), 9), Err(Error::NotUtf8 { offset: 4, .. })));
    }
}
