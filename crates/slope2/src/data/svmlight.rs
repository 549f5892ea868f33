//! The format of svmlight and libsvm: `label [qid:q] index:value ... [# comment]`, indices counted from 1 and increasing.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::{Error, Result};
use super::file;
use super::labels::{Labels, finite};
use super::table::{Features, Names, Table};

/// The largest index that is accepted if nothing else is asked for.
const LARGEST_INDEX: usize = 1 << 27;
/// The largest index that is accepted for any number of entries.
const SMALL_INDEX: usize = 1 << 20;
/// Most columns for each stored entry beyond it.
const PER_ENTRY: usize = 16;

/// How a file is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SvmLight {
    /// Number of features; an index above it is an error. None takes the largest index of the file, which must be at most 2^20,
    /// or at most 16 for each stored entry and 2^27: a slip of the keyboard would else ask for more columns than can be kept.
    pub n_columns: Option<usize>,
    /// An index up to this one is accepted in any case, if [`SvmLight::n_columns`] is not given.
    pub known_columns: usize,
}

/// Reads and parses a file.
///
/// # Errors
/// As [`parse`]; [`Error::Read`] from the operating system.
pub fn open(path: &Path, settings: &SvmLight) -> Result<Table> {
    parse(&file::read(path)?, path, settings)
}

/// Parses the bytes of a file, plain or gzip-compressed; `file` names them in errors. Labels become a response named `label`.
///
/// # Errors
/// [`Error::Line`] for a label or value that is no finite number, an index that is 0, does not increase or is too large;
/// [`Error::Empty`] for no rows; [`Error::Gzip`] and [`Error::TooLarge`].
///
/// # Examples
/// ```
/// use std::path::Path;
/// use slope2::data::{SvmLight, svmlight};
///
/// let table = svmlight::parse(b"-1 2:0.5 # spam\n+1 1:3 4:1\n", Path::new("t.svm"), &SvmLight::default())?;
/// assert_eq!((table.n_rows(), table.n_columns()), (2, 4));
/// assert_eq!(table.response()?.classes()?.of_rows, [0, 1]);
/// # Ok::<(), slope2::data::Error>(())
/// ```
pub fn parse(bytes: &[u8], file: &Path, settings: &SvmLight) -> Result<Table> {
    let content = file::content(bytes, file, file::LIMIT_BYTES)?;
    let mut rows = Rows::default();
    let largest = LARGEST_INDEX.max(settings.known_columns);
    let limit = settings.n_columns.unwrap_or(largest);
    for (i, line) in content.split(|byte| *byte == b'\n').enumerate() {
        let end = line.iter().position(|byte| *byte == b'#').unwrap_or(line.len());
        let mut words = line[..end].split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        if let Some(label) = words.next() {
            rows.push(Line { file, number: i as u64 + 1 }, label, words, limit)?;
        }
    }
    if rows.labels.is_empty() {
        return Err(Error::Empty { file: file.to_owned() });
    }
    if settings.n_columns.is_none() {
        rows.check_width(file, settings.known_columns)?;
    }
    let p = settings.n_columns.unwrap_or(rows.largest);
    let n_rows = rows.labels.len();
    let response = Labels {
        file: file.to_owned(),
        name: "label".to_owned(),
        texts: std::mem::take(&mut rows.labels),
        lines: std::mem::take(&mut rows.lines),
    };
    let groups = rows.groups();
    Ok(Table {
        file: file.to_owned(),
        names: Names::Numbered(p),
        n_rows,
        features: rows.columns(p),
        response: Some(response),
        weights: None,
        groups,
        left_out: Vec::new(),
    })
}

/// A place in a file.
#[derive(Clone, Copy)]
struct Line<'a> {
    file: &'a Path,
    number: u64,
}

impl Line<'_> {
    fn expected(self, must: impl Into<String>, got: &[u8]) -> Error {
        Error::line(self.file, self.number, must, got)
    }
}

