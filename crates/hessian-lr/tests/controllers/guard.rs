//! The guard against steps that are too much together.

use super::*;

#[test]
fn the_guard_prevents_the_rise_that_duplicated_groups_cause() {
    for k in [2usize, 4, 7] {
        let rows = vec![vec![2.0; k]; k];
        let model = Quadratic { slope: vec![1.0; k], curvature: rows };
        let run = |guard: bool| {
            let hidlr = HiDlr { settings: greedy(0.01), guard, ..HiDlr::default() };
            let mut state = hidlr.init(k).unwrap();
            answer(&hidlr, &mut state, loss_of(&model));
            let joint = state.report().unwrap().joint.map(|joint| joint.scale);
            (model.decrease(&rates(&hidlr, &state)), joint)
        };
        let (plain, none) = run(false);
        let (guarded, joint) = run(true);
        assert_eq!(none, None);
        // The plain rule takes k times the right step: k = 2 gets nowhere, more of them rise.
        assert!(plain <= 1e-9, "{k}: {plain}");
        assert!(k == 2 || plain < -0.1, "{k}: {plain}");
        assert!(0.0 < guarded, "{k}: {guarded}");
        assert_relative_eq!(joint.unwrap(), (1.0 / k as f64).max(0.25), max_relative = 1e-9);
    }
}

#[test]
fn the_guard_leaves_rates_alone_without_coupling() {
    let model = model(&[3.0, 5.0], &[&[7.0, 0.0], &[0.0, 2.0]]);
    let hidlr = HiDlr { settings: greedy(0.2), ..HiDlr::default() };
    let mut state = hidlr.init(2).unwrap();
    answer(&hidlr, &mut state, loss_of(&model));
    let joint = state.report().unwrap().joint.unwrap();
    assert_eq!(joint.decision, Decision::Accept);
    assert_relative_eq!(joint.scale, 1.0, max_relative = 1e-9);
}

#[test]
fn the_guard_measures_the_step_that_is_taken() {
    // Group 1 is refused and goes on at its rate, which makes the accepted step of group 0 a rise.
    let loss = |x: &[f64]| {
        3.0 - x[0] + 0.5 * x[0] * x[0] + 1.9 * x[0] * x[1] + 0.01 * x[1] + 0.5 * x[1] * x[1]
    };
    let hidlr = HiDlr { settings: greedy(1.0), ..HiDlr::default() };
    let mut state = hidlr.init(2).unwrap();
    assert_eq!(answer(&hidlr, &mut state, loss), 9 + 3);
    assert_eq!(decisions(&state), [Decision::Accept, Decision::NonPositiveSlope]);
    let joint = state.report().unwrap().joint.unwrap();
    assert_eq!((joint.decision, joint.scale), (Decision::NonPositiveSlope, 0.5));
    assert_relative_eq!(rates(&hidlr, &state)[0], 0.5, max_relative = 1e-9);
}

#[test]
fn what_the_guard_finds_is_not_undone_by_the_clamp_of_one_group() {
    // Eight copies of a group whose rate is right alone: together an eighth is, and a quarter is the least of the guard.
    let model = Quadratic { slope: vec![1.0; 8], curvature: vec![vec![1.0; 8]; 8] };
    let settings = Settings { clamp: [0.5, 2.0], ..greedy(0.5) };
    let hidlr = HiDlr { settings, ..HiDlr::default() };
    let mut state = hidlr.init(8).unwrap();
    for want in [0.25, 0.125] {
        answer(&hidlr, &mut state, loss_of(&model));
        let joint = state.report().unwrap().joint.unwrap();
        for rate in rates(&hidlr, &state) {
            assert_relative_eq!(rate, want, max_relative = 1e-9);
        }
        assert!(joint.scale <= 0.5, "{joint:?}");
        hidlr.stepped(&mut state).unwrap();
    }
}
