//! Empty lists, overflows, values of no use, limits.

use hessian_lr::Error;
use hessian_lr::select::{BranchAndBound, Item, Knapsack, SearchEnd, Subset};

#[test]
fn an_empty_list_has_the_empty_set_only() {
    let knapsack = Knapsack::new(&[], &[]).unwrap();
    let front = knapsack.pareto_front().unwrap();
    assert_eq!((front.n_points(), front.subset(0)), (1, Some(Subset::default())));
    for set in [
        knapsack.solve_exact(5).unwrap(),
        knapsack.solve_dp(5, 2).unwrap(),
        knapsack.greedy_half(0).unwrap(),
        knapsack.solve_reaching(0.0).unwrap(),
        knapsack.branch_and_bound(0, &BranchAndBound::default()).unwrap().best,
    ] {
        assert_eq!(set, Subset::default());
    }
    assert_eq!(knapsack.lp_bound(7).unwrap(), 0.0);
    assert_eq!(knapsack.greedy_prefixes().points().len(), 1);
}

#[test]
fn lists_that_do_not_belong_together_are_refused() {
    let error = Knapsack::new(&[1.0, 2.0], &[1]).unwrap_err();
    assert!(matches!(error, Error::Length { expected: 2, got: 1, .. }), "{error}");
    let error = Knapsack::new(&[1.0], &[1]).unwrap().with_forced(&[1]).unwrap_err();
    assert!(matches!(error, Error::NoItem { index: 1, n_items: 1 }), "{error}");
}

#[test]
fn sums_that_overflow_are_refused_and_the_item_is_named() {
    let item = |name: &str, value, weight| Item { name: name.into(), value, weight };
    let heavy = [item("a", 1.0, u64::MAX - 1), item("b", 1.0, 1), item("c", -1.0, 1)];
    let error = Knapsack::from_items(heavy.clone()).unwrap_err();
    assert!(error.to_string().contains("item c: weight 1 on top of"), "{error}");
    assert!(matches!(error, Error::WeightOverflow { sum: u64::MAX, .. }));
    let fits = Knapsack::from_items(heavy[..2].to_vec()).unwrap();
    assert_eq!(fits.total_weight(), u64::MAX);
    assert_eq!(fits.solve_exact(u64::MAX - 1).unwrap().items, [1], "the lighter of equals");
    assert_eq!(fits.pareto_front().unwrap().n_points(), 3);
    assert_eq!(fits.branch_and_bound(5, &BranchAndBound::default()).unwrap().best.items, [1]);
    let error = Knapsack::new(&[f64::MAX, f64::INFINITY, f64::MAX], &[1, 1, 1]).unwrap_err();
    assert!(matches!(&error, Error::ValueOverflow { item, .. } if item == "2"), "{error}");
}

#[test]
fn values_of_no_use_are_never_chosen_and_items_without_weight_always() {
    let values = [f64::NAN, f64::INFINITY, -1.0, 0.0, -0.0, 2.0, 1.0];
    let weights = [0, 1, 0, 0, 1, 0, 3];
    let knapsack = Knapsack::new(&values, &weights).unwrap();
    for (budget, want) in [(0, vec![5]), (2, vec![5]), (3, vec![5, 6]), (5, vec![5, 6])] {
        assert_eq!(knapsack.solve_exact(budget).unwrap().items, want);
        assert_eq!(knapsack.solve_dp(budget, 1).unwrap().items, want);
        assert_eq!(knapsack.greedy_fill(budget).unwrap().items, want);
        let found = knapsack.branch_and_bound(budget, &BranchAndBound::default()).unwrap();
        assert_eq!(found.best.items, want);
    }
    // They come along where less would do.
    assert_eq!(knapsack.solve_reaching(0.5).unwrap().items, [5]);
    assert_eq!(knapsack.solve_reaching(f64::NEG_INFINITY).unwrap().items, [5]);
    assert_eq!(knapsack.total_weight(), 5, "what cannot be chosen counts");
}

#[test]
fn what_no_set_reaches_is_refused_with_the_most_there_is() {
    let knapsack = Knapsack::new(&[1.0, 2.0, -4.0], &[3, 4, 5]).unwrap();
    let front = knapsack.pareto_front().unwrap();
    for got in [knapsack.solve_reaching(3.5), front.lightest_reaching(3.5)] {
        assert!(matches!(got, Err(Error::Unreachable { required: 3.5, most: 3.0 })), "{got:?}");
    }
    for got in [knapsack.solve_reaching(f64::NAN), front.lightest_reaching(f64::NAN)] {
        assert!(matches!(got, Err(Error::InvalidSetting { .. })), "{got:?}");
    }
}

