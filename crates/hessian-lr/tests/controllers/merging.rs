//! Groups that are put together.

use super::*;

#[test]
fn groups_with_equal_rates_are_put_together_and_save_probes() {
    let a = [4.0, 4.0, 0.5];
    let loss = |x: &[f64]| 3.0 + (0..3).map(|k| -x[k] + 0.5 * a[k] * x[k] * x[k]).sum::<f64>();
    let merge = Some(Merge { within: 1.05, fits: 3 });
    let hidlr = HiDlr { settings: greedy(0.1), merge, guard: false, ..HiDlr::default() };
    let mut state = hidlr.init(3).unwrap();
    let mut n = Vec::new();
    for _ in 0..6 {
        n.push(answer(&hidlr, &mut state, loss));
        hidlr.stepped(&mut state).unwrap();
    }
    assert_eq!(n, [13, 13, 13, 9, 9, 9]);
    let groups: Vec<&[usize]> = state.axes().iter().map(|axis| axis.groups.as_slice()).collect();
    assert_eq!(groups, [&[0, 1][..], &[2]]);
    answer(&hidlr, &mut state, loss);
    let found = rates(&hidlr, &state);
    assert_eq!(found[0], found[1]);
    assert_relative_eq!(found[0], 0.25, max_relative = 1e-9);
}

#[test]
fn rates_that_are_equal_by_accident_are_not_put_together() {
    // Minimizers a thousandfold apart, and rates that rise side by side at their clamp.
    let a = [1.0, 1e-3];
    let loss = |x: &[f64]| 3.0 + (0..2).map(|k| -x[k] + 0.5 * a[k] * x[k] * x[k]).sum::<f64>();
    let merge = Some(Merge { within: 1.05, fits: 5 });
    let settings = Settings { smooth: 0.8, clamp: [0.5, 2.0], ..greedy(1e-3) };
    let hidlr = HiDlr { settings: settings.clone(), merge, guard: false, ..HiDlr::default() };
    let mut state = hidlr.init(2).unwrap();
    for _ in 0..120 {
        answer(&hidlr, &mut state, loss);
        hidlr.stepped(&mut state).unwrap();
    }
    let found: Vec<f64> = state.axes().iter().map(|axis| axis.rate).collect();
    assert_relative_eq!(found[0], 1.0, max_relative = 0.05);
    assert_relative_eq!(found[1], 1000.0, max_relative = 0.05);
    // Nor do groups whose fits are all refused, and rates stay positive.
    let hidlr = HiDlr { merge: Some(Merge { within: 1.05, fits: 700 }), ..hidlr };
    let mut state = hidlr.init(2).unwrap();
    for _ in 0..1200 {
        answer(&hidlr, &mut state, |x| if x == [0.0, 0.0] { 3.0 } else { f64::NAN });
        hidlr.stepped(&mut state).unwrap();
    }
    assert_eq!(state.axes().len(), 2);
    assert!(state.axes().iter().all(|axis| 0.0 < axis.rate));
}

#[test]
fn a_report_names_each_group_s_own_rate_after_merging() {
    let a = [4.0, 4.0, 0.5];
    let loss = |x: &[f64]| 3.0 + (0..3).map(|k| -x[k] + 0.5 * a[k] * x[k] * x[k]).sum::<f64>();
    let merge = Some(Merge { within: 1.05, fits: 1 });
    let settings = Settings { verify: true, ..greedy(0.1) };
    let hidlr = HiDlr { settings, merge, guard: false, ..HiDlr::default() };
    let mut state = hidlr.init(3).unwrap();
    answer(&hidlr, &mut state, loss);
    assert_eq!(state.axes().len(), 2);
    let own = rates(&hidlr, &state);
    for axis in &state.report().unwrap().axes {
        assert_eq!(axis.rate[1], own[axis.groups[0]], "{:?}", axis.groups);
    }
}
