//! One position of a recurrence and its derivative, in plain tensor operations that serve every device.

use candle_core::Tensor;
use candle_nn::ops::sigmoid;

use crate::error::Result;

/// The kind of cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    Lstm,
    Gru,
}

/// What the gates of one position were, `[batch, hidden]` each.
pub(super) enum Gated {
    Lstm {
        input: Tensor,
        forget: Tensor,
        candidate: Tensor,
        output: Tensor,
        memory_before: Tensor,
        /// `tanh` of the memory after.
        squashed: Tensor,
    },
    Gru {
        reset: Tensor,
        update: Tensor,
        candidate: Tensor,
        /// The state's part of the candidate, before the reset gate.
        from_state: Tensor,
    },
}

/// Gradients that one position hands on.
pub(super) struct Pulled {
    /// Of the mapped input, `[batch, gates * hidden]`.
    pub(super) dzx: Tensor,
    /// Of the mapped state.
    pub(super) dzh: Tensor,
    /// Of the state before, apart from what goes through its map.
    pub(super) state: Tensor,
    /// Of the memory before.
    pub(super) memory: Tensor,
}

impl Cell {
    /// Parts of the maps.
    pub(super) fn gates(self) -> usize {
        match self {
            Cell::Lstm => 4,
            Cell::Gru => 3,
        }
    }

    /// State and memory after, and the gates. A GRU hands the memory through.
    pub(super) fn forward(
        self,
        zx: &Tensor,
        zh: &Tensor,
        state: &Tensor,
        memory: &Tensor,
    ) -> Result<(Tensor, Tensor, Gated)> {
        match self {
            Cell::Lstm => {
                let [i, f, g, o] = parts((zx + zh)?)?;
                let (input, forget, output) = (sigmoid(&i)?, sigmoid(&f)?, sigmoid(&o)?);
                let candidate = g.tanh()?;
                let after = ((&forget * memory)? + (&input * &candidate)?)?;
                let squashed = after.tanh()?;
                let next = (&output * &squashed)?;
                let memory_before = memory.clone();
                let gated =
                    Gated::Lstm { input, forget, candidate, output, memory_before, squashed };
                Ok((next, after, gated))
            }
            Cell::Gru => {
                let ([rx, ux, nx], [rh, uh, from_state]) = (parts(zx.clone())?, parts(zh.clone())?);
                let (reset, update) = (sigmoid(&(rx + rh)?)?, sigmoid(&(ux + uh)?)?);
                let candidate = (nx + (&reset * &from_state)?)?.tanh()?;
                let next = (&candidate + (&update * (state - &candidate)?)?)?;
                let gated = Gated::Gru { reset, update, candidate, from_state };
                Ok((next, memory.clone(), gated))
            }
        }
    }

    /// Pulls the gradients of state and memory after one position back before it.
    pub(super) fn backward(
        self,
        dh: &Tensor,
        d_memory: &Tensor,
        gated: &Gated,
        state: &Tensor,
    ) -> Result<Pulled> {
        match gated {
            Gated::Lstm { input, forget, candidate, output, memory_before, squashed } => {
                let d_output = (dh * squashed)?;
                let dc = (d_memory + ((dh * output)? * tanh_slope(squashed)?)?)?;
                let dz = [
                    ((&dc * candidate)? * sigmoid_slope(input)?)?,
                    ((&dc * memory_before)? * sigmoid_slope(forget)?)?,
                    ((&dc * input)? * tanh_slope(candidate)?)?,
                    (d_output * sigmoid_slope(output)?)?,
                ];
                let dz = Tensor::cat(&dz, 1)?;
                let memory = (dc * forget)?;
                Ok(Pulled { dzx: dz.clone(), dzh: dz, state: dh.zeros_like()?, memory })
            }
            Gated::Gru { reset, update, candidate, from_state } => {
                let d_update = ((dh * (state - candidate)?)? * sigmoid_slope(update)?)?;
                let d_candidate = ((dh - (dh * update)?)? * tanh_slope(candidate)?)?;
                let d_reset = ((&d_candidate * from_state)? * sigmoid_slope(reset)?)?;
                let dzh = Tensor::cat(&[&d_reset, &d_update, &(&d_candidate * reset)?], 1)?;
                let dzx = Tensor::cat(&[&d_reset, &d_update, &d_candidate], 1)?;
                Ok(Pulled { dzx, dzh, state: (dh * update)?, memory: d_memory.clone() })
            }
        }
    }
}

fn parts<const N: usize>(z: Tensor) -> Result<[Tensor; N]> {
    let size = z.dims().get(1).copied().unwrap_or(0) / N;
    let mut out = Vec::with_capacity(N);
    for part in 0..N {
        out.push(z.narrow(1, part * size, size)?.contiguous()?);
    }
    let wrong = || candle_core::Error::Msg(format!("{N} gates")).into();
    out.try_into().map_err(|_: Vec<Tensor>| wrong())
}

/// `s (1 - s)`.
fn sigmoid_slope(s: &Tensor) -> Result<Tensor> {
    Ok((s - s.sqr()?)?)
}

/// `1 - t^2`.
fn tanh_slope(t: &Tensor) -> Result<Tensor> {
    Ok(t.sqr()?.affine(-1.0, 1.0)?)
}