#[test]
fn a_budget_for_everything_buys_what_rounding_hides() {
    let knapsack = Knapsack::new(&[1e20, 1.0], &[7, 5]).unwrap();
    let front = knapsack.pareto_front().unwrap();
    for set in [knapsack.solve_exact(12), knapsack.solve_dp(12, 1), front.best_within(12)] {
        assert_eq!(set.unwrap().items, [0, 1]);
    }
    // And a small budget is not blinded by a value that it cannot buy.
    let knapsack = Knapsack::new(&[1e300, 1.0, 2.0], &[100, 1, 1]).unwrap();
    assert_eq!(knapsack.solve_exact(1).unwrap().items, [2]);
    assert_eq!(knapsack.solve_dp(1, 1).unwrap().items, [2]);
    let found = knapsack.branch_and_bound(1, &BranchAndBound::default()).unwrap();
    assert_eq!((found.best.items, found.bound), (vec![2], 2.0));
}

#[test]
fn a_front_beyond_its_limit_points_to_branch_and_bound() {
    // Every sum is another trade-off: 2^21 of them.
    let weights: Vec<u64> = (0..21).map(|i| 1 << i).collect();
    let values: Vec<f64> = weights.iter().map(|w| *w as f64).collect();
    let knapsack = Knapsack::new(&values, &weights).unwrap();
    let error = knapsack.pareto_front().unwrap_err();
    assert!(error.to_string().contains("branch_and_bound"), "{error}");
    assert!(matches!(error, Error::FrontTooLarge { limit: 2_000_000, .. }));
    let budget = 0b1_0110_1110_1010_0110_1011;
    let found = knapsack.branch_and_bound(budget, &BranchAndBound::default()).unwrap();
    assert_eq!((found.best.weight, found.end), (budget, SearchEnd::GapReached));
    assert_eq!(knapsack.solve_exact(budget).unwrap().weight, budget);
    let small = Knapsack::new(&values[1..], &weights[1..]).unwrap();
    assert_eq!(small.pareto_front().unwrap().n_points(), 1 << 20);
}

#[test]
fn a_table_beyond_its_limit_asks_for_a_larger_unit() {
    let knapsack = Knapsack::new(&[3.0, 2.0, 2.0], &[30_000_000, 20_000_000, 20_000_000]).unwrap();
    let error = knapsack.solve_dp(40_000_000, 1).unwrap_err();
    assert!(matches!(error, Error::TableTooLarge { n_items: 3, units: 40_000_000 }), "{error}");
    assert_eq!(knapsack.solve_dp(40_000_000, 1000).unwrap().items, [1, 2]);
    assert!(matches!(knapsack.solve_dp(1, 0), Err(Error::InvalidSetting { .. })));
}

#[test]
fn ten_thousand_items_are_certified_at_the_root_or_close_to_it() {
    // A multiplicative sequence modulo a prime, written here so that it never changes.
    let mut state = 1u64;
    let mut next = || {
        state = state * 48_271 % 2_147_483_647;
        state as f64 / 2_147_483_647.0
    };
    let items: Vec<(f64, u64)> = (0..10_000).map(|_| (next(), (1e6 * next()) as u64 + 1)).collect();
    let (values, weights): (Vec<f64>, Vec<u64>) = items.into_iter().unzip();
    let knapsack = Knapsack::new(&values, &weights).unwrap();
    for divisor in [2, 100, 10_000] {
        let budget = knapsack.total_weight() / divisor;
        let settings = BranchAndBound { relative_gap: 1e-3, max_nodes: 100_000 };
        let found = knapsack.branch_and_bound(budget, &settings).unwrap();
        assert_eq!(found.end, SearchEnd::GapReached, "1/{divisor}: {}", found.relative_gap());
        let exact = knapsack.solve_exact(budget).unwrap();
        assert!(exact.weight <= budget);
        assert!(found.best.value <= exact.value * (1.0 + 1e-9));
        assert!(exact.value <= found.bound * (1.0 + 1e-9));
    }
}

#[test]
fn a_value_far_above_what_is_required_hides_no_lighter_set() {
    // 444.5 taken off the sum of all leaves the others' sum with the rounding of the whole.
    let values = [4.199_999_999_999_999, 444.5, 0.430_740_699_612_288_8];
    let knapsack = Knapsack::new(&values, &[6, 635, 1]).unwrap();
    let want = knapsack.solve_exact(7).unwrap();
    assert_eq!(want.items, [0, 2]);
    assert_eq!(knapsack.solve_reaching(want.value).unwrap(), want);
}

#[test]
fn settings_and_sets_survive_a_round_through_json() {
    let knapsack = Knapsack::new(&[1.0, 2.0], &[3, 4]).unwrap();
    let found = knapsack.branch_and_bound(4, &BranchAndBound::default()).unwrap();
    let text = serde_json::to_string(&found).unwrap();
    assert_eq!(serde_json::from_str::<hessian_lr::select::Certified>(&text).unwrap(), found);
    let choice = serde_json::to_value(knapsack.select(4_u64).unwrap()).unwrap();
    assert_eq!(choice["subset"]["items"], serde_json::json!([1]));
}
