//! Multi-head softmax attention without parameters.

use candle_core::{DType, Tensor};
use tensor_tree::host::{Host, Real, from_vec};

use super::{by_dtype, is_host};
use crate::error::{Error, Result};
use crate::graph::{Value, node, node3};
use crate::kernel::attention::{Gradients, Inputs, Rows, Sizes, backward, forward};
use crate::kernel::{for_tasks, pieces_mut};

/// `softmax(q k^T / sqrt(head_dim)) v` for each head, where query head `h` reads key-value head
/// `h / (heads / kv_heads)`.
///
/// Causal unless told otherwise: with `tq` queries and `tk` keys, query `i` sees the first `tk - tq + i + 1`
/// keys, so the keys may start with cached ones.
///
/// # Shapes
/// Queries and result are `[batch, tq, heads * head_dim]`, keys and values `[batch, tk, kv_heads * head_dim]`.
///
/// # Source
/// arXiv 1706.03762, equation 1; grouped heads arXiv 2305.13245; the backward pass recomputes probabilities
/// as in arXiv 2205.14135.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attention {
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    causal: bool,
}

impl Attention {
    /// Causal attention.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if a number is zero or `kv_heads` does not divide `heads`.
    pub fn new(heads: usize, kv_heads: usize, head_dim: usize) -> Result<Self> {
        let refuse = |name: &str, must, got: usize| {
            Err(Error::InvalidSetting { name: name.into(), must, got: got.to_string() })
        };
        if heads == 0 || head_dim == 0 {
            return refuse("attention heads and their size", "positive", 0);
        }
        if kv_heads == 0 || !heads.is_multiple_of(kv_heads) {
            return refuse("key-value heads", "a divisor of the query heads", kv_heads);
        }
        Ok(Attention { heads, kv_heads, head_dim, causal: true })
    }

    /// The same where every query sees every key.
    #[must_use]
    pub fn bidirectional(self) -> Self {
        Attention { causal: false, ..self }
    }

    /// Number of query heads.
    #[must_use]
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// Number of key-value heads.
    #[must_use]
    pub fn kv_heads(&self) -> usize {
        self.kv_heads
    }

    /// Size of each head.
    #[must_use]
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    /// Attention over `[batch, t, (heads + 2 kv_heads) * head_dim]`: queries, keys and values side by side.
    ///
    /// # Errors
    /// [`Error::InputShape`].
    pub fn packed(&self, qkv: &Tensor) -> Result<Tensor> {
        let width = (self.heads + 2 * self.kv_heads) * self.head_dim;
        let &[batch, t, last] = qkv.dims() else { return Err(misfit(qkv, "batch, t", width)) };
        if last != width {
            return Err(misfit(qkv, "batch, t", width));
        }
        let call = Call { sizes: self.sizes(t, t), batch, lengths: None };
        if is_host(qkv) {
            by_dtype!("attention", qkv, fused_packed::<T>(qkv, call))
        } else {
            let (q, kv) = (call.sizes.width(), call.sizes.kv_width());
            let part = |from, size| qkv.narrow(2, from, size);
            composed(&part(0, q)?, &part(q, kv)?, &part(q + kv, kv)?, &call)
        }
    }

    /// Attention of `q` over `k` and `v`.
    ///
    /// # Errors
    /// [`Error::InputShape`], also if causal attention has more queries than keys.
    pub fn forward(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
        self.apply(q, k, v, None)
    }

    /// The same where sample `i` has `lengths[i]` keys and the rest is padding. A query that sees no key gives
    /// zeros.
    ///
    /// # Errors
    /// As [`Attention::forward`]; [`Error::OutOfRange`] for a length above the number of keys.
    pub fn forward_padded(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        lengths: &[usize],
    ) -> Result<Tensor> {
        self.apply(q, k, v, Some(lengths.to_vec()))
    }

    fn apply(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        lengths: Option<Vec<usize>>,
    ) -> Result<Tensor> {
        let width = self.heads * self.head_dim;
        let kv_width = self.kv_heads * self.head_dim;
        let &[batch, tq, last] = q.dims() else { return Err(misfit(q, "batch, queries", width)) };
        if last != width {
            return Err(misfit(q, "batch, queries", width));
        }
        let rows = format!("{batch}, keys");
        let &[b, tk, last] = k.dims() else { return Err(misfit(k, &rows, kv_width)) };
        if b != batch || last != kv_width {
            return Err(misfit(k, &rows, kv_width));
        }
        if self.causal && tk < tq {
            return Err(misfit(k, &format!("{batch}, at least {tq} keys"), kv_width));
        }
        if v.dims() != k.dims() {
            return Err(misfit(v, &format!("{batch}, {tk}"), kv_width));
        }
        if let Some(lengths) = &lengths {
            if lengths.len() != batch {
                return Err(Error::InputShape {
                    layer: "attention".into(),
                    expected: format!("{batch} key lengths"),
                    got: vec![lengths.len()],
                });
            }
            if let Some((position, got)) = lengths.iter().enumerate().find(|(_, n)| tk < **n) {
                let got = i64::try_from(*got).unwrap_or(i64::MAX);
                return Err(Error::OutOfRange { what: "key length", got, position, limit: tk + 1 });
            }
        }
        let call = Call { sizes: self.sizes(tq, tk), batch, lengths };
        if is_host(q) {
            by_dtype!("attention", q, fused::<T>(q, k, v, call))
        } else {
            composed(q, k, v, &call)
        }
    }

