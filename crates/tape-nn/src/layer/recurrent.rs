//! Recurrent layers: LSTM and GRU over whole sequences, differentiated back through time in one node.

use candle_core::Tensor;
use candle_nn::{Init, VarBuilder};

use super::linear::Linear;
use super::positive;
use crate::context::{Context, Leaf, tape_of};
use crate::error::{Error, Result};
use crate::graph::{Value, node};
use crate::param::Param;
use crate::record::{Record, wide};

mod cell;

use cell::{Cell, Gated};

/// Which way a recurrent layer reads a sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// From the first position: the result at `t` has seen `0..=t`.
    #[default]
    Forward,
    /// From the last position: the result at `t` has seen `t..`. Padding at the end is read first.
    Backward,
}

/// Settings of a recurrent layer. Names of parameters are those of candle-nn and PyTorch: `weight_ih_l0`,
/// `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, with the number of the layer, and `_reverse` at the end for one that reads backwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecurrentConfig {
    /// Whether the maps of input and state have biases.
    pub bias: bool,
    /// Number in the names of parameters.
    pub layer: usize,
    /// Which way the layer reads.
    pub direction: Direction,
}

impl Default for RecurrentConfig {
    fn default() -> Self {
        RecurrentConfig { bias: true, layer: 0, direction: Direction::Forward }
    }
}

/// Long short-term memory. From state `h` and memory `c` at the position before, zero at first:
///
/// ```text
/// i, f, g, o = x W_ih^T + b_ih + h W_hh^T + b_hh
/// c <- sigmoid(f) c + sigmoid(i) tanh(g),   h <- sigmoid(o) tanh(c)
/// ```
///
/// # Shapes
/// `x` is `[batch, positions, inputs]`, the result `[batch, positions, hidden]`: the state `h` after each position.
/// `W_ih` is `[4 hidden, inputs]`, `W_hh` `[4 hidden, hidden]`, in the order `i, f, g, o`.
///
/// Per sample the gradient of `W_hh` is a sum over positions like that of a linear map, and its norm has the same forms.
///
/// # Source
/// Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lstm(Recurrent);

/// Gated recurrent unit. From the state `h` at the position before, zero at first:
///
/// ```text
/// r, u = sigmoid of the first two parts of x W_ih^T + b_ih + h W_hh^T + b_hh
/// n = tanh(third part of (x W_ih^T + b_ih) + r third part of (h W_hh^T + b_hh))
/// h <- (1 - u) n + u h
/// ```
///
/// # Shapes
/// `x` is `[batch, positions, inputs]`, the result `[batch, positions, hidden]`. `W_ih` is `[3 hidden, inputs]`, `W_hh`
/// `[3 hidden, hidden]`, in the order `r, u, n`.
///
/// # Source
/// arXiv 1406.1078, in the form of PyTorch and candle-nn (the reset gate behind the map of the state).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gru(Recurrent);

/// An LSTM with parameters below `vb`, initialised as in candle-nn.
///
/// # Errors
/// [`Error::InvalidSetting`] for a size of zero; if `vb` has the parameters in another shape.
pub fn lstm(
    inputs: usize,
    hidden: usize,
    config: RecurrentConfig,
    vb: VarBuilder<'_>,
) -> Result<Lstm> {
    Ok(Lstm(Recurrent::build(Cell::Lstm, inputs, hidden, config, &vb)?))
}

/// A GRU with parameters below `vb`, initialised as in candle-nn.
///
/// # Errors
/// As [`lstm`].
pub fn gru(
    inputs: usize,
    hidden: usize,
    config: RecurrentConfig,
    vb: VarBuilder<'_>,
) -> Result<Gru> {
    Ok(Gru(Recurrent::build(Cell::Gru, inputs, hidden, config, &vb)?))
}

impl Lstm {
    /// The state after each position.
    ///
    /// # Errors
    /// [`Error::InputShape`] unless `x` is `[batch, positions, inputs]` with a position at least; if a parameter is missing.
    pub fn forward(&self, cx: &Context<'_>, x: &Tensor) -> Result<Tensor> {
        self.0.forward(cx, x)
    }

    /// Size of the state.
    #[must_use]
    pub fn hidden(&self) -> usize {
        self.0.hidden
    }
}

impl Gru {
    /// The state after each position.
    ///
    /// # Errors
    /// As [`Lstm::forward`].
    pub fn forward(&self, cx: &Context<'_>, x: &Tensor) -> Result<Tensor> {
        self.0.forward(cx, x)
    }

    /// Size of the state.
    #[must_use]
    pub fn hidden(&self) -> usize {
        self.0.hidden
    }
}

/// A recurrent layer of either kind. The input's map is an ordinary linear layer over all positions at once.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Recurrent {
    cell: Cell,
    input: Linear,
    weight: Param,
    bias: Option<Param>,
    hidden: usize,
    direction: Direction,
}

impl Recurrent {
    fn build(
        cell: Cell,
        inputs: usize,
        hidden: usize,
        config: RecurrentConfig,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        positive("sizes of a recurrent layer", &[inputs, hidden])?;
        let suffix = match config.direction {
            Direction::Forward => "",
            Direction::Backward => "_reverse",
        };
        let rows = cell.gates() * hidden;
        let weight = |what: &str, columns: usize| {
            let name = format!("weight_{what}_l{}{suffix}", config.layer);
            Param::new(vb, &name, &[rows, columns], candle_nn::init::DEFAULT_KAIMING_UNIFORM)
        };
        let bias = |what: &str| {
            let name = format!("bias_{what}_l{}{suffix}", config.layer);
            config.bias.then(|| Param::new(vb, &name, &[rows], Init::Const(0.0))).transpose()
        };
        Ok(Recurrent {
            cell,
            input: Linear::new(weight("ih", inputs)?, bias("ih")?),
            weight: weight("hh", hidden)?,
            bias: bias("hh")?,
            hidden,
            direction: config.direction,
        })
    }

