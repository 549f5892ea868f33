//! Rates from all products of groups, and from random steps.

use super::*;

#[test]
fn a_coupled_solve_is_the_minimum_of_the_model() {
    let model = model(&[3.0, 5.0], &[&[7.0, 2.0], &[2.0, 3.0]]);
    let hidlr =
        HiDlr { settings: greedy(0.2), solve: Solve::Full { damping: 0.0 }, ..HiDlr::default() };
    let mut state = hidlr.init(2).unwrap();
    answer(&hidlr, &mut state, loss_of(&model));
    let want = model.minimizer(0.0).unwrap();
    // The first of them is negative there, and rates are not: the clamp holds it.
    for (got, want) in rates(&hidlr, &state).iter().zip(want) {
        assert_relative_eq!(*got, want.max(0.2e-12), max_relative = 1e-8);
    }
    assert!(matches!(hidlr.init(9), Err(Error::InvalidSetting { name: "number of groups", .. })));
}

#[test]
fn a_coupled_solve_leaves_out_the_group_that_is_lost() {
    let loss = |x: &[f64]| if x[1] == 0.0 { 3.0 - x[0] + x[0] * x[0] } else { f64::NAN };
    let solve = Solve::Full { damping: 0.0 };
    let hidlr = HiDlr { settings: greedy(0.25), solve, ..HiDlr::default() };
    let mut state = hidlr.init(2).unwrap();
    answer(&hidlr, &mut state, loss);
    assert_eq!(decisions(&state), [Decision::Accept, Decision::NonFinite]);
    let found = rates(&hidlr, &state);
    assert_relative_eq!(found[0], 0.5, max_relative = 1e-9);
    assert_eq!(found[1], 0.125);
    // Fine alone, and no number together: both went too far.
    let both = |x: &[f64]| {
        if x[0] * x[1] == 0.0 { 3.0 - x[0] - x[1] + x[0] * x[0] + x[1] * x[1] } else { f64::NAN }
    };
    let mut state = hidlr.init(2).unwrap();
    answer(&hidlr, &mut state, both);
    assert_eq!(decisions(&state), [Decision::NonFinite, Decision::NonFinite]);
}

#[test]
fn random_probes_are_exact_without_coupling_and_differ_between_fits() {
    let model = model(&[3.0, 5.0], &[&[7.0, 0.0], &[0.0, 2.0]]);
    let solve = Solve::Random { per_group: 4, seed: 7 };
    let hidlr = HiDlr { settings: greedy(0.2), solve, guard: false, merge: None };
    let mut state = hidlr.init(2).unwrap();
    let first = hidlr.ask(&state);
    assert_eq!(first, hidlr.ask(&state));
    assert_eq!(answer(&hidlr, &mut state, loss_of(&model)), 9);
    let found = rates(&hidlr, &state);
    assert_relative_eq!(found[0], 3.0 / 7.0, max_relative = 1e-9);
    assert_relative_eq!(found[1], 2.5, max_relative = 1e-9);
    hidlr.stepped(&mut state).unwrap();
    assert_ne!(first, hidlr.ask(&state));
}
