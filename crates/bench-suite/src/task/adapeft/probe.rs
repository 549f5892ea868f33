//! Probe phases on the new domain; a stopped one goes on.

use std::time::Instant;

use hessian_lr::adapeft::{Chooser, Probe, ProbeState, Report};
use hessian_lr::controller::{HiDlr, Settings};
use hessian_lr::criterion::GradientNorm;
use hessian_lr::driver::{AutoRate, Batches, ProbeData};
use hessian_lr::grouping::Grouping;
use hessian_lr::select::Budget;
use serde::{Deserialize, Serialize};
use tape_nn::net::LanguageModel;
use tensor_tree::checkpoint::{self, Header};
use tensor_tree::{AdamW, Checkpoint, Pass, Reduction, StateReader, StateWriter, Transform};

use super::corpus::Corpus;
use super::net::Net;
use super::tune::Course;
use crate::error::{Error, Result};
use crate::machine;
use crate::session::Session;

const KIND: &str = "bench-suite/adapeft-probe";
/// Saving may take this part of the time.
const SAVING: f64 = 0.05;

/// What a phase found, and how many seconds of the processor it took, all threads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Found {
    pub(super) report: Report,
    pub(super) seconds: f64,
}

type State = ProbeState<<AdamW as Transform>::State>;

/// How fits are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fits {
    /// One every so many steps.
    pub(super) period: u64,
    /// Windows of each loss.
    pub(super) windows: usize,
}

/// A phase of training everything, else by the defaults of the crate.
pub(super) fn probe<M: LanguageModel + Clone>(
    session: &Session,
    name: &str,
    net: &Net<M>,
    corpus: &Corpus,
    grouping: &Grouping,
    (course, fits): (Course, Fits),
) -> Result<Found> {
    let (objective, params) = net.training(|_| true);
    let settings = Settings { period: fits.period, ..Settings::default() };
    let auto = AutoRate {
        controller: HiDlr { settings, ..HiDlr::default() },
        chain: AdamW::default(),
        groups: grouping.groups(&params)?,
        probe_data: ProbeData::Next,
    };
    let probe = Probe::new(auto, course.steps).with(GradientNorm);
    let mut state = probe.init(&params)?;
    let mut seconds = 0.0;
    let file = format!("adapeft-probe-{}-{}", name.replace('/', "-"), session.commit);
    let path = session.path(&format!("runs/{file}.safetensors"));
    let header = Header { kind: KIND.into(), config: format!("{name}, {course:?}, {fits:?}") };
    if session.resume && path.exists() {
        (state, seconds) = load(&path, &header)?;
    }
    let task = session.progress.task(format!("adapeft: probe phase {name}"), course.steps);
    task.start_at(state.n_steps());
    let (mut since, mut saving) = (Instant::now(), 0.0);
    while !probe.is_done(&state) {
        let started = machine::cpu_seconds();
        let step = state.n_steps();
        let now = corpus.batch(course.batch, course.seed, step)?;
        let next = match probe.needs_probe(&state) {
            true => Some(corpus.batch(fits.windows, course.seed, step + 1)?),
            false => None,
        };
        let batches = Batches { step: &now, probe: next.as_ref() };
        probe.step(&objective, batches, (Pass::Eval, Reduction::Mean), &mut state)?;
        seconds += machine::cpu_seconds() - started;
        task.advance(1);
        let stop = session.interrupt.is_set();
        let due = session.checkpoint_every.as_secs_f64().max(saving / SAVING);
        if stop || due < since.elapsed().as_secs_f64() {
            let started = Instant::now();
            save(&path, &header, &state, seconds)?;
            (since, saving) = (Instant::now(), started.elapsed().as_secs_f64());
        }
        if stop {
            return Err(Error::Interrupted);
        }
    }
    task.finish();
    let findings = probe.findings(&state)?;
    // The report holds all values: a choice for any other budget is made from it.
    let choice = findings.choose("influence", &Chooser::within(Budget::Fraction(1.0)))?;
    let report = Report::new(&findings, "influence", &choice, grouping)?;
    if path.exists() {
        std::fs::remove_file(&path).map_err(|source| Error::Read { file: path, source })?;
    }
    Ok(Found { report, seconds })
}

fn save(path: &std::path::Path, header: &Header, state: &State, seconds: f64) -> Result<()> {
    let mut out = StateWriter::new();
    out.part("probe", state)?;
    out.number("seconds", seconds)?;
    Ok(checkpoint::write(path, header, &out.finish())?)
}

fn load(path: &std::path::Path, header: &Header) -> Result<(State, f64)> {
    let saved = checkpoint::read(path, header)?;
    let mut from = StateReader::new(&saved);
    let state = from.scope("probe", State::load)?;
    Ok((state, from.number("seconds")?))
}
