//! What all plots share: title, axes, grid, labels, legend, and the room for each.

use crate::plot::Svg;
use crate::plot::area::Area;
use crate::plot::axis::{Axis, Tick, Ticks, as_f64};
use crate::plot::canvas::{Anchor, Canvas, Stroke, Text};
use crate::plot::legend::{Entry, Legend};
use crate::plot::marker::{self, Marker};
use crate::plot::text;

const TITLE: f64 = 15.0;
/// Bold letters are wider by this factor.
const BOLD: f64 = 1.15;
const LABEL: f64 = 13.0;
const TICK: f64 = 12.0;
const EDGE: f64 = 10.0;
const TICK_LENGTH: f64 = 5.0;
const GRID: Stroke<'_> = Stroke { color: "#e2e2e2", width: 1.0, dash: "" };
const FRAME: Stroke<'_> = Stroke { color: "#444444", width: 1.0, dash: "" };

/// Texts around a plot, and its size.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Labels {
    pub(crate) title: String,
    pub(crate) x: String,
    pub(crate) y: String,
    /// Width of the whole picture.
    pub(crate) width: f64,
    /// Height of the plotting area; title and legend come on top of it.
    pub(crate) height: f64,
}

/// The horizontal axis.
pub(crate) enum Across {
    Numbers(Axis),
    /// Names at equal distances, for bars.
    Names(Vec<String>),
}

/// All of a plot but its data.
pub(crate) struct Frame<'a> {
    pub(crate) labels: &'a Labels,
    pub(crate) across: Across,
    pub(crate) up: Axis,
    pub(crate) horizontal: &'a [Marker],
    pub(crate) vertical: &'a [Marker],
    pub(crate) legend: Vec<Entry>,
}

impl Labels {
    pub(crate) fn new(title: String) -> Self {
        Labels { title, x: String::new(), y: String::new(), width: 640.0, height: 290.0 }
    }

    /// Sets the size, within limits that leave room for text and paper.
    pub(crate) fn resize(&mut self, width: u32, height: u32) {
        self.width = f64::from(width.clamp(240, 4000));
        self.height = f64::from(height.clamp(80, 4000));
    }
}

/// How the names below a bar chart are set.
enum Names {
    Level(Vec<Vec<String>>),
    Slanted(Vec<String>),
}

const SLANT: f64 = 35.0;

