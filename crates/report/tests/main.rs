//! What the plots and pages promise, checked on the finished text.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use proptest::prelude::*;
use report::Error;
use report::html::{Page, Section};
use report::plot::{Bars, Histogram, Plot, Series, Svg};
use roxmltree::{Document, Node};

/// Every number in an attribute like `points="1,2 3,4"`.
fn numbers(text: &str) -> Vec<f64> {
    let parts = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|part| !part.is_empty());
    parts.map(|part| part.parse().unwrap()).collect()
}

fn attribute(node: Node<'_, '_>, name: &str) -> f64 {
    node.attribute(name).unwrap_or("0").parse().unwrap()
}

/// Left, top, right and bottom of the frame around the data.
fn frame(document: &Document<'_>) -> [f64; 4] {
    let is_frame = |n: &Node<'_, '_>| n.has_tag_name("rect") && n.attribute("fill") == Some("none");
    let rect = document.descendants().find(is_frame).unwrap();
    let (x, y) = (attribute(rect, "x"), attribute(rect, "y"));
    [x, y, x + attribute(rect, "width"), y + attribute(rect, "height")]
}

fn middle(corners: impl ExactSizeIterator<Item = (f64, f64)>) -> (f64, f64) {
    let n = f64::from(u32::try_from(corners.len()).unwrap());
    let (x, y) = corners.fold((0.0, 0.0), |sum, p| (sum.0 + p.0, sum.1 + p.1));
    (x / n, y / n)
}

/// Corners of everything drawn as data.
fn data_points(document: &Document<'_>) -> Vec<(f64, f64)> {
    let group = document.descendants().find(|n| n.attribute("class") == Some("data")).unwrap();
    let mut out = Vec::new();
    for node in group.descendants() {
        match node.tag_name().name() {
            "polyline" | "polygon" => {
                let numbers = numbers(node.attribute("points").unwrap());
                let corners = numbers.chunks(2).map(|pair| (pair[0], pair[1]));
                if node.attribute("fill-opacity") == Some("1") {
                    out.push(middle(corners)); // A square that marks a point.
                } else {
                    out.extend(corners);
                }
            }
            "circle" => out.push((attribute(node, "cx"), attribute(node, "cy"))),
            "rect" => {
                let (x, y) = (attribute(node, "x"), attribute(node, "y"));
                out.extend([(x, y), (x + attribute(node, "width"), y + attribute(node, "height"))]);
            }
            _ => {}
        }
    }
    out
}

/// Checks that the picture is well-formed XML without odd numbers and that its data lie inside the
/// frame, which lies inside the picture.
fn check(svg: &Svg) {
    let text = svg.as_str();
    let document = Document::parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    let root = document.root_element();
    let (width, height) = (attribute(root, "width"), attribute(root, "height"));
    let [left, top, right, bottom] = frame(&document);
    assert!(0.0 < left && left < right && right < width, "{text}");
    assert!(0.0 < top && top < bottom && bottom < height, "{text}");
    for (x, y) in data_points(&document) {
        assert!((left - 0.03..=right + 0.03).contains(&x), "{x} in {left}..{right}\n{text}");
        assert!((top - 0.03..=bottom + 0.03).contains(&y), "{y} in {top}..{bottom}\n{text}");
    }
    // The legend covers no data: it starts below the frame.
    if let Some(legend) = document.descendants().find(|n| n.attribute("class") == Some("legend")) {
        for text in legend.descendants().filter(|n| n.has_tag_name("text")) {
            assert!(bottom < attribute(text, "y"));
        }
    }
}

const AWKWARD: &str = "a<b> & \"c\" 'd' \u{1} ]]> é 漢字 &amp;";

#[test]
fn awkward_texts_arrive_in_every_picture() {
    let plot = Plot::new(AWKWARD)
        .x_label(AWKWARD)
        .y_label(AWKWARD)
        .series(Series::indexed(AWKWARD, [1.0, 2.0]))
        .horizontal(1.5, AWKWARD)
        .vertical(0.5, AWKWARD);
    let bars = Bars::new(AWKWARD, [AWKWARD]).series(AWKWARD, [1.0]).unwrap();
    let histogram = Histogram::new(AWKWARD).values(AWKWARD, [1.0, 2.0]).vertical(1.0, AWKWARD);
    let all = [plot.to_svg(), bars.to_svg(), histogram.to_svg()].map(Result::unwrap);
    let mut page = Page::new(AWKWARD);
    for svg in &all {
        check(svg);
        let document = Document::parse(svg.as_str()).unwrap();
        let title = document.root_element().attribute("aria-label").unwrap();
        assert_eq!(title, AWKWARD.replace('\u{1}', "\u{fffd}"));
        page = page.section(Section::new(AWKWARD).plot(svg, AWKWARD));
    }
    let html = page.to_html();
    Document::parse(html.strip_prefix("<!DOCTYPE html>\n").unwrap()).unwrap();
}

