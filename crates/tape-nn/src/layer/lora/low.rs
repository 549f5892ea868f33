//! One application of an adapter: forward, and what its backward pass leaves on the tape.

use std::sync::Arc;

use candle_core::Tensor;
use tensor_tree::host::{Host, Real, from_vec};

use crate::context::{Leaf, tape_of};
use crate::error::Result;
use crate::kernel::product::{Mat, MatMut, Threads, product};
use crate::layer::linear::add_input_gradient;
use crate::record::Record;
use crate::tape::Tape;

/// One application of an adapter.
pub(in crate::layer) struct Low {
    pub(super) a: Leaf,
    pub(super) b: Leaf,
    pub(super) scale: f64,
    /// `[rows, inputs]`, after dropout.
    pub(super) x: Tensor,
    pub(super) mask: Option<Tensor>,
}

impl Low {
    /// The tape, if a gradient is wanted.
    pub(in crate::layer) fn tape(&self) -> Option<Tape> {
        tape_of([Some(&self.a), Some(&self.b)])
    }

    fn sizes(&self) -> (usize, usize, usize) {
        (self.a.tensor.dims()[0], self.a.tensor.dims()[1], self.b.tensor.dims()[0])
    }

    /// `y += scale (x A^T) B^T`; the result is `x A^T`.
    pub(in crate::layer) fn add_to<T: Real>(&self, y: &mut [T], rows: usize) -> Result<Tensor> {
        let (r, d, p) = self.sizes();
        let hosts = [&self.x, &self.a.tensor, &self.b.tensor].map(Host::of);
        let [x, a, b] = hosts;
        let (x, a, b) = (x?, a?, b?);
        let (x, a, b) = (x.view(), a.view(), b.view());
        let mut inner = vec![T::default(); rows * r];
        product(
            MatMut::new(&mut inner, rows, r),
            false,
            Mat::new(x.slice::<T>()?, rows, d),
            Mat::new(a.slice::<T>()?, r, d).t(),
            T::ONE,
            Threads::All,
        );
        product(
            MatMut::new(y, rows, p),
            true,
            Mat::new(&inner, rows, r),
            Mat::new(b.slice::<T>()?, p, r).t(),
            T::of(self.scale),
            Threads::All,
        );
        Ok(from_vec(inner, (rows, r))?)
    }

    /// The same from candle's operations: `x A^T` and the addition.
    pub(in crate::layer) fn composed(&self) -> Result<(Tensor, Tensor)> {
        let inner = self.x.matmul(&self.a.tensor.t()?)?;
        let addition = (inner.matmul(&self.b.tensor.t()?)? * self.scale)?;
        Ok((inner, addition))
    }

    /// Puts both matrices on the tape; the result is the gradient of `x A^T`.
    pub(in crate::layer) fn record<T: Real>(
        &self,
        inner: &Tensor,
        g: &Tensor,
        batch: usize,
    ) -> Result<Tensor> {
        let (r, _, p) = self.sizes();
        let rows = inner.dims()[0];
        let mut out = vec![T::default(); rows * r];
        {
            let (hg, hb) = (Host::of(g)?, Host::of(&self.b.tensor)?);
            let (vg, vb) = (hg.view(), hb.view());
            product(
                MatMut::new(&mut out, rows, r),
                false,
                Mat::new(vg.slice::<T>()?, rows, p),
                Mat::new(vb.slice::<T>()?, p, r),
                T::of(self.scale),
                Threads::All,
            );
        }
        let inner_grad = from_vec(out, (rows, r))?;
        self.push(inner, g, &inner_grad, batch)?;
        Ok(inner_grad)
    }

    /// The same from candle's operations.
    pub(in crate::layer) fn record_composed(
        &self,
        inner: &Tensor,
        g: &Tensor,
        batch: usize,
    ) -> Result<Tensor> {
        let inner_grad = (g.detach().matmul(&self.b.tensor)? * self.scale)?;
        self.push(inner, g, &inner_grad, batch)?;
        Ok(inner_grad)
    }

    fn push(&self, inner: &Tensor, g: &Tensor, inner_grad: &Tensor, batch: usize) -> Result<()> {
        let Some(tape) = self.tape() else { return Ok(()) };
        let rows = inner.dims()[0];
        let shaped = |t: &Tensor| {
            let width = t.elem_count() / rows.max(1);
            t.detach().reshape((batch, rows / batch.max(1), width))
        };
        if let Some(name) = self.b.wanted() {
            tape.push(Record::Linear {
                weight: Some(name),
                bias: None,
                x: Some(shaped(inner)?),
                g: shaped(g)?,
                scale: Some(Arc::new(vec![self.scale; batch])),
            })?;
        }
        if let Some(name) = self.a.wanted() {
            tape.push(Record::Linear {
                weight: Some(name),
                bias: None,
                x: Some(shaped(&self.x)?),
                g: shaped(inner_grad)?,
                scale: None,
            })?;
        }
        Ok(())
    }

    /// `dx += mask * (inner_grad A)`.
    pub(in crate::layer) fn add_input_gradient<T: Real>(
        &self,
        dx: &mut [T],
        inner_grad: &Tensor,
        rows: usize,
    ) -> Result<()> {
        let Some(mask) = &self.mask else {
            return add_input_gradient(dx, true, inner_grad, &self.a.tensor, rows);
        };
        let mut part = vec![T::default(); dx.len()];
        add_input_gradient(&mut part, false, inner_grad, &self.a.tensor, rows)?;
        let host = Host::of(mask)?;
        let view = host.view();
        for ((dx, part), m) in dx.iter_mut().zip(&part).zip(view.slice::<T>()?) {
            *dx += *part * *m;
        }
        Ok(())
    }

    /// The same from candle's operations, as a tensor of its own.
    pub(in crate::layer) fn input_gradient_composed(&self, inner_grad: &Tensor) -> Result<Tensor> {
        let dx = inner_grad.matmul(&self.a.tensor)?;
        Ok(match &self.mask {
            Some(mask) => (dx * mask)?,
            None => dx,
        })
    }
}
