//! The convolution on the CPU: sample by sample through one reused scratch.

use std::sync::Arc;

use candle_core::{Shape, Tensor};
use tensor_tree::host::{Host, Real, from_vec};

use super::bytes_of;
use crate::context::{Leaf, tape_of};
use crate::error::Result;
use crate::graph::{Value, node};
use crate::kernel::activation::Activation;
use crate::kernel::conv::{Geometry, transposed};
use crate::kernel::gram::{accumulate, add_rows, ghost_norm, inner};
use crate::kernel::{filled, for_pieces, for_pieces_with, for_tasks, samples_per_share};
use crate::record::Record;
use crate::record::deferred::{Deferred, Transposed, Untyped};
use crate::tape::Tape;

/// One application of a convolution.
pub(super) struct Call<T> {
    geo: Geometry,
    /// The weight as (out, taps, channels).
    laid: Vec<T>,
    /// The bias; empty if there is none.
    offsets: Vec<T>,
    weight: Leaf,
    bias: Option<Leaf>,
    batch: usize,
    activation: Activation,
    /// What the derivative of the activation needs; empty if nothing.
    kept: Vec<T>,
}

pub(super) fn forward<T: Real>(
    x: &Tensor,
    geo: Geometry,
    dims: Vec<usize>,
    weight: Leaf,
    bias: Option<Leaf>,
    activation: Activation,
) -> Result<Tensor> {
    let tape = tape_of([Some(&weight), bias.as_ref()]);
    let recorded = tape.is_some() || x.track_op();
    // The derivative of some activations needs the argument, so those are applied after it was kept.
    let at_once = activation.needs_only_output() || !recorded;
    let mut call = Call::new(geo, weight, bias, dims[0])?;
    let mut y = call.outputs(
        x,
        vec![(); dims[0]],
        || (),
        |(), (), y| {
            if at_once {
                activation.apply(y);
            }
        },
    )?;
    if activation != Activation::Identity && recorded {
        call.kept = y.clone();
        call.activation = activation;
    }
    if !at_once {
        for_pieces(&mut y, 4096, |_, piece| activation.apply(piece));
    }
    let value = Value::host(y, dims);
    if !recorded {
        return Ok(value.plain()?);
    }
    let needs_input = x.track_op();
    let input = x.detach();
    let anchor = tape.as_ref().map(|t| t.anchor().clone());
    let pull = move |grad: &Tensor| -> Result<Option<Tensor>> {
        let grad = call.before_activation(grad)?;
        let host = Host::of(&grad)?;
        let view = host.view();
        Ok(call.backward(&input, needs_input, &Ready(view.slice::<T>()?, &grad))?.0)
    };
    let backward = move |grad: &Tensor| Ok([pull(grad)?]);
    Ok(node("conv", x, anchor.as_ref(), value, backward)?)
}

/// Where the gradients of the outputs come from, one sample at a time.
pub(super) trait Upstream<T>: Sync {
    /// Scratch of a thread.
    type State;
    fn state(&self) -> Self::State;
    /// The gradients of all samples, where they exist.
    fn whole(&self) -> Option<&Tensor>;
    /// Numbers that each sample leaves besides.
    fn extra(&self) -> usize;
    /// The gradient of the output of sample `i`, made in `room` unless it exists.
    fn gradient<'g>(
        &'g self,
        state: &mut Self::State,
        i: usize,
        extra: &mut [T],
        room: &'g mut [T],
    ) -> &'g [T];
}

/// Gradients that exist.
struct Ready<'a, T>(&'a [T], &'a Tensor);

impl<T: Real> Upstream<T> for Ready<'_, T> {
    type State = ();
    fn state(&self) {}
    fn whole(&self) -> Option<&Tensor> {
        Some(self.1)
    }
    fn extra(&self) -> usize {
        0
    }
    fn gradient<'g>(&'g self, (): &mut (), i: usize, _: &mut [T], _: &'g mut [T]) -> &'g [T] {
        let size = self.0.len() / self.1.dims()[0];
        &self.0[i * size..(i + 1) * size]
    }
}

/// What one task of the backward pass writes, for a run of samples.
struct Share<'a, T> {
    samples: std::ops::Range<usize>,
    dx: &'a mut [T],
    weights: &'a mut [T],
    biases: &'a mut [T],
    extras: &'a mut [T],
    /// The gradients of the outputs, where they are made and must stay.
    made: &'a mut [T],
}

