//! Lines and points over two numerical axes.

use crate::error::{Error, Result};
use crate::plot::area::{Area, thin_out};
use crate::plot::axis::{Axis, Request, Scale};
use crate::plot::canvas::{Canvas, Stroke};
use crate::plot::frame::{Across, Frame, Labels};
use crate::plot::legend::{Entry, Sample};
use crate::plot::marker::Marker;
use crate::plot::palette::{self, Look};
use crate::plot::{Series, Svg};

/// A plot of lines, points, or both.
///
/// # Examples
/// ```
/// use report::plot::{Plot, Series};
/// let svg = Plot::new("Training loss")
///     .x_label("step")
///     .y_label("loss")
///     .log_y()
///     .series(Series::line("SGD", (0..50).map(|t| (f64::from(t), 0.9f64.powi(t)))))
///     .series(Series::line("AdamW", (0..50).map(|t| (f64::from(t), 0.8f64.powi(t)))))
///     .horizontal(0.01, "target")
///     .to_svg()?;
/// assert!(svg.as_str().starts_with("<svg"));
/// # Ok::<(), report::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Plot {
    labels: Labels,
    x: Request,
    y: Request,
    series: Vec<Series>,
    horizontal: Vec<Marker>,
    vertical: Vec<Marker>,
}

impl Plot {
    /// An empty plot; an empty title takes no room.
    pub fn new(title: impl Into<String>) -> Self {
        Plot {
            labels: Labels::new(title.into()),
            x: Request::default(),
            y: Request::default(),
            series: Vec::new(),
            horizontal: Vec::new(),
            vertical: Vec::new(),
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

    /// Makes the horizontal axis logarithmic; points with `x <= 0` are left out.
    #[must_use]
    pub fn log_x(mut self) -> Self {
        self.x.scale = Scale::Log;
        self
    }

    /// Makes the vertical axis logarithmic; points with `y <= 0` are left out.
    #[must_use]
    pub fn log_y(mut self) -> Self {
        self.y.scale = Scale::Log;
        self
    }

    /// Sets the ends of the horizontal axis; what lies outside is cut off.
    #[must_use]
    pub fn x_range(mut self, low: f64, high: f64) -> Self {
        self.x.limits = Some((low, high));
        self
    }

    /// Sets the ends of the vertical axis; what lies outside is cut off.
    #[must_use]
    pub fn y_range(mut self, low: f64, high: f64) -> Self {
        self.y.limits = Some((low, high));
        self
    }

    /// Sets the width of the picture and the height of its plotting area in pixels; 640 and 290 if
    /// not called. Title and legend add to the height.
    #[must_use]
    pub fn size(mut self, width: u32, height: u32) -> Self {
        self.labels.resize(width, height);
        self
    }

    /// Adds a series. The order decides on its colour, dashes and marker.
    #[must_use]
    pub fn series(mut self, series: Series) -> Self {
        self.series.push(series);
        self
    }

    /// Adds a horizontal reference line at `y`, labelled at the right of the axes.
    #[must_use]
    pub fn horizontal(mut self, y: f64, label: impl Into<String>) -> Self {
        self.horizontal.push(Marker { at: y, label: label.into() });
        self
    }

    /// Adds a vertical reference line at `x`, labelled above the axes.
    #[must_use]
    pub fn vertical(mut self, x: f64, label: impl Into<String>) -> Self {
        self.vertical.push(Marker { at: x, label: label.into() });
        self
    }

    /// Draws the plot.
    ///
    /// # Errors
    /// [`Error::EmptyPlot`] if no point is finite; [`Error::NoPositiveData`] if no point can be shown
    /// on a logarithmic axis; [`Error::InvalidRange`] if the ends of an axis are unusable or its data
    /// span more than a floating-point number can hold.
    pub fn to_svg(&self) -> Result<Svg> {
        let (x, y) = self.axes()?;
        let legend = self.series.iter().enumerate().map(|(idx, s)| self.entry(idx, s)).collect();
        let frame = Frame {
            labels: &self.labels,
            across: Across::Numbers(x.clone()),
            up: y.clone(),
            horizontal: &self.horizontal,
            vertical: &self.vertical,
            legend,
        };
        Ok(frame.draw(|canvas, area| {
            for (idx, series) in self.series.iter().enumerate() {
                draw_band(canvas, area, (&x, &y), series, look(idx, series));
            }
            for (idx, series) in self.series.iter().enumerate() {
                draw_series(canvas, area, (&x, &y), series, look(idx, series));
            }
        }))
    }

    fn is_shown(&self, point: (f64, f64)) -> bool {
        self.x.scale.place(point.0).is_some() && self.y.scale.place(point.1).is_some()
    }

    fn axes(&self) -> Result<(Axis, Axis)> {
        let title = &self.labels.title;
        let all = || self.series.iter().flat_map(|s| s.points.iter().copied());
        let mut finite = all().filter(|p| p.0.is_finite() && p.1.is_finite()).peekable();
        if finite.peek().is_none() {
            return Err(Error::EmptyPlot { title: title.clone() });
        }
        for (axis, request) in [('x', self.x), ('y', self.y)] {
            let mut values = all().filter(|p| p.0.is_finite() && p.1.is_finite());
            if !values.any(|p| request.scale.place(if axis == 'x' { p.0 } else { p.1 }).is_some()) {
                return Err(Error::NoPositiveData { title: title.clone(), axis });
            }
        }
        let shown: Vec<_> = finite.filter(|p| self.is_shown(*p)).collect();
        if shown.is_empty() {
            return Err(Error::EmptyPlot { title: title.clone() });
        }
        let xs = shown.iter().map(|p| p.0).chain(self.vertical.iter().map(|m| m.at));
        let floor = match self.y.scale {
            Scale::Linear => f64::NEG_INFINITY,
            // A band may reach towards zero; it must not drag the axis along.
            Scale::Log => shown.iter().map(|p| p.1).fold(f64::INFINITY, f64::min) / 5.0,
        };
        let ys = shown.iter().map(|p| p.1).chain(self.horizontal.iter().map(|m| m.at));
        let ys = ys.chain(self.edges().filter(|edge| floor <= *edge));
        let fitted = |axis, request, fit: Option<Axis>| match (fit, request) {
            (Some(fit), _) => fit.check(title, axis),
            (None, Request { limits: Some((low, high)), .. }) => {
                Err(Error::InvalidRange { title: title.clone(), axis, low, high })
            }
            (None, _) => Err(Error::EmptyPlot { title: title.clone() }),
        };
        let x = fitted('x', self.x, Axis::fit(self.x, xs, (0.03, 0.03)))?;
        let y = fitted('y', self.y, Axis::fit(self.y, ys, (0.05, 0.05)))?;
        Ok((x, y))
    }

    /// Edges of the bands at points that are shown.
    fn edges(&self) -> impl Iterator<Item = f64> {
        self.series
            .iter()
            .flat_map(|s| s.points.iter().zip(s.band.iter().flatten()))
            .filter(|(point, _)| self.is_shown(**point))
            .flat_map(|(_, edges)| [edges.0, edges.1])
    }

    fn entry(&self, idx: usize, series: &Series) -> Entry {
        let is_empty = !series.points.iter().any(|p| self.is_shown(*p));
        let label = match (series.label.trim(), is_empty) {
            ("", _) | (_, false) => series.label.clone(),
            (label, true) => format!("{label} (no data)"),
        };
        let sample = if series.has_line {
            Sample::Line { band: series.band.is_some(), points: series.has_markers }
        } else {
            Sample::Points
        };
        Entry { label, look: look(idx, series), sample }
    }
}

/// How a series at that place looks.
fn look(idx: usize, series: &Series) -> Look {
    palette::look(series.look.unwrap_or(idx))
}

fn draw_band(
    canvas: &mut Canvas,
    area: &Area,
    (x, y): (&Axis, &Axis),
    series: &Series,
    look: Look,
) {
    let Some(band) = &series.band else { return };
    let edges: Vec<Option<[(f64, f64); 2]>> = series
        .points
        .iter()
        .zip(band)
        .map(|(point, &(low, high))| {
            let (px, _) = area.pixel(x, y, *point)?;
            let high = area.pixel(x, y, (point.0, high))?.1;
            let low = if low.is_nan() {
                return None;
            } else {
                area.y(y.position_or_low(low).clamp(-1e6, 1e6))
            };
            Some([(px, low), (px, high)])
        })
        .collect();
    for run in edges.split(Option::is_none) {
        let lower = run.iter().flatten().map(|e| e[0]);
        let upper = run.iter().flatten().map(|e| e[1]);
        let lower = thin_out(&lower.collect::<Vec<_>>());
        let upper = thin_out(&upper.collect::<Vec<_>>());
        let outline: Vec<_> = lower.into_iter().chain(upper.into_iter().rev()).collect();
        let outline = area.clip_polygon(&outline);
        if 3 <= outline.len() {
            canvas.polygon(&outline, look.color, 0.2);
        }
    }
}

fn draw_series(
    canvas: &mut Canvas,
    area: &Area,
    (x, y): (&Axis, &Axis),
    series: &Series,
    look: Look,
) {
    let pixels: Vec<_> = series.points.iter().map(|p| area.pixel(x, y, *p)).collect();
    let Look { color, dash, shape } = look;
    if series.has_line {
        for run in pixels.split(Option::is_none) {
            let run: Vec<_> = run.iter().copied().flatten().collect();
            match run[..] {
                // A lone point between gaps would be a line of no length.
                [point] if !series.has_markers && area.contains(point) => {
                    canvas.point(point, 2.0, shape, color);
                }
                _ => {
                    for part in area.clip_line(&thin_out(&run)) {
                        canvas.polyline(&part, Stroke { color, width: 2.0, dash });
                    }
                }
            }
        }
    }
    if series.has_markers {
        let radius = if pixels.len() <= 300 { 3.5 } else { 2.2 };
        for point in pixels.iter().copied().flatten().filter(|p| area.contains(*p)) {
            canvas.point(point, radius, shape, color);
        }
    }
}
