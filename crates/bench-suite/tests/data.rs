//! Data sets: facts of the real files, round trips, damage.

mod damage;
mod facts;
mod folders;
mod memory;
mod round_trips;
mod writers;

use std::path::PathBuf;

use bench_suite::data::Places;

/// The folder of the vendored sets.
fn vendored() -> Places {
    Places::at(repository().join("fixtures/data"))
}

fn repository() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
