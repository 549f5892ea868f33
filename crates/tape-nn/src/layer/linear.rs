//! Affine maps, with an activation fused behind them where there is one.

use candle_core::{Shape, Tensor};
use candle_nn::{Init, VarBuilder};
use tensor_tree::host::{Host, Real};

use super::{batch_positions_width, by_dtype, is_host};
use crate::context::{Context, Leaf, tape_of};
use crate::error::Result;
use crate::graph::{Value, node};
use crate::kernel::activation::Activation;
use crate::kernel::for_pieces;
use crate::kernel::product::{Mat, MatMut, Threads, product};
use crate::param::Param;
use crate::record::Record;

/// `y = x w^T + b`.
///
/// # Shapes
/// `x` is `[batch, .., inputs]`, the result `[batch, .., outputs]`; `w` is `[outputs, inputs]`, `b` `[outputs]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linear {
    weight: Param,
    bias: Option<Param>,
}

/// An affine map with weight and bias below `vb`, initialised as in candle-nn.
///
/// # Errors
/// If `vb` has the parameters in another shape.
pub fn linear(inputs: usize, outputs: usize, vb: VarBuilder<'_>) -> Result<Linear> {
    let bound = 1.0 / (inputs as f64).sqrt();
    let bias = Param::new(&vb, "bias", &[outputs], Init::Uniform { lo: -bound, up: bound })?;
    Ok(Linear { bias: Some(bias), ..linear_no_bias(inputs, outputs, vb)? })
}

/// A linear map with the weight below `vb`.
///
/// # Errors
/// If `vb` has the parameter in another shape.
pub fn linear_no_bias(inputs: usize, outputs: usize, vb: VarBuilder<'_>) -> Result<Linear> {
    let init = candle_nn::init::DEFAULT_KAIMING_NORMAL;
    Ok(Linear { weight: Param::new(&vb, "weight", &[outputs, inputs], init)?, bias: None })
}

impl Linear {
    /// A linear map of the given parameters.
    #[must_use]
    pub fn new(weight: Param, bias: Option<Param>) -> Self {
        Linear { weight, bias }
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

    /// Whether something is added to the plain map.
    pub(crate) fn has_adapter(&self) -> bool {
        false
    }

    /// Width of the input.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.weight.shape()[1]
    }

    /// Width of the output.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.weight.shape()[0]
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
        let (batch, positions) = batch_positions_width(self.weight.name(), x, self.inputs())?;
        let weight = cx.leaf(&self.weight)?;
        let bias = cx.optional(self.bias.as_ref())?;
        let call = Call { weight, bias, batch, positions, activation };
        if is_host(x) { by_dtype!("linear", x, fused::<T>(x, call)) } else { composed(x, call) }
    }
}

/// One application of a linear map.
struct Call {
    weight: Leaf,
    bias: Option<Leaf>,
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

    /// Puts what the backward pass found on the tape.
    fn record(&self, x: &Tensor, g: &Tensor) -> Result<()> {
        let Some(tape) = tape_of([Some(&self.weight), self.bias.as_ref()]) else { return Ok(()) };
        let flat = |t: &Tensor| t.reshape((self.batch, self.positions, ()));
        let weight = self.weight.wanted();
        let x = if weight.is_some() { Some(flat(&x.detach())?) } else { None };
        let bias = self.bias.as_ref().and_then(Leaf::wanted);
        tape.push(Record::Linear { weight, bias, x, g: flat(&g.detach())?, scale: None })
    }
}