#[test]
fn a_log_axis_refuses_data_without_anything_positive() {
    let series = Series::line("a", [(1.0, 0.0), (2.0, -3.0), (f64::NAN, 4.0)]);
    let refused = Plot::new("t").series(series.clone()).log_y().to_svg();
    assert!(matches!(refused, Err(Error::NoPositiveData { axis: 'y', .. })), "{refused:?}");
    let swapped = Series::points("a", [(0.0, 1.0), (-3.0, 2.0)]);
    let refused = Plot::new("t").series(swapped).log_x().log_y().to_svg();
    assert!(matches!(refused, Err(Error::NoPositiveData { axis: 'x', .. })), "{refused:?}");
    // Each axis has something positive, but no point is positive on both.
    let apart = Series::points("a", [(0.0, 1.0), (1.0, 0.0)]);
    let refused = Plot::new("t").series(apart).log_x().log_y().to_svg();
    assert!(matches!(refused, Err(Error::EmptyPlot { .. })), "{refused:?}");
    check(&Plot::new("t").series(series).to_svg().unwrap());
}

#[test]
fn nothing_to_show_is_an_error() {
    let empty = |svg: report::Result<Svg>| matches!(svg, Err(Error::EmptyPlot { .. }));
    assert!(empty(Plot::new("t").to_svg()));
    assert!(empty(Plot::new("t").series(Series::indexed("a", [f64::NAN])).to_svg()));
    assert!(empty(Bars::new("t", [""; 0]).to_svg()));
    assert!(empty(Bars::new("t", ["a"]).series("s", [f64::INFINITY]).unwrap().to_svg()));
    assert!(empty(Histogram::new("t").values("a", [f64::NAN]).to_svg()));
}

#[test]
fn limits_that_make_no_axis_are_an_error() {
    let plot = Plot::new("t").series(Series::indexed("a", [1.0, 2.0]));
    for (low, high) in [(1.0, 1.0), (2.0, 1.0), (f64::NAN, 1.0), (0.0, f64::INFINITY)] {
        let refused = plot.clone().y_range(low, high).to_svg();
        assert!(matches!(refused, Err(Error::InvalidRange { axis: 'y', .. })), "{refused:?}");
    }
    let refused = plot.log_x().x_range(0.0, 1.0).to_svg();
    assert!(matches!(refused, Err(Error::InvalidRange { axis: 'x', .. })), "{refused:?}");
}

#[test]
fn a_gap_breaks_the_line() {
    let values = [1.0, 2.0, f64::NAN, 2.0, 1.0, f64::INFINITY, 3.0];
    let svg = Plot::new("t").series(Series::indexed("a", values)).to_svg().unwrap();
    check(&svg);
    let document = Document::parse(svg.as_str()).unwrap();
    let count = |tag: &str| document.descendants().filter(|n| n.has_tag_name(tag)).count();
    assert_eq!((count("polyline"), count("circle")), (2, 1));
}

#[test]
fn stacked_bars_add_up_and_refuse_negative_parts() {
    let bars = Bars::new("t", ["a", "b"]).series("s", [1.0, 2.0]).unwrap();
    let bars = bars.series("u", [3.0, f64::NAN]).unwrap().stacked();
    let svg = bars.to_svg().unwrap();
    check(&svg);
    let document = Document::parse(svg.as_str()).unwrap();
    let group = document.descendants().find(|n| n.attribute("class") == Some("data")).unwrap();
    let heights: Vec<f64> = group
        .descendants()
        .filter(|n| n.has_tag_name("rect"))
        .map(|n| attribute(n, "height"))
        .collect();
    // Drawn group by group: 1 and 3, then 2.
    assert!((heights[1] / heights[0] - 3.0).abs() < 1e-3, "{heights:?}");
    assert!((heights[2] / heights[0] - 2.0).abs() < 1e-3, "{heights:?}");
    let refused = bars.series("v", [-1.0, 0.0]).unwrap().to_svg();
    assert!(matches!(refused, Err(Error::NegativeStack { .. })), "{refused:?}");
    let refused = Bars::new("t", ["a", "b"]).series("s", [1.0]);
    assert!(matches!(refused, Err(Error::LengthMismatch { expected: 2, got: 1, .. })));
}