    fn sizes(&self, queries: usize, keys: usize) -> Sizes {
        Sizes {
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            queries,
            keys,
            causal: self.causal,
        }
    }
}

fn misfit(x: &Tensor, rows: &str, width: usize) -> Error {
    Error::InputShape {
        layer: "attention".into(),
        expected: format!("[{rows}, {width}]"),
        got: x.dims().to_vec(),
    }
}

/// One application of attention.
struct Call {
    sizes: Sizes,
    batch: usize,
    lengths: Option<Vec<usize>>,
}

impl Call {
    fn valid(&self, sample: usize) -> usize {
        self.lengths.as_ref().map_or(self.sizes.keys, |lengths| lengths[sample])
    }

    fn output_shape(&self) -> (usize, usize, usize) {
        (self.batch, self.sizes.queries, self.sizes.width())
    }

    /// Queries, keys and values of one sample in a packed batch.
    fn of_packed<'a, T>(&self, qkv: &'a [T], sample: usize) -> Inputs<'a, T> {
        let s = &self.sizes;
        let stride = s.width() + 2 * s.kv_width();
        let data = &qkv[sample * s.queries * stride..(sample + 1) * s.queries * stride];
        let rows = |offset| Rows { data, offset, stride };
        let (k, v) = (s.width(), s.width() + s.kv_width());
        Inputs { q: rows(0), k: rows(k), v: rows(v), valid: self.valid(sample) }
    }

    /// The same of three batches.
    fn of_parts<'a, T>(&self, parts: [&'a [T]; 3], sample: usize) -> Inputs<'a, T> {
        let s = &self.sizes;
        let rows = |data: &'a [T], n: usize, stride: usize| Rows {
            data: &data[sample * n * stride..(sample + 1) * n * stride],
            offset: 0,
            stride,
        };
        let [q, k, v] = parts;
        Inputs {
            q: rows(q, s.queries, s.width()),
            k: rows(k, s.keys, s.kv_width()),
            v: rows(v, s.keys, s.kv_width()),
            valid: self.valid(sample),
        }
    }

    /// The result, and what the backward pass needs to make the probabilities again.
    fn run<'a, T: Real>(&self, inputs: impl Fn(usize) -> Inputs<'a, T> + Sync) -> (Vec<T>, Vec<T>) {
        let s = &self.sizes;
        let mut out = vec![T::default(); self.batch * s.queries * s.width()];
        let mut kept = vec![T::default(); self.batch * s.kept()];
        let tasks: Vec<_> = pieces_mut(&mut out, self.batch)
            .into_iter()
            .zip(pieces_mut(&mut kept, self.batch))
            .enumerate()
            .collect();
        for_tasks(tasks, Vec::new, |scratch, (i, (out, kept))| {
            forward(s, &inputs(i), out, kept, scratch);
        });
        (out, kept)
    }
}

fn fused_packed<T: Real>(qkv: &Tensor, call: Call) -> Result<Tensor> {
    let (out, kept) = {
        let host = Host::of(qkv)?;
        let view = host.view();
        let data = view.slice::<T>()?;
        call.run(|i| call.of_packed(data, i))
    };
    let input = qkv.detach();
    let value = Value::host(out, call.output_shape());
    let backward = move |grad: &Tensor| Ok([Some(packed_gradient(&call, &input, &kept, grad)?)]);
    Ok(node("attention", qkv, None, value, backward)?)
}

fn packed_gradient<T: Real>(
    call: &Call,
    qkv: &Tensor,
    kept: &[T],
    grad: &Tensor,
) -> Result<Tensor> {
    let (hosts, s) = ((Host::of(qkv)?, Host::of(grad)?), &call.sizes);
    let mut out = vec![T::default(); qkv.elem_count()];
    {
        let (vx, vg) = (hosts.0.view(), hosts.1.view());
        let (data, g) = (vx.slice::<T>()?, vg.slice::<T>()?);
        let (size, per) = (s.queries * s.width(), s.kept());
        let tasks: Vec<_> = pieces_mut(&mut out, call.batch).into_iter().enumerate().collect();
        for_tasks(tasks, Vec::new, |scratch, (i, to)| {
            let (kept, g) = (&kept[i * per..(i + 1) * per], &g[i * size..(i + 1) * size]);
            backward(s, &call.of_packed(data, i), kept, g, &mut Gradients::Packed(to), scratch);
        });
    }
    Ok(from_vec(out, qkv.shape())?)
}

