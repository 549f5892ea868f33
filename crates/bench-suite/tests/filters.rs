//! Private trainings with filters repeat, spend what they may, and measure what they say.

use std::path::Path;

use bench_suite::Error;
use bench_suite::config::ClipConfig;
use bench_suite::data::Places;
use bench_suite::filters::{Base, Filtering, Outcome, Training, Watch, noise_gain, train};
use bench_suite::problem::ImageProblem;

fn problem() -> ImageProblem {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    ImageProblem::open("digits/mlp", &Places::of_workspace(&root)).unwrap()
}

fn training(filtering: Filtering, base: Base, rate: f64) -> Training {
    Training {
        filtering,
        base,
        rate,
        clipping: ClipConfig::Automatic,
        epsilon: 3.0,
        batch_size: 128.0,
        steps: 12,
        seed: 3,
        watch: Watch::Nothing,
    }
}

fn run(training: &Training) -> Outcome {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| train(&problem(), training, &|| false)).unwrap()
}

#[test]
fn every_filter_before_every_optimizer_repeats_and_spends_its_epsilon() {
    let mut sigmas = Vec::new();
    for base in Base::ALL {
        for filtering in Filtering::all(base) {
            let training = training(filtering, base, 1e-2);
            let (once, again) = (run(&training), run(&training));
            assert_eq!(once.test_loss.to_bits(), again.test_loss.to_bits(), "{filtering:?}");
            assert!(once.simulated_epsilon <= 3.0 && 2.9 < once.simulated_epsilon);
            sigmas.push(once.sigma.to_bits());
            let text = serde_json::to_string(&once).unwrap();
            let kept: Outcome = serde_json::from_str(&text).unwrap();
            assert_eq!(kept.test_loss.to_bits(), once.test_loss.to_bits());
        }
    }
    sigmas.dedup();
    assert_eq!(sigmas.len(), 1, "filters change no noise");
}

#[test]
fn the_average_in_the_place_of_adams_first_moment_is_adam() {
    let none = run(&training(Filtering::None, Base::AdamW, 1e-2));
    let first = run(&training(Filtering::FirstOrder, Base::AdamW, 1e-2));
    let before = run(&training(Filtering::FirstOrderBefore, Base::AdamW, 1e-2));
    assert!((none.test_loss - first.test_loss).abs() < 1e-4 * none.test_loss);
    assert!((none.test_loss - before.test_loss).abs() > 1e-3 * none.test_loss);
}

#[test]
fn looking_at_a_training_does_not_change_it_and_finds_the_error_that_noise_predicts() {
    let blind = Training { steps: 60, ..training(Filtering::None, Base::Sgd, 0.1) };
    let watched = Training { watch: Watch::ErrorsAndCorrelation, ..blind.clone() };
    let (a, b) = (run(&blind), run(&watched));
    assert_eq!(a.test_loss.to_bits(), b.test_loss.to_bits());
    assert!(a.points.is_empty() && a.correlation.is_empty());
    assert_eq!(b.points.iter().map(|p| p.step).collect::<Vec<_>>(), [9, 19, 29, 39, 49, 59]);
    assert_eq!(b.correlation.len(), 20);
    assert!(b.correlation.iter().all(|c| (-1.0..=1.0).contains(c)));
    // Noise of deviation sigma / B in each of 4,810 coordinates, and what the batch adds.
    let noise = 4810.0 * (b.sigma / 128.0).powi(2);
    for point in &b.points {
        // The sum of 4,810 squares of normals has a relative deviation of 0.02; a batch adds at most 1 / B.
        assert!((0.9..1.1 + 1.0 / (128.0 * noise)).contains(&(point.raw / noise)), "{point:?}");
        assert!((0.9..1.1 + 1.0 / (128.0 * noise)).contains(&(point.filtered / noise)));
    }
}

#[test]
fn what_filters_make_of_noise_is_predicted() {
    for filtering in Filtering::all(Base::Sgd) {
        let gain = noise_gain(&problem(), &training(filtering, Base::Sgd, 1.0)).unwrap();
        // 200 steps of 4,810 coordinates, of which at least one in twenty counts for itself.
        assert!((gain.measured / gain.predicted - 1.0).abs() < 0.03, "{filtering:?}: {gain:?}");
    }
}

#[test]
fn a_training_that_is_told_to_stop_does_and_one_that_diverges_is_an_outcome() {
    let stopped = train(&problem(), &training(Filtering::Both, Base::Sgd, 0.1), &|| true);
    assert!(matches!(stopped, Err(Error::Interrupted)));
    let diverged = run(&training(Filtering::None, Base::Sgd, 1e38));
    assert!(diverged.test_loss.is_infinite() && diverged.accuracy == 0.0, "{diverged:?}");
}