#[test]
fn a_long_series_makes_a_small_picture() {
    let values = (0..200_000u32).map(|i| f64::from(i.wrapping_mul(2_654_435_761)));
    let svg = Plot::new("t").series(Series::indexed("a", values)).to_svg().unwrap();
    check(&svg);
    assert!(svg.as_str().len() < 60_000, "{}", svg.as_str().len());
}

#[test]
fn a_saved_picture_is_the_picture() {
    let folder = std::env::temp_dir().join(format!("report-test-{}", std::process::id()));
    let path = folder.join("a.svg");
    report::atomic::create_parent(&path).unwrap();
    let svg = Plot::new("t").series(Series::indexed("a", [1.0, 2.0])).to_svg().unwrap();
    svg.save(&path).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), svg.as_str());
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Ordinary numbers, with an odd one now and then.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => -1e3..1e3f64,
        2 => (-30.0..30.0f64).prop_map(|e| 10f64.powf(e)),
        1 => any::<f64>(),
        1 => Just(f64::NAN),
    ]
}

fn points() -> impl Strategy<Value = Vec<(f64, f64)>> {
    proptest::collection::vec((value(), value()), 0..20)
}

proptest! {
    #[test]
    fn any_plot_is_a_sound_picture_or_a_typed_error(
        a in points(), b in points(), std in value(), logs in any::<(bool, bool)>(),
        limits in proptest::option::of((value(), value())),
        marks in proptest::collection::vec((value(), ".{0,40}"), 0..4),
        title in ".{0,120}", width in 200u32..1200, height in 50u32..600,
    ) {
        let n = a.len();
        let mut plot = Plot::new(title)
            .size(width, height)
            .x_label("x").y_label("y")
            .series(Series::line("a", a).with_std(&vec![std; n]).unwrap())
            .series(Series::points("a longer label", b));
        if logs.0 { plot = plot.log_x(); }
        if logs.1 { plot = plot.log_y(); }
        if let Some((low, high)) = limits { plot = plot.y_range(low, high); }
        for (at, label) in marks {
            plot = plot.horizontal(at, label.clone()).vertical(at, label);
        }
        match plot.to_svg() {
            Ok(svg) => {
                check(&svg);
                prop_assert_eq!(plot.to_svg().unwrap(), svg);
            }
            Err(Error::EmptyPlot { .. } | Error::NoPositiveData { .. } | Error::InvalidRange { .. }) => {}
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn any_bar_chart_is_a_sound_picture_or_a_typed_error(
        values in proptest::collection::vec((value(), value()), 1..9), stacked in any::<bool>(),
        names in proptest::collection::vec(".{0,40}", 9),
    ) {
        let (a, std): (Vec<f64>, Vec<f64>) = values.iter().copied().unzip();
        let mut bars = Bars::new("t", names.into_iter().take(a.len()))
            .series_with_std("a", a.clone(), std.clone()).unwrap()
            .series("b", std).unwrap()
            .with_values();
        if stacked { bars = bars.stacked(); }
        match bars.to_svg() {
            Ok(svg) => {
                check(&svg);
                prop_assert_eq!(bars.to_svg().unwrap(), svg);
            }
            Err(Error::EmptyPlot { .. } | Error::NegativeStack { .. } | Error::InvalidRange { .. }) => {}
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn any_histogram_is_a_sound_picture_or_a_typed_error(
        a in proptest::collection::vec(value(), 0..60), b in proptest::collection::vec(value(), 0..60),
        density in any::<bool>(), mark in value(),
    ) {
        let mut histogram = Histogram::new("t").values("a", a).values("b", b).vertical(mark, "mark");
        if density { histogram = histogram.density(); }
        match histogram.to_svg() {
            Ok(svg) => {
                check(&svg);
                prop_assert_eq!(histogram.to_svg().unwrap(), svg);
            }
            Err(Error::EmptyPlot { .. } | Error::InvalidRange { .. }) => {}
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}
