//! The knapsack: exact, greedy, and against brute force.

mod choices;
mod edges;
mod properties;

use std::ops::RangeInclusive;

use hessian_lr::select::{Knapsack, Subset};
use proptest::prelude::*;

/// Values and weights of some items.
type Items = (Vec<f64>, Vec<u64>);

/// Multiples of 1/8, whose sums are exact, often equal; some of no use. Small weights, often equal or zero.
fn exact_items(n: RangeInclusive<usize>) -> impl Strategy<Value = Items> {
    let value = prop_oneof![
        12 => (1i16..80).prop_map(|v| f64::from(v) / 8.0),
        1 => Just(0.0),
        1 => Just(-2.5),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(f64::NEG_INFINITY),
    ];
    let weight = prop_oneof![1 => Just(0), 6 => 1u64..12, 6 => 1u64..100];
    prop::collection::vec((value, weight), n).prop_map(|items| items.into_iter().unzip())
}

/// Positive values of very different sizes, weights of very different sizes, some proportional to their values.
fn real_items(n: RangeInclusive<usize>) -> impl Strategy<Value = Items> {
    let item = (-6.0..6.0f64, 0.0..7.0f64, 0u8..4);
    prop::collection::vec(item, n).prop_map(|items| {
        let item = |(value, weight, kind): (f64, f64, u8)| {
            let weight = weight.exp().round();
            let value = if kind == 0 { 0.7 * weight } else { value.exp() };
            (value, weight as u64)
        };
        items.into_iter().map(item).unzip()
    })
}

fn knapsack((values, weights): &Items) -> Knapsack {
    Knapsack::new(values, weights).unwrap()
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-12 * a.abs().max(b.abs())
}

/// All sets that contain the forced items and otherwise only useful ones, with values added from the last to the first.
fn all_sets((values, weights): &Items, forced: &[usize]) -> Vec<Subset> {
    let useful = |i: usize| values[i].is_finite() && 0.0 < values[i];
    let mut sets = vec![Subset::default()];
    for i in (0..values.len()).rev() {
        let with = |set: &Subset| Subset {
            items: [&[i], &set.items[..]].concat(),
            value: set.value + if useful(i) { values[i] } else { 0.0 },
            weight: set.weight + weights[i],
        };
        if forced.contains(&i) {
            sets = sets.iter().map(with).collect();
        } else if useful(i) {
            let more: Vec<Subset> = sets.iter().map(with).collect();
            sets.extend(more);
        }
    }
    sets
}

/// The best of `sets` within `budget`, by the rules for ties.
fn best(sets: &[Subset], budget: u64) -> Option<&Subset> {
    let fits = sets.iter().filter(|set| set.weight <= budget);
    fits.min_by(|a, b| {
        let by_value = b.value.total_cmp(&a.value);
        by_value.then(a.weight.cmp(&b.weight)).then(a.items.cmp(&b.items))
    })
}

/// The lightest of `sets` that reaches `required`, by the rules for ties.
fn lightest(sets: &[Subset], required: f64) -> Option<&Subset> {
    let enough = sets.iter().filter(|set| required <= set.value);
    enough.min_by(|a, b| {
        let by_weight = a.weight.cmp(&b.weight);
        by_weight.then(b.value.total_cmp(&a.value)).then(a.items.cmp(&b.items))
    })
}
