//! Folds partition the rows, keep shares of classes, and keep groups together.

use chacha20::ChaCha20Rng;
use rand::SeedableRng;
use slope2::selection::Folds;

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// The fold of each row, after checking that folds partition the rows.
fn partition(folds: &Folds, repeat: usize) -> Vec<usize> {
    let mut fold = vec![usize::MAX; folds.n_rows()];
    let splits = folds.splits();
    for (f, split) in splits.iter().filter(|s| s.repeat == repeat).enumerate() {
        assert!(!split.test.is_empty() && !split.train.is_empty());
        for i in &split.test {
            assert_eq!(fold[*i], usize::MAX, "row {i} is held out twice");
            fold[*i] = f;
        }
        let mut all = [split.train.clone(), split.test.clone()].concat();
        all.sort_unstable();
        assert_eq!(all, (0..folds.n_rows()).collect::<Vec<_>>());
        assert!(split.train.is_sorted() && split.test.is_sorted());
    }
    assert!(fold.iter().all(|f| *f != usize::MAX), "every row is held out");
    fold
}

fn sizes(fold: &[usize]) -> Vec<usize> {
    let n = fold.iter().max().unwrap() + 1;
    (0..n).map(|f| fold.iter().filter(|g| **g == f).count()).collect()
}

#[test]
fn folds_partition_the_rows_into_equal_parts() {
    for (n, k) in [(10, 2), (23, 5), (7, 7)] {
        let folds = Folds::k_fold(n, k, &mut rng(1)).unwrap();
        let sizes = sizes(&partition(&folds, 0));
        assert_eq!(sizes.len(), k);
        assert!(sizes.iter().all(|s| *s == n / k || *s == n.div_ceil(k)));
    }
    assert!(Folds::k_fold(5, 1, &mut rng(1)).is_err() && Folds::k_fold(5, 6, &mut rng(1)).is_err());
    assert_eq!(Folds::k_fold(20, 4, &mut rng(7)), Folds::k_fold(20, 4, &mut rng(7)));
    assert_ne!(Folds::k_fold(20, 4, &mut rng(7)), Folds::k_fold(20, 4, &mut rng(8)));
}

#[test]
fn the_first_draws_of_folds_are_stable() {
    let folds = Folds::k_fold(8, 3, &mut rng(42)).unwrap();
    assert_eq!(partition(&folds, 0), [0, 2, 1, 2, 0, 0, 1, 1]);
}

#[test]
fn repeats_are_folds_of_their_own() {
    let make = |rng: &mut ChaCha20Rng| Folds::k_fold(12, 3, rng);
    let folds = Folds::repeated(4, make, &mut rng(2)).unwrap();
    assert_eq!((folds.n_repeats(), folds.splits().len()), (4, 12));
    let all: Vec<_> = (0..4).map(|r| partition(&folds, r)).collect();
    assert!(all.windows(2).all(|w| w[0] != w[1]));
    assert!(Folds::repeated(0, make, &mut rng(2)).is_err());
}

#[test]
fn stratified_folds_keep_the_shares_of_classes() {
    let classes: Vec<f64> = (0..53).map(|i| f64::from(i % 5 == 0)).collect();
    let folds = Folds::stratified(&classes, 4, &mut rng(3)).unwrap();
    let fold = partition(&folds, 0);
    for class in [0.0, 1.0] {
        let of_class: Vec<usize> =
            fold.iter().zip(&classes).filter(|(_, c)| **c == class).map(|(f, _)| *f).collect();
        let sizes = sizes(&of_class);
        assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
    }
    let sizes = sizes(&fold);
    assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
}

#[test]
fn grouped_folds_keep_groups_together_and_given_ones_are_taken() {
    let groups: Vec<usize> = (0..40).map(|i| 100 + (i * i) % 11).collect();
    let folds = Folds::grouped(&groups, 3, &mut rng(4)).unwrap();
    let fold = partition(&folds, 0);
    for (i, g) in groups.iter().enumerate() {
        assert!((0..40).all(|j| groups[j] != *g || fold[j] == fold[i]), "group {g}");
    }
    assert!(Folds::grouped(&[1, 1, 2, 2], 3, &mut rng(4)).is_err(), "two groups, three folds");
    let folds = Folds::given(&[9, 4, 9, 4, 7]).unwrap();
    assert_eq!(partition(&folds, 0), [2, 0, 2, 0, 1]);
    assert!(Folds::given(&[3, 3, 3]).is_err());
}
