//! Writes SVG elements; every text and attribute is escaped here.

use std::fmt::Write;

use crate::escape;
use crate::plot::Svg;
use crate::plot::palette::Shape;

/// Fonts that are on every desk; DejaVu Sans for Linux.
const FONTS: &str = "system-ui, 'Segoe UI', Roboto, Helvetica, Arial, 'DejaVu Sans', sans-serif";

/// Colour of all text.
const INK: &str = "#1a1a1a";

/// An SVG document in the making.
pub(crate) struct Canvas {
    body: String,
}

/// Which part of a text stands at its position.
#[derive(Clone, Copy)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// A stroke.
#[derive(Clone, Copy)]
pub(crate) struct Stroke<'a> {
    pub(crate) color: &'a str,
    pub(crate) width: f64,
    pub(crate) dash: &'a str,
}

/// Text with its look.
pub(crate) struct Text<'a> {
    pub(crate) text: &'a str,
    /// A smaller text raised behind `text`, for powers of ten.
    pub(crate) superscript: &'a str,
    pub(crate) size: f64,
    pub(crate) bold: bool,
    pub(crate) anchor: Anchor,
    /// Turned by this many degrees around its position.
    pub(crate) turn: f64,
    /// With a rim of white, to be read over lines.
    pub(crate) halo: bool,
}

impl<'a> Text<'a> {
    pub(crate) fn new(text: &'a str, size: f64, anchor: Anchor) -> Self {
        Text { text, superscript: "", size, bold: false, anchor, turn: 0.0, halo: false }
    }
}

impl Canvas {
    pub(crate) fn new() -> Self {
        Canvas { body: String::new() }
    }

    /// Closes the document: a picture of this size called `title`.
    pub(crate) fn finish(self, title: &str, width: f64, height: f64) -> Svg {
        let (w, h, title) = (num(width), num(height), escape::xml(title));
        Svg(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" \
             viewBox=\"0 0 {w} {h}\" role=\"img\" aria-label=\"{title}\" font-family=\"{FONTS}\">\n\
             <rect width=\"{w}\" height=\"{h}\" fill=\"#ffffff\"/>\n{}</svg>\n",
            self.body
        ))
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a `String` cannot fail.
        let _ = self.body.write_fmt(element);
        self.body.push('\n');
    }

    pub(crate) fn open_group(&mut self, class: &str) {
        self.push(format_args!("<g class=\"{}\">", escape::xml(class)));
    }

    pub(crate) fn close_group(&mut self) {
        self.push(format_args!("</g>"));
    }

    pub(crate) fn line(&mut self, from: (f64, f64), to: (f64, f64), stroke: Stroke<'_>) {
        let (x1, y1, x2, y2) = (num(from.0), num(from.1), num(to.0), num(to.1));
        let stroke = stroke.attributes();
        self.push(format_args!("<line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"{stroke}/>"));
    }

    pub(crate) fn polyline(&mut self, points: &[(f64, f64)], stroke: Stroke<'_>) {
        let (points, stroke) = (coordinates(points), stroke.attributes());
        self.push(format_args!(
            "<polyline points=\"{points}\" fill=\"none\" stroke-linejoin=\"round\"{stroke}/>"
        ));
    }

    pub(crate) fn polygon(&mut self, points: &[(f64, f64)], fill: &str, opacity: f64) {
        let (points, opacity) = (coordinates(points), num(opacity));
        self.push(format_args!(
            "<polygon points=\"{points}\" fill=\"{fill}\" fill-opacity=\"{opacity}\"/>"
        ));
    }

    pub(crate) fn rect(&mut self, at: (f64, f64), size: (f64, f64), fill: &str, more: &str) {
        let (x, y, w, h) = (num(at.0), num(at.1), num(size.0), num(size.1));
        self.push(format_args!(
            "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" fill=\"{fill}\"{more}/>"
        ));
    }

    /// A data point of radius `r`.
    pub(crate) fn point(&mut self, (x, y): (f64, f64), r: f64, shape: Shape, color: &str) {
        // Sizes that look equally heavy next to a circle of radius `r`.
        let outline: Vec<(f64, f64)> = match shape {
            Shape::Circle => {
                let (x, y, r) = (num(x), num(y), num(r));
                self.push(format_args!(
                    "<circle cx=\"{x}\" cy=\"{y}\" r=\"{r}\" fill=\"{color}\"/>"
                ));
                return;
            }
            Shape::Plus | Shape::Cross => {
                let r = if shape == Shape::Plus { 1.25 * r } else { 0.95 * r };
                let (x, y, r) = (num(x), num(y), num(r));
                let path = match shape {
                    Shape::Plus => format!("m-{r} 0h{d}m-{r} -{r}v{d}", d = twice(&r)),
                    _ => format!("m-{r} -{r}l{d} {d}m-{d} 0l{d} -{d}", d = twice(&r)),
                };
                self.push(format_args!(
                    "<path d=\"M{x} {y}{path}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>"
                ));
                return;
            }
            Shape::Square => vec![(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
            Shape::Up => vec![(0.0, -1.25), (1.15, 0.85), (-1.15, 0.85)],
            Shape::Down => vec![(0.0, 1.25), (1.15, -0.85), (-1.15, -0.85)],
            Shape::Diamond => vec![(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)],
        };
        let points: Vec<_> = outline.iter().map(|(dx, dy)| (x + r * dx, y + r * dy)).collect();
        self.polygon(&points, color, 1.0);
    }

    pub(crate) fn text(&mut self, (x, y): (f64, f64), text: &Text<'_>) {
        let anchor = match text.anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let weight = if text.bold { " font-weight=\"bold\"" } else { "" };
        let (x, y, size) = (num(x), num(y), num(text.size));
        let turn = match num(text.turn) {
            turn if turn == "0" => String::new(),
            turn => format!(" transform=\"rotate({turn} {x} {y})\""),
        };
        let raised = if text.superscript.is_empty() {
            String::new()
        } else {
            let (up, small) = (num(0.4 * text.size), num(0.75 * text.size));
            let power = escape::xml(text.superscript);
            format!("<tspan dy=\"-{up}\" font-size=\"{small}\">{power}</tspan>")
        };
        let halo = match text.halo {
            true => " stroke=\"#ffffff\" stroke-width=\"3\" paint-order=\"stroke\"",
            false => "",
        };
        let body = escape::xml(text.text);
        self.push(format_args!(
            "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\" fill=\"{INK}\"{anchor}{weight}{turn}{halo}>\
             {body}{raised}</text>"
        ));
    }
}

impl Stroke<'_> {
    fn attributes(&self) -> String {
        let dash = match self.dash {
            "" => String::new(),
            dash => format!(" stroke-dasharray=\"{dash}\""),
        };
        format!(" stroke=\"{}\" stroke-width=\"{}\"{dash}", self.color, num(self.width))
    }
}

/// A coordinate to a hundredth of a pixel, without trailing zeros.
pub(crate) fn num(v: f64) -> String {
    let text = format!("{v:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

fn twice(r: &str) -> String {
    num(2.0 * r.parse::<f64>().unwrap_or(0.0))
}

fn coordinates(points: &[(f64, f64)]) -> String {
    let pairs: Vec<String> = points.iter().map(|p| format!("{},{}", num(p.0), num(p.1))).collect();
    pairs.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_short_and_have_no_negative_zero() {
        assert_eq!(num(1.0), "1");
        assert_eq!(num(10.0), "10");
        assert_eq!(num(-0.001), "0");
        assert_eq!(num(1.256), "1.26");
    }
}