impl<T: Real> Call<T> {
    pub(super) fn new(
        geo: Geometry,
        weight: Leaf,
        bias: Option<Leaf>,
        batch: usize,
    ) -> Result<Self> {
        let laid = {
            let host = Host::of(&weight.tensor)?;
            let view = host.view();
            transposed(view.slice::<T>()?, geo.group_inputs(), geo.taps())
        };
        let offsets = match &bias {
            Some(bias) => Host::of(&bias.tensor)?.view().slice::<T>()?.to_vec(),
            None => Vec::new(),
        };
        let activation = Activation::Identity;
        Ok(Call { geo, laid, offsets, weight, bias, batch, activation, kept: Vec::new() })
    }

    /// The tape, if weight or bias is trained.
    pub(super) fn tape(&self) -> Option<Tape> {
        tape_of([Some(&self.weight), self.bias.as_ref()])
    }

    /// The convolution of every sample, each with a companion given to `then` while it is in the cache.
    pub(super) fn outputs<K: Send, S>(
        &self,
        x: &Tensor,
        companions: Vec<K>,
        state: impl Fn() -> S + Sync + Send,
        then: impl Fn(&mut S, K, &mut [T]) + Sync + Send,
    ) -> Result<Vec<T>> {
        let geo = &self.geo;
        let host = Host::of(x)?;
        let view = host.view();
        let xs = view.slice::<T>()?;
        let start = match self.offsets.as_slice() {
            [] => vec![T::default(); geo.sample_out()],
            offsets => offsets.repeat(geo.positions()),
        };
        let scratch = || (vec![T::default(); geo.scratch()], state());
        Ok(filled(companions, &start, scratch, |(scratch, state), i, companion, y| {
            let x = &xs[i * geo.sample_in()..(i + 1) * geo.sample_in()];
            geo.apply(geo.unfolded(x, scratch), &self.laid, y, !self.offsets.is_empty());
            then(state, companion, y);
        }))
    }

