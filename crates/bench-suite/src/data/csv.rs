//! Tables of numbers as comma-separated values, plain or gzip-compressed, the label last.

use std::path::{Path, PathBuf};

use csv::{ByteRecord, ReaderBuilder, Trim};

use crate::{
    data::file,
    error::{Error, Result},
};

/// A table of finite numbers, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    file: PathBuf,
    n_header_rows: usize,
    n_columns: usize,
    values: Vec<f64>,
}

/// A table whose last column was a class.
#[derive(Clone, Debug, PartialEq)]
pub struct Labeled {
    /// Features row by row, `n_features` for each sample.
    pub features: Vec<f64>,
    /// Columns of the table less one.
    pub n_features: usize,
    /// One class for each row.
    pub labels: Vec<u8>,
}

impl Table {
    /// The name that errors give to the table.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Number of rows below the header; at least 1.
    pub fn n_rows(&self) -> usize {
        self.values.len() / self.n_columns
    }

    /// Number of columns; at least 1.
    pub fn n_columns(&self) -> usize {
        self.n_columns
    }

    /// All numbers, row by row; each is finite.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Takes the last column as the class of the row.
    ///
    /// # Errors
    /// [`Error::Cell`] if a label is not an integer from 0 to `n_classes - 1` (at most 255).
    pub fn split_label(&self, n_classes: usize) -> Result<Labeled> {
        let n_features = self.n_columns - 1;
        let mut features = Vec::with_capacity(self.n_rows() * n_features);
        let mut labels = Vec::with_capacity(self.n_rows());
        for (row_idx, row) in self.values.chunks_exact(self.n_columns).enumerate() {
            features.extend_from_slice(&row[..n_features]);
            let label = small_integer(row[n_features]);
            labels.push(
                label.filter(|&label| usize::from(label) < n_classes).ok_or_else(|| {
                    self.cell_error(row_idx, n_features, "a class, counted from 0")
                })?,
            );
        }
        Ok(Labeled { features, n_features, labels })
    }

    /// All columns but the last as integers from 0 to `max_level`: the pixels of small images.
    ///
    /// # Errors
    /// [`Error::Cell`] for the first number that is none.
    pub fn levels(&self, max_level: u8) -> Result<Vec<u8>> {
        let n_features = self.n_columns - 1;
        let mut levels = Vec::with_capacity(self.n_rows() * n_features);
        for (row_idx, row) in self.values.chunks_exact(self.n_columns).enumerate() {
            for (column_idx, &value) in row[..n_features].iter().enumerate() {
                let level = small_integer(value).filter(|&level| level <= max_level);
                levels.push(level.ok_or_else(|| {
                    self.cell_error(row_idx, column_idx, "a whole number within the grey levels")
                })?);
            }
        }
        Ok(levels)
    }

    fn cell_error(&self, row_idx: usize, column_idx: usize, must: &'static str) -> Error {
        Error::Cell {
            file: self.file.clone(),
            row: self.n_header_rows + row_idx + 1,
            column: column_idx + 1,
            must,
            got: self.values[row_idx * self.n_columns + column_idx].to_string(),
        }
    }
}

/// Reads and parses a table whose first `n_header_rows` rows are not numbers.
///
/// # Errors
/// As [`file::read()`] and [`parse`].
pub fn open(path: &Path, n_header_rows: usize) -> Result<Table> {
    parse(&file::read(path)?, path, n_header_rows, file::LIMIT_BYTES)
}

/// Parses the bytes of a table, plain or gzip-compressed; `file` names them in errors.
///
/// The first `n_header_rows` rows are skipped, whatever they hold; empty lines do not count as
/// rows. Spaces around a number and quotes are permitted.
///
/// # Errors
/// [`Error::Columns`] with the row if rows differ in length; [`Error::Cell`] with row and column
/// if a cell is no number, NaN or infinite; [`Error::TooFew`] if there is no row at all;
/// [`Error::Gzip`] and [`Error::TooLarge`] as [`file::content`].
///
/// # Examples
/// ```
/// # use std::path::Path;
/// # use bench_suite::data::csv;
/// let error = csv::parse(b"1,2,0\n3,nan,1\n", Path::new("t.csv"), 0, 1024).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "`t.csv`: row 2, column 2: expected a finite number, got `nan`"
/// );
/// ```
pub fn parse(bytes: &[u8], file: &Path, n_header_rows: usize, limit_bytes: u64) -> Result<Table> {
    let content = file::content(bytes, file, limit_bytes)?;
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(Trim::All)
        .from_reader(content.as_ref());
    let mut table =
        Table { file: file.to_owned(), n_header_rows, n_columns: 0, values: Vec::new() };
    let mut record = ByteRecord::new();
    let mut row = 0;
    while reader
        .read_byte_record(&mut record)
        .map_err(|source| Error::Table { file: file.to_owned(), source })?
    {
        row += 1;
        if n_header_rows < row {
            table.push(row, &record)?;
        }
    }
    if table.values.is_empty() {
        return Err(Error::TooFew {
            file: file.to_owned(),
            field: "rows of numbers",
            min: 1,
            got: 0,
        });
    }
    Ok(table)
}

