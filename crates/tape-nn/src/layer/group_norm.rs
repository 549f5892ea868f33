//! Group normalisation, alone or with ReLU and 2x2 maximum pooling in the same operation.

use std::sync::Arc;

use candle_core::Tensor;
use candle_nn::{Init, VarBuilder};
use tensor_tree::host::{Host, Real, from_vec};

use super::channels::{Channels, channels_last};
use super::pool::composed_max_pool2d;
use super::{by_dtype, is_host};
use crate::context::{Context, Leaf, tape_of};
use crate::error::{Error, Result};
use crate::graph::{Value, node};
use crate::kernel::for_tasks;
use crate::kernel::group_norm::{Channel, normalize, normalize_pooled};
use crate::param::Param;
use crate::record::{Record, wide};

/// Each sample's groups of channels brought to mean zero and variance one, then scaled and shifted.
///
/// Samples do not see each other, so the layer may be trained privately (batch normalisation may not).
///
/// # Shapes
/// `x` is `[batch, channels, ..]`, or `[batch, .., channels]` with [`Channels::Last`]; weight and bias `[channels]`.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupNorm {
    weight: Param,
    bias: Param,
    groups: usize,
    eps: f64,
    channels: Channels,
}

/// A group normalisation with weight (ones) and bias (zeros) below `vb`, of channels-first tensors.
///
/// # Errors
/// If `groups` does not divide `channels`, or `vb` has the parameters in another shape.
pub fn group_norm(
    groups: usize,
    channels: usize,
    eps: f64,
    vb: VarBuilder<'_>,
) -> Result<GroupNorm> {
    let weight = Param::new(&vb, "weight", &[channels], Init::Const(1.0))?;
    let bias = Param::new(&vb, "bias", &[channels], Init::Const(0.0))?;
    GroupNorm::new(weight, bias, groups, eps)
}

/// An instance normalisation: each channel of each sample is a group of its own. Weight (ones) and bias (zeros) below `vb`.
///
/// # Errors
/// As [`group_norm`].
///
/// # Source
/// arXiv 1607.08022.
pub fn instance_norm(channels: usize, eps: f64, vb: VarBuilder<'_>) -> Result<GroupNorm> {
    group_norm(channels, channels, eps, vb)
}

/// What follows the normalisation in the same operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    Nothing,
    Relu,
    ReluPool,
}

impl GroupNorm {
    /// A normalisation with the given parameters, of channels-first tensors.
    ///
    /// # Errors
    /// If `groups` does not divide the channels, `eps` is negative, or the shapes are not `[channels]`.
    pub fn new(weight: Param, bias: Param, groups: usize, eps: f64) -> Result<Self> {
        let channels: usize = weight.shape().iter().product();
        for param in [&weight, &bias] {
            if param.shape() != [channels] {
                return Err(Error::ParamShape {
                    name: param.name().into(),
                    expected: vec![channels],
                    got: param.shape().to_vec(),
                });
            }
        }
        let setting =
            |name: &str, must, got: String| Error::InvalidSetting { name: name.into(), must, got };
        if groups == 0 || channels == 0 || !channels.is_multiple_of(groups) {
            return Err(setting("groups", "a divisor of the channels", groups.to_string()));
        }
        if !(eps.is_finite() && 0.0 <= eps) {
            return Err(setting("eps", "finite and not negative", eps.to_string()));
        }
        Ok(GroupNorm { weight, bias, groups, eps, channels: Channels::First })
    }

    /// The same for tensors in another order.
    #[must_use]
    pub fn with_channels(mut self, channels: Channels) -> Self {
        self.channels = channels;
        self
    }

    /// The weight, `[channels]`.
    #[must_use]
    pub fn weight(&self) -> &Param {
        &self.weight
    }

    /// The bias, `[channels]`.
    #[must_use]
    pub fn bias(&self) -> &Param {
        &self.bias
    }

    /// The order of the axes.
    #[must_use]
    pub fn channels(&self) -> Channels {
        self.channels
    }

    /// The number of groups.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// What is added to the variance.
    #[must_use]
    pub fn eps(&self) -> f64 {
        self.eps
    }

    /// Normalises.
    ///
    /// # Errors
    /// If the input's shape does not fit or a parameter is missing.
    pub fn forward(&self, cx: &Context<'_>, x: &Tensor) -> Result<Tensor> {
        channels_last(self.channels, x, |x| self.apply(cx, x, Tail::Nothing))
    }

    /// Normalises and sets what is negative to zero, in one operation.
    ///
    /// # Errors
    /// As [`GroupNorm::forward`].
    pub fn forward_relu(&self, cx: &Context<'_>, x: &Tensor) -> Result<Tensor> {
        channels_last(self.channels, x, |x| self.apply(cx, x, Tail::Relu))
    }

