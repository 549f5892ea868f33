//! An epsilon with the circumstances under which it holds, in words and as JSON.

use dp_core::{Accountant, Delta, DpEvent, EpsilonBound, PldMethod};
use report::number::significant;
use serde_json::{Value, json};

use super::flags::Chosen;
use super::spec::{Relation, Run};
use crate::error::Result;

/// An answer of the chosen accountant.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) epsilon: EpsilonBound,
    accountant: &'static str,
    /// How it was found, where that is worth saying.
    method: Option<String>,
    /// The width that was wanted of a bracket, and reached or not.
    tolerance: Option<f64>,
}

impl Answer {
    pub(super) fn of(chosen: &Chosen, event: &DpEvent, delta: Delta) -> Result<Self> {
        let accountant = chosen.as_dyn().name();
        Ok(match chosen {
            Chosen::Pld(pld) => {
                let found = pld.optimize(event, delta)?;
                let epsilon = EpsilonBound::Bracket { lower: found.lower, upper: found.upper };
                let method = Some(method_words(found.method));
                Answer { epsilon, accountant, method, tolerance: Some(found.tolerance) }
            }
            Chosen::Rdp(rdp) => {
                let found = rdp.optimize(event, delta)?;
                let epsilon = EpsilonBound::Upper(found.epsilon);
                let order = found.order.map(|order| format!("order {order:.4}"));
                Answer { epsilon, accountant, method: order, tolerance: None }
            }
            Chosen::CentralLimit(limit) => {
                let epsilon = limit.epsilon(event, delta)?;
                Answer { epsilon, accountant, method: None, tolerance: None }
            }
        })
    }

    /// The number that is never below the truth, rounded towards safety; for an estimate, the estimate.
    pub(super) fn upper(&self) -> f64 {
        safe(self.epsilon.value())
    }

    pub(super) fn lower(&self) -> Option<f64> {
        match self.epsilon {
            EpsilonBound::Bracket { lower, .. } => Some(lower),
            _ => None,
        }
    }

    /// The accountant in words.
    pub(super) fn accountant_words(&self) -> String {
        match &self.method {
            Some(method) => format!("{}: {method}", self.accountant),
            None => self.accountant.to_owned(),
        }
    }

    pub(super) fn json(&self) -> Value {
        let kind = match self.epsilon {
            EpsilonBound::Upper(_) => "upper bound",
            EpsilonBound::Bracket { .. } => "bracket",
            EpsilonBound::Estimate(_) => "estimate",
        };
        let mut all = json!({ "kind": kind, "accountant": self.accountant, "method": self.method });
        if let EpsilonBound::Estimate(value) = self.epsilon {
            all["estimate"] = number(value);
        } else {
            all["upper"] = number(self.upper());
        }
        if let Some(lower) = self.lower() {
            all["lower"] = number(lower);
            all["wanted_width"] = json!(self.tolerance);
        }
        all
    }

    /// Sentences about what a user may not have meant or expected.
    pub(super) fn notes(&self, run: &Run, delta: Delta) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(n) = run.samples
            && 1.0 <= delta.get() * n as f64
        {
            notes.push(format!(
                "delta {:e} is not below 1/{n}: publishing one record in full would pass",
                delta.get()
            ));
        }
        if self.epsilon.value().is_infinite() {
            notes.push(why_infinite(delta).into());
        }
        if let (EpsilonBound::Bracket { lower, upper }, Some(tolerance)) =
            (self.epsilon, self.tolerance)
            && tolerance < upper - lower
        {
            notes.push(format!(
                "the bracket is {:.2e} wide, {tolerance:.2e} was wanted; both ends hold",
                upper - lower
            ));
        }
        if let EpsilonBound::Estimate(_) = self.epsilon {
            notes.push("an estimate is no guarantee: the true epsilon may be larger".into());
        }
        notes
    }
}

/// Why there is no finite epsilon.
pub(super) fn why_infinite(delta: Delta) -> &'static str {
    if delta.get() <= 0.0 {
        "Gaussian noise gives no finite epsilon at delta 0"
    } else {
        "without noise there is no guarantee"
    }
}

