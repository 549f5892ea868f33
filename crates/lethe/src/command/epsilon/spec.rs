//! A run as a user says it, by flags or in a file, and the history that it is.

use clap::ValueEnum;
use dp_core::{Delta, DpEvent};
use serde::Deserialize;

use super::phase::{Fault, Fill, Missing, Part, PhaseSpec};
use super::visits::Visits;

/// Which data sets count as neighbors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Relation {
    /// One has a record more than the other.
    #[default]
    AddOrRemove,
    /// Equal sizes, one record differs: twice the sensitivity, and no credit for sampling.
    Replace,
}

/// A run as given: no number is checked yet. Its own numbers are those of a single phase.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RunSpec {
    pub(super) name: Option<String>,
    pub(super) samples: Option<f64>,
    pub(super) delta: Option<f64>,
    pub(super) relation: Relation,
    pub(super) shuffled: bool,
    pub(super) rate: Option<f64>,
    pub(super) batch: Option<f64>,
    pub(super) noise: Option<f64>,
    pub(super) joint: Vec<f64>,
    pub(super) laplace: Option<f64>,
    pub(super) steps: Option<f64>,
    pub(super) epochs: Option<f64>,
    pub(super) phases: Vec<PhaseSpec>,
}

/// A checked run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Run {
    pub(super) samples: Option<u64>,
    pub(super) relation: Relation,
    pub(super) shuffled: bool,
    pub(super) parts: Vec<Part>,
}

/// A fault with its phase, counted from 1, where there are several.
pub(super) type Placed = (Option<usize>, Fault);

impl RunSpec {
    /// The phases, of which there is at least one.
    pub(super) fn phases(&self) -> Result<Vec<PhaseSpec>, Fault> {
        let own = PhaseSpec {
            rate: self.rate,
            batch: self.batch,
            noise: self.noise,
            joint: self.joint.clone(),
            laplace: self.laplace,
            steps: self.steps,
            epochs: self.epochs,
        };
        if self.phases.is_empty() {
            Ok(vec![own])
        } else if own.is_empty() {
            Ok(self.phases.clone())
        } else {
            Err(Fault::new(
                "phase",
                "numbers of a single phase are given too; each phase has its own",
            ))
        }
    }

    /// What no phase, or some phase, does not say.
    pub(super) fn missing(&self) -> Result<Missing, Fault> {
        let all = self.phases()?.into_iter().map(|phase| phase.missing());
        Ok(all.fold(Missing::default(), |a, b| Missing {
            noise: a.noise || b.noise,
            rate: a.rate || b.rate,
            steps: a.steps || b.steps,
        }))
    }

    /// Checks everything but delta.
    pub(super) fn run(&self, fill: Fill) -> Result<Run, Placed> {
        let samples = self.samples().map_err(|fault| (None, fault))?;
        let phases = self.phases().map_err(|fault| (None, fault))?;
        let several = 1 < phases.len();
        let parts = phases.iter().enumerate().map(|(i, phase)| {
            phase
                .part(samples, self.shuffled, fill)
                .map_err(|fault| (several.then_some(i + 1), fault))
        });
        let parts = parts.collect::<Result<Vec<Part>, Placed>>()?;
        Ok(Run { samples, relation: self.relation, shuffled: self.shuffled, parts })
    }

    /// Checks delta.
    pub(super) fn delta(&self) -> Result<Delta, Fault> {
        let Some(delta) = self.delta else {
            let example = match self.samples {
                Some(n) if 1.0 <= n && n.is_finite() => {
                    format!("well below 1 over the {n} records, for example {:.0e}", 0.1 / n)
                }
                _ => "well below 1 over the number of records, for example 1e-6".to_owned(),
            };
            return Err(Fault::new("delta", format!("missing: a probability {example}")));
        };
        Delta::new(delta).map_err(|_| {
            let hint = if 1.0 < delta && delta.is_finite() {
                let exponent = delta.log10().round().max(1.0);
                format!("; 1e-{exponent} is one over {:.0e}", 10f64.powf(exponent))
            } else {
                String::new()
            };
            Fault::new(
                "delta",
                format!("expected a probability from 0 to below 1, got {delta}{hint}"),
            )
        })
    }

    fn samples(&self) -> Result<Option<u64>, Fault> {
        let Some(n) = self.samples else { return Ok(None) };
        if n.fract() == 0.0 && (1.0..=9e15).contains(&n) {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
            Ok(Some(n as u64))
        } else {
            Err(Fault::new(
                "samples",
                format!("expected a whole number of records, at least 1, got {n}"),
            ))
        }
    }
}

impl Run {
    /// What is released.
    pub(super) fn event(&self) -> DpEvent {
        let all = self.parts.iter().map(|part| part.event.clone().repeated(part.count));
        let all = DpEvent::Composed(all.collect());
        // Too many equal steps to count: the accountant says so.
        all.canonical().unwrap_or(all)
    }

    /// The history as an accountant should see it: without credit for sampling where none is due, and what a record may take part in.
    pub(super) fn accounted(&self) -> DpEvent {
        if self.takes_credit() {
            return self.event();
        }
        let visited = |part: &Part| Part { count: part.visits.among(part.count), ..part.clone() };
        let parts = self.parts.iter().map(visited).collect();
        Run { parts, ..self.clone() }.event().without_amplification()
    }

    /// A release as it is told: shuffled batches are no Poisson samples.
    pub(super) fn described(&self, event: &DpEvent) -> DpEvent {
        if self.shuffled { event.without_amplification() } else { event.clone() }
    }

    /// In how many batches one record may be.
    pub(super) fn visits(&self) -> u64 {
        let of = |part: &Part| part.visits.among(part.count);
        self.parts.iter().fold(0, |sum, part| sum.saturating_add(of(part)))
    }

    /// How shuffled batches are counted; nothing of others.
    pub(super) fn reading(&self) -> Option<String> {
        if !self.shuffled {
            return None;
        }
        let (visits, is_every) = (self.visits(), |part: &Part| part.visits == Visits::Every);
        Some(if self.parts.iter().all(is_every) {
            format!(
                "a record may be in every batch: all {visits} steps count; with --samples and --batch, or --epochs, batches are \
                 disjoint and epochs count"
            )
        } else {
            let rest = if self.parts.iter().any(is_every) {
                ", and may be in every batch of the phases without batch or epochs"
            } else {
                ""
            };
            let begin = if self.parts.len() == 1 { "" } else { "; each phase begins an epoch" };
            let releases = if visits == 1 { "release counts" } else { "releases count" };
            format!("a record is in one batch of each epoch{rest}: {visits} {releases}{begin}")
        })
    }

    /// Whether the accounting uses that batches are Poisson samples.
    pub(super) fn takes_credit(&self) -> bool {
        self.relation == Relation::AddOrRemove && !self.shuffled
    }

    /// Number of steps of all phases.
    pub(super) fn steps(&self) -> u64 {
        self.parts.iter().fold(0, |sum, part| sum.saturating_add(part.count))
    }

    /// The first so many steps.
    pub(super) fn truncated(&self, steps: u64) -> Run {
        let mut left = steps;
        let mut parts = Vec::new();
        for part in &self.parts {
            let count = part.count.min(left);
            left -= count;
            if 0 < count {
                parts.push(Part { count, ..part.clone() });
            }
        }
        Run { parts, ..self.clone() }
    }
}