    /// Normalises an image, applies ReLU and takes the maximum of each 2x2 window, in one operation. A last
    /// odd row or column is in no window.
    ///
    /// # Errors
    /// As [`GroupNorm::forward`], or if `x` is not a batch of images of at least 2x2.
    pub fn forward_relu_pool(&self, cx: &Context<'_>, x: &Tensor) -> Result<Tensor> {
        channels_last(self.channels, x, |x| self.apply(cx, x, Tail::ReluPool))
    }

    fn apply(&self, cx: &Context<'_>, x: &Tensor, tail: Tail) -> Result<Tensor> {
        let width = self.weight.shape()[0];
        let dims = x.dims();
        let images = tail != Tail::ReluPool || (dims.len() == 4 && 2 <= dims[1] && 2 <= dims[2]);
        if dims.len() < 2 || dims[dims.len() - 1] != width || !images || dims[1..].contains(&0) {
            let axes = if images { ".." } else { "height, width" };
            let mut got = dims.to_vec();
            let expected = match self.channels {
                Channels::Last => format!("[batch, {axes}, {width}]"),
                Channels::First => {
                    if 2 < got.len() {
                        got[1..].rotate_right(1);
                    }
                    format!("[batch, {width}, {axes}]")
                }
            };
            return Err(Error::InputShape { layer: self.weight.name().into(), expected, got });
        }
        let call = Call {
            weight: cx.leaf(&self.weight)?,
            bias: cx.leaf(&self.bias)?,
            groups: self.groups,
            eps: self.eps,
            tail,
            size: if dims.len() == 4 { (dims[1], dims[2]) } else { (1, 1) },
        };
        let same = |t: &Tensor| t.dtype() == x.dtype();
        if is_host(x) && same(&call.weight.tensor) && same(&call.bias.tensor) {
            by_dtype!("group norm", x, fused::<T>(x, call))
        } else {
            composed(x, call)
        }
    }
}

/// One application of a group normalisation to a channels-last tensor.
struct Call {
    weight: Leaf,
    bias: Leaf,
    groups: usize,
    eps: f64,
    tail: Tail,
    size: (usize, usize),
}

impl Call {
    fn output_dims(&self, x: &Tensor) -> Vec<usize> {
        let mut dims = x.dims().to_vec();
        if self.tail == Tail::ReluPool {
            dims[1] /= 2;
            dims[2] /= 2;
        }
        dims
    }

    /// Puts per-sample gradients `[batch, channels]` on the tape.
    fn record<T: Real>(&self, dw: Vec<T>, db: Vec<T>, n: usize) -> Result<()> {
        for (leaf, grads) in [(&self.weight, dw), (&self.bias, db)] {
            if let Some(tape) = &leaf.tape {
                let grads = from_vec(grads, (n, leaf.tensor.elem_count()))?;
                tape.push(Record::Kept { name: leaf.name.clone(), grads })?;
            }
        }
        Ok(())
    }
}

/// What one task of the forward pass writes: one sample.
struct Forward<'a, T> {
    y: &'a mut [T],
    which: &'a mut [u8],
    stats: &'a mut [T],
}

/// What one task of the backward pass writes.
struct Backward<'a, T> {
    dx: &'a mut [T],
    dw: &'a mut [T],
    db: &'a mut [T],
}

/// `n` parts of a buffer, or `n` empty ones.
pub(super) fn parts<T>(buffer: &mut [T], n: usize) -> Vec<&mut [T]> {
    if buffer.is_empty() {
        return (0..n).map(|_| Default::default()).collect();
    }
    let size = buffer.len() / n;
    buffer.chunks_exact_mut(size).collect()
}

