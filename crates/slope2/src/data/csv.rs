//! Comma-separated values, or with any other delimiter.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use csv::{ByteRecord, ReaderBuilder, Trim};

use super::error::{Error, Result, listed, shown};
use super::file;
use super::labels::{Labels, finite};
use super::table::{Features, Names, Table, numbered};

/// What stands between cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delimiter {
    /// One character.
    Byte(u8),
    /// Any number of spaces and tabs; there are no quotes then.
    Whitespace,
}

/// How a file is read. Columns are chosen by name, or by their number in the file, counted from 1, where no column has that
/// name. All columns that are chosen for nothing else are features, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Csv {
    /// What stands between cells.
    pub delimiter: Delimiter,
    /// Whether the first row holds names. Without names columns are called `x1`, `x2`, ... by their number in the file.
    pub header: bool,
    /// Lines before the first row that are not looked at.
    pub skip_lines: usize,
    /// The response.
    pub response: Option<String>,
    /// Weights of the rows.
    pub weights: Option<String>,
    /// Groups of the rows; any texts.
    pub groups: Option<String>,
    /// Columns to leave out, whatever they hold.
    pub ignored: Vec<String>,
    /// The names of all features, in this order; other columns are then left out.
    pub features: Option<Vec<String>>,
}

impl Default for Csv {
    /// Commas, a header, and nothing but features.
    fn default() -> Self {
        Csv {
            delimiter: Delimiter::Byte(b','),
            header: true,
            skip_lines: 0,
            response: None,
            weights: None,
            groups: None,
            ignored: Vec::new(),
            features: None,
        }
    }
}

/// Reads and parses a file.
///
/// # Errors
/// As [`parse`]; [`Error::Read`] from the operating system.
pub fn open(path: &Path, settings: &Csv) -> Result<Table> {
    parse(&file::read(path)?, path, settings)
}

/// Parses the bytes of a file, plain or gzip-compressed; `file` names them in errors. A byte order mark, spaces around cells
/// and empty lines are passed over.
///
/// # Errors
/// [`Error::Cell`] for a feature or weight that is no finite number; [`Error::Ragged`] for rows of different lengths;
/// [`Error::Line`] for a header with equal names, empty names or numbers only; [`Error::NoColumn`], [`Error::MissingColumns`]
/// and [`Error::TwoRoles`] for choices that do not fit; [`Error::Empty`], [`Error::Gzip`], [`Error::TooLarge`].
///
/// # Examples
/// ```
/// use std::path::Path;
/// use slope2::data::{Csv, csv};
///
/// let settings = Csv { response: Some("y".into()), ..Csv::default() };
/// let error = csv::parse(b"a,b,y\n1,2,3\n4,n/a,6\n", Path::new("t.csv"), &settings).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "t.csv, line 3, column `b`: expected a finite number (missing values are not filled in), got `n/a`"
/// );
/// ```
pub fn parse(bytes: &[u8], file: &Path, settings: &Csv) -> Result<Table> {
    let content = file::content(bytes, file, file::LIMIT_BYTES)?;
    let mut rows = Rows::new(&content, file, settings);
    let mut record = ByteRecord::new();
    let empty = || Error::Empty { file: file.to_owned() };
    let first = rows.read(&mut record)?.ok_or_else(empty)?;
    let names: Vec<String> = if settings.header {
        header(file, first, &record, settings)?
    } else {
        (0..record.len()).map(numbered).collect()
    };
    let roles = Roles::choose(file, &names, settings)?;
    let mut filled = Filled::new(file, &names, roles);
    if !settings.header {
        filled.push(first, &record)?;
    }
    while let Some(line) = rows.read(&mut record)? {
        filled.push(line, &record)?;
    }
    if filled.lines.is_empty() { Err(empty()) } else { Ok(filled.finish()) }
}

/// Rows of cells with their lines.
struct Rows<'a> {
    file: &'a Path,
    /// Lines before the first that is read.
    before: u64,
    source: Source<'a>,
}

enum Source<'a> {
    Quoted(Box<csv::Reader<&'a [u8]>>, &'a [u8]),
    /// The lines that are left, and how many were read.
    Words(&'a [u8], u64),
}

impl<'a> Rows<'a> {
    fn new(content: &'a [u8], file: &'a Path, settings: &Csv) -> Self {
        let mut text = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
        for _ in 0..settings.skip_lines {
            let end = text.iter().position(|byte| *byte == b'\n').map_or(text.len(), |end| end + 1);
            text = &text[end..];
        }
        let source = match settings.delimiter {
            Delimiter::Byte(delimiter) => {
                let mut builder = ReaderBuilder::new();
                builder.has_headers(false).flexible(true).trim(Trim::All).delimiter(delimiter);
                Source::Quoted(Box::new(builder.from_reader(text)), text)
            }
            Delimiter::Whitespace => Source::Words(text, 0),
        };
        Rows { file, before: settings.skip_lines as u64, source }
    }

