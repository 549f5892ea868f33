//! Saving a state between two steps.

use tensor_tree::{Checkpoint, Error, Result, StateReader, StateWriter};

use super::policy::{Memory, Outcome};
use super::state::{Round, State};

impl Checkpoint for State {
    /// # Errors
    /// [`Error::Checkpoint`] in the middle of a step, of which part would be charged twice.
    fn save(&self, out: &mut StateWriter) -> Result<()> {
        if self.round != Round::Rest {
            return Err(wrong(
                "rates are saved between steps, not while losses are asked for".into(),
            ));
        }
        out.count("step", self.step)?;
        out.count("losses", self.n_losses)?;
        out.number("bound", self.bound)?;
        for (name, value) in numbers(&self.memory) {
            out.number(name, value)?;
        }
        out.count("resolved", u64::from(self.memory.resolved))?;
        out.count("descent", u64::from(self.memory.descent))?;
        out.scope("outcomes", |out| {
            Outcome::ALL.iter().try_for_each(|o| out.count(o.name(), self.count(*o)))
        })
    }

    fn load(from: &mut StateReader<'_>) -> Result<Self> {
        let memory = Memory {
            rate: from.number("rate")?,
            distance: from.number("distance")?,
            slopes: from.number("slopes")?,
            slope_precision: from.number("slope precision")?,
            curvatures: from.number("curvatures")?,
            curvature_precision: from.number("curvature precision")?,
            resolved: from.count("resolved")? != 0,
            descent: from.count("descent")? != 0,
        };
        let mut state = State::new(memory.rate, memory.distance, from.number("bound")?);
        let positive =
            [("rate", memory.rate), ("distance", memory.distance), ("bound", state.bound)];
        if let Some((name, got)) = positive.iter().find(|(_, x)| !(x.is_finite() && 0.0 < *x)) {
            return Err(wrong(format!("{name} must be finite and positive, got {got}")));
        }
        if let Some((name, got)) = numbers(&memory).iter().find(|(_, x)| !x.is_finite()) {
            return Err(wrong(format!("{name} must be finite, got {got}")));
        }
        state.memory = memory;
        state.step = from.count("step")?;
        state.n_losses = from.count("losses")?;
        from.scope("outcomes", |from| {
            for outcome in Outcome::ALL {
                let count = from.count(outcome.name())?;
                if 0 < count {
                    state.counts.insert(outcome, count);
                }
            }
            Ok(())
        })?;
        Ok(state)
    }
}

fn numbers(memory: &Memory) -> [(&'static str, f64); 6] {
    [
        ("rate", memory.rate),
        ("distance", memory.distance),
        ("slopes", memory.slopes),
        ("slope precision", memory.slope_precision),
        ("curvatures", memory.curvatures),
        ("curvature precision", memory.curvature_precision),
    ]
}

fn wrong(reason: String) -> Error {
    Error::Checkpoint { path: None, reason }
}
