//! Pooling of images: maxima, means of windows, and means over all places.

use candle_core::{D, DType, Tensor};
use tensor_tree::host::{Host, Real, from_vec};

use super::channels::{Channels, channels_last};
use super::{by_dtype, is_host};
use crate::error::{Error, Result};
use crate::graph::{Value, node};
use crate::kernel::{for_pieces, for_tasks};

/// The maximum of each window of `kernel x kernel`, `stride` apart. The gradient goes to the first maximum
/// of a window (candle's own operation scales it wrongly). Rows and columns that fill no window are left out.
///
/// # Shapes
/// `x` is `[batch, channels, height, width]` or, with [`Channels::Last`], `[batch, height, width, channels]`.
///
/// # Errors
/// [`Error::InputShape`] if `x` is no batch of images as large as the window; [`Error::InvalidSetting`] if the
/// stride is zero, or the window empty or of more than 65536 places.
pub fn max_pool2d(x: &Tensor, kernel: usize, stride: usize, channels: Channels) -> Result<Tensor> {
    channels_last(channels, x, |x| {
        let pool = Pool::new("max_pool2d", x, kernel, stride, channels)?;
        if is_host(x) {
            by_dtype!("max_pool2d", x, fused_max::<T>(x, pool))
        } else {
            composed_max_pool2d(x, kernel, stride)
        }
    })
}

/// The mean of each window of `kernel x kernel`, `stride` apart.
///
/// # Shapes
/// As [`max_pool2d`].
///
/// # Errors
/// As [`max_pool2d`].
pub fn avg_pool2d(x: &Tensor, kernel: usize, stride: usize, channels: Channels) -> Result<Tensor> {
    channels_last(channels, x, |x| {
        let pool = Pool::new("avg_pool2d", x, kernel, stride, channels)?;
        if is_host(x) {
            by_dtype!("avg_pool2d", x, fused_mean::<T>(x, pool))
        } else {
            Ok(windows(x, kernel, stride)?.mean(4)?)
        }
    })
}

/// The mean over all places.
///
/// # Shapes
/// `[batch, channels, ..]` or, with [`Channels::Last`], `[batch, .., channels]`, to `[batch, channels]`.
///
/// # Errors
/// [`Error::InputShape`] if `x` has fewer than three axes, or an empty one behind the batch.
pub fn global_mean_pool(x: &Tensor, channels: Channels) -> Result<Tensor> {
    let dims = x.dims();
    if dims.len() < 3 || dims[1..].contains(&0) {
        return Err(Error::InputShape {
            layer: "global_mean_pool".into(),
            expected: "[batch, channels, ..] or [batch, .., channels]".into(),
            got: dims.to_vec(),
        });
    }
    match channels {
        Channels::First => {
            let places = dims[2..].iter().product::<usize>();
            Ok(x.reshape((dims[0], dims[1], places))?.mean(2)?)
        }
        Channels::Last => {
            let places = dims[1..dims.len() - 1].iter().product::<usize>();
            Ok(x.reshape((dims[0], places, dims[dims.len() - 1]))?.mean(1)?)
        }
    }
}

/// Sizes of one application to `[batch, height, width, channels]`.
#[derive(Clone, Copy, Debug)]
struct Pool {
    batch: usize,
    input: [usize; 2],
    output: [usize; 2],
    channels: usize,
    kernel: usize,
    stride: usize,
}

impl Pool {
    fn new(
        what: &str,
        x: &Tensor,
        kernel: usize,
        stride: usize,
        channels: Channels,
    ) -> Result<Self> {
        let setting = |name: &str, must, got: usize| Error::InvalidSetting {
            name: format!("{name} of {what}"),
            must,
            got: got.to_string(),
        };
        if kernel == 0 || 256 < kernel {
            return Err(setting("kernel", "from 1 to 256", kernel));
        }
        if stride == 0 {
            return Err(setting("stride", "at least 1", stride));
        }
        match *x.dims() {
            [batch, h, w, c] if kernel <= h && kernel <= w => Ok(Pool {
                batch,
                input: [h, w],
                output: [(h - kernel) / stride + 1, (w - kernel) / stride + 1],
                channels: c,
                kernel,
                stride,
            }),
            _ => {
                let mut got = x.dims().to_vec();
                if channels == Channels::First && 2 < got.len() {
                    got[1..].rotate_right(1);
                }
                let axes = "height, width";
                let expected = match channels {
                    Channels::First => {
                        format!("[batch, channels, {axes}], axes at least {kernel}")
                    }
                    Channels::Last => format!("[batch, {axes}, channels], axes at least {kernel}"),
                };
                Err(Error::InputShape { layer: what.into(), expected, got })
            }
        }
    }

