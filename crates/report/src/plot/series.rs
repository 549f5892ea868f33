//! One series of points, and how it is shown.

use crate::error::{Error, Result};

/// A named list of points for a [`Plot`](crate::plot::Plot).
///
/// # Examples
/// ```
/// use report::plot::Series;
/// let series = Series::line("loss", [(0.0, 1.0), (1.0, 0.6), (2.0, 0.5)])
///     .with_std(&[0.1, 0.08, 0.05])?
///     .with_markers();
/// # Ok::<(), report::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    pub(crate) label: String,
    pub(crate) points: Vec<(f64, f64)>,
    /// Lower and upper edge for each point.
    pub(crate) band: Option<Vec<(f64, f64)>>,
    pub(crate) has_line: bool,
    pub(crate) has_markers: bool,
    /// Which look it has, unless that of its place.
    pub(crate) look: Option<usize>,
}

impl Series {
    /// Points joined by a line in the order given. A point that is not finite makes a gap.
    pub fn line(label: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Series {
            label: label.into(),
            points: points.into_iter().collect(),
            band: None,
            has_line: true,
            has_markers: false,
            look: None,
        }
    }

    /// Points on their own.
    pub fn points(label: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Series { has_line: false, has_markers: true, ..Series::line(label, points) }
    }

    /// A line through `values` at 0, 1, 2, ...
    pub fn indexed(label: impl Into<String>, values: impl IntoIterator<Item = f64>) -> Self {
        let xs = std::iter::successors(Some(0.0), |x| Some(x + 1.0));
        Series::line(label, xs.zip(values))
    }

    /// Marks each point of a line as well.
    #[must_use]
    pub fn with_markers(mut self) -> Self {
        self.has_markers = true;
        self
    }

    /// Gives the series the colour, dashes and marker that number `look` of a plot has, counted from 0, whatever its own place
    /// is: what means the same in several plots then looks the same.
    #[must_use]
    pub fn with_look(mut self, look: usize) -> Self {
        self.look = Some(look);
        self
    }

    /// Shades one standard deviation around the points. On a logarithmic axis a lower edge that is
    /// not positive is drawn at the end of the axis.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] unless there is one `std` per point.
    pub fn with_std(self, std: &[f64]) -> Result<Self> {
        let edges: Vec<_> =
            self.points.iter().zip(std).map(|((_, y), s)| (y - s.abs(), y + s.abs())).collect();
        self.with_edges(std.len(), edges)
    }

    /// Shades from `lower` to `upper`, for intervals that are not symmetric.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] unless there is one value of each per point.
    pub fn with_band(self, lower: &[f64], upper: &[f64]) -> Result<Self> {
        let edges: Vec<_> = lower.iter().copied().zip(upper.iter().copied()).collect();
        let got = if lower.len() == self.points.len() { upper.len() } else { lower.len() };
        self.with_edges(got, edges)
    }

    fn with_edges(mut self, got: usize, edges: Vec<(f64, f64)>) -> Result<Self> {
        let expected = self.points.len();
        if got != expected {
            return Err(Error::LengthMismatch {
                what: format!("band of `{}`", self.label),
                expected,
                got,
            });
        }
        self.band = Some(edges);
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_band_of_another_length_is_refused() {
        let series = Series::indexed("a", [1.0, 2.0, 3.0]);
        let refused = series.clone().with_std(&[0.1]);
        assert!(matches!(refused, Err(Error::LengthMismatch { expected: 3, got: 1, .. })));
        assert!(series.clone().with_band(&[0.0; 3], &[1.0; 4]).is_err());
        assert!(series.clone().with_band(&[0.0; 2], &[1.0; 3]).is_err());
        assert!(series.with_band(&[0.0; 3], &[1.0; 3]).is_ok());
    }
}
