//! The convolution from candle's operations, for other devices and types.

use candle_core::{Tensor, Var};

use crate::context::{Leaf, tape_of};
use crate::error::Result;
use crate::graph::{Value, node};
use crate::kernel::activation::Activation;
use crate::kernel::conv::Geometry;
use crate::layer::linear::compose_activation;
use crate::record::{Record, wide};

pub(super) fn forward(
    x: &Tensor,
    geo: Geometry,
    dims: Vec<usize>,
    weight: Leaf,
    bias: Option<Leaf>,
    activation: Activation,
) -> Result<Tensor> {
    let unfolded = unfold(&x.detach(), &geo)?;
    let mut y = apply(&unfolded, &weight.tensor, &geo)?;
    if let Some(bias) = &bias {
        y = y.broadcast_add(&bias.tensor)?;
    }
    let value = Value::tensor(y.reshape(dims)?)?;
    let needs_input = x.track_op();
    let input = x.detach();
    let tape = tape_of([Some(&weight), bias.as_ref()]);
    let anchor = tape.as_ref().map(|t| t.anchor().clone());
    let backward = move |grad: &Tensor| {
        let g = grad.detach().reshape((grad.dims()[0], geo.positions(), geo.outputs))?;
        record(&wide(unfolded)?, &wide(g.clone())?, &geo, &weight, bias.as_ref())?;
        if !needs_input {
            return Ok([None]);
        }
        // Unfolding is linear: its own backward pass folds the gradient of the unfolded input.
        let x = Var::from_tensor(&input)?;
        let pulled = (unfold(&x, &geo)? * pull(&g, &weight.tensor, &geo)?)?.sum_all()?;
        Ok([pulled.backward()?.remove(&x)])
    };
    let y = node("conv", x, anchor.as_ref(), value, backward)?;
    compose_activation(&y, activation)
}

/// `[batch, positions, (channel, tap)]` of a channels-last input: the order of the weight.
pub(super) fn unfold(x: &Tensor, geo: &Geometry) -> Result<Tensor> {
    let n = x.dims()[0];
    let [h, w] = geo.input;
    let padded = x
        .reshape((n, h, w, geo.inputs))?
        .pad_with_zeros(1, geo.padding[0], geo.padding[0])?
        .pad_with_zeros(2, geo.padding[1], geo.padding[1])?;
    let places = |axis: usize, k: usize| {
        let at = |o| (o * geo.stride[axis] + k * geo.dilation[axis]) as i64;
        let places: Vec<i64> = (0..geo.output[axis]).map(at).collect();
        Tensor::from_vec(places, geo.output[axis], x.device())
    };
    let mut taps = Vec::with_capacity(geo.taps());
    for ky in 0..geo.kernel[0] {
        let rows = padded.index_select(&places(0, ky)?, 1)?;
        for kx in 0..geo.kernel[1] {
            taps.push(rows.index_select(&places(1, kx)?, 2)?);
        }
    }
    Ok(Tensor::stack(&taps, 4)?.reshape((n, geo.positions(), geo.columns()))?)
}

/// Columns of the unfolded input, or of the output, that belong to `group`.
fn group_of(t: &Tensor, group: usize, geo: &Geometry) -> Result<Tensor> {
    let width = t.dims()[2] / geo.groups;
    Ok(t.narrow(2, group * width, width)?.contiguous()?)
}

fn weight_of(weight: &Tensor, group: usize, geo: &Geometry) -> Result<Tensor> {
    let outputs = geo.outputs / geo.groups;
    Ok(weight.reshape((geo.outputs, geo.depth()))?.narrow(0, group * outputs, outputs)?)
}

fn apply(unfolded: &Tensor, weight: &Tensor, geo: &Geometry) -> Result<Tensor> {
    let parts = (0..geo.groups)
        .map(|k| {
            let w = weight_of(weight, k, geo)?.t()?;
            Ok(group_of(unfolded, k, geo)?.broadcast_matmul(&w)?)
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Tensor::cat(&parts, 2)?)
}

fn pull(g: &Tensor, weight: &Tensor, geo: &Geometry) -> Result<Tensor> {
    let parts = (0..geo.groups)
        .map(|k| Ok(group_of(g, k, geo)?.broadcast_matmul(&weight_of(weight, k, geo)?)?))
        .collect::<Result<Vec<_>>>()?;
    Ok(Tensor::cat(&parts, 2)?)
}

fn record(
    unfolded: &Tensor,
    g: &Tensor,
    geo: &Geometry,
    weight: &Leaf,
    bias: Option<&Leaf>,
) -> Result<()> {
    if let (Some(name), Some(tape)) = (weight.wanted(), &weight.tape) {
        let parts = (0..geo.groups)
            .map(|k| {
                let g = group_of(g, k, geo)?.transpose(1, 2)?.contiguous()?;
                Ok(g.matmul(&group_of(unfolded, k, geo)?)?)
            })
            .collect::<Result<Vec<_>>>()?;
        let mut dims = vec![g.dims()[0]];
        dims.extend(weight.tensor.dims());
        let grads = Tensor::cat(&parts, 1)?.reshape(dims)?;
        tape.push(Record::Kept { name, grads })?;
    }
    if let Some((name, tape)) = bias.and_then(|b| b.wanted().zip(b.tape.as_ref())) {
        tape.push(Record::Kept { name, grads: g.sum(1)? })?;
    }
    Ok(())
}