/// What was read so far, row by row.
#[derive(Default)]
struct Rows {
    labels: Vec<String>,
    lines: Vec<u64>,
    qids: Vec<Option<u64>>,
    /// Ends of the rows.
    ends: Vec<usize>,
    columns: Vec<usize>,
    values: Vec<f64>,
    largest: usize,
    /// The line of the largest index.
    widest: u64,
}

impl Rows {
    fn push<'a>(
        &mut self,
        line: Line<'_>,
        label: &[u8],
        words: impl Iterator<Item = &'a [u8]>,
        limit: usize,
    ) -> Result<()> {
        let number = |word: &[u8]| std::str::from_utf8(word).ok().and_then(finite);
        let text = std::str::from_utf8(label).ok().filter(|text| finite(text).is_some());
        let text = text.ok_or_else(|| line.expected("a finite number as the label", label))?;
        let (mut qid, mut last) = (None, 0);
        for (i, word) in words.enumerate() {
            let pair = || line.expected("`index:value`", word);
            let colon = word.iter().position(|byte| *byte == b':').ok_or_else(pair)?;
            let (key, value) = (&word[..colon], &word[colon + 1..]);
            let whole =
                std::str::from_utf8(key).ok().filter(|key| key.bytes().all(|b| b.is_ascii_digit()));
            if i == 0 && key == b"qid" {
                let whole = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok());
                qid =
                    Some(whole.ok_or_else(|| line.expected("a whole number after `qid:`", word))?);
                continue;
            }
            let index: usize = whole.and_then(|key| key.parse().ok()).ok_or_else(pair)?;
            if index == 0 {
                return Err(line.expected("an index counted from 1", word));
            }
            if index <= last {
                return Err(line.expected(format!("an index above {last}"), word));
            }
            if limit < index {
                return Err(line.expected(format!("an index of at most {limit}"), word));
            }
            last = index;
            let value = number(value);
            let value =
                value.ok_or_else(|| line.expected("a finite number after the colon", word))?;
            if value != 0.0 {
                self.columns.push(index - 1);
                self.values.push(value);
            }
        }
        self.labels.push(text.to_owned());
        self.lines.push(line.number);
        self.qids.push(qid);
        self.ends.push(self.values.len());
        if self.largest < last {
            (self.largest, self.widest) = (last, line.number);
        }
        Ok(())
    }

    /// Refuses an index that is too large for so few entries.
    fn check_width(&self, file: &Path, known: usize) -> Result<()> {
        let limit = SMALL_INDEX.max(self.values.len().saturating_mul(PER_ENTRY)).max(known);
        if self.largest <= limit {
            return Ok(());
        }
        let n = self.values.len();
        let must = format!("an index of at most {limit} for {n} entries, or a number of columns");
        Err(Error::line(file, self.widest, must, self.largest.to_string().as_bytes()))
    }

    /// Compressed columns: counted, then filled row by row, so that rows increase.
    fn columns(self, p: usize) -> Features {
        let mut col_ptr = vec![0usize; p + 1];
        self.columns.iter().for_each(|j| col_ptr[j + 1] += 1);
        for j in 0..p {
            col_ptr[j + 1] += col_ptr[j];
        }
        let mut next = col_ptr.clone();
        let (mut row_idx, mut values) = (vec![0; self.values.len()], vec![0.0; self.values.len()]);
        let mut start = 0;
        for (i, end) in self.ends.iter().enumerate() {
            for at in start..*end {
                let to = &mut next[self.columns[at]];
                (row_idx[*to], values[*to]) = (i, self.values[at]);
                *to += 1;
            }
            start = *end;
        }
        Features::Sparse { col_ptr, row_idx, values }
    }

    fn groups(&self) -> Option<Vec<usize>> {
        let qids: Vec<u64> = self.qids.iter().copied().collect::<Option<_>>()?;
        let mut known = BTreeMap::new();
        Some(
            qids.into_iter()
                .map(|qid| {
                    let next = known.len();
                    *known.entry(qid).or_insert(next)
                })
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Result<Table> {
        parse(text.as_bytes(), Path::new("t"), &SvmLight::default())
    }

    #[test]
    fn columns_are_those_of_the_rows() {
        let table = table("# head\n1 1:2 3:-1\r\n\n0 qid:7 2:0 3:4#x\n").unwrap();
        let mut out = vec![0.0; 2];
        table.design().unwrap().apply(&[1.0, 10.0, 100.0], &mut out);
        assert_eq!(out, [2.0 - 100.0, 400.0]);
        assert_eq!((table.n_columns(), table.name(2).as_ref()), (3, "x3"));
        assert_eq!(table.response().unwrap().line(1), Some(4));
        assert_eq!(table.groups(), None, "one row has no qid");
        assert_eq!(table.constant_columns(), [1]);
    }

    #[test]
    fn every_row_with_a_qid_makes_groups() {
        assert_eq!(
            table("1 qid:9 1:1\n1 qid:3\n0 qid:9\n").unwrap().groups(),
            Some(&[0, 1, 0][..])
        );
    }

    #[test]
    fn each_fault_is_named_by_its_line() {
        for (text, message) in [
            ("", "t: expected at least one row of values, got none"),
            ("# only\n\n", "t: expected at least one row of values, got none"),
            ("1 1:2\nx 1:2\n", "t, line 2: expected a finite number as the label, got `x`"),
            ("1:2\n", "t, line 1: expected a finite number as the label, got `1:2`"),
            ("1 0:2\n", "t, line 1: expected an index counted from 1, got `0:2`"),
            ("1 3:2 3:1\n", "t, line 1: expected an index above 3, got `3:1`"),
            ("1 3:2 2:1\n", "t, line 1: expected an index above 3, got `2:1`"),
            ("1 a:2\n", "t, line 1: expected `index:value`, got `a:2`"),
            ("1 +1:2\n", "t, line 1: expected `index:value`, got `+1:2`"),
            ("1 2\n", "t, line 1: expected `index:value`, got `2`"),
            ("1 1:nan\n", "t, line 1: expected a finite number after the colon, got `1:nan`"),
            ("1 1:\n", "t, line 1: expected a finite number after the colon, got `1:`"),
            ("1 qid:x 1:1\n", "t, line 1: expected a whole number after `qid:`, got `qid:x`"),
            (
                "1 999999999:1\n",
                "t, line 1: expected an index of at most 134217728, got `999999999:1`",
            ),
        ] {
            assert_eq!(table(text).unwrap_err().to_string(), message);
        }
        let of = |n_columns| SvmLight { n_columns, ..SvmLight::default() };
        let two = parse(b"1 3:1\n", Path::new("t"), &of(Some(2)));
        assert!(matches!(two, Err(Error::Line { .. })));
    }

    #[test]
    fn columns_are_not_many_more_than_entries() {
        let message = "t, line 2: expected an index of at most 1048576 for 2 entries, or a number of columns, got `134217728`";
        let error = table("1 1:1\n0 134217728:1\n").unwrap_err();
        assert_eq!(error.to_string(), message);
        assert_eq!(table("1 1048576:1\n").unwrap().n_columns(), 1 << 20);
        let text = b"1 1048577:1\n";
        let of = |n_columns, known_columns| {
            let settings = SvmLight { n_columns, known_columns };
            parse(text, Path::new("t"), &settings).map(|table| table.n_columns())
        };
        assert!(of(None, 1 << 20).is_err());
        assert_eq!(of(None, 1_048_577).unwrap(), 1_048_577);
        assert_eq!(of(Some(2_000_000), 0).unwrap(), 2_000_000);
    }

    #[test]
    fn other_widths_cut_or_fill_with_zeros() {
        let wide = table("1 1:2 3:5\n0 3:4\n").unwrap();
        let apply = |table: &Table, b: &[f64]| {
            let mut out = vec![0.0; 2];
            table.design().unwrap().apply(b, &mut out);
            out
        };
        let cut = wide.clone().widened_to(2);
        assert_eq!(
            (apply(&cut, &[1.0, 1.0]), cut.left_out()),
            (vec![2.0, 0.0], &["x3".to_owned()][..])
        );
        let filled = wide.widened_to(5);
        assert_eq!(apply(&filled, &[1.0; 5]), [7.0, 4.0]);
    }
}
