//! Sentences that may be published about a run, and reasons why there is none.

use std::fmt;

use crate::{Delta, DpEvent, EpsilonBound, Ledger, NeighboringRelation, Phase, UnitOfPrivacy};

/// A reason why no privacy statement is made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Private data was released without protection.
    NonPrivateEvent,
    /// A mechanism ran with noise multiplier zero.
    NoNoise,
    /// Somebody knows the seed of the noise.
    SeededNoise,
    /// An event claims Poisson sampling, but batches came from elsewhere.
    AmplificationWithoutSampling,
    /// Losses, norms or the like of private data were released without noise.
    DiagnosticsReleased,
    /// Nobody checked that each sample's gradient depends on that sample alone.
    NotValidated,
    /// The accountant gives an estimate.
    EstimateOnly {
        /// The accountant's name.
        accountant: &'static str,
    },
    /// The accountant finds no finite epsilon at this delta.
    InfiniteEpsilon,
    /// A reason recorded by the caller.
    Custom(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NonPrivateEvent => f.write_str("private data was released unprotected"),
            Refusal::NoNoise => f.write_str("a mechanism added no noise"),
            Refusal::SeededNoise => f.write_str("the noise came from a known seed"),
            Refusal::AmplificationWithoutSampling => {
                f.write_str("amplification is claimed for batches that were not Poisson samples")
            }
            Refusal::DiagnosticsReleased => {
                f.write_str("diagnostics of private data were released without noise")
            }
            Refusal::NotValidated => {
                f.write_str("nobody checked that a sample's gradient depends on that sample alone")
            }
            Refusal::EstimateOnly { accountant } => {
                write!(f, "the {accountant} accountant gives an estimate, not an upper bound")
            }
            Refusal::InfiniteEpsilon => f.write_str("epsilon is infinite at this delta"),
            Refusal::Custom(reason) => f.write_str(reason),
        }
    }
}

/// An epsilon and a delta with everything that must be said with them. Only
/// [`Ledger::statement`] makes one.
///
/// # Privacy
/// The numbers assume what [`assumptions`](PrivacyStatement::assumptions) lists; printing includes them.
#[derive(Clone, Debug, PartialEq)]
pub struct PrivacyStatement {
    relation: NeighboringRelation,
    unit: UnitOfPrivacy,
    phases: Vec<Phase>,
    accountant: &'static str,
    epsilon: EpsilonBound,
    delta: Delta,
    amplified: bool,
    whole: bool,
}

impl PrivacyStatement {
    pub(crate) fn new(
        ledger: &Ledger,
        accountant: &'static str,
        epsilon: EpsilonBound,
        delta: Delta,
    ) -> Self {
        PrivacyStatement {
            relation: ledger.relation(),
            unit: ledger.unit().clone(),
            phases: ledger.phases().to_vec(),
            accountant,
            epsilon,
            delta,
            amplified: ledger.event().claims_amplification(),
            whole: ledger.phases().iter().any(|phase| releases_unsampled(&phase.event)),
        }
    }

    /// The upper bound.
    pub fn epsilon(&self) -> f64 {
        self.epsilon.value()
    }

    /// The bound with its kind.
    pub fn bound(&self) -> EpsilonBound {
        self.epsilon
    }

    /// The delta at which the bound holds.
    pub fn delta(&self) -> Delta {
        self.delta
    }

    /// Which data sets are neighbors.
    pub fn relation(&self) -> NeighboringRelation {
        self.relation
    }

    /// What is protected.
    pub fn unit(&self) -> &UnitOfPrivacy {
        &self.unit
    }

    /// What was released.
    pub fn phases(&self) -> &[Phase] {
        &self.phases
    }

    /// The conditions under which the numbers hold.
    pub fn assumptions(&self) -> Vec<&'static str> {
        let mut assumptions = vec![
            "clipping bounds the whole contribution of one unit, whose gradient depends on that unit alone",
            "sums are divided by a public constant (the expected batch size), never by the size drawn",
            "noise multipliers and sample rates of later steps do not depend on private outputs",
            "the choice of hyperparameters on this data is not counted",
            "floating-point noise has imperfect low bits; attacks on them are not covered",
        ];
        if self.whole {
            assumptions.insert(0, "each unit was in a batch that no sampler drew once at most");
        }
        if self.amplified {
            assumptions.insert(0, "every unit joined every batch independently at the stated rate");
        }
        assumptions
    }
}

/// Whether some release is about a batch that was not drawn by Poisson sampling.
fn releases_unsampled(event: &DpEvent) -> bool {
    match event {
        DpEvent::Gaussian { .. } | DpEvent::Laplace { .. } => true,
        DpEvent::Composed(events) => events.iter().any(releases_unsampled),
        DpEvent::Repeated { event, .. } => releases_unsampled(event),
        DpEvent::PoissonSampled { .. } | DpEvent::NoOp | DpEvent::NonPrivate => false,
    }
}

impl fmt::Display for PrivacyStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PrivacyStatement { relation, unit, accountant, epsilon, delta, .. } = self;
        writeln!(f, "differential privacy: epsilon {epsilon}, delta {delta}")?;
        writeln!(f, "relation: {relation}; unit: {unit}; accountant: {accountant}")?;
        writeln!(
            f,
            "sampler: {}",
            if self.amplified { "Poisson" } else { "no credit taken for sampling" }
        )?;
        writeln!(f, "released:")?;
        if self.phases.is_empty() {
            writeln!(f, "  nothing")?;
        }
        for Phase { event, count } in &self.phases {
            writeln!(f, "  {count} x {event}")?;
        }
        writeln!(f, "assuming:")?;
        for assumption in self.assumptions() {
            writeln!(f, "  {assumption}")?;
        }
        Ok(())
    }
}
