//! The record of what was released, and the only way to a privacy statement.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use crate::event::add;
use crate::statement::PrivacyStatement;
use crate::{
    Accountant, Delta, DpEvent, EpsilonBound, Error, NeighboringRelation, Phase, Refusal, Result,
    UnitOfPrivacy,
};

pub mod checkpoint;
pub(crate) mod encoding;

/// A fact about a run that bars or limits its privacy statement. Marks are never removed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Mark {
    /// Noise was drawn from a seed that somebody knows.
    SeededNoise,
    /// Batches were not drawn by Poisson sampling; no amplification can be claimed for them.
    UnsampledBatches,
    /// Losses, norms or other values of private data were released without noise.
    DiagnosticsReleased,
    /// A step trained parameters of which nobody had checked that each sample's gradient depends on that sample alone.
    NotValidated,
    /// Any other reason, in words.
    Custom(String),
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mark::SeededNoise => f.write_str("the noise came from a known seed"),
            Mark::UnsampledBatches => f.write_str("batches were not drawn by Poisson sampling"),
            Mark::DiagnosticsReleased => {
                f.write_str("diagnostics of private data were released without noise")
            }
            Mark::NotValidated => f.write_str("nobody checked that the samples are not coupled"),
            Mark::Custom(reason) => f.write_str(reason),
        }
    }
}

/// What a private step needs of a ledger. Charge *before* noise is drawn: a crash in between then counts a
/// release that never happened, and never misses one that did.
pub trait Charge {
    /// Records a release. When it returns, the record is as durable as the ledger can make it.
    ///
    /// # Errors
    /// [`Error::CountOverflow`]; for a ledger in a file also [`Error::Io`]. After an error nothing may be
    /// released; the charge may nevertheless have been recorded.
    fn charge(&mut self, event: &DpEvent) -> Result<()>;

    /// Records a fact about the run.
    ///
    /// # Errors
    /// [`Error::Io`] for a ledger in a file.
    fn mark(&mut self, mark: Mark) -> Result<()>;

    /// What has been recorded.
    fn ledger(&self) -> &Ledger;
}

/// A list of events with their numbers, the relation and unit they refer to, and marks.
///
/// Equal events share one entry, so a run of 100 000 steps with two kinds of step has two entries.
///
/// # Privacy
/// [`statement`](Ledger::statement) is the only source of a [`PrivacyStatement`] and refuses one, with every
/// reason, where the record does not support it. [`simulated_epsilon`](Ledger::simulated_epsilon) answers "if the noise were
/// secret and the sampler as described"; it promises nothing. Under replace-one, sampling gets no credit.
///
/// # Examples
/// ```
/// use dp_core::{Charge, Delta, DpEvent, Ledger, Mark, PldAccountant};
///
/// let mut ledger = Ledger::default();
/// ledger.charge(&DpEvent::gaussian(1.0)?.sampled(0.01)?)?;
/// let delta = Delta::new(1e-5)?;
/// println!("{}", ledger.statement(&PldAccountant::new(), delta)?);
///
/// ledger.mark(Mark::SeededNoise)?;
/// assert!(ledger.statement(&PldAccountant::new(), delta).is_err());
/// assert!(ledger.simulated_epsilon(&PldAccountant::new(), delta)?.value() > 0.0);
/// # Ok::<(), dp_core::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    relation: NeighboringRelation,
    unit: UnitOfPrivacy,
    phases: Vec<Phase>,
    index: HashMap<DpEvent, usize>,
    marks: BTreeSet<Mark>,
}

impl PartialEq for Ledger {
    fn eq(&self, other: &Self) -> bool {
        self.relation == other.relation
            && self.unit == other.unit
            && self.phases == other.phases
            && self.marks == other.marks
    }
}

impl Ledger {
    /// An empty ledger.
    pub fn new(relation: NeighboringRelation, unit: UnitOfPrivacy) -> Self {
        Ledger { relation, unit, ..Ledger::default() }
    }

    /// Which data sets are neighbors.
    pub fn relation(&self) -> NeighboringRelation {
        self.relation
    }

    /// What is protected.
    pub fn unit(&self) -> &UnitOfPrivacy {
        &self.unit
    }

    /// The distinct events with their numbers, in order of first appearance.
    pub fn phases(&self) -> &[Phase] {
        &self.phases
    }

    /// The recorded facts.
    pub fn marks(&self) -> impl Iterator<Item = &Mark> {
        self.marks.iter()
    }

    /// The number of releases.
    pub fn n_charges(&self) -> u64 {
        self.phases.iter().fold(0, |sum, phase| sum.saturating_add(phase.count))
    }

    /// The whole history as one event, as an accountant should see it under this relation.
    pub fn event(&self) -> DpEvent {
        let events = self.phases.iter().map(|p| p.event.clone().repeated(p.count)).collect();
        let history = DpEvent::Composed(events);
        match self.relation {
            NeighboringRelation::AddOrRemoveOne => history,
            NeighboringRelation::ReplaceOne => history.without_amplification(),
        }
    }

