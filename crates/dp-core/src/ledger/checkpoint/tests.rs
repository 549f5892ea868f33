use super::*;
use crate::{Delta, RdpAccountant};

fn step(sigma: f64) -> DpEvent {
    DpEvent::gaussian(sigma).unwrap().sampled(0.01).unwrap()
}

fn epsilon(ledger: &Ledger) -> f64 {
    let delta = Delta::new(1e-5).unwrap();
    ledger.simulated_epsilon(&RdpAccountant::new(), delta).unwrap().value()
}

fn start(path: &Path) -> LedgerFile {
    LedgerFile::create(path, Ledger::default()).unwrap()
}

#[test]
fn a_kill_at_any_byte_never_counts_too_little() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let mut file = start(&path);
    // Length of the file and epsilon after each call that returned.
    let mut returned = vec![(fs::metadata(&path).unwrap().len(), 0.0, 0)];
    let several = DpEvent::Composed(vec![step(1.0), step(3.0), step(2.0).repeated(4)]);
    for event in [step(1.0), step(1.0), step(2.0), several.clone(), step(1.0), several] {
        file.charge(&event).unwrap();
        let length = fs::metadata(&path).unwrap().len();
        returned.push((length, epsilon(file.ledger()), file.ledger().n_charges()));
    }
    file.mark(Mark::SeededNoise).unwrap();
    let bytes = fs::read(&path).unwrap();
    let header = returned[0].0;

    let torn = folder.path().join("torn");
    for length in 0..=bytes.len() {
        fs::write(&torn, &bytes[..length]).unwrap();
        let read = LedgerFile::read(&torn);
        if (length as u64) < header - 1 {
            assert!(matches!(read, Err(Error::LedgerCorrupt { line: 1, .. })), "{length}");
            continue;
        }
        let ledger = read.unwrap();
        let due = returned.iter().rev().find(|(end, ..)| *end <= length as u64);
        let (_, due_epsilon, due_charges) = due.copied().unwrap_or_default();
        assert!(due_charges <= ledger.n_charges(), "at {length}");
        assert!(due_epsilon <= epsilon(&ledger), "at {length}");
        // The run goes on, and the next reader sees that too. Syncing is slow: not at every byte.
        if length % 7 == 0 || bytes[length - 1] == b'\n' {
            let mut opened = LedgerFile::open(&torn).unwrap();
            assert_eq!(*opened.ledger(), ledger);
            opened.charge(&step(1.0)).unwrap();
            drop(opened);
            assert_eq!(LedgerFile::read(&torn).unwrap().n_charges(), ledger.n_charges() + 1);
        }
    }
}

#[test]
fn damage_before_the_last_line_is_an_error_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let mut file = start(&path);
    for sigma in [1.0, 2.0, 1.0, 1.0] {
        file.charge(&step(sigma)).unwrap();
    }
    drop(file);
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for damaged in 1..lines.len() {
        let mut lines = lines.clone();
        lines[damaged] = "{\"phase\":0,";
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        let line = damaged as u64 + 1;
        let error = LedgerFile::open(&path).unwrap_err();
        assert!(matches!(error, Error::LedgerCorrupt { line: at, .. } if at == line));
        assert!(error.to_string().contains(&format!("line {line}")));
    }
    // A total that does not rise means two writers or an edit.
    fs::write(&path, text.clone() + lines[3] + "\n").unwrap();
    assert!(matches!(LedgerFile::open(&path), Err(Error::LedgerCorrupt { line: 6, .. })));
    fs::write(&path, text.replace("\"version\":1", "\"version\":2")).unwrap();
    assert!(matches!(LedgerFile::open(&path), Err(Error::LedgerCorrupt { line: 1, .. })));
}

#[test]
fn steps_done_again_after_a_kill_are_charged_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let mut file = start(&path);
    for _ in 0..10 {
        file.charge(&step(1.0)).unwrap();
    }
    drop(file); // the parameters of step 7 are what was saved
    let mut file = LedgerFile::open(&path).unwrap();
    for _ in 7..10 {
        file.charge(&step(1.0)).unwrap();
    }
    assert_eq!(file.ledger().n_charges(), 13);
}

#[test]
fn two_writers_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let first = start(&path);
    assert!(matches!(LedgerFile::open(&path), Err(Error::LedgerInUse { .. })));
    drop(first);
    assert!(LedgerFile::open(&path).is_ok());
}

