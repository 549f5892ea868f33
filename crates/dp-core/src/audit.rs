//! Audits: lower bounds on the epsilon that a trainer really has, from what it releases.
//!
//! An accountant says what epsilon is at most if the trainer is the one it was told of. An audit attacks the
//! trainer itself and says what epsilon is at least, with a stated confidence. A lower bound above the claim proves the claim
//! wrong; one below it proves nothing. Two audits are here: [`Trials`] of many runs with and without one
//! canary, and [`OneRun`] with many canaries in a single run. `Canaries` (feature `tensor`) are gradients to hide among those
//! of a trainer.
//!
//! # Privacy
//! An audit is for trainers, not for data: it needs the scores of canaries, which are released gradients, and whether each was
//! there. Audit with public or made-up records.

pub mod binomial;
#[cfg(feature = "tensor")]
mod canary;
mod one_run;
mod trials;

#[cfg(feature = "tensor")]
pub use canary::{Canaries, CanaryBatch, PerSampleWithCanaries, WithCanaries};
pub use one_run::{Guesses, OneRun, OneRunBound};
pub use trials::{Trials, TrialsBound};
