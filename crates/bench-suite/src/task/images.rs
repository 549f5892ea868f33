//! Private training on image sets: SGD and AdamW, flat and automatic clipping, epsilon 1, 3 and 8, each against the
//! non-private twin that sees the same batches.

use std::collections::BTreeMap;

use report::figures::Better;
use report::html::Section;
use report::number::{mean_std, significant};
use report::plot::{Histogram, Plot, Series};
use report::table::{Align, Table};

use super::curves::{Captioned, breakdown, by_method, curves, mean_and_std, record};
use crate::config::{ClipConfig, OptimizerConfig, PrivacyConfig, RunConfig};
use crate::data::Places;
use crate::error::Result;
use crate::outcome::Outcome;
use crate::problem::{ImageProblem, Problem};
use crate::session::Session;
use crate::train::train;

const EPSILONS: [f64; 3] = [1.0, 3.0, 8.0];

/// Sizes and rates of one problem.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    pub(super) problem: &'static str,
    batch_size: f64,
    steps: u64,
    delta: f64,
    /// Of [`METHODS`]: the best of the half-decade grid of the task `rates` at epsilon 3 (figures `rates/*`). Those of
    /// `fashion` are those of `mnist`'s grid, which has not been run on it.
    rates: [f64; 5],
}

/// The methods that need a rate of their own. AdamW does not feel the scale of automatic clipping.
pub(super) const METHODS: [(OptimizerConfig, Option<ClipConfig>); 5] = [
    (SGD, None),
    (SGD, Some(ClipConfig::Flat { norm: 1.0 })),
    (SGD, Some(ClipConfig::Automatic)),
    (ADAMW, None),
    (ADAMW, Some(ClipConfig::Automatic)),
];

const SGD: OptimizerConfig = OptimizerConfig::Sgd { momentum: 0.9 };
const ADAMW: OptimizerConfig = OptimizerConfig::Adamw { weight_decay: 0.0 };

pub(super) const DEFAULT: [Setting; 4] = [
    Setting {
        problem: "digits/mlp",
        batch_size: 256.0,
        steps: 120,
        delta: 1e-4,
        rates: [0.1, 0.3, 0.3, 0.01, 0.03],
    },
    Setting {
        problem: "digits/cnn",
        batch_size: 256.0,
        steps: 80,
        delta: 1e-4,
        rates: [0.03, 0.3, 1.0, 0.01, 0.03],
    },
    Setting {
        problem: "mnist/mlp",
        batch_size: 512.0,
        steps: 120,
        delta: 1e-5,
        rates: [0.3, 0.3, 1.0, 0.01, 0.01],
    },
    Setting {
        problem: "mnist/cnn",
        batch_size: 512.0,
        steps: 60,
        delta: 1e-5,
        rates: [0.01, 1.0, 1.0, 3e-3, 0.01],
    },
];

const FULL: [Setting; 2] = [
    Setting {
        problem: "fashion/mlp",
        batch_size: 1024.0,
        steps: 600,
        delta: 1e-6,
        rates: [0.1, 0.3, 1.0, 3e-3, 0.01],
    },
    Setting {
        problem: "fashion/cnn",
        batch_size: 1024.0,
        steps: 600,
        delta: 1e-6,
        rates: [0.01, 1.0, 1.0, 3e-3, 0.01],
    },
];

/// Runs everything and writes the section.
pub(super) fn run(session: &Session) -> Result<Section> {
    let places = Places::discover()?;
    let n_seeds = if session.full { 5 } else { 1 };
    let settings: Vec<&Setting> =
        if session.full { DEFAULT.iter().chain(&FULL).collect() } else { DEFAULT.iter().collect() };
    let mut section = Section::new("Private training on images").paragraph(
        "Each private run has a non-private twin that sees the same Poisson batches in the same order. Runs are \
         seeded, so the epsilon shown is a simulated one: what the run would have spent if its noise were secret. \
         Norms, clip rates and training losses are shown because the data are public.",
    );
    for setting in settings {
        let problem = ImageProblem::open(setting.problem, &places)?;
        let mut outcomes = Vec::new();
        for (optimizer, privacy, rate) in methods(setting) {
            for seed in 1..=n_seeds {
                let config = setting.config(optimizer, privacy, rate, seed);
                outcomes.push(train(&problem, &config, session)?);
            }
        }
        record(session, "images", &outcomes, "%", Better::Higher, accuracies)?;
        section = section.section(describe(&problem, setting, &outcomes)?);
    }
    Ok(section)
}

impl Setting {
    /// One run.
    pub(super) fn config(
        &self,
        optimizer: OptimizerConfig,
        privacy: Option<PrivacyConfig>,
        learning_rate: f64,
        seed: u64,
    ) -> RunConfig {
        RunConfig {
            problem: self.problem.into(),
            optimizer,
            learning_rate,
            batch_size: self.batch_size,
            steps: self.steps,
            privacy,
            seed,
            eval_every: (self.steps / 10).max(1),
        }
    }

    /// Clipping with noise for an epsilon.
    pub(super) fn privacy(&self, clipping: ClipConfig, epsilon: f64) -> PrivacyConfig {
        PrivacyConfig { epsilon, delta: self.delta, clipping }
    }
}

