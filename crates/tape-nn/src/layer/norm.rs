//! Layer normalisation with and without centering.

use candle_core::{D, DType, Tensor};
use candle_nn::{Init, VarBuilder};
use tensor_tree::host::{Host, Real, from_vec};

use super::{batch_positions_width, by_dtype, is_host};
use crate::context::{Context, Leaf, tape_of};
use crate::error::{Error, Result};
use crate::graph::{Value, node};
use crate::kernel::norm::{normalize, normalize_backward};
use crate::kernel::{for_tasks, pieces_mut};
use crate::param::Param;
use crate::record::Record;

/// `y = w (x - mean) / sqrt(variance + eps) + b` over the last axis.
///
/// # Shapes
/// `x` is `[batch, .., size]`, the result has its shape; `w` and `b` are `[size]`.
///
/// # Source
/// arXiv 1607.06450, equation 4, with `eps` as in every implementation.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerNorm {
    weight: Param,
    bias: Option<Param>,
    eps: f64,
}

/// `y = w x / sqrt(mean(x^2) + eps)` over the last axis.
///
/// # Shapes
/// `x` is `[batch, .., size]`, the result has its shape; `w` is `[size]`.
///
/// # Source
/// arXiv 1910.07467, equation 4, with `eps` as in Llama.
#[derive(Clone, Debug, PartialEq)]
pub struct RmsNorm {
    weight: Param,
    eps: f64,
}

/// A layer normalisation with `weight` (ones) and `bias` (zeros) below `vb`.
///
/// # Errors
/// If `eps` is negative or not finite, or `vb` has the parameters in another shape.
pub fn layer_norm(size: usize, eps: f64, vb: VarBuilder<'_>) -> Result<LayerNorm> {
    let bias = Param::new(&vb, "bias", &[size], Init::Const(0.0))?;
    Ok(LayerNorm { bias: Some(bias), ..layer_norm_no_bias(size, eps, vb)? })
}

/// The same without bias.
///
/// # Errors
/// As [`layer_norm`].
pub fn layer_norm_no_bias(size: usize, eps: f64, vb: VarBuilder<'_>) -> Result<LayerNorm> {
    LayerNorm::new(Param::new(&vb, "weight", &[size], Init::Const(1.0))?, None, eps)
}

/// A root-mean-square normalisation with `weight` (ones) below `vb`.
///
/// # Errors
/// As [`layer_norm`].
pub fn rms_norm(size: usize, eps: f64, vb: VarBuilder<'_>) -> Result<RmsNorm> {
    RmsNorm::new(Param::new(&vb, "weight", &[size], Init::Const(1.0))?, eps)
}

impl LayerNorm {
    /// A layer normalisation of the given parameters.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if `eps` is negative or not finite, or the weight is no vector.
    pub fn new(weight: Param, bias: Option<Param>, eps: f64) -> Result<Self> {
        checked(&weight, eps)?;
        Ok(LayerNorm { weight, bias, eps })
    }

    /// Normalises each row.
    ///
    /// # Errors
    /// If the input's width does not fit or a parameter is missing.
    pub fn forward(&self, cx: &Context<'_>, x: &Tensor) -> Result<Tensor> {
        let call = Call::new(cx, x, &self.weight, self.bias.as_ref(), self.eps, true)?;
        call.forward(x)
    }
}

impl RmsNorm {
    /// A root-mean-square normalisation of the given parameter.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if `eps` is negative or not finite, or the weight is no vector.
    pub fn new(weight: Param, eps: f64) -> Result<Self> {
        checked(&weight, eps)?;
        Ok(RmsNorm { weight, eps })
    }

    /// Normalises each row.
    ///
    /// # Errors
    /// If the input's width does not fit or a parameter is missing.
    pub fn forward(&self, cx: &Context<'_>, x: &Tensor) -> Result<Tensor> {
        let call = Call::new(cx, x, &self.weight, None, self.eps, false)?;
        call.forward(x)
    }
}

fn checked(weight: &Param, eps: f64) -> Result<()> {
    let refuse =
        |name: &str, must, got| Err(Error::InvalidSetting { name: name.into(), must, got });
    if !eps.is_finite() || eps < 0.0 {
        return refuse("norm epsilon", "finite and not negative", eps.to_string());
    }
    match weight.shape() {
        [size] if 0 < *size => Ok(()),
        other => refuse("shape of a norm's weight", "one positive size", format!("{other:?}")),
    }
}

/// One application of a norm.
struct Call {
    weight: Leaf,
    bias: Option<Leaf>,
    batch: usize,
    positions: usize,
    width: usize,
    eps: f64,
    centered: bool,
}

impl Call {
    fn new(
        cx: &Context<'_>,
        x: &Tensor,
        weight: &Param,
        bias: Option<&Param>,
        eps: f64,
        centered: bool,
    ) -> Result<Call> {
        let width = weight.shape().first().copied().unwrap_or(0);
        let (batch, positions) = batch_positions_width(weight.name(), x, width)?;
        let (weight, bias) = (cx.leaf(weight)?, cx.optional(bias)?);
        Ok(Call { weight, bias, batch, positions, width, eps, centered })
    }

    fn forward(self, x: &Tensor) -> Result<Tensor> {
        if is_host(x) { by_dtype!("norm", x, fused::<T>(x, self)) } else { composed(x, self) }
    }

    fn anchor(&self) -> Option<Tensor> {
        tape_of([Some(&self.weight), self.bias.as_ref()]).map(|tape| tape.anchor().clone())
    }

