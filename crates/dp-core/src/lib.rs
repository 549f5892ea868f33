#![doc = include_str!("../README.md")]

pub mod accountant;
pub mod audit;
pub mod calibrate;
#[cfg(feature = "tensor")]
mod clip;
pub mod error;
pub mod event;
#[cfg(feature = "tensor")]
pub mod hyfree;
pub mod ledger;
mod losses;
#[cfg(feature = "tensor")]
mod mechanism;
pub mod plan;
mod quantile;
#[cfg(feature = "tensor")]
mod sampling;
pub mod scalar;
pub mod statement;
#[cfg(feature = "tensor")]
mod step;
#[cfg(feature = "tensor")]
pub mod validate;

pub use accountant::central_limit::CentralLimit;
pub use accountant::filter::{RdpFilter, RdpOdometer};
pub use accountant::gdp::GaussianDp;
pub use accountant::pld::{PldAccountant, PldEpsilon, PldMethod};
pub use accountant::rdp::{RdpAccountant, RdpEpsilon};
pub use accountant::trade_off::TradeOff;
pub use accountant::{Accountant, DeltaBound, EpsilonBound};
pub use error::{Error, Result};
pub use event::{DpEvent, NeighboringRelation, Phase};
pub use ledger::checkpoint::LedgerFile;
pub use ledger::{Charge, Ledger, Mark};
pub use losses::{ClippedLosses, LossClip, LossMechanism, LossRange};
pub use plan::{LossPlan, LossSchedule, PlanBuilder, PlanWarning, PrivacyPlan};
pub use quantile::QuantileClip;
pub use scalar::{
    ClipNorm, Confidence, Delta, Epsilon, ExpectedBatchSize, LossBound, NoiseMultiplier,
    RenyiOrder, SampleRate, Scale, UnitOfPrivacy,
};
pub use statement::{PrivacyStatement, Refusal};

#[cfg(feature = "tensor")]
pub use clip::{ClipDiagnostics, ClipFunction, ClipStyle, ClippedSum, Clipping, clip_and_sum};
#[cfg(feature = "tensor")]
pub use mechanism::GaussianMechanism;
#[cfg(feature = "tensor")]
pub use sampling::{Draw, Drawn, PoissonSampler, RunKey, Sampled, StepKey, Unsampled};
#[cfg(feature = "tensor")]
pub use step::{ClipThresholds, PrivateLosses, PrivateStep, StepDiagnostics};
#[cfg(feature = "tensor")]
pub use validate::{Validated, validate};
