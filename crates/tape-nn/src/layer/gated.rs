//! The gated activation of Llama's feed-forward layers.

use candle_core::Tensor;
use tensor_tree::host::{Host, Real, from_vec};

use super::{by_dtype, is_host};
use crate::error::{Error, Result};
use crate::graph::{Value, node2};
use crate::kernel::{for_pieces, for_tasks, pairs};

/// Elements per task.
const PIECE: usize = 8 * 1024;

/// `silu(gate) * up`, elementwise.
///
/// # Errors
/// [`Error::InputShape`] if the shapes differ.
///
/// # Source
/// arXiv 2002.05202, equation 5, between the linear maps.
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    if gate.dims() != up.dims() {
        return Err(Error::InputShape {
            layer: "swiglu".into(),
            expected: format!("{:?}", gate.dims()),
            got: up.dims().to_vec(),
        });
    }
    if is_host(gate) { by_dtype!("swiglu", gate, fused::<T>(gate, up)) } else { composed(gate, up) }
}

/// The same from candle's operations, for other devices and types.
fn composed(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    Ok((gate.silu()? * up)?)
}

fn fused<T: Real>(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    let mut y = vec![T::default(); gate.elem_count()];
    {
        let (ha, hu) = (Host::of(gate)?, Host::of(up)?);
        let (va, vu) = (ha.view(), hu.view());
        let (a, u) = (va.slice::<T>()?, vu.slice::<T>()?);
        for_pieces(&mut y, PIECE, |i, y| {
            let range = i * PIECE..i * PIECE + y.len();
            pairs::swiglu(y, &a[range.clone()], &u[range]);
        });
    }
    let value = Value::host(y, gate.shape());
    let wanted = [gate.track_op(), up.track_op()];
    let inputs = [gate.detach(), up.detach()];
    let backward = move |grad: &Tensor| {
        let [a, u] = gradients::<T>(&inputs, grad)?;
        Ok([wanted[0].then_some(a), wanted[1].then_some(u)])
    };
    Ok(node2("swiglu", [gate, up], value, backward)?)
}

fn gradients<T: Real>(inputs: &[Tensor; 2], grad: &Tensor) -> Result<[Tensor; 2]> {
    let n = grad.elem_count();
    let (mut da, mut du) = (vec![T::default(); n], vec![T::default(); n]);
    {
        let hosts = [Host::of(&inputs[0])?, Host::of(&inputs[1])?, Host::of(grad)?];
        let views = [hosts[0].view(), hosts[1].view(), hosts[2].view()];
        let (a, u) = (views[0].slice::<T>()?, views[1].slice::<T>()?);
        let g = views[2].slice::<T>()?;
        let tasks: Vec<_> = da.chunks_mut(PIECE).zip(du.chunks_mut(PIECE)).enumerate().collect();
        for_tasks(
            tasks,
            || (),
            |(), (i, (da, du))| {
                let r = i * PIECE..i * PIECE + da.len();
                pairs::swiglu_backward(da, du, &g[r.clone()], &a[r.clone()], &u[r]);
            },
        );
    }
    Ok([from_vec(da, grad.shape())?, from_vec(du, grad.shape())?])
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::testing::{values, variable};

    #[test]
    fn composed_gradients_equal_the_fused_ones_where_the_exponential_overflows() {
        let gates = [-90f32, -200.0, -88.0, -1.0, 0.0, 2.0, 90.0];
        let gate = Var::from_tensor(&Tensor::new(&gates, &Device::Cpu).unwrap()).unwrap();
        let up = variable(&[7], 1).to_dtype(candle_core::DType::F32).unwrap();
        let up = Var::from_tensor(&up).unwrap();
        let run = |y: Tensor| {
            let store = y.sum_all().unwrap().backward().unwrap();
            let grad = |v: &Var| values(store.get(v).unwrap());
            [values(&y), grad(&gate), grad(&up)].concat()
        };
        let want = run(fused::<f32>(&gate, &up).unwrap());
        for (got, want) in run(composed(&gate, &up).unwrap()).iter().zip(&want) {
            assert!(
                got.is_finite() && (got - want).abs() <= 1e-5 * (1.0 + want.abs()),
                "{got} {want}"
            );
        }
    }
}
