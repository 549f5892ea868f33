//! What came of a run.

use serde::{Deserialize, Serialize};
use unlearn::exam::{Distance, Findings};
use unlearn::metric::truth_ratio::{Aggregate, Wrong};
use unlearn::run::Check;
use unlearn::score::semeval::Gate;
use unlearn::score::tofu::ForgetTest;

use crate::error::Result;

/// Rows whose generations are shown.
const SHOWN: usize = 4;

/// What an exam found, in numbers. Losses are in nats for each token; what a set does not have is NaN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// ROUGE-L recall of generations on rows to forget.
    pub forget_rouge: f64,
    /// Share of them that are exact.
    pub forget_exact: f64,
    /// Loss on rows to forget.
    #[serde(with = "crate::number")]
    pub forget_loss: f64,
    /// ROUGE-L recall on rows to keep.
    pub retain_rouge: f64,
    /// Share of them that are exact.
    pub retain_exact: f64,
    /// Loss on rows to keep.
    #[serde(with = "crate::number")]
    pub retain_loss: f64,
    /// Area below the curve of the loss attack.
    #[serde(with = "crate::number")]
    pub auc: f64,
    /// Accuracy on questions.
    pub accuracy: f64,
    /// Harmonic mean of the twelve numbers of the shared task.
    #[serde(with = "crate::number")]
    pub aggregate: f64,
    /// Final score of the shared task.
    #[serde(with = "crate::number")]
    pub last: f64,
    /// Truth ratio on rows to forget, 1 where right and wrong are equally likely.
    #[serde(with = "crate::number")]
    pub truth_ratio: f64,
    /// Logarithm to base ten of TOFU's forget quality.
    #[serde(with = "crate::number")]
    pub log_quality: f64,
    /// TOFU's model utility.
    #[serde(with = "crate::number")]
    pub utility: f64,
    /// Whether the accuracy is at least three quarters of the target's.
    pub passes_gate: bool,
    /// Mean distance from the gold model over all shares that both have.
    pub distance: f64,
    /// The divergence from what the gold model expects at the tokens of rows to forget, in nats.
    #[serde(with = "crate::number")]
    pub divergence: f64,
    /// Its parts.
    pub parts: Vec<(String, f64)>,
}

/// What a model wrote for a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// Id of the row.
    pub id: String,
    /// What it read.
    pub input: String,
    /// What it was to have forgotten, or to know.
    pub output: String,
    /// What it wrote.
    pub generation: String,
}

/// What came of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// What the exam found.
    pub summary: Summary,
    /// Steps taken.
    pub steps: u64,
    /// Why no more.
    pub ended: String,
    /// Steps that were skipped.
    pub n_skipped: u64,
    /// Why the run did nothing, if so.
    pub did_nothing: Option<String>,
    /// Losses along the way.
    pub checks: Vec<Check>,
    /// Steps and rates.
    pub rates: Vec<(u64, f64)>,
    /// Parts of steps that raised the retain loss and the loss to forget by to first order.
    pub raised: [f64; 2],
    /// What it wrote.
    pub shown: Vec<Shown>,
    /// Seconds of processor time of the steps on the thread that asked for them: all of it where there is one thread.
    pub cpu_s: f64,
    /// Seconds from the first step to the last, with what the losses need of the target.
    pub wall_s: f64,
    /// Resident memory of the process at its highest so far, with what ran beside it; 0 where the system does not say.
    pub peak_bytes: u64,
}

impl Summary {
    /// Of a model against the gold model; the gate is at three quarters of the target's accuracy.
    ///
    /// # Errors
    /// If nothing was generated or the exams were different ones.
    pub fn of(found: &Findings, gold: &Findings, target_accuracy: f64) -> Result<Self> {
        let or_nan = |value: unlearn::Result<f64>| value.unwrap_or(f64::NAN);
        let gate = Gate::OfTarget(target_accuracy);
        let semeval = found.semeval(gate);
        let of = |get: fn(&unlearn::score::semeval::Outcome) -> f64| {
            semeval.as_ref().map_or(f64::NAN, get)
        };
        let auc = unlearn::score::sets::loss_auc(&found.members, &found.nonmembers);
        let quality = found.forget_quality(gold, ForgetTest::default());
        let ratio = found.forget.truth_ratio(Wrong::Geometric, Aggregate::Forget);
        let distances = found.distances(gold)?;
        let distance =
            distances.iter().map(Distance::get).sum::<f64>() / distances.len().max(1) as f64;
        Ok(Summary {
            forget_rouge: found.forget.rouge()?.value(),
            forget_exact: found.forget.exact()?.value(),
            forget_loss: found.forget.loss(),
            retain_rouge: found.retain.rouge()?.value(),
            retain_exact: found.retain.exact()?.value(),
            retain_loss: found.retain.loss(),
            auc: or_nan(auc.map(|score| score.value())),
            accuracy: found.accuracy,
            aggregate: of(|o| o.task_aggregate().value()),
            last: of(|o| o.score().value()),
            truth_ratio: or_nan(ratio.map(|score| score.value())),
            utility: or_nan(found.utility(Wrong::Geometric).map(|score| score.value())),
            log_quality: or_nan(quality.map(|q| q.p_value.log10())),
            passes_gate: gate.passes(found.accuracy),
            distance,
            divergence: found.divergence.unwrap_or(f64::NAN),
            parts: distances.iter().map(|d| (d.name.to_owned(), d.get())).collect(),
        })
    }
}

impl Summary {
    /// What is written of both sets, in words.
    #[must_use]
    pub fn written(&self) -> String {
        let Summary { forget_rouge, retain_rouge, .. } = self;
        format!("{forget_rouge:.2} of what is to be forgotten, {retain_rouge:.2} of what is kept")
    }
}

impl Shown {
    /// Some rows of both sets, spread evenly.
    #[must_use]
    pub fn some(found: &Findings) -> Vec<Shown> {
        let mut out = Vec::new();
        for set in [&found.forget, &found.retain] {
            let every = set.rows.len().div_ceil(SHOWN).max(1);
            for row in set.rows.iter().step_by(every) {
                out.push(Shown {
                    id: row.id.clone(),
                    input: row.input.clone(),
                    output: row.output.clone(),
                    generation: row.generation.clone().unwrap_or_default(),
                });
            }
        }
        out
    }
}
