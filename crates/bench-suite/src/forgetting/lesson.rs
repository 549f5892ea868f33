//! How models are taught, and what is kept of that: a lesson that was stopped goes on, and one that is over is not given twice.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use candle_core::Device;
use report::number::significant;
use report::progress::Task;
use tape_nn::net::LanguageModel;
use tensor_tree::checkpoint::{self, Header};
use tensor_tree::{Key, Schedule, StateReader, StateWriter, Tree};
use unlearn::batch::Item;
use unlearn::run::{Checks, Ended, Rate, Run, Settings, State};
use unlearn::trained::Trained;

use crate::error::{Error, Result};
use crate::machine;

/// Between two savings of a lesson.
const SAVE_EVERY: Duration = Duration::from_secs(120);

/// How a model is taught rows until it knows them.
#[derive(Clone, Debug)]
pub struct Lesson {
    /// Steps.
    pub steps: u64,
    /// The peak rate of AdamW, behind a short rise and before a cosine.
    pub rate: f64,
    /// Rows of a step.
    pub batch: usize,
    /// Rows of a pass.
    pub micro_batch: usize,
    /// What is trained; adapters are added to the weights at the end.
    pub trained: Trained,
}

/// Where taught models are kept, and what is said while they learn.
#[derive(Clone, Copy)]
pub struct Kept<'a> {
    /// The folder.
    pub folder: &'a Path,
    /// Commit of the sources.
    pub commit: &'a str,
    /// Whether lessons of an earlier call are used, those that ended and those that were stopped.
    pub resume: bool,
    /// Has both lessons as tasks inside.
    pub task: &'a Task,
}

/// What a model learned, in how many seconds, and the highest resident memory of the processes it learned in, in bytes.
pub(super) struct Learned {
    pub(super) params: Tree,
    pub(super) seconds: f64,
    pub(super) peak_bytes: u64,
}

impl Lesson {
    /// Teaches `items` to a model with all its parameters, as `which` of the world `name`.
    ///
    /// # Errors
    /// [`Error::Interrupted`] once `stop` says so, with what was learned so far in the folder; [`Error::Worker`] for a lesson that ends
    /// early; those of the model and of files.
    pub(super) fn teach<M: LanguageModel + Clone>(
        &self,
        (model, full): (&M, &Tree),
        items: &[Item],
        (kept, name, which): (&Kept<'_>, &str, &str),
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Learned> {
        let at = |part: &str| kept.folder.join(format!("{name}-{which}{part}.safetensors"));
        let lesson = format!("{} {self:?} {}", kept.commit, items.len());
        let header = Header { kind: "bench-suite/unlearn".into(), config: lesson };
        let whole = Saved { path: at(""), header: header.clone() };
        let part = Saved { path: at("-lesson"), header };
        // Sources that are not committed may have changed under the same name.
        let resume = kept.resume && machine::says_what(kept.commit);
        if resume && let Some(learned) = whole.whole() {
            return Ok(learned);
        }
        let mut model = model.clone();
        let key = Key::from_seed(7);
        let parts = self.trained.split(&mut model, full.clone(), key, &Device::Cpu)?;
        // Checks have nothing to say here.
        let one = &items[..items.len().min(1)];
        let checks = Checks::new((one, one), 1, &Device::Cpu)?;
        let (sets, settings) = ((items, items), self.settings()?);
        let run = Run::new((&model, &parts.frozen), sets, checks, settings, &Device::Cpu)?;
        let (mut state, (before, peak)) = match part.part().filter(|_| resume) {
            Some(begun) => begun,
            None => {
                if kept.resume && (whole.path.exists() || part.path.exists()) {
                    let model = part.path.display();
                    kept.task.progress().note(format!(
                        "{model}: damaged, or kept by other sources or settings: the lesson begins anew"
                    ));
                }
                (run.init(parts.trainable)?, (0.0, 0))
            }
        };
        let shown = kept.task.subtask(format!("{which} model"), self.steps);
        shown.start_at(state.step());
        let started = Instant::now();
        let spent = || (before + started.elapsed().as_secs_f64(), peak.max(machine::peak()));
        let mut saved = Instant::now();
        let ended = loop {
            if let Some(ended) = run.advance(&mut state)? {
                break ended;
            }
            shown.advance(1);
            if let Some(loss) = state.log().last().and_then(|log| log.retain) {
                shown.message(format!("loss {}", significant(loss, 3)));
            }
            let stopped = stop();
            if stopped || SAVE_EVERY <= saved.elapsed() {
                part.keep_part(&state, spent())?;
                saved = Instant::now();
            }
            if stopped {
                return Err(Error::Interrupted);
            }
        };
        if ended != Ended::Steps {
            let reason = format!("a lesson ended early: {ended:?}, expected all its steps");
            return Err(Error::Worker { reason });
        }
        shown.finish();
        let params = self.trained.merge(state.params(), &parts.frozen)?;
        let (seconds, peak_bytes) = spent();
        let learned = Learned { params, seconds, peak_bytes };
        whole.keep_whole(&learned)?;
        part.remove();
        Ok(learned)
    }

    fn settings(&self) -> Result<Settings> {
        let warmup = self.steps.div_ceil(20);
        Ok(Settings {
            rate: Rate::Fixed {
                rate: self.rate,
                schedule: Schedule::Cosine { warmup, total: self.steps, floor: 0.02 },
            },
            batch: self.batch,
            micro_batch: self.micro_batch,
            check_every: self.steps,
            ..Settings::learning(self.rate, self.steps)?
        })
    }
}

/// A file, and what it must say of itself. A file that is not there, or of another lesson, is none.
struct Saved {
    path: PathBuf,
    header: Header,
}

impl Saved {
    fn whole(&self) -> Option<Learned> {
        let state = checkpoint::read(&self.path, &self.header).ok()?;
        let mut from = StateReader::new(&state);
        let (seconds, peak_bytes) = spent(&mut from)?;
        Some(Learned { params: from.tree("params").ok()?, seconds, peak_bytes })
    }

    fn part(&self) -> Option<(State, (f64, u64))> {
        let state = checkpoint::read(&self.path, &self.header).ok()?;
        let mut from = StateReader::new(&state);
        let spent = spent(&mut from)?;
        Some((from.part("run").ok()?, spent))
    }

    fn keep_whole(&self, learned: &Learned) -> Result<()> {
        let mut out = StateWriter::new();
        out.tree("params", &learned.params)?;
        out.number("seconds", learned.seconds)?;
        out.count("peak_bytes", learned.peak_bytes)?;
        self.write(out)
    }

    fn keep_part(&self, state: &State, (seconds, peak_bytes): (f64, u64)) -> Result<()> {
        let mut out = StateWriter::new();
        out.part("run", state)?;
        out.number("seconds", seconds)?;
        out.count("peak_bytes", peak_bytes)?;
        self.write(out)
    }

    fn write(&self, out: StateWriter) -> Result<()> {
        report::atomic::create_parent(&self.path)?;
        Ok(checkpoint::write(&self.path, &self.header, &out.finish())?)
    }

    /// Nothing depends on it: what is left is replaced by the next lesson of this name.
    fn remove(&self) {
        drop(std::fs::remove_file(&self.path));
    }
}

/// Seconds and bytes.
fn spent(from: &mut StateReader<'_>) -> Option<(f64, u64)> {
    Some((from.number("seconds").ok()?, from.count("peak_bytes").ok()?))
}