    /// Puts the gradients of weight and bias on the tape; gives that of the input, and what `upstream` left.
    pub(super) fn backward(
        &self,
        x: &Tensor,
        needs_input: bool,
        upstream: &impl Upstream<T>,
    ) -> Result<(Option<Tensor>, Vec<T>)> {
        let (geo, n) = (&self.geo, self.batch);
        let tape = self.tape();
        let keeps = tape.as_ref().is_some_and(Tape::keeps_records);
        let leaf = geo.weights();
        let weight = self.weight.wanted();
        let bias = self.bias.as_ref().and_then(Leaf::wanted);
        let fits =
            || tape.as_ref().is_some_and(|t| t.reserve(bytes_of(T::DTYPE, n.saturating_mul(leaf))));
        let deferred = weight.is_some() && keeps && !fits();
        let per_share = samples_per_share(n, bytes_of(T::DTYPE, leaf));
        let shares = n.div_ceil(per_share);
        // One gradient for each sample, or one for each share.
        let places = |wanted: bool, size: usize| {
            let count = if keeps { n } else { shares };
            vec![T::default(); if wanted { count * size } else { 0 }]
        };
        let mut weights = places(weight.is_some() && !deferred, leaf);
        let mut biases = places(bias.is_some(), geo.outputs);
        let mut dx = vec![T::default(); if needs_input { n * geo.sample_in() } else { 0 }];
        let mut extras = vec![T::default(); n * upstream.extra()];
        let made = upstream.whole().is_none();
        let mut all = vec![T::default(); if made && deferred { n * geo.sample_out() } else { 0 }];
        {
            let host = Host::of(x)?;
            let view = host.view();
            let xs = view.slice::<T>()?;
            let per_place = if keeps { per_share } else { 1 };
            let mut dx = Parts::new(&mut dx, per_share * geo.sample_in());
            let mut weights = Parts::new(&mut weights, per_place * leaf);
            let mut biases = Parts::new(&mut biases, per_place * geo.outputs);
            let mut extras = Parts::new(&mut extras, per_share * upstream.extra());
            let mut all = Parts::new(&mut all, per_share * geo.sample_out());
            let tasks = (0..shares)
                .map(|s| Share {
                    samples: s * per_share..((s + 1) * per_share).min(n),
                    dx: dx.next(),
                    weights: weights.next(),
                    biases: biases.next(),
                    extras: extras.next(),
                    made: all.next(),
                })
                .collect();
            let room = if made && !deferred { geo.sample_out() } else { 0 };
            let scratch = || {
                let buffers = (vec![T::default(); geo.scratch()], vec![T::default(); room]);
                (upstream.state(), buffers)
            };
            for_tasks(tasks, scratch, |(state, (unfolded, room)), share: Share<'_, T>| {
                self.share(share, keeps, xs, (upstream, state), unfolded, room);
            });
        }
        if let Some(tape) = tape {
            let stored = (self.weight.tensor.shape().clone(), geo);
            if let Some(name) = weight {
                if deferred {
                    let g = match upstream.whole() {
                        Some(g) => g.clone(),
                        None => from_vec(all, (n, geo.positions(), geo.outputs))?,
                    };
                    let again = Again { geo: *geo, leaf: stored.0, x: x.clone(), g };
                    tape.push(Record::Deferred { name, grads: Arc::new(again) })?;
                } else {
                    put_weights(&tape, name, weights, n, stored)?;
                }
            }
            if let Some(name) = bias {
                if keeps {
                    let grads = from_vec(biases, (n, geo.outputs))?;
                    tape.push(Record::Kept { name, grads })?;
                } else {
                    tape.add(&name, from_vec(in_order(biases, geo.outputs), geo.outputs)?)?;
                }
            }
        }
        Ok((if needs_input { Some(from_vec(dx, x.shape())?) } else { None }, extras))
    }

    /// The gradient before the activation.
    fn before_activation(&self, grad: &Tensor) -> Result<Tensor> {
        if self.activation == Activation::Identity {
            return Ok(grad.detach());
        }
        let host = Host::of(grad)?;
        let mut g = host.view().slice::<T>()?.to_vec();
        for_pieces(&mut g, 4096, |i, piece| {
            self.activation.chain(piece, &self.kept[i * 4096..i * 4096 + piece.len()]);
        });
        Ok(from_vec(g, grad.shape())?)
    }

    fn share<U: Upstream<T>>(
        &self,
        share: Share<'_, T>,
        keeps: bool,
        xs: &[T],
        (upstream, state): (&U, &mut U::State),
        unfolded: &mut [T],
        room: &mut [T],
    ) {
        let geo = &self.geo;
        let (si, so, leaf) = (geo.sample_in(), geo.sample_out(), geo.weights());
        let more = upstream.extra();
        for (k, i) in share.samples.enumerate() {
            let room = match &mut *share.made {
                [] => &mut *room,
                made => &mut made[k * so..(k + 1) * so],
            };
            let extra = &mut share.extras[k * more..(k + 1) * more];
            let g = upstream.gradient(state, i, extra, room);
            let x = &xs[i * si..(i + 1) * si];
            let place = if keeps { k } else { 0 };
            if !share.weights.is_empty() {
                let out = &mut share.weights[place * leaf..(place + 1) * leaf];
                let unfolded = geo.unfolded(x, unfolded);
                geo.weight_gradient(unfolded, g, T::ONE, out, !keeps && 0 < k);
            }
            if !share.biases.is_empty() {
                add_rows(&mut share.biases[place * geo.outputs..(place + 1) * geo.outputs], g);
            }
            if !share.dx.is_empty() {
                geo.input_gradient(g, &self.laid, unfolded, &mut share.dx[k * si..(k + 1) * si]);
            }
        }
    }
}

/// Consecutive parts of a buffer; of an empty one, always the empty part.
struct Parts<'a, T> {
    rest: &'a mut [T],
    size: usize,
}

impl<'a, T> Parts<'a, T> {
    fn new(buffer: &'a mut [T], size: usize) -> Self {
        Parts { rest: buffer, size }
    }

    fn next(&mut self) -> &'a mut [T] {
        let rest = std::mem::take(&mut self.rest);
        let size = self.size.min(rest.len());
        let (part, rest) = rest.split_at_mut(size);
        self.rest = rest;
        part
    }
}