    /// The next row, and its line.
    fn read(&mut self, record: &mut ByteRecord) -> Result<Option<u64>> {
        match &mut self.source {
            Source::Quoted(reader, text) => {
                let more = reader
                    .read_byte_record(record)
                    .map_err(|e| Error::Read { file: self.file.to_owned(), why: e.to_string() })?;
                let Some(start) = record.position().filter(|_| more) else { return Ok(None) };
                // The position is that of the empty lines before the row, if there are any.
                let at = usize::try_from(start.byte()).unwrap_or(usize::MAX).min(text.len());
                let blank = text[at..].iter().take_while(|byte| matches!(byte, b'\n' | b'\r'));
                let blank = blank.filter(|byte| **byte == b'\n').count();
                Ok(Some(self.before + start.line() + blank as u64))
            }
            Source::Words(rest, read) => {
                record.clear();
                while record.is_empty() && !rest.is_empty() {
                    let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
                    *rest = rest.get(line.len() + 1..).unwrap_or_default();
                    *read += 1;
                    let words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
                    words.for_each(|word| record.push_field(word));
                }
                Ok((!record.is_empty()).then_some(self.before + *read))
            }
        }
    }
}

fn header(file: &Path, line: u64, record: &ByteRecord, settings: &Csv) -> Result<Vec<String>> {
    let mut names = Vec::with_capacity(record.len());
    let mut seen = BTreeSet::new();
    for (i, cell) in record.iter().enumerate() {
        let name = std::str::from_utf8(cell)
            .map_err(|_| Error::line(file, line, "names in UTF-8", cell))?;
        let number = (i + 1).to_string();
        if name.is_empty() && !settings.ignored.contains(&number) {
            let must = format!("a name for column {number}, or that it is left out by its number");
            return Err(Error::line(file, line, must, cell));
        }
        if !name.is_empty() && !seen.insert(name.to_owned()) {
            return Err(Error::line(file, line, "names of columns that differ", cell));
        }
        names.push(name.to_owned());
    }
    if names.iter().all(|name| name.parse::<f64>().is_ok()) {
        let must = "names of columns (a file without a header must be read as such)";
        let got = names.join(",");
        return Err(Error::line(file, line, must, got.as_bytes()));
    }
    Ok(names)
}

/// What a column is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Feature(usize),
    Response,
    Weights,
    Groups,
    LeftOut,
}

struct Roles {
    of_columns: Vec<Role>,
    features: Vec<String>,
}

impl Roles {
    fn choose(file: &Path, names: &[String], settings: &Csv) -> Result<Roles> {
        let mut chosen: BTreeMap<usize, (Role, &'static str)> = BTreeMap::new();
        let mut take = |asked: &String, role: Role, what: &'static str| -> Result<()> {
            let at = place(file, names, asked)?;
            match chosen.insert(at, (role, what)) {
                Some((_, first)) if first != what => Err(Error::TwoRoles {
                    file: file.to_owned(),
                    name: names[at].clone(),
                    first,
                    second: what,
                }),
                _ => Ok(()),
            }
        };
        for (asked, role, what) in [
            (&settings.response, Role::Response, "response"),
            (&settings.weights, Role::Weights, "weights"),
            (&settings.groups, Role::Groups, "groups"),
        ] {
            asked.iter().try_for_each(|asked| take(asked, role, what))?;
        }
        settings
            .ignored
            .iter()
            .try_for_each(|asked| take(asked, Role::LeftOut, "ignored column"))?;
        let role = |at: usize| chosen.get(&at).map(|(role, _)| *role);
        let Some(wanted) = &settings.features else {
            let mut features = Vec::new();
            let of_columns = (0..names.len())
                .map(|at| {
                    role(at).unwrap_or_else(|| {
                        features.push(names[at].clone());
                        Role::Feature(features.len() - 1)
                    })
                })
                .collect();
            return Ok(Roles { of_columns, features });
        };
        let free = (0..names.len()).filter(|at| role(*at).is_none());
        let by_name: BTreeMap<&str, usize> = free.map(|at| (names[at].as_str(), at)).collect();
        let missing: Vec<&String> =
            wanted.iter().filter(|name| !by_name.contains_key(name.as_str())).collect();
        if !missing.is_empty() {
            return Err(Error::MissingColumns { file: file.to_owned(), names: listed(&missing) });
        }
        let mut of_columns: Vec<Role> =
            (0..names.len()).map(|at| role(at).unwrap_or(Role::LeftOut)).collect();
        for (place, name) in wanted.iter().enumerate() {
            if let Some(at) = by_name.get(name.as_str()) {
                of_columns[*at] = Role::Feature(place);
            }
        }
        Ok(Roles { of_columns, features: wanted.clone() })
    }
}

