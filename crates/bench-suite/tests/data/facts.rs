//! What is known about the real files: shapes, counts, sums.

use bench_suite::{
    Error,
    data::{
        Dataset, ImageSet, Images, Layout, Normalization, Places, csv,
        text::{CharVocab, Windows, split_at_fraction},
    },
};

use super::{repository, vendored};

fn shape(set: &ImageSet) -> (usize, [usize; 3]) {
    let format = set.format();
    (set.n_samples(), [format.channels, format.height, format.width])
}

fn sum_of_first(set: &ImageSet) -> u32 {
    set.image(0).unwrap().iter().copied().map(u32::from).sum()
}

/// The images of a set that only some checkouts have; nothing, said by name, in the others.
fn if_fetched(set: Dataset) -> Option<Images> {
    let here = repository();
    let variable = std::env::var_os("LETHE_DATA");
    let places = Places::discover_from(&here, variable.as_deref()).unwrap();
    match set.images(&places) {
        Ok(images) => Some(images),
        Err(Error::SetNotFound { set, .. }) => {
            eprintln!("skipped: data set {set} is not here; cargo xtask data {set}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn digits_are_what_the_readme_says() {
    let images = Dataset::Digits.images(&vendored()).unwrap();
    let set = &images.train;
    assert_eq!(shape(set), (1797, [1, 8, 8]));
    assert_eq!(set.class_counts(), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
    assert_eq!(set.image(0).unwrap()[..8], [0, 0, 5, 13, 9, 1, 0, 0]);
    assert_eq!(set.pixels().iter().max(), Some(&16));
    assert!(images.test.is_none());
    let values = set.gather(&[0], Layout::Nchw, None).unwrap();
    assert_eq!(values[2..4], [0.3125, 0.8125]);
}

#[test]
fn mnist_10k_is_what_the_readme_says() {
    let images = Dataset::Mnist10k.images(&vendored()).unwrap();
    let set = &images.train;
    assert_eq!(shape(set), (10_000, [1, 28, 28]));
    assert_eq!(set.class_counts(), [1001, 1127, 991, 1032, 980, 863, 1014, 1070, 944, 978]);
    assert_eq!(set.labels()[..12], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]);
    assert_eq!(sum_of_first(set), 31_095);
    let all: Vec<usize> = (0..set.n_samples()).collect();
    let values = set.gather(&all, Layout::Nchw, Some(Normalization::MNIST)).unwrap();
    let mean = values.iter().copied().map(f64::from).sum::<f64>() / values.len() as f64;
    // The constants are those of the 60,000; this sample of 10,000 is close to them.
    assert!(mean.abs() < 0.02, "{mean}");
}

#[test]
fn a_set_without_test_part_is_split_by_seed() {
    let images = Dataset::Mnist10k.images(&vendored()).unwrap();
    let (train, test) = images.clone().train_and_test(2_000, 0).unwrap();
    assert_eq!((train.n_samples(), test.n_samples()), (8_000, 2_000));
    let together: Vec<usize> =
        train.class_counts().iter().zip(test.class_counts()).map(|(a, b)| a + b).collect();
    assert_eq!(together, images.train.class_counts());
    let (again, _) = images.clone().train_and_test(2_000, 0).unwrap();
    let (other, _) = images.train_and_test(2_000, 1).unwrap();
    assert_eq!(train, again);
    assert_ne!(train, other);
}

#[test]
fn fashion_mnist_is_what_the_readme_says() {
    let Some(images) = if_fetched(Dataset::FashionMnist) else { return };
    let (train, test) = images.train_and_test(1, 0).unwrap();
    assert_eq!((shape(&train), sum_of_first(&train)), ((60_000, [1, 28, 28]), 76_247));
    assert_eq!((shape(&test), sum_of_first(&test)), ((10_000, [1, 28, 28]), 33_456));
    assert_eq!(train.class_counts(), [6_000; 10]);
    assert_eq!(test.class_counts(), [1_000; 10]);
}

#[test]
fn sign_language_digits_are_what_the_readme_says() {
    let images = Dataset::SignLanguage.images(&vendored()).unwrap();
    let (train, test) = images.train_and_test(1, 0).unwrap();
    assert_eq!((shape(&train), sum_of_first(&train)), ((1_500, [3, 32, 32]), 517_508));
    assert_eq!((shape(&test), sum_of_first(&test)), ((412, [3, 32, 32]), 534_318));
    assert_eq!(train.class_counts(), [150, 150, 150, 150, 150, 150, 150, 150, 150, 150]);
    assert_eq!(test.class_counts(), [42, 42, 41, 41, 41, 41, 41, 41, 41, 41]);
}

#[test]
fn tiny_shakespeare_is_what_the_readme_says() {
    let text = Dataset::TinyShakespeare.text(&vendored()).unwrap();
    assert_eq!((text.len(), text.lines().count()), (1_115_394, 40_000));
    assert!(text.starts_with("First Citizen:\n"));
    let vocab = CharVocab::from_text(&text);
    assert_eq!(vocab.n_tokens(), 65);
    let tokens = vocab.encode(&text).unwrap();
    assert_eq!(tokens[..5], [18, 47, 56, 57, 58]);
    let (train, validation) = split_at_fraction(&tokens, 0.9).unwrap();
    assert_eq!((train.len(), validation.len()), (1_003_854, 111_540));
    assert_eq!(Windows::new(train, 65, 65).unwrap().len(), 15_443);
}

#[test]
fn other_tables_of_the_folder_are_read_below_their_header() {
    let folder = repository().join("fixtures/data/uci-small");
    for (name, n_rows, n_columns, n_classes) in
        [("breast_cancer.csv", 569, 31, 2), ("wine_data.csv", 178, 14, 3)]
    {
        let table = csv::open(&folder.join(name), 1).unwrap();
        assert_eq!((table.n_rows(), table.n_columns()), (n_rows, n_columns));
        assert_eq!(table.split_label(n_classes).unwrap().n_features, n_columns - 1);
        let error = csv::open(&folder.join(name), 0).unwrap_err();
        assert!(matches!(error, Error::Cell { row: 1, column: 3, .. }), "{error}");
    }
}

#[test]
fn e2e_is_what_the_readme_says() {
    let [development, test] = [Dataset::E2eDevelopment, Dataset::E2eTest].map(|set| {
        assert!(set.images(&vendored()).is_err());
        set.text(&vendored()).unwrap()
    });
    assert_eq!((development.lines().count(), test.lines().count()), (4672, 4693));
    let first = "name[Alimentum], area[city centre], familyFriendly[no] => There is a place in the city centre, \
                 Alimentum, that is not family-friendly.\n";
    assert!(development.starts_with(first));
}

#[test]
fn sms_is_what_the_readme_says() {
    assert!(Dataset::SmsSpam.images(&vendored()).is_err());
    let text = Dataset::SmsSpam.text(&vendored()).unwrap();
    let of = |label: &str| text.lines().filter(|line| line.starts_with(label)).count();
    assert_eq!((of("ham\t"), of("spam\t"), text.lines().count()), (4827, 747, 5574));
}
