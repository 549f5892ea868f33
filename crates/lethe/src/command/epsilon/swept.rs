//! A run of which one number changes, described by what is given of it.

use dp_core::Delta;
use serde_json::{Map, Value, json};

use super::account::{run_json, run_lines};
use super::phase::Part;
use super::spec::{Run, RunSpec};
use super::visits::Visits;

/// The run in names and words, and as JSON.
pub(super) struct Swept {
    pub(super) lines: Vec<(String, String)>,
    pub(super) json: Value,
}

impl Swept {
    /// All of it is given.
    pub(super) fn of(run: &Run, delta: Delta) -> Self {
        Swept { lines: run_lines(run, delta), json: run_json(run, delta) }
    }

    /// All but delta, which changes.
    pub(super) fn over_delta(run: &Run, delta: Delta) -> Self {
        let mut all = Self::of(run, delta);
        all.drop("delta");
        all
    }

    /// All but noise or rate, which changes between two numbers. The run is that at one place: events, steps and words of it hold
    /// nowhere else.
    pub(super) fn over(
        name: &str,
        (from, to): (&str, &str),
        given: &RunSpec,
        run: &Run,
        delta: Delta,
    ) -> Self {
        let mut all = Self::of(run, delta);
        for of_one_place in ["run", "event", "in_words", "steps"] {
            all.drop(of_one_place);
        }
        let by_size = |part: &Part| part.visits != Visits::Every && given.epochs.is_none();
        if name == "rate" && run.parts.iter().any(by_size) {
            for of_one_place in ["counted", "reading", "batches_with_a_record"] {
                all.drop(of_one_place);
            }
            let words = "a record is in one batch of each epoch; larger batches make more epochs";
            all.lines.insert(0, ("counted".to_owned(), words.to_owned()));
            all.json["reading"] = json!(words);
        }
        let numbers = [
            ("rate", given.rate),
            ("batch", given.batch),
            ("noise", given.noise),
            ("laplace", given.laplace),
            ("steps", given.steps),
            ("epochs", given.epochs),
        ];
        let mut lines = vec![(name.to_owned(), format!("from {from} to {to}"))];
        let mut fields = Map::new();
        for (name, value) in numbers {
            let Some(value) = value else { continue };
            lines.push((name.to_owned(), value.to_string()));
            fields.insert(name.to_owned(), json!(value));
        }
        if !given.joint.is_empty() {
            let words: Vec<String> = given.joint.iter().map(f64::to_string).collect();
            lines.push(("joint".to_owned(), words.join(", ")));
            fields.insert("joint".to_owned(), json!(given.joint));
        }
        if let (Some(samples), Some(_)) = (run.samples, given.batch) {
            lines.push(("samples".to_owned(), samples.to_string()));
        }
        all.lines.splice(0..0, lines);
        if let Value::Object(all) = &mut all.json {
            all.extend(fields);
        }
        all
    }

    fn drop(&mut self, name: &str) {
        self.lines.retain(|(other, _)| other != name);
        if let Value::Object(all) = &mut self.json {
            all.remove(name);
        }
    }
}
