//! Files of golden values. Their folder is `GOLDEN_DIR` if set, else the repository's own.

use serde_json::Value;

mod fits;
mod knapsack;
mod logistic;
mod quadratics;
mod traces;

/// The parsed file of the folder of golden values; none if it is not there.
pub(crate) fn file(name: &str) -> Option<Value> {
    report::golden::file(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/golden"), name)
}

/// A number, where what is not finite is text; none if it is null.
pub(crate) fn optional(value: &Value) -> Option<f64> {
    match value {
        Value::Null => None,
        Value::Number(number) => number.as_f64(),
        Value::String(text) => Some(match text.as_str() {
            "NaN" => f64::NAN,
            "Infinity" => f64::INFINITY,
            "-Infinity" => f64::NEG_INFINITY,
            _ => panic!("`{text}` is not a number"),
        }),
        other => panic!("{other} is not a number"),
    }
}

pub(crate) fn number(value: &Value) -> f64 {
    optional(value).expect("a number")
}

pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(number).collect()
}

pub(crate) fn rows(value: &Value) -> Vec<Vec<f64>> {
    value.as_array().expect("a list of lists").iter().map(numbers).collect()
}

pub(crate) fn close(got: f64, want: f64, relative: f64, what: &str) {
    let bound = relative * want.abs().max(1e-12);
    assert!((got - want).abs() <= bound, "{what}: {got} and {want}");
}

/// A point, and a direction whose groups move at rates of their own.
pub(crate) struct Line {
    w: Vec<f64>,
    direction: Vec<f64>,
    groups: Vec<Vec<usize>>,
}

impl Line {
    pub(crate) fn of(value: &Value) -> Self {
        Line {
            w: numbers(&value["w"]),
            direction: numbers(&value["direction"]),
            groups: positions(&value["groups"]),
        }
    }

    /// `w - sum_k rate_k d_k`.
    pub(crate) fn at(&self, rates: &[f64]) -> Vec<f64> {
        let mut w = self.w.clone();
        for (group, rate) in self.groups.iter().zip(rates) {
            group.iter().for_each(|i| w[*i] -= rate * self.direction[*i]);
        }
        w
    }
}

/// Lists of positions.
fn positions(value: &Value) -> Vec<Vec<usize>> {
    let list = |v: &Value| -> Vec<usize> {
        v.as_array()
            .expect("a list")
            .iter()
            .map(|i| i.as_u64().expect("a position") as usize)
            .collect()
    };
    value.as_array().expect("a list of lists").iter().map(list).collect()
}
