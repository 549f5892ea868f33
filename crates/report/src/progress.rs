//! How far a long run has come: bars on a terminal, now and then a line elsewhere.
//!
//! A [`Progress`] decides once where reports go; code that works takes `&Progress` and starts a
//! [`Task`]. The default is [`Progress::off`], so tests and libraries are quiet unless a program
//! asks for more.

mod line;

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use self::line::{LineState, rate_text};
use crate::number;

/// Where progress is reported. Copies report to the same place.
///
/// # Examples
/// ```
/// use report::progress::Progress;
/// # use std::sync::{Arc, Mutex};
/// # let seen = Arc::new(Mutex::new(Vec::new()));
/// # let sink = Arc::clone(&seen);
/// // `Progress::auto()` in a program; here the lines go into a list.
/// let progress = Progress::lines_to(move |line| sink.lock().unwrap().push(line.to_owned()));
/// let epochs = progress.task("train", 2);
/// for epoch in 0..2 {
///     let steps = epochs.subtask(format!("epoch {epoch}"), 100);
///     for _ in 0..100 {
///         steps.advance(1);
///     }
///     epochs.message(format!("loss {:.2}", 1.0 / f64::from(epoch + 1)));
///     epochs.advance(1);
/// }
/// epochs.finish();
/// # let last = seen.lock().unwrap().last().cloned().unwrap();
/// # assert!(last.starts_with("train: 2/2 (100 %), done in "), "{last}");
/// # assert!(last.ends_with(", loss 0.50"), "{last}");
/// ```
#[derive(Clone, Default)]
pub struct Progress {
    sink: Sink,
}

#[derive(Clone, Default)]
enum Sink {
    #[default]
    Off,
    Bars(MultiProgress),
    Lines(Arc<Mutex<LineWriter>>),
}

type LineWriter = dyn FnMut(&str) + Send;

/// A piece of work that is under way. Dropping it without [`Task::finish`] shows that it stopped.
pub struct Task {
    progress: Progress,
    /// Names from the outermost task to this one.
    path: String,
    depth: usize,
    view: View,
}

enum View {
    Off,
    Bar(ProgressBar),
    Lines { started: Instant, state: Mutex<LineState> },
}

impl Progress {
    /// Bars if the standard error stream is a terminal, lines otherwise.
    pub fn auto() -> Self {
        if ProgressDrawTarget::stderr().is_hidden() { Progress::lines() } else { Progress::bars() }
    }

    /// No reports at all.
    pub fn off() -> Self {
        Progress { sink: Sink::Off }
    }

    /// Bars on the standard error stream; nothing if it is not a terminal.
    pub fn bars() -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        Progress { sink: Sink::Bars(bars) }
    }

    /// Lines on the standard error stream: one when a tenth of the work is done and a second has
    /// passed, or after ten seconds, and one at the end.
    pub fn lines() -> Self {
        Progress::lines_to(|line| {
            // Nobody can be told that standard error is closed, and the work goes on.
            let _ = writeln!(io::stderr(), "{line}");
        })
    }

    /// [`Progress::lines`] handed to `write`, one call per line and without its end.
    pub fn lines_to(write: impl FnMut(&str) + Send + 'static) -> Self {
        Progress { sink: Sink::Lines(Arc::new(Mutex::new(write))) }
    }

    /// Whether nothing is reported, so that costly messages need not be made.
    pub fn is_off(&self) -> bool {
        matches!(self.sink, Sink::Off)
    }

    /// Starts a task of `total` units, or of unknown size if `None`.
    pub fn task(&self, name: impl Into<String>, total: impl Into<Option<u64>>) -> Task {
        let name = name.into();
        Task::start(self.clone(), name.clone(), &name, 0, total.into(), None)
    }

    /// Reports a line of its own, above the bars if there are any.
    pub fn note(&self, line: impl AsRef<str>) {
        match &self.sink {
            Sink::Off => {}
            Sink::Bars(bars) => {
                let _ = bars.println(line); // As for lines: the work goes on.
            }
            Sink::Lines(write) => unpoisoned(write)(line.as_ref()),
        }
    }

    /// Hides the bars while `print` uses the terminal.
    pub fn suspend<R>(&self, print: impl FnOnce() -> R) -> R {
        match &self.sink {
            Sink::Bars(bars) => bars.suspend(print),
            Sink::Off | Sink::Lines(_) => print(),
        }
    }
}

