//! The stored form of a ledger: a header, then one value per phase and mark. Version 1 stays readable.

use serde_json::{Map, Value, json};

use super::{Charge, Ledger, Mark};
use crate::event::encoding as events;
use crate::{Error, NeighboringRelation, Result, UnitOfPrivacy};

const FORMAT: &str = "dp-core ledger";
const VERSION: u64 = 1;

/// Everything in its shortest form.
pub(crate) fn lines(ledger: &Ledger) -> Vec<Value> {
    let mut lines = vec![json!({
        "format": FORMAT,
        "version": VERSION,
        "relation": relation_name(ledger.relation),
        "unit": ledger.unit.as_str(),
    })];
    lines.extend((0..ledger.phases.len()).map(|at| new_phase(ledger, at)));
    lines.extend(ledger.marks.iter().map(mark));
    lines
}

/// A phase that the reader has not seen yet.
pub(crate) fn new_phase(ledger: &Ledger, at: usize) -> Value {
    let phase = &ledger.phases[at];
    json!({ "phase": at, "count": phase.count, "event": events::to_value(&phase.event) })
}

/// The new total of a known phase: all its charges up to and including this one.
pub(crate) fn known_phase(ledger: &Ledger, at: usize) -> Value {
    json!({ "phase": at, "count": ledger.phases[at].count })
}

pub(crate) fn mark(mark: &Mark) -> Value {
    match mark {
        Mark::SeededNoise => json!({ "mark": "seeded_noise" }),
        Mark::UnsampledBatches => json!({ "mark": "unsampled_batches" }),
        Mark::DiagnosticsReleased => json!({ "mark": "diagnostics_released" }),
        Mark::NotValidated => json!({ "mark": "not_validated" }),
        Mark::Custom(reason) => json!({ "mark": "custom", "reason": reason }),
    }
}

/// Folds values into a ledger, one at a time.
#[derive(Default)]
pub(crate) struct Reader(Option<Ledger>);

impl Reader {
    pub(crate) fn read(&mut self, value: &Value) -> Result<()> {
        let fields = value.as_object().ok_or_else(|| malformed("expected an object"))?;
        let Some(ledger) = &mut self.0 else {
            self.0 = Some(header(fields)?);
            return Ok(());
        };
        if fields.contains_key("mark") {
            return ledger.mark(read_mark(fields)?);
        }
        keys(fields, &["phase", "count", "event"])?;
        let at = whole(fields, "phase")?;
        let count = whole(fields, "count")?;
        let n_phases = ledger.phases.len() as u64;
        match fields.get("event") {
            Some(event) if at == n_phases => {
                let event = events::from_value(event)?;
                if ledger.index.contains_key(&event) {
                    return Err(malformed("a phase is defined twice"));
                }
                if count == 0 {
                    return Err(malformed("a phase without charges"));
                }
                ledger.add(&event, count)
            }
            Some(_) => Err(malformed(format!("phase {at} is defined out of order"))),
            None => {
                let phase = usize::try_from(at).ok().and_then(|at| ledger.phases.get_mut(at));
                let phase = phase.ok_or_else(|| malformed(format!("unknown phase {at}")))?;
                if count <= phase.count {
                    return Err(malformed(format!(
                        "the count of phase {at} goes from {} to {count}",
                        phase.count
                    )));
                }
                phase.count = count;
                Ok(())
            }
        }
    }

    pub(crate) fn finish(self) -> Result<Ledger> {
        self.0.ok_or_else(|| malformed("the header is missing"))
    }
}

fn header(fields: &Map<String, Value>) -> Result<Ledger> {
    if fields.get("format").and_then(Value::as_str) != Some(FORMAT) {
        return Err(malformed(format!("expected format `{FORMAT}`")));
    }
    let version = whole(fields, "version")?;
    if version != VERSION {
        return Err(malformed(format!("expected version {VERSION}, got {version}")));
    }
    keys(fields, &["format", "version", "relation", "unit"])?;
    let relation = match text(fields, "relation")? {
        "add_or_remove_one" => NeighboringRelation::AddOrRemoveOne,
        "replace_one" => NeighboringRelation::ReplaceOne,
        other => return Err(malformed(format!("unknown relation `{other}`"))),
    };
    Ok(Ledger::new(relation, UnitOfPrivacy::new(text(fields, "unit")?)?))
}

fn relation_name(relation: NeighboringRelation) -> &'static str {
    match relation {
        NeighboringRelation::AddOrRemoveOne => "add_or_remove_one",
        NeighboringRelation::ReplaceOne => "replace_one",
    }
}

fn read_mark(fields: &Map<String, Value>) -> Result<Mark> {
    let kind = text(fields, "mark")?;
    if kind == "custom" {
        keys(fields, &["mark", "reason"])?;
        return Ok(Mark::Custom(text(fields, "reason")?.to_owned()));
    }
    keys(fields, &["mark"])?;
    match kind {
        "seeded_noise" => Ok(Mark::SeededNoise),
        "unsampled_batches" => Ok(Mark::UnsampledBatches),
        "diagnostics_released" => Ok(Mark::DiagnosticsReleased),
        "not_validated" => Ok(Mark::NotValidated),
        other => Err(malformed(format!("unknown mark `{other}`"))),
    }
}

fn keys(fields: &Map<String, Value>, known: &[&str]) -> Result<()> {
    match fields.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(malformed(format!("unexpected key `{key}`"))),
        None => Ok(()),
    }
}

fn whole(fields: &Map<String, Value>, key: &str) -> Result<u64> {
    let value = fields.get(key).and_then(Value::as_u64);
    value.ok_or_else(|| malformed(format!("`{key}` must be a whole number")))
}

fn text<'a>(fields: &'a Map<String, Value>, key: &str) -> Result<&'a str> {
    let value = fields.get(key).and_then(Value::as_str);
    value.ok_or_else(|| malformed(format!("`{key}` must be text")))
}

fn malformed(why: impl Into<String>) -> Error {
    Error::Malformed { what: "ledger", why: why.into() }
}
