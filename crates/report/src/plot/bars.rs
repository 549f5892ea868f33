//! Bar charts: grouped side by side, or stacked into totals.

use crate::error::{Error, Result};
use crate::number;
use crate::plot::Svg;
use crate::plot::area::Area;
use crate::plot::axis::{Axis, Request, as_f64};
use crate::plot::canvas::{Anchor, Canvas, Stroke, Text};
use crate::plot::frame::{Across, Frame, Labels};
use crate::plot::legend::{Entry, Sample};
use crate::plot::marker::Marker;
use crate::plot::palette;
use crate::plot::text;

const VALUE: f64 = 11.0;
const WHISKER: Stroke<'_> = Stroke { color: "#1a1a1a", width: 1.3, dash: "" };

/// A bar chart over named groups; the vertical axis includes zero.
///
/// # Examples
/// ```
/// use report::plot::Bars;
/// let svg = Bars::new("Time of one step", ["exact", "ghost"])
///     .y_label("ms")
///     .series("forward", [10.0, 10.5])?
///     .series("backward", [22.0, 30.0])?
///     .stacked()
///     .with_values()
///     .to_svg()?;
/// # Ok::<(), report::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Bars {
    labels: Labels,
    groups: Vec<String>,
    series: Vec<BarSeries>,
    is_stacked: bool,
    has_values: bool,
    horizontal: Vec<Marker>,
}

#[derive(Clone, Debug, PartialEq)]
struct BarSeries {
    label: String,
    values: Vec<f64>,
    std: Vec<f64>,
}

impl Bars {
    /// An empty chart with one place for bars per group.
    pub fn new<S: Into<String>>(
        title: impl Into<String>,
        groups: impl IntoIterator<Item = S>,
    ) -> Self {
        Bars {
            labels: Labels::new(title.into()),
            groups: groups.into_iter().map(Into::into).collect(),
            series: Vec::new(),
            is_stacked: false,
            has_values: false,
            horizontal: Vec::new(),
        }
    }

    /// Names the horizontal axis.
    #[must_use]
    pub fn x_label(mut self, label: impl Into<String>) -> Self {
        self.labels.x = label.into();
        self
    }

    /// Names the vertical axis.
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

    /// Adds a series: one value per group. A value that is not finite leaves its place empty.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] unless there is one value per group.
    pub fn series(
        self,
        label: impl Into<String>,
        values: impl IntoIterator<Item = f64>,
    ) -> Result<Self> {
        self.push(label.into(), values.into_iter().collect(), None)
    }

    /// Adds a series with a whisker of one standard deviation on each bar. Stacked bars show none.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] unless there is one value and one deviation per group.
    pub fn series_with_std(
        self,
        label: impl Into<String>,
        values: impl IntoIterator<Item = f64>,
        std: impl IntoIterator<Item = f64>,
    ) -> Result<Self> {
        let std = std.into_iter().collect();
        self.push(label.into(), values.into_iter().collect(), Some(std))
    }

    /// Sets the series of a group on top of each other instead of side by side.
    #[must_use]
    pub fn stacked(mut self) -> Self {
        self.is_stacked = true;
        self
    }

    /// Writes the value above each bar, or the total above each stack, where there is room.
    #[must_use]
    pub fn with_values(mut self) -> Self {
        self.has_values = true;
        self
    }

    /// Adds a horizontal reference line at `y`, labelled at the right of the axes.
    #[must_use]
    pub fn horizontal(mut self, y: f64, label: impl Into<String>) -> Self {
        self.horizontal.push(Marker { at: y, label: label.into() });
        self
    }

    /// Draws the chart.
    ///
    /// # Errors
    /// [`Error::EmptyPlot`] if no value is finite; [`Error::NegativeStack`] if a part of a stack is
    /// negative; [`Error::InvalidRange`] if the values span more than a number can hold.
    pub fn to_svg(&self) -> Result<Svg> {
        let title = &self.labels.title;
        let mut values = self.series.iter().flat_map(|s| &s.values);
        if !values.any(|v| v.is_finite()) {
            return Err(Error::EmptyPlot { title: title.clone() });
        }
        let tops = self.extents()?;
        let high = tops.iter().copied().fold(0.0, f64::max);
        let low = tops.iter().copied().fold(0.0, f64::min);
        let room = if self.has_values { 0.09 } else { 0.05 };
        let margin = (if low < 0.0 { room } else { 0.0 }, if 0.0 < high { room } else { 0.0 });
        let markers = self.horizontal.iter().map(|m| m.at);
        // All bars of height zero: an axis from 0 to 1 looks less odd than one around zero.
        let one = if low == 0.0 && high == 0.0 { 1.0 } else { 0.0 };
        let values = tops.iter().copied().chain([0.0, one]).chain(markers);
        let up = Axis::fit(Request::default(), values, margin)
            .ok_or_else(|| Error::EmptyPlot { title: title.clone() })?
            .check(title, 'y')?;
        let entry = |(idx, s): (usize, &BarSeries)| Entry {
            label: s.label.clone(),
            look: palette::look(idx),
            sample: Sample::Swatch,
        };
        let frame = Frame {
            labels: &self.labels,
            across: Across::Names(self.groups.clone()),
            up: up.clone(),
            horizontal: &self.horizontal,
            vertical: &[],
            legend: self.series.iter().enumerate().map(entry).collect(),
        };
        Ok(frame.draw(|canvas, area| {
            let slot = area.width / as_f64(self.groups.len());
            for group in 0..self.groups.len() {
                let middle = area.left + (as_f64(group) + 0.5) * slot;
                if self.is_stacked {
                    self.draw_stack(canvas, area, &up, group, middle, slot);
                } else {
                    self.draw_group(canvas, area, &up, group, middle, slot);
                }
            }
            if low < 0.0 {
                let y = area.y(up.position_or_low(0.0));
                canvas.line((area.left, y), (area.right(), y), WHISKER);
            }
        }))
    }