    fn forward(&self, cx: &Context<'_>, x: &Tensor) -> Result<Tensor> {
        let &[batch, positions, _] = x.dims() else { return Err(self.misfit(x)) };
        if positions == 0 {
            return Err(self.misfit(x));
        }
        let zx = self.input.forward(cx, x)?;
        let call = Call {
            cell: self.cell,
            weight: cx.leaf(&self.weight)?,
            bias: cx.optional(self.bias.as_ref())?,
            batch,
            hidden: self.hidden,
            order: match self.direction {
                Direction::Forward => (0..positions).collect(),
                Direction::Backward => (0..positions).rev().collect(),
            },
        };
        call.forward(&zx)
    }

    fn misfit(&self, x: &Tensor) -> Error {
        Error::InputShape {
            layer: self.weight.name().into(),
            expected: format!("[batch, positions >= 1, {}]", self.input.inputs()),
            got: x.dims().to_vec(),
        }
    }
}

/// One application of a recurrent layer to the mapped input.
struct Call {
    cell: Cell,
    weight: Leaf,
    bias: Option<Leaf>,
    batch: usize,
    hidden: usize,
    /// Positions in the order in which they are read.
    order: Vec<usize>,
}

/// What the backward pass needs of one position.
struct Kept {
    before: Tensor,
    gated: Gated,
}

impl Call {
    fn forward(self, zx: &Tensor) -> Result<Tensor> {
        let tape = tape_of([Some(&self.weight), self.bias.as_ref()]);
        let needed = tape.is_some() || zx.track_op();
        let z = wide(zx.detach())?;
        let weight = wide(self.weight.tensor.detach())?;
        let transposed = weight.t()?.contiguous()?;
        let shift = match &self.bias {
            Some(bias) => Some(wide(bias.tensor.detach())?),
            None => None,
        };
        let zeros = Tensor::zeros((self.batch, self.hidden), z.dtype(), z.device())?;
        let (mut state, mut memory) = (zeros.clone(), zeros);
        let mut states = Vec::with_capacity(self.order.len());
        let mut kept = Vec::with_capacity(if needed { self.order.len() } else { 0 });
        for position in &self.order {
            let zx = z.narrow(1, *position, 1)?.squeeze(1)?.contiguous()?;
            let mut zh = state.matmul(&transposed)?;
            if let Some(shift) = &shift {
                zh = zh.broadcast_add(shift)?;
            }
            let (next, next_memory, gated) = self.cell.forward(&zx, &zh, &state, &memory)?;
            if needed {
                kept.push(Kept { before: state, gated });
            }
            states.push(next.clone());
            (state, memory) = (next, next_memory);
        }
        let y = self.in_places(states)?.to_dtype(zx.dtype())?;
        let value = Value::tensor(y)?;
        let anchor = tape.as_ref().map(|t| t.anchor().clone());
        let (needs_input, dtype) = (zx.track_op(), zx.dtype());
        let backward = move |grad: &Tensor| {
            let dz = self.backward(&wide(grad.detach())?, &weight, kept)?;
            Ok([if needs_input { Some(dz.to_dtype(dtype)?) } else { None }])
        };
        Ok(node("recurrent", zx, anchor.as_ref(), value, backward)?)
    }

    /// The gradient of the mapped input; what belongs to the state's map goes to the tape as one linear record of
    /// all positions.
    fn backward(&self, grad: &Tensor, weight: &Tensor, kept: Vec<Kept>) -> Result<Tensor> {
        let mut from_later = Tensor::zeros((self.batch, self.hidden), grad.dtype(), grad.device())?;
        let mut memory = from_later.clone();
        let n = kept.len();
        let (mut dzx, mut dzh, mut before) =
            (Vec::with_capacity(n), Vec::with_capacity(n), Vec::with_capacity(n));
        for (position, kept) in self.order.iter().zip(kept).rev() {
            let dh = (grad.narrow(1, *position, 1)?.squeeze(1)? + &from_later)?;
            let pulled = self.cell.backward(&dh, &memory, &kept.gated, &kept.before)?;
            from_later = (pulled.state + pulled.dzh.matmul(weight)?)?;
            memory = pulled.memory;
            dzx.push(pulled.dzx);
            dzh.push(pulled.dzh);
            before.push(kept.before);
        }
        for list in [&mut dzx, &mut dzh, &mut before] {
            list.reverse();
        }
        if let Some(tape) = tape_of([Some(&self.weight), self.bias.as_ref()]) {
            let wanted = self.weight.wanted();
            let x = if wanted.is_some() { Some(self.in_places(before)?) } else { None };
            let bias = self.bias.as_ref().and_then(Leaf::wanted);
            let g = self.in_places(dzh)?;
            tape.push(Record::Linear { weight: wanted, bias, x, g, scale: None })?;
        }
        self.in_places(dzx)
    }

    /// `[batch, positions, ..]` of tensors in the order of reading.
    fn in_places(&self, mut list: Vec<Tensor>) -> Result<Tensor> {
        if self.order.first() != Some(&0) {
            list.reverse();
        }
        Ok(Tensor::stack(&list, 1)?.contiguous()?)
    }
}

#[cfg(test)]
mod tests;
