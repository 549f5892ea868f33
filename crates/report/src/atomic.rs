//! Files that are either old or new, never half.
//!
//! The new content goes to a temporary file in the folder of the target, is forced to the disk, and
//! takes the target's name by one rename; then the folder is forced to the disk too. A reader sees
//! the old file or the new one, and after a crash of the machine one of the two is there.
//!
//! - A symbolic link is followed: the file it points to is replaced and the link stays.
//! - An existing file keeps its permission bits; a new one gets what the umask allows. Owner and
//!   hard links are not carried over, since the content moves to a new inode.
//! - Read-only files, folders and devices are refused.
//! - Two writers of one file do not mix; the last rename wins.
//!
//! A killed process can leave a temporary file behind, named `.<file>.<random>.tmp`;
//! [`remove_leftovers`] deletes those.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Replaces the content of `path` with `bytes`.
///
/// # Errors
/// [`Error::MissingFolder`], [`Error::NotAFile`], [`Error::ReadOnly`], or [`Error::Io`]. The old
/// file is then untouched and no temporary file is left, with one exception: if the very last step,
/// syncing the folder, fails (`action` is `sync folder`), the new file is complete and in place.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().join("ledger.json");
/// report::atomic::write(&path, r#"{"steps": 12}"#)?;
/// assert_eq!(std::fs::read_to_string(&path)?, r#"{"steps": 12}"#);
/// # Ok(()) }
/// ```
pub fn write(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> Result<()> {
    write_with(path, |out| out.write_all(bytes.as_ref()))
}

/// Replaces the content of `path` with what `fill` writes.
///
/// The writer is buffered and can seek. `fill` need not flush it.
///
/// # Errors
/// As [`write()`]; an error of `fill` becomes [`Error::Io`].
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::io::Write;
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().join("numbers.txt");
/// report::atomic::write_with(&path, |out| {
///     for i in 0..3 {
///         writeln!(out, "{i}")?;
///     }
///     Ok(())
/// })?;
/// # assert_eq!(std::fs::read_to_string(&path)?, "0\n1\n2\n");
/// # Ok(()) }
/// ```
pub fn write_with<T>(
    path: impl AsRef<Path>,
    fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<T>,
) -> Result<T> {
    let path = path.as_ref();
    try_write_with(path, |out| fill(out).map_err(Error::io("write", path)))
}

/// [`write_with`] for a closure with an error type of its own.
///
/// # Errors
/// What `fill` returns, as it is; otherwise as [`write()`], converted into `E`.
pub fn try_write_with<T, E: From<Error>>(
    path: impl AsRef<Path>,
    fill: impl FnOnce(&mut BufWriter<File>) -> Result<T, E>,
) -> Result<T, E> {
    let target = Target::resolve(path.as_ref())?;
    // Dropped on every early return and on a panic of `fill`, which deletes the temporary file.
    let temporary = target.temporary()?;
    let (file, temporary) = temporary.into_parts();
    let mut out = BufWriter::new(file);
    let value = fill(&mut out)?;
    target.commit(out, temporary)?;
    Ok(value)
}

/// Creates the folder that is to hold `path`, with its parents. Nothing in this module does so
/// unasked, so that a misspelt path is an error and not a new folder.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be made.
pub fn create_parent(path: impl AsRef<Path>) -> Result<()> {
    let parent = parent_of(path.as_ref());
    fs::create_dir_all(&parent).map_err(Error::io("create folder", &parent))
}

/// Deletes temporary files that killed writers of `path` left behind; returns how many.
///
/// Call it at the start of a run, when no other process writes the same file.
///
/// # Errors
/// [`Error::MissingFolder`] or [`Error::Io`].
pub fn remove_leftovers(path: impl AsRef<Path>) -> Result<usize> {
    let target = Target::locate(path.as_ref())?;
    let prefix = target.prefix();
    let prefix = prefix.as_encoded_bytes();
    let read = || Error::io("read folder", &target.folder);
    let mut n_removed = 0;
    for entry in fs::read_dir(&target.folder).map_err(read())? {
        let entry = entry.map_err(read())?;
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        let random = name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(b".tmp"));
        let is_ours = random
            .is_some_and(|r| r.len() == RANDOM_LEN && r.iter().all(u8::is_ascii_alphanumeric));
        if is_ours {
            let path = entry.path();
            fs::remove_file(&path).map_err(Error::io("delete", &path))?;
            n_removed += 1;
        }
    }
    Ok(n_removed)
}

