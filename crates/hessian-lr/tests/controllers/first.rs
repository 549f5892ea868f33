//! The first rate.

use hessian_lr::controller::FirstOutcome;

use super::*;

#[test]
fn the_search_for_the_first_rate_says_how_it_ended() {
    let run = |around: f64, loss: &dyn Fn(f64) -> f64| {
        let settings = Settings { first_rate: FirstRate::Auto(around), ..Settings::default() };
        let gen_ = Gen { settings };
        let mut state = gen_.init(1).unwrap();
        assert_eq!(state.first(), None);
        answer(&gen_, &mut state, |x| loss(x[0]));
        let first = *state.first().unwrap();
        assert_eq!(rates(&gen_, &state), [first.rate]);
        (first.rate, first.outcome)
    };
    for around in [1e-9, 1e-3, 1e3] {
        let (rate, outcome) = run(around, &|x| 2.0 - x + 0.5 * x * x);
        assert!((0.25..1.0).contains(&rate), "{around}: {rate}");
        assert_eq!(outcome, FirstOutcome::Found);
    }
    // A batch that says nothing leaves the given rate.
    assert_eq!(run(1e-3, &|_| 2.3), (1e-3, FirstOutcome::Flat));
}

#[test]
fn a_batch_that_says_nothing_is_followed_by_another_search() {
    let gen_ = Gen { settings: Settings { first_rate: FirstRate::Auto(1e-3), ..greedy(1.0) } };
    let mut state = gen_.init(1).unwrap();
    answer(&gen_, &mut state, |_| 2.3);
    assert_eq!(rates(&gen_, &state), [1e-3]);
    gen_.stepped(&mut state).unwrap();
    let settled = Settings { period: 100, ..gen_.settings.clone() };
    let gen_ = Gen { settings: settled };
    answer(&gen_, &mut state, |x| 2.0 - x[0] + 0.5 * x[0] * x[0]);
    let first = *state.first().unwrap();
    assert!(first.outcome.is_found() && (0.25..1.0).contains(&first.rate), "{first:?}");
    gen_.stepped(&mut state).unwrap();
    assert_eq!(gen_.ask(&state), Ask::Nothing);
    // It ends, though no batch ever says anything.
    let mut state = gen_.init(1).unwrap();
    let mut n = Vec::new();
    for _ in 0..6 {
        n.push(answer(&gen_, &mut state, |_| 2.3));
        gen_.stepped(&mut state).unwrap();
    }
    assert_eq!(n, [33, 33, 33, 33, 0, 0]);
}
