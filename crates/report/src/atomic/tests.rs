//! Old or new, never half, and nothing left behind.

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
        let _ =
            write_with(&path, |_| -> io::Result<()> { std::panic::resume_unwind(Box::new(())) });
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
        write_with(&path, |out| {
            assert_eq!(out.get_ref().metadata()?.permissions().mode() & 0o7777, 0o640);
            out.write_all(b"2")
        })
        .unwrap();
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
