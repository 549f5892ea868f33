//! Weights rounded to few bits.

use candle_core::{DType, Device, Tensor};
use tensor_tree::Tree;

use crate::error::{Error, Result};

/// The weights rounded to so many bits and back: what a quantized copy of the model computes with.
///
/// ```text
/// x -> round(x / s) s,   s = max |x| / (2^(bits - 1) - 1)
/// ```
///
/// Symmetric, so zero stays zero and the largest element stays itself; halves go to the even multiple. Leaves keep their type and
/// device, and rounding twice is rounding once.
///
/// # Shapes
/// The maximum is that of each row for leaves of two axes and more, where a row is all that belongs to one index of the first axis (an
/// output of a linear map); for vectors and scalars it is that of the whole leaf. A row of zeros stays one.
///
/// # Errors
/// [`Error::OutOfRange`] unless `2 <= bits <= 8`, [`Error::NotFinite`] for a weight that is not finite, [`Error::Tree`] from the
/// back-end.
///
/// # Source
/// Absolute-maximum quantization by rows, arXiv 2208.07339, section 2; that it can bring back what was unlearned: arXiv 2410.16454.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use tensor_tree::Tree;
/// use unlearn::robust::round_to_bits;
///
/// let w = Tensor::new(&[[7f32, 3.4, -0.4], [0.0, 0.0, 0.0]], &Device::Cpu)?;
/// let rounded = round_to_bits(&Tree::from_leaves([("w", w)])?, 4)?;
/// assert_eq!(rounded.leaf("w")?.to_vec2::<f32>()?, [[7.0, 3.0, 0.0], [0.0; 3]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn round_to_bits(weights: &Tree, bits: u32) -> Result<Tree> {
    if !(2..=8).contains(&bits) {
        let (name, must) = ("bits of a weight", "from 2 to 8");
        return Err(Error::OutOfRange { name, must, got: f64::from(bits) });
    }
    let levels = f64::from((1_u32 << (bits - 1)) - 1);
    let mut rounded = Tree::new();
    for (name, leaf) in weights.iter() {
        let mut values = host_values(leaf)?;
        if let Some(index) = values.iter().position(|x| !x.is_finite()) {
            return Err(Error::NotFinite { leaf: name.to_owned(), index, got: values[index] });
        }
        let rows = if leaf.rank() < 2 { 1 } else { leaf.dims()[0] };
        let width = values.len() / rows.max(1);
        values.chunks_mut(width.max(1)).for_each(|row| round_row(row, levels));
        rounded.insert(name, beside(values, leaf)?)?;
    }
    Ok(rounded)
}

fn round_row(row: &mut [f64], levels: f64) {
    let largest = row.iter().fold(0.0, |most: f64, x| x.abs().max(most));
    if largest == 0.0 {
        return;
    }
    for x in row {
        let level = (*x / largest * levels).round_ties_even();
        // The largest is kept to the last bit, so that the levels of the rounded row are the same.
        *x = if levels <= level.abs() { largest.copysign(*x) } else { level / levels * largest };
    }
}

fn host_values(leaf: &Tensor) -> Result<Vec<f64>, tensor_tree::Error> {
    let host = leaf.detach().to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
    Ok(host.flatten_all()?.to_vec1()?)
}

fn beside(values: Vec<f64>, leaf: &Tensor) -> Result<Tensor, tensor_tree::Error> {
    let host = Tensor::from_vec(values, leaf.shape(), &Device::Cpu)?;
    Ok(host.to_dtype(leaf.dtype())?.to_device(leaf.device())?)
}

#[cfg(test)]
mod tests;