impl Frame<'_> {
    /// Lays everything out, draws it, and calls `draw` for the data in between.
    pub(crate) fn draw(self, draw: impl FnOnce(&mut Canvas, &Area)) -> Svg {
        let Labels { title, width: total, height, .. } = self.labels;
        let (total, height) = (*total, *height);
        let title_lines = text::wrap(title, BOLD * TITLE, total - 2.0 * EDGE, 3);

        let n_ticks = if height < 200.0 { 4 } else { 6 };
        let up = self.up.ticks(n_ticks);
        let widest = up.ticks.iter().map(tick_width).fold(0.0, f64::max);
        let y_lines = text::wrap(&with_factor(&self.labels.y, up.factor), LABEL, height, 2);
        let y_room = as_f64(y_lines.len()) * (LABEL + 4.0);
        let right_room = marker::width(self.horizontal, &self.up).max(EDGE + 8.0);
        let mut left = EDGE + y_room + widest + TICK_LENGTH + 5.0;

        let mut width = (total - left - right_room).max(80.0);
        let names = match &self.across {
            Across::Numbers(_) => None,
            Across::Names(names) => {
                let set = set_names(names, width);
                if let Names::Slanted(names) = &set {
                    let more = overhang(names, width, left).min(0.25 * total);
                    left += more;
                    width = (width - more).max(80.0);
                }
                Some(set)
            }
        };
        let across = match &self.across {
            Across::Numbers(axis) => axis.ticks(if width < 320.0 { 4 } else { 7 }),
            Across::Names(_) => Ticks::default(),
        };
        let flags = match &self.across {
            Across::Numbers(axis) => marker::height(self.vertical, axis, left, width, total),
            Across::Names(_) => 0.0,
        };
        let title_room = as_f64(title_lines.len()) * (TITLE + 4.0);
        let top = EDGE + title_room + flags + if title_lines.is_empty() { 4.0 } else { 8.0 };
        let area = Area { left, top, width, height };

        let mut canvas = Canvas::new();
        self.draw_title(&mut canvas, &title_lines, total);
        for tick in up.ticks.iter().filter(|t| !t.label.is_empty()) {
            let y = area.y(tick.at);
            canvas.line((area.left, y), (area.right(), y), GRID);
        }
        for tick in across.ticks.iter().filter(|t| !t.label.is_empty()) {
            let x = area.x(tick.at);
            canvas.line((x, area.top), (x, area.bottom()), GRID);
        }
        marker::draw_horizontal(&mut canvas, &area, self.horizontal, &self.up);
        if let Across::Numbers(axis) = &self.across {
            marker::draw_vertical(&mut canvas, &area, self.vertical, axis, total);
        }
        canvas.open_group("data");
        draw(&mut canvas, &area);
        canvas.close_group();
        draw_up(
            &mut canvas,
            &area,
            &up.ticks,
            &y_lines,
            area.left - widest - TICK_LENGTH - 5.0 - y_room,
        );
        let mut bottom = area.bottom() + TICK_LENGTH + 3.0;
        bottom += match &names {
            None => draw_across(&mut canvas, &area, &across.ticks, total),
            Some(names) => draw_names(&mut canvas, &area, names),
        };
        canvas.rect(
            (area.left, area.top),
            (area.width, area.height),
            "none",
            " stroke=\"#444444\"",
        );

        let middle = area.left + area.width / 2.0;
        let x_room = 2.0 * (middle - EDGE).min(total - EDGE - middle);
        for line in text::wrap(&with_factor(&self.labels.x, across.factor), LABEL, x_room, 2) {
            bottom += LABEL + 5.0;
            canvas.text((middle, bottom), &Text::new(&line, LABEL, Anchor::Middle));
        }
        let legend = Legend::new(self.legend, total - 2.0 * EDGE);
        legend.draw(&mut canvas, middle, bottom + 10.0, (EDGE, total - EDGE));
        let legend_room = if legend.height() == 0.0 { 0.0 } else { legend.height() + 10.0 };
        canvas.finish(title, total, (bottom + legend_room + EDGE).ceil())
    }

    fn draw_title(&self, canvas: &mut Canvas, lines: &[String], total: f64) {
        for (idx, line) in lines.iter().enumerate() {
            let text = Text { bold: true, ..Text::new(line, TITLE, Anchor::Middle) };
            let y = EDGE + TITLE + as_f64(idx) * (TITLE + 4.0);
            canvas.text((total / 2.0, y), &text);
        }
    }
}

fn tick_width(tick: &Tick) -> f64 {
    text::width(&tick.label, TICK) + text::width(&tick.superscript, 0.75 * TICK)
}

/// `label [×10⁶]`.
fn with_factor(label: &str, factor: Option<i32>) -> String {
    let Some(factor) = factor else { return label.to_owned() };
    let raised: String = factor.to_string().chars().map(superscript).collect();
    if label.is_empty() { format!("×10{raised}") } else { format!("{label} [×10{raised}]") }
}

fn superscript(c: char) -> char {
    match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        _ => c.to_digit(10).and_then(|d| char::from_u32(0x2070 + d)).unwrap_or(c),
    }
}

fn draw_up(canvas: &mut Canvas, area: &Area, ticks: &[Tick], label: &[String], label_left: f64) {
    for tick in ticks {
        let y = area.y(tick.at);
        let length = if tick.label.is_empty() { 0.6 * TICK_LENGTH } else { TICK_LENGTH };
        canvas.line((area.left - length, y), (area.left, y), FRAME);
        draw_tick_label(
            canvas,
            (area.left - TICK_LENGTH - 4.0, y + 0.36 * TICK),
            tick,
            Anchor::End,
        );
    }
    for (idx, line) in label.iter().enumerate() {
        let x = label_left + LABEL - 2.0 + as_f64(idx) * (LABEL + 4.0);
        let text = Text { turn: -90.0, ..Text::new(line, LABEL, Anchor::Middle) };
        canvas.text((x, area.top + area.height / 2.0), &text);
    }
}