    /// Per-sample gradients `[batch, width]` onto the tape.
    fn record(&self, leaf: &Leaf, grads: Tensor) -> Result<()> {
        match &leaf.tape {
            Some(tape) => tape.push(Record::Kept { name: leaf.name.clone(), grads }),
            None => Ok(()),
        }
    }
}

fn fused<T: Real>(x: &Tensor, call: Call) -> Result<Tensor> {
    let batch = call.batch;
    let mut y = vec![T::default(); x.elem_count()];
    let mut stats = vec![T::default(); 2 * batch * call.positions];
    {
        let (hx, hw) = (Host::of(x)?, Host::of(&call.weight.tensor)?);
        let hb = call.bias.as_ref().map(|b| Host::of(&b.tensor)).transpose()?;
        let (vx, vw, vb) = (hx.view(), hw.view(), hb.as_ref().map(Host::view));
        let (xs, ws) = (vx.slice::<T>()?, vw.slice::<T>()?);
        let bs = vb.as_ref().map(|v| v.slice::<T>()).transpose()?.unwrap_or(&[]);
        let tasks: Vec<_> = pieces_mut(&mut y, batch)
            .into_iter()
            .zip(pieces_mut(&mut stats, batch))
            .enumerate()
            .collect();
        for_tasks(
            tasks,
            || (),
            |(), (i, (y, stats))| {
                let x = &xs[i * y.len()..(i + 1) * y.len()];
                normalize(y, stats, x, ws, bs, T::of(call.eps), call.centered);
            },
        );
    }
    let anchor = call.anchor();
    let value = Value::host(y, x.shape());
    if anchor.is_none() && !x.track_op() {
        return Ok(value.plain()?);
    }
    let (needs_input, input) = (x.track_op(), x.detach());
    let backward = move |grad: &Tensor| Ok([gradients(&call, &input, &stats, grad, needs_input)?]);
    Ok(node("norm", x, anchor.as_ref(), value, backward)?)
}

/// The input gradient; per-sample parameter gradients go to the tape. One pass over input and gradient.
fn gradients<T: Real>(
    call: &Call,
    input: &Tensor,
    stats: &[T],
    grad: &Tensor,
    needs_input: bool,
) -> Result<Option<Tensor>> {
    let (batch, width) = (call.batch, call.width);
    let bias = call.bias.as_ref().filter(|b| b.tape.is_some());
    let zeros = |wanted: bool, n: usize| vec![T::default(); if wanted { n } else { 0 }];
    let mut dx = zeros(needs_input, input.elem_count());
    let mut dw = zeros(call.weight.tape.is_some(), batch * width);
    let mut db = zeros(bias.is_some(), batch * width);
    {
        let (hx, hw, hg) = (Host::of(input)?, Host::of(&call.weight.tensor)?, Host::of(grad)?);
        let (vx, vw, vg) = (hx.view(), hw.view(), hg.view());
        let (xs, ws, gs) = (vx.slice::<T>()?, vw.slice::<T>()?, vg.slice::<T>()?);
        let tasks: Vec<_> = pieces_mut(&mut dx, batch)
            .into_iter()
            .zip(pieces_mut(&mut dw, batch))
            .zip(pieces_mut(&mut db, batch))
            .enumerate()
            .collect();
        let (size, per) = (call.positions * width, 2 * call.positions);
        for_tasks(
            tasks,
            || (),
            |(), (i, ((dx, dw), db))| {
                let (g, x) = (&gs[i * size..(i + 1) * size], &xs[i * size..(i + 1) * size]);
                let stats = &stats[i * per..(i + 1) * per];
                normalize_backward(dx, dw, db, g, x, ws, stats, call.centered);
            },
        );
    }
    if call.weight.tape.is_some() {
        call.record(&call.weight, from_vec(dw, (batch, width))?)?;
    }
    if let Some(bias) = bias {
        call.record(bias, from_vec(db, (batch, width))?)?;
    }
    Ok(if needs_input { Some(from_vec(dx, input.shape())?) } else { None })
}

/// The same from candle's differentiable operations, for other devices and types; only the scale records.
fn composed(x: &Tensor, call: Call) -> Result<Tensor> {
    let dtype = if x.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
    let wide = x.to_dtype(dtype)?;
    let centered =
        if call.centered { wide.broadcast_sub(&wide.mean_keepdim(D::Minus1)?)? } else { wide };
    let std = (centered.sqr()?.mean_keepdim(D::Minus1)? + call.eps)?.sqrt()?;
    let normed = centered.broadcast_div(&std)?;
    let weight = call.weight.tensor.to_dtype(dtype)?;
    let mut y = normed.detach().broadcast_mul(&weight)?;
    if let Some(bias) = &call.bias {
        y = y.broadcast_add(&bias.tensor.to_dtype(dtype)?)?;
    }
    let (kept, needs_input, anchor) = (normed.detach(), normed.track_op(), call.anchor());
    let backward = move |grad: &Tensor| {
        let shape = (call.batch, call.positions, call.width);
        let per_sample = |g: Tensor| g.reshape(shape)?.sum(1);
        if call.weight.tape.is_some() {
            call.record(&call.weight, per_sample((grad * &kept)?)?)?;
        }
        if let Some(bias) = call.bias.as_ref().filter(|b| b.tape.is_some()) {
            call.record(bias, per_sample(grad.clone())?)?;
        }
        Ok([if needs_input { Some(grad.broadcast_mul(&weight)?) } else { None }])
    };
    let y = node("norm", &normed, anchor.as_ref(), Value::tensor(y)?, backward)?;
    Ok(y.to_dtype(x.dtype())?)
}

#[cfg(test)]
mod tests;
