//! A ledger in a file that survives a kill at any byte without ever counting too little.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Charge, Ledger, Mark, encoding};
use crate::{DpEvent, Error, NeighboringRelation, Result, UnitOfPrivacy};

/// Lines appended before the file is rewritten in its shortest form.
const COMPACT_AFTER: u64 = 4096;

/// A [`Ledger`] kept in an append-only file of JSON lines.
///
/// The first line is a versioned header. A later line gives a phase's total number of charges up to and
/// including one charge, or a mark. Each line is on the disk before [`charge`](Charge::charge) returns. Now and then the
/// file is rewritten in its shortest form under another name and renamed, so it stays small.
///
/// A last line without its line break is what a kill leaves. Its charge had not returned, so no noise was drawn
/// for it: it is counted if it is complete and dropped if it is not. Damage anywhere else is an error.
/// A step that is done again after a restart is charged again.
///
/// A file that is renamed, removed or replaced while it is written is an error of the next charge, whose line it lacks
/// ([`Error::LedgerReplaced`]); a charge after that writes the whole ledger under the name again.
///
/// The file belongs to one writer at a time; `<name>.lock` beside it enforces that. Symbolic links are followed first, so
/// that all names of one file have one lock. Hard links are not: give a ledger one name.
///
/// # Examples
/// ```
/// use dp_core::{Charge, DpEvent, LedgerFile, NeighboringRelation, UnitOfPrivacy};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("run.ledger");
/// let (relation, unit) = (NeighboringRelation::AddOrRemoveOne, UnitOfPrivacy::default());
/// let mut file = LedgerFile::open_or_create(&path, relation, &unit)?;
/// file.charge(&DpEvent::gaussian(1.0)?)?;
/// drop(file); // or killed
///
/// let file = LedgerFile::open_or_create(&path, relation, &unit)?;
/// assert_eq!(file.ledger().n_charges(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct LedgerFile {
    path: PathBuf,
    ledger: Ledger,
    file: File,
    appended: u64,
    compact_after: u64,
    /// A write failed, so the end of the file is unknown: rewrite before the next line.
    damaged: bool,
    _lock: File,
}

impl LedgerFile {
    /// Starts a file.
    ///
    /// # Errors
    /// [`Error::Io`], among others if the file exists; [`Error::LedgerInUse`].
    pub fn create(path: impl AsRef<Path>, ledger: Ledger) -> Result<Self> {
        let path = &resolve(path.as_ref())?;
        let lock = lock(path)?;
        Self::create_locked(path, ledger, lock)
    }

    /// Starts a file in the place of an older one. The older one is kept under the first free name of `<name>.1`,
    /// `<name>.2` and so on.
    ///
    /// # Privacy
    /// The new file knows nothing of what the older one counts. It is right for a run on other data, or for one whose
    /// statement speaks of that run alone.
    ///
    /// # Errors
    /// [`Error::LedgerInUse`], and then nothing has changed; [`Error::Io`].
    pub fn start_anew(path: impl AsRef<Path>, ledger: Ledger) -> Result<Self> {
        let path = &resolve(path.as_ref())?;
        let lock = lock(path)?;
        if exists(path)? {
            let mut number = 1_u64;
            let mut kept = beside(path, ".1");
            while exists(&kept)? {
                number += 1;
                kept = beside(path, &format!(".{number}"));
            }
            fs::rename(path, kept).map_err(|source| io_error("rename", path, source))?;
        }
        Self::create_locked(path, ledger, lock)
    }

    /// Goes on with a file. A line torn by a kill is removed.
    ///
    /// # Errors
    /// [`Error::LedgerCorrupt`] with the line; [`Error::Io`]; [`Error::LedgerInUse`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = &resolve(path.as_ref())?;
        let lock = lock(path)?;
        Self::open_locked(path, lock)
    }

    /// Goes on with a file if there is one and it protects the same thing, else starts one.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`create`](Self::create); [`Error::LedgerMismatch`].
    pub fn open_or_create(
        path: impl AsRef<Path>,
        relation: NeighboringRelation,
        unit: &UnitOfPrivacy,
    ) -> Result<Self> {
        let path = &resolve(path.as_ref())?;
        let lock = lock(path)?;
        if !exists(path)? {
            return Self::create_locked(path, Ledger::new(relation, unit.clone()), lock);
        }
        let opened = Self::open_locked(path, lock)?;
        let mismatch = |what, found: String, expected: String| {
            Err(Error::LedgerMismatch { path: path.to_owned(), what, found, expected })
        };
        if opened.ledger.relation() != relation {
            return mismatch(
                "relation",
                opened.ledger.relation().to_string(),
                relation.to_string(),
            );
        }
        if opened.ledger.unit() != unit {
            return mismatch("unit", opened.ledger.unit().to_string(), unit.to_string());
        }
        Ok(opened)
    }

    /// Reads a ledger without becoming its writer and without repairing it.
    ///
    /// # Errors
    /// [`Error::LedgerCorrupt`] with the line; [`Error::Io`].
    pub fn read(path: impl AsRef<Path>) -> Result<Ledger> {
        Ok(read(path.as_ref())?.ledger)
    }

    fn create_locked(path: &Path, ledger: Ledger, lock: File) -> Result<Self> {
        if exists(path)? {
            let source = io::Error::from(io::ErrorKind::AlreadyExists);
            return Err(io_error("create", path, source));
        }
        let file = rewrite(path, &ledger)?;
        Ok(Self::new(path, ledger, file, 0, lock))
    }

    fn open_locked(path: &Path, lock: File) -> Result<Self> {
        let Loaded { ledger, n_lines, whole } = read(path)?;
        if whole {
            let file = append_to(path)?;
            Ok(Self::new(path, ledger, file, n_lines, lock))
        } else {
            let file = rewrite(path, &ledger)?;
            Ok(Self::new(path, ledger, file, 0, lock))
        }
    }

    fn new(path: &Path, ledger: Ledger, file: File, appended: u64, lock: File) -> Self {
        LedgerFile {
            path: path.to_owned(),
            ledger,
            file,
            appended,
            compact_after: COMPACT_AFTER,
            damaged: false,
            _lock: lock,
        }
    }

    /// Puts lines on the disk that describe what `ledger` already contains.
    fn record(&mut self, lines: &[Value]) -> Result<()> {
        self.appended += lines.len() as u64;
        let shortest = 2 * self.ledger.phases.len() as u64;
        if self.damaged || self.compact_after.max(shortest) < self.appended {
            self.damaged = true; // until the new file is in place
            self.file = rewrite(&self.path, &self.ledger)?;
            self.appended = 0;
            self.damaged = false;
            return Ok(());
        }
        let text = text(lines);
        let done = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        // Another file under the name does not have the line: renaming or removing takes the name away, not the file.
        let there = done.and_then(|()| Ok((self.file.metadata()?.len(), fs::metadata(&self.path))));
        let replaced = || Err(Error::LedgerReplaced { path: self.path.clone() });
        let result = match there {
            Ok((ours, Ok(named))) if ours == named.len() => return Ok(()),
            Ok((_, Ok(_))) => replaced(),
            Ok((_, Err(error))) if error.kind() == io::ErrorKind::NotFound => replaced(),
            Ok((_, Err(source))) | Err(source) => Err(io_error("write", &self.path, source)),
        };
        self.damaged = true;
        result
    }
}

