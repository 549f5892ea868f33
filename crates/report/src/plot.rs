//! Plots as SVG pictures: lines, points, bars and histograms.
//!
//! Every picture has an opaque white ground, so that it can be read on a dark page as well; colours
//! from a palette that colour-blind readers can tell apart, each with a dash pattern and a marker of
//! its own; and its legend below the axes, where it covers nothing. Equal input gives equal bytes.
//!
//! Values that are not finite are left out: a line shows a gap there. So are values that are not
//! positive on a logarithmic axis.

mod area;
mod axis;
mod bars;
mod canvas;
mod frame;
mod histogram;
mod legend;
mod marker;
mod palette;
mod series;
mod text;
mod xy;

use std::fmt;
use std::path::Path;

pub use bars::Bars;
pub use histogram::Histogram;
pub use series::Series;
pub use xy::Plot;

use crate::atomic;
use crate::error::Result;

/// A finished picture. Only the plots of this module make one, so its text is known to be safe
/// inside a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Svg(String);

impl Svg {
    /// The picture as the text of an SVG file.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Writes the picture to a file, as [`atomic::write()`] does.
    ///
    /// # Errors
    /// As [`atomic::write()`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        atomic::write(path, &self.0)
    }
}

impl fmt::Display for Svg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
