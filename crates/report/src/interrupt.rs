//! Ctrl-C as a flag that long work looks at.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the user has asked to stop. Clones share the flag.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// A flag that Ctrl-C sets. A second Ctrl-C ends the process at once.
    ///
    /// # Errors
    /// If the process already has a handler.
    pub fn on_ctrl_c() -> Result<Self, ctrlc::Error> {
        let flag = Interrupt::default();
        let shared = flag.clone();
        ctrlc::set_handler(move || {
            if shared.0.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
        })?;
        Ok(flag)
    }

    /// Whether to stop.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Whether to go on, for loops that end on a break.
    pub fn flow(&self) -> ControlFlow<()> {
        if self.is_set() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Asks for a stop, as Ctrl-C does.
    pub fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