fn fused<T: Real>(x: &Tensor, call: Call) -> Result<Tensor> {
    let hosts = (Host::of(x)?, Host::of(&call.weight.tensor)?);
    let shape = call.output_shape(x);
    let rows = call.batch * call.positions;
    let (p, d) = (call.weight.tensor.dims()[0], call.weight.tensor.dims()[1]);
    let mut y = vec![T::default(); rows * p];
    {
        let (vx, vw) = (hosts.0.view(), hosts.1.view());
        if let Some(bias) = &call.bias {
            let host = Host::of(&bias.tensor)?;
            let view = host.view();
            let b = view.slice::<T>()?;
            for_pieces(&mut y, p * 64, |_, piece| {
                piece.chunks_exact_mut(p).for_each(|row| row.copy_from_slice(b));
            });
        }
        product(
            MatMut::new(&mut y, rows, p),
            call.bias.is_some(),
            Mat::new(vx.slice::<T>()?, rows, d),
            Mat::new(vw.slice::<T>()?, p, d).t(),
            T::ONE,
            Threads::All,
        );
    }
    let activation = call.activation;
    let tape = tape_of([Some(&call.weight), call.bias.as_ref()]);
    if tape.is_none() && !x.track_op() {
        for_pieces(&mut y, 4096, |_, piece| activation.apply(piece));
        return Ok(Value::host(y, shape).plain()?);
    }
    // What the derivative needs: nothing, the value (known only once the node exists), or the argument.
    let argument = if activation.from_output() { Vec::new() } else { y.clone() };
    for_pieces(&mut y, 4096, |_, piece| activation.apply(piece));
    let kept = match activation {
        Activation::Identity => Vec::new(),
        _ if activation.from_output() => y.clone(),
        _ => argument,
    };
    let needs_input = x.track_op();
    let input = x.detach();
    let anchor = tape.as_ref().map(|t| t.anchor().clone());
    let backward = move |grad: &Tensor| {
        let g = if activation == Activation::Identity {
            grad.contiguous()?
        } else {
            chained::<T>(grad, &kept, activation)?
        };
        call.record(&input, &g)?;
        if !needs_input {
            return Ok([None]);
        }
        let dx = input_gradient::<T>(&g, &call.weight.tensor, rows)?;
        Ok([Some(dx.reshape(input.shape())?)])
    };
    Ok(node("linear", x, anchor.as_ref(), Value::host(y, shape), backward)?)
}

/// `grad` times the derivative of the activation.
fn chained<T: Real>(grad: &Tensor, kept: &[T], activation: Activation) -> Result<Tensor> {
    let host = Host::of(grad)?;
    let view = host.view();
    let mut g = view.slice::<T>()?.to_vec();
    for_pieces(&mut g, 4096, |i, piece| {
        activation.chain(piece, &kept[i * 4096..i * 4096 + piece.len()]);
    });
    Ok(tensor_tree::host::from_vec(g, grad.shape())?)
}

/// `g w`: the gradient of the input of a linear map.
pub(crate) fn input_gradient<T: Real>(g: &Tensor, weight: &Tensor, rows: usize) -> Result<Tensor> {
    let (hg, hw) = (Host::of(g)?, Host::of(weight)?);
    let (vg, vw) = (hg.view(), hw.view());
    let (p, d) = (weight.dims()[0], weight.dims()[1]);
    let mut dx = vec![T::default(); rows * d];
    product(
        MatMut::new(&mut dx, rows, d),
        false,
        Mat::new(vg.slice::<T>()?, rows, p),
        Mat::new(vw.slice::<T>()?, p, d),
        T::ONE,
        Threads::All,
    );
    Ok(tensor_tree::host::from_vec(dx, (rows, d))?)
}

/// The same from candle's operations, for other devices and types.
fn composed(x: &Tensor, call: Call) -> Result<Tensor> {
    let rows = call.batch * call.positions;
    let shape = call.output_shape(x);
    let flat = x.detach().reshape((rows, ()))?;
    let mut y = flat.matmul(&call.weight.tensor.t()?)?;
    if let Some(bias) = &call.bias {
        y = y.broadcast_add(&bias.tensor)?;
    }
    let y = y.reshape(shape)?;
    let needs_input = x.track_op();
    let activation = call.activation;
    let tape = tape_of([Some(&call.weight), call.bias.as_ref()]);
    let anchor = tape.as_ref().map(|t| t.anchor().clone());
    let backward = move |grad: &Tensor| {
        call.record(&flat, grad)?;
        if !needs_input {
            return Ok([None]);
        }
        let g = grad.reshape((rows, ()))?;
        let dx = g.matmul(&call.weight.tensor)?;
        let mut dims = grad.dims().to_vec();
        if let Some(last) = dims.last_mut() {
            *last = flat.dims()[1];
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
        Activation::Silu => (x / (x.neg()?.exp()? + 1.0)?)?,
        Activation::GeluTanh => {
            let inner = ((x + (x.powf(3.0)? * 0.044_715)?)? * 0.797_884_560_802_865_4)?;
            ((inner.tanh()? + 1.0)? * (x * 0.5)?)?
        }
        Activation::GeluErf => x.gelu_erf()?,
    })
}
