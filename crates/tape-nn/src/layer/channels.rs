//! Where the channels of images and sequences stand, and operations that move them.

use candle_core::Tensor;
use tensor_tree::host::{Host, Real, from_vec};

use super::{by_dtype, is_host};
use crate::error::{Error, Result};
use crate::graph::{Value, node};
use crate::kernel::conv::transposed;

/// Order of the axes of images and sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Channels {
    /// `[batch, channels, ..]`, as candle-nn has it. Layers convert at their borders.
    #[default]
    First,
    /// `[batch, .., channels]`: what the kernels work on, without conversions.
    Last,
}

/// `[batch, channels, ..]` to `[batch, .., channels]`.
///
/// # Errors
/// [`Error::InputShape`] below two axes.
pub fn to_channels_last(x: &Tensor) -> Result<Tensor> {
    let [n, c, rest @ ..] = x.dims() else { return Err(too_few_axes(x)) };
    let mut dims = vec![*n];
    dims.extend(rest);
    dims.push(*c);
    moved(x, *c, rest.iter().product(), dims)
}

/// `[batch, .., channels]` to `[batch, channels, ..]`.
///
/// # Errors
/// [`Error::InputShape`] below two axes.
pub fn to_channels_first(x: &Tensor) -> Result<Tensor> {
    let [n, rest @ .., c] = x.dims() else { return Err(too_few_axes(x)) };
    let mut dims = vec![*n, *c];
    dims.extend(rest);
    moved(x, rest.iter().product(), *c, dims)
}

fn too_few_axes(x: &Tensor) -> Error {
    Error::InputShape {
        layer: "order of channels".into(),
        expected: "[batch, channels, ..] or [batch, .., channels]".into(),
        got: x.dims().to_vec(),
    }
}

/// Every sample, seen as `rows x cols`, transposed and then seen as `dims`.
fn moved(x: &Tensor, rows: usize, cols: usize, dims: Vec<usize>) -> Result<Tensor> {
    if rows == 1 || cols == 1 {
        return Ok(x.reshape(dims)?);
    }
    if !is_host(x) {
        let n = x.dims()[0];
        return Ok(x.reshape((n, rows, cols))?.transpose(1, 2)?.contiguous()?.reshape(dims)?);
    }
    by_dtype!("order of channels", x, fused::<T>(x, rows, cols, dims))
}

fn fused<T: Real>(x: &Tensor, rows: usize, cols: usize, dims: Vec<usize>) -> Result<Tensor> {
    let host = Host::of(x)?;
    let value = Value::host(transposed(host.view().slice::<T>()?, rows, cols), dims);
    let back = x.shape().clone();
    let turned = move |grad: &Tensor| -> Result<Tensor> {
        let host = Host::of(grad)?;
        let data = transposed(host.view().slice::<T>()?, cols, rows);
        Ok(from_vec(data, back.clone())?)
    };
    let backward = move |grad: &Tensor| Ok([Some(turned(grad)?)]);
    Ok(node("order of channels", x, None, value, backward)?)
}

/// Applies `f`, which works on channels-last tensors, to a tensor in either order.
pub(crate) fn channels_last(
    channels: Channels,
    x: &Tensor,
    f: impl FnOnce(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    match channels {
        Channels::Last => f(x),
        Channels::First => to_channels_first(&f(&to_channels_last(x)?)?),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    #[test]
    fn moving_the_channels_is_a_permutation_with_its_gradient() {
        let x = Var::from_tensor(
            &Tensor::arange(0f64, 120., &Device::Cpu).unwrap().reshape((2, 3, 4, 5)).unwrap(),
        )
        .unwrap();
        let last = to_channels_last(&x).unwrap();
        let want = x.permute((0, 2, 3, 1)).unwrap();
        let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        assert_eq!(last.dims(), want.dims());
        assert_eq!(flat(&last), flat(&want));
        let back = to_channels_first(&last).unwrap();
        assert_eq!(flat(&back), flat(&x));
        let grads = (&last * &want.detach()).unwrap().sum_all().unwrap().backward().unwrap();
        assert_eq!(flat(grads.get(&x).unwrap()), flat(&x));
        let vector = Tensor::zeros(3, candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(matches!(to_channels_last(&vector), Err(Error::InputShape { .. })));
    }
}
