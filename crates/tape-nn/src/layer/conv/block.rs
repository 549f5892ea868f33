//! Convolution, group normalisation, ReLU and pooling as one operation.

use candle_core::Tensor;
use tensor_tree::host::{Host, Real, from_vec};

use super::Conv2d;
use super::fused::{Call, Upstream};
use crate::context::{Context, Leaf, tape_of};
use crate::error::Result;
use crate::graph::{Value, node};
use crate::kernel::conv::Geometry;
use crate::kernel::group_norm::{Channel, normalize_pooled};
use crate::layer::group_norm::{GroupNorm, parts};
use crate::layer::{Channels, by_dtype, is_host};
use crate::record::Record;

/// `conv`, then `norm`, ReLU and the maximum of each 2x2 window, in one operation where both layers work on
/// channels-last images: the gradient between convolution and normalisation then exists for one sample at a
/// time only. Otherwise, and for other devices, one operation after the other with the same result.
///
/// # Shapes
/// As those of the two layers; the channels that `conv` returns are those of `norm`.
///
/// # Errors
/// As [`Conv2d::forward`] and [`GroupNorm::forward_relu_pool`].
pub fn conv_norm_relu_pool(
    cx: &Context<'_>,
    conv: &Conv2d,
    norm: &GroupNorm,
    x: &Tensor,
) -> Result<Tensor> {
    let inner = &conv.0;
    let last = [inner.config.channels, norm.channels()].iter().all(|c| *c == Channels::Last);
    let outputs = inner.weight.shape()[0];
    let apart = || norm.forward_relu_pool(cx, &conv.forward(cx, x)?);
    if !last || !is_host(x) || norm.weight().shape() != [outputs] {
        return apart();
    }
    let geo = inner.geometry(x)?;
    if geo.output.iter().any(|size| *size < 2) {
        return apart(); // for its error
    }
    let leaves = (cx.leaf(&inner.weight)?, cx.optional(inner.bias.as_ref())?);
    let affine = (cx.leaf(norm.weight())?, cx.leaf(norm.bias())?);
    let mut all = vec![&leaves.0, &affine.0, &affine.1];
    all.extend(&leaves.1);
    if all.iter().any(|leaf| leaf.tensor.dtype() != x.dtype()) {
        return apart();
    }
    by_dtype!("conv", x, fused::<T>(x, geo, leaves, affine, norm))
}

/// What one sample leaves behind the convolution.
struct Place<'a, T> {
    y: &'a mut [T],
    which: &'a mut [u8],
    stats: &'a mut [T],
}

/// What the backward pass needs of what stands behind the convolution.
struct Behind<T> {
    /// The convolution's outputs.
    inner: Vec<T>,
    which: Vec<u8>,
    stats: Vec<T>,
    gamma: Vec<T>,
    size: (usize, usize),
}

/// The gradient of the convolution's outputs, from that of the pooled ones.
struct Pulled<'a, T> {
    behind: &'a Behind<T>,
    g: &'a [T],
    batch: usize,
}

impl<T: Real> Upstream<T> for Pulled<'_, T> {
    type State = Channel<T>;
    fn state(&self) -> Channel<T> {
        Channel::new(self.behind.gamma.len())
    }
    fn whole(&self) -> Option<&Tensor> {
        None
    }
    fn extra(&self) -> usize {
        2 * self.behind.gamma.len()
    }
    fn gradient<'g>(
        &'g self,
        channel: &mut Channel<T>,
        i: usize,
        extra: &mut [T],
        room: &'g mut [T],
    ) -> &'g [T] {
        let Behind { inner, which, stats, gamma, size } = self.behind;
        let of = |len: usize| i * (len / self.batch)..(i + 1) * (len / self.batch);
        let (dw, db) = extra.split_at_mut(gamma.len());
        channel.pull_pooled(
            &inner[of(inner.len())],
            &self.g[of(self.g.len())],
            &which[of(which.len())],
            &stats[of(stats.len())],
            gamma,
            *size,
            (&mut *room, dw, db),
        );
        room
    }
}

fn fused<T: Real>(
    x: &Tensor,
    geo: Geometry,
    (weight, bias): (Leaf, Option<Leaf>),
    (scale, shift): (Leaf, Leaf),
    norm: &GroupNorm,
) -> Result<Tensor> {
    let n = x.dims()[0];
    let call = Call::new(geo, weight, bias, n)?;
    let tape = tape_of([Some(&scale), Some(&shift)]).or_else(|| call.tape());
    let values = |t: &Tensor| Ok::<_, crate::Error>(Host::of(t)?.view().slice::<T>()?.to_vec());
    let (gamma, beta) = (values(&scale.tensor)?, values(&shift.tensor)?);
    let [h, w] = geo.output;
    let (groups, eps, width) = (norm.groups(), norm.eps(), geo.outputs);
    let dims = vec![n, h / 2, w / 2, width];
    let size = (h / 2) * (w / 2) * width;
    let mut y = vec![T::default(); n * size];
    let mut which = vec![0u8; n * size];
    let mut stats = vec![T::default(); n * 2 * groups];
    let places: Vec<_> = parts(&mut y, n)
        .into_iter()
        .zip(parts(&mut which, n))
        .zip(parts(&mut stats, n))
        .map(|((y, which), stats)| Place { y, which, stats })
        .collect();
    let inner = call.outputs(
        x,
        places,
        || Channel::new(width),
        |channel, place: Place<'_, T>, inner| {
            channel.measure(inner, eps, place.stats);
            channel.expand(place.stats, &gamma);
            let (mean, scale) = (&channel.mean, &channel.scale);
            normalize_pooled(inner, (h, w), mean, scale, &beta, place.y, place.which);
        },
    )?;
    let value = Value::host(y, dims);
    let needs_input = x.track_op();
    if tape.is_none() && !needs_input {
        return Ok(value.plain()?);
    }
    let size = (h, w);
    let input = x.detach();
    let anchor = tape.map(|t| t.anchor().clone());
    let behind = Behind { inner, which, stats, gamma, size };
    let pull = move |grad: &Tensor| -> Result<Option<Tensor>> {
        let host = Host::of(grad)?;
        let view = host.view();
        let upstream = Pulled { behind: &behind, g: view.slice::<T>()?, batch: n };
        let (dx, extras) = call.backward(&input, needs_input, &upstream)?;
        for (leaf, part) in [(&scale, 0), (&shift, 1)] {
            if let Some(tape) = &leaf.tape {
                let rows = extras.chunks_exact(2 * width);
                let grads = rows.flat_map(|r| &r[part * width..(part + 1) * width]).copied();
                let grads = from_vec(grads.collect(), (n, width))?;
                tape.push(Record::Kept { name: leaf.name.clone(), grads })?;
            }
        }
        Ok(dx)
    };
    let backward = move |grad: &Tensor| Ok([pull(grad)?]);
    Ok(node("conv block", x, anchor.as_ref(), value, backward)?)
}
