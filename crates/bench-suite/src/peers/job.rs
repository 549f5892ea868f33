//! What a worker measures: which library, on which task, with how many threads.

use std::{fmt, num::NonZeroUsize};

/// A task of the engine benchmark; the shapes are those of our own networks.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Task {
    /// 784-512-256-10 with ReLU, batch 64: 535,818 parameters.
    Mlp,
    /// Two convolutions of 32 and 64 channels with GroupNorm, two dense layers, batch 64: 421,834
    /// parameters.
    Cnn,
    /// 4 layers, width 256, 8 heads, 128 tokens, vocabulary 8192, untied head, batch 16: 7,386,624
    /// parameters.
    Gpt,
}

impl Task {
    /// All tasks, the fastest first.
    pub const ALL: [Task; 3] = [Task::Mlp, Task::Cnn, Task::Gpt];

    /// The name in figures and on the worker's command line.
    pub fn name(self) -> &'static str {
        match self {
            Task::Mlp => "mlp",
            Task::Cnn => "cnn",
            Task::Gpt => "gpt",
        }
    }

    /// How many trainable numbers the task's network has.
    pub fn n_parameters(self) -> u64 {
        match self {
            Task::Mlp => 535_818,
            Task::Cnn => 421_834,
            Task::Gpt => 7_386_624,
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A library, and its way to a step.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Peer {
    /// PyTorch, without privacy.
    Torch,
    /// Opacus with per-sample gradients kept by hooks.
    OpacusHooks,
    /// Opacus with ghost clipping: norms first, then a second backward pass.
    OpacusGhost,
    /// JAX-Privacy: vectorised per-sample gradients, compiled.
    JaxPrivacy,
}

impl Peer {
    /// All peers, the one without privacy first.
    pub const ALL: [Peer; 4] =
        [Peer::Torch, Peer::OpacusHooks, Peer::OpacusGhost, Peer::JaxPrivacy];

    /// The name in figures and on the worker's command line.
    pub fn name(self) -> &'static str {
        match self {
            Peer::Torch => "torch",
            Peer::OpacusHooks => "opacus-hooks",
            Peer::OpacusGhost => "opacus-ghost",
            Peer::JaxPrivacy => "jax-privacy",
        }
    }

    /// Whether its steps clip per sample and add noise.
    pub fn is_private(self) -> bool {
        self != Peer::Torch
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The update at the end of a step.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Optimizer {
    /// Plain gradient descent.
    #[default]
    Sgd,
    /// AdamW with the library's default settings.
    AdamW,
}

impl Optimizer {
    /// The name on the worker's command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Optimizer::Sgd => "sgd",
            Optimizer::AdamW => "adam",
        }
    }
}

/// How the worker's allocator treats large buffers (glibc; no effect elsewhere).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Memory {
    /// As the system has it: large buffers go back to it at each free and are faulted in again.
    #[default]
    System,
    /// Thresholds of 1 GiB, so that buffers are kept; faster, and fair where our side does the same.
    Kept,
}

/// One measurement's settings.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Job {
    /// The network and its batch.
    pub task: Task,
    /// The library.
    pub peer: Peer,
    /// Threads of the library's kernels.
    pub threads: NonZeroUsize,
    /// The update.
    pub optimizer: Optimizer,
    /// Large buffers.
    pub memory: Memory,
}

impl Job {
    /// One thread, plain gradient descent, the system's allocator.
    pub fn new(task: Task, peer: Peer) -> Self {
        Job {
            task,
            peer,
            threads: NonZeroUsize::MIN,
            optimizer: Optimizer::Sgd,
            memory: Memory::System,
        }
    }
}