impl Charge for LedgerFile {
    fn charge(&mut self, event: &DpEvent) -> Result<()> {
        let known = self.ledger.phases.len();
        let touched = self.ledger.charge_phases(event)?;
        let lines: Vec<Value> = touched
            .into_iter()
            .map(|at| {
                if at < known {
                    encoding::known_phase(&self.ledger, at)
                } else {
                    encoding::new_phase(&self.ledger, at)
                }
            })
            .collect();
        if lines.is_empty() { Ok(()) } else { self.record(&lines) }
    }

    fn mark(&mut self, mark: Mark) -> Result<()> {
        if self.ledger.has_mark(&mark) && !self.damaged {
            return Ok(());
        }
        let line = encoding::mark(&mark);
        self.ledger.mark(mark)?;
        self.record(&[line])
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

struct Loaded {
    ledger: Ledger,
    n_lines: u64,
    /// The file ends in a line break.
    whole: bool,
}

fn read(path: &Path) -> Result<Loaded> {
    let bytes = fs::read(path).map_err(|source| io_error("read", path, source))?;
    let (body, torn) = match bytes.iter().rposition(|byte| *byte == b'\n') {
        Some(end) => bytes.split_at(end + 1),
        None => (&[][..], &bytes[..]),
    };
    let corrupt = |line, why: String| Error::LedgerCorrupt { path: path.to_owned(), line, why };
    let mut reader = encoding::Reader::default();
    let mut n_lines = 0;
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        n_lines += 1;
        let value: Value =
            serde_json::from_slice(line).map_err(|error| corrupt(n_lines, error.to_string()))?;
        reader.read(&value).map_err(|error| corrupt(n_lines, error.to_string()))?;
    }
    if let Ok(value) = serde_json::from_slice::<Value>(torn) {
        // Complete but for its line break. No beginning of such a line is valid by itself.
        reader.read(&value).map_err(|error| corrupt(n_lines + 1, error.to_string()))?;
    }
    let ledger = reader.finish().map_err(|error| corrupt(1, error.to_string()))?;
    Ok(Loaded { ledger, n_lines, whole: torn.is_empty() })
}

fn text(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Replaces the file by its shortest form, then opens it for appending.
fn rewrite(path: &Path, ledger: &Ledger) -> Result<File> {
    report::atomic::write(path, text(&encoding::lines(ledger)))?;
    append_to(path)
}

fn append_to(path: &Path) -> Result<File> {
    let opened = OpenOptions::new().append(true).open(path);
    opened.map_err(|source| io_error("open", path, source))
}

fn lock(path: &Path) -> Result<File> {
    let beside = beside(path, ".lock");
    let opened = OpenOptions::new().write(true).create(true).truncate(false).open(&beside);
    let file = opened.map_err(|source| io_error("open", &beside, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::LedgerInUse { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(io_error("lock", &beside, source)),
    }
}

fn exists(path: &Path) -> Result<bool> {
    path.try_exists().map_err(|source| io_error("look for", path, source))
}

/// The one absolute name of a file that may have others through symbolic links. The file need not exist.
fn resolve(path: &Path) -> Result<PathBuf> {
    match fs::canonicalize(path) {
        Ok(path) => return Ok(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(io_error("resolve", path, source)),
    }
    let mut target = path.to_owned();
    // A link may point to a file that is not there yet. Links that lead nowhere else were an error above.
    while let Ok(next) = fs::read_link(&target) {
        target = folder_of(&target).join(next);
    }
    let folder = folder_of(&target);
    let folder = fs::canonicalize(folder).map_err(|source| io_error("resolve", folder, source))?;
    let Some(name) = target.file_name() else {
        return Err(io_error("resolve", path, io::ErrorKind::InvalidInput.into()));
    };
    Ok(folder.join(name))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
