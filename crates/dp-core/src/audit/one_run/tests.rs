#![cfg(feature = "tensor")]

use tensor_tree::Key;

use super::*;

fn confidence(failure: f64) -> Confidence {
    Confidence::of_failure(failure).unwrap()
}

fn half(n: usize) -> Guesses {
    Guesses { present: n / 2, absent: n / 2 }
}

fn uniform(n: usize, seed: u64) -> Vec<f64> {
    let mut values = vec![0.0; n];
    Key::from_seed(seed).fill_uniform(&mut values);
    values
}

#[test]
fn all_guesses_right_have_a_closed_form() {
    // (e^eps / (1 + e^eps))^r = failure.
    let present: Vec<bool> = (0..400).map(|i| i % 2 == 0).collect();
    let scores: Vec<f64> = present.iter().map(|p| f64::from(u8::from(*p))).collect();
    let run = OneRun::new(&scores, &present).unwrap();
    let delta = Delta::new(0.0).unwrap();
    let bound = run.lower_bound(delta, confidence(1e-4), &[half(400)]).unwrap();
    let accuracy = 1e-4_f64.powf(1.0 / 400.0);
    let exact = (accuracy / (1.0 - accuracy)).ln();
    assert!((bound.epsilon - exact).abs() < 1e-9, "{bound:?} {exact}");
    assert_eq!(bound.n_right, 400);
    // A second choice costs half of the allowed failure.
    let two = run.lower_bound(delta, confidence(2e-4), &[half(400), half(100)]).unwrap();
    assert!((two.epsilon - exact).abs() < 1e-9 && two.guesses == half(400), "{two:?}");
}

#[test]
fn a_positive_delta_costs_and_a_large_one_refutes_nothing() {
    let present: Vec<bool> = uniform(1000, 1).iter().map(|u| *u < 0.5).collect();
    let scores: Vec<f64> = present.iter().map(|p| f64::from(u8::from(*p))).collect();
    let run = OneRun::new(&scores, &present).unwrap();
    let at = |delta: f64| {
        let delta = Delta::new(delta).unwrap();
        run.lower_bound(delta, confidence(1e-3), &[half(200)]).unwrap().epsilon
    };
    let bounds = [0.0, 1e-9, 1e-6, 1e-4, 0.4].map(at);
    assert!(bounds.windows(2).all(|pair| pair[1] <= pair[0]), "{bounds:?}");
    assert!(3.0 < bounds[0] && bounds[4] <= 0.0, "{bounds:?}");
}

#[test]
fn the_probability_of_so_many_right_guesses_is_that_of_the_theorem() {
    // Written out: X binomial of 20 and e/(1 + e); beta = Pr[X >= 18], alpha = max_i Pr[18 > X >= 18 - i] / i.
    let accuracy = 1.0 / (1.0 + (-1.0_f64).exp());
    let term = |k: u64| binomial::term(20, accuracy, k);
    let beta: f64 = (18..=20).map(term).sum();
    let alpha =
        (1..=18_u64).map(|i| (18 - i..18).map(term).sum::<f64>() / i as f64).fold(0.0, f64::max);
    let expected = beta + 2.0 * 50.0 * 1e-4 * alpha;
    let got = p_value(50, 20, 18, 1.0, 1e-4);
    assert!((got / expected - 1.0).abs() < 1e-10, "{got} {expected}");
}

#[test]
fn randomized_response_of_each_canary_is_found_out_and_never_exceeded() {
    let accuracy = 1.0 / (1.0 + (-1.0_f64).exp());
    let (n, mut best) = (10_000, 0.0_f64);
    for seed in 0..40 {
        let present: Vec<bool> = uniform(n, 3 * seed).iter().map(|u| *u < 0.5).collect();
        let answers = uniform(n, 3 * seed + 1);
        // Ties are broken by a number of the mechanism's own.
        let ties = uniform(n, 3 * seed + 2);
        let scores: Vec<f64> = (0..n)
            .map(|i| f64::from(u8::from(present[i] == (answers[i] < accuracy))) + 0.5 * ties[i])
            .collect();
        let run = OneRun::new(&scores, &present).unwrap();
        let bound =
            run.lower_bound(Delta::new(0.0).unwrap(), confidence(1e-4), &[half(6000)]).unwrap();
        assert!(bound.epsilon <= 1.0, "{seed}: {bound:?}");
        best = best.max(bound.epsilon);
    }
    assert!(0.9 < best, "{best}");
}

#[test]
fn lists_that_do_not_fit_are_refused() {
    assert!(OneRun::new(&[1.0], &[true, false]).is_err());
    assert!(OneRun::new(&[], &[]).is_err());
    assert!(OneRun::new(&[f64::NAN], &[true]).is_err());
    let run = OneRun::new(&[1.0, 0.0], &[true, false]).unwrap();
    let delta = Delta::new(1e-6).unwrap();
    assert!(run.lower_bound(delta, confidence(0.1), &[half(4)]).is_err());
    assert!(run.lower_bound(delta, confidence(0.1), &[]).is_err());
}
