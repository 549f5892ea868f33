//! Rates from private losses: HyFreeDP as published and our rule, against grids whose privacy nobody paid, schedules and rivals.

mod claims;
mod cost;
mod images;
mod plots;
mod runs;
mod text;

use report::html::Section;

use super::claim;
use crate::config::ClipConfig;
use crate::data::Places;
use crate::error::Result;
use crate::session::Session;
use runs::Runs;
pub(super) use text::reader;

const TASK: &str = "hyfree";
const SEEDS: u64 = 5;

/// Sizes of one problem.
#[derive(Clone, Copy, Debug)]
struct Setting {
    problem: &'static str,
    /// In figures.
    key: &'static str,
    clipping: ClipConfig,
    epsilon: f64,
    batch_size: f64,
    steps: u64,
}

const MNIST: Setting = Setting {
    problem: "mnist/mlp-64",
    key: "mnist-eps3",
    clipping: ClipConfig::Automatic,
    epsilon: 3.0,
    batch_size: 1000.0,
    steps: 200,
};
const MNIST_8: Setting = Setting { key: "mnist-eps8", epsilon: 8.0, ..MNIST };
const FASHION: Setting = Setting { problem: "fashion-20k/mlp-64", key: "fashion-eps3", ..MNIST };

/// Runs everything and writes the section.
pub(super) fn run(session: &Session) -> Result<Section> {
    let places = Places::discover()?;
    let mut runs = Runs::open(session)?;
    let mut section = Section::new("Rates from private losses")
        .paragraph(
            "Private training on Poisson batches, on images with automatic clipping (R 1, gamma 0.01); delta n^-1.1. Each row spends the stated \
             epsilon, by the Renyi accountant, on gradients and losses together: gradients get 1.01 times the noise that would spend it \
             alone, losses of one batch and its gradient are one release. Rows of a grid pay nothing for the search, a favour to them. \
             Runs are seeded, so epsilon is a simulated one: what the run would have spent if its noise were secret. Probes come every \
             fifth step.",
        )
        .paragraph(
            "The paper (2503.00703) probes at the distance of the rate itself, from a rate of 1e-4. Our rule is not in the paper: a private \
             ladder of nine steps finds the first rate, probes go as far as the known noise of the losses asks for, and slopes and \
             curvatures are averaged by their precision. The paper's full-size claims are about pretrained vision transformers; here small \
             networks are trained from nothing.",
        )
        .paragraph(claim::RULE);
    let settings: &[Setting] =
        if session.full { &[MNIST, MNIST_8, FASHION] } else { &[MNIST, MNIST_8] };
    for setting in settings {
        if session.wants(setting.key) {
            section = section.section(images::run(&mut runs, &places, *setting)?);
        }
    }
    if session.wants("text") {
        section = section.section(text::run(&mut runs, &places)?);
    }
    if session.wants("cost") {
        section = section.section(cost::run(session, &places)?);
    }
    Ok(section)
}
