//! Per-sample gradients in a form of the layer's own: kept in another order, or made again when asked for.

use candle_core::{DType, Shape, Tensor};
use tensor_tree::host::{Host, Real, from_vec};

use super::kept;
use crate::error::Result;
use crate::kernel::conv::transposed;
use crate::kernel::gram::inner;
use crate::kernel::map_indices;

/// Per-sample gradients of one leaf that answer the two questions clipping asks.
pub(crate) trait Deferred: std::fmt::Debug + Send + Sync {
    /// Number of samples.
    fn n_samples(&self) -> usize;
    /// Element type.
    fn dtype(&self) -> DType;
    /// Shape of the leaf.
    fn leaf_shape(&self) -> Shape;
    /// Squared norm of each sample's gradient.
    fn squared_norms(&self) -> Result<Vec<f64>>;
    /// `sum_i factors[i] * g_i` in the leaf's shape; samples of factor zero are left out, `None` means ones.
    fn sum(&self, factors: Option<&[f64]>) -> Result<Tensor>;
}

/// A [`Deferred`] whose element type is known only by the tensors in it.
pub(crate) trait Untyped: std::fmt::Debug + Send + Sync {
    /// The gradients, one row of the first axis for each sample, or another tensor of that number of rows and type.
    fn tensor(&self) -> &Tensor;
    /// Shape of the leaf.
    fn leaf(&self) -> &Shape;
    /// [`Deferred::squared_norms`] for elements of type `T`.
    fn norms<T: Real>(&self) -> Result<Vec<f64>>;
    /// [`Deferred::sum`] for elements of type `T`.
    fn total<T: Real>(&self, factors: Option<&[f64]>) -> Result<Tensor>;
}

impl<U: Untyped> Deferred for U {
    fn n_samples(&self) -> usize {
        self.tensor().dims().first().copied().unwrap_or(0)
    }
    fn dtype(&self) -> DType {
        self.tensor().dtype()
    }
    fn leaf_shape(&self) -> Shape {
        self.leaf().clone()
    }
    fn squared_norms(&self) -> Result<Vec<f64>> {
        match self.dtype() {
            DType::F64 => self.norms::<f64>(),
            _ => self.norms::<f32>(),
        }
    }
    fn sum(&self, factors: Option<&[f64]>) -> Result<Tensor> {
        match self.dtype() {
            DType::F64 => self.total::<f64>(factors),
            _ => self.total::<f32>(factors),
        }
    }
}

/// Gradients `[batch, outer, a, b]` of a leaf that is `[outer, b, a]`: norms do not mind the order, and only
/// the sum is transposed.
#[derive(Debug)]
pub(crate) struct Transposed {
    pub(crate) grads: Tensor,
    pub(crate) leaf: Shape,
}

impl Untyped for Transposed {
    fn tensor(&self) -> &Tensor {
        &self.grads
    }

    fn leaf(&self) -> &Shape {
        &self.leaf
    }

    fn norms<T: Real>(&self) -> Result<Vec<f64>> {
        let size = self.leaf.elem_count();
        let host = Host::of(&self.grads)?;
        let view = host.view();
        let g = view.slice::<T>()?;
        Ok(map_indices(self.n_samples(), |i| {
            let g = &g[i * size..(i + 1) * size];
            inner(g, g)
        }))
    }

    fn total<T: Real>(&self, factors: Option<&[f64]>) -> Result<Tensor> {
        let mut out = vec![T::default(); self.leaf.elem_count()];
        kept::add(&mut out, &self.grads, factors)?;
        let (_, _, a, b) = self.grads.dims4()?;
        Ok(from_vec(transposed(&out, a, b), self.leaf.clone())?)
    }
}
