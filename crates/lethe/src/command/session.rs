//! What a command shares with the program around it.

use std::ops::ControlFlow;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use report::interrupt::Interrupt;
use report::progress::{Progress, Task};

/// Where progress is shown, and whether to stop.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) progress: Progress,
    pub(crate) interrupt: Interrupt,
}

impl Session {
    /// A piece of long work.
    pub(crate) fn watch(&self, name: &'static str) -> Watch<'_> {
        Watch { session: self, name, task: OnceLock::new(), done: AtomicUsize::new(0) }
    }
}

/// Shows how far a piece of work is, and ends it when asked to stop.
pub(crate) struct Watch<'a> {
    session: &'a Session,
    name: &'static str,
    task: OnceLock<Task>,
    done: AtomicUsize,
}

impl Watch<'_> {
    /// The end of the work.
    pub(crate) fn finish(mut self) {
        if let Some(task) = self.task.take() {
            task.finish();
        }
    }
}

impl slope2::Progress for Watch<'_> {
    fn advance(&self, done: usize, total: usize) -> ControlFlow<()> {
        if self.session.interrupt.is_set() {
            return ControlFlow::Break(());
        }
        let start = || self.session.progress.task(self.name, total as u64);
        // Several threads tell; what is shown does not go back.
        let done = self.done.fetch_max(done, Ordering::Relaxed).max(done);
        self.task.get_or_init(start).set_position(done as u64);
        ControlFlow::Continue(())
    }
}
