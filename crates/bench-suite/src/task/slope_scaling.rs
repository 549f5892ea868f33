//! How time and memory of fits of `slope2` grow with the number of features and of observations.

use report::figures::Better;
use report::html::Section;
use report::number::{count, significant};
use report::plot::{Plot, Series};
use report::table::{Align, Table};

use super::slope::{done, median, repeats};
use crate::error::{Error, Result};
use crate::session::{Session, Spread};
use crate::slope::simulate::{Kind, Simulation};
use crate::slope::work::{Shape, Work};
use crate::slope::worker::{self, Request, Source};
use crate::slope::{GAP, LIMIT};

/// Rows of the designs whose columns are varied, and the other way round.
const ROWS: usize = 200;
const COLUMNS: usize = 50;
const SIZES: [usize; 7] = [1_000, 3_162, 10_000, 31_623, 100_000, 316_228, 1_000_000];
/// Fits longer than this are not repeated, in seconds.
const LONG: f64 = 20.0;
const ROUNDS: usize = 5;
/// Vectors of length n + p that a fit may need beside the data.
const MOST_VECTORS: f64 = 24.0;

struct Axis {
    name: &'static str,
    what: &'static str,
    shape: fn(usize) -> (usize, usize),
    two_levels: Shape,
}

const AXES: [Axis; 2] = [
    Axis {
        name: "p",
        what: "features",
        shape: |p| (ROWS, p),
        two_levels: Shape { share: 0.02, ratio: 0.5 },
    },
    Axis {
        name: "n",
        what: "observations",
        shape: |n| (n, COLUMNS),
        two_levels: Shape { share: 0.2, ratio: 0.5 },
    },
];

/// What one fit took.
struct Point {
    size: usize,
    cpu_s: f64,
    /// On the heap, and resident; in vectors of `n + p`.
    vectors: f64,
    resident: f64,
}

/// Runs everything and writes the section.
pub(super) fn run(session: &Session) -> Result<Section> {
    let mut section = Section::new("Scaling of slope2").paragraph(format!(
        "One fit from zero at a tenth of the largest useful strength, to a true relative gap of 1e-6, on autoregressive designs \
         of correlation .5: features varied at {ROWS} observations, observations varied at {COLUMNS} features. Process CPU \
         time on one thread, medians of at least {ROUNDS} fits, of one where a fit takes more than {LONG} s. Memory is the most \
         that a fit holds on the heap at once beside the design and the response, in vectors of n + p doubles. Resident is the highest resident size less what the \
         process had before (after a small fit) and less the design and the response: with pages of the program, scratch \
         space of the matrix library and what the allocator keeps."
    ));
    for axis in &AXES {
        let sizes =
            SIZES.into_iter().filter(|size| session.wants(&format!("{}-{size}", axis.name)));
        let sizes: Vec<usize> = sizes.collect();
        if sizes.is_empty() {
            continue;
        }
        let mut time = Plot::new(format!("Time against {}", axis.what))
            .x_label(axis.what)
            .y_label("cpu ms of a fit")
            .log_x()
            .log_y();
        let mut memory = Plot::new(format!("Memory against {}", axis.what))
            .x_label(axis.what)
            .y_label("vectors of n + p beside the data")
            .log_x()
            .log_y()
            .horizontal(MOST_VECTORS, "allowed");
        let mut table = Table::new(["penalty", axis.what, "cpu ms", "vectors", "resident"]);
        for column in 1..5 {
            table = table.align(column, Align::Right);
        }
        let task =
            session.progress.task(format!("slope-scaling: {}", axis.what), 2 * sizes.len() as u64);
        for (label, name, shape) in
            [("two levels", "two-levels", axis.two_levels), ("LASSO", "lasso", Shape::LASSO)]
        {
            let mut points = Vec::new();
            for size in &sizes {
                if session.interrupt.is_set() {
                    return Err(Error::Interrupted);
                }
                let point = measure(axis, *size, shape)?;
                let figure = |what: &str, value: f64, unit: &str| {
                    let config = format!("{} x {}", (axis.shape)(*size).0, (axis.shape)(*size).1);
                    let spread = Spread { better: Better::Lower, std: None, n_seeds: 1, config };
                    let figure = format!("{name}-{}-{size}-{what}", axis.name);
                    session.figure("slope-scaling", &figure, value, unit, spread)
                };
                figure("cpu-ms", 1e3 * point.cpu_s, "ms")?;
                figure("vectors", point.vectors, "vectors of n + p")?;
                figure("resident-vectors", point.resident, "vectors of n + p")?;
                table.push_row([
                    label.to_owned(),
                    count(point.size as u64),
                    significant(1e3 * point.cpu_s, 3),
                    significant(point.vectors, 3),
                    significant(point.resident, 3),
                ]);
                points.push(point);
                task.advance(1);
            }
            let of = |value: fn(&Point) -> f64| -> Vec<(f64, f64)> {
                points.iter().map(|p| (p.size as f64, value(p))).collect()
            };
            time = time.series(Series::line(label, of(|p| 1e3 * p.cpu_s)).with_markers());
            memory = memory.series(Series::line(label, of(|p| p.vectors)).with_markers());
            let most = points.iter().map(|point| point.vectors);
            if let Some(most) = most.reduce(f64::max) {
                let config = format!("{} varied", axis.what);
                let spread = Spread { better: Better::Lower, std: None, n_seeds: 1, config };
                let figure = format!("{name}-{}-most-vectors", axis.name);
                session.figure("slope-scaling", &figure, most, "vectors of n + p", spread)?;
            }
        }
        task.finish();
        section = section
            .plot(&time.to_svg()?, "Processor time of a fit.")
            .plot(&memory.to_svg()?, "Most memory on the heap during a fit, beside its data.")
            .table(&table);
    }
    Ok(section)
}

/// Fits one problem in a process of its own, which draws it.
fn measure(axis: &Axis, size: usize, shape: Shape) -> Result<Point> {
    let (n, p) = (axis.shape)(size);
    let kind = Kind::Autoregression { rho: 0.5 };
    let mut client = worker::start(&Source::Simulated(Simulation { n, p, kind, seed: 1 }), 1)?;
    let request = |repeats| {
        let work = Work::Fit { shape, part: 10.0 };
        Request { work, tolerance: GAP, repeats, out: None }
    };
    let first = done(client.ask(&request(1), LIMIT)?)?;
    if !first.gap.is_some_and(|gap| gap <= GAP) {
        let reason = format!("{n} x {p}: the gap is {:?}", first.gap);
        return Err(Error::Worker { reason });
    }
    let data = 8 * (n * p + n) as u64;
    let before = client.ready().start_rss_bytes + data;
    let resident = first.peak_rss_bytes.saturating_sub(before);
    let vectors = |bytes: u64| bytes as f64 / (8.0 * (n + p) as f64);
    let once = median(&first.cpu_s);
    let mut times = if once < LONG { Vec::new() } else { first.cpu_s };
    while times.len() < if once < LONG { ROUNDS } else { 1 } {
        times.extend(done(client.ask(&request(repeats(once)), LIMIT)?)?.cpu_s);
    }
    Ok(Point {
        size,
        cpu_s: median(&times),
        vectors: vectors(first.heap_bytes),
        resident: vectors(resident),
    })
}