/// Puts weight gradients in the order (out, taps, channels) on the tape: one for each sample, or one for
/// each share of the batch.
fn put_weights<T: Real>(
    tape: &Tape,
    name: Arc<str>,
    grads: Vec<T>,
    n: usize,
    (leaf, geo): (Shape, &Geometry),
) -> Result<()> {
    let (taps, inputs) = (geo.taps(), geo.group_inputs());
    if !tape.keeps_records() {
        let sum = in_order(grads, geo.weights());
        return tape.add(&name, from_vec(transposed(&sum, taps, inputs), leaf)?);
    }
    let record = if taps == 1 || inputs == 1 {
        let mut dims = vec![n];
        dims.extend(leaf.dims());
        Record::Kept { name, grads: from_vec(grads, dims)? }
    } else {
        let grads = from_vec(grads, (n, geo.outputs, taps, inputs))?;
        Record::Deferred { name, grads: Arc::new(Transposed { grads, leaf }) }
    };
    tape.push(record)
}

/// The sum of the parts of `size` elements, in their order.
fn in_order<T: Real>(mut parts: Vec<T>, size: usize) -> Vec<T> {
    if parts.len() < size {
        return vec![T::default(); size]; // an empty batch
    }
    let (sum, rest) = parts.split_at_mut(size);
    for part in rest.chunks_exact(size) {
        accumulate(sum, T::ONE, part);
    }
    parts.truncate(size);
    parts
}

/// Per-sample weight gradients that are made again each time: for those too many to keep.
#[derive(Debug)]
struct Again {
    geo: Geometry,
    leaf: Shape,
    x: Tensor,
    g: Tensor,
}

impl Untyped for Again {
    fn tensor(&self) -> &Tensor {
        &self.g
    }

    fn leaf(&self) -> &Shape {
        &self.leaf
    }

    fn norms<T: Real>(&self) -> Result<Vec<f64>> {
        let geo = &self.geo;
        let (hx, hg) = (Host::of(&self.x)?, Host::of(&self.g)?);
        let (vx, vg) = (hx.view(), hg.view());
        let (xs, gs) = (vx.slice::<T>()?, vg.slice::<T>()?);
        let (si, so) = (geo.sample_in(), geo.sample_out());
        let (t, d, p) = (geo.positions(), geo.depth(), geo.outputs);
        let ghost = geo.groups == 1 && 2 * t * t <= p * d;
        let scratch = || {
            let gradient = if ghost { 0 } else { geo.weights() };
            (vec![T::default(); geo.scratch()], vec![T::default(); gradient])
        };
        let mut norms = vec![0.0; self.n_samples()];
        for_pieces_with(&mut norms, 1, scratch, |(unfolded, gradient), i, norm| {
            let (x, g) = (&xs[i * si..(i + 1) * si], &gs[i * so..(i + 1) * so]);
            let u = geo.unfolded(x, unfolded);
            norm[0] = if ghost {
                ghost_norm(u, d, g, p, t)
            } else {
                geo.weight_gradient(u, g, T::ONE, gradient, false);
                inner(gradient, gradient)
            };
        });
        Ok(norms)
    }

    fn total<T: Real>(&self, factors: Option<&[f64]>) -> Result<Tensor> {
        let (geo, n) = (&self.geo, self.n_samples());
        let (hx, hg) = (Host::of(&self.x)?, Host::of(&self.g)?);
        let (vx, vg) = (hx.view(), hg.view());
        let (xs, gs) = (vx.slice::<T>()?, vg.slice::<T>()?);
        let (si, so, leaf) = (geo.sample_in(), geo.sample_out(), geo.weights());
        let per_share = samples_per_share(n, bytes_of(T::DTYPE, leaf));
        let mut sums = vec![T::default(); n.div_ceil(per_share) * leaf];
        let scratch = || vec![T::default(); geo.scratch()];
        for_pieces_with(&mut sums, leaf, scratch, |scratch, share, out| {
            let mut keep = false;
            for i in share * per_share..((share + 1) * per_share).min(n) {
                let factor = factors.map_or(1.0, |f| f[i]);
                if factor == 0.0 {
                    continue;
                }
                let (x, g) = (&xs[i * si..(i + 1) * si], &gs[i * so..(i + 1) * so]);
                let unfolded = geo.unfolded(x, scratch);
                geo.weight_gradient(unfolded, g, T::of(factor), out, keep);
                keep = true;
            }
        });
        let sum = in_order(sums, leaf);
        Ok(from_vec(transposed(&sum, geo.taps(), geo.group_inputs()), self.leaf.clone())?)
    }
}
