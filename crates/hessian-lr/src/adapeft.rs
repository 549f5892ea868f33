//! AdaPEFT: which groups of parameters to train, found by a short probe phase in which all of them are.
//!
//! | step | by |
//! | --- | --- |
//! | probe: train everything for a while, fit the loss along each group's part of the direction | `Probe` (feature `tensor`) |
//! | what was found of each group, and its values by several criteria | [`Findings`] |
//! | the choice, under a budget of parameters or for a required value | [`Chooser`], [`Choice`] |
//! | training of exactly that: `Choice::split` gives what is trained and what is frozen | (feature `tensor`) |
//! | a report as a table and as JSON, and its use on a larger model | [`Report`], [`Report::transfer`] |
//! | a file for users of the Python package peft | [`TargetModules`] |
//!
//! Values are local to where the phase was, and each group's counts what others would have improved too: on small tasks
//! a squared norm of the gradient ranked as well (see [`crate::criterion`]). Compare before relying on one.
//!
//! # Source
//! arXiv 2505.12579.

mod choice;
mod findings;
#[cfg(feature = "tensor")]
mod probe;
mod report;
#[cfg(feature = "tensor")]
mod subset;
mod target_modules;
mod transfer;

pub use choice::{Choice, Chooser, Limit};
pub use findings::{Findings, GroupFindings};
#[cfg(feature = "tensor")]
pub use probe::{Probe, ProbeState};
pub use report::{Cost, GroupReport, Report};
pub use target_modules::{LoraBias, LoraKeywords, NotExpressed, TargetModules, Weights};
pub use transfer::Transfer;
