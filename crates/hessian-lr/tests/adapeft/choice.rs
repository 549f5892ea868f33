//! Choices by budget and by value.

use hessian_lr::Error;
use hessian_lr::adapeft::{Chooser, Limit};
use hessian_lr::select::{Budget, Item, Knapsack};
use proptest::prelude::*;
use report::golden::section;

use crate::golden::{file, numbers};

fn items() -> Vec<Item> {
    [("body", 8.0, 900), ("norm", 2.0, 20), ("head", 1.0, 80), ("flat", 0.0, 10)]
        .map(|(name, value, weight)| Item { name: name.into(), value, weight })
        .to_vec()
}

fn chosen(chooser: &Chooser) -> Vec<String> {
    chooser.choose(&items()).unwrap().chosen().map(str::to_owned).collect()
}

#[test]
fn budgets_count_all_parameters_and_charge_what_is_forced_first() {
    assert_eq!(chosen(&Chooser::within(99)), ["norm"]);
    assert_eq!(chosen(&Chooser::within(100)), ["norm", "head"]);
    assert_eq!(chosen(&Chooser::within(920)), ["body", "norm"]);
    // 10 % of 1010, or of all there is.
    let tenth = Chooser::within(Budget::Fraction(0.1));
    assert_eq!(chosen(&tenth), ["norm", "head"]);
    let beside = Chooser { n_others: 8990, ..tenth.clone() };
    let choice = beside.choose(&items()).unwrap();
    assert_eq!((choice.budget(), choice.n_parameters()), (Some(1000), 10_000));
    assert_eq!((choice.selection().share(), choice.is_loose()), (0.1, true));
    // A forced head leaves 20.
    let forced = Chooser { forced: vec!["head".into()], ..Chooser::within(100) };
    assert_eq!(chosen(&forced), ["norm", "head"]);
    let choice = Chooser { forced: vec!["flat".into()], ..Chooser::within(25) }.choose(&items());
    let choice = choice.unwrap();
    assert!(choice.is_only_forced() && choice.contains("flat") && choice.is_forced("flat"));
    assert!(!choice.is_forced("norm"));
    assert!(
        choice
            .to_string()
            .ends_with("15 parameters of the budget are left; nothing but forced groups is chosen")
    );
}

#[test]
fn values_are_reached_with_the_fewest_parameters() {
    let value = |limit| Chooser { limit, ..Chooser::within(0) };
    assert_eq!(chosen(&value(Limit::Value(2.5))), ["norm", "head"]);
    assert_eq!(chosen(&value(Limit::Value(2.0))), ["norm"]);
    assert_eq!(chosen(&value(Limit::ShareOfValue(0.9))), ["body", "norm"]);
    assert_eq!(chosen(&value(Limit::ShareOfValue(1.0))), ["body", "norm", "head"]);
    let choice = value(Limit::Value(2.0)).choose(&items()).unwrap();
    assert_eq!((choice.budget(), choice.n_unused(), choice.is_loose()), (None, None, false));
    let forced = Chooser { forced: vec!["norm".into()], ..value(Limit::Value(2.0)) };
    let choice = forced.choose(&items()).unwrap();
    assert!(choice.is_loose() && choice.to_string().contains("forced groups alone reach it"));
}

#[test]
fn a_loose_budget_is_said_to_be_loose() {
    for (budget, loose, unused) in [(999, false, 79), (1000, true, 0), (1005, true, 5)] {
        let choice = Chooser::within(budget).choose(&items()).unwrap();
        assert_eq!((choice.is_loose(), choice.n_unused()), (loose, Some(unused)), "{budget}");
        assert_eq!(choice.to_string().contains("the budget is loose"), loose, "{choice}");
        // What has no value is not trained however much there is to spend.
        assert!(!choice.contains("flat"));
    }
    let text = Chooser::within(1005).choose(&items()).unwrap().to_string();
    assert_eq!(
        text,
        "3 of 4 groups: `body`, `norm`, `head`; 1000 of 1010 parameters (99.010 %); the budget is loose: every group with a \
         value fits, and 5 parameters of it are left"
    );
}

