//! Private fine-tuning of a small pretrained language model on Shakespeare's plays: all parameters or low-rank adapters.

use report::figures::Better;
use report::html::Section;
use report::number::{mean_std, significant};
use report::table::{Align, Table};

use super::curves::{breakdown, by_method, curves, mean_and_std, record};
use crate::config::{ClipConfig, OptimizerConfig, PrivacyConfig, RunConfig};
use crate::data::Places;
use crate::error::Result;
use crate::outcome::Outcome;
use crate::problem::{LanguageProblem, Problem, Tuning, WINDOW};
use crate::session::Session;
use crate::train::train;

const EPSILONS: [f64; 3] = [1.0, 3.0, 8.0];
const DELTA: f64 = 1e-5;

/// Runs everything and writes the section.
pub(super) fn run(session: &Session) -> Result<Section> {
    let places = Places::discover()?;
    let (n_seeds, batch_size, steps) = if session.full { (5, 512.0, 300) } else { (1, 96.0, 32) };
    let mut section = Section::new("Private fine-tuning of a language model").paragraph(format!(
        "A Llama of 260,032 parameters, pretrained on children's stories, learns Shakespeare's plays. The unit of \
         privacy is one window of {WINDOW} tokens. Noise is seeded, so the epsilon shown is a simulated one; training \
         losses are shown because the data are public."
    ));
    for tuning in [Tuning::Full, Tuning::Lora] {
        let problem = LanguageProblem::open(tuning, &places)?;
        let rate = match tuning {
            Tuning::Full => 1e-3,
            Tuning::Lora => 3e-3,
        };
        let mut outcomes = Vec::new();
        for epsilon in std::iter::once(None).chain(EPSILONS.into_iter().map(Some)) {
            for seed in 1..=n_seeds {
                let privacy = epsilon.map(|epsilon| PrivacyConfig {
                    epsilon,
                    delta: DELTA,
                    clipping: ClipConfig::Automatic,
                });
                let config = RunConfig {
                    problem: problem.name().into(),
                    optimizer: OptimizerConfig::Adamw { weight_decay: 0.0 },
                    learning_rate: rate,
                    batch_size,
                    steps,
                    privacy,
                    seed,
                    eval_every: (steps / 8).max(1),
                };
                outcomes.push(train(&problem, &config, session)?);
            }
        }
        record(session, "language", &outcomes, "nats", Better::Lower, losses)?;
        let before = problem.evaluate(&problem.initial(1)?)?.loss;
        section = section.section(describe(&problem, before, &outcomes)?);
    }
    Ok(section)
}

fn losses(runs: &[&Outcome]) -> Vec<f64> {
    runs.iter().filter_map(|run| Some(run.last()?.test.loss)).collect()
}

fn describe(problem: &LanguageProblem, before: f64, outcomes: &[Outcome]) -> Result<Section> {
    let groups = by_method(outcomes);
    let mut table = Table::new(["method", "held-out loss in nats per token", "noise multiplier"])
        .with_caption("After the last step")
        .align(1, Align::Right)
        .align(2, Align::Right);
    table.push_row(["before training".to_owned(), significant(before, 4), String::new()]);
    for (label, runs) in &groups {
        let (mean, std) = mean_and_std(&losses(runs));
        let noise = runs.first().map_or(0.0, |r| r.noise_multiplier);
        table.push_row([label.clone(), mean_std(mean, std), significant(noise, 3)]);
    }
    let first = outcomes.first();
    let config = first.map(|o| &o.config);
    let mut section = Section::new(problem.name())
        .key_values([
            ("training windows", report::number::count(problem.n_train() as u64)),
            ("trainable parameters", report::number::count(first.map_or(0, |o| o.n_params) as u64)),
            ("expected batch size", config.map_or(0.0, |c| c.batch_size).to_string()),
            ("steps", config.map_or(0, |c| c.steps).to_string()),
            ("delta", significant(DELTA, 2)),
        ])
        .table(&table);
    // In the order of the labels: the private runs first, so that a run has the same color in every plot.
    let runs: Vec<(String, &Outcome)> =
        groups.iter().filter_map(|(l, runs)| runs.first().map(|run| (l.clone(), *run))).collect();
    let batch = problem.batch(&(0..64).collect::<Vec<_>>())?;
    let parts = breakdown(problem.name(), &problem.objective().0, &problem.initial(1)?, &batch)?;
    for (plot, caption) in curves(problem.name(), &runs)?.into_iter().chain([parts]) {
        section = section.plot(&plot, caption);
    }
    Ok(section)
}
