//! The legend: rows of entries below the axes.

use crate::plot::axis::as_f64;
use crate::plot::canvas::{Anchor, Canvas, Stroke, Text};
use crate::plot::palette::Look;
use crate::plot::text;

const SIZE: f64 = 12.5;
const ROW_HEIGHT: f64 = 20.0;
const SAMPLE_WIDTH: f64 = 34.0;
const GAP: f64 = 8.0;

/// One series in the legend.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) label: String,
    pub(crate) look: Look,
    pub(crate) sample: Sample,
}

/// What stands before the label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sample {
    Line { band: bool, points: bool },
    Points,
    Swatch,
}

/// Entries arranged in equal columns.
pub(crate) struct Legend {
    entries: Vec<Entry>,
    column_width: f64,
    n_columns: usize,
}

impl Legend {
    /// Arranges the entries that have a label in as many columns as the width allows.
    pub(crate) fn new(mut entries: Vec<Entry>, width: f64) -> Self {
        entries.retain(|e| !e.label.trim().is_empty());
        let room = width - SAMPLE_WIDTH - GAP;
        for entry in &mut entries {
            entry.label = text::shorten(&entry.label, SIZE, room);
        }
        let widest = entries.iter().map(|e| text::width(&e.label, SIZE)).fold(0.0, f64::max);
        let column_width = SAMPLE_WIDTH + GAP + widest;
        let mut n_columns = 1;
        let fits = |n: usize| as_f64(n) * (column_width + 2.0 * GAP) - 2.0 * GAP <= width;
        while n_columns < entries.len() && fits(n_columns + 1) {
            n_columns += 1;
        }
        // As few columns as make the same number of rows: 3 + 3 looks better than 4 + 2.
        let n_rows = entries.len().div_ceil(n_columns).max(1);
        let n_columns = entries.len().div_ceil(n_rows).max(1);
        Legend { entries, column_width, n_columns }
    }

    pub(crate) fn height(&self) -> f64 {
        as_f64(self.entries.len().div_ceil(self.n_columns)) * ROW_HEIGHT
    }

    /// Draws it centred around `middle`, below `top`.
    pub(crate) fn draw(&self, canvas: &mut Canvas, middle: f64, top: f64, (min, max): (f64, f64)) {
        if self.entries.is_empty() {
            return;
        }
        canvas.open_group("legend");
        let pitch = self.column_width + 2.0 * GAP;
        let width = as_f64(self.n_columns) * pitch - 2.0 * GAP;
        let left = (middle - width / 2.0).min(max - width).max(min);
        for (idx, entry) in self.entries.iter().enumerate() {
            let x = left + as_f64(idx % self.n_columns) * pitch;
            let y = top + (as_f64(idx / self.n_columns) + 0.5) * ROW_HEIGHT;
            entry.draw_sample(canvas, x, y);
            let label = Text::new(&entry.label, SIZE, Anchor::Start);
            canvas.text((x + SAMPLE_WIDTH + GAP, y + 0.35 * SIZE), &label);
        }
        canvas.close_group();
    }
}

impl Entry {
    fn draw_sample(&self, canvas: &mut Canvas, x: f64, y: f64) {
        let Look { color, dash, shape } = self.look;
        let middle = (x + SAMPLE_WIDTH / 2.0, y);
        match self.sample {
            Sample::Line { band, points } => {
                if band {
                    let opacity = " fill-opacity=\"0.2\"";
                    canvas.rect((x, y - 6.0), (SAMPLE_WIDTH, 12.0), color, opacity);
                }
                canvas.line((x, y), (x + SAMPLE_WIDTH, y), Stroke { color, width: 2.0, dash });
                if points {
                    canvas.point(middle, 3.5, shape, color);
                }
            }
            Sample::Points => canvas.point(middle, 4.0, shape, color),
            Sample::Swatch => {
                canvas.rect((x + SAMPLE_WIDTH - 18.0, y - 6.0), (18.0, 12.0), color, "");
            }
        }
    }
}