    fn push(mut self, label: String, values: Vec<f64>, std: Option<Vec<f64>>) -> Result<Self> {
        let expected = self.groups.len();
        let std = std.unwrap_or_else(|| vec![f64::NAN; expected]);
        for (what, got) in [("values", values.len()), ("deviations", std.len())] {
            if got != expected {
                return Err(Error::LengthMismatch {
                    what: format!("{what} of `{label}`"),
                    expected,
                    got,
                });
            }
        }
        self.series.push(BarSeries { label, values, std });
        Ok(self)
    }

    /// Every height that must be on the axis.
    fn extents(&self) -> Result<Vec<f64>> {
        if !self.is_stacked {
            let bars = self.series.iter().flat_map(|s| s.values.iter().zip(&s.std));
            let whisker = |s: f64| if s.is_finite() { s.abs() } else { 0.0 };
            return Ok(bars.flat_map(|(v, s)| [v - whisker(*s), v + whisker(*s)]).collect());
        }
        let mut totals = vec![0.0; self.groups.len()];
        for series in &self.series {
            for (total, &value) in totals.iter_mut().zip(&series.values) {
                if value < 0.0 {
                    return Err(Error::NegativeStack {
                        title: self.labels.title.clone(),
                        series: series.label.clone(),
                        got: value,
                    });
                }
                if value.is_finite() {
                    *total += value;
                }
            }
        }
        Ok(totals)
    }

    fn draw_group(
        &self,
        canvas: &mut Canvas,
        area: &Area,
        up: &Axis,
        group: usize,
        middle: f64,
        slot: f64,
    ) {
        let n = as_f64(self.series.len());
        let width = (0.8 * slot / n).min(64.0);
        let gap = if 6.0 < width { 1.0 } else { 0.0 };
        let zero = area.y(up.position_or_low(0.0));
        for (idx, series) in self.series.iter().enumerate() {
            let (value, std) = (series.values[group], series.std[group]);
            let Some(at) = up.position(value) else { continue };
            let (x, y) = (middle + (as_f64(idx) - n / 2.0) * width, area.y(at));
            let size = (width - gap, (zero - y).abs());
            canvas.rect((x + gap / 2.0, y.min(zero)), size, palette::look(idx).color, "");
            let (mut top, x) = (y, x + width / 2.0);
            if let (Some(low), Some(high)) = (up.position(value - std), up.position(value + std)) {
                let (low, high) = (area.y(low), area.y(high));
                let half = (0.25 * width).min(6.0);
                canvas.line((x, low), (x, high), WHISKER);
                canvas.line((x - half, low), (x + half, low), WHISKER);
                canvas.line((x - half, high), (x + half, high), WHISKER);
                top = if value < 0.0 { low.max(high) } else { low.min(high) };
            }
            let baseline = if value < 0.0 { top + VALUE + 2.0 } else { top - 4.0 };
            self.draw_value(canvas, value, (x, baseline), width + 6.0);
        }
    }

    fn draw_stack(
        &self,
        canvas: &mut Canvas,
        area: &Area,
        up: &Axis,
        group: usize,
        middle: f64,
        slot: f64,
    ) {
        let width = (0.7 * slot).min(90.0);
        let mut total = 0.0;
        for (idx, series) in self.series.iter().enumerate() {
            let value = series.values[group];
            if !value.is_finite() || value == 0.0 {
                continue;
            }
            let bottom = area.y(up.position_or_low(total));
            total += value;
            let top = area.y(up.position_or_low(total));
            let size = (width, bottom - top);
            // A hairline of white between the parts, for those who see the colours alike.
            let edge = " stroke=\"#ffffff\" stroke-width=\"0.8\"";
            canvas.rect((middle - width / 2.0, top), size, palette::look(idx).color, edge);
        }
        let top = area.y(up.position_or_low(total));
        self.draw_value(canvas, total, (middle, top - 4.0), slot);
    }

    fn draw_value(&self, canvas: &mut Canvas, value: f64, at: (f64, f64), room: f64) {
        if !self.has_values {
            return;
        }
        let label = self.value_label(value);
        if text::width(&label, VALUE) <= room {
            canvas.text(at, &Text { halo: true, ..Text::new(&label, VALUE, Anchor::Middle) });
        }
    }

    /// The value with as many decimals as give the largest one three digits, so that all agree;
    /// fewer if all of them end in zeros.
    fn value_label(&self, value: f64) -> String {
        let all = || self.series.iter().flat_map(|s| &s.values).filter(|v| v.is_finite());
        let largest = all().fold(value.abs(), |largest, v| largest.max(v.abs()));
        let label = match number::significant(largest, 3) {
            plain if !plain.contains('e') => {
                let mut decimals = plain.split_once('.').map_or(0, |(_, d)| d.len());
                while 0 < decimals
                    && all().chain([&value]).all(|v| format!("{v:.decimals$}").ends_with('0'))
                {
                    decimals -= 1;
                }
                format!("{value:.decimals$}")
            }
            _ => number::significant(value, 3),
        };
        label.replace('-', "−")
    }
}
