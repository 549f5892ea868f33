//! Draws each kind of plot and a page that shows them all into the folder given as argument (`gallery` if none).

use std::path::{Path, PathBuf};

use report::html::{Page, Section};
use report::plot::{Bars, Histogram, Plot, Series, Svg};
use report::table::Table;
use report::{Result, atomic};

fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("gallery"), PathBuf::from);
    draw(&folder)
}

fn draw(folder: &Path) -> Result<()> {
    atomic::create_parent(folder.join("index.html"))?;
    let mut section = Section::new("Plots");
    for (name, caption, svg) in pictures()? {
        svg.save(folder.join(name).with_extension("svg"))?;
        section = section.plot(&svg, caption);
    }
    let mut table =
        Table::new(["method", "accuracy", "seeds", "remark"]).with_caption("Five seeds");
    table.push_row(["SGD", "0.912 ± 0.004", "5", "a & b < c"]).push_row([
        "AdamW",
        "0.934 ± 0.002",
        "5",
        "two\nlines",
    ]);
    let page = Page::new("Gallery of plots & tables")
        .paragraph("Every kind of picture that this crate draws, with its awkward cases.")
        .key_values([("commit", "1a2b3c4"), ("machine", "8 cores, 32 GiB"), ("seed", "17")])
        .section(section)
        .section(
            Section::new("Tables")
                .table(&table)
                .section(Section::new("Text").code("cargo run --example gallery -- <folder>")),
        );
    page.save(folder.join("index.html"))
}

/// A cheap repeatable wobble between -1 and 1.
fn wobble(i: u32) -> f64 {
    let h = i.wrapping_mul(2_654_435_761) ^ (i.wrapping_mul(40_503) >> 3);
    f64::from(h.wrapping_mul(2_246_822_519) >> 8) / f64::from(1u32 << 23) - 1.0
}

fn curve(n: u32, rate: f64, floor: f64) -> impl Iterator<Item = (f64, f64)> {
    (0..n).map(move |t| {
        let y = floor + (2.0 - floor) * (-rate * f64::from(t)).exp();
        (f64::from(t) * 100.0, y * (1.0 + 0.03 * wobble(t)))
    })
}

type Picture = (&'static str, &'static str, Svg);

fn pictures() -> Result<Vec<Picture>> {
    let mut out = vec![
        ("lines", "Lines with bands and reference lines.", lines()?),
        ("gaps", "Values that are not finite leave gaps.", gaps()?),
        ("many", "Nine series and a long title.", many()?),
        ("log_log", "Two logarithmic axes.", log_log()?),
        ("log_narrow", "A logarithmic axis over less than a decade.", log_narrow()?),
        ("points", "Points with shapes of their own.", points()?),
        ("flags", "Reference lines close to each other.", flags()?),
        ("large", "Large numbers, limits set by hand.", large()?),
        (
            "one",
            "A single point.",
            Plot::new("One point").series(Series::points("only", [(3.0, 7.0)])).to_svg()?,
        ),
    ];
    out.extend(bar_pictures()?);
    let members = (0..900).map(|i| 0.4 + 0.2 * (wobble(i) + wobble(i + 5000) + wobble(i + 9000)));
    let others = (0..500).map(|i| 0.9 + 0.25 * (wobble(i + 77) + wobble(i + 7000) + wobble(i + 3)));
    let histogram = Histogram::new("Loss of members and non-members")
        .x_label("loss")
        .values("members (900)", members)
        .values("non-members (500)", others)
        .density()
        .vertical(0.65, "threshold 0.65");
    out.push(("histogram", "Two histograms over the same bins.", histogram.to_svg()?));
    Ok(out)
}

fn lines() -> Result<Svg> {
    let slow: Vec<_> = curve(60, 0.05, 0.4).collect();
    let fast: Vec<_> = curve(60, 0.12, 0.25).collect();
    let std: Vec<f64> = fast.iter().map(|p| 0.08 + 0.1 * p.1).collect();
    Plot::new("Test loss over five seeds")
        .x_label("step")
        .y_label("mean cross-entropy")
        .series(Series::line("SGD, fixed rate", slow).with_std(&[0.12; 60])?)
        .series(Series::line("curvature-tuned rate", fast).with_std(&std)?)
        .horizontal(0.3, "non-private baseline")
        .vertical(2000.0, "warm-up ends")
        .to_svg()
}

fn gaps() -> Result<Svg> {
    let wave = |t: u32| match t {
        20..30 | 41 | 43 => f64::NAN,
        55 => f64::INFINITY,
        _ => (f64::from(t) * 0.2).sin(),
    };
    Plot::new("A diverging run")
        .x_label("step")
        .series(Series::indexed("wave", (0..80).map(wave)).with_std(&[0.2; 80])?)
        .series(
            Series::indexed("with markers", (0..80).map(|t| 0.5 * wave(t) - 1.0)).with_markers(),
        )
        .series(Series::indexed("never finite", [f64::NAN; 5]))
        .to_svg()
}

