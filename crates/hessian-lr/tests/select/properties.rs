//! Properties of solvers, bounds and greedy sets.

use hessian_lr::Error;
use hessian_lr::select::{BranchAndBound, FrontPoint, Knapsack, SearchEnd, Subset};
use proptest::prelude::*;

use super::{Items, all_sets, best, close, exact_items, knapsack, lightest, real_items};

fn optimum(items: &Items, budget: u64) -> f64 {
    knapsack(items).solve_exact(budget).unwrap().value
}

/// A budget as a part of the total, a little more than everything now and then.
fn part(items: &Items, share: f64) -> u64 {
    (share * items.1.iter().sum::<u64>() as f64) as u64
}

fn by_search(knapsack: &Knapsack, budget: u64) -> Subset {
    let found = knapsack.branch_and_bound(budget, &BranchAndBound::default()).unwrap();
    assert_eq!(found.end, SearchEnd::GapReached);
    assert!(found.relative_gap() < 1e-12);
    found.best
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_exact_solver_finds_the_set_of_brute_force(
        items in exact_items(0..=10),
        share in 0.0..1.1,
        forced in prop::collection::vec(0usize..10, 0..3),
    ) {
        let forced: Vec<usize> = forced.into_iter().filter(|i| *i < items.0.len()).collect();
        let knapsack = knapsack(&items).with_forced(&forced).unwrap();
        let sets = all_sets(&items, &forced);
        let budget = part(&items, share);
        let Some(want) = best(&sets, budget) else {
            for refused in [
                knapsack.solve_exact(budget),
                knapsack.solve_dp(budget, 1),
                knapsack.greedy_fill(budget),
                knapsack.pareto_front().unwrap().best_within(budget),
            ] {
                let too_heavy = matches!(refused, Err(Error::ForcedTooHeavy { .. }));
                prop_assert!(too_heavy);
            }
            return Ok(());
        };
        prop_assert_eq!(&knapsack.solve_exact(budget).unwrap(), want);
        prop_assert_eq!(&knapsack.pareto_front().unwrap().best_within(budget).unwrap(), want);
        prop_assert_eq!(&knapsack.solve_dp(budget, 1).unwrap(), want);
        let found = by_search(&knapsack, budget);
        prop_assert_eq!((found.value, found.weight), (want.value, want.weight));
    }

    #[test]
    fn what_is_required_is_reached_with_the_least_weight(
        items in exact_items(0..=10),
        share in 0.0..1.0f64,
        forced in prop::collection::vec(0usize..10, 0..3),
    ) {
        let forced: Vec<usize> = forced.into_iter().filter(|i| *i < items.0.len()).collect();
        let knapsack = knapsack(&items).with_forced(&forced).unwrap();
        let most = knapsack.everything().value;
        // Values of sets are multiples of 1/8, so that this is often one of them.
        let required = (share * most * 8.0).ceil() / 8.0;
        let sets = all_sets(&items, &forced);
        let want = lightest(&sets, required).unwrap();
        prop_assert_eq!(&knapsack.solve_reaching(required).unwrap(), want);
        let front = knapsack.pareto_front().unwrap();
        prop_assert_eq!(&front.lightest_reaching(required).unwrap(), want);
        prop_assert_eq!(best(&sets, want.weight).unwrap(), want, "it is a trade-off");
    }

    #[test]
    fn the_front_is_all_trade_offs_and_no_others(items in exact_items(0..=9)) {
        let knapsack = knapsack(&items);
        let sets = all_sets(&items, &[]);
        let mut want: Vec<Subset> = Vec::new();
        for budget in 0..=items.1.iter().sum() {
            let best = best(&sets, budget).unwrap();
            if want.last() != Some(best) {
                want.push(best.clone());
            }
        }
        let front = knapsack.pareto_front().unwrap();
        let got: Vec<Subset> = (0..front.n_points()).map(|k| front.subset(k).unwrap()).collect();
        prop_assert_eq!(got, want);
        prop_assert_eq!(front.subset(front.n_points()), None);
    }

    #[test]
    fn solvers_agree_on_real_values(items in real_items(1..=40), share in 0.0..1.0) {
        let (knapsack, budget) = (knapsack(&items), part(&items, share));
        let front = knapsack.pareto_front().unwrap();
        let want = front.best_within(budget).unwrap();
        let reached = knapsack.solve_reaching(want.value).unwrap();
        prop_assert_eq!(&front.lightest_reaching(want.value).unwrap(), &reached);
        for (solver, got) in [
            ("exact", knapsack.solve_exact(budget).unwrap()),
            ("table", knapsack.solve_dp(budget, 1).unwrap()),
            ("branch and bound", by_search(&knapsack, budget)),
            ("reaching", reached),
        ] {
            prop_assert!(close(got.value, want.value), "{}: {} {}", solver, got.value, want.value);
            prop_assert!(got.weight <= budget, "{}", solver);
        }
    }

    #[test]
    fn the_front_rises_strictly_and_its_sets_add_up(items in real_items(0..=40)) {
        let knapsack = knapsack(&items);
        let front = knapsack.pareto_front().unwrap();
        let points: Vec<FrontPoint> = front.points().collect();
        prop_assert_eq!(points[0].weight, 0);
        for pair in points.windows(2) {
            prop_assert!(pair[0].weight < pair[1].weight && pair[0].value < pair[1].value);
        }
        for (k, point) in points.iter().enumerate() {
            let Subset { items: chosen, value, weight } = front.subset(k).unwrap();
            // The sum from the last to the first is that of the point to the last bit.
            prop_assert_eq!((weight, value), (point.weight, point.value));
            prop_assert!(chosen.windows(2).all(|pair| pair[0] < pair[1]));
            let sum: f64 = chosen.iter().map(|i| items.0[*i]).sum();
            prop_assert!(close(sum, value));
            prop_assert_eq!(chosen.iter().map(|i| items.1[*i]).sum::<u64>(), weight);
        }
    }

    #[test]
    fn the_optimum_rises_with_the_budget_any_value_and_more_items(
        items in real_items(1..=25),
        share in 0.0..1.0,
        more in 0.0..0.5,
        which in any::<prop::sample::Index>(),
        extra in (0.0..20.0f64, 0u64..50),
    ) {
        let budget = part(&items, share);
        let before = optimum(&items, budget);
        let not_less = |after: f64| before <= after * (1.0 + 1e-12);
        prop_assert!(not_less(optimum(&items, budget + part(&items, more))));
        let mut raised = items.clone();
        raised.0[which.index(items.0.len())] *= 1.0 + more;
        prop_assert!(not_less(optimum(&raised, budget)));
        let mut longer = items.clone();
        longer.0.push(extra.0);
        longer.1.push(extra.1);
        prop_assert!(not_less(optimum(&longer, budget)));
    }

    #[test]
    fn scaling_all_values_keeps_the_set(
        items in exact_items(0..=15),
        real in real_items(0..=25),
        share in 0.0..1.0,
        exponent in -60i32..60,
        factor in 1e-3..1e3,
    ) {
        let scaled = |items: &Items, c: f64| (items.0.iter().map(|v| c * v).collect(), items.1.clone());
        let budget = part(&items, share);
        let by_two = scaled(&items, 2f64.powi(exponent));
        let set = knapsack(&items).solve_exact(budget).unwrap();
        prop_assert_eq!(knapsack(&by_two).solve_exact(budget).unwrap().items, set.items);
        // Other factors round the values, so that only sets of the same value are the same.
        let budget = part(&real, share);
        let got = knapsack(&scaled(&real, factor)).solve_exact(budget).unwrap();
        let unscaled: f64 = got.items.iter().map(|i| real.0[*i]).sum();
        prop_assert!(close(unscaled, optimum(&real, budget)));
    }

    #[test]
    fn greedy_sets_stay_below_the_optimum_and_that_below_the_relaxation(
        items in real_items(0..=30),
        share in 0.0..1.1,
    ) {
        let (knapsack, budget) = (knapsack(&items), part(&items, share));
        let best = knapsack.solve_exact(budget).unwrap().value;
        let slack = 1.0 + 1e-12;
        let (stop, fill) = (knapsack.greedy_stop(budget).unwrap(), knapsack.greedy_fill(budget).unwrap());
        let single = knapsack.best_single(budget).unwrap();
        let half = knapsack.greedy_half(budget).unwrap();
        for set in [&stop, &fill, &single, &half] {
            prop_assert!(set.weight <= budget && set.value <= best * slack);
        }
        prop_assert!(stop.items.iter().all(|i| fill.items.contains(i)));
        prop_assert_eq!(half.value, fill.value.max(single.value));
        prop_assert!(best <= 2.0 * half.value * slack);
        prop_assert!(best <= knapsack.lp_bound(budget).unwrap() * slack);
    }

    #[test]
    fn prefixes_are_best_for_their_own_weight_and_hold_the_hull(
        exact in exact_items(0..=12),
        real in real_items(0..=30),
    ) {
        for items in [exact, real] {
            let knapsack = knapsack(&items);
            let prefixes = knapsack.greedy_prefixes();
            for (k, point) in prefixes.points().iter().enumerate() {
                let set = prefixes.subset(k).unwrap();
                prop_assert_eq!(set.items.len(), k);
                let stop = knapsack.greedy_stop(point.weight).unwrap();
                prop_assert!(k <= stop.items.len(), "what weighs nothing comes along");
                prop_assert!(close(stop.value, optimum(&items, point.weight)));
            }
            let hull = knapsack.pareto_front().unwrap().hull();
            for vertex in &hull {
                let same = |p: &FrontPoint| p.weight == vertex.weight && close(p.value, vertex.value);
                prop_assert!(prefixes.points().iter().any(same), "{:?}", vertex);
            }
            let slope = |pair: &[FrontPoint]| {
                (pair[1].value - pair[0].value) / (pair[1].weight - pair[0].weight) as f64
            };
            let slopes: Vec<f64> = hull.windows(2).map(slope).collect();
            prop_assert!(slopes.windows(2).all(|pair| pair[1] < pair[0]), "{:?}", slopes);
        }
    }

    #[test]
    fn the_certified_interval_holds_the_optimum_however_soon_the_search_ends(
        items in real_items(1..=60),
        share in 0.0..1.0,
        relative_gap in prop_oneof![Just(0.0), 1e-6..0.2],
        max_nodes in prop_oneof![Just(0u64), 0u64..20, Just(1_000_000)],
    ) {
        let (knapsack, budget) = (knapsack(&items), part(&items, share));
        let best = knapsack.solve_exact(budget).unwrap().value;
        let settings = BranchAndBound { relative_gap, max_nodes };
        let found = knapsack.branch_and_bound(budget, &settings).unwrap();
        let slack = 1.0 + 1e-11;
        prop_assert!(found.best.weight <= budget && found.n_nodes <= max_nodes);
        prop_assert!(found.best.value <= best * slack && best <= found.bound * slack);
        prop_assert!(found.bound <= knapsack.lp_bound(budget).unwrap() * slack);
        if found.end == SearchEnd::GapReached {
            prop_assert!(found.relative_gap() <= relative_gap + 1e-11);
        }
    }

    #[test]
    fn a_coarse_table_solves_the_problem_of_rounded_weights(
        items in exact_items(0..=12),
        share in 0.0..1.1,
        unit in 1u64..20,
    ) {
        let (fine, budget) = (knapsack(&items), part(&items, share));
        let rounded: Items = (items.0.clone(), items.1.iter().map(|w| w.div_ceil(unit)).collect());
        let got = fine.solve_dp(budget, unit).unwrap();
        prop_assert!(got.weight <= budget);
        if got.items.len() < fine.order().len() {
            prop_assert_eq!(got.value, optimum(&rounded, budget / unit));
        } else {
            prop_assert_eq!(got, fine.everything());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn twenty_items_are_solved_as_by_brute_force((values, weights) in real_items(20..=20)) {
        let total: u64 = weights.iter().sum();
        let budgets = [total / 100, total / 10, total / 2];
        let mut want = [0.0f64; 3];
        let mut sums = vec![(0u64, 0.0f64); 1 << 20];
        for set in 1usize..1 << 20 {
            let (i, rest) = (set.trailing_zeros() as usize, set & (set - 1));
            sums[set] = (sums[rest].0 + weights[i], sums[rest].1 + values[i]);
            for (want, budget) in want.iter_mut().zip(budgets) {
                if sums[set].0 <= budget && *want < sums[set].1 {
                    *want = sums[set].1;
                }
            }
        }
        let knapsack = knapsack(&(values, weights));
        let front = knapsack.pareto_front().unwrap();
        for (budget, want) in budgets.into_iter().zip(want) {
            // The sums go from the last item to the first as well: equal to the last bit.
            prop_assert_eq!(front.best_within(budget).unwrap().value, want);
            prop_assert_eq!(knapsack.solve_exact(budget).unwrap().value, want);
            prop_assert!(close(by_search(&knapsack, budget).value, want));
        }
    }
}
