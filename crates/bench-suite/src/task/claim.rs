//! A claim with what was measured, and the verdict that follows from it.

use report::html::Section;
use report::number::significant;
use report::table::{Align, Table};

/// How verdicts come about.
pub(super) const RULE: &str = "Each claim is split in checks, and each check is a mean over seeds with its standard error. \
    `Smaller` holds if the mean of the paired differences is below zero by more than two standard errors; `not larger` if it \
    is above zero by at most two; `larger` the other way round; `near` if it is within two standard errors or the stated \
    allowance of the prediction; `at most` if the mean itself is. A claim holds if all its checks hold, holds partly if some do, and is not seen here if none \
    does. No verdict is typed in.";

/// What a check asks of the mean of its values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Asks {
    /// Below zero by more than two standard errors.
    Smaller,
    /// At most two standard errors above zero.
    NotLarger,
    /// Above the number by more than two standard errors.
    LargerThan(f64),
    /// At most the number, for goals that are set for the mean itself.
    AtMost(f64),
    /// Within two standard errors or the allowance of the number.
    Near(f64, f64),
}

/// One check of a claim.
#[derive(Clone, Debug)]
pub(super) struct Check {
    pub(super) what: String,
    pub(super) asks: Asks,
    pub(super) values: Vec<f64>,
}

/// A claim with its checks.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) published: &'static str,
    pub(super) miniature: String,
    pub(super) command: &'static str,
    pub(super) seeds: String,
    pub(super) checks: Vec<Check>,
}

/// Mean and its standard error; no error for one value.
pub(super) fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    let error = if values.len() < 2 { 0.0 } else { (squares / (n - 1.0) / n).sqrt() };
    (mean, error)
}

impl Check {
    pub(super) fn holds(&self) -> bool {
        let (mean, error) = mean_and_error(&self.values);
        match self.asks {
            Asks::Smaller => mean + 2.0 * error < 0.0,
            Asks::NotLarger => mean <= 2.0 * error,
            Asks::LargerThan(bound) => bound < mean - 2.0 * error,
            Asks::AtMost(bound) => mean <= bound,
            Asks::Near(target, allowance) => (mean - target).abs() <= (2.0 * error).max(allowance),
        }
    }

    fn asks(&self) -> String {
        match self.asks {
            Asks::Smaller => "smaller than 0".into(),
            Asks::NotLarger => "not larger than 0".into(),
            Asks::LargerThan(bound) => format!("larger than {}", significant(bound, 3)),
            Asks::AtMost(bound) => format!("at most {}", significant(bound, 3)),
            Asks::Near(target, allowance) => {
                format!("near {}, allowed {}", significant(target, 3), significant(allowance, 2))
            }
        }
    }
}

impl Claim {
    pub(super) fn verdict(&self) -> &'static str {
        let n = self.checks.iter().filter(|check| check.holds()).count();
        match n {
            0 => "not seen here",
            n if n == self.checks.len() => "holds",
            _ => "holds partly",
        }
    }

    /// The card.
    pub(super) fn section(&self) -> Section {
        let mut table = Table::new(["check", "asked", "mean", "standard error", "seeds", "holds"]);
        for column in 2..5 {
            table = table.align(column, Align::Right);
        }
        for check in &self.checks {
            let (mean, error) = mean_and_error(&check.values);
            table.push_row([
                check.what.clone(),
                check.asks(),
                significant(mean, 3),
                significant(error, 2),
                check.values.len().to_string(),
                (if check.holds() { "yes" } else { "no" }).into(),
            ]);
        }
        Section::new(format!("Claim: {}", self.published))
            .key_values([
                ("our miniature", self.miniature.as_str()),
                ("command", self.command),
                ("seeds", &self.seeds),
                ("verdict", self.verdict()),
            ])
            .table(&table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(asks: Asks, values: &[f64]) -> Check {
        Check { what: String::new(), asks, values: values.to_vec() }
    }

    #[test]
    fn verdicts_follow_from_the_checks() {
        // Mean -0.2, standard error 0.0577; and mean 0.1 with 0.0577.
        let (low, high) = ([-0.3, -0.2, -0.1], [0.0, 0.1, 0.2]);
        assert!(check(Asks::Smaller, &low).holds() && !check(Asks::Smaller, &high).holds());
        assert!(check(Asks::NotLarger, &high).holds());
        assert!(!check(Asks::NotLarger, &[0.1, 0.1, 0.1]).holds());
        assert!(check(Asks::LargerThan(-0.4), &low).holds());
        assert!(!check(Asks::LargerThan(-0.3), &low).holds());
        assert!(
            check(Asks::AtMost(0.11), &high).holds() && !check(Asks::AtMost(0.09), &high).holds()
        );
        assert!(!check(Asks::AtMost(1.0), &[0.0, f64::NAN]).holds());
        assert!(check(Asks::Near(0.0, 0.0), &high).holds());
        assert!(!check(Asks::Near(-0.1, 0.1), &high).holds());
        assert!(check(Asks::Near(-0.1, 0.3), &high).holds());
        let claim = |checks| Claim {
            published: "",
            miniature: String::new(),
            command: "",
            seeds: String::new(),
            checks,
        };
        let (yes, no) = (check(Asks::Smaller, &low), check(Asks::Smaller, &high));
        assert_eq!(claim(vec![yes.clone(), yes.clone()]).verdict(), "holds");
        assert_eq!(claim(vec![yes, no.clone()]).verdict(), "holds partly");
        assert_eq!(claim(vec![no]).verdict(), "not seen here");
    }
}
