//! Errors along training, resemblance of gradients, and what filters do to frequencies.

use report::plot::{Plot, Series, Svg};

use super::Setting;
use super::comparison::Column;
use super::runs::Cell;
use crate::error::Result;
use crate::filters::{Base, Filtering, Outcome};
use crate::task::curves::Captioned;

pub(super) const RESPONSES: &str =
    "What an oscillation of the gradient is multiplied by, at parameters that do not move.";

/// Frequencies of the curves.
const N_FREQUENCIES: usize = 200;

pub(super) fn along(setting: &Setting, column: &Column) -> Result<Vec<Captioned>> {
    let mut errors = Plot::new(format!("{}: error of the estimate", setting.key))
        .x_label("step")
        .y_label("over the squared norm of the truth")
        .log_y();
    for cell in &column.cells {
        errors = errors.series(Series::line(cell.filtering.name(), relative(cell)));
    }
    let mut out = vec![(
        errors.to_svg()?,
        "Squared distance of each estimate from the true gradient over its squared norm, SGD, mean over seeds.",
    )];
    let none = column.cell(Filtering::None)?;
    let lags = none.outcomes.iter().map(|outcome| outcome.correlation.len()).min().unwrap_or(0);
    if 0 < lags {
        let mean = |lag: usize| {
            let all = none.outcomes.iter().filter_map(|outcome| outcome.correlation.get(lag));
            all.sum::<f64>() / none.outcomes.len() as f64
        };
        let points = (0..lags).map(|lag| ((lag + 1) as f64, mean(lag)));
        let plot = Plot::new(format!("{}: resemblance of true gradients", setting.key))
            .x_label("steps between them")
            .y_label("cosine")
            .series(Series::line("no filter, SGD", points).with_markers());
        out.push((
            plot.to_svg()?,
            "A filter helps as far as gradients within its memory resemble each other; middle of the training, mean over seeds.",
        ));
    }
    Ok(out)
}

/// Step and mean over seeds of the error over the truth.
fn relative(cell: &Cell) -> Vec<(f64, f64)> {
    let n = cell.outcomes.iter().map(|outcome: &Outcome| outcome.points.len()).min().unwrap_or(0);
    let at = |i: usize| {
        let all = cell.outcomes.iter().filter_map(|outcome| outcome.points.get(i));
        let sum: f64 = all.map(|point| point.filtered / point.truth).sum();
        let step = cell.outcomes.first().and_then(|outcome| outcome.points.get(i));
        (step.map_or(0.0, |point| point.step as f64), sum / cell.outcomes.len() as f64)
    };
    (0..n).map(at).collect()
}

/// Frequency responses of all filters.
pub(super) fn responses() -> Result<Svg> {
    let mut plot =
        Plot::new("Frequency responses".to_owned()).x_label("cycles per step").y_label("decibels");
    for filtering in Filtering::all(Base::Sgd) {
        let answers = filtering.at_rest()?.frequency_response(N_FREQUENCIES)?;
        let points = answers.iter().map(|r| (r.frequency, r.decibels().max(-60.0)));
        plot = plot.series(Series::line(filtering.name(), points));
    }
    Ok(plot.to_svg()?)
}
