//! The engine: complete steps of three networks, ordinary and private, beside other libraries.

use std::collections::BTreeMap;

use report::figures::Better;
use report::html::Section;
use report::number::significant;
use report::plot::Bars;
use report::table::{Align, Table};

use crate::engine::client::Client;
use crate::engine::floor::{noise_ns, product_gflops};
use crate::engine::{Mode, Parts, Shape};
use crate::error::{Error, Result};
use crate::peers::{Environment, Job, Limits, Memory, Peer, Task as PeerTask, Worker};
use crate::session::{Session, Spread};

/// Measured rounds; a round asks every configuration for steps, one after the other.
const ROUNDS: u64 = 15;
const WARM_UP: u64 = 2;

/// The private step that makes the gradient of its logits twice.
const TWO_PASS: &str = "private two-pass";

/// Times and memory of one configuration.
#[derive(Clone, Debug, Default)]
struct Row {
    cpu_s: Vec<f64>,
    wall_s: Vec<f64>,
    peak_bytes: f64,
    parts: Vec<Parts>,
}

impl Row {
    fn cpu_ms(&self) -> f64 {
        1e3 * median(&self.cpu_s)
    }
}

enum Source {
    Own(Client),
    Peer(Worker, u64),
}

impl Source {
    fn ask(&mut self, steps: u64, row: &mut Row, counted: bool) -> Result<()> {
        match self {
            Source::Own(client) => {
                let answer = client.steps(steps)?;
                row.peak_bytes =
                    answer.peak_rss_bytes.saturating_sub(answer.start_rss_bytes) as f64;
                if counted {
                    row.cpu_s.extend(answer.cpu_s);
                    row.wall_s.extend(answer.wall_s);
                    row.parts.push(answer.parts);
                }
            }
            Source::Peer(worker, before) => {
                let n = usize::try_from(steps).unwrap_or(usize::MAX);
                let failed = |e: crate::peers::Error| Error::Worker { reason: e.to_string() };
                let answer = worker.step_times(n).map_err(failed)?;
                row.peak_bytes = answer.peak_rss_bytes.saturating_sub(*before) as f64;
                if counted {
                    row.cpu_s.extend(answer.cpu_s);
                    row.wall_s.extend(answer.wall_s);
                }
            }
        }
        Ok(())
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]),
    }
}

/// Runs everything and writes the section.
pub(super) fn run(session: &Session) -> Result<Section> {
    let mut section = Section::new("The engine").paragraph(
        "Complete steps, every configuration in a process of its own, asked in turn so that a drift of the machine's \
         speed meets all alike. Times are medians of process CPU time on one thread unless stated; memory is peak \
         resident size minus that before the first step. `clipped` is a private step without its noise. The build is the one that users get, \
         except in rows that say `native build` (`target-cpu=native`).",
    );
    let floor = product_gflops()?;
    let figure = |name: &str, value: f64, unit: &str, better| {
        let spread = Spread { better, std: None, n_seeds: 1, config: "engine".into() };
        session.figure("engine", name, value, unit, spread)
    };
    figure("product-gflops", floor, "GFLOP/s", Better::Higher)?;
    let mut noise = Table::new(["instruction set", "ns per normal"]).align(1, Align::Right);
    for (level, ns) in noise_ns(10_000_000) {
        noise.push_row([format!("{level:?}"), significant(ns, 3)]);
        figure(&format!("noise-{level:?}-ns").to_lowercase(), ns, "ns", Better::Lower)?;
    }
    let environment = if session.peers { Some(prepare(session)?) } else { None };
    for (name, shape) in Shape::standard() {
        let rows = measure(session, name, &shape, environment.as_ref())?;
        ratios(session, name, &rows)?;
        section = section.section(describe(name, &shape, &rows, floor)?);
    }
    Ok(section.section(Section::new("Noise").table(&noise)))
}

fn prepare(session: &Session) -> Result<Environment> {
    let folder = session.path("peers");
    let environment = Environment::prepare(&folder, |line| session.progress.note(line))
        .map_err(|e| Error::Worker { reason: e.to_string() })?;
    for (peer, why) in environment.absent() {
        session.progress.note(format!("{peer} is not measured: {why}"));
    }
    Ok(environment)
}

fn measure(
    session: &Session,
    name: &str,
    shape: &Shape,
    environment: Option<&Environment>,
) -> Result<BTreeMap<String, Row>> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut sources: Vec<(String, Source)> = Vec::new();
    let mut modes =
        vec![("plain", Mode::Plain), ("clipped", Mode::Clipped), ("private", Mode::Private)];
    if let Shape::Gpt { .. } = shape {
        modes.push((TWO_PASS, Mode::PrivateTwoPass));
    }
    for (label, mode) in modes {
        sources.push((label.into(), Source::Own(Client::start(shape, mode, 1)?)));
        let all = Source::Own(Client::start(shape, mode, threads)?);
        sources.push((format!("{label}, {threads} threads"), all));
        if let Some(program) = &session.native_worker {
            let native = Source::Own(Client::start_program(program, shape, mode, 1)?);
            sources.push((format!("{label}, native build"), native));
        }
    }
    if let (Some(environment), Some(task)) =
        (environment, PeerTask::ALL.into_iter().find(|t| t.name() == name))
    {
        for job in jobs(task, environment) {
            let label = label(&job);
            match Worker::start(environment, &job, Limits::default()) {
                Ok(worker) => {
                    let before = worker.ready().rss_before_bytes;
                    sources.push((label, Source::Peer(worker, before)));
                }
                Err(why) => session.progress.note(format!("{label} on {name}: {why}")),
            }
        }
    }
    let steps = match shape {
        Shape::Mlp { .. } => 10,
        Shape::Cnn { .. } => 2,
        Shape::Gpt { .. } => 1,
    };
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    let task = session.progress.task(format!("engine: {name}"), WARM_UP + ROUNDS);
    for round in 0..WARM_UP + ROUNDS {
        for (label, source) in &mut sources {
            if session.interrupt.is_set() {
                return Err(Error::Interrupted);
            }
            source.ask(steps, rows.entry(label.clone()).or_default(), WARM_UP <= round)?;
        }
        task.advance(1);
    }
    task.finish();
    Ok(rows)
}

