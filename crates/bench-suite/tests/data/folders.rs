//! Folders of the user's own, missing files, files that are not the published ones.

use std::{fs, path::Path};

use bench_suite::{
    Error,
    data::{Dataset, Places, cifar},
};

use super::{repository, writers};

/// A place with a copy of the digits, changed by `change`.
fn place_with_digits(change: impl FnOnce(&mut Vec<u8>)) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("uci-small");
    fs::create_dir(&folder).unwrap();
    let mut bytes = fs::read(repository().join("fixtures/data/uci-small/digits.csv.gz")).unwrap();
    change(&mut bytes);
    fs::write(folder.join("digits.csv.gz"), bytes).unwrap();
    place
}

#[test]
fn a_copied_set_is_found_and_verified() {
    let place = place_with_digits(|_| ());
    let images = Dataset::Digits.images(&Places::at(place.path())).unwrap();
    assert_eq!(images.train.n_samples(), 1797);
}

#[test]
fn a_changed_byte_of_a_known_file_is_a_checksum_error() {
    let place = place_with_digits(|bytes| bytes[30_000] ^= 1);
    let error = Dataset::Digits.images(&Places::at(place.path())).unwrap_err();
    let Error::Checksum { file, expected, got } = &error else { panic!("{error}") };
    assert!(file.ends_with("uci-small/digits.csv.gz"));
    assert!(expected.starts_with("09f66e6d"));
    assert_ne!(expected, got);
    // Unverified it is a damaged stream, or a table that is not that of the digits.
    assert!(Dataset::Digits.images_in(&place.path().join("uci-small")).is_err());
}

#[test]
fn a_cut_file_in_a_folder_of_ones_own_is_a_damaged_stream() {
    let place = place_with_digits(|bytes| bytes.truncate(30_000));
    let error = Dataset::Digits.images_in(&place.path().join("uci-small")).unwrap_err();
    assert!(matches!(error, Error::Gzip { .. }), "{error}");
}

#[test]
fn an_incomplete_folder_names_the_file_and_the_command() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("fashion-mnist")).unwrap();
    let error = Dataset::FashionMnist.images(&Places::at(place.path())).unwrap_err();
    let Error::FileNotFound { file, .. } = &error else { panic!("{error}") };
    assert!(file.ends_with("fashion-mnist/t10k-labels-idx1-ubyte.gz"));
    assert!(error.to_string().ends_with("run `cargo xtask data fashion-mnist`"), "{error}");
}

#[test]
fn a_folder_of_ones_own_may_hold_other_numbers_of_plain_files() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: Vec<u8>| fs::write(folder.path().join(name), bytes).unwrap();
    write("train-images-idx3-ubyte", writers::idx(&[3, 2, 2], &[7; 12]));
    write("train-labels-idx1-ubyte", writers::idx(&[3], &[0, 1, 2]));
    write("t10k-images-idx3-ubyte.gz", writers::gzip(&writers::idx(&[1, 2, 2], &[8; 4])));
    write("t10k-labels-idx1-ubyte.gz", writers::idx(&[1], &[9]));
    let (train, test) =
        Dataset::FashionMnist.images_in(folder.path()).unwrap().train_and_test(1, 0).unwrap();
    assert_eq!((train.labels(), test.labels()), (&[0, 1, 2][..], &[9][..]));

    write("train-labels-idx1-ubyte", writers::idx(&[2], &[0, 1]));
    let error = Dataset::FashionMnist.images_in(folder.path()).unwrap_err().to_string();
    assert!(error.ends_with("number of labels: expected 3, got 2"), "{error}");

    write("train-labels-idx1-ubyte", writers::idx(&[3], &[0, 1, 10]));
    let error = Dataset::FashionMnist.images_in(folder.path()).unwrap_err().to_string();
    assert!(error.ends_with("label of sample 2: expected less than 10, got 10"), "{error}");
}

#[test]
fn cifar_batches_are_read_where_the_user_points() {
    let folder = tempfile::tempdir().unwrap();
    let set = Dataset::Cifar10 { folder: folder.path().to_owned() };
    for (label, name) in (0..).zip(cifar::TRAIN_FILES) {
        let error = set.images(&Places::at("unused")).unwrap_err();
        assert!(matches!(error, Error::FileNotFound { .. }), "{error}");
        fs::write(folder.path().join(name), writers::cifar_record(label)).unwrap();
    }
    fs::write(folder.path().join(cifar::TEST_FILE), writers::cifar_record(9).repeat(2)).unwrap();
    let images = set.images(&Places::at("unused")).unwrap();
    assert_eq!(images.train.labels(), [0, 1, 2, 3, 4]);
    assert_eq!(images.train.image(4).unwrap()[..3], [4, 5, 6]);
    assert_eq!(images.test.unwrap().labels(), [9, 9]);
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let set = Dataset::Cifar10 { folder: Path::new("no/such/folder").to_owned() };
    let error = set.images(&Places::at("unused")).unwrap_err().to_string();
    assert!(error.contains("`no/such/folder/test_batch.bin`"), "{error}");
}