fn many() -> Result<Svg> {
    let mut plot = Plot::new(
        "Accuracy against epsilon for all methods of the comparison, on the task with the longest \
         name that we have",
    )
    .x_label("epsilon (delta = 1e-5)")
    .y_label("accuracy")
    .log_x();
    for k in 0..9u32 {
        let points = (0..12).map(move |i| {
            let eps = 0.1 * 1.7f64.powi(i);
            (eps, 0.9 - f64::from(k) * 0.04 - 0.3 * (-eps).exp())
        });
        plot = plot.series(Series::line(format!("method number {k}"), points).with_markers());
    }
    plot.to_svg()
}

fn log_log() -> Result<Svg> {
    let powers = |p: i32| (0..9).map(move |i| (10f64.powi(i - 2), 10f64.powi(p * i - 9)));
    Plot::new("Duality gap")
        .x_label("time [s]")
        .y_label("gap")
        .log_x()
        .log_y()
        .series(Series::line("p = 1", powers(1)).with_std(&[1e-7; 9])?)
        .series(Series::line("p = 2", powers(2)))
        .horizontal(1e-6, "tolerance")
        .to_svg()
}

fn log_narrow() -> Result<Svg> {
    Plot::new("Loss, logarithmic")
        .x_label("epoch")
        .y_label("loss")
        .log_y()
        .series(Series::indexed("train", (0..20).map(|t| 2.3 * 0.97f64.powi(t))))
        .series(Series::indexed("test", (0..20).map(|t| 2.5 * 0.98f64.powi(t))))
        .to_svg()
}

fn points() -> Result<Svg> {
    let mut plot = Plot::new("Time and quality").x_label("time [s]").y_label("quality");
    for k in 0..7u32 {
        let cloud = (0..12).map(move |i| {
            let at = f64::from(k) + wobble(i * 7 + k);
            (at + 0.3 * wobble(i + 100 * k), 0.2 * at + 0.2 * wobble(i + 1000 * k))
        });
        plot = plot.series(Series::points(format!("m{k}"), cloud));
    }
    plot.to_svg()
}

fn flags() -> Result<Svg> {
    let mut plot = Plot::new("Reference lines").x_label("x").y_label("y");
    plot = plot.series(Series::line("data", (0..50).map(|t| (f64::from(t), f64::from(t * t)))));
    for (x, label) in [
        (5.0, "first"),
        (8.0, "second mark"),
        (12.0, "third"),
        (40.0, "a mark with a long name"),
        (47.0, "last one here"),
    ] {
        plot = plot.vertical(x, label);
    }
    for (y, label) in [
        (0.0, "zero"),
        (40.0, "just above"),
        (1000.0, "a threshold of some length"),
        (1080.0, "another"),
    ] {
        plot = plot.horizontal(y, label);
    }
    plot.to_svg()
}

fn large() -> Result<Svg> {
    let data = (0..40_000u32)
        .map(|i| (f64::from(i) * 50.0, 3e-7 * (1.0 + wobble(i)) * f64::from(i) / 2e4));
    Plot::new("Forty thousand points")
        .x_label("tokens")
        .y_label("rate")
        .series(Series::line("raw", data))
        .series(Series::line("line that leaves", [(0.0, -1e-6), (1e6, 8e-7), (2e6, 2e-7)]))
        .y_range(0.0, 6e-7)
        .to_svg()
}

fn bar_pictures() -> Result<Vec<Picture>> {
    let stacked =
        Bars::new("Time of one private step", ["exact", "ghost", "book-keeping", "non-private"])
            .y_label("time [ms]")
            .series("forward", [10.0, 10.5, 10.2, 9.8])?
            .series("backward", [22.0, 30.0, 21.0, 18.0])?
            .series("clip", [35.0, 6.0, 8.0, f64::NAN])?
            .series("noise", [4.0, 4.1, 3.9, f64::NAN])?
            .stacked()
            .with_values()
            .to_svg()?;
    let grouped = Bars::new("Forget and retain quality", ["grad diff", "NGDiff", "NPO", "DPO"])
        .y_label("change")
        .series_with_std("forget", [-0.4, 0.5, 0.3, 0.35], [0.05, 0.1, 0.02, 0.04])?
        .series_with_std("retain", [0.8, 0.9, 0.6, 0.7], [0.05, 0.04, 0.1, 0.02])?
        .series("time", [0.2, 0.3, 0.5, -0.1])?
        .with_values()
        .horizontal(0.75, "retrained")
        .to_svg()?;
    let names = (0..12).map(|i| format!("a_configuration_with_a_long_name_{i}"));
    let slanted = Bars::new("Twelve configurations", names)
        .y_label("error [%]")
        .series("error", (0..12).map(|i| f64::from(30 - i) * 0.5))?
        .with_values()
        .to_svg()?;
    Ok(vec![
        ("bars_stacked", "Stacked bars with totals.", stacked),
        ("bars_grouped", "Grouped bars with whiskers and negative values.", grouped),
        ("bars_slanted", "Long names are slanted.", slanted),
    ])
}
