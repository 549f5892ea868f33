//! Histograms: how often values fall into bins of equal width.

use crate::error::{Error, Result};
use crate::plot::Svg;
use crate::plot::axis::{Axis, Request, as_f64};
use crate::plot::canvas::Stroke;
use crate::plot::frame::{Across, Frame, Labels};
use crate::plot::legend::{Entry, Sample};
use crate::plot::marker::Marker;
use crate::plot::palette;

/// A histogram of one or several sets of values over the same bins.
///
/// # Examples
/// ```
/// use report::plot::Histogram;
/// let svg = Histogram::new("Losses")
///     .x_label("loss")
///     .values("members", (0..100).map(|i| f64::from(i % 17)))
///     .values("others", (0..100).map(|i| f64::from(i % 23)))
///     .bins(12)
///     .to_svg()?;
/// # Ok::<(), report::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    labels: Labels,
    sets: Vec<(String, Vec<f64>)>,
    n_bins: Option<usize>,
    is_density: bool,
    vertical: Vec<Marker>,
}

/// Bins of equal width.
struct Bins {
    low: f64,
    width: f64,
    n: usize,
}

impl Histogram {
    /// An empty histogram.
    pub fn new(title: impl Into<String>) -> Self {
        let mut labels = Labels::new(title.into());
        labels.y = "count".to_owned();
        Histogram {
            labels,
            sets: Vec::new(),
            n_bins: None,
            is_density: false,
            vertical: Vec::new(),
        }
    }

    /// Names the horizontal axis.
    #[must_use]
    pub fn x_label(mut self, label: impl Into<String>) -> Self {
        self.labels.x = label.into();
        self
    }

    /// Names the vertical axis; `count` or `density` if not called.
    #[must_use]
    pub fn y_label(mut self, label: impl Into<String>) -> Self {
        self.labels.y = label.into();
        self
    }

    /// Sets the width of the picture and the height of its plotting area in pixels; 640 and 290 if
    /// not called. Title and legend add to the height.
    #[must_use]
    pub fn size(mut self, width: u32, height: u32) -> Self {
        self.labels.resize(width, height);
        self
    }

    /// Adds a set of values; those that are not finite are left out.
    #[must_use]
    pub fn values(
        mut self,
        label: impl Into<String>,
        values: impl IntoIterator<Item = f64>,
    ) -> Self {
        let values = values.into_iter().filter(|v| v.is_finite()).collect();
        self.sets.push((label.into(), values));
        self
    }

    /// Sets the number of bins; if not called it follows from the quartiles (Freedman and Diaconis),
    /// between 5 and 60.
    #[must_use]
    pub fn bins(mut self, n: usize) -> Self {
        self.n_bins = Some(n.clamp(1, 500));
        self
    }

    /// Scales each set to an area of one, to compare sets of different sizes.
    #[must_use]
    pub fn density(mut self) -> Self {
        self.is_density = true;
        if self.labels.y == "count" {
            self.labels.y = "density".to_owned();
        }
        self
    }

    /// Adds a vertical reference line at `x`, labelled above the axes.
    #[must_use]
    pub fn vertical(mut self, x: f64, label: impl Into<String>) -> Self {
        self.vertical.push(Marker { at: x, label: label.into() });
        self
    }

