//! Choices that are trained: never empty, never worse than they say.

use hessian_lr::Error;
use hessian_lr::select::{BranchAndBound, Budget, Item, Knapsack, SearchEnd, select};
use proptest::prelude::*;

use super::{exact_items, knapsack, real_items};

fn named(items: &[(&str, f64, u64)]) -> Knapsack {
    let item =
        |&(name, value, weight): &(&str, f64, u64)| Item { name: name.into(), value, weight };
    Knapsack::from_items(items.iter().map(item)).unwrap()
}

proptest! {
    #[test]
    fn a_choice_is_the_optimum_or_an_error(items in exact_items(0..=12), part in 0.0..=1.0f64) {
        let knapsack = knapsack(&items);
        let total: u64 = items.1.iter().sum();
        let budget = (part * total as f64).floor() as u64;
        let best = knapsack.solve_exact(budget).unwrap();
        match select(&items.0, &items.1, Budget::Fraction(part)) {
            Ok(choice) => {
                prop_assert!(!choice.items().is_empty());
                prop_assert_eq!(choice.items(), best.items);
                prop_assert_eq!((choice.value(), choice.weight()), (best.value, best.weight));
                prop_assert_eq!(choice.bound(), Some(best.value));
                prop_assert!(choice.share() <= part);
                let mask: Vec<bool> = (0..items.0.len()).map(|i| choice.contains(i)).collect();
                prop_assert_eq!(choice.mask(), mask);
            }
            Err(Error::NothingUseful { n_items, .. }) => {
                prop_assert!(knapsack.order().is_empty() && n_items == items.0.len());
            }
            Err(Error::NothingFits { budget: got, weight, .. }) => {
                let least = knapsack.order().iter().map(|i| items.1[*i]).min();
                prop_assert!(got == budget && budget < weight && Some(weight) == least);
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn groups_are_frozen_by_their_ratio_to_the_largest_influence(
        items in real_items(1..=20),
        ratio in 0.0..=1.0,
    ) {
        let density: Vec<f64> = items.0.iter().zip(&items.1).map(|(v, w)| v / *w as f64).collect();
        let largest = density.iter().copied().fold(0.0, f64::max);
        let kept: Vec<bool> = density.iter().map(|d| ratio * largest <= *d).collect();
        let knapsack = knapsack(&items);
        prop_assert_eq!(knapsack.freeze_below(ratio).unwrap().mask(), kept);
        // Among them those with the largest influence, whatever the ratio.
        prop_assert!(knapsack.freeze_below(1.0).unwrap().contains(knapsack.order()[0]));
    }
}

fn gap(relative_gap: f64) -> BranchAndBound {
    BranchAndBound { relative_gap, ..BranchAndBound::default() }
}

#[test]
fn a_choice_within_a_gap_states_its_bound() {
    let knapsack = Knapsack::new(&[2.0, 100.0, 3.0], &[1, 100, 2]).unwrap();
    let choice = knapsack.select_within(101_u64, &gap(0.0)).unwrap();
    assert_eq!((choice.items(), choice.bound()), (&[0, 1][..], Some(102.0)));
    let wide = knapsack.select_within(101_u64, &gap(0.5)).unwrap();
    let bound = wide.bound().unwrap();
    assert!(102.0 <= bound && bound <= 1.5 * wide.value());
}

#[test]
fn a_gap_that_is_not_reached_is_an_error_that_says_how_far_it_came() {
    // Even weights that are their own values, and an odd budget: no bound shows that the last unit is out of reach.
    let weights: Vec<u64> = (0..60).map(|i| 2 * (1_000_000 + i * i * 977 % 65_536)).collect();
    let values: Vec<f64> = weights.iter().map(|w| *w as f64).collect();
    let knapsack = Knapsack::new(&values, &weights).unwrap();
    let budget = (weights.iter().sum::<u64>() / 2) | 1;
    let settings = BranchAndBound { relative_gap: 0.0, max_nodes: 10_000 };
    let found = knapsack.branch_and_bound(budget, &settings).unwrap();
    assert_eq!((found.end, found.n_nodes), (SearchEnd::MaxNodes, 10_000));
    assert!(found.best.weight < budget && found.bound <= budget as f64);
    match knapsack.select_within(budget, &settings).unwrap_err() {
        Error::GapNotReached { wanted, reached, n_nodes } => {
            assert_eq!((wanted, reached, n_nodes), (0.0, found.relative_gap(), 10_000));
            assert!(0.0 < reached && knapsack.select_within(budget, &gap(reached)).is_ok());
        }
        other => panic!("{other}"),
    }
}

#[test]
fn an_empty_choice_is_refused_with_what_would_have_been_needed() {
    let heavy = named(&[("head", 2.0, 30), ("bias", 1.0, 20), ("norm", f64::NAN, 1)]);
    let message = heavy.select(10_u64).unwrap_err().to_string();
    assert!(message.contains("10") && message.contains("bias, weighs 20"), "{message}");
    let useless = named(&[("head", 0.0, 3), ("norm", f64::NAN, 1)]);
    let error = useless.select(10_u64).unwrap_err();
    assert!(matches!(error, Error::NothingUseful { n_items: 2, n_not_finite: 1 }), "{error}");
    let error = useless.freeze_below(0.1).unwrap_err();
    assert!(matches!(error, Error::NothingUseful { .. }), "{error}");
    let error = useless.select_within(10_u64, &gap(0.1)).unwrap_err();
    assert!(matches!(error, Error::NothingUseful { .. }), "{error}");
    let error = select(&[], &[], 5_u64).unwrap_err();
    assert!(matches!(error, Error::NothingUseful { n_items: 0, .. }), "{error}");
}

#[test]
fn forced_groups_are_charged_first_and_suffice_for_a_choice() {
    let knapsack = named(&[("head", -1.0, 30), ("bias", 1.0, 20), ("lora", 5.0, 40)]);
    let knapsack = knapsack.with_forced(&[0]).unwrap();
    let choice = |budget: u64| knapsack.select(budget).unwrap().items().to_vec();
    assert_eq!([choice(30), choice(50), choice(70)], [vec![0], vec![0, 1], vec![0, 2]]);
    assert_eq!(knapsack.select(70_u64).unwrap().value(), 5.0);
    let error = knapsack.select(29_u64).unwrap_err();
    assert!(matches!(error, Error::ForcedTooHeavy { weight: 30, budget: 29 }), "{error}");
    assert_eq!(knapsack.freeze_below(1.0).unwrap().items(), [0, 2]);
}

#[test]
fn the_fewest_parameters_for_a_required_value() {
    let knapsack = named(&[("bias", 1.0, 20), ("lora", 5.0, 40), ("mlp", 5.5, 900)]);
    assert_eq!(knapsack.select_reaching(5.0).unwrap().items(), [1]);
    assert_eq!(knapsack.select_reaching(5.5).unwrap().items(), [0, 1]);
    assert_eq!(knapsack.select_reaching(11.5).unwrap().items(), [0, 1, 2]);
    let error = knapsack.select_reaching(11.6).unwrap_err();
    assert!(matches!(error, Error::Unreachable { required: 11.6, most: 11.5 }), "{error}");
    for required in [0.0, -1.0, f64::NAN] {
        let error = knapsack.select_reaching(required).unwrap_err();
        assert!(matches!(error, Error::InvalidSetting { .. }), "{error}");
    }
}

#[test]
fn ratios_and_gaps_outside_their_range_are_refused() {
    let knapsack = named(&[("bias", 1.0, 20)]);
    for wrong in [-0.1, f64::NAN, f64::INFINITY] {
        assert!(matches!(knapsack.freeze_below(wrong), Err(Error::InvalidSetting { .. })));
        let within = knapsack.select_within(1_u64, &gap(wrong));
        assert!(matches!(within, Err(Error::InvalidSetting { .. })));
        let budget = Budget::Fraction(wrong);
        assert!(matches!(knapsack.select(budget), Err(Error::InvalidSetting { .. })));
    }
    assert!(matches!(knapsack.freeze_below(1.1), Err(Error::InvalidSetting { .. })));
}