/// The column with this name, else with this number.
fn place(file: &Path, names: &[String], asked: &str) -> Result<usize> {
    let by_number = || asked.parse().ok().filter(|n| (1..=names.len()).contains(n)).map(|n| n - 1);
    names.iter().position(|name| name == asked).or_else(by_number).ok_or_else(|| Error::NoColumn {
        file: file.to_owned(),
        name: shown(asked.as_bytes()),
        columns: listed(names),
    })
}

/// A table that is being filled.
struct Filled<'a> {
    file: &'a Path,
    names: &'a [String],
    roles: Roles,
    lines: Vec<u64>,
    /// Features row by row.
    entries: Vec<f64>,
    response: Vec<String>,
    weights: Vec<f64>,
    groups: Vec<usize>,
    known_groups: BTreeMap<String, usize>,
}

impl<'a> Filled<'a> {
    fn new(file: &'a Path, names: &'a [String], roles: Roles) -> Self {
        Filled {
            file,
            names,
            roles,
            lines: Vec::new(),
            entries: Vec::new(),
            response: Vec::new(),
            weights: Vec::new(),
            groups: Vec::new(),
            known_groups: BTreeMap::new(),
        }
    }

    fn push(&mut self, line: u64, record: &ByteRecord) -> Result<()> {
        if record.len() != self.names.len() {
            let (expected, got) = (self.names.len(), record.len());
            return Err(Error::Ragged { file: self.file.to_owned(), line, expected, got });
        }
        let start = self.entries.len();
        self.entries.resize(start + self.roles.features.len(), 0.0);
        for (i, cell) in record.iter().enumerate() {
            let refused = |must: &str| Error::Cell {
                file: self.file.to_owned(),
                line,
                column: self.names[i].clone(),
                must: must.to_owned(),
                got: shown(cell),
            };
            let text = || std::str::from_utf8(cell).map_err(|_| refused("a text in UTF-8"));
            let number = std::str::from_utf8(cell).ok().and_then(finite);
            match self.roles.of_columns[i] {
                Role::LeftOut => {}
                Role::Feature(place) => {
                    let must = "a finite number (missing values are not filled in)";
                    self.entries[start + place] = number.ok_or_else(|| refused(must))?;
                }
                Role::Response => self.response.push(text()?.to_owned()),
                Role::Weights => {
                    let weight = number.filter(|w| 0.0 <= *w);
                    let must = "a finite number that is not negative";
                    self.weights.push(weight.ok_or_else(|| refused(must))?);
                }
                Role::Groups => {
                    let next = self.known_groups.len();
                    let group = self.known_groups.entry(text()?.to_owned()).or_insert(next);
                    self.groups.push(*group);
                }
            }
        }
        self.lines.push(line);
        Ok(())
    }

    fn finish(self) -> Table {
        let (n, p) = (self.lines.len(), self.roles.features.len());
        let mut columns = vec![0.0; n * p];
        for (i, row) in self.entries.chunks_exact(p.max(1)).enumerate() {
            row.iter().enumerate().for_each(|(j, x)| columns[j * n + i] = *x);
        }
        let has = |role: Role| self.roles.of_columns.contains(&role);
        let name_of = |role: Role| self.roles.of_columns.iter().position(|r| *r == role);
        let left_out = self.roles.of_columns.iter().zip(self.names);
        let left_out = left_out.filter(|(role, _)| **role == Role::LeftOut);
        let left_out = left_out.map(|(_, name)| name.clone()).collect();
        let response = name_of(Role::Response).map(|at| Labels {
            file: self.file.to_owned(),
            name: self.names[at].clone(),
            texts: self.response,
            lines: self.lines,
        });
        Table {
            file: self.file.to_owned(),
            n_rows: n,
            features: Features::Dense(columns),
            response,
            weights: has(Role::Weights).then_some(self.weights),
            groups: has(Role::Groups).then_some(self.groups),
            left_out,
            names: Names::Listed(self.roles.features),
        }
    }
}

impl Delimiter {
    /// The delimiter of a name: one character, `tab`, `space` for any number of spaces and tabs.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match (name, name.as_bytes()) {
            ("tab" | "\\t", _) => Delimiter::Byte(b'\t'),
            ("space" | " ", _) => Delimiter::Whitespace,
            (_, [byte]) if byte.is_ascii() && !b"\n\r\"".contains(byte) => Delimiter::Byte(*byte),
            _ => return None,
        })
    }

    /// As [`Delimiter::named`] names it.
    #[must_use]
    pub fn name(self) -> Cow<'static, str> {
        match self {
            Delimiter::Whitespace => "space".into(),
            Delimiter::Byte(b'\t') => "tab".into(),
            Delimiter::Byte(byte) => char::from(byte).to_string().into(),
        }
    }
}

#[cfg(test)]
mod tests;
