//! The stored form of events. It is a promise: version 1 stays readable.

use serde_json::{Map, Value, json};

use crate::{DpEvent, Error, Result};

pub(crate) const VERSION: u64 = 1;

/// An event on its own, with the version of its form.
#[cfg_attr(not(feature = "serde"), allow(dead_code, reason = "used by serde's impls and tests"))]
pub(crate) fn versioned(event: &DpEvent) -> Value {
    json!({ "version": VERSION, "event": to_value(event) })
}

/// The inverse of [`versioned`].
#[cfg_attr(not(feature = "serde"), allow(dead_code, reason = "used by serde's impls and tests"))]
pub(crate) fn from_versioned(value: &Value) -> Result<DpEvent> {
    let fields = object(value, &["version", "event"])?;
    if fields.get("version").and_then(Value::as_u64) != Some(VERSION) {
        return Err(malformed(format!("expected version {VERSION}")));
    }
    from_value(field(fields, "event")?)
}

/// An event inside something that carries the version.
pub(crate) fn to_value(event: &DpEvent) -> Value {
    match event {
        DpEvent::NoOp => json!({ "kind": "no_op" }),
        DpEvent::NonPrivate => json!({ "kind": "non_private" }),
        DpEvent::Gaussian { noise_multiplier } => {
            json!({ "kind": "gaussian", "noise_multiplier": noise_multiplier.get() })
        }
        DpEvent::Laplace { scale } => json!({ "kind": "laplace", "scale": scale.get() }),
        DpEvent::PoissonSampled { rate, event } => {
            json!({ "kind": "poisson_sampled", "rate": rate.get(), "event": to_value(event) })
        }
        DpEvent::Composed(events) => {
            json!({ "kind": "composed", "events": events.iter().map(to_value).collect::<Vec<_>>() })
        }
        DpEvent::Repeated { event, count } => {
            json!({ "kind": "repeated", "count": count, "event": to_value(event) })
        }
    }
}

/// The inverse of [`to_value`]; a key too many is an error.
pub(crate) fn from_value(value: &Value) -> Result<DpEvent> {
    let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default();
    match kind {
        "no_op" => object(value, &["kind"]).map(|_| DpEvent::NoOp),
        "non_private" => object(value, &["kind"]).map(|_| DpEvent::NonPrivate),
        "gaussian" => DpEvent::gaussian(number(
            object(value, &["kind", "noise_multiplier"])?,
            "noise_multiplier",
        )?),
        "laplace" => DpEvent::laplace(number(object(value, &["kind", "scale"])?, "scale")?),
        "poisson_sampled" => {
            let fields = object(value, &["kind", "rate", "event"])?;
            from_value(field(fields, "event")?)?.sampled(number(fields, "rate")?)
        }
        "composed" => {
            let events = field(object(value, &["kind", "events"])?, "events")?.as_array();
            let events = events.ok_or_else(|| malformed("`events` must be a list"))?;
            Ok(DpEvent::Composed(events.iter().map(from_value).collect::<Result<_>>()?))
        }
        "repeated" => {
            let fields = object(value, &["kind", "count", "event"])?;
            let count = field(fields, "count")?.as_u64();
            let count = count.ok_or_else(|| malformed("`count` must be a whole number"))?;
            Ok(from_value(field(fields, "event")?)?.repeated(count))
        }
        unknown => Err(malformed(format!("unknown kind `{unknown}`"))),
    }
}

fn object<'a>(value: &'a Value, keys: &[&str]) -> Result<&'a Map<String, Value>> {
    let fields = value.as_object().ok_or_else(|| malformed("expected an object"))?;
    match fields.keys().find(|key| !keys.contains(&key.as_str())) {
        Some(key) => Err(malformed(format!("unexpected key `{key}`"))),
        None => Ok(fields),
    }
}

fn field<'a>(fields: &'a Map<String, Value>, key: &str) -> Result<&'a Value> {
    fields.get(key).ok_or_else(|| malformed(format!("`{key}` is missing")))
}

fn number(fields: &Map<String, Value>, key: &str) -> Result<f64> {
    field(fields, key)?.as_f64().ok_or_else(|| malformed(format!("`{key}` must be a number")))
}

fn malformed(why: impl Into<String>) -> Error {
    Error::Malformed { what: "event", why: why.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_event_survives_storing() {
        let joint = DpEvent::Composed(vec![
            DpEvent::gaussian(1.1).unwrap(),
            DpEvent::gaussian(8.0).unwrap().repeated(3),
        ]);
        let event = DpEvent::Composed(vec![
            joint.sampled(0.1).unwrap().repeated(u64::MAX),
            DpEvent::laplace(0.1 + 0.2).unwrap(),
            DpEvent::NoOp,
            DpEvent::NonPrivate,
        ]);
        let text = versioned(&event).to_string();
        assert_eq!(from_versioned(&serde_json::from_str(&text).unwrap()).unwrap(), event);
    }

    #[test]
    fn unknown_versions_kinds_keys_and_values_are_errors() {
        for text in [
            r#"{"version":2,"event":{"kind":"no_op"}}"#,
            r#"{"event":{"kind":"no_op"}}"#,
            r#"{"version":1,"event":{"kind":"other"}}"#,
            r#"{"version":1,"event":{"kind":"no_op","x":1}}"#,
            r#"{"version":1,"event":{"kind":"gaussian"}}"#,
            r#"{"version":1,"event":{"kind":"gaussian","noise_multiplier":-1}}"#,
            r#"{"version":1,"event":{"kind":"repeated","count":1.5,"event":{"kind":"no_op"}}}"#,
        ] {
            assert!(from_versioned(&serde_json::from_str(text).unwrap()).is_err(), "{text}");
        }
    }
}
