//! Plots of a run and of exams.

use report::plot::{Plot, Series};
use unlearn::exam::Findings;
use unlearn::run::{Check, StepLog};

use super::numbers::Named;
use crate::command::write::{Picture, picture};
use crate::error::Result;

/// Pictures that a command may leave.
pub(super) const PICTURES: [&str; 6] =
    ["checks.svg", "path.svg", "losses.svg", "rates.svg", "cosine.svg", "pareto.svg"];

/// What a run is drawn of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trajectory<'a> {
    pub(super) checks: &'a [Check],
    pub(super) log: &'a [StepLog],
    /// The step whose parameters were kept.
    pub(super) kept: u64,
    /// The loss of a random guess, in nats.
    pub(super) random_guess: f64,
    /// Whether the steps learned the forget set, to be taken off afterwards.
    pub(super) is_vector: bool,
}

/// Both losses over the steps, against each other, and how steps were taken.
///
/// # Errors
/// Plots that cannot be drawn.
pub(super) fn trajectory(of: &Trajectory<'_>) -> Result<Vec<Picture>> {
    let Trajectory { checks, log, kept, random_guess, is_vector } = *of;
    let mut pictures = Vec::new();
    let over = |of: fn(&Check) -> f64| checks.iter().map(move |c| (c.step as f64, of(c)));
    let mut plot = Plot::new("Losses of checks")
        .x_label("step")
        .y_label("nats per token")
        .series(Series::line("forget", over(|c| c.forget)).with_markers())
        .series(Series::line("retain", over(|c| c.retain)).with_markers())
        .vertical(kept as f64, "kept");
    // A level far above all losses would flatten them.
    let highest = checks.iter().map(|c| c.forget.max(c.retain)).fold(0.0, f64::max);
    if random_guess < 3.0 * highest {
        plot = plot.horizontal(random_guess, "random guess");
    }
    let caption = if is_vector {
        "Mean -log p per token on fixed rows of both sets, while the forget set is learned: what that adds is then taken off."
    } else {
        "Mean -log p per token on fixed rows of both sets. The forget loss should rise, the retain loss should not."
    };
    pictures.extend(picture("checks.svg", caption, plot.to_svg())?);

    let way: Vec<(f64, f64)> = checks.iter().map(|c| (c.forget, c.retain)).collect();
    let start = way.first().copied();
    let end = checks.iter().find(|c| c.step == kept).map(|c| (c.forget, c.retain));
    let plot = Plot::new("Forgetting against keeping, along the run")
        .x_label("forget loss, nats per token")
        .y_label("retain loss, nats per token")
        .series(Series::line("checks", way))
        .series(Series::points("start", start))
        .series(Series::points("kept", end));
    let caption = "Each check is a point: to the right more is forgotten, upwards more is lost of what should be kept.";
    if !is_vector {
        pictures.extend(picture("path.svg", caption, plot.to_svg())?);
    }

    let steps = |of: fn(&StepLog) -> Option<f64>| {
        log.iter().map(move |l| (l.step as f64, of(l).unwrap_or(f64::NAN)))
    };
    let plot = Plot::new("Losses of batches")
        .x_label("step")
        .y_label("nats per token")
        .series(Series::line("forget", steps(|l| l.forget_nll)))
        .series(Series::line(if is_vector { "learned" } else { "retain" }, steps(|l| l.retain)));
    let caption = "Before each step, on its own rows. Where a method sees one set alone, the other has no data.";
    pictures.extend(picture("losses.svg", caption, plot.to_svg())?);

    let taken = |l: &StepLog| l.skipped.is_none().then_some(l.rate);
    let plot = Plot::new("Learning rate")
        .x_label("step")
        .y_label("rate")
        .log_y()
        .series(Series::line("rate", steps(taken)));
    pictures.extend(picture("rates.svg", "The rate of each step that was taken.", plot.to_svg())?);

    let plot = Plot::new("Cosine between both gradients")
        .x_label("step")
        .y_label("cosine")
        .y_range(-1.05, 1.05)
        .horizontal(0.0, "")
        .series(Series::line("cosine", steps(|l| l.cosine)));
    let caption = "Of the gradients of both losses that are descended: negative where keeping and forgetting are in conflict.";
    pictures.extend(picture("cosine.svg", caption, plot.to_svg())?);
    Ok(pictures)
}

/// What models know of both sets, one point for each.
///
/// # Errors
/// Plots that cannot be drawn.
pub(super) fn pareto(models: &[Named<'_>]) -> Result<Option<Picture>> {
    let written = models.iter().all(|(_, f)| f.forget.rouge().is_ok() && f.retain.rouge().is_ok());
    type Place = fn(&Findings) -> unlearn::Result<[f64; 2]>;
    let (what, of): (&str, Place) = if written {
        ("ROUGE-L recall", |f| Ok([f.forget.rouge()?.value(), f.retain.rouge()?.value()]))
    } else {
        ("probability", |f| Ok([f.forget.probability()?.value(), f.retain.probability()?.value()]))
    };
    let mut plot = Plot::new("Forgetting against keeping")
        .x_label(format!("forget set: {what}"))
        .y_label(format!("retain set: {what}"))
        .x_range(-0.03, 1.03)
        .y_range(-0.03, 1.03);
    for (name, findings) in models {
        let [forget, retain] = of(findings)?;
        plot = plot.series(Series::points(*name, [(forget, retain)]));
    }
    let caption = "To the left less is left of what should be forgotten, upwards more of what should be kept.";
    let has_gold = models.iter().any(|(name, _)| *name == "gold");
    let best = " The best place is that of gold, the model that never saw the forget set.";
    let caption = format!("{caption}{}", if has_gold { best } else { "" });
    picture("pareto.svg", &caption, plot.to_svg())
}
