#![doc = include_str!("../README.md")]

pub mod accountant;
pub mod calibrate;
pub mod error;
pub mod event;
pub mod ledger;
pub mod plan;
pub mod scalar;
pub mod statement;

pub use accountant::rdp::{RdpAccountant, RdpEpsilon};
pub use accountant::{Accountant, DeltaBound, EpsilonBound};
pub use error::{Error, Result};
pub use event::{DpEvent, NeighboringRelation, Phase};
pub use ledger::checkpoint::LedgerFile;
pub use ledger::{Charge, Ledger, Mark};
pub use plan::{PlanBuilder, PlanWarning, PrivacyPlan};
pub use scalar::{
    ClipNorm, Delta, Epsilon, ExpectedBatchSize, NoiseMultiplier, RenyiOrder, SampleRate, Scale,
    UnitOfPrivacy,
};
pub use statement::{PrivacyStatement, Refusal};