/// Rounded up by what the rounding of special functions may have taken.
pub(super) fn safe(epsilon: f64) -> f64 {
    epsilon * (1.0 + 1e-9)
}

/// To some significant digits, never below the number.
pub(super) fn at_most(x: f64, digits: i32) -> String {
    directed(x, digits, 1.0)
}

/// The same, never above it.
pub(super) fn at_least(x: f64, digits: i32) -> String {
    directed(x, digits, -1.0)
}

fn directed(x: f64, digits: i32, sign: f64) -> String {
    let plain = |x: f64| significant(x, usize::try_from(digits).unwrap_or(1));
    let text = plain(x);
    let is_off = text.parse::<f64>().is_ok_and(|shown| shown * sign < x * sign);
    if !is_off {
        return text;
    }
    #[allow(clippy::cast_possible_truncation, reason = "an exponent of ten")]
    let exponent = x.abs().log10().floor() as i32 - digits + 1;
    plain(x + sign * 10f64.powi(exponent))
}

/// A number as JSON, which has no infinite ones.
pub(super) fn number(value: f64) -> Value {
    if value.is_infinite() { json!("infinite") } else { json!(value) }
}

fn method_words(method: PldMethod) -> String {
    match method {
        PldMethod::Exact => "a closed form".into(),
        PldMethod::Grid { interval, n_points, add_dominates, .. } => {
            let larger = if add_dominates { "adding" } else { "removing" };
            format!("{n_points} losses, {interval:.2e} apart; {larger} a record costs more")
        }
        _ => "the bound of Renyi divergences was the lower one".into(),
    }
}

/// The relation in words.
pub(super) fn relation_words(run: &Run) -> &'static str {
    match (run.relation, run.shuffled) {
        (Relation::AddOrRemove, false) => "add or remove one record",
        (Relation::AddOrRemove, true) => {
            "add or remove one record; batches need not be Poisson samples, so there is no credit for sampling"
        }
        (Relation::Replace, _) => {
            "replace one record: sensitivity twice the clip norm, no credit for sampling"
        }
    }
}

/// The run in names and words.
pub(super) fn run_lines(run: &Run, delta: Delta) -> Vec<(String, String)> {
    let several = 1 < run.parts.len();
    let mut lines: Vec<(String, String)> = run
        .parts
        .iter()
        .enumerate()
        .map(|(i, part)| {
            let name = if several { format!("phase {}", i + 1) } else { "run".into() };
            let times =
                if part.count == 1 { "once".into() } else { format!("{} times", part.count) };
            (name, format!("{times}: {}", run.described(&part.event)))
        })
        .collect();
    lines.extend(run.reading().map(|reading| ("counted".into(), reading)));
    lines.push(("relation".into(), relation_words(run).into()));
    lines.push(("delta".into(), format!("{:e}", delta.get())));
    lines
}

/// The run as JSON.
pub(super) fn run_json(run: &Run, delta: Delta) -> Value {
    json!({
        "samples": run.samples,
        "relation": match run.relation {
            Relation::AddOrRemove => "add-or-remove",
            Relation::Replace => "replace",
        },
        "credit_for_sampling": run.takes_credit(),
        "delta": delta.get(),
        "steps": run.steps(),
        "batches_with_a_record": run.visits(),
        "reading": run.reading(),
        "event": run.described(&run.event()),
        "in_words": run.described(&run.event()).to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_bounds_are_rounded_away_from_the_truth() {
        assert_eq!(at_most(1.23454, 4), "1.235");
        assert_eq!(at_least(1.23456, 4), "1.234");
        assert_eq!(at_most(2.0, 4), "2.000");
        assert_eq!(at_most(9.9999, 3), "10.0");
        assert_eq!(at_most(0.0, 3), "0");
        assert_eq!(at_most(f64::INFINITY, 3), "inf");
        assert_eq!(at_least(1.23e-7, 2), "1.2e-7");
        assert_eq!(at_most(1.23e-7, 2), "1.3e-7");
    }
}
