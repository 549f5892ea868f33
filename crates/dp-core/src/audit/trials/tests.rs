#![cfg(feature = "tensor")]

use tensor_tree::Key;

use super::*;

fn confidence(failure: f64) -> Confidence {
    Confidence::of_failure(failure).unwrap()
}

fn no_delta() -> Delta {
    Delta::new(0.0).unwrap()
}

/// `n` scores of a Gaussian mechanism around `mean`.
fn normals(n: usize, mean: f64, seed: u64) -> Vec<f64> {
    let mut scores = vec![0.0; n];
    Key::from_seed(seed).fill_normal(&mut scores);
    scores.iter().map(|z| z + mean).collect()
}

/// A coin that shows presence with probability `p` if present, `1 - p` if not.
fn coins(n: usize, p: f64, seed: u64) -> Vec<f64> {
    let mut scores = vec![0.0; n];
    Key::from_seed(seed).fill_uniform(&mut scores);
    scores.iter().map(|u| f64::from(u8::from(*u < p))).collect()
}

#[test]
fn a_trainer_that_hides_nothing_gives_what_the_number_of_runs_allows() {
    let trials = Trials::new(vec![1.0; 2000], vec![0.0; 2000]).unwrap();
    let bound = trials.lower_bound(no_delta(), confidence(1e-4)).unwrap();
    // All of 1000 and none of 1000, each bound failing with 5e-5.
    let miss = 1.0 - 5e-5_f64.powf(1e-3);
    assert!((bound.epsilon - ((1.0 - miss) / miss).ln()).abs() < 1e-9, "{bound:?}");
    assert!((bound.threshold - 1.0).abs() < 1e-300);
}

#[test]
fn randomized_response_is_found_out_and_never_exceeded() {
    // Accuracy e / (1 + e): epsilon is exactly 1.
    let p = 1.0 / (1.0 + (-1.0_f64).exp());
    let mut best = 0.0_f64;
    for seed in 0..40 {
        let trials =
            Trials::new(coins(20_000, p, 2 * seed), coins(20_000, 1.0 - p, 2 * seed + 1)).unwrap();
        let bound = trials.lower_bound(no_delta(), confidence(1e-4)).unwrap();
        assert!(bound.epsilon <= 1.0, "{seed}: {bound:?}");
        best = best.max(bound.epsilon);
    }
    assert!(0.9 < best, "{best}");
}

#[test]
fn both_directions_are_looked_at() {
    // Presence is certain to show; absence shows it in half the runs: only "was not there" is telling.
    let trials = Trials::new(vec![1.0; 4000], coins(4000, 0.5, 1)).unwrap();
    let bound = trials.lower_bound(no_delta(), confidence(1e-4)).unwrap();
    assert!(4.0 < bound.epsilon, "{bound:?}");
}

/// The bound from rates at the threshold `mu / 2` that are four standard deviations worse than the true ones.
fn unlucky(mu: f64, n: f64, each: Confidence) -> f64 {
    let hit = 1.0 - GaussianDp::new(mu / 2.0).unwrap().type_ii_error(0.5); // Phi(mu / 2)
    let slack = 4.0 * (hit * (1.0 - hit) / n).sqrt();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below n")]
    let (hits, runs) = ((n * (hit - slack)) as u64, n as u64);
    mu_from_rates(Rates {
        true_positives: binomial::at_least(hits, runs, each).unwrap(),
        false_positives: binomial::at_most(runs - hits, runs, each).unwrap(),
    })
}

#[test]
fn a_gaussian_mechanism_is_found_out_by_its_curve() {
    let delta = Delta::new(1e-5).unwrap();
    let each = confidence(0.5e-4);
    for mu in [0.5, 1.0, 3.0] {
        let trials = Trials::new(normals(20_000, mu, 5), normals(20_000, 0.0, 6)).unwrap();
        let (gaussian, bound) = trials.lower_bound_if_gaussian(delta, confidence(1e-4)).unwrap();
        let least = unlucky(mu, 10_000.0, each);
        assert!(0.0 < least && gaussian.mu() <= mu, "{mu}: {gaussian:?}");
        assert!(least < gaussian.mu(), "{mu}: {gaussian:?}, even bad luck gives {least}");
        let exact = GaussianDp::new(mu).unwrap().epsilon(delta);
        assert!(bound.epsilon <= exact);
        // One point of the curve says less without the assumption.
        let plain = trials.lower_bound(delta, confidence(1e-4)).unwrap();
        assert!(plain.epsilon < bound.epsilon, "{mu}: {plain:?} {bound:?}");
    }
}

#[test]
fn equal_scores_say_nothing() {
    let trials = Trials::new(vec![0.5; 1000], vec![0.5; 1000]).unwrap();
    let bound = trials.lower_bound(no_delta(), confidence(1e-4)).unwrap();
    assert!(bound.epsilon <= 0.0, "{bound:?}");
    let (gaussian, bound) = trials.lower_bound_if_gaussian(no_delta(), confidence(1e-4)).unwrap();
    assert!(gaussian.mu() <= 0.0 && bound.epsilon <= 0.0, "{bound:?}");
}

#[test]
fn too_few_runs_and_scores_that_are_no_numbers_are_refused() {
    assert!(Trials::new(vec![1.0], vec![0.0, 0.0]).is_err());
    assert!(Trials::new(vec![1.0, f64::NAN], vec![0.0, 0.0]).is_err());
    assert!(Trials::new(vec![1.0, 1.0], vec![]).is_err());
}
