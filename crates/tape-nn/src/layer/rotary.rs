//! Rotary position embedding.

use std::sync::Arc;

use candle_core::Tensor;
use tensor_tree::host::{Host, Real, from_vec};

use super::{by_dtype, is_host};
use crate::error::{Error, Result};
use crate::graph::{Value, node};
use crate::kernel::for_pieces;
use crate::kernel::pairs::{rotate_halves, rotate_neighbors};

/// Which elements of a head are turned together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RotaryOrder {
    /// `i` and `i + head_dim / 2`: Llama weights in safetensors under Hugging Face names.
    #[default]
    Halves,
    /// `2 i` and `2 i + 1`: the original weights, GGUF and llama2.c.
    Neighbors,
}

/// Turns pair `i` of each head at position `t` by the angle `t * base^(-2 i / head_dim)`.
///
/// # Shapes
/// The input is `[batch, t, heads * head_dim]`, the result has its shape.
///
/// # Source
/// arXiv 2104.09864, section 3.4.2. Angles are computed in doubles.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotary {
    head_dim: usize,
    positions: usize,
    order: RotaryOrder,
    /// Cosines, then sines, each `[positions, head_dim / 2]`.
    table: Arc<Vec<f64>>,
}

impl Rotary {
    /// Rotations for the first `positions` positions; `base` is 10000 in the paper.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if `head_dim` is odd or zero, or `base` is not finite and above one.
    pub fn new(head_dim: usize, positions: usize, base: f64, order: RotaryOrder) -> Result<Self> {
        if head_dim == 0 || !head_dim.is_multiple_of(2) {
            let must = "positive and even";
            let got = head_dim.to_string();
            return Err(Error::InvalidSetting { name: "rotary head size".into(), must, got });
        }
        if !base.is_finite() || base <= 1.0 {
            let must = "finite and above 1";
            let got = base.to_string();
            return Err(Error::InvalidSetting { name: "rotary base".into(), must, got });
        }
        let half = head_dim / 2;
        let rates: Vec<f64> =
            (0..half).map(|i| libm::pow(base, -2.0 * i as f64 / head_dim as f64)).collect();
        let angles = |t: usize| rates.iter().map(move |rate| t as f64 * rate);
        let mut table = Vec::with_capacity(2 * positions * half);
        table.extend((0..positions).flat_map(angles).map(libm::cos));
        table.extend((0..positions).flat_map(angles).map(libm::sin));
        Ok(Rotary { head_dim, positions, order, table: Arc::new(table) })
    }

    /// Turns the heads of `x`, whose first position is number `offset`.
    ///
    /// # Errors
    /// [`Error::InputShape`] if the width is no multiple of the head size or there are too many positions.
    pub fn forward(&self, x: &Tensor, offset: usize) -> Result<Tensor> {
        let misfit = || Error::InputShape {
            layer: "rotary embedding".into(),
            expected: format!(
                "[batch, t, heads * {}] with t <= {} - {offset}",
                self.head_dim, self.positions
            ),
            got: x.dims().to_vec(),
        };
        let &[_, t, width] = x.dims() else { return Err(misfit()) };
        if !width.is_multiple_of(self.head_dim) || self.positions < offset.saturating_add(t) {
            return Err(misfit());
        }
        if is_host(x) {
            by_dtype!("rotary embedding", x, fused::<T>(self, x, offset))
        } else {
            self.composed(x, offset)
        }
    }

    /// Cosines and sines of `t` positions from `offset` on; `sign` -1 gives the inverse rotation.
    fn angles<T: Real>(&self, offset: usize, t: usize, sign: f64) -> (Vec<T>, Vec<T>) {
        let half = self.head_dim / 2;
        let (cos, sin) = self.table.split_at(self.positions * half);
        let range = offset * half..(offset + t) * half;
        let cos = cos[range.clone()].iter().map(|c| T::of(*c)).collect();
        (cos, sin[range].iter().map(|s| T::of(sign * s)).collect())
    }

    fn turn<T: Real>(&self, x: &Tensor, offset: usize, sign: f64) -> Result<Vec<T>> {
        let &[_, t, width] = x.dims() else { return Ok(Vec::new()) };
        let half = self.head_dim / 2;
        let (cos, sin) = self.angles::<T>(offset, t, sign);
        let host = Host::of(x)?;
        let view = host.view();
        let xs = view.slice::<T>()?;
        let mut y = vec![T::default(); xs.len()];
        for_pieces(&mut y, width, |row, y| {
            let (x, at) = (&xs[row * width..(row + 1) * width], row % t * half);
            let (cos, sin) = (&cos[at..at + half], &sin[at..at + half]);
            match self.order {
                RotaryOrder::Halves => rotate_halves(y, x, cos, sin),
                RotaryOrder::Neighbors => rotate_neighbors(y, x, cos, sin),
            }
        });
        Ok(y)
    }

    /// The same from candle's differentiable operations, for other devices and types.
    fn composed(&self, x: &Tensor, offset: usize) -> Result<Tensor> {
        let (batch, t, width) = x.dims3()?;
        let half = self.head_dim / 2;
        let (axis, split) = match self.order {
            RotaryOrder::Halves => (3, (batch, t, width / self.head_dim, 2, half)),
            RotaryOrder::Neighbors => (4, (batch, t, width / self.head_dim, half, 2)),
        };
        let (cos, sin) = self.angles::<f64>(offset, t, 1.0);
        let shape = if axis == 3 { (1, t, 1, 1, half) } else { (1, t, 1, half, 1) };
        let load = |v: Vec<f64>| {
            Tensor::from_vec(v, shape, &candle_core::Device::Cpu)?
                .to_dtype(x.dtype())?
                .to_device(x.device())
        };
        let (cos, sin) = (load(cos)?, load(sin)?);
        let pairs = x.reshape(split)?;
        let (a, b) = (pairs.narrow(axis, 0, 1)?, pairs.narrow(axis, 1, 1)?);
        let first = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
        let second = (b.broadcast_mul(&cos)? + a.broadcast_mul(&sin)?)?;
        Ok(Tensor::cat(&[first, second], axis)?.reshape((batch, t, width))?)
    }
}

fn fused<T: Real>(rotary: &Rotary, x: &Tensor, offset: usize) -> Result<Tensor> {
    let value = Value::host(rotary.turn::<T>(x, offset, 1.0)?, x.shape());
    let rotary = rotary.clone();
    let backward = move |grad: &Tensor| {
        let turned = rotary.turn::<T>(grad, offset, -1.0)?;
        Ok([Some(from_vec(turned, grad.shape()).map_err(Error::from)?)])
    };
    Ok(node("rotary", x, None, value, backward)?)
}

#[cfg(test)]
mod tests;
