//! Golden values of the metrics and scores. Their folder is `GOLDEN_DIR` if set, else the repository's own.

use report::golden;
use serde_json::Value;

mod attacks;
#[cfg(feature = "tensor")]
mod directions;
mod preferences;
mod rates;
mod rouge;
mod samples;
mod scores;
mod tokens;
mod whp;

/// Tolerances are absolute, and stand in the file.
pub(crate) struct Golden(Value);

impl Golden {
    pub(crate) fn read() -> Option<Self> {
        let own = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/golden");
        let file = golden::file(own, "unlearning_metrics.json")?;
        assert_eq!(golden::count(&file, "/format"), 1);
        Some(Golden(file))
    }

    pub(crate) fn section(&self, name: &str) -> Option<&[Value]> {
        let cases = golden::section(&self.0, name)?;
        assert!(!cases.is_empty(), "section `{name}` is empty");
        Some(cases)
    }

    /// A section that is no list.
    pub(crate) fn part(&self, name: &str) -> Option<&Value> {
        golden::part(&self.0, name)
    }

    pub(crate) fn tolerance(&self, name: &str) -> f64 {
        let tolerance = golden::number(&self.0, &format!("/tolerance/{name}"));
        assert!(0.0 < tolerance && tolerance < 0.01, "{name}: {tolerance}");
        tolerance
    }
}

pub(crate) fn close(got: f64, want: f64, absolute: f64, what: &str) {
    assert!((got - want).abs() <= absolute, "{what}: {got} and {want}");
}

/// A number, or none where the file says that there is none.
pub(crate) fn defined(value: &Value) -> Option<f64> {
    if value == "nan" { None } else { Some(golden::number(value, "")) }
}

/// The numbers of a list; infinite ones are texts.
pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    golden::array(value).iter().map(|value| golden::number(value, "")).collect()
}

/// The lists of a list.
pub(crate) fn rows(value: &Value) -> Vec<Vec<f64>> {
    golden::array(value).iter().map(numbers).collect()
}
