//! Affine maps, with an activation fused behind them where there is one.

use candle_core::{Shape, Tensor};
use candle_nn::{Init, VarBuilder};
use tensor_tree::host::{Host, Real};

use super::lora::{Adapter, Low};
use super::{batch_positions_width, by_dtype, is_host, positive};
use crate::context::{Context, Leaf, tape_of};
use crate::error::{Error, Result};
use crate::graph::{Value, node};
use crate::kernel::activation::Activation;
use crate::kernel::for_pieces;
use crate::kernel::product::{Mat, MatMut, Threads, fresh_product, product};
use crate::param::Param;
use crate::record::Record;
use crate::tape::Tape;

/// `y = x w^T + b`.
///
/// # Shapes
/// `x` is `[batch, .., inputs]`, the result `[batch, .., outputs]`; `w` is `[outputs, inputs]`, `b` `[outputs]`.
///
/// With an [`Adapter`] the result is `x w^T + b + scale (x A^T) B^T`; see [`crate::lora`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linear {
    weight: Param,
    bias: Option<Param>,
    adapter: Option<Adapter>,
}

/// An affine map with weight and bias below `vb`, initialised as in candle-nn.
///
/// # Errors
/// [`Error::InvalidSetting`] for a width of zero; if `vb` has the parameters in another shape.
pub fn linear(inputs: usize, outputs: usize, vb: VarBuilder<'_>) -> Result<Linear> {
    positive("widths of a linear map", &[inputs, outputs])?;
    let bound = 1.0 / (inputs as f64).sqrt();
    let bias = Param::new(&vb, "bias", &[outputs], Init::Uniform { lo: -bound, up: bound })?;
    Ok(Linear { bias: Some(bias), ..linear_no_bias(inputs, outputs, vb)? })
}

/// A linear map with the weight below `vb`.
///
/// # Errors
/// As [`linear`].
pub fn linear_no_bias(inputs: usize, outputs: usize, vb: VarBuilder<'_>) -> Result<Linear> {
    positive("widths of a linear map", &[inputs, outputs])?;
    let init = candle_nn::init::DEFAULT_KAIMING_NORMAL;
    Ok(Linear::new(Param::new(&vb, "weight", &[outputs, inputs], init)?, None))
}

impl Linear {
    /// A linear map of the given parameters. Shapes that are none of a linear map are errors of each application.
    #[must_use]
    pub fn new(weight: Param, bias: Option<Param>) -> Self {
        Linear { weight, bias, adapter: None }
    }

    /// The weight, `[outputs, inputs]`.
    #[must_use]
    pub fn weight(&self) -> &Param {
        &self.weight
    }

    /// The bias, `[outputs]`.
    #[must_use]
    pub fn bias(&self) -> Option<&Param> {
        self.bias.as_ref()
    }

    /// The low-rank addition, if one was attached.
    #[must_use]
    pub fn adapter(&self) -> Option<&Adapter> {
        self.adapter.as_ref()
    }

    pub(crate) fn set_adapter(&mut self, adapter: Option<Adapter>) {
        self.adapter = adapter;
    }

    /// Whether something is added to the plain map.
    pub(crate) fn has_adapter(&self) -> bool {
        self.adapter.is_some()
    }

    /// Name of the layer: that of the weight without its last component.
    #[must_use]
    pub fn name(&self) -> &str {
        let name = self.weight.name();
        name.rsplit_once('.').map_or(name, |(layer, _)| layer)
    }

    /// Width of the input.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.weight.shape().get(1).copied().unwrap_or(0)
    }

    /// Width of the output.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.weight.shape().first().copied().unwrap_or(0)
    }

    /// Applies the map.
    ///
    /// # Errors
    /// If the input's width does not fit or a parameter is missing.
    pub fn forward(&self, cx: &Context<'_>, x: &Tensor) -> Result<Tensor> {
        self.forward_then(cx, x, Activation::Identity)
    }

    /// Applies the map and `activation` in one operation.
    ///
    /// # Errors
    /// As [`Linear::forward`].
    pub fn forward_then(
        &self,
        cx: &Context<'_>,
        x: &Tensor,
        activation: Activation,
    ) -> Result<Tensor> {
        let call = self.enter(cx, x, activation)?;
        if is_host(x) { by_dtype!("linear", x, fused::<T>(x, call)) } else { composed(x, call) }
    }

    /// Whether the parameters have the shapes of a linear map.
    pub(crate) fn check(&self) -> Result<()> {
        if self.weight.shape().len() != 2 || self.weight.shape().contains(&0) {
            return Err(Error::InvalidSetting {
                name: format!("shape of `{}`", self.weight.name()),
                must: "two positive sizes",
                got: format!("{:?}", self.weight.shape()),
            });
        }
        match self.bias.as_ref().filter(|b| b.shape() != [self.outputs()]) {
            None => Ok(()),
            Some(bias) => Err(Error::ParamShape {
                name: bias.name().into(),
                expected: vec![self.outputs()],
                got: bias.shape().to_vec(),
            }),
        }
    }

    /// The parameters for one application to `x`.
    fn enter(&self, cx: &Context<'_>, x: &Tensor, activation: Activation) -> Result<Call> {
        self.check()?;
        let (batch, positions) = batch_positions_width(self.weight.name(), x, self.inputs())?;
        let weight = cx.leaf(&self.weight)?;
        let bias = cx.optional(self.bias.as_ref())?;
        let low = match &self.adapter {
            Some(adapter) => Some(adapter.enter(cx, x, batch)?),
            None => None,
        };
        Ok(Call { weight, bias, low, batch, positions, activation })
    }
}

