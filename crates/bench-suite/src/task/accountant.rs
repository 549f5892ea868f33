//! Accountants: time beside other libraries at equal width, random settings, and a peer's bound below the truth.

mod below;
mod random;
mod speed;

use report::figures::Better;
use report::html::Section;

use crate::accountant::peers::Environment;
use crate::error::Result;
use crate::session::{Session, Spread};

/// Runs everything and writes the section.
pub(super) fn run(session: &Session) -> Result<Section> {
    let environment =
        session.peers_if_possible(|folder, note| Environment::prepare(folder, note))?;
    let mut section = Section::new("Accountants").paragraph(
        "Epsilon of many Gaussian releases on Poisson samples. Every library answers in a process of its own, warm, on one \
         thread, asked in turn so that a drift of the machine's speed meets all alike; times are medians of process CPU time.",
    );
    if session.wants("speed") {
        section = section.section(speed::run(session, environment.as_ref())?);
    }
    if session.wants("random") {
        section = section.section(random::run(session)?);
    }
    if session.wants("below") {
        section = section.section(below::run(session, environment.as_ref())?);
    }
    Ok(section)
}

/// Appends a figure.
fn figure(
    session: &Session,
    name: &str,
    value: f64,
    unit: &str,
    better: Better,
    config: &str,
) -> Result<()> {
    let spread = Spread { better, std: None, n_seeds: 1, config: config.to_owned() };
    session.figure("accountant", name, value, unit, spread)
}