impl Task {
    fn start(
        progress: Progress,
        path: String,
        name: &str,
        depth: usize,
        total: Option<u64>,
        parent: Option<&ProgressBar>,
    ) -> Self {
        let view = match &progress.sink {
            Sink::Off => View::Off,
            Sink::Lines(_) => {
                View::Lines { started: Instant::now(), state: Mutex::new(LineState::new(total)) }
            }
            Sink::Bars(bars) => {
                let bar = total.map_or_else(ProgressBar::no_length, ProgressBar::new);
                let bar = match parent {
                    Some(parent) => bars.insert_after(parent, bar),
                    None => bars.add(bar),
                };
                bar.set_style(style(total.is_some()));
                bar.set_prefix(format!("{}{name}", "  ".repeat(depth)));
                bar.enable_steady_tick(Duration::from_millis(500));
                View::Bar(bar)
            }
        };
        Task { progress, path, depth, view }
    }

    /// Starts a task inside this one.
    pub fn subtask(&self, name: impl Into<String>, total: impl Into<Option<u64>>) -> Task {
        let name = name.into();
        let path = format!("{} > {name}", self.path);
        let parent = match &self.view {
            View::Bar(bar) => Some(bar),
            _ => None,
        };
        Task::start(self.progress.clone(), path, &name, self.depth + 1, total.into(), parent)
    }

    /// Reports `n` more units as done.
    pub fn advance(&self, n: u64) {
        match &self.view {
            View::Bar(bar) => bar.inc(n),
            _ => self.update(|state| state.position = state.position.saturating_add(n)),
        }
    }

    /// Reports that `position` units are done in all.
    pub fn set_position(&self, position: u64) {
        match &self.view {
            View::Bar(bar) => bar.set_position(position),
            _ => self.update(|state| state.position = position),
        }
    }

    /// Says that `position` units were done before, in an earlier run: they do not count for the
    /// rate and the time left.
    pub fn start_at(&self, position: u64) {
        match &self.view {
            View::Bar(bar) => {
                bar.set_position(position);
                bar.reset_eta();
            }
            _ => self.update(|state| state.start_at(position)),
        }
    }

    /// Sets the text at the end of the line, e.g. the latest loss.
    pub fn message(&self, text: impl Into<Cow<'static, str>>) {
        match &self.view {
            View::Off => {}
            View::Bar(bar) => bar.set_message(text),
            View::Lines { .. } => self.update(|state| state.message = text.into().into_owned()),
        }
    }

    /// The place this task reports to, for a note or for handing on.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Reports the end. The bar of an inner task disappears, that of an outer one stays.
    pub fn finish(mut self) {
        match std::mem::replace(&mut self.view, View::Off) {
            View::Off => {}
            View::Bar(bar) if self.depth == 0 => bar.finish(),
            View::Bar(bar) => bar.finish_and_clear(),
            View::Lines { started, state } => {
                let now = started.elapsed();
                let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
                if self.depth == 0 || state.is_worth_an_end(now) {
                    self.progress.note(state.last_line(&self.path, now, true));
                }
            }
        }
    }

    /// Changes the state behind the lines, and writes one if it is time.
    fn update(&self, change: impl FnOnce(&mut LineState)) {
        let View::Lines { started, state } = &self.view else { return };
        let line = {
            let mut state = unpoisoned(state);
            change(&mut state);
            state.next_line(&self.path, started.elapsed())
        };
        if let Some(line) = line {
            self.progress.note(line);
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        match &self.view {
            View::Off => {}
            View::Bar(bar) if self.depth == 0 => bar.abandon(),
            View::Bar(bar) => bar.finish_and_clear(),
            View::Lines { started, state } => {
                let (now, state) = (started.elapsed(), unpoisoned(state));
                if self.depth == 0 || state.is_worth_an_end(now) {
                    self.progress.note(state.last_line(&self.path, now, false));
                }
            }
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.sink {
            Sink::Off => "Progress(off)",
            Sink::Bars(_) => "Progress(bars)",
            Sink::Lines(_) => "Progress(lines)",
        })
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Task({})", self.path)
    }
}

/// A report must not fail because another thread did.
fn unpoisoned<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn style(has_total: bool) -> ProgressStyle {
    let template = if has_total {
        "{prefix:.bold} {bar:24.cyan/dim} {human_pos}/{human_len}  {rate}  {left} left  {wide_msg}"
    } else {
        "{prefix:.bold} {spinner} {human_pos}  {rate}  {elapsed}  {wide_msg}"
    };
    // Writing into the line of a bar cannot fail.
    let rate = |state: &ProgressState, out: &mut dyn fmt::Write| {
        let _ = out.write_str(&rate_text(state.per_sec()));
    };
    let left = |state: &ProgressState, out: &mut dyn fmt::Write| {
        let _ = out.write_str(&number::duration(state.eta()));
    };
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", rate)
        .with_key("left", left)
        .progress_chars("━╸─")
}

#[cfg(test)]
mod tests;
