//! Which groups to train: from values to choices, reports, other models and other libraries.

mod choice;
mod criteria;
mod groupings;
mod network;
mod report;
mod target_modules;
mod transfer;

#[cfg(feature = "tensor")]
mod probe;
#[cfg(feature = "tensor")]
mod quadratic;
#[cfg(feature = "tensor")]
mod subset;
