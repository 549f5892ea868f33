//! Designs in memory and in folders of raw little-endian files, which every language reads.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use slope2::Design;

use crate::error::{Error, Result};

/// A design with its response.
#[derive(Clone, Debug, PartialEq)]
pub struct Data {
    /// Observations.
    pub n: usize,
    /// Features.
    pub p: usize,
    /// The features.
    pub entries: Entries,
    /// The response.
    pub y: Vec<f64>,
}

/// Columns, one after the other.
#[derive(Clone, Debug, PartialEq)]
pub enum Entries {
    /// All entries.
    Dense(Vec<f64>),
    /// Those that are not zero: column `j` has `rows[starts[j]..starts[j + 1]]`.
    Sparse {
        /// Where columns start.
        starts: Vec<usize>,
        /// Rows, increasing in each column.
        rows: Vec<usize>,
        /// Entries.
        values: Vec<f64>,
    },
}

/// What `design.json` says.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    n: usize,
    p: usize,
    sparse: bool,
}

impl Data {
    /// The design, borrowed.
    ///
    /// # Errors
    /// If the parts do not fit together.
    pub fn design(&self) -> Result<Design<'_>> {
        Ok(match &self.entries {
            Entries::Dense(x) => Design::from_columns(x.as_slice(), self.n, self.p)?,
            Entries::Sparse { starts, rows, values } => {
                Design::sparse(self.n, starts, rows, values)?
            }
        })
    }

    /// `out += factor x_j`.
    pub fn add_column(&self, j: usize, factor: f64, out: &mut [f64]) {
        match &self.entries {
            Entries::Dense(x) => {
                let column = &x[j * self.n..(j + 1) * self.n];
                out.iter_mut().zip(column).for_each(|(o, x)| *o += factor * x);
            }
            Entries::Sparse { starts, rows, values } => {
                let range = starts[j]..starts[j + 1];
                for (i, x) in rows[range.clone()].iter().zip(&values[range]) {
                    out[*i] += factor * x;
                }
            }
        }
    }

    /// Writes `design.json`, `x.f64` (and `rows.u64`, `starts.u64`), `y.f64`; the header last, so that a folder with one is
    /// complete.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        report::atomic::create_parent(folder.join("x"))?;
        let sparse = matches!(self.entries, Entries::Sparse { .. });
        match &self.entries {
            Entries::Dense(x) => write_floats(&folder.join("x.f64"), x)?,
            Entries::Sparse { starts, rows, values } => {
                write_floats(&folder.join("x.f64"), values)?;
                for (name, indices) in [("rows.u64", rows), ("starts.u64", starts)] {
                    let bytes: Vec<u8> =
                        indices.iter().flat_map(|i| (*i as u64).to_le_bytes()).collect();
                    report::atomic::write(folder.join(name), bytes)?;
                }
            }
        }
        write_floats(&folder.join("y.f64"), &self.y)?;
        let header = Header { n: self.n, p: self.p, sparse };
        let text = serde_json::to_string(&header)
            .map_err(|e| Error::Outcome { file: folder.to_owned(), reason: e.to_string() })?;
        Ok(report::atomic::write(folder.join("design.json"), text)?)
    }

    /// Reads what [`Data::write`] wrote.
    ///
    /// # Errors
    /// [`Error::Read`] for a file that cannot be read, [`Error::Outcome`] for one that does not fit.
    pub fn read(folder: &Path) -> Result<Self> {
        let file = folder.join("design.json");
        let header: Header = serde_json::from_slice(&read(&file)?)
            .map_err(|e| Error::Outcome { file, reason: e.to_string() })?;
        let Header { n, p, sparse } = header;
        let x = read_floats(&folder.join("x.f64"))?;
        let indices = |name: &str| -> Result<Vec<usize>> {
            let bytes = read(&folder.join(name))?;
            let words = bytes.as_chunks::<8>().0.iter();
            Ok(words
                .map(|w| usize::try_from(u64::from_le_bytes(*w)).unwrap_or(usize::MAX))
                .collect())
        };
        let entries = if sparse {
            Entries::Sparse {
                starts: indices("starts.u64")?,
                rows: indices("rows.u64")?,
                values: x,
            }
        } else {
            Entries::Dense(x)
        };
        let data = Data { n, p, entries, y: read_floats(&folder.join("y.f64"))? };
        data.design()?;
        Ok(data)
    }
}

fn read(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).map_err(|source| Error::Read { file: file.to_owned(), source })
}

/// Writes numbers as little-endian doubles.
///
/// # Errors
/// If the file cannot be written.
pub fn write_floats(file: &Path, values: &[f64]) -> Result<()> {
    use std::io::Write;
    Ok(report::atomic::write_with(file, |out| {
        let mut bytes = Vec::with_capacity(8 << 12);
        for chunk in values.chunks(1 << 12) {
            bytes.clear();
            bytes.extend(chunk.iter().flat_map(|x| x.to_le_bytes()));
            out.write_all(&bytes)?;
        }
        Ok(())
    })?)
}

/// Reads little-endian doubles.
///
/// # Errors
/// [`Error::Read`] if the file cannot be read, [`Error::Outcome`] if it ends within a number.
pub fn read_floats(file: &Path) -> Result<Vec<f64>> {
    let bytes = read(file)?;
    let (words, rest) = bytes.as_chunks::<8>();
    if rest.is_empty() {
        Ok(words.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
    } else {
        let reason = format!("{} bytes, which is no number of doubles", bytes.len());
        Err(Error::Outcome { file: PathBuf::from(file), reason })
    }
}