fn fused<T: Real>(x: &Tensor, call: Call) -> Result<Tensor> {
    let dims = call.output_dims(x);
    let n = dims[0];
    let width = call.weight.tensor.elem_count();
    let out: usize = dims.iter().product();
    let pooled = call.tail == Tail::ReluPool;
    let values = |t: &Tensor| Ok::<_, Error>(Host::of(t)?.view().slice::<T>()?.to_vec());
    let (weight, shift) = (values(&call.weight.tensor)?, values(&call.bias.tensor)?);
    let mut y = vec![T::default(); out];
    let mut which = vec![0u8; if pooled { out } else { 0 }];
    let mut stats = vec![T::default(); 2 * n * call.groups];
    let input = x.detach();
    {
        let host = Host::of(&input)?;
        let view = host.view();
        let xs = view.slice::<T>()?;
        let size = xs.len() / n.max(1);
        let tasks = parts(&mut y, n)
            .into_iter()
            .zip(parts(&mut which, n))
            .zip(parts(&mut stats, n))
            .map(|((y, which), stats)| Forward { y, which, stats })
            .enumerate()
            .collect();
        for_tasks(
            tasks,
            || Channel::new(width),
            |channel, (i, task): (usize, Forward<'_, T>)| {
                let x = &xs[i * size..(i + 1) * size];
                channel.measure(x, call.eps, task.stats);
                channel.expand(task.stats, &weight);
                let (m, s) = (&channel.mean, &channel.scale);
                if pooled {
                    normalize_pooled(x, call.size, m, s, &shift, task.y, task.which);
                } else {
                    normalize(x, m, s, &shift, call.tail == Tail::Relu, task.y);
                }
            },
        );
    }
    let value = Value::host(y, dims);
    let tape = tape_of([Some(&call.weight), Some(&call.bias)]);
    let needs_input = x.track_op();
    let anchor = tape.as_ref().map(|t| t.anchor().clone());
    let pull = move |grad: &Tensor| -> Result<Option<Tensor>> {
        let wanted = |leaf: &Leaf| vec![T::default(); leaf.wanted().map_or(0, |_| n * width)];
        let (mut dw, mut db) = (wanted(&call.weight), wanted(&call.bias));
        let mut dx = vec![T::default(); if needs_input { input.elem_count() } else { 0 }];
        {
            let (hx, hg) = (Host::of(&input)?, Host::of(grad)?);
            let (vx, vg) = (hx.view(), hg.view());
            let (xs, gs) = (vx.slice::<T>()?, vg.slice::<T>()?);
            let (size, out) = (xs.len() / n.max(1), gs.len() / n.max(1));
            let tasks = parts(&mut dx, n)
                .into_iter()
                .zip(parts(&mut dw, n))
                .zip(parts(&mut db, n))
                .map(|((dx, dw), db)| Backward { dx, dw, db })
                .enumerate()
                .collect();
            for_tasks(
                tasks,
                || Channel::new(width),
                |channel, (i, to): (usize, Backward<'_, T>)| {
                    let x = &xs[i * size..(i + 1) * size];
                    let g = &gs[i * out..(i + 1) * out];
                    let stats = &stats[2 * i * call.groups..2 * (i + 1) * call.groups];
                    let to = (to.dx, to.dw, to.db);
                    if pooled {
                        let which = &which[i * out..(i + 1) * out];
                        channel.pull_pooled(x, g, which, stats, &weight, call.size, to);
                    } else {
                        let relu = call.tail == Tail::Relu;
                        channel.pull(x, g, stats, &weight, &shift, relu, to);
                    }
                },
            );
        }
        call.record(dw, db, n)?;
        Ok(if needs_input { Some(from_vec(dx, input.shape())?) } else { None })
    };
    let backward = move |grad: &Tensor| Ok([pull(grad)?]);
    Ok(node("group norm", x, anchor.as_ref(), value, backward)?)
}

/// The same from candle's operations, for other devices and types.
fn composed(x: &Tensor, call: Call) -> Result<Tensor> {
    let n = x.dims()[0];
    let width = call.weight.tensor.elem_count();
    let per_group = width / call.groups;
    let places = x.dims()[1..x.dims().len() - 1].iter().product::<usize>();
    let grouped = x.reshape((n, places, call.groups, per_group))?;
    let mean = grouped.mean_keepdim(1)?.mean_keepdim(3)?;
    let centred = grouped.broadcast_sub(&mean)?;
    let variance = centred.sqr()?.mean_keepdim(1)?.mean_keepdim(3)?;
    let normal = centred.broadcast_div(&(variance + call.eps)?.sqrt()?)?.reshape(x.shape())?;
    let value = {
        let scaled = normal.detach().broadcast_mul(&call.weight.tensor)?;
        Value::tensor(scaled.broadcast_add(&call.bias.tensor)?)?
    };
    let tail = call.tail;
    let size = call.size;
    let tape = tape_of([Some(&call.weight), Some(&call.bias)]);
    let anchor = tape.as_ref().map(|t| t.anchor().clone());
    let call = Arc::new(call);
    let needs_input = normal.track_op();
    let kept = normal.detach();
    let pull = move |grad: &Tensor| -> Result<Option<Tensor>> {
        let rows = |t: &Tensor| t.reshape((n, places, width))?.sum(1);
        let g = wide(grad.clone())?;
        for (leaf, grads) in [(&call.weight, (&g * wide(kept.clone())?)?), (&call.bias, g)] {
            if let Some(tape) = &leaf.tape {
                let grads = rows(&grads)?.detach();
                tape.push(Record::Kept { name: leaf.name.clone(), grads })?;
            }
        }
        Ok(if needs_input { Some(grad.broadcast_mul(&call.weight.tensor)?) } else { None })
    };
    let backward = move |grad: &Tensor| Ok([pull(grad)?]);
    let y = node("group norm", &normal, anchor.as_ref(), value, backward)?;
    match tail {
        Tail::Nothing => Ok(y),
        Tail::Relu => Ok(y.relu()?),
        Tail::ReluPool => {
            let (h, w) = (size.0 / 2 * 2, size.1 / 2 * 2);
            let y = y.relu()?.narrow(1, 0, h)?.narrow(2, 0, w)?;
            composed_max_pool2d(&y.contiguous()?, 2, 2)
        }
    }
}

#[cfg(test)]
mod tests;