impl Table {
    fn push(&mut self, row: usize, record: &ByteRecord) -> Result<()> {
        if self.values.is_empty() {
            self.n_columns = record.len();
        }
        if record.len() != self.n_columns {
            return Err(Error::Columns {
                file: self.file.clone(),
                row,
                expected: self.n_columns,
                got: record.len(),
            });
        }
        for (column_idx, cell) in record.iter().enumerate() {
            let value = finite_number(cell).ok_or_else(|| Error::Cell {
                file: self.file.clone(),
                row,
                column: column_idx + 1,
                must: "a finite number",
                got: shown(cell),
            })?;
            self.values.push(value);
        }
        Ok(())
    }
}

/// The number in a cell unless it is none, NaN or infinite.
fn finite_number(cell: &[u8]) -> Option<f64> {
    let value: f64 = str::from_utf8(cell).ok()?.parse().ok()?;
    value.is_finite().then_some(value)
}

/// The value as an integer from 0 to 255 if it is exactly one.
fn small_integer(value: f64) -> Option<u8> {
    // The cast rounds toward zero and stops at the ends of the range; the comparison undoes neither.
    #[expect(clippy::cast_possible_truncation)]
    let level = value as u8;
    f64::from(level).total_cmp(&value).is_eq().then_some(level)
}

/// The first 32 characters of a cell.
fn shown(cell: &[u8]) -> String {
    // A character has at most four bytes, so the cut keeps errors small for endless cells.
    String::from_utf8_lossy(&cell[..cell.len().min(128)]).chars().take(32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Result<Table> {
        parse(text.as_bytes(), Path::new("t"), 0, 1 << 20)
    }

    #[test]
    fn numbers_come_out_row_by_row() {
        let table = table("1, -2.5,1e3\r\n\r\n4,\"5\",6").unwrap();
        assert_eq!((table.n_rows(), table.n_columns()), (2, 3));
        assert_eq!(table.values(), [1.0, -2.5, 1e3, 4.0, 5.0, 6.0]);
    }

    #[test]
    fn each_fault_is_named_by_row_and_column() {
        for (text, message) in [
            ("", "`t`: rows of numbers: expected at least 1, got 0"),
            ("1,2\n3\n", "`t`: row 2: expected 2 columns, got 1"),
            ("1,2\n3,4,5\n", "`t`: row 2: expected 2 columns, got 3"),
            ("1,2\n3,x\n", "`t`: row 2, column 2: expected a finite number, got `x`"),
            ("1,2\n,4\n", "`t`: row 2, column 1: expected a finite number, got ``"),
            ("1,NaN\n", "`t`: row 1, column 2: expected a finite number, got `NaN`"),
            ("1,2\n-inf,2\n", "`t`: row 2, column 1: expected a finite number, got `-inf`"),
            ("1e999,2\n", "`t`: row 1, column 1: expected a finite number, got `1e999`"),
        ] {
            assert_eq!(table(text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn header_rows_are_skipped_but_counted() {
        let parse = |text: &str| parse(text.as_bytes(), Path::new("t"), 1, 1 << 20);
        assert_eq!(parse("n,30,yes,no\n1,2\n").unwrap().values(), [1.0, 2.0]);
        assert_eq!(
            parse("n\n1,2\n3,no\n").unwrap_err().to_string(),
            "`t`: row 3, column 2: expected a finite number, got `no`"
        );
    }

    #[test]
    fn the_last_column_becomes_the_label() {
        let table = table("1.5,2,0\n3,4,2\n").unwrap();
        let labeled = table.split_label(3).unwrap();
        assert_eq!(labeled.features, [1.5, 2.0, 3.0, 4.0]);
        assert_eq!((labeled.n_features, labeled.labels), (2, vec![0, 2]));
        assert_eq!(
            table.split_label(2).unwrap_err().to_string(),
            "`t`: row 2, column 3: expected a class, counted from 0, got `2`"
        );
        assert_eq!(
            table.levels(16).unwrap_err().to_string(),
            "`t`: row 1, column 1: expected a whole number within the grey levels, got `1.5`"
        );
    }

    #[test]
    fn minus_zero_and_halves_are_no_small_integers() {
        for (value, integer) in
            [(0.0, Some(0)), (255.0, Some(255)), (-0.0, None), (0.5, None), (256.0, None)]
        {
            assert_eq!(small_integer(value), integer);
        }
    }
}