/// Optimizers, clip functions and epsilons with their rates.
fn methods(setting: &Setting) -> Vec<(OptimizerConfig, Option<PrivacyConfig>, f64)> {
    let [sgd, sgd_flat, sgd_automatic, adamw, adamw_private] = setting.rates;
    let mut out = vec![(SGD, None, sgd), (ADAMW, None, adamw)];
    for epsilon in EPSILONS {
        let private = |clipping| Some(setting.privacy(clipping, epsilon));
        let (flat, automatic) = (ClipConfig::Flat { norm: 1.0 }, ClipConfig::Automatic);
        out.push((SGD, private(flat), sgd_flat));
        out.push((SGD, private(automatic), sgd_automatic));
        out.push((ADAMW, private(flat), adamw_private));
        out.push((ADAMW, private(automatic), adamw_private));
    }
    out
}

fn accuracies(runs: &[&Outcome]) -> Vec<f64> {
    runs.iter().filter_map(|run| run.last()?.test.accuracy).map(|a| 100.0 * a).collect()
}

fn describe(problem: &ImageProblem, setting: &Setting, outcomes: &[Outcome]) -> Result<Section> {
    let groups = by_method(outcomes);
    let n_params = outcomes.first().map_or(0, |o| o.n_params);
    let mut section = Section::new(setting.problem)
        .key_values([
            ("training images", report::number::count(problem.n_train() as u64)),
            ("trainable parameters", report::number::count(n_params as u64)),
            ("expected batch size", setting.batch_size.to_string()),
            ("steps", setting.steps.to_string()),
            ("delta", significant(setting.delta, 2)),
        ])
        .table(&table(&groups));
    let batch = problem.batch(&(0..128).collect::<Vec<_>>())?;
    let loss = &problem.objective().0;
    let parts = breakdown(setting.problem, loss, &problem.initial(1)?, &batch)?;
    for (plot, caption) in plots(setting, &groups)?.into_iter().chain([parts]) {
        section = section.plot(&plot, caption);
    }
    Ok(section)
}

fn table(groups: &BTreeMap<String, Vec<&Outcome>>) -> Table {
    let mut columns = vec!["optimizer".to_owned(), "clipping".into(), "not private".into()];
    columns.extend(EPSILONS.iter().rev().map(|e| format!("epsilon {e}")));
    let mut table =
        Table::new(columns).with_caption("Test accuracy in percent after the last step");
    for column in 2..6 {
        table = table.align(column, Align::Right);
    }
    let cell = |label: &str| {
        groups.get(label).map_or_else(String::new, |runs| {
            let (mean, std) = mean_and_std(&accuracies(runs));
            mean_std(mean, std)
        })
    };
    for optimizer in ["SGD", "AdamW"] {
        for clipping in ["flat", "automatic"] {
            let mut row = vec![
                optimizer.to_owned(),
                clipping.to_owned(),
                cell(&format!("{optimizer}, not private")),
            ];
            row.extend(
                EPSILONS
                    .iter()
                    .rev()
                    .map(|e| cell(&format!("{optimizer}, {clipping} clipping, epsilon {e}"))),
            );
            table.push_row(row);
        }
    }
    table
}

fn plots(setting: &Setting, groups: &BTreeMap<String, Vec<&Outcome>>) -> Result<Vec<Captioned>> {
    // The private runs first, so that a run has the same color in every plot.
    let labels = EPSILONS
        .iter()
        .rev()
        .map(|e| format!("AdamW, automatic clipping, epsilon {e}"))
        .chain(["AdamW, not private".to_owned()]);
    let runs: Vec<(String, &Outcome)> =
        labels.filter_map(|l| groups.get(&l)?.first().map(|run| (l, *run))).collect();
    let mut out = curves(setting.problem, &runs)?;
    let flat = |optimizer: &str| groups.get(&format!("{optimizer}, flat clipping, epsilon 3"));
    let mut clip = Plot::new(format!("{}: clip rate", setting.problem))
        .x_label("step")
        .y_label("share of samples shortened in %")
        .y_range(0.0, 100.0);
    let mut norms = Histogram::new(format!("{}: norms in the last batch", setting.problem))
        .x_label("norm of the per-sample gradient")
        .y_label("samples")
        .vertical(1.0, "clip norm");
    let mut any = false;
    for optimizer in ["SGD", "AdamW"] {
        if let Some(run) = flat(optimizer).and_then(|runs| runs.first()) {
            let rates =
                run.points.iter().filter_map(|p| Some((p.step as f64, 100.0 * p.clip_rate?)));
            let label = format!("{optimizer}, flat clipping, epsilon 3");
            clip = clip.series(Series::line(label.clone(), rates));
            norms = norms.values(label, run.norms.iter().copied());
            any = true;
        }
    }
    if any {
        out.push((clip.to_svg()?, "How many samples flat clipping at norm 1 shortens."));
        out.push((
            norms.to_svg()?,
            "Norms of per-sample gradients in the last batch, before clipping.",
        ));
    }
    Ok(out)
}
