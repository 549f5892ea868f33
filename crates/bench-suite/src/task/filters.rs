//! Filters of private gradients: what they do to accuracy, to the estimate of the gradient, to noise and to time.

mod claims;
mod comparison;
mod cost;
mod plots;
mod runs;

use report::html::Section;
use report::number::significant;
use report::table::{Align, Table};

use super::claim;
use super::hyfree::reader;
use crate::config::ClipConfig;
use crate::data::Places;
use crate::error::Result;
use crate::filters::{Base, Filtering, Training, Watch, noise_gain};
use crate::hyfree::Trained;
use crate::problem::{ImageProblem, Restaurants};
use crate::session::Session;
use runs::{Quality, Runs};

const TASK: &str = "filters";
const SEEDS: u64 = 5;
/// The seed that rates are chosen with; no run that is shown has it.
const TUNING_SEED: u64 = 1000;

/// Sizes of one problem.
#[derive(Clone, Copy, Debug)]
struct Setting {
    /// In figures.
    key: &'static str,
    clipping: ClipConfig,
    /// The first is the one that rates are chosen at.
    epsilons: &'static [f64],
    batch_size: f64,
    steps: u64,
    /// Half decades.
    sgd: [f64; 5],
    adamw: [f64; 5],
    quality: Quality,
    /// Whether errors of estimates are measured.
    watched: bool,
}

const MNIST: Setting = Setting {
    key: "mnist",
    clipping: ClipConfig::Automatic,
    epsilons: &[3.0],
    batch_size: 1000.0,
    steps: 200,
    sgd: [0.3, 1.0, 3.0, 10.0, 30.0],
    adamw: [3e-4, 1e-3, 3e-3, 1e-2, 3e-2],
    quality: Quality::Accuracy,
    watched: true,
};
const MNIST_PROBLEM: &str = "mnist/mlp-64";
const DIGITS: Setting = Setting { key: "digits", batch_size: 128.0, steps: 300, ..MNIST };
const FULL: Setting = Setting { epsilons: &[3.0, 1.0, 8.0], watched: false, ..MNIST };
const FASHION: Setting = Setting { key: "fashion", ..FULL };
const SIGNS: Setting = Setting { key: "signs", batch_size: 200.0, ..FULL };
/// Adapters and biases want larger steps than whole networks.
const BITFIT: Setting = Setting {
    key: "sms-bitfit",
    clipping: ClipConfig::Flat { norm: 1.0 },
    batch_size: 300.0,
    steps: 80,
    sgd: [0.1, 0.3, 1.0, 3.0, 10.0],
    adamw: [3e-3, 1e-2, 3e-2, 1e-1, 3e-1],
    ..FULL
};
const LORA: Setting = Setting { key: "sms-lora", ..BITFIT };
const E2E: Setting = Setting {
    key: "e2e-lora",
    batch_size: 200.0,
    steps: 60,
    adamw: [1e-3, 3e-3, 1e-2, 3e-2, 1e-1],
    quality: Quality::Loss,
    ..BITFIT
};

/// Runs everything and writes the section.
pub(super) fn run(session: &Session) -> Result<Section> {
    let places = Places::discover()?;
    let mut runs = Runs::open(session)?;
    let mut section = Section::new("Filters of private gradients")
        .paragraph(
            "Private training on Poisson batches, on images with automatic clipping (R 1, gamma 0.01), on texts with flat clipping at norm 1; delta n^-1.1; noise by the accountant of \
             privacy losses, the same for all methods of a table, since filters cost no privacy. For each method the rate is the best of one \
             grid for one further seed, by the held-out records that are shown, and at the first epsilon: a favour to all methods alike. DOPPLER (2408.13460) averages gradients; DiSK (2410.03883) corrects its average by the change of the \
             gradient along the last step.",
        )
        .paragraph(
            "The truth is the mean over all records of the clipped gradient at the present parameters. The error of an estimate is the squared \
             distance from it, summed over coordinates, every tenth step; that of an unfiltered gradient is measured at the same parameters \
             with another batch and other noise.",
        )
        .paragraph(claim::RULE);
    let images = [(DIGITS, "digits/mlp"), (MNIST, MNIST_PROBLEM)];
    let more = [(FASHION, "fashion-20k/mlp-64"), (SIGNS, "signs/cnn")];
    for (setting, name) in images.into_iter().chain(more.into_iter().filter(|_| session.full)) {
        if session.wants(setting.key) {
            let problem = ImageProblem::open(name, &places)?;
            section = section.section(comparison::run(&mut runs, &problem, &setting)?);
        }
    }
    if session.full {
        for (setting, trained) in [(BITFIT, Trained::Biases), (LORA, Trained::Adapters)] {
            if session.wants(setting.key) {
                let problem = reader(session, &places, trained)?;
                section = section.section(comparison::run(&mut runs, &problem, &setting)?);
            }
        }
        if session.wants(E2E.key) {
            let problem = Restaurants::open(&places)?;
            section = section.section(comparison::run(&mut runs, &problem, &E2E)?);
        }
    }
    if session.wants("noise") {
        section = section.section(noise(session, &places)?);
    }
    if session.wants("cost") {
        section = section.section(cost::run(session)?);
    }
    Ok(section)
}

impl Setting {
    fn grid(&self, base: Base) -> &[f64] {
        match base {
            Base::Sgd => &self.sgd,
            Base::AdamW => &self.adamw,
        }
    }

    fn training(&self, filtering: Filtering, base: Base, rate: f64) -> Training {
        Training {
            filtering,
            base,
            rate,
            clipping: self.clipping,
            epsilon: self.epsilons.first().copied().unwrap_or(3.0),
            batch_size: self.batch_size,
            steps: self.steps,
            seed: 0,
            watch: Watch::Nothing,
        }
    }
}

/// What filters make of noise alone.
fn noise(session: &Session, places: &Places) -> Result<Section> {
    let problem = ImageProblem::open(MNIST_PROBLEM, places)?;
    let mut table = Table::new(["filter", "measured", "predicted", "off by, %"]).with_caption(
        "Variance of the estimate over that of a private gradient, on empty batches at parameters that do not move",
    );
    for column in 1..4 {
        table = table.align(column, Align::Right);
    }
    let mut checks = Vec::new();
    let task = session.progress.task("filters: noise", Filtering::all(Base::Sgd).len() as u64);
    for filtering in Filtering::all(Base::Sgd) {
        if session.interrupt.is_set() {
            return Err(crate::Error::Interrupted);
        }
        let gain = noise_gain(&problem, &MNIST.training(filtering, Base::Sgd, 1.0))?;
        let off = 100.0 * (gain.measured / gain.predicted - 1.0);
        table.push_row([
            filtering.name(),
            significant(gain.measured, 4),
            significant(gain.predicted, 4),
            significant(off, 2),
        ]);
        checks.push(claim::Check {
            what: format!("{}: percent off the prediction", filtering.name()),
            asks: claim::Asks::AtMost(2.0),
            values: vec![off.abs()],
        });
        task.advance(1);
    }
    task.finish();
    let claim = claim::Claim {
        published: "Theory: a filter multiplies the variance of noise by the sum of its squared weights",
        miniature:
            "200 steps of 50,890 coordinates after 100 that are left out; within two percent".into(),
        command: "cargo xtask bench filters --only noise",
        seeds: "one".into(),
        checks,
    };
    Ok(Section::new("Noise")
        .table(&table)
        .plot(&plots::responses()?, plots::RESPONSES)
        .section(claim.section()))
}
