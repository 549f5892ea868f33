//! Files and folders of rows.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Format, stem, within};
use crate::error::{Error, Result};
use crate::line::Line;
use crate::row::{Join, Kind, Row};

/// Rows of one format, in the order of the file; at least one, with different ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// The format of all lines.
    pub format: Format,
    /// The rows.
    pub rows: Vec<Row>,
}

impl Rows {
    /// Reads the text of a file of JSON lines; rows without an id are named by `stem` and the number of their line.
    ///
    /// # Errors
    /// [`Error::Empty`] without lines, [`Error::Line`] with the line and field that are not what the format says.
    ///
    /// # Examples
    /// ```
    /// use unlearn::data::{Format, Rows};
    ///
    /// let read = Rows::parse("mine", r#"{"question": "Where?", "answer": "Here."}"#)?;
    /// assert_eq!((read.format, read.rows[0].id.as_str()), (Format::Tofu, "mine-1"));
    /// let (prompt, answer) = read.join().parts(&read.rows[0].input, &read.rows[0].output);
    /// assert_eq!(prompt + &answer, "Question: Where?\nAnswer: Here.");
    /// # Ok::<(), unlearn::Error>(())
    /// ```
    pub fn parse(stem: &str, text: &str) -> Result<Self> {
        let mut reader = Reader::default();
        reader.read(stem, text)?;
        reader.rows()
    }

    /// How input and output become one text unless somebody says otherwise.
    #[must_use]
    pub fn join(&self) -> Join {
        self.format.join()
    }
}

/// Reads a file of JSON lines, a text `*.txt`, or all files `*.jsonl` of a folder in the order of their names, which then are of one format. The
/// table of [`data`](super) has the formats.
///
/// # Errors
/// [`Error::Read`] for a file or folder that cannot be read; [`Error::InFile`] with the path and [`Error::Line`], or
/// [`Error::Empty`] for a file without lines and a folder without such files.
pub fn rows(path: &Path) -> Result<Rows> {
    let mut reader = Reader::default();
    for file in files(path)? {
        let is_text = file.extension().is_some_and(|extension| extension == "txt");
        let stem = stem(&file);
        within(&file, |text| match is_text {
            true => reader.read_whole(&stem, text),
            false => reader.read(&stem, text),
        })?;
    }
    reader
        .rows()
        .map_err(|source| Error::InFile { path: path.to_owned(), source: Box::new(source) })
}

/// The file itself, or those of the folder.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        if file.extension().is_some_and(|extension| extension == "jsonl") {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// What has been read so far.
#[derive(Default)]
struct Reader {
    format: Option<Format>,
    rows: Vec<Row>,
    ids: BTreeSet<String>,
}

impl Reader {
    fn read(&mut self, stem: &str, text: &str) -> Result<()> {
        if text.is_empty() {
            return Err(Error::Empty { what: "rows" });
        }
        for (idx, text) in text.lines().enumerate() {
            let line = Line::parse(idx + 1, text)?;
            let format = match self.format {
                Some(format) => format,
                None => *self.format.insert(Format::of(&line)?),
            };
            let row = format.row(&line, stem)?;
            if !self.ids.insert(row.id.clone()) {
                return Err(line.wrong("id", "an id that no row before has", &row.id));
            }
            self.rows.push(row);
        }
        Ok(())
    }

    /// A text that is no lines.
    fn read_whole(&mut self, stem: &str, text: &str) -> Result<()> {
        if text.trim().is_empty() {
            return Err(Error::Empty { what: "characters of a text" });
        }
        self.format = Some(Format::Text);
        self.rows.push(Row::new(stem, Kind::Text, "", text));
        Ok(())
    }

    fn rows(self) -> Result<Rows> {
        let nothing = Error::Empty { what: "rows" };
        self.format.map(|format| Rows { format, rows: self.rows }).ok_or(nothing)
    }
}