    /// Draws the histogram.
    ///
    /// # Errors
    /// [`Error::EmptyPlot`] if no value is finite; [`Error::InvalidRange`] if the values span more
    /// than a number can hold.
    pub fn to_svg(&self) -> Result<Svg> {
        let title = &self.labels.title;
        let bins = self.choose_bins()?;
        let heights: Vec<Vec<f64>> =
            self.sets.iter().map(|(_, v)| self.heights(&bins, v)).collect();
        let empty = || Error::EmptyPlot { title: title.clone() };
        let edges = [bins.edge(0), bins.edge(bins.n)].into_iter();
        let edges = edges.chain(self.vertical.iter().map(|m| m.at));
        let x = Axis::fit(Request::default(), edges, (0.02, 0.02)).ok_or_else(empty)?;
        let x = x.check(title, 'x')?;
        let tops = heights.iter().flatten().copied().chain([0.0]);
        let y = Axis::fit(Request::default(), tops, (0.0, 0.05)).ok_or_else(empty)?;
        let y = y.check(title, 'y')?;
        let entry = |(idx, (label, _)): (usize, &(String, Vec<f64>))| Entry {
            label: label.clone(),
            look: palette::look(idx),
            sample: Sample::Line { band: true, points: false },
        };
        let frame = Frame {
            labels: &self.labels,
            across: Across::Numbers(x.clone()),
            up: y.clone(),
            horizontal: &[],
            vertical: &self.vertical,
            legend: self.sets.iter().enumerate().map(entry).collect(),
        };
        Ok(frame.draw(|canvas, area| {
            for (idx, heights) in heights.iter().enumerate() {
                let mut outline = Vec::new();
                let mut push = |value: f64, height: f64| {
                    let (at, up) = (x.position_or_low(value), y.position_or_low(height));
                    outline.push((area.x(at), area.y(up)));
                };
                push(bins.edge(0), 0.0);
                for (bin, &height) in heights.iter().enumerate() {
                    push(bins.edge(bin), height);
                    push(bins.edge(bin + 1), height);
                }
                push(bins.edge(bins.n), 0.0);
                let look = palette::look(idx);
                canvas.polygon(&outline, look.color, 0.25);
                let stroke = Stroke { color: look.color, width: 1.6, dash: look.dash };
                canvas.polyline(&outline, stroke);
            }
        }))
    }

    fn choose_bins(&self) -> Result<Bins> {
        let title = &self.labels.title;
        let mut all: Vec<f64> = self.sets.iter().flat_map(|(_, v)| v.iter().copied()).collect();
        all.sort_by(f64::total_cmp);
        let (Some(&low), Some(&high)) = (all.first(), all.last()) else {
            return Err(Error::EmptyPlot { title: title.clone() });
        };
        let length = high - low;
        if !length.is_finite() {
            return Err(Error::InvalidRange { title: title.clone(), axis: 'x', low, high });
        }
        if length <= 1e-9 * low.abs().max(high.abs()) || length < 1e-260 {
            // All values alike: one bin around them.
            let half = if high.abs() < 1e-250 { 0.5 } else { 0.05 * high.abs() };
            return Ok(Bins { low: low - half, width: length + 2.0 * half, n: 1 });
        }
        let n = self.n_bins.unwrap_or_else(|| freedman_diaconis(&all, length));
        Ok(Bins { low, width: length / as_f64(n), n })
    }

    fn heights(&self, bins: &Bins, values: &[f64]) -> Vec<f64> {
        let mut heights = vec![0.0; bins.n];
        for &value in values {
            heights[bins.of(value)] += 1.0;
        }
        if self.is_density && !values.is_empty() {
            let area = as_f64(values.len()) * bins.width;
            heights.iter_mut().for_each(|h| *h /= area);
        }
        heights
    }
}

impl Bins {
    fn edge(&self, idx: usize) -> f64 {
        self.low + as_f64(idx) * self.width
    }

    /// The bin of a value; the highest value belongs to the last one.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    fn of(&self, value: f64) -> usize {
        let idx = ((value - self.low) / self.width).floor().max(0.0) as usize;
        idx.min(self.n - 1)
    }
}

/// Number of bins of width `2 IQR / n^(1/3)`, between 5 and 60.
fn freedman_diaconis(sorted: &[f64], length: f64) -> usize {
    let iqr = sorted[sorted.len() * 3 / 4] - sorted[sorted.len() / 4];
    let width = 2.0 * iqr / as_f64(sorted.len()).cbrt();
    let mut n = 5;
    while n < 60 && as_f64(n) * width < length {
        n += 1;
    }
    // Without any spread in the middle the rule says nothing.
    if width == 0.0 { 20 } else { n }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_value_is_counted_once(values in proptest::collection::vec(-1e6..1e6f64, 1..200), n in 1usize..40) {
            let histogram = Histogram::new("t").values("a", values.clone()).bins(n);
            let bins = histogram.choose_bins().unwrap();
            let total: f64 = histogram.heights(&bins, &values).iter().sum();
            prop_assert!((total - as_f64(values.len())).abs() < 0.5);
        }

        #[test]
        fn a_density_has_area_one(values in proptest::collection::vec(-1e6..1e6f64, 1..200)) {
            let histogram = Histogram::new("t").values("a", values.clone()).density();
            let bins = histogram.choose_bins().unwrap();
            let area: f64 = histogram.heights(&bins, &values).iter().map(|h| h * bins.width).sum();
            prop_assert!((area - 1.0).abs() < 1e-9);
        }
    }
}
