//! Models that are taught, stopped and taught on.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use bench_suite::Error;
use bench_suite::forgetting::{Kept, Made, World, made};
use report::progress::Progress;
use tape_nn::net::Gpt;
use tensor_tree::Tree;
use unlearn::made::PerTask;

const STEPS: usize = 24;
const SMALL: Made = Made {
    name: "small",
    documents: PerTask { stories: 1, biographies: 1, public: 1 },
    n_held_out: 2,
    vocab: 300,
    width: 16,
    blocks: 1,
    steps: STEPS as u64,
    rate: 3e-3,
};

/// What comes of the lessons if they are stopped once they have asked so often whether to go on, and how often they asked.
fn taught(
    folder: &Path,
    (commit, resume): (&str, bool),
    most: usize,
) -> (Result<World<Gpt>, Error>, usize) {
    let asked = AtomicUsize::new(0);
    let stop = || most <= asked.fetch_add(1, Ordering::Relaxed);
    let task = Progress::off().task("lessons", 2);
    let kept = Kept { folder, commit, resume, task: &task };
    let world = made(&SMALL, 3).unwrap().taught(&kept, &stop);
    (world, asked.into_inner())
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let name = |entry: std::fs::DirEntry| entry.file_name().into_string().unwrap();
    let mut names: Vec<String> = entries.map(|entry| name(entry.unwrap())).collect();
    names.sort();
    names
}

fn bits(tree: &Tree) -> Vec<(String, Vec<u32>)> {
    let bits = |tensor: &candle_core::Tensor| {
        let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        values.into_iter().map(f32::to_bits).collect()
    };
    tree.iter().map(|(name, tensor)| (name.to_string(), bits(tensor))).collect()
}

const WHOLE: [&str; 2] = ["small-3-gold.safetensors", "small-3-target.safetensors"];

#[test]
fn lessons_that_were_stopped_go_on_where_they_were() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (whole, n_whole) = taught(one.path(), ("a", false), usize::MAX);
    let whole = whole.unwrap();
    assert_eq!(files(one.path()), WHOLE);

    let (stopped, n_before) = taught(two.path(), ("a", false), 20);
    assert!(matches!(stopped, Err(Error::Interrupted)));
    let parts = ["small-3-gold-lesson.safetensors", "small-3-target-lesson.safetensors"];
    assert_eq!(files(two.path()), parts);
    let (resumed, n_behind) = taught(two.path(), ("a", true), usize::MAX);
    let resumed = resumed.unwrap();
    assert_eq!(files(two.path()), WHOLE);
    // They ask after each step, so that none was taken twice.
    assert_eq!(n_before + n_behind, n_whole);
    assert_eq!(bits(&resumed.target), bits(&whole.target));
    assert_eq!(bits(&resumed.gold), bits(&whole.gold));

    // Lessons that are over are not given again; what they took is known.
    let (again, n_again) = taught(two.path(), ("a", true), usize::MAX);
    let again = again.unwrap();
    assert!(n_again + 2 * (STEPS - 1) <= n_whole, "{n_again} of {n_whole}");
    assert_eq!(bits(&again.target), bits(&whole.target));
    assert_eq!(again.lessons_s.map(f64::to_bits), resumed.lessons_s.map(f64::to_bits));

    // One that is damaged is given again.
    let path = two.path().join(WHOLE[1]);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let (mended, n_mended) = taught(two.path(), ("a", true), usize::MAX);
    assert!(n_again + STEPS - 1 <= n_mended && n_mended < n_whole, "{n_mended}");
    assert_eq!(bits(&mended.unwrap().target), bits(&whole.target));
}

#[test]
fn lessons_of_other_sources_are_given_from_their_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let whole = taught(folder.path(), ("a+", false), usize::MAX).1;
    for commit in ["a+", "b"] {
        let (world, n) = taught(folder.path(), (commit, true), usize::MAX);
        world.unwrap();
        assert_eq!(n, whole, "{commit}");
    }
}
