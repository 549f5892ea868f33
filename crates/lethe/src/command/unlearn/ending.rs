//! What an unlearning run ends with.

use serde_json::{Value, json};
use tape_nn::net::Llama;
use tensor_tree::Tree;
use unlearn::run::{Ended, Outcome, Run, State};
use unlearn::task_vector;

use super::job::{Job, Kept};
use super::method::Chosen;
use super::training::End;
use crate::error::Result;

/// The parameters that a run leaves, and what is known of them.
pub(super) struct Ending {
    /// The whole model, under the names it came with.
    pub(super) params: Tree,
    /// The step that they are of.
    pub(super) kept: u64,
    /// What the user must know first.
    pub(super) warnings: Vec<String>,
    /// Everything in numbers.
    pub(super) json: Value,
    /// How it ended, in names and values.
    pub(super) lines: Vec<(String, String)>,
}

/// What is known of a run beside its state.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// What the user asked to keep.
    pub(super) keep: Option<Kept>,
    /// What is said where there was no time for a step.
    pub(super) no_time: Option<String>,
    /// What the user should know beside it.
    pub(super) notes: Vec<String>,
}

impl Ending {
    /// Of a run whose steps ended so. `state` gets a check where it is, and must be saved before if it is to be gone on with.
    ///
    /// # Errors
    /// Those of the model.
    pub(super) fn of(
        (job, run): (&Job, &Run<'_, Llama>),
        state: &mut State,
        end: End,
        Known { keep, no_time, notes }: Known,
    ) -> Result<Ending> {
        let Outcome { params, check, n_skipped, no_op } = run.outcome(state)?;
        let is_vector = matches!(job.chosen, Chosen::TaskVector(_));
        // The best where somebody or something cut the run short, unless the last was asked for.
        let is_cut =
            matches!(end, End::Time | End::Rule(Ended::UtilityFloor { .. } | Ended::NonFinite));
        let wants_best = end == End::Stopped || is_cut && keep != Some(Kept::Last);
        let (params, kept) = match state.best() {
            Some(best) if wants_best && !is_vector => (best.params.clone(), best.step),
            _ => (params, check.step),
        };
        let at = state.checks().iter().find(|c| c.step == kept).copied().unwrap_or(check);
        let whole = match job.chosen {
            Chosen::Directions(_) => job.merged(&params)?,
            Chosen::TaskVector(factor) => {
                task_vector::subtract(&job.model.params, &job.merged(&params)?, factor)?
            }
        };
        let mut warnings = job.notes.clone();
        warnings.extend(notes);
        let nothing = whole.add_scaled(-1.0, &job.model.params)?.norm()? == 0.0;
        if let Some(no_time) = no_time {
            warnings.insert(0, no_time);
        } else if nothing {
            let why = match kept {
                0 if 0 < state.step() => format!(": {end}, and no check was better than the first"),
                _ => ": no parameter has changed".to_owned(),
            };
            warnings.insert(0, format!("NOTHING WAS UNLEARNED{why}"));
        } else if let (Some(no_op), false) = (no_op, is_vector) {
            warnings.insert(0, format!("NOTHING WAS UNLEARNED: {no_op}"));
        }
        if 0 < n_skipped {
            let steps = state.step();
            warnings.push(format!(
                "{n_skipped} of {steps} steps were skipped, for losses or directions that are not finite: lower the rate"
            ));
        }
        if !whole.is_finite()? {
            warnings.push("the model has parameters that are not finite".to_owned());
        }
        if !is_vector {
            warnings.extend(job.overdone(&at));
        }
        if let End::Rule(Ended::NonFinite) = end {
            warnings.push(format!("{end}: lower the rate"));
        }
        let mut lines = vec![
            ("steps taken".to_owned(), (state.step() - n_skipped).to_string()),
            ("ended".to_owned(), end.to_string()),
            ("kept".to_owned(), format!("the parameters after step {kept}")),
        ];
        if !is_vector {
            let first = state.checks().first().copied().unwrap_or(at);
            let over = ", mean over all tokens of the rows that checks look at";
            lines.push((
                "forget loss".to_owned(),
                format!("{:.4} nats{over}, {:.4} before", at.forget, first.forget),
            ));
            lines.push((
                "retain loss".to_owned(),
                format!("{:.4} nats{over}, {:.4} before", at.retain, first.retain),
            ));
        }
        let identity: Value = serde_json::from_str(&job.identity.to_text()?).unwrap_or_default();
        let json = json!({
            "format": "lethe-unlearn-run",
            "version": 1,
            "settings": identity,
            "trained_parameters": job.parts.trainable.n_elements(),
            "steps": state.step(),
            "skipped": n_skipped,
            "ended": end,
            "kept_step": kept,
            // Of the model that learned, not of what is left without it.
            "kept_check": (!is_vector).then_some(at),
            "no_op": no_op.filter(|_| !is_vector),
            "warnings": warnings,
            "checks": state.checks(),
            "log": state.log(),
        });
        Ok(Ending { params: whole, kept, warnings, json, lines })
    }
}
