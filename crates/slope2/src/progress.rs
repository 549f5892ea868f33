//! What long work tells its caller, and how the caller ends it.

use std::ops::ControlFlow;

use crate::error::{Error, Result};

/// Is told about each fit. A closure `Fn(done, total) -> ControlFlow<()>` is one.
///
/// Work on several threads calls it from all of them.
pub trait Progress: Sync {
    /// `done` of at most `total` fits are done. `Break` ends the work with [`Error::Cancelled`].
    fn advance(&self, done: usize, total: usize) -> ControlFlow<()>;
}

/// Tells nobody, and never stops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Silent;

impl Progress for Silent {
    fn advance(&self, _: usize, _: usize) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

impl<F: Fn(usize, usize) -> ControlFlow<()> + Sync> Progress for F {
    fn advance(&self, done: usize, total: usize) -> ControlFlow<()> {
        self(done, total)
    }
}

/// Tells, and turns a wish to stop into the error.
pub(crate) fn tell(progress: &dyn Progress, done: usize, total: usize) -> Result<()> {
    match progress.advance(done, total) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Cancelled),
    }
}
