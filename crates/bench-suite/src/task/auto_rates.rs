//! Rates from curvature on small networks, against schedules that were tuned and against rivals.

mod choice;
mod cost;
mod curves;
mod first_rate;
mod groups;
mod lora;
mod rivals;
mod runs;

use hessian_lr::controller::{FirstRate, Gen, HiDlr, Settings};
use hessian_lr::driver::ProbeData;
use report::html::Section;

use super::claim;
use crate::autorate::{Base, Grouped, Method, Perceptron};
use crate::data::Places;
use crate::error::Result;
use crate::session::Session;
use runs::Runs;

const TASK: &str = "auto-rates";
/// Steps of every training on digits, and records of a batch.
const STEPS: u64 = 600;
const BATCH: usize = 128;
const SEEDS: u64 = 5;
const SEEDS_OF_FULL: u64 = 20;

/// Runs everything and writes the section.
pub(super) fn run(session: &Session) -> Result<Section> {
    let places = Places::discover()?;
    let digits = Perceptron::digits(&places, |_| 1.0)?;
    let mut runs = Runs::open(session)?;
    let mut section = Section::new("Rates that nobody chooses").paragraph(format!(
        "A perceptron 64-64-32-10 on digits of 8x8, 1400 to train on and 397 held out, {STEPS} steps of {BATCH}. Losses are means \
         over the whole training set after the last step, as geometric means over seeds. Defaults are those of \
         `Settings::of_steps`, the same everywhere. Seconds are of the processor, of the steps alone."
    ));
    section = section.paragraph(claim::RULE);
    if session.wants("first-rate") || session.wants("rivals") {
        let tuned = first_rate::tune(&mut runs, &digits)?;
        if session.wants("first-rate") {
            section = section.section(first_rate::run(&mut runs, &digits, &tuned)?);
        }
        if session.wants("rivals") {
            section = section.section(rivals::run(&mut runs, &digits, &tuned)?);
        }
    }
    if session.wants("settings") {
        section = section.section(choice::run(&mut runs, &places)?);
    }
    if session.wants("groups") {
        section = section.section(groups::run(&mut runs, &places)?);
    }
    if session.wants("lora") {
        section = section.section(lora::run(&mut runs, &places)?);
    }
    if session.wants("cost") {
        section = section.section(cost::run(session, &digits)?);
    }
    Ok(section)
}

fn settings(first_rate: FirstRate, steps: u64) -> Settings {
    Settings { first_rate, ..Settings::of_steps(steps) }
}

/// One rate with the defaults.
fn gen_of(base: Base, settings: Settings) -> Method {
    Method::Gen { base, controller: Gen { settings }, probe_data: ProbeData::default() }
}

/// A rate for each group with the defaults.
fn hidlr_of(base: Base, settings: Settings, groups: Grouped) -> Method {
    let controller = HiDlr { settings, ..HiDlr::default() };
    Method::HiDlr { base, controller, probe_data: ProbeData::default(), groups }
}
