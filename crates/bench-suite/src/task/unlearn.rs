//! Unlearning: all methods by their distance from a model that never saw what is to be forgotten, automatic rates, robustness, cost.

mod auto;
mod claims;
mod columns;
mod cost;
mod methods;
mod plots;
mod real;
mod robust;
mod runs;

use report::html::Section;
use unlearn::made::PerTask;

use super::claim;
use crate::error::{Error, Result};
use crate::forgetting::Made;
use crate::session::Session;

const TASK: &str = "unlearn";
/// The seed that rates are chosen with; no run that is shown has it.
const TUNING_SEED: u64 = 1000;
/// Rates of AdamW, half decades.
const GRID: [f64; 4] = [1e-4, 3e-4, 1e-3, 3e-3];

/// Seconds for a world, minutes for all methods.
const SMALL: Made = Made {
    name: "small",
    documents: PerTask { stories: 4, biographies: 8, public: 8 },
    n_held_out: 20,
    vocab: 640,
    width: 64,
    blocks: 2,
    steps: 500,
    rate: 3e-3,
};
/// Two million parameters.
const LARGE: Made = Made {
    name: "large",
    documents: PerTask { stories: 20, biographies: 30, public: 30 },
    n_held_out: 40,
    vocab: 1500,
    width: 192,
    blocks: 4,
    steps: 1500,
    rate: 1e-3,
};

/// What a call of the task runs at.
#[derive(Clone, Copy, Debug)]
struct Scale {
    size: Made,
    seeds: u64,
    /// Most steps of a run.
    steps: u64,
    /// Rows of each set in a step.
    batch: usize,
    /// Checks of both losses in a run of the comparison of methods.
    checks: u64,
    /// Rows of each set in a check, at most.
    checked: usize,
}

const DEFAULT: Scale =
    Scale { size: SMALL, seeds: 3, steps: 100, batch: 16, checks: 10, checked: 96 };
const FULL: Scale = Scale { size: LARGE, seeds: 5, steps: 200, batch: 32, checks: 15, checked: 96 };

/// What one call may be restricted to; the last ones are parts of a full one.
const PARTS: [&str; 8] = [
    "methods",
    "rates",
    "small-tofu",
    "small-lume",
    "robust",
    "cost",
    "smollm2-tofu",
    "smollm2-lume",
];
const LARGE_PARTS: usize = 2;

/// Runs everything and writes the section.
pub(super) fn run(session: &Session) -> Result<Section> {
    let parts = if session.full { &PARTS[..] } else { &PARTS[..PARTS.len() - LARGE_PARTS] };
    if !parts.iter().any(|part| session.wants(part)) {
        let (only, known) = (session.only.join(", "), parts.join(", "));
        return Err(Error::NoPart { task: TASK, only, known });
    }
    let scale = if session.full { FULL } else { DEFAULT };
    let mut runs = runs::Runs::open(session, scale)?;
    let mut section = Section::new("Unlearning")
        .paragraph(
            "A network learns two sets of made documents from scratch until it knows them: the target. The gold model is the same network taught \
             in the same way without the rows to forget. A method starts at the target and is to end at the gold model. Each run ends where its \
             loss on the rows to forget is that of the gold model, which is known here and not in practice, or after so many steps: going on would \
             be over-unlearning. For each method the rate is the best of one grid for one further seed by the distance that is shown: a favour to \
             all methods alike. Each seed has other documents, another tokenizer and another network.",
        )
        .paragraph(
            "The distance is the mean of the absolute differences from the gold model over twelve shares: ROUGE-L recall, exact match, probability, \
             exact memorization and truth ratio on both sets, the area below the curve of the loss attack, and accuracy on questions. The final score \
             is that of SemEval-2025 Task 4, with questions about the kept world in the place of MMLU.",
        )
        .paragraph(claim::RULE);
    if session.wants("methods") {
        section = section.section(methods::run(&mut runs)?);
    }
    if session.wants("rates") {
        section = section.section(auto::run(&mut runs)?);
    }
    if session.wants("small-tofu") || session.wants("small-lume") {
        section = section.section(real::small(session)?);
    }
    if session.full && (session.wants("smollm2-tofu") || session.wants("smollm2-lume")) {
        section = section.section(real::large(session)?);
    }
    if session.wants("robust") {
        section = section.section(robust::run(&mut runs)?);
    }
    if session.wants("cost") {
        section = section.section(cost::run(session)?);
    }
    Ok(section)
}
