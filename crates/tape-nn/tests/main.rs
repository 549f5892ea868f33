//! Tests of whole networks through the public face of the crate.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use tape_nn::net::CnnConfig;

mod conformance;
mod half;
mod memory;
mod pretrained;

/// A convolutional network that is small enough for differences.
fn small_cnn() -> CnnConfig {
    CnnConfig {
        size: (8, 8),
        channels: vec![4, 6],
        groups: 2,
        hidden: 5,
        classes: 3,
        ..CnnConfig::default()
    }
}