fn fused<T: Real>(q: &Tensor, k: &Tensor, v: &Tensor, call: Call) -> Result<Tensor> {
    let (out, kept) = {
        let hosts = [Host::of(q)?, Host::of(k)?, Host::of(v)?];
        let views = [hosts[0].view(), hosts[1].view(), hosts[2].view()];
        let parts = [views[0].slice::<T>()?, views[1].slice::<T>()?, views[2].slice::<T>()?];
        call.run(|i| call.of_parts(parts, i))
    };
    let wanted = [q.track_op(), k.track_op(), v.track_op()];
    let inputs = [q.detach(), k.detach(), v.detach()];
    let value = Value::host(out, call.output_shape());
    let backward = move |grad: &Tensor| {
        let [q, k, v] = part_gradients(&call, &inputs, &kept, grad)?;
        let [wq, wk, wv] = wanted;
        Ok([wq.then_some(q), wk.then_some(k), wv.then_some(v)])
    };
    Ok(node3("attention", [q, k, v], value, backward)?)
}

fn part_gradients<T: Real>(
    call: &Call,
    inputs: &[Tensor; 3],
    kept: &[T],
    grad: &Tensor,
) -> Result<[Tensor; 3]> {
    let s = &call.sizes;
    let zeros = |x: &Tensor| vec![T::default(); x.elem_count()];
    let mut out = [zeros(&inputs[0]), zeros(&inputs[1]), zeros(&inputs[2])];
    {
        let hosts = [Host::of(&inputs[0])?, Host::of(&inputs[1])?, Host::of(&inputs[2])?];
        let views = [hosts[0].view(), hosts[1].view(), hosts[2].view()];
        let parts = [views[0].slice::<T>()?, views[1].slice::<T>()?, views[2].slice::<T>()?];
        let host = Host::of(grad)?;
        let view = host.view();
        let g = view.slice::<T>()?;
        let (size, per) = (s.queries * s.width(), s.kept());
        let [dq, dk, dv] = &mut out;
        let tasks: Vec<_> = pieces_mut(dq, call.batch)
            .into_iter()
            .zip(pieces_mut(dk, call.batch))
            .zip(pieces_mut(dv, call.batch))
            .enumerate()
            .collect();
        for_tasks(tasks, Vec::new, |scratch, (i, ((dq, dk), dv))| {
            let (kept, g) = (&kept[i * per..(i + 1) * per], &g[i * size..(i + 1) * size]);
            let mut to = Gradients::Apart([dq, dk, dv]);
            backward(s, &call.of_parts(parts, i), kept, g, &mut to, scratch);
        });
    }
    let [dq, dk, dv] = out;
    Ok([
        from_vec(dq, inputs[0].shape())?,
        from_vec(dk, inputs[1].shape())?,
        from_vec(dv, inputs[2].shape())?,
    ])
}

/// The same from candle's differentiable operations, for other devices and types.
fn composed(q: &Tensor, k: &Tensor, v: &Tensor, call: &Call) -> Result<Tensor> {
    let s = &call.sizes;
    let (batch, tq, tk, dim) = (call.batch, s.queries, s.keys, s.head_dim);
    let group = s.heads / s.kv_heads;
    let q = q.reshape((batch, tq, s.heads, dim))?.transpose(1, 2)?.contiguous()?;
    let spread = |x: &Tensor| {
        x.reshape((batch, tk, s.kv_heads, dim))?
            .transpose(1, 2)?
            .unsqueeze(2)?
            .broadcast_as((batch, s.kv_heads, group, tk, dim))?
            .contiguous()?
            .reshape((batch, s.heads, tk, dim))
    };
    let (k, v) = (spread(k)?, spread(v)?);
    let scores = (q.matmul(&k.transpose(2, 3)?.contiguous()?)? * (1.0 / (dim as f64).sqrt()))?;
    let scores = scores.to_dtype(if q.dtype() == DType::F64 { DType::F64 } else { DType::F32 })?;
    let mut mask = Vec::with_capacity(batch * tq * tk);
    for sample in 0..batch {
        for query in 0..tq {
            let seen = s.visible(query, call.valid(sample));
            mask.extend((0..tk).map(|key| if key < seen { 0f32 } else { -1e30 }));
        }
    }
    let mask = Tensor::from_vec(mask, (batch, 1, tq, tk), q.device())?.to_dtype(scores.dtype())?;
    let scores = scores.broadcast_add(&mask)?;
    let shift = scores.detach().max_keepdim(3)?;
    let exps = scores.broadcast_sub(&shift)?.exp()?;
    // A query that sees nothing has equal scores everywhere: they are taken out again.
    let seen = mask.ge(-1.0)?.to_dtype(exps.dtype())?;
    let probs = exps.broadcast_div(&exps.sum_keepdim(3)?)?.broadcast_mul(&seen)?;
    let out = probs.to_dtype(v.dtype())?.matmul(&v)?;
    Ok(out.transpose(1, 2)?.reshape((batch, tq, s.width()))?)
}

#[cfg(test)]
mod tests;
