//! Filters of private gradients: what they do to accuracy, to the estimate of the gradient, to noise and to time.

mod claims;
mod cost;
mod images;
mod plots;
mod runs;

use report::html::Section;
use report::number::significant;
use report::table::{Align, Table};

use super::claim;
use crate::config::ClipConfig;
use crate::data::Places;
use crate::error::Result;
use crate::filters::{Base, Filtering, Training, Watch, noise_gain};
use crate::problem::ImageProblem;
use crate::session::Session;
use runs::Runs;

const TASK: &str = "filters";
const SEEDS: u64 = 5;
/// The seed that rates are chosen with; no run that is shown has it.
const TUNING_SEED: u64 = 1000;

/// Sizes of one problem.
#[derive(Clone, Copy, Debug)]
struct Setting {
    problem: &'static str,
    /// In figures.
    key: &'static str,
    clipping: ClipConfig,
    /// The first is the one that rates are chosen at.
    epsilons: &'static [f64],
    batch_size: f64,
    steps: u64,
    /// Whether errors of estimates are measured.
    watched: bool,
}

const DIGITS: Setting = Setting {
    problem: "digits/mlp",
    key: "digits",
    clipping: ClipConfig::Automatic,
    epsilons: &[3.0],
    batch_size: 128.0,
    steps: 300,
    watched: true,
};
const MNIST: Setting = Setting {
    problem: "mnist/mlp-64",
    key: "mnist",
    clipping: ClipConfig::Automatic,
    epsilons: &[3.0],
    batch_size: 1000.0,
    steps: 200,
    watched: true,
};
const ALL_EPSILONS: &[f64] = &[3.0, 1.0, 8.0];
const FASHION: Setting = Setting {
    problem: "fashion-20k/mlp-64",
    key: "fashion",
    epsilons: ALL_EPSILONS,
    watched: false,
    ..MNIST
};
const SIGNS: Setting = Setting {
    problem: "signs/cnn",
    key: "signs",
    epsilons: ALL_EPSILONS,
    batch_size: 200.0,
    steps: 200,
    watched: false,
    ..MNIST
};

/// Runs everything and writes the section.
pub(super) fn run(session: &Session) -> Result<Section> {
    let places = Places::discover()?;
    let mut runs = Runs::open(session)?;
    let mut section = Section::new("Filters of private gradients")
        .paragraph(
            "Private training on Poisson batches with automatic clipping (R 1, gamma 0.01); delta n^-1.1; noise by the accountant of \
             privacy losses, the same for all methods of a table, since filters cost no privacy. For each method the rate is the best of one \
             grid for one further seed. DOPPLER (2408.13460) averages gradients; DiSK (2410.03883) corrects its average by the change of the \
             gradient along the last step.",
        )
        .paragraph(
            "The truth is the mean over all records of the clipped gradient at the present parameters. The error of an estimate is the squared \
             distance from it, summed over coordinates, every tenth step; that of an unfiltered gradient is measured at the same parameters \
             with another batch and other noise.",
        )
        .paragraph(claim::RULE);
    let settings: &[Setting] =
        if session.full { &[DIGITS, MNIST, FASHION, SIGNS] } else { &[DIGITS, MNIST] };
    for setting in settings {
        if session.wants(setting.key) {
            section = section.section(images::run(&mut runs, &places, *setting)?);
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
    let problem = ImageProblem::open(MNIST.problem, places)?;
    let mut table = Table::new(["filter", "measured", "predicted", "off by, %"]).with_caption(
        "Variance of the estimate over that of a private gradient, on empty batches at parameters that do not move",
    );
    for column in 1..4 {
        table = table.align(column, Align::Right);
    }
    let mut checks = Vec::new();
    let task = session.progress.task("filters: noise", Filtering::ALL.len() as u64);
    for filtering in Filtering::ALL {
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
