//! Every row of `knapsack.json`. Values there are multiples of 1/1024, so sums are exact and so are comparisons.

use hessian_lr::select::{BranchAndBound, FrontPoint, Knapsack, SearchEnd, Subset};
use report::golden::{array, number, numbers, section, text};
use serde_json::Value;

use super::file;

fn integers(case: &Value, name: &str) -> Vec<u64> {
    array(&case[name]).iter().map(|v| v.as_u64().unwrap()).collect()
}

fn indices(case: &Value) -> Vec<usize> {
    integers(case, "items").into_iter().map(|i| i as usize).collect()
}

fn point(case: &Value) -> (u64, f64) {
    (case["weight"].as_u64().unwrap(), number(case, "/value"))
}

fn pairs(points: impl IntoIterator<Item = FrontPoint>) -> Vec<(u64, f64)> {
    points.into_iter().map(|point| (point.weight, point.value)).collect()
}

/// The cases, with their items.
fn each_case(mut check: impl FnMut(&str, &Value, &Knapsack)) {
    let Some(file) = file("knapsack.json") else { return };
    assert_eq!(text(&file, "/format"), "knapsack/1");
    let Some(cases) = section(&file, "cases") else { return };
    assert!(!cases.is_empty());
    for case in cases {
        let (values, weights) = (numbers(&case["values"]), integers(case, "weights"));
        check(text(case, "/name"), case, &Knapsack::new(&values, &weights).unwrap());
    }
}

/// That `subset` adds up to what it says.
fn adds_up(name: &str, knapsack: &Knapsack, subset: &Subset) {
    let value: f64 = subset.items.iter().map(|i| knapsack.values()[*i]).sum();
    let weight: u64 = subset.items.iter().map(|i| knapsack.weights()[*i]).sum();
    assert_eq!((subset.weight, subset.value), (weight, value), "{name}: {:?}", subset.items);
}

#[test]
fn golden_order_and_prefixes() {
    each_case(|name, case, knapsack| {
        let order: Vec<u64> = knapsack.order().iter().map(|i| *i as u64).collect();
        assert_eq!(order, integers(case, "order"), "{name}");
        let Some(prefixes) = section(case, "greedy_prefixes") else { return };
        let got = knapsack.greedy_prefixes();
        assert_eq!(got.points().len(), prefixes.len(), "{name}");
        for (k, want) in prefixes.iter().enumerate() {
            let got = got.subset(k).unwrap();
            adds_up(name, knapsack, &got);
            assert_eq!((got.weight, got.value), point(want), "{name}, prefix {k}");
            assert_eq!(got.items, indices(want), "{name}, prefix {k}");
        }
    });
}

#[test]
fn golden_front_and_hull() {
    each_case(|name, case, knapsack| {
        let front = knapsack.pareto_front().unwrap();
        if let Some(want) = section(case, "pareto") {
            let points: Vec<_> = want.iter().map(point).collect();
            assert_eq!(pairs(front.points()), points, "{name}");
            for (k, want) in want.iter().enumerate() {
                let got = front.subset(k).unwrap();
                adds_up(name, knapsack, &got);
                assert_eq!((got.weight, got.value), point(want), "{name}, point {k}");
                // The witness is any set of this value and weight; ours comes first among them.
                assert!(got.items <= indices(want), "{name}, point {k}: {:?}", got.items);
            }
        }
        if let Some(want) = section(case, "hull") {
            assert_eq!(pairs(front.hull()), want.iter().map(point).collect::<Vec<_>>(), "{name}");
        }
    });
}

#[test]
fn golden_budgets() {
    each_case(|name, case, knapsack| {
        let Some(rows) = section(case, "budgets") else { return };
        let front = knapsack.pareto_front().unwrap();
        for row in rows {
            let budget = row["budget"].as_u64().unwrap();
            let name = format!("{name}, budget {budget}");
            let optimum = number(row, "/optimum");
            let want = (row["optimum_weight"].as_u64().unwrap(), optimum);
            let found = knapsack.branch_and_bound(budget, &BranchAndBound::default()).unwrap();
            assert_eq!((found.end, found.bound), (SearchEnd::GapReached, optimum), "{name}");
            let mut exact = vec![
                ("front", front.best_within(budget).unwrap()),
                ("exact", knapsack.solve_exact(budget).unwrap()),
                ("branch and bound", found.best),
                ("reaching", knapsack.solve_reaching(optimum).unwrap()),
            ];
            if budget <= 100_000 {
                exact.push(("table", knapsack.solve_dp(budget, 1).unwrap()));
            }
            for (solver, got) in exact {
                adds_up(&name, knapsack, &got);
                assert_eq!((got.weight, got.value), want, "{name}, {solver}");
                let first = got.items <= indices(row);
                assert!(first || solver == "branch and bound", "{name}, {solver}: {:?}", got.items);
            }
            for (rule, got) in [
                ("greedy_fill", knapsack.greedy_fill(budget).unwrap()),
                ("greedy_stop", knapsack.greedy_stop(budget).unwrap()),
            ] {
                adds_up(&name, knapsack, &got);
                assert_eq!((got.weight, got.value), point(&row[rule]), "{name}, {rule}");
                assert_eq!(got.items, indices(&row[rule]), "{name}, {rule}");
            }
            let (got, want) = (knapsack.lp_bound(budget).unwrap(), number(row, "/lp_bound"));
            assert!((got - want).abs() <= 1e-12 * want, "{name}: bound {got}, expected {want}");
        }
    });
}