/// Every peer as it comes; those that profit also with the C library told to keep freed memory, which is what our own
/// program does.
fn jobs(task: PeerTask, environment: &Environment) -> Vec<Job> {
    let mut jobs = Vec::new();
    for peer in Peer::ALL.into_iter().filter(|p| environment.has(*p)) {
        jobs.push(Job::new(task, peer));
        if peer != Peer::JaxPrivacy {
            jobs.push(Job { memory: Memory::Kept, ..Job::new(task, peer) });
        }
    }
    jobs
}

fn label(job: &Job) -> String {
    match job.memory {
        Memory::System => job.peer.name().to_owned(),
        Memory::Kept => format!("{} keeping memory", job.peer.name()),
    }
}

/// The figures that the acceptance of the engine is about.
fn ratios(session: &Session, name: &str, rows: &BTreeMap<String, Row>) -> Result<()> {
    let figure = |figure: &str, value: f64, unit: &str| {
        let spread = Spread { better: Better::Lower, std: None, n_seeds: 1, config: name.into() };
        session.figure("engine", &format!("{name}-{figure}"), value, unit, spread)
    };
    let row = |label: &str| rows.get(label);
    for (label, row) in rows {
        let label = label.replace(", ", "-").replace(' ', "-");
        figure(&format!("{label}-cpu-ms"), row.cpu_ms(), "ms")?;
        figure(&format!("{label}-wall-ms"), 1e3 * median(&row.wall_s), "ms")?;
        figure(&format!("{label}-peak-mib"), row.peak_bytes / 1048576.0, "MiB")?;
    }
    let best_opacus = |suffix: &str| {
        ["opacus-ghost", "opacus-hooks"]
            .into_iter()
            .filter_map(|peer| row(&format!("{peer}{suffix}")).map(Row::cpu_ms))
            .reduce(f64::min)
    };
    let torch = |suffix: &str| row(&format!("torch{suffix}")).map(Row::cpu_ms);
    let kept = " keeping memory";
    let pairs = [
        ("clipped-over-plain", row("clipped"), row("plain").map(Row::cpu_ms)),
        ("two-pass-over-private", row(TWO_PASS), row("private").map(Row::cpu_ms)),
        ("private-over-opacus", row("private"), best_opacus("")),
        ("private-over-opacus-keeping-memory", row("private"), best_opacus(kept)),
        ("plain-over-torch", row("plain"), torch("")),
        ("plain-over-torch-keeping-memory", row("plain"), torch(kept)),
    ];
    for (label, ours, theirs) in pairs {
        if let (Some(ours), Some(theirs)) = (ours, theirs) {
            figure(label, ours.cpu_ms() / theirs, "ratio of medians")?;
        }
    }
    for (label, ours, theirs) in [
        ("memory-private-over-plain", row("private"), row("plain")),
        ("memory-two-pass-over-private", row(TWO_PASS), row("private")),
        ("memory-plain-over-torch", row("plain"), row("torch")),
        ("memory-plain-over-torch-keeping-memory", row("plain"), row("torch keeping memory")),
    ] {
        if let (Some(ours), Some(theirs)) = (ours, theirs) {
            figure(label, ours.peak_bytes / theirs.peak_bytes, "ratio")?;
        }
    }
    Ok(())
}

fn describe(
    name: &str,
    shape: &Shape,
    rows: &BTreeMap<String, Row>,
    floor: f64,
) -> Result<Section> {
    let plain = rows.get("plain").map_or(f64::NAN, Row::cpu_ms);
    let mut table = Table::new(["configuration", "cpu ms", "wall ms", "over plain", "peak MiB"]);
    for column in 1..5 {
        table = table.align(column, Align::Right);
    }
    for (label, row) in rows {
        table.push_row([
            label.clone(),
            significant(row.cpu_ms(), 4),
            significant(1e3 * median(&row.wall_s), 4),
            significant(row.cpu_ms() / plain, 3),
            significant(row.peak_bytes / 1048576.0, 3),
        ]);
    }
    let at_floor = shape.flops() / floor / 1e6;
    let labels = ["plain", "clipped", "private"];
    let mut bars = Bars::new(format!("{name}: parts of a step"), labels)
        .y_label("wall ms on one thread")
        .stacked();
    for part in 0..Parts::default().named().len() {
        let of = |label: &str| {
            let parts = rows.get(label).map_or(&[][..], |row| row.parts.as_slice());
            let times: Vec<f64> = parts.iter().map(|p| p.named()[part].1).collect();
            1e3 * median(&times)
        };
        bars = bars.series(Parts::default().named()[part].0, labels.map(of))?;
    }
    Ok(Section::new(name)
        .key_values([
            ("products of an ordinary step, GFLOP", significant(shape.flops() / 1e9, 3)),
            ("those at the speed of one large product, ms", significant(at_floor, 4)),
            ("share of the plain step", significant(at_floor / plain, 3)),
        ])
        .table(&table)
        .plot(&bars.to_svg()?, "Where the time of a step goes."))
}
