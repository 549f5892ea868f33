//! The tasks of the benchmark program: each measures something and leaves a section of the report.

mod accountant;
mod adapeft;
mod auto_rates;
mod claim;
mod curves;
mod engine;
mod filters;
mod hyfree;
mod images;
mod jobs;
mod language;
mod rates;
mod scaling;
mod slope;
mod slope_claims;
mod slope_scaling;
mod statement;
mod store;
mod unlearn;

use report::html::Section;

use crate::error::{Error, Result};
use crate::session::Session;

/// One task.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// Name on the command line.
    pub name: &'static str,
    /// What it measures, in one line.
    pub about: &'static str,
    /// Whether it runs when no task is named.
    pub default: bool,
    run: fn(&Session) -> Result<Section>,
}

/// All tasks, in the order of the report.
pub const TASKS: [Task; 15] = [
    Task {
        name: "images",
        about: "private training of small networks on image sets against their non-private twins",
        default: true,
        run: images::run,
    },
    Task {
        name: "language",
        about: "private fine-tuning of a small language model, full and with low-rank adapters",
        default: true,
        run: language::run,
    },
    Task {
        name: "engine",
        about: "time and memory of complete steps, with --peers beside PyTorch, Opacus and JAX-Privacy",
        default: false,
        run: engine::run,
    },
    Task {
        name: "accountant",
        about: "time and width of epsilons, with --peers beside dp-accounting, Opacus and prv_accountant",
        default: false,
        run: accountant::run,
    },
    Task {
        name: "scaling",
        about: "time and memory against batch, positions, width and vocabulary",
        default: false,
        run: scaling::run,
    },
    Task {
        name: "slope",
        about: "fits of slope2, with --peers beside sortedl1, skglm, celer and scikit-learn",
        default: false,
        run: slope::run,
    },
    Task {
        name: "slope-claims",
        about: "published claims about two levels against miniatures of ours, with verdicts by rule",
        default: false,
        run: slope_claims::run,
    },
    Task {
        name: "slope-scaling",
        about: "time and memory of fits of slope2 against features and observations",
        default: false,
        run: slope_scaling::run,
    },
    Task {
        name: "auto-rates",
        about: "rates from curvature against tuned schedules and rivals, with verdicts by rule",
        default: false,
        run: auto_rates::run,
    },
    Task {
        name: "adapeft",
        about: "which groups to train: choices against the best, fixed methods, horizons, sizes, speed; --full: an hour more",
        default: false,
        run: adapeft::run,
    },
    Task {
        name: "hyfree",
        about: "private training whose rates come from private losses, against grids, schedules and rivals; --full: more data",
        default: false,
        run: hyfree::run,
    },
    Task {
        name: "filters",
        about: "filters of private gradients: accuracy, error of the gradient, noise, time; --full: more data, all epsilons, hours",
        default: false,
        run: filters::run,
    },
    Task {
        name: "unlearn",
        about: "methods of unlearning by their distance from a retrained model, automatic rates, time; --full: larger models",
        default: false,
        run: unlearn::run,
    },
    Task {
        name: "rates",
        about: "the grid of learning rates behind the task images",
        default: false,
        run: rates::run,
    },
    Task {
        name: "statement",
        about: "a short unseeded private run that ends in a real privacy statement",
        default: true,
        run: statement::run,
    },
];

impl Task {
    /// Runs the task.
    ///
    /// # Errors
    /// [`Error::Interrupted`] after Ctrl-C; any error of data, models or files.
    pub fn run(&self, session: &Session) -> Result<Section> {
        (self.run)(session)
    }
}

/// The tasks of those names, or the default ones if there are no names.
///
/// # Errors
/// [`Error::UnknownTask`] with the names that exist.
pub fn select(names: &[String]) -> Result<Vec<Task>> {
    if names.is_empty() {
        return Ok(TASKS.into_iter().filter(|t| t.default).collect());
    }
    names
        .iter()
        .map(|name| {
            TASKS.into_iter().find(|t| t.name == *name).ok_or_else(|| Error::UnknownTask {
                name: name.clone(),
                known: TASKS.map(|t| t.name).join(", "),
            })
        })
        .collect()
}
