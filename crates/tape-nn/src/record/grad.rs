//! Output gradients of a linear map: at hand, or made a few samples at a time when they are asked for.

use std::borrow::Cow;
use std::ops::Range;

use candle_core::{DType, Tensor};
use tensor_tree::host::{Host, Real};

use crate::error::Result;
use crate::head::SoftmaxHead;
use crate::kernel::product::Threads;

/// `[batch, positions, outputs]`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Grad<'a> {
    Kept(&'a Tensor),
    Head(&'a SoftmaxHead),
}

impl<'a> Grad<'a> {
    pub(super) fn n_samples(self) -> usize {
        match self {
            Grad::Kept(g) => g.dims()[0],
            Grad::Head(head) => head.n_samples(),
        }
    }

    pub(super) fn width(self) -> usize {
        match self {
            Grad::Kept(g) => g.dims().last().copied().unwrap_or(1),
            Grad::Head(head) => head.classes(),
        }
    }

    pub(super) fn positions(self) -> usize {
        match self {
            Grad::Kept(g) => g.elem_count() / (g.dims()[0] * self.width()).max(1),
            Grad::Head(head) => head.positions(),
        }
    }

    pub(super) fn dtype(self) -> DType {
        match self {
            Grad::Kept(g) => g.dtype(),
            Grad::Head(head) => head.dtype(),
        }
    }

    /// On the host.
    pub(super) fn open(self) -> Result<Opened<'a>> {
        Ok(match self {
            Grad::Kept(g) => Opened::Kept(Host::of(g)?, self.positions() * self.width()),
            Grad::Head(head) => Opened::Head(head),
        })
    }
}

/// A [`Grad`] on the host; a kept one with the number of elements of a sample.
pub(super) enum Opened<'a> {
    Kept(Host, usize),
    Head(&'a SoftmaxHead),
}

impl<'a> Opened<'a> {
    /// A way to the elements, which holds as long as this.
    pub(super) fn view(&'a self) -> View<'a> {
        match self {
            Opened::Kept(host, size) => View::Kept(host.view(), *size),
            Opened::Head(head) => View::Head(head),
        }
    }
}

/// Elements of an output gradient.
pub(super) enum View<'a> {
    Kept(tensor_tree::host::View<'a>, usize),
    Head(&'a SoftmaxHead),
}

impl View<'_> {
    /// Most samples to be asked for at a time.
    pub(super) fn step(&self) -> usize {
        match self {
            View::Kept(..) => usize::MAX,
            View::Head(head) => head.step(),
        }
    }

    /// The rows of these samples.
    pub(super) fn rows<T: Real>(
        &self,
        samples: Range<usize>,
        threads: Threads,
    ) -> Result<Cow<'_, [T]>> {
        Ok(match self {
            View::Kept(view, size) => {
                let all = view.slice::<T>()?;
                all[samples.start * size..samples.end * size].into()
            }
            View::Head(head) => head.gradient::<T>(samples, threads)?.0.into(),
        })
    }
}