    /// Epsilon if every mark were absent: for simulations, plots and planning.
    ///
    /// # Errors
    /// [`Error::UnsupportedEvent`] only.
    pub fn simulated_epsilon(
        &self,
        accountant: &dyn Accountant,
        delta: Delta,
    ) -> Result<EpsilonBound> {
        accountant.epsilon(&self.event(), delta)
    }

    /// A statement that may be published.
    ///
    /// # Errors
    /// [`Error::NoGuarantee`] with every reason; [`Error::UnsupportedEvent`].
    pub fn statement(&self, accountant: &dyn Accountant, delta: Delta) -> Result<PrivacyStatement> {
        let mut reasons = self.refusals();
        let event = self.event();
        let bound = match accountant.epsilon(&event, delta) {
            Err(error) if reasons.is_empty() => return Err(error),
            Err(_) => return Err(Error::NoGuarantee { reasons }),
            Ok(bound) => bound,
        };
        match bound.guarantee() {
            None => reasons.push(Refusal::EstimateOnly { accountant: accountant.name() }),
            Some(upper) if !upper.is_finite() && reasons.is_empty() => {
                reasons.push(Refusal::InfiniteEpsilon);
            }
            Some(_) => {}
        }
        if reasons.is_empty() {
            Ok(PrivacyStatement::new(self, accountant.name(), bound, delta))
        } else {
            Err(Error::NoGuarantee { reasons })
        }
    }

    /// Reasons that do not depend on the accountant.
    fn refusals(&self) -> Vec<Refusal> {
        let mut reasons = Vec::new();
        if self.phases.iter().any(|phase| contains(&phase.event, &is_non_private)) {
            reasons.push(Refusal::NonPrivateEvent);
        }
        if self.phases.iter().any(|phase| contains(&phase.event, &has_no_noise)) {
            reasons.push(Refusal::NoNoise);
        }
        for mark in &self.marks {
            match mark {
                Mark::SeededNoise => reasons.push(Refusal::SeededNoise),
                Mark::DiagnosticsReleased => reasons.push(Refusal::DiagnosticsReleased),
                Mark::NotValidated => reasons.push(Refusal::NotValidated),
                Mark::UnsampledBatches => {
                    if self.event().claims_amplification() {
                        reasons.push(Refusal::AmplificationWithoutSampling);
                    }
                }
                Mark::Custom(reason) => reasons.push(Refusal::Custom(reason.clone())),
            }
        }
        reasons
    }

    pub(crate) fn add(&mut self, event: &DpEvent, count: u64) -> Result<()> {
        match self.index.get(event) {
            Some(&at) => self.phases[at].count = add(self.phases[at].count, count, event)?,
            None => {
                self.index.insert(event.clone(), self.phases.len());
                self.phases.push(Phase { event: event.clone(), count });
            }
        }
        Ok(())
    }

    /// The positions of the phases that a charge touches; the charge is made wholly or not at all.
    pub(crate) fn charge_phases(&mut self, event: &DpEvent) -> Result<Vec<usize>> {
        let phases = event.phases()?;
        for phase in &phases {
            if let Some(&at) = self.index.get(&phase.event) {
                add(self.phases[at].count, phase.count, &phase.event)?;
            }
        }
        let mut touched = Vec::with_capacity(phases.len());
        for phase in phases {
            self.add(&phase.event, phase.count)?;
            touched.extend(self.index.get(&phase.event));
        }
        Ok(touched)
    }

    pub(crate) fn has_mark(&self, mark: &Mark) -> bool {
        self.marks.contains(mark)
    }
}

impl Charge for Ledger {
    fn charge(&mut self, event: &DpEvent) -> Result<()> {
        self.charge_phases(event).map(|_| ())
    }

    fn mark(&mut self, mark: Mark) -> Result<()> {
        self.marks.insert(mark);
        Ok(())
    }

    fn ledger(&self) -> &Ledger {
        self
    }
}

fn contains(event: &DpEvent, test: &dyn Fn(&DpEvent) -> bool) -> bool {
    match event {
        DpEvent::PoissonSampled { event, .. } | DpEvent::Repeated { event, .. } => {
            contains(event, test)
        }
        DpEvent::Composed(events) => events.iter().any(|event| contains(event, test)),
        leaf => test(leaf),
    }
}

fn is_non_private(event: &DpEvent) -> bool {
    matches!(event, DpEvent::NonPrivate)
}

fn has_no_noise(event: &DpEvent) -> bool {
    matches!(event, DpEvent::Gaussian { noise_multiplier } if noise_multiplier.get() <= 0.0)
}

#[cfg(feature = "serde")]
mod serialized {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Ledger, encoding};

    impl Serialize for Ledger {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            encoding::lines(self).serialize(serializer)
        }
    }

    impl<'de> Deserialize<'de> for Ledger {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let lines = Vec::<serde_json::Value>::deserialize(deserializer)?;
            let mut reader = encoding::Reader::default();
            for line in &lines {
                reader.read(line).map_err(D::Error::custom)?;
            }
            reader.finish().map_err(D::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests;
