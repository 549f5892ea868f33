//! Which groups of parameters to train: choices of AdaPEFT against the best ones, against fixed methods, over horizons and
//! sizes of networks, and what they save.

mod budgets;
mod choice;
mod corpus;
mod digits;
mod horizon;
mod large;
mod method;
mod net;
mod pretrain;
mod probe;
mod sets;
mod sizes;
mod speed;
mod tune;

use report::figures::Better;
use report::html::Section;
use report::number::{mean_std, significant};

use super::curves::mean_and_std;
use super::{claim, store};
use crate::data::Places;
use crate::error::Result;
use crate::session::{Session, Spread};
pub(super) use corpus::Corpus;
pub(super) use pretrain::{CONTEXT, pretrain};

/// Numbers of single runs by name.
type Runs = store::Store<store::Numbers>;

/// Seeds of everything but the pretraining, on the network of two blocks.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=5;
/// Those on the network of six.
const DEEP_SEEDS: std::ops::RangeInclusive<u64> = 1..=3;

/// Runs everything and writes the section.
pub(super) fn run(session: &Session) -> Result<Section> {
    let places = Places::discover()?;
    let mut runs = Runs::open(session, "adapeft")?;
    let mut section = Section::new("Which groups to train").paragraph(claim::RULE);
    if session.wants("choice") {
        section = section.section(choice::run(session, &places, &mut runs)?);
    }
    let parts = ["budgets", "horizon", "sizes", "speed"];
    if parts.iter().any(|part| session.wants(part)) {
        let mut bench = method::Bench::open(session, &places, &mut runs)?;
        if session.wants("budgets") {
            section = section.section(budgets::run(&mut bench)?);
        }
        if session.wants("horizon") {
            section = section.section(horizon::run(&mut bench)?);
        }
        if session.wants("sizes") {
            section = section.section(sizes::run(&mut bench)?);
        }
        if session.wants("speed") {
            section = section.section(speed::run(&mut bench)?);
        }
    }
    if session.full && session.wants("large") {
        section = section.section(large::run(session, &places, &mut runs)?);
    }
    Ok(section)
}

/// Mean and standard deviation, the latter only where it is a thousandth or more.
fn cell(values: &[f64]) -> String {
    let (mean, std) = mean_and_std(values);
    let std = std.filter(|std| 1e-3 * mean.abs() < *std);
    if std.is_some() { mean_std(mean, std) } else { significant(mean, 4) }
}

/// Appends the mean of values over seeds.
fn figure(session: &Session, name: &str, values: &[f64], unit: &str, better: Better) -> Result<()> {
    let (mean, std) = mean_and_std(values);
    let n_seeds = u32::try_from(values.len()).unwrap_or(u32::MAX);
    let spread = Spread { better, std, n_seeds, config: "adapeft".into() };
    session.figure("adapeft", name, mean, unit, spread)
}