/// Forces a folder's list of names to the disk.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    if !cfg!(unix) {
        return Ok(()); // Elsewhere a folder cannot be opened as a file.
    }
    match File::open(folder).and_then(|f| f.sync_all()) {
        // Some network and overlay file systems cannot sync folders; the file itself is synced.
        Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Ok(())
        }
        other => other.map_err(Error::io("sync folder", folder)),
    }
}

/// The folder of `path`; `.` for a bare name.
pub(crate) fn parent_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

const RANDOM_LEN: usize = 12;

/// A file to replace, links followed.
struct Target {
    path: PathBuf,
    folder: PathBuf,
    name: OsString,
}

impl Target {
    /// Finds the file and checks that it may be replaced.
    fn resolve(path: &Path) -> Result<Self> {
        let target = Target::locate(path)?;
        if let Some(meta) = target.metadata()? {
            if !meta.is_file() {
                return Err(Error::NotAFile { path: path.to_path_buf() });
            }
            if meta.permissions().readonly() {
                return Err(Error::ReadOnly { path: path.to_path_buf() });
            }
        }
        Ok(target)
    }

    fn locate(path: &Path) -> Result<Self> {
        let path = follow_links(path)?;
        let Some(name) = path.file_name().map(OsString::from) else {
            return Err(Error::NotAFile { path });
        };
        let folder = parent_of(&path);
        if !folder.is_dir() {
            return Err(Error::MissingFolder { path: folder });
        }
        Ok(Target { path, folder, name })
    }

    fn metadata(&self) -> Result<Option<fs::Metadata>> {
        match fs::symlink_metadata(&self.path) {
            Ok(meta) => Ok(Some(meta)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("inspect", &self.path)(e)),
        }
    }

    fn prefix(&self) -> OsString {
        let mut prefix = OsString::from(".");
        prefix.push(&self.name);
        prefix.push(".");
        prefix
    }

    /// An empty temporary file with the permissions that the target has or is to have. It has them
    /// from the start: a secret must not lie open while it is written.
    fn temporary(&self) -> Result<tempfile::NamedTempFile> {
        let create = || Error::io("create a temporary file in", &self.folder);
        let old = self.metadata()?.map(|meta| meta.permissions());
        let prefix = self.prefix();
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix).suffix(".tmp").rand_bytes(RANDOM_LEN);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // As `File::create` asks for; the umask takes its share.
            let new = || fs::Permissions::from_mode(0o666);
            builder.permissions(old.clone().unwrap_or_else(new));
        }
        let temporary = builder.tempfile_in(&self.folder).map_err(create())?;
        if let Some(old) = old {
            temporary.as_file().set_permissions(old).map_err(create())?;
        }
        Ok(temporary)
    }

    fn commit(&self, out: BufWriter<File>, temporary: tempfile::TempPath) -> Result<()> {
        let write = || Error::io("write", &self.path);
        let file = out.into_inner().map_err(|e| write()(e.into_error()))?;
        file.sync_all().map_err(Error::io("sync", &self.path))?;
        drop(file); // Windows renames closed files only.
        temporary.persist(&self.path).map_err(|e| Error::io("replace", &self.path)(e.error))?;
        sync_folder(&self.folder)
    }
}

/// Follows symbolic links, the last one even if it points to nothing yet.
fn follow_links(path: &Path) -> Result<PathBuf> {
    let mut path = path.to_path_buf();
    // The kernel gives up after 40 as well.
    for _ in 0..40 {
        match fs::read_link(&path) {
            Ok(next) => path = parent_of(&path).join(next),
            Err(_) => return Ok(path),
        }
    }
    Err(Error::NotAFile { path })
}

#[cfg(test)]
mod tests;