/// One application of a linear map.
struct Call {
    weight: Leaf,
    bias: Option<Leaf>,
    low: Option<Low>,
    batch: usize,
    positions: usize,
    activation: Activation,
}

impl Call {
    fn output_shape(&self, x: &Tensor) -> Shape {
        let mut dims = x.dims().to_vec();
        if let (Some(last), Some(out)) = (dims.last_mut(), self.weight.tensor.dims().first()) {
            *last = *out;
        }
        dims.into()
    }

    /// The tape, if the gradient of any parameter is wanted.
    fn tape(&self) -> Option<Tape> {
        let own = tape_of([Some(&self.weight), self.bias.as_ref()]);
        own.or_else(|| self.low.as_ref().and_then(Low::tape))
    }

    /// Puts what the backward pass found on the tape.
    fn record(&self, x: &Tensor, g: &Tensor) -> Result<()> {
        let Some(tape) = tape_of([Some(&self.weight), self.bias.as_ref()]) else { return Ok(()) };
        // Every axis is spelled out: candle infers none where there are no positions.
        let flat = |t: &Tensor, width| t.detach().reshape((self.batch, self.positions, width));
        let (p, d) = self.weight.tensor.dims2()?;
        let weight = self.weight.wanted();
        let x = if weight.is_some() { Some(flat(x, d)?) } else { None };
        let bias = self.bias.as_ref().and_then(Leaf::wanted);
        tape.push(Record::Linear { weight, bias, x, g: flat(g, p)?, scale: None })
    }
}

fn fused<T: Real>(x: &Tensor, call: Call) -> Result<Tensor> {
    let hosts = (Host::of(x)?, Host::of(&call.weight.tensor)?);
    let shape = call.output_shape(x);
    let rows = call.batch * call.positions;
    let (p, d) = (call.weight.tensor.dims()[0], call.weight.tensor.dims()[1]);
    let mut y = {
        let (vx, vw) = (hosts.0.view(), hosts.1.view());
        let lhs = Mat::new(vx.slice::<T>()?, rows, d);
        let rhs = Mat::new(vw.slice::<T>()?, p, d).t();
        match &call.bias {
            None => fresh_product(lhs, rhs, T::ONE, Threads::All),
            Some(bias) => {
                let host = Host::of(&bias.tensor)?;
                let view = host.view();
                let b = view.slice::<T>()?;
                let mut y = Vec::with_capacity(rows * p);
                (0..rows).for_each(|_| y.extend_from_slice(b));
                product(MatMut::new(&mut y, rows, p), true, lhs, rhs, T::ONE, Threads::All);
                y
            }
        }
    };
    let inner = match &call.low {
        Some(low) => Some(low.add_to(&mut y, rows)?),
        None => None,
    };
    let activation = call.activation;
    let tape = call.tape();
    if tape.is_none() && !x.track_op() {
        for_pieces(&mut y, 4096, |_, piece| activation.apply(piece));
        return Ok(Value::host(y, shape).plain()?);
    }
    // What the derivative needs: nothing, the value (known only once the node exists), or the argument.
    let argument = if activation.needs_only_output() { Vec::new() } else { y.clone() };
    for_pieces(&mut y, 4096, |_, piece| activation.apply(piece));
    let kept = match activation {
        Activation::Identity => Vec::new(),
        _ if activation.needs_only_output() => y.clone(),
        _ => argument,
    };
    let needs_input = x.track_op();
    let input = x.detach();
    let anchor = tape.as_ref().map(|t| t.anchor().clone());
    let backward = move |grad: &Tensor| {
        let g = if activation == Activation::Identity {
            grad.contiguous()?
        } else {
            chained::<T>(grad, kept, activation)?
        };
        call.record(&input, &g)?;
        let low = call.low.as_ref().zip(inner.as_ref());
        let low = low.map(|(low, inner)| low.record::<T>(inner, &g, call.batch)).transpose()?;
        if !needs_input {
            return Ok([None]);
        }
        let mut dx = input_gradient_vec::<T>(&g, &call.weight.tensor, rows)?;
        if let Some((low, inner_grad)) = call.low.as_ref().zip(low) {
            low.add_input_gradient(&mut dx, &inner_grad, rows)?;
        }
        let dx = tensor_tree::host::from_vec(dx, input.shape()).map_err(Error::from)?;
        Ok([Some(dx)])
    };
    Ok(node("linear", x, anchor.as_ref(), Value::host(y, shape), backward)?)
}

