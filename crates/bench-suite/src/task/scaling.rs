//! How time and memory of a step grow with batch, positions, width and vocabulary.

use report::figures::Better;
use report::html::Section;
use report::plot::{Plot, Series};

use crate::engine::client::Client;
use crate::engine::{Mode, Shape};
use crate::error::{Error, Result};
use crate::session::{Session, Spread};

/// The sizes that one axis leaves alone.
const BATCH: usize = 8;
const POSITIONS: usize = 64;
const WIDTH: usize = 128;
const VOCAB: usize = 2048;
const STEPS: u64 = 5;

struct Axis {
    name: &'static str,
    values: [usize; 5],
    shape: fn(usize) -> Shape,
}

fn gpt(batch: usize, positions: usize, width: usize, vocab: usize) -> Shape {
    Shape::Gpt { batch, positions, width, blocks: 2, heads: 4, vocab }
}

const AXES: [Axis; 4] = [
    Axis { name: "batch", values: [2, 4, 8, 16, 32], shape: |n| gpt(n, POSITIONS, WIDTH, VOCAB) },
    Axis {
        name: "positions",
        values: [16, 32, 64, 128, 256],
        shape: |n| gpt(BATCH, n, WIDTH, VOCAB),
    },
    Axis {
        name: "width",
        values: [32, 64, 128, 256, 512],
        shape: |n| gpt(BATCH, POSITIONS, n, VOCAB),
    },
    Axis {
        name: "vocab",
        values: [512, 1024, 2048, 4096, 8192],
        shape: |n| gpt(BATCH, POSITIONS, WIDTH, n),
    },
];

/// Runs everything and writes the section.
pub(super) fn run(session: &Session) -> Result<Section> {
    let mut section = Section::new("Scaling").paragraph(format!(
        "A GPT of two blocks, one size varied at a time, the others at batch {BATCH}, {POSITIONS} positions, width \
         {WIDTH} and vocabulary {VOCAB}. Process CPU time and peak memory above the start, one thread, median of \
         {STEPS} steps. Norms take the ghost form for a layer of p outputs and d inputs while 2 T^2 <= p d; the \
         marked lines are the positions at which a layer goes over to the direct form."
    ));
    let total = AXES.iter().map(|a| 2 * a.values.len() as u64).sum::<u64>();
    let task = session.progress.task("scaling", total);
    for axis in &AXES {
        let mut time = Plot::new(format!("Time against {}", axis.name))
            .x_label(axis.name)
            .y_label("cpu ms per step")
            .log_x()
            .log_y();
        let mut memory = Plot::new(format!("Memory against {}", axis.name))
            .x_label(axis.name)
            .y_label("peak MiB above the start")
            .log_x()
            .log_y();
        for (label, mode) in [("plain", Mode::Plain), ("clipped", Mode::Clipped)] {
            let (mut times, mut peaks) = (Vec::new(), Vec::new());
            for value in axis.values {
                if session.interrupt.is_set() {
                    return Err(Error::Interrupted);
                }
                let mut client = Client::start(&(axis.shape)(value), mode, 1)?;
                client.steps(1)?;
                let answer = client.steps(STEPS)?;
                let mut cpu = answer.cpu_s;
                cpu.sort_by(f64::total_cmp);
                let ms = 1e3 * cpu[cpu.len() / 2];
                let bytes = answer.peak_rss_bytes.saturating_sub(answer.start_rss_bytes);
                times.push((value as f64, ms));
                peaks.push((value as f64, bytes as f64 / 1048576.0));
                let name = format!("{label}-{}-{value}-cpu-ms", axis.name);
                let spread = Spread {
                    better: Better::Lower,
                    std: None,
                    n_seeds: 1,
                    config: axis.name.into(),
                };
                session.figure("scaling", &name, ms, "ms", spread)?;
                task.advance(1);
            }
            time = time.series(Series::line(label, times).with_markers());
            memory = memory.series(Series::line(label, peaks).with_markers());
        }
        if axis.name == "positions" {
            for (what, p, d) in [
                ("projection", WIDTH, WIDTH),
                ("feed-forward", 4 * WIDTH, WIDTH),
                ("head", VOCAB, WIDTH),
            ] {
                let crossover = ((p * d) as f64 / 2.0).sqrt();
                if crossover <= 256.0 {
                    time = time.vertical(crossover, format!("{what}: direct from here"));
                }
            }
        }
        section = section
            .plot(&time.to_svg()?, "Processor time of a step.")
            .plot(&memory.to_svg()?, "Peak memory of a step.");
    }
    task.finish();
    Ok(section)
}
