#![doc = include_str!("../README.md")]
#![cfg_attr(
    test,
    allow(
        clippy::float_cmp,
        clippy::cast_possible_truncation,
        reason = "tests compare exact promises exactly, and their numbers are small"
    )
)]

pub mod checkpoint;
mod collective;
#[cfg(feature = "conformance")]
pub mod conformance;
mod device;
mod error;
mod groups;
pub mod host;
mod key;
mod memory;
mod objective;
mod optimizer;
mod rate;
mod schedule;
mod transform;
mod tree;

pub use checkpoint::{Checkpoint, StateReader, StateWriter};
pub use collective::{Collective, SingleProcess};
pub use device::device;
pub use error::{Error, Result};
pub use groups::Groups;
pub use key::{Key, Label, Normal, Purpose};
pub use memory::keep_freed_memory;
pub use objective::{
    Differentiable, Losses, Objective, Pass, PerSample, PerSampleDifferentiable, ProbePoint,
    Reduction,
};
pub use optimizer::{AdamW, AdamWState, ClipByNorm, Momentum, MomentumState, Sgd};
pub use rate::Rates;
pub use schedule::Schedule;
pub use transform::{Chain, Identity, Running, Stage, Transform};
pub use tree::Tree;
