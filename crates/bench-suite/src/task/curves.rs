//! What the training tasks share: runs by method, curves, and figures.

use std::collections::BTreeMap;

use report::figures::Better;
use report::plot::{Bars, Plot, Series, Svg};
use tape_nn::TapeLoss;
use tensor_tree::Tree;

use crate::engine::{Mode, Parts, step};
use crate::error::Result;
use crate::outcome::{Outcome, Point};
use crate::session::{Session, Spread};

/// A plot with its caption.
pub(super) type Captioned = (Svg, &'static str);

/// Runs that differ in the seed alone.
pub(super) fn by_method(outcomes: &[Outcome]) -> BTreeMap<String, Vec<&Outcome>> {
    let mut groups: BTreeMap<String, Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes {
        groups.entry(outcome.config.label()).or_default().push(outcome);
    }
    groups
}

/// Mean, and standard deviation where there are several values.
pub(super) fn mean_and_std(values: &[f64]) -> (f64, Option<f64>) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let std = (1 < values.len())
        .then(|| (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt());
    (mean, std)
}

/// Appends the mean of `of` over seeds as the figure of each method.
pub(super) fn record(
    session: &Session,
    task: &str,
    outcomes: &[Outcome],
    unit: &str,
    better: Better,
    of: impl Fn(&[&Outcome]) -> Vec<f64>,
) -> Result<()> {
    for runs in by_method(outcomes).values() {
        let Some(first) = runs.first() else { continue };
        let (mean, std) = mean_and_std(&of(runs));
        let config = &first.config;
        let method = match &config.privacy {
            None => "twin".to_owned(),
            Some(p) => format!("{}-eps{}", p.clipping.name(), p.epsilon),
        };
        let optimizer = config.optimizer.name().to_lowercase();
        let name = format!("{}-{optimizer}-{method}", config.problem.replace('/', "-"));
        let n_seeds = u32::try_from(runs.len()).unwrap_or(u32::MAX);
        let spread = Spread { better, std, n_seeds, config: config.hash()? };
        session.figure(task, &name, mean, unit, spread)?;
    }
    Ok(())
}

/// Held-out quality, training loss and simulated epsilon along training.
pub(super) fn curves(title: &str, runs: &[(String, &Outcome)]) -> Result<Vec<Captioned>> {
    let curve = |what: &str, y: &str, of: &dyn Fn(&Point) -> Option<f64>| {
        let mut plot = Plot::new(format!("{title}: {what}")).x_label("step").y_label(y);
        for (label, run) in runs {
            let points: Vec<(f64, f64)> =
                run.points.iter().filter_map(|p| Some((p.step as f64, of(p)?))).collect();
            if !points.is_empty() {
                plot = plot.series(Series::line(label.clone(), points));
            }
        }
        plot
    };
    let has_classes = runs.iter().any(|(_, r)| r.last().is_some_and(|p| p.test.accuracy.is_some()));
    let mut out = Vec::new();
    if has_classes {
        let accuracy = |p: &Point| p.test.accuracy.map(|a| 100.0 * a);
        out.push((
            curve("test accuracy", "accuracy in %", &accuracy).to_svg()?,
            "Accuracy on held-out samples along training.",
        ));
    } else {
        out.push((
            curve("held-out loss", "loss in nats", &|p| Some(p.test.loss)).to_svg()?,
            "Mean loss on held-out samples along training.",
        ));
    }
    out.push((
        curve("training loss", "mean loss in nats", &|p| p.train_loss).to_svg()?,
        "Mean loss of the training batches between two evaluations.",
    ));
    out.push((
        curve("privacy spent", "simulated epsilon", &|p| p.simulated_epsilon).to_svg()?,
        "Simulated epsilon along training.",
    ));
    Ok(out)
}

/// Where the time of one step on `batch` goes, not private and private: medians of several steps.
pub(super) fn breakdown<L: TapeLoss>(
    title: &str,
    loss: &L,
    params: &Tree,
    batch: &L::Batch,
) -> Result<Captioned> {
    const STEPS: u64 = 7;
    let mut times: Vec<Vec<Parts>> = Vec::new();
    for mode in [Mode::Plain, Mode::Private] {
        step(loss, params, batch, mode, 0)?;
        let parts = (1..=STEPS).map(|i| Ok(step(loss, params, batch, mode, i)?.1));
        times.push(parts.collect::<Result<_>>()?);
    }
    let mut bars = Bars::new(format!("{title}: parts of a step"), ["not private", "private"])
        .y_label("ms")
        .stacked();
    for part in 0..Parts::default().named().len() {
        let of = |parts: &Vec<Parts>| {
            let mut values: Vec<f64> = parts.iter().map(|p| p.named()[part].1).collect();
            values.sort_by(f64::total_cmp);
            1e3 * values[values.len() / 2]
        };
        bars = bars.series(Parts::default().named()[part].0, times.iter().map(of))?;
    }
    Ok((bars.to_svg()?, "Where the time of one step goes, all threads."))
}