#[test]
fn what_cannot_be_chosen_is_an_error_with_its_reason() {
    let of = |chooser: &Chooser| chooser.choose(&items()).unwrap_err();
    assert!(matches!(of(&Chooser::within(19)), Error::NothingFits { budget: 19, weight: 20, .. }));
    let forced = Chooser { forced: vec!["head".into()], ..Chooser::within(79) };
    assert!(matches!(of(&forced), Error::ForcedTooHeavy { weight: 80, budget: 79 }));
    let unknown = Chooser { forced: vec!["haed".into()], ..Chooser::within(100) };
    assert_eq!(
        of(&unknown).to_string(),
        "forced group `haed`: expected one of `body`, `norm`, `head`, `flat`"
    );
    let value = |limit| Chooser { limit, ..Chooser::within(0) };
    assert!(matches!(of(&value(Limit::Value(12.0))), Error::Unreachable { .. }));
    for bad in [0.0, -1.0, 1.5, f64::NAN] {
        let error = of(&value(Limit::ShareOfValue(bad)));
        assert!(matches!(error, Error::InvalidSetting { .. }), "{error}");
    }
    assert!(matches!(of(&value(Limit::Value(0.0))), Error::InvalidSetting { .. }));
    let worthless = [Item { name: "nan".into(), value: f64::NAN, weight: 1 }];
    for chooser in [Chooser::within(9), value(Limit::ShareOfValue(0.5))] {
        let error = chooser.choose(&worthless).unwrap_err();
        assert!(matches!(error, Error::NothingUseful { n_items: 1, n_not_finite: 1 }), "{error}");
    }
    let twice = [items()[0].clone(), items()[0].clone()];
    assert!(matches!(Chooser::within(9).choose(&twice), Err(Error::Grouping { .. })));
    let heavy = Chooser { n_others: u64::MAX, ..Chooser::within(9) };
    assert!(matches!(of(&heavy), Error::WeightOverflow { .. }));
}

fn random_items() -> impl Strategy<Value = Vec<Item>> {
    let value = prop_oneof![4 => 0.0..10.0f64, 1 => Just(f64::NAN), 1 => -1.0..0.0f64];
    prop::collection::vec((value, 0u64..200), 1..9).prop_map(|items| {
        let named = |(i, (value, weight))| Item { name: format!("g{i}"), value, weight };
        items.into_iter().enumerate().map(named).collect()
    })
}

proptest! {
    #[test]
    fn a_choice_is_that_of_the_knapsack_and_keeps_its_limit(
        items in random_items(),
        budget in 0u64..600,
        share in 0.01..1.0f64,
        n_others in 0u64..1000,
        forced in any::<prop::sample::Index>(),
    ) {
        let forced = forced.index(items.len());
        let names = vec![items[forced].name.clone()];
        let chooser = Chooser { forced: names, n_others, ..Chooser::within(budget) };
        let all: u64 = items.iter().map(|item| item.weight).sum();
        let knapsack = Knapsack::from_items(items.clone()).unwrap().with_forced(&[forced]).unwrap();
        match (chooser.choose(&items), knapsack.select(budget)) {
            (Ok(choice), Ok(selection)) => {
                prop_assert_eq!(choice.selection().items(), selection.items());
                prop_assert!(choice.selection().weight() <= budget);
                prop_assert!(choice.contains(&items[forced].name));
                prop_assert_eq!(choice.n_parameters(), all + n_others);
                // A loose budget is one that a larger one does not improve on.
                let larger = Chooser { limit: Limit::Parameters(Budget::Count(u64::MAX)), ..chooser.clone() };
                let most = larger.choose(&items).unwrap();
                prop_assert!(most.is_loose());
                prop_assert_eq!(choice.is_loose(), most.selection().items() == choice.selection().items());
            }
            (Err(one), Err(other)) => prop_assert_eq!(one.to_string(), other.to_string()),
            (one, other) => prop_assert!(false, "{one:?} and {other:?}"),
        }
        let reaching = Chooser { limit: Limit::ShareOfValue(share), ..chooser };
        if let Ok(choice) = reaching.choose(&items) {
            let needed = share * knapsack.everything().value;
            prop_assert!(needed <= choice.selection().value());
            if choice.is_loose() {
                // Beside the forced groups at most some that cost nothing.
                prop_assert_eq!(choice.selection().weight(), items[forced].weight);
            }
        }
    }
}

#[test]
fn golden_groups_of_a_network_are_chosen_as_well_as_can_be() {
    let Some(file) = file("knapsack.json") else { return };
    let Some(cases) = section(&file, "cases") else { return };
    let mut n = 0;
    for case in cases.iter().filter(|case| case["group_names"].is_array()) {
        let weights = case["weights"].as_array().unwrap().iter().map(|w| w.as_u64().unwrap());
        let names = case["group_names"].as_array().unwrap().iter();
        let items: Vec<Item> = names
            .zip(numbers(&case["values"]).into_iter().zip(weights))
            .map(|(name, (value, weight))| Item {
                name: name.as_str().unwrap().into(),
                value,
                weight,
            })
            .collect();
        for point in case["budgets"].as_array().unwrap() {
            let budget = point["budget"].as_u64().unwrap();
            let optimum =
                (point["optimum"].as_f64().unwrap(), point["optimum_weight"].as_u64().unwrap());
            match Chooser::within(budget).choose(&items) {
                Ok(choice) => {
                    let selection = choice.selection();
                    assert_eq!((selection.value(), selection.weight()), optimum, "{budget}");
                }
                Err(Error::NothingFits { .. }) => assert_eq!(optimum, (0.0, 0)),
                Err(other) => panic!("{other}"),
            }
            n += 1;
        }
    }
    assert!(0 < n);
}
