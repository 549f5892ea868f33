//! Memory of something inside a rival, with the number of steps taken.

use tensor_tree::{Checkpoint, StateReader, StateWriter};

/// What [`Scheduled`](super::Scheduled), [`ScheduleFree`](super::ScheduleFree) and [`Averaged`](super::Averaged) keep of the
/// method inside them.
#[derive(Clone, Debug)]
pub struct Counted<S> {
    /// Memory of the method inside.
    pub inner: S,
    /// Steps taken.
    pub step: u64,
}

impl<S> Counted<S> {
    /// Before the first step.
    pub(super) fn new(inner: S) -> Self {
        Counted { inner, step: 0 }
    }
}

impl<S: Checkpoint> Checkpoint for Counted<S> {
    fn save(&self, out: &mut StateWriter) -> tensor_tree::Result<()> {
        out.part("inner", &self.inner)?;
        out.count("step", self.step)
    }

    fn load(from: &mut StateReader<'_>) -> tensor_tree::Result<Self> {
        Ok(Counted { inner: from.part("inner")?, step: from.count("step")? })
    }
}