    fn sample_in(&self) -> usize {
        self.input[0] * self.input[1] * self.channels
    }

    fn sample_out(&self) -> usize {
        self.output[0] * self.output[1] * self.channels
    }

    fn output_dims(&self) -> Vec<usize> {
        vec![self.batch, self.output[0], self.output[1], self.channels]
    }

    /// Place of the first input of tap `k` of the window whose output starts at `at` (in units of channels).
    #[inline(always)]
    fn place(&self, at: usize, k: usize) -> usize {
        let (oy, ox) = (at / self.output[1], at % self.output[1]);
        let (ky, kx) = (k / self.kernel, k % self.kernel);
        ((oy * self.stride + ky) * self.input[1] + ox * self.stride + kx) * self.channels
    }
}

tensor_tree::kernels! {
    fn maxima<T: Real>(pool: Pool, x: &[T], y: &mut [T], which: &mut [u16]) {
        let c = pool.channels;
        for (at, (y, which)) in y.chunks_exact_mut(c).zip(which.chunks_exact_mut(c)).enumerate() {
            let from = pool.place(at, 0);
            y.copy_from_slice(&x[from..from + c]);
            which.fill(0);
            for (k, number) in (1..pool.kernel * pool.kernel).zip(1u16..) {
                let from = pool.place(at, k);
                let x = &x[from..from + c];
                for i in 0..c {
                    // What is not a number stays one.
                    let new = x[i] > y[i] || x[i].partial_cmp(&x[i]).is_none();
                    y[i] = if new { x[i] } else { y[i] };
                    which[i] = if new { number } else { which[i] };
                }
            }
        }
    }

    fn means<T: Real>(pool: Pool, x: &[T], y: &mut [T]) {
        let c = pool.channels;
        let share = T::of(1.0 / (pool.kernel * pool.kernel) as f64);
        for (at, y) in y.chunks_exact_mut(c).enumerate() {
            for k in 0..pool.kernel * pool.kernel {
                let from = pool.place(at, k);
                for (y, x) in y.iter_mut().zip(&x[from..from + c]) {
                    *y += *x;
                }
            }
            for y in y {
                *y *= share;
            }
        }
    }

    fn spread<T: Real>(pool: Pool, g: &[T], dx: &mut [T]) {
        let c = pool.channels;
        let share = T::of(1.0 / (pool.kernel * pool.kernel) as f64);
        for (at, g) in g.chunks_exact(c).enumerate() {
            for k in 0..pool.kernel * pool.kernel {
                let from = pool.place(at, k);
                for (d, g) in dx[from..from + c].iter_mut().zip(g) {
                    *d += *g * share;
                }
            }
        }
    }
}

fn fused_max<T: Real>(x: &Tensor, pool: Pool) -> Result<Tensor> {
    let out = pool.sample_out();
    let mut y = vec![T::default(); pool.batch * out];
    let mut which = vec![0u16; pool.batch * out];
    if 0 < out {
        let host = Host::of(x)?;
        let view = host.view();
        let xs = view.slice::<T>()?;
        let size = pool.sample_in();
        let tasks = y.chunks_mut(out).zip(which.chunks_mut(out)).enumerate().collect();
        for_tasks(
            tasks,
            || (),
            |(), (i, (y, which)): (usize, (&mut [T], &mut [u16]))| {
                maxima(pool, &xs[i * size..(i + 1) * size], y, which);
            },
        );
    }
    let pull = move |grad: &Tensor| -> Result<Tensor> {
        let host = Host::of(grad)?;
        let view = host.view();
        let gs = view.slice::<T>()?;
        let mut dx = vec![T::default(); pool.batch * pool.sample_in()];
        for_pieces(&mut dx, pool.sample_in(), |i, dx| {
            let range = i * out..(i + 1) * out;
            for (at, (g, k)) in gs[range.clone()].iter().zip(&which[range]).enumerate() {
                let (at, channel) = (at / pool.channels, at % pool.channels);
                dx[pool.place(at, usize::from(*k)) + channel] += *g;
            }
        });
        Ok(from_vec(dx, input_dims(&pool))?)
    };
    let backward = move |grad: &Tensor| Ok([Some(pull(grad)?)]);
    Ok(node("max_pool2d", x, None, Value::host(y, pool.output_dims()), backward)?)
}

