//! Rates, distances and bounds along training; accuracies as bars.

use report::plot::{Bars, Plot, Series};

use super::Setting;
use super::images::{Column, STARTS};
use super::runs::Cell;
use crate::error::Result;
use crate::hyfree::{Base, Outcome};
use crate::task::curves::{Captioned, mean_and_std};

/// Step, distance and bound of a probe.
type Probe = (u64, f64, f64);

pub(super) fn all(setting: &Setting, columns: &[Column]) -> Result<Vec<Captioned>> {
    let mut out = vec![accuracies(setting, columns)?];
    for column in columns.iter().filter(|column| column.base != Base::HeavyBall) {
        let title = |what: &str| format!("{}, {}: {what}", setting.key, column.base.name());
        let mut rates = Plot::new(title("rate")).x_label("step").y_label("rate").log_y();
        for (label, cell) in shown(column) {
            if let Some(outcome) = cell.outcomes.first() {
                rates = rates.series(Series::indexed(label, outcome.rates.iter().copied()));
            }
        }
        out.push((rates.to_svg()?, "The rate of each step, first seed."));
        let distance = |probe: &Probe| probe.1;
        let plot = of_probes(
            title("distance of the probes"),
            "multiples of the direction",
            column,
            &distance,
        );
        out.push((
            plot.to_svg()?,
            "How far each probe went, first seed; at step 0 the longest rung of the ladder.",
        ));
        let plot = of_probes(title("clip bound of losses"), "nats", column, &|probe| probe.2);
        out.push((
            plot.to_svg()?,
            "The bound that each probe's losses were clipped at, first seed.",
        ));
    }
    Ok(out)
}

fn shown(column: &Column) -> Vec<(String, &Cell)> {
    let mut shown = vec![
        ("our rule, with a ladder".to_owned(), &column.ladder),
        ("as published, from 1e-4".to_owned(), &column.paper[0]),
        ("as published, from 1e-2".to_owned(), &column.paper[1]),
    ];
    let from = STARTS.iter().zip(&column.from);
    shown.extend(from.map(|(start, cell)| (format!("our rule, from {start}"), cell)));
    shown.push(("best constant rate".to_owned(), &column.tuned[0]));
    shown
}

fn of_probes(title: String, y: &str, column: &Column, of: &dyn Fn(&Probe) -> f64) -> Plot {
    let mut plot = Plot::new(title).x_label("step").y_label(y).log_y();
    for (label, cell) in shown(column) {
        let probes = cell.outcomes.first().map_or(&[][..], |outcome: &Outcome| &outcome.probes);
        if !probes.is_empty() {
            let points = probes.iter().map(|probe| (probe.0 as f64, of(probe)));
            plot = plot.series(Series::line(label, points).with_markers());
        }
    }
    plot
}

fn accuracies(setting: &Setting, columns: &[Column]) -> Result<Captioned> {
    let labels: Vec<&str> = columns.iter().map(|column| column.base.name()).collect();
    let title = format!("{}: accuracy", setting.key);
    let mut bars = Bars::new(title, labels).y_label("test accuracy in %");
    let mut add = |label: &str, of: &dyn Fn(&Column) -> Vec<f64>| -> Result<()> {
        let values: Vec<(f64, Option<f64>)> =
            columns.iter().map(|column| mean_and_std(&of(column))).collect();
        let (means, stds): (Vec<f64>, Vec<f64>) =
            values.into_iter().map(|(mean, std)| (mean, std.unwrap_or(0.0))).unzip();
        bars = bars.clone().series_with_std(label, means, stds)?;
        Ok(())
    };
    add("grid, unpaid", &|column| column.tuned[0].accuracies())?;
    add("grid, fading, unpaid", &|column| column.tuned[1].accuracies())?;
    add("DP-hyper", &|column| column.hyper.accuracies())?;
    add("our rule, ladder", &|column| column.ladder.accuracies())?;
    add("our rule, from 1e-4", &|column| {
        column.from.first().map(Cell::accuracies).unwrap_or_default()
    })?;
    add("as published, from 1e-4", &|column| column.paper[0].accuracies())?;
    add("as published, from 1e-2", &|column| column.paper[1].accuracies())?;
    Ok((bars.to_svg()?, "Means over seeds with standard deviations."))
}
