//! Reference lines across the plotting area, their labels in the margin.

use crate::plot::area::Area;
use crate::plot::axis::{Axis, as_f64};
use crate::plot::canvas::{Anchor, Canvas, Stroke, Text};
use crate::plot::text;

const SIZE: f64 = 11.5;
const LINE_HEIGHT: f64 = 14.0;
/// Room for the labels at the right.
const MAX_WIDTH: f64 = 112.0;
const LEADER: f64 = 8.0;
const LINE: Stroke<'_> = Stroke { color: "#555555", width: 1.2, dash: "5 3" };
const THIN: Stroke<'_> = Stroke { color: "#888888", width: 0.8, dash: "" };

/// A reference line at a value of one axis.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Marker {
    pub(crate) at: f64,
    pub(crate) label: String,
}

/// A label with its place.
struct Flag {
    /// Position on the axis, between 0 and 1.
    at: f64,
    lines: Vec<String>,
}

/// The markers that lie on an axis, lowest first.
fn flags(markers: &[Marker], axis: &Axis, max_width: f64, max_lines: usize) -> Vec<Flag> {
    let mut flags: Vec<Flag> = markers
        .iter()
        .filter_map(|marker| {
            let at = axis.position(marker.at).filter(|at| (0.0..=1.0).contains(at))?;
            Some(Flag { at, lines: text::wrap(&marker.label, SIZE, max_width, max_lines) })
        })
        .collect();
    flags.sort_by(|a, b| a.at.total_cmp(&b.at));
    flags
}

/// Room that the labels of horizontal lines take at the right.
pub(crate) fn width(markers: &[Marker], axis: &Axis) -> f64 {
    let flags = flags(markers, axis, MAX_WIDTH, 3);
    let widths = flags.iter().flat_map(|f| &f.lines).map(|line| text::width(line, SIZE));
    widths.reduce(f64::max).map_or(0.0, |widest| widest + LEADER + 4.0)
}

/// Draws horizontal lines; labels stand at the right and make way for each other.
pub(crate) fn draw_horizontal(canvas: &mut Canvas, area: &Area, markers: &[Marker], axis: &Axis) {
    let flags = flags(markers, axis, MAX_WIDTH, 3);
    // From the top down: each label where its line is, or right below the label above.
    let mut middles = Vec::new();
    let mut free = f64::NEG_INFINITY;
    for flag in flags.iter().rev() {
        let half = as_f64(flag.lines.len()) * LINE_HEIGHT / 2.0;
        let middle = area.y(flag.at).max(free + half);
        free = middle + half;
        middles.push((middle, half));
    }
    // From the bottom up: nothing below the axis.
    let mut free = area.bottom() + LINE_HEIGHT / 2.0;
    for (middle, half) in middles.iter_mut().rev() {
        *middle = middle.min(free - *half);
        free = *middle - *half;
    }
    for (flag, (middle, half)) in flags.iter().rev().zip(middles) {
        let (y, right) = (area.y(flag.at), area.right());
        canvas.line((area.left, y), (right, y), LINE);
        if flag.lines.is_empty() {
            continue;
        }
        canvas.line((right, y), (right + LEADER - 1.0, middle), THIN);
        for (idx, line) in flag.lines.iter().enumerate() {
            let baseline = middle - half + (as_f64(idx) + 0.78) * LINE_HEIGHT;
            let label = Text::new(line, SIZE, Anchor::Start);
            canvas.text((right + LEADER + 2.0, baseline), &label);
        }
    }
}

/// The label of a vertical line: a span of pixels in a row above the plotting area.
struct Placed {
    leader: f64,
    from: f64,
    to: f64,
    row: usize,
    text: String,
}

/// Gives every label a row such that no label covers another one or its leader.
fn place(markers: &[Marker], axis: &Axis, left: f64, width: f64, total: f64) -> Vec<Placed> {
    let mut placed: Vec<Placed> = Vec::new();
    for flag in flags(markers, axis, total - 24.0, 1).into_iter().rev() {
        let leader = left + flag.at * width;
        let text = flag.lines.into_iter().next().unwrap_or_default();
        let room = text::width(&text, SIZE);
        let from = (leader + 4.0).min(total - 8.0 - room);
        let (from, to) = (from, from + room + 6.0);
        let is_free = |row: usize| {
            placed.iter().filter(|p| !p.text.is_empty()).all(|p| {
                let meets = from < p.to && p.from < to && p.row == row;
                let covers_its_leader = from < p.leader && p.leader < to && row <= p.row;
                let leader_covered = p.from < leader && leader < p.to && p.row < row;
                !(meets || covers_its_leader || leader_covered)
            })
        };
        let row = if text.is_empty() {
            0
        } else {
            (0..=placed.len()).find(|row| is_free(*row)).unwrap_or(placed.len())
        };
        placed.push(Placed { leader, from, to, row, text });
    }
    placed
}

/// Room that the labels of vertical lines take above the plotting area.
pub(crate) fn height(markers: &[Marker], axis: &Axis, left: f64, width: f64, total: f64) -> f64 {
    let placed = place(markers, axis, left, width, total);
    let rows = placed.iter().filter(|p| !p.text.is_empty()).map(|p| p.row + 1);
    rows.max().map_or(0.0, |n_rows| as_f64(n_rows) * LINE_HEIGHT + 2.0)
}

/// Draws vertical lines; labels stand above the plotting area.
pub(crate) fn draw_vertical(
    canvas: &mut Canvas,
    area: &Area,
    markers: &[Marker],
    axis: &Axis,
    total: f64,
) {
    for p in place(markers, axis, area.left, area.width, total) {
        canvas.line((p.leader, area.top), (p.leader, area.bottom()), LINE);
        if p.text.is_empty() {
            continue;
        }
        let baseline = area.top - 5.0 - as_f64(p.row) * LINE_HEIGHT;
        canvas.line((p.leader, area.top), (p.leader, baseline - 0.7 * SIZE), THIN);
        canvas.text((p.from, baseline), &Text::new(&p.text, SIZE, Anchor::Start));
    }
}