fn fused_mean<T: Real>(x: &Tensor, pool: Pool) -> Result<Tensor> {
    let (size, out) = (pool.sample_in(), pool.sample_out());
    let mut y = vec![T::default(); pool.batch * out];
    {
        let host = Host::of(x)?;
        let view = host.view();
        let xs = view.slice::<T>()?;
        for_pieces(&mut y, out, |i, y| means(pool, &xs[i * size..(i + 1) * size], y));
    }
    let pull = move |grad: &Tensor| -> Result<Tensor> {
        let host = Host::of(grad)?;
        let view = host.view();
        let gs = view.slice::<T>()?;
        let mut dx = vec![T::default(); pool.batch * size];
        for_pieces(&mut dx, size, |i, dx| spread(pool, &gs[i * out..(i + 1) * out], dx));
        Ok(from_vec(dx, input_dims(&pool))?)
    };
    let backward = move |grad: &Tensor| Ok([Some(pull(grad)?)]);
    Ok(node("avg_pool2d", x, None, Value::host(y, pool.output_dims()), backward)?)
}

fn input_dims(pool: &Pool) -> Vec<usize> {
    vec![pool.batch, pool.input[0], pool.input[1], pool.channels]
}

/// `[batch, height, width, channels, kernel * kernel]`: the windows, from candle's operations.
fn windows(x: &Tensor, kernel: usize, stride: usize) -> Result<Tensor> {
    let places = |size: usize, k: usize| {
        let count = (size - kernel) / stride + 1;
        let at: Vec<i64> = (0..count).map(|o| (o * stride + k) as i64).collect();
        Tensor::from_vec(at, count, x.device())
    };
    let (_, h, w, _) = x.dims4()?;
    let mut taps = Vec::with_capacity(kernel * kernel);
    for ky in 0..kernel {
        let rows = x.index_select(&places(h, ky)?, 1)?;
        for kx in 0..kernel {
            taps.push(rows.index_select(&places(w, kx)?, 2)?);
        }
    }
    Ok(Tensor::stack(&taps, 4)?)
}

/// Maxima of windows from candle's operations. The gradient goes to the first of equal maxima.
pub(crate) fn composed_max_pool2d(x: &Tensor, kernel: usize, stride: usize) -> Result<Tensor> {
    let windows = windows(x, kernel, stride)?;
    let first = first_maxima(&windows.detach())?;
    Ok(windows.gather(&first, 4)?.squeeze(4)?)
}

/// Places along the last axis of the first maxima, or of the first that is not a number. Devices differ in
/// which of equal maxima they report, so the maxima are made different first.
fn first_maxima(windows: &Tensor) -> Result<Tensor> {
    let n = windows.dims().last().copied().unwrap_or(1);
    let order: Vec<f32> = (0..n).map(|k| (n - k) as f32).collect();
    let order = Tensor::from_vec(order, n, windows.device())?;
    let largest = windows.broadcast_eq(&windows.max_keepdim(D::Minus1)?)?.to_dtype(DType::F32)?;
    let no_number = (windows.ne(windows)?.to_dtype(DType::F32)? * 2.0)?;
    let score = (largest + no_number)?.broadcast_mul(&order)?;
    Ok(score.contiguous()?.argmax_keepdim(D::Minus1)?)
}

#[cfg(test)]
mod tests;
