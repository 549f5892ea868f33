//! Losses that a function makes of the logits of each position.

use candle_core::{DType, Device, Tensor};
use tensor_tree::Losses;
use tensor_tree::host::{Host, Real, from_vec};

use crate::error::{Error, Result};
use crate::graph::{Value, node};
use crate::kernel::{for_pieces, map_indices_with};
use crate::layer::{batch_positions_width, by_dtype, is_host};

/// Losses of one's own: `f` makes the loss of each position from its logits, and the derivative by them.
///
/// `f(position, logits, gradient)` gets the number of a position (all positions of one sample, then those of the next), its logits,
/// and where a gradient is wanted room for the derivative of the loss by the logits, which holds zeros. It returns the loss, or
/// `None` where the position does not count; its gradient is then zero. Computed on the host in doubles.
///
/// # Shapes
/// `logits` is `[batch, .., classes]`; the results are `[batch]`: sums over positions, and how many counted.
///
/// # Errors
/// If `logits` has no such shape, or the back-end fails.
///
/// # Examples
/// ```
/// use candle_core::{Device, Var};
/// use tape_nn::loss::of_positions;
///
/// // Half the sum of squares.
/// let logits = Var::new(&[[[1.0f64, 2.0], [3.0, 4.0]]], &Device::Cpu)?;
/// let losses = of_positions(&logits, |_, z, gradient| {
///     if let Some(gradient) = gradient {
///         gradient.copy_from_slice(z);
///     }
///     Some(z.iter().map(|z| z * z / 2.0).sum())
/// })?;
/// assert_eq!(losses.sum.to_vec1::<f64>()?, [15.0]);
/// let grads = losses.sum.sum_all()?.backward()?;
/// assert_eq!(grads.get(&logits).unwrap().to_vec3::<f64>()?, [[[1.0, 2.0], [3.0, 4.0]]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn of_positions<F>(logits: &Tensor, f: F) -> Result<Losses>
where
    F: Fn(usize, &[f64], Option<&mut [f64]>) -> Option<f64> + Sync,
{
    let classes = logits.dims().last().copied().unwrap_or(0);
    let (batch, positions) = batch_positions_width("losses of positions", logits, classes)?;
    if is_host(logits) {
        return by_dtype!(
            "losses of positions",
            logits,
            on_host::<T>(logits, (batch, positions, classes), &f)
        );
    }
    // Through the graph to the host and back.
    let moved = logits.to_dtype(DType::F32)?.to_device(&Device::Cpu)?;
    let losses = on_host::<f32>(&moved, (batch, positions, classes), &f)?;
    let back = |t: Tensor| t.to_device(logits.device());
    Ok(Losses { sum: back(losses.sum)?, weight: back(losses.weight)? })
}

fn on_host<T: Real>(
    logits: &Tensor,
    (batch, positions, classes): (usize, usize, usize),
    f: &(impl Fn(usize, &[f64], Option<&mut [f64]>) -> Option<f64> + Sync),
) -> Result<Losses> {
    let host = Host::of(logits)?;
    let view = host.view();
    let x = view.slice::<T>()?;
    let wanted = logits.track_op();
    let each = map_indices_with(batch * positions, Vec::new, |z: &mut Vec<f64>, row| {
        z.clear();
        z.extend(x[row * classes..(row + 1) * classes].iter().map(|v| v.double()));
        if !wanted {
            return (f(row, z, None), Vec::new());
        }
        let mut gradient = vec![0.0; classes];
        let loss = f(row, z, Some(&mut gradient));
        let of = |g: &f64| T::of(if loss.is_some() { *g } else { 0.0 });
        (loss, gradient.iter().map(of).collect::<Vec<T>>())
    });
    let counted = |i: usize| each[i * positions..(i + 1) * positions].iter().filter_map(|e| e.0);
    let sums = (0..batch).map(|i| T::of(counted(i).sum())).collect();
    let weights: Vec<T> = (0..batch).map(|i| T::of(counted(i).count() as f64)).collect();
    let gradient: Vec<T> = each.iter().flat_map(|e| e.1.iter().copied()).collect();
    let weight = from_vec(weights, batch)?;
    let value = Value::host(sums, batch);
    let shape = logits.shape().clone();
    let backward = move |grad: &Tensor| {
        let seeds = grad.to_dtype(DType::F64)?.to_vec1::<f64>()?;
        let mut out = gradient;
        for_pieces(&mut out, (positions * classes).max(1), |i, piece| {
            let seed = T::of(seeds[i]);
            piece.iter_mut().for_each(|g| *g = seed * *g);
        });
        Ok([Some(from_vec(out, shape).map_err(Error::from)?)])
    };
    let sum = node("losses of positions", logits, None, value, backward)?;
    Ok(Losses { sum, weight })
}
