//! Where a run ends: what is left of the budget after a crash, and what must not be lost by going on.

use std::path::Path;

use dp_core::{Accountant, DpEvent, Ledger, PldAccountant, PrivacyPlan};
use serde_json::Value;

use super::run::{Prepared, checkpoint_path, ledger_path};
use crate::error::{Error, Result};

/// The number of steps after which the run that is at `step` ends.
pub(super) fn last_step(prepared: &Prepared, ledger: &Ledger, step: u64) -> Result<u64> {
    let Prepared { config, plan, folder, .. } = prepared;
    let (file, charged) = (ledger_path(folder), ledger.n_charges());
    if charged < step {
        let what = format!(
            "it counts {charged} steps, the checkpoint beside it {step}: an older copy, or the ledger of another run; no \
             statement could be made; use another --output, or restore the ledger that belongs to the checkpoint"
        );
        return Err(Error::file(file, what));
    }
    // Nothing is promised where the seed is known, and steps that are done again are the same ones.
    let last = match config.training.seed {
        Some(_) => plan.steps(),
        None => step + affordable(plan, ledger, step)?,
    };
    if last == 0 {
        let larger = match config.privacy.epsilon {
            Some(_) => "give a larger privacy.epsilon",
            None => "plan a larger epsilon (more steps)",
        };
        let what = format!(
            "it counts {charged} steps, after which not one more fits epsilon {:.6}, and there is no {} beside it: restore that \
             file, {larger}, or use another --output, whose epsilon adds to this one's. A new ledger here is no \
             way out: what was released stays released",
            plan.epsilon().value(),
            name(&checkpoint_path(folder)),
        );
        return Err(Error::file(file, what));
    }
    if let Some(before) = steps_of_results(folder)?.filter(|before| last < *before) {
        let what = format!(
            "it is of {before} steps, and this run would end after {last}: results are never replaced by those of fewer steps; \
             use another --output, or restore {}",
            name(&checkpoint_path(folder)),
        );
        return Err(Error::file(folder.join(RESULT), what));
    }
    Ok(last)
}

/// What a run leaves of itself in numbers.
pub(super) const RESULT: &str = "result.json";

/// The steps of the results in a folder, if there are some.
fn steps_of_results(folder: &Path) -> Result<Option<u64>> {
    let file = folder.join(RESULT);
    if !file.exists() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&file).map_err(|e| Error::file(&file, e))?;
    let steps = serde_json::from_str::<Value>(&text).ok().and_then(|all| all["steps"].as_u64());
    let unknown =
        || Error::file(&file, "it is not of a run and would be replaced: use another --output");
    steps.ok_or_else(unknown).map(Some)
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// How many more steps from `step` on fit what the plan promises, given what the ledger already counts. A crash leaves charges of
/// steps that the checkpoint does not know of.
fn affordable(plan: &PrivacyPlan, ledger: &Ledger, step: u64) -> Result<u64> {
    let wanted = plan.steps().saturating_sub(step);
    if ledger.n_charges() == step {
        return Ok(wanted);
    }
    let accountant = PldAccountant::new();
    let promised = plan.epsilon().value();
    let fits = |more: u64| -> Result<bool> {
        let mut events = vec![ledger.event()];
        for t in step..step + more {
            let n_losses = plan.losses().map_or(0, |losses| losses.schedule().at(t));
            events.push(plan.step_event_with(n_losses)?);
        }
        let epsilon = accountant.epsilon(&DpEvent::Composed(events), plan.delta())?;
        Ok(epsilon.value() <= promised)
    };
    // The most that fit: epsilon rises with their number.
    let (mut low, mut high) = (0, wanted + 1);
    while 1 < high - low {
        let middle = low + (high - low) / 2;
        if fits(middle)? {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(low)
}
