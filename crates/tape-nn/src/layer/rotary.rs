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
    positions: usize,
    order: RotaryOrder,
    /// Angle per position of each pair.
    rates: Vec<f64>,
}

/// The rotations of a range of positions, computed once for the layers that share them.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    order: RotaryOrder,
    positions: usize,
    half: usize,
    /// Cosines and sines, `[positions, head_dim / 2]`.
    angles: Arc<(Vec<f64>, Vec<f64>)>,
}

impl Rotary {
    /// Rotations for at most `positions` positions; `base` is 10000 in the paper.
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
        let rate = |i: usize| libm::pow(base, -2.0 * i as f64 / head_dim as f64);
        Ok(Rotary { positions, order, rates: (0..head_dim / 2).map(rate).collect() })
    }

    /// The rotations of `t` positions from `offset` on.
    ///
    /// # Errors
    /// [`Error::InputShape`] if there are too many.
    pub fn turn(&self, offset: usize, t: usize) -> Result<Turn> {
        if self.positions < offset.saturating_add(t) {
            return Err(Error::InputShape {
                layer: "rotary embedding".into(),
                expected: format!("at most {} positions after {offset}", self.positions),
                got: vec![t],
            });
        }
        let angles: Vec<f64> = (offset..offset + t)
            .flat_map(|t| self.rates.iter().map(move |rate| t as f64 * rate))
            .collect();
        let cos = angles.iter().map(|a| libm::cos(*a)).collect();
        let sin = angles.iter().map(|a| libm::sin(*a)).collect();
        let half = self.rates.len();
        Ok(Turn { order: self.order, positions: t, half, angles: Arc::new((cos, sin)) })
    }

    /// Turns the heads of `x`, whose first position is number `offset`.
    ///
    /// # Errors
    /// [`Error::InputShape`] if the width is no multiple of the head size or there are too many positions.
    pub fn forward(&self, x: &Tensor, offset: usize) -> Result<Tensor> {
        self.turn(offset, x.dims().get(1).copied().unwrap_or(0))?.forward(x)
    }
}

impl Turn {
    /// Turns the heads of `x`.
    ///
    /// # Errors
    /// [`Error::InputShape`] if the width is no multiple of the head size or the positions do not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let dim = 2 * self.half;
        match x.dims() {
            [_, t, width] if *t == self.positions && width.is_multiple_of(dim) => {}
            other => {
                return Err(Error::InputShape {
                    layer: "rotary embedding".into(),
                    expected: format!("[batch, {}, heads * {dim}]", self.positions),
                    got: other.to_vec(),
                });
            }
        }
        if is_host(x) {
            by_dtype!("rotary embedding", x, fused::<T>(self, x))
        } else {
            self.composed(x)
        }
    }

    /// The turned heads; `sign` -1 gives the inverse rotation.
    fn apply<T: Real>(&self, x: &Tensor, sign: f64) -> Result<Vec<T>> {
        let (t, half) = (self.positions, self.half);
        let cos: Vec<T> = self.angles.0.iter().map(|c| T::of(*c)).collect();
        let sin: Vec<T> = self.angles.1.iter().map(|s| T::of(sign * s)).collect();
        let host = Host::of(x)?;
        let view = host.view();
        let xs = view.slice::<T>()?;
        let width = x.dims().last().copied().unwrap_or(0);
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
    fn composed(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, t, width) = x.dims3()?;
        let half = self.half;
        let heads = width / (2 * half);
        let (axis, split, shape) = match self.order {
            RotaryOrder::Halves => (3, (batch, t, heads, 2, half), (1, t, 1, 1, half)),
            RotaryOrder::Neighbors => (4, (batch, t, heads, half, 2), (1, t, 1, half, 1)),
        };
        let load = |v: &[f64]| {
            Tensor::from_slice(v, shape, &candle_core::Device::Cpu)?
                .to_dtype(x.dtype())?
                .to_device(x.device())
        };
        let (cos, sin) = (load(&self.angles.0)?, load(&self.angles.1)?);
        let pairs = x.reshape(split)?;
        let (a, b) = (pairs.narrow(axis, 0, 1)?, pairs.narrow(axis, 1, 1)?);
        let first = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
        let second = (b.broadcast_mul(&cos)? + a.broadcast_mul(&sin)?)?;
        Ok(Tensor::cat(&[first, second], axis)?.reshape((batch, t, width))?)
    }
}

fn fused<T: Real>(turn: &Turn, x: &Tensor) -> Result<Tensor> {
    let value = Value::host(turn.apply::<T>(x, 1.0)?, x.shape());
    let turn = turn.clone();
    let backward = move |grad: &Tensor| {
        let turned = turn.apply::<T>(grad, -1.0)?;
        Ok([Some(from_vec(turned, grad.shape()).map_err(Error::from)?)])
    };
    Ok(node("rotary", x, None, value, backward)?)
}

#[cfg(test)]
mod tests;