/// Draws the labels that do not touch each other; returns the room they take.
fn draw_across(canvas: &mut Canvas, area: &Area, ticks: &[Tick], total: f64) -> f64 {
    let mut free = 0.0;
    for tick in ticks {
        let x = area.x(tick.at);
        let length = if tick.label.is_empty() { 0.6 * TICK_LENGTH } else { TICK_LENGTH };
        canvas.line((x, area.bottom()), (x, area.bottom() + length), FRAME);
        let half = tick_width(tick) / 2.0;
        let middle = x.min(total - 2.0 - half);
        if !tick.label.is_empty() && free <= middle - half {
            free = middle + half + 5.0;
            let baseline = area.bottom() + TICK_LENGTH + 2.0 + TICK;
            draw_tick_label(canvas, (middle, baseline), tick, Anchor::Middle);
        }
    }
    TICK + 2.0
}

fn draw_tick_label(canvas: &mut Canvas, at: (f64, f64), tick: &Tick, anchor: Anchor) {
    if !tick.label.is_empty() {
        let superscript = &tick.superscript;
        canvas.text(at, &Text { superscript, ..Text::new(&tick.label, TICK, anchor) });
    }
}

/// Names broken into level lines if every word fits below its bars, slanted otherwise.
fn set_names(names: &[String], width: f64) -> Names {
    let slot = width / as_f64(names.len().max(1)) - 6.0;
    let words_fit = names.iter().flat_map(|n| n.split_whitespace());
    let words_fit = words_fit.into_iter().all(|word| text::width(word, TICK) <= slot);
    let level: Vec<_> = names.iter().map(|n| text::wrap(n, TICK, slot, 9)).collect();
    if words_fit && level.iter().all(|lines| lines.len() <= 3) {
        return Names::Level(level);
    }
    Names::Slanted(names.iter().map(|n| text::shorten_middle(n, TICK, 160.0)).collect())
}

/// How far slanted names would stick out of the picture at the left.
fn overhang(names: &[String], width: f64, left: f64) -> f64 {
    let slot = width / as_f64(names.len().max(1));
    let out = names.iter().enumerate().map(|(idx, name)| {
        let reach = text::width(name, TICK) * SLANT.to_radians().cos();
        reach - (as_f64(idx) + 0.5) * slot - left + 4.0
    });
    out.fold(0.0, f64::max)
}

fn draw_names(canvas: &mut Canvas, area: &Area, names: &Names) -> f64 {
    let top = area.bottom() + TICK_LENGTH + 2.0;
    match names {
        Names::Level(names) => {
            let slot = area.width / as_f64(names.len().max(1));
            for (idx, lines) in names.iter().enumerate() {
                let x = area.left + (as_f64(idx) + 0.5) * slot;
                for (row, line) in lines.iter().enumerate() {
                    let y = top + TICK + as_f64(row) * (TICK + 3.0);
                    canvas.text((x, y), &Text::new(line, TICK, Anchor::Middle));
                }
            }
            as_f64(names.iter().map(Vec::len).max().unwrap_or(0)) * (TICK + 3.0)
        }
        Names::Slanted(names) => {
            let slot = area.width / as_f64(names.len().max(1));
            for (idx, name) in names.iter().enumerate() {
                let x = area.left + (as_f64(idx) + 0.5) * slot + 4.0;
                let text = Text { turn: -SLANT, ..Text::new(name, TICK, Anchor::End) };
                canvas.text((x, top + 0.7 * TICK), &text);
            }
            let widest = names.iter().map(|n| text::width(n, TICK)).fold(0.0, f64::max);
            widest * SLANT.to_radians().sin() + TICK
        }
    }
}
