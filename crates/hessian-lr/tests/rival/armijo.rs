//! The stochastic line search.

use hessian_lr::Error;
use hessian_lr::rival::{Armijo, Move, Reset, Rival, Trial};

use super::problem::{N, Point, Problem, START, advance, assert_close, dot, flat, run, tree};

#[test]
fn armijo_follows_its_algorithm_under_every_reset() {
    for reset in [Reset::Keep, Reset::Restart, Reset::Grow { gamma: 2.0, n_batches: 3 }] {
        let rival = Armijo { reset, first_rate: 4.0, max_rate: 5.0, ..Armijo::default() };
        let (mut x, mut rate, mut n_trials) = (START, 4.0, 0);
        for (k, (got, state)) in run(&rival, Problem::NOISY, 40).iter().enumerate() {
            let g = Problem::NOISY.gradient(&x, k);
            let loss = Problem::NOISY.loss(&x, k);
            if 0 < k {
                rate = match reset {
                    Reset::Keep => rate,
                    Reset::Restart => 4.0,
                    Reset::Grow { .. } => f64::min(5.0, rate * 2f64.powf(1.0 / 3.0)),
                };
            }
            loop {
                n_trials += 1;
                let at: Point = std::array::from_fn(|i| x[i] - rate * g[i]);
                if Problem::NOISY.loss(&at, k) <= loss - 0.1 * rate * dot(&g, &g) {
                    x = at;
                    break;
                }
                rate *= 0.9;
            }
            assert_close(got, &x, 1e-12);
            assert!((state.rate.unwrap() - rate).abs() < 1e-12);
            assert_eq!(state.n_trials, n_trials);
        }
    }
}

#[test]
fn every_step_keeps_the_promised_part_of_the_decrease() {
    let rival = Armijo { c: 0.4, ..Armijo::default() };
    let mut params = tree(&START);
    let mut state = rival.init(&params).unwrap();
    for step in 0..50 {
        let x = flat(&params);
        let g = Problem::NOISY.gradient(&x, step);
        params = advance(&rival, Problem::NOISY, step, &params, &mut state).unwrap();
        let fall = Problem::NOISY.loss(&x, step) - Problem::NOISY.loss(&flat(&params), step);
        assert!(fall >= 0.4 * state.rate.unwrap() * dot(&g, &g) * (1.0 - 1e-12));
    }
}

#[test]
fn a_trial_without_a_finite_loss_went_too_far() {
    let rival = Armijo { max_rate: f64::INFINITY, first_rate: 1e3, ..Armijo::default() };
    let params = tree(&START);
    let mut state = rival.init(&params).unwrap();
    let grads = tree(&Problem::PLAIN.gradient(&START, 0));
    let mut next = rival.step(grads, 5.0, &params, &mut state).unwrap();
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let Move::Try(trial) = next else { panic!("a bad loss was accepted") };
        let rate = trial.rate();
        next = rival.answer(trial, bad, &mut state).unwrap();
        let Move::Try(trial) = &next else { panic!("a bad loss was accepted") };
        assert!((trial.rate() - 0.9 * rate).abs() < 1e-12 * rate);
    }
    assert!(matches!(next.done(), Err(Error::OpenQuestion)));
    assert_eq!(state.rate, None);
}

#[test]
fn after_the_last_trial_the_step_is_tiny() {
    let rival = Armijo { max_trials: 7, ..Armijo::default() };
    let params = tree(&START);
    let mut state = rival.init(&params).unwrap();
    let g = Problem::PLAIN.gradient(&START, 0);
    let mut next = rival.step(tree(&g), 1.0, &params, &mut state).unwrap();
    let mut asked = 0;
    let moved = loop {
        match next {
            Move::Try(trial) => {
                asked += 1;
                assert!(trial.params().is_finite().unwrap());
                next = rival.answer(trial, 2.0, &mut state).unwrap();
            }
            Move::To(params) => break flat(&params),
        }
    };
    assert_eq!((asked, state.n_trials), (7, 7));
    let want: Point = std::array::from_fn(|i| START[i] - 1e-6 * g[i]);
    assert_close(&moved, &want, 1e-15);
    assert!((state.rate.unwrap() - 0.9f64.powi(7)).abs() < 1e-12);
}

#[test]
fn a_flat_point_is_left_alone_without_a_question() {
    let rival = Armijo::default();
    let params = tree(&START);
    let mut state = rival.init(&params).unwrap();
    let grads = tree(&[1e-10; N]);
    let next = rival.step(grads, 1.0, &params, &mut state).unwrap();
    assert_eq!(flat(&next.done().unwrap()), START);
}