#[cfg(unix)]
#[test]
fn two_names_of_one_file_have_one_writer() {
    use std::os::unix::fs::symlink;

    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    fs::create_dir(&store).unwrap();
    let (file, link, far) =
        (store.join("ledger"), folder.path().join("link"), folder.path().join("far"));
    symlink("store/ledger", &link).unwrap();
    symlink(&store, &far).unwrap();
    let names = [file.clone(), link.clone(), far.join("ledger"), store.join("../link")];
    // The first link points to nothing yet.
    for first in &names {
        let mut writer = start(first);
        for other in &names {
            let refused = LedgerFile::open(other);
            assert!(matches!(refused, Err(Error::LedgerInUse { .. })), "{first:?}, {other:?}");
            assert!(matches!(
                LedgerFile::create(other, Ledger::default()),
                Err(Error::LedgerInUse { .. })
            ));
        }
        writer.charge(&step(1.0)).unwrap();
        drop(writer);
        for other in &names {
            assert_eq!(LedgerFile::open(other).unwrap().ledger().n_charges(), 1);
        }
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        fs::remove_file(&file).unwrap();
    }
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    symlink(&a, &b).unwrap();
    symlink(&b, &a).unwrap();
    assert!(matches!(LedgerFile::create(&a, Ledger::default()), Err(Error::Io { .. })));
}

#[test]
fn a_file_that_is_started_anew_keeps_the_older_ones_and_waits_for_their_writer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let anew = || LedgerFile::start_anew(&path, Ledger::default());
    let mut first = anew().unwrap();
    first.charge(&step(1.0)).unwrap();
    assert!(matches!(anew(), Err(Error::LedgerInUse { .. })));
    first.charge(&step(1.0)).unwrap();
    assert_eq!(LedgerFile::read(&path).unwrap().n_charges(), 2, "its file is still in place");
    drop(first);
    let mut second = anew().unwrap();
    second.charge(&step(1.0)).unwrap();
    drop(second);
    assert_eq!(anew().unwrap().ledger().n_charges(), 0);
    let kept = |suffix: &str| LedgerFile::read(beside(&path, suffix)).unwrap().n_charges();
    assert_eq!((kept(".1"), kept(".2")), (2, 1));
    assert_eq!(LedgerFile::read(&path).unwrap(), Ledger::default());
}

#[test]
fn another_relation_or_unit_is_refused_and_nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let mut file = start(&path);
    file.charge(&step(1.0)).unwrap();
    drop(file);
    let unit = UnitOfPrivacy::default();
    let other = UnitOfPrivacy::new("one user").unwrap();
    let relation = NeighboringRelation::AddOrRemoveOne;
    let replaced = LedgerFile::open_or_create(&path, NeighboringRelation::ReplaceOne, &unit);
    assert!(matches!(replaced, Err(Error::LedgerMismatch { what: "relation", .. })));
    let renamed = LedgerFile::open_or_create(&path, relation, &other);
    assert!(matches!(renamed, Err(Error::LedgerMismatch { what: "unit", .. })));
    assert!(matches!(LedgerFile::create(&path, Ledger::default()), Err(Error::Io { .. })));
    assert_eq!(LedgerFile::open_or_create(&path, relation, &unit).unwrap().ledger().n_charges(), 1);
}

#[test]
fn a_long_run_keeps_a_small_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let mut file = start(&path);
    file.compact_after = 20;
    let mut longest = 0;
    for t in 0..200_u32 {
        file.charge(&step(if t % 5 == 0 { 0.9 } else { 1.0 })).unwrap();
        longest = longest.max(fs::read_to_string(&path).unwrap().lines().count());
        assert_eq!(LedgerFile::read(&path).unwrap(), *file.ledger());
    }
    assert!(longest <= 23, "{longest}");
    assert_eq!(file.ledger().n_charges(), 200);
}

#[test]
fn marks_are_stored_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let mut file = start(&path);
    for _ in 0..3 {
        file.mark(Mark::Custom("no".to_owned())).unwrap();
    }
    drop(file);
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);
    assert!(LedgerFile::read(&path).unwrap().has_mark(&Mark::Custom("no".to_owned())));
}

#[test]
fn a_file_replaced_while_it_is_written_is_an_error_at_once_and_loses_nothing_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("run.ledger"), folder.path().join("copy"));
    let replace = |path: &Path| std::fs::rename(&copy, path).unwrap();
    let remove = |path: &Path| std::fs::remove_file(path).unwrap();
    for happens in [&replace as &dyn Fn(&Path), &remove] {
        let mut file = start(&path);
        for _ in 0..3 {
            file.charge(&step(1.0)).unwrap();
        }
        std::fs::copy(&path, &copy).unwrap();
        happens(&path);
        let error = file.charge(&step(1.0)).unwrap_err();
        assert!(matches!(error, Error::LedgerReplaced { .. }), "{error}");
        file.charge(&step(1.0)).unwrap();
        assert_eq!(LedgerFile::read(&path).unwrap().n_charges(), 5);
        drop(file);
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_failed_write_is_repaired_before_the_next_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let mut file = start(&path);
    file.charge(&step(1.0)).unwrap();
    // A handle that cannot write, and half a line such as a full disk leaves.
    let good = std::mem::replace(&mut file.file, File::open(&path).unwrap());
    assert!(matches!(file.charge(&step(1.0)), Err(Error::Io { .. })));
    (&good).write_all(b"{\"pha").unwrap();
    file.charge(&step(1.0)).unwrap();
    assert_eq!(LedgerFile::read(&path).unwrap().n_charges(), 3);
}
