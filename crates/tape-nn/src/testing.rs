//! What tests of layers and networks share.

use candle_core::{DType, Device, Tensor, Var};
use tensor_tree::{Key, Tree};

use crate::tape::Tape;

/// Standard normals in doubles.
pub(crate) fn normal(shape: &[usize], seed: u64) -> Tensor {
    let mut values = vec![0f64; shape.iter().product()];
    Key::from_seed(seed).fill_normal(&mut values);
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// The same as a variable, so that it gets a gradient.
pub(crate) fn variable(shape: &[usize], seed: u64) -> Var {
    Var::from_tensor(&normal(shape, seed)).unwrap()
}

/// All elements as doubles.
pub(crate) fn values(x: &Tensor) -> Vec<f64> {
    x.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Asserts equal shapes and elements, up to `tol` times one plus the largest element.
pub(crate) fn assert_close(got: &Tensor, want: &Tensor, tol: f64, what: &str) {
    assert_eq!(got.dims(), want.dims(), "{what}");
    let (got, want) = (values(got), values(want));
    let scale = want.iter().fold(1.0f64, |a, b| a.max(b.abs()));
    for (i, (g, w)) in got.iter().zip(&want).enumerate() {
        assert!((g - w).abs() <= tol * scale, "{what}, element {i}: got {g}, expected {w}");
    }
}

/// Result and input gradients of `f` at `inputs` for the sum of the result times fixed numbers.
pub(crate) fn value_and_grads(
    inputs: &[&Var],
    f: impl Fn(&[&Var]) -> Tensor,
) -> (Tensor, Vec<Tensor>) {
    let y = f(inputs);
    let seed = normal(y.dims(), 99).to_dtype(y.dtype()).unwrap();
    let grads = (&y * seed).unwrap().sum_all().unwrap().backward().unwrap();
    let grads = inputs.iter().map(|x| grads.get(x).unwrap().clone()).collect();
    (y.detach(), grads)
}

/// Bits of the result of `f` in a pool of so many threads.
pub(crate) fn bits(threads: usize, f: impl Fn() -> Vec<Tensor> + Send + Sync) -> Vec<u64> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| f().iter().flat_map(values).map(f64::to_bits).collect())
}

/// Per-sample gradients `[batch, ..leaf]` of the sum of `loss` over samples.
pub(crate) fn per_sample(params: &Tree, n: usize, loss: impl Fn(&Tape) -> Tensor) -> Tree {
    let tape = Tape::recording(&Device::Cpu).unwrap();
    loss(&tape).backward().unwrap();
    tape.into_grads(params, n).unwrap().instantiate().unwrap()
}
