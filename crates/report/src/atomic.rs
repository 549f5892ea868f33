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
/// As [`write`]; an error of `fill` becomes [`Error::Io`].
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
/// What `fill` returns, as it is; otherwise as [`write`], converted into `E`.
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

    fn temporary(&self) -> Result<tempfile::NamedTempFile> {
        let prefix = self.prefix();
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix).suffix(".tmp").rand_bytes(RANDOM_LEN);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // As `File::create` asks for; the umask takes its share.
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        builder
            .tempfile_in(&self.folder)
            .map_err(Error::io("create a temporary file in", &self.folder))
    }

    fn commit(&self, out: BufWriter<File>, temporary: tempfile::TempPath) -> Result<()> {
        let write = || Error::io("write", &self.path);
        let file = out.into_inner().map_err(|e| write()(e.into_error()))?;
        if let Some(meta) = self.metadata()? {
            file.set_permissions(meta.permissions())
                .map_err(Error::io("set the permissions of", &self.path))?;
        }
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
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_failing_writer_keeps_the_old_file_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.bin");
        write(&path, "old").unwrap();
        let failed = write_with(&path, |out| {
            out.write_all(&[7; 100_000])?;
            Err::<(), _>(io::Error::other("disk full"))
        });
        assert!(matches!(failed, Err(Error::Io { action: "write", .. })));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(dir.path()), ["a.bin"]);
    }

    #[test]
    fn a_panicking_writer_keeps_the_old_file_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.bin");
        write(&path, "old").unwrap();
        let caught = std::panic::catch_unwind(|| {
            let _ = write_with(&path, |_| -> io::Result<()> {
                std::panic::resume_unwind(Box::new(()))
            });
        });
        assert!(caught.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(dir.path()), ["a.bin"]);
    }

    #[test]
    fn the_closure_keeps_its_own_error_type() {
        #[derive(Debug)]
        enum Mine {
            Own,
            Report(Error),
        }
        impl From<Error> for Mine {
            fn from(e: Error) -> Self {
                Mine::Report(e)
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        assert!(matches!(try_write_with(&path, |_| Err::<(), _>(Mine::Own)), Err(Mine::Own)));
        let nowhere = dir.path().join("no/a");
        let got = try_write_with(nowhere, |_| Ok::<_, Mine>(()));
        assert!(matches!(got, Err(Mine::Report(Error::MissingFolder { .. }))));
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn the_parent_is_created_only_when_asked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x/y/z.txt");
        assert!(matches!(write(&path, "1"), Err(Error::MissingFolder { .. })));
        assert!(names(dir.path()).is_empty());
        create_parent(&path).unwrap();
        write(&path, "1").unwrap();
        assert_eq!(names(path.parent().unwrap()), ["z.txt"]);
    }

    #[test]
    fn a_folder_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(write(dir.path(), "1"), Err(Error::NotAFile { .. })));
        assert!(matches!(write("/", "1"), Err(Error::NotAFile { .. })));
        assert!(dir.path().is_dir());
    }

    #[test]
    fn leftovers_of_this_file_only_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        for name in [".a.abcDEF123456.tmp", ".b.abcDEF123456.tmp", ".a.short.tmp", "a"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(remove_leftovers(dir.path().join("a")).unwrap(), 1);
        assert_eq!(names(dir.path()), [".a.short.tmp", ".b.abcDEF123456.tmp", "a"]);
    }

    #[test]
    fn the_name_of_a_temporary_file_is_the_one_that_leftovers_are_found_by() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let (_, temporary) = Target::resolve(&path).unwrap().temporary().unwrap().keep().unwrap();
        assert!(temporary.exists());
        assert_eq!(remove_leftovers(&path).unwrap(), 1);
        assert!(!temporary.exists());
    }

    #[test]
    fn the_writer_can_seek() {
        use std::io::Seek;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write_with(&path, |out| {
            out.write_all(b"----data")?;
            out.seek(io::SeekFrom::Start(0))?;
            out.write_all(b"head")
        })
        .unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"headdata");
    }

    #[cfg(unix)]
    mod unix {
        use std::os::unix::fs::{PermissionsExt, symlink};

        use super::*;

        fn mode(path: &Path) -> u32 {
            fs::metadata(path).unwrap().permissions().mode() & 0o7777
        }

        #[test]
        fn a_new_file_has_the_permissions_of_an_ordinary_one() {
            let dir = tempfile::tempdir().unwrap();
            let (ours, plain) = (dir.path().join("ours"), dir.path().join("plain"));
            write(&ours, "1").unwrap();
            fs::write(&plain, "1").unwrap();
            assert_eq!(mode(&ours), mode(&plain));
        }

        #[test]
        fn an_existing_file_keeps_its_permissions() {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a");
            fs::write(&path, "1").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            write(&path, "2").unwrap();
            assert_eq!(mode(&path), 0o640);
        }

        #[test]
        fn a_read_only_file_is_kept() {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a");
            fs::write(&path, "1").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
            assert!(matches!(write(&path, "2"), Err(Error::ReadOnly { .. })));
            assert_eq!(fs::read(&path).unwrap(), b"1");
        }

        #[test]
        fn a_device_is_never_replaced() {
            assert!(matches!(write("/dev/null", "2"), Err(Error::NotAFile { .. })));
        }

        #[test]
        fn a_link_stays_and_its_file_is_replaced() {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("store")).unwrap();
            let link = dir.path().join("latest");
            symlink("store/one", &link).unwrap();
            write(&link, "1").unwrap(); // Even if the link pointed to nothing.
            write(&link, "2").unwrap();
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
            assert_eq!(fs::read(dir.path().join("store/one")).unwrap(), b"2");
        }

        #[test]
        fn a_circle_of_links_is_an_error() {
            let dir = tempfile::tempdir().unwrap();
            let (a, b) = (dir.path().join("a"), dir.path().join("b"));
            symlink(&a, &b).unwrap();
            symlink(&b, &a).unwrap();
            assert!(matches!(write(&a, "1"), Err(Error::NotAFile { .. })));
        }
    }
}
