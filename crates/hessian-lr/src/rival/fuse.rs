//! Elementwise recursions over several trees in one pass, with sums on the side.

use candle_core::{DType, Tensor};
use tensor_tree::host::{Host, Real, from_vec};
use tensor_tree::{Result, Tree};

/// `f` of the elements at the same place in every input, leaf by leaf in the order of the names.
///
/// `f` computes in `f64` and may add up what it sees: the order is fixed and no other thread takes part, so sums repeat
/// exactly. Outputs have the data type and the device of the first input; the other inputs may lie elsewhere, as a state
/// does that was just loaded.
///
/// # Errors
/// As [`Tree::check_like`].
pub(super) fn fuse<const I: usize, const O: usize>(
    inputs: [&Tree; I],
    mut f: impl FnMut([f64; I]) -> [f64; O],
) -> Result<[Tree; O]> {
    let mut outputs = std::array::from_fn(|_| Tree::new());
    let Some(first) = inputs.first() else { return Ok(outputs) };
    for other in &inputs[1..] {
        first.check_like(other)?;
    }
    for (name, like) in first.iter() {
        let mut leaves = Vec::with_capacity(I);
        for input in inputs {
            leaves.push(input.leaf(name)?);
        }
        let new = if like.dtype() == DType::F64 {
            typed::<f64, I, O>(&leaves, &mut f)?
        } else {
            typed::<f32, I, O>(&leaves, &mut f)?
        };
        for (output, leaf) in outputs.iter_mut().zip(new) {
            output.insert(name, leaf.to_device(like.device())?.to_dtype(like.dtype())?)?;
        }
    }
    Ok(outputs)
}

fn typed<T: Real, const I: usize, const O: usize>(
    leaves: &[&Tensor],
    f: &mut impl FnMut([f64; I]) -> [f64; O],
) -> Result<Vec<Tensor>> {
    let mut hosts = Vec::with_capacity(I);
    for leaf in leaves {
        hosts.push(Host::of(&leaf.to_dtype(T::DTYPE)?)?);
    }
    let views: Vec<_> = hosts.iter().map(Host::view).collect();
    let mut slices: [&[T]; I] = [&[]; I];
    for (slice, view) in slices.iter_mut().zip(&views) {
        *slice = view.slice::<T>()?;
    }
    let n = slices.first().map_or(0, |slice| slice.len());
    // The compiler then knows that no index below is out of range.
    let slices = slices.map(|slice| &slice[..n]);
    let mut out: [Vec<T>; O] = std::array::from_fn(|_| vec![T::default(); n]);
    for i in 0..n {
        let new = f(std::array::from_fn(|k| slices[k][i].double()));
        for (out, new) in out.iter_mut().zip(new) {
            out[i] = T::of(new);
        }
    }
    out.into_iter().map(|values| from_vec(values, hosts[0].shape())).collect()
}

/// A tree of the state where the parameters are: a checkpoint is read on the host. Costs nothing where they agree.
///
/// # Errors
/// As [`Tree::check_like`].
pub(super) fn beside(state: &Tree, params: &Tree) -> Result<Tree> {
    state.zip_map(params, |leaf, like| Ok(leaf.to_device(like.device())?.to_dtype(like.dtype())?))
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn tree(values: &[f64], dtype: DType) -> Tree {
        let leaf = Tensor::new(values, &Device::Cpu).and_then(|t| t.to_dtype(dtype)).unwrap();
        Tree::from_leaves([("w", leaf)]).unwrap()
    }

    #[test]
    fn outputs_and_sums_are_those_of_the_formula_and_take_the_type_of_the_first_input() {
        for dtype in [DType::F32, DType::F64, DType::BF16] {
            let (a, b) = (tree(&[1.0, 2.0, 3.0], dtype), tree(&[0.5, 0.25, 2.0], DType::F64));
            let mut sum = 0.0;
            let [product, difference] = fuse([&a, &b], |[a, b]| {
                sum += a * b;
                [a * b, a - b]
            })
            .unwrap();
            let values = |t: &Tree| {
                let leaf = t.leaf("w").unwrap();
                assert_eq!(leaf.dtype(), dtype);
                leaf.to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap()
            };
            assert_eq!(values(&product), [0.5, 0.5, 6.0]);
            assert_eq!(values(&difference), [0.5, 1.75, 1.0]);
            assert_eq!(sum, 7.0);
        }
    }

    #[test]
    fn trees_of_other_shapes_are_refused() {
        let (a, b) = (tree(&[1.0, 2.0], DType::F64), tree(&[1.0], DType::F64));
        assert!(fuse([&a, &b], |[a, b]| [a + b]).is_err());
    }
}
