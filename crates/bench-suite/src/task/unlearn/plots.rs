//! What is forgotten against what is kept, and how losses went there.

use report::plot::{Plot, Series};

use super::methods::Measured;
use crate::error::Result;
use crate::task::curves::{Captioned, mean_and_std};

/// Methods whose courses are drawn.
const DRAWN: [&str; 6] = ["ngdiff", "blur", "gdiff", "gdiff-0.9", "npo", "lossnorm"];

pub(super) fn of(measured: &Measured) -> Result<Vec<Captioned>> {
    Ok(vec![
        (
            pareto(measured)?,
            "Means over seeds: to the upper left of the target lies what a method should reach, the gold model. ROUGE-L recall of generations.",
        ),
        (
            courses(measured)?,
            "Losses of the first seed at its checks, from the target at the lower left; the line is the loss of the gold model, where runs end.",
        ),
    ])
}

fn pareto(measured: &Measured) -> Result<report::plot::Svg> {
    let mut plot = Plot::new("What is left of both sets")
        .x_label("ROUGE-L recall on rows to forget")
        .y_label("ROUGE-L recall on rows to keep")
        .x_range(-0.02, 1.02)
        .y_range(-0.02, 1.02)
        .size(760, 520);
    let mean = |values: Vec<f64>| mean_and_std(&values).0;
    for (name, summaries) in [("target", &measured.target), ("gold model", &measured.gold)] {
        let x = mean(summaries.iter().map(|s| s.forget_rouge).collect());
        let y = mean(summaries.iter().map(|s| s.retain_rouge).collect());
        plot = plot.series(Series::points(name, [(x, y)]));
    }
    for cell in &measured.cells {
        let x = mean(cell.values(|o| o.summary.forget_rouge));
        let y = mean(cell.values(|o| o.summary.retain_rouge));
        plot = plot.series(Series::points(cell.training.method.clone(), [(x, y)]));
    }
    Ok(plot.to_svg()?)
}

fn courses(measured: &Measured) -> Result<report::plot::Svg> {
    let mut plot = Plot::new("From the target to the gold model")
        .x_label("loss on rows to forget, nats for each token")
        .y_label("loss on rows to keep")
        .vertical(measured.end, "gold model");
    for name in DRAWN {
        if let Ok(cell) = measured.cell(name)
            && let Some(outcome) = cell.outcomes.first()
        {
            let points = outcome.checks.iter().map(|c| (c.forget, c.retain));
            plot = plot.series(Series::line(name, points).with_markers());
        }
    }
    Ok(plot.to_svg()?)
}
