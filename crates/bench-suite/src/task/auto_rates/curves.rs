//! Losses and rates along trainings.

use report::plot::{Plot, Series};

use super::runs::Cell;
use crate::autorate::{Outcome, rates_with_decisions};
use crate::error::Result;
use crate::task::curves::Captioned;

/// Steps that one point of a curve is the mean of.
const WINDOW: usize = 10;

/// Losses of the training batches, smoothed, of the first seed of each method.
pub(super) fn losses(title: &str, cells: &[(String, &Cell)]) -> Result<Captioned> {
    let mut plot = Plot::new(title).x_label("step").y_label("loss of the batch").log_y();
    for (label, cell) in cells {
        if let Some(outcome) = cell.outcomes.first() {
            plot = plot.series(Series::line(label.clone(), smoothed(&outcome.losses)));
        }
    }
    Ok((plot.to_svg()?, "Loss of the training batches, means of ten steps, first seed."))
}

fn smoothed(losses: &[f64]) -> Vec<(f64, f64)> {
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    losses.chunks(WINDOW).enumerate().map(|(i, part)| ((i * WINDOW) as f64, mean(part))).collect()
}

/// Rates of one group with the decisions of the fits.
pub(super) fn decisions(title: &str, outcome: &Outcome, group: usize) -> Result<Captioned> {
    let plot = rates_with_decisions(title, &outcome.trace, group);
    Ok((plot.to_svg()?, "The rate over steps; each point is a fit, marked by what it decided."))
}