/// `grad` times the derivative of the activation, in the place of what was kept for the derivative.
fn chained<T: Real>(grad: &Tensor, mut kept: Vec<T>, activation: Activation) -> Result<Tensor> {
    const PIECE: usize = 1024;
    let host = Host::of(grad)?;
    let view = host.view();
    let g = view.slice::<T>()?;
    for_pieces(&mut kept, PIECE, |i, kept| {
        let mut piece = [T::default(); PIECE];
        let piece = &mut piece[..kept.len()];
        piece.copy_from_slice(&g[i * PIECE..i * PIECE + kept.len()]);
        activation.chain(piece, kept);
        kept.copy_from_slice(piece);
    });
    Ok(tensor_tree::host::from_vec(kept, grad.shape())?)
}

/// `g w`: the gradient of the input of a linear map.
fn input_gradient_vec<T: Real>(g: &Tensor, weight: &Tensor, rows: usize) -> Result<Vec<T>> {
    let (hg, hw) = (Host::of(g)?, Host::of(weight)?);
    let (vg, vw) = (hg.view(), hw.view());
    let (p, d) = (weight.dims()[0], weight.dims()[1]);
    let (g, w) = (vg.slice::<T>()?, vw.slice::<T>()?);
    Ok(fresh_product(Mat::new(g, rows, p), Mat::new(w, p, d), T::ONE, Threads::All))
}

/// `dx = keep * dx + g w`.
pub(in crate::layer) fn add_input_gradient<T: Real>(
    dx: &mut [T],
    keep: bool,
    g: &Tensor,
    weight: &Tensor,
    rows: usize,
) -> Result<()> {
    let (hg, hw) = (Host::of(g)?, Host::of(weight)?);
    let (vg, vw) = (hg.view(), hw.view());
    let (p, d) = (weight.dims()[0], weight.dims()[1]);
    product(
        MatMut::new(dx, rows, d),
        keep,
        Mat::new(vg.slice::<T>()?, rows, p),
        Mat::new(vw.slice::<T>()?, p, d),
        T::ONE,
        Threads::All,
    );
    Ok(())
}

/// The same from candle's operations, for other devices and types.
fn composed(x: &Tensor, call: Call) -> Result<Tensor> {
    let rows = call.batch * call.positions;
    let shape = call.output_shape(x);
    let (p, d) = call.weight.tensor.dims2()?;
    let flat = x.detach().reshape((rows, d))?;
    let mut y = flat.matmul(&call.weight.tensor.t()?)?;
    if let Some(bias) = &call.bias {
        y = y.broadcast_add(&bias.tensor)?;
    }
    let inner = match &call.low {
        Some(low) => {
            let (inner, addition) = low.composed()?;
            y = (y + addition)?;
            Some(inner)
        }
        None => None,
    };
    let y = y.reshape(shape)?;
    let needs_input = x.track_op();
    let activation = call.activation;
    let tape = call.tape();
    let anchor = tape.as_ref().map(|t| t.anchor().clone());
    let backward = move |grad: &Tensor| {
        call.record(&flat, grad)?;
        let g = grad.reshape((rows, p))?;
        let low = call.low.as_ref().zip(inner.as_ref());
        let low = low.map(|(low, inner)| low.record_composed(inner, &g, call.batch)).transpose()?;
        if !needs_input {
            return Ok([None]);
        }
        let mut dx = g.matmul(&call.weight.tensor)?;
        if let Some((low, inner_grad)) = call.low.as_ref().zip(low) {
            dx = (dx + low.input_gradient_composed(&inner_grad)?)?;
        }
        let mut dims = grad.dims().to_vec();
        if let Some(last) = dims.last_mut() {
            *last = d;
        }
        Ok([Some(dx.reshape(dims)?)])
    };
    let y = node("linear", x, anchor.as_ref(), Value::tensor(y)?, backward)?;
    compose_activation(&y, activation)
}

pub(crate) fn compose_activation(x: &Tensor, activation: Activation) -> Result<Tensor> {
    Ok(match activation {
        Activation::Identity => x.clone(),
        Activation::Relu => x.relu()?,
        Activation::Tanh => x.tanh()?,
        // Not x / (1 + exp(-x)): where the exponential overflows, the gradient of that is NaN.
        Activation::Silu => x.silu()?,
        Activation::GeluTanh => {
            let inner = ((x + (x.powf(3.0)? * 0.044_715)?)? * 0.797_884_560_802_865_4)?;
            ((inner.tanh()? + 1.0)? * (x * 0.5)?)?
        }
        Activation::GeluErf => x.gelu_erf()?,
    })
}

#[cfg(test)]
mod tests;
