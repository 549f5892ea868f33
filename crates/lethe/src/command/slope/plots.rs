//! Plots of fits, paths and selections.

use report::Result;
use report::plot::{Bars, Plot, Series, Svg};
use slope2::estimator::Fitted;
use slope2::selection::{Score, Validated};
use slope2::{Path, clusters};

use super::input::Input;

/// Columns that are drawn, and those among them with a name in the legend.
const DRAWN: usize = 40;
const NAMED: usize = 9;

/// A strength to point at.
pub(super) struct Mark {
    pub(super) alpha: f64,
    pub(super) label: String,
}

/// The shared magnitude with most members at each point of a path, with their number.
fn largest_clusters(path: &Path) -> Vec<Option<(f64, usize)>> {
    let largest = |coefficients: &[f64]| {
        let all = clusters(coefficients).into_iter().filter(|c| 1 < c.members.len());
        // The first of the largest ones.
        all.rev().max_by_key(|c| c.members.len()).map(|c| (c.magnitude, c.members.len()))
    };
    path.points.iter().map(|point| largest(&point.solution.coefficients)).collect()
}

/// Coefficients of scaled columns over the strength, the cluster as a band between its two heights.
pub(super) fn path(path: &Path, input: &Input, marks: &[Mark]) -> Result<Svg> {
    let mut plot = Plot::new("Path").x_label("alpha").y_label("coefficient on scaled columns");
    plot = plot.log_x().size(720, 380);
    let clusters = largest_clusters(path);
    let sizes: Vec<usize> = clusters.iter().flatten().map(|(_, n)| *n).collect();
    if let (Some(least), Some(most)) = (sizes.iter().min(), sizes.iter().max()) {
        let counts = if least == most { most.to_string() } else { format!("{least} to {most}") };
        let height: Vec<f64> =
            clusters.iter().map(|c| c.map_or(f64::NAN, |(height, _)| height)).collect();
        let below: Vec<f64> = height.iter().map(|h| -h).collect();
        let points = path.points.iter().map(|point| point.alpha).zip(height.iter().copied());
        let label = format!("± cluster of {counts}");
        plot = plot.series(Series::line(label, points).with_band(&below, &height)?);
    }
    let p = input.n_coefficients();
    let mut size = vec![0.0f64; p];
    for point in &path.points {
        let coefficients = &point.solution.coefficients;
        size.iter_mut().zip(coefficients).for_each(|(size, b)| *size = size.max(b.abs()));
    }
    let mut order: Vec<usize> = (0..p).filter(|j| 0.0 < size[*j]).collect();
    order.sort_by(|a, b| size[*b].total_cmp(&size[*a]));
    let named = if order.len() <= NAMED + 2 { order.len() } else { NAMED };
    for (i, j) in order.iter().take(DRAWN).enumerate() {
        let label = if i < named { input.name(*j) } else { String::new() };
        let points = path.points.iter().map(|p| (p.alpha, p.solution.coefficients[*j]));
        plot = plot.series(Series::line(label, points));
    }
    with_marks(plot, marks).to_svg()
}

/// What is left out of the path plot, as a sentence.
pub(super) fn path_caption(path: &Path) -> String {
    let used = |j: usize| path.points.iter().any(|point| point.solution.coefficients[j] != 0.0);
    let p = path.points.first().map_or(0, |point| point.solution.coefficients.len());
    let n = (0..p).filter(|j| used(*j)).count();
    let mut text = String::from(
        "Coefficients of the scaled columns, from strong penalties at the right to weak ones at the left. \
         The band ends at the magnitude that most columns share.",
    );
    if DRAWN < n {
        text += &format!(" The {DRAWN} largest of {n} are drawn.");
    }
    text
}

/// How many columns share the magnitude of the cluster.
pub(super) fn members(path: &Path, marks: &[Mark]) -> Result<Svg> {
    let mut plot = Plot::new("Sizes").x_label("alpha").y_label("columns").log_x().size(720, 200);
    let alpha = || path.points.iter().map(|point| point.alpha);
    let cluster = largest_clusters(path).into_iter().map(|c| c.map_or(0.0, |(_, n)| n as f64));
    let nonzero = path
        .points
        .iter()
        .map(|point| point.solution.coefficients.iter().filter(|b| **b != 0.0).count() as f64);
    let magnitudes = path.points.iter().map(|point| point.n_clusters as f64);
    plot = plot
        .series(Series::line("members of the cluster", alpha().zip(cluster)))
        .series(Series::line("not zero", alpha().zip(nonzero)))
        .series(Series::line("distinct magnitudes", alpha().zip(magnitudes)));
    with_marks(plot, marks).to_svg()
}

/// Scores of cross-validation over the strength.
pub(super) fn scores(
    alphas: &[f64],
    validated: &Validated,
    score: Score,
    marks: &[Mark],
) -> Result<Svg> {
    let means = validated.scores.iter().map(|s| s.mean);
    let errors: Vec<f64> = validated.scores.iter().map(|s| s.standard_error).collect();
    let points = alphas.iter().copied().zip(means);
    let series = Series::line("mean and standard error over folds", points).with_std(&errors)?;
    let plot = Plot::new("Cross-validation").x_label("alpha").y_label(score.name());
    with_marks(plot.log_x().size(720, 290).series(series), marks).to_svg()
}

/// A criterion over the strength.
pub(super) fn criterion(points: Vec<(f64, f64)>, name: &str, marks: &[Mark]) -> Result<Svg> {
    let plot = Plot::new("Criterion").x_label("alpha").y_label(name).log_x().size(720, 290);
    with_marks(plot.series(Series::line(name, points)), marks).to_svg()
}

fn with_marks(plot: Plot, marks: &[Mark]) -> Plot {
    let shown = marks.iter().filter(|mark| 0.0 < mark.alpha);
    shown.fold(plot, |plot, mark| plot.vertical(mark.alpha, &mark.label))
}

/// The largest coefficients.
pub(super) fn coefficients(fitted: &Fitted, input: &Input) -> Result<Svg> {
    const MOST: usize = 25;
    let all = fitted.clusters();
    let members = all.iter().flat_map(|c| c.members.iter().map(|(j, s)| (*j, s * c.magnitude)));
    let shown: Vec<(usize, f64)> = members.take(MOST).collect();
    let names = shown.iter().map(|(j, _)| input.name(*j));
    Bars::new("Coefficients", names)
        .y_label("on scaled columns")
        .size(720, 260)
        .series("", shown.iter().map(|(_, b)| *b))?
        .to_svg()
}
