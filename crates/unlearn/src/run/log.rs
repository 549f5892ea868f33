//! What steps leave behind.

use serde::{Deserialize, Serialize};

/// One step. Numbers that a method does not compute are absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepLog {
    /// Number of the step, from 0.
    pub step: u64,
    /// The retain loss of the batch before the step.
    pub retain: Option<f64>,
    /// The loss to forget by.
    pub forget: Option<f64>,
    /// The mean `-log p` of the answers to forget.
    pub forget_nll: Option<f64>,
    /// Cosine between the gradients of both losses that are descended.
    pub cosine: Option<f64>,
    /// Norms of both gradients, retain first.
    pub norms: Option<[f64; 2]>,
    /// `<r, step>`: by how much the retain loss falls to first order. Negative where it rises.
    pub retain_fall: Option<f64>,
    /// `<f, step>`: by how much the loss to forget by falls to first order. For gradient ascent this is minus `<g_F, step>` of the
    /// language model's own loss: the answers' loss rises by it.
    pub forget_fall: Option<f64>,
    /// The rate.
    pub rate: f64,
    /// Losses that were evaluated for it.
    pub n_probes: usize,
    /// Why the step was not taken, or taken back, if it was.
    pub skipped: Option<Skipped>,
}

/// Why a step was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Skipped {
    /// A loss of its batch was not finite.
    Loss,
    /// A gradient or a direction was not finite.
    Direction,
    /// A loss of the check behind it was not finite.
    Check,
    /// It was taken, and taken back since the losses of the next batch were not finite there.
    TakenBack,
}
