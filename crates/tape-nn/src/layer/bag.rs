//! Bags of rows of a table.

use candle_core::{DType, Tensor};
use candle_nn::VarBuilder;

use super::embedding::{Embedding, embedding};
use crate::context::Context;
use crate::error::{Error, Result};

/// How the rows of a bag are put together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BagMode {
    /// Their mean; zeros for a bag of padding alone.
    #[default]
    Mean,
    /// Their sum.
    Sum,
}

/// The sum or mean of the rows of a table that a bag of ids names. Padding counts neither as a row nor in the number of rows.
///
/// # Shapes
/// Ids are integers `[batch, bag]`, bags of unequal size filled up with the padding row; the result is `[batch, width]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddingBag {
    rows: Embedding,
    padding: Option<u32>,
    mode: BagMode,
}

/// Bags of a table below `vb` under the name `weight`, initialised like [`embedding`].
///
/// # Errors
/// As [`embedding`].
pub fn embedding_bag(
    n_rows: usize,
    width: usize,
    mode: BagMode,
    vb: VarBuilder<'_>,
) -> Result<EmbeddingBag> {
    Ok(EmbeddingBag { rows: embedding(n_rows, width, vb)?, padding: None, mode })
}

impl EmbeddingBag {
    /// The same with a row that is in no bag and never gets a gradient.
    #[must_use]
    pub fn with_padding(self, row: u32) -> Self {
        EmbeddingBag { rows: self.rows.with_padding(row), padding: Some(row), ..self }
    }

    /// Puts each bag together.
    ///
    /// # Errors
    /// [`Error::InputShape`] unless ids are `[batch, bag]`; [`Error::OutOfRange`] for an id that is no row.
    pub fn forward(&self, cx: &Context<'_>, ids: &Tensor) -> Result<Tensor> {
        self.weighted(cx, ids, None)
    }

    /// The sum of rows times weights `[batch, bag]`, which are not differentiated. In mode mean it is divided by the number of
    /// rows, not by the sum of weights.
    ///
    /// # Errors
    /// As [`EmbeddingBag::forward`], also if the weights have another shape than the ids.
    pub fn forward_weighted(
        &self,
        cx: &Context<'_>,
        ids: &Tensor,
        weights: &Tensor,
    ) -> Result<Tensor> {
        self.weighted(cx, ids, Some(weights))
    }

    fn weighted(&self, cx: &Context<'_>, ids: &Tensor, weights: Option<&Tensor>) -> Result<Tensor> {
        let misfit = |t: &Tensor, expected: String| Error::InputShape {
            layer: self.rows.table().name().into(),
            expected,
            got: t.dims().to_vec(),
        };
        let &[batch, bag] = ids.dims() else { return Err(misfit(ids, "[batch, bag]".into())) };
        if let Some(weights) = weights.filter(|w| w.dims() != ids.dims()) {
            return Err(misfit(weights, format!("[{batch}, {bag}]")));
        }
        let rows = self.rows.forward(cx, ids)?;
        let dtype = rows.dtype();
        let ids = ids.to_dtype(DType::I64)?.to_device(rows.device())?;
        let there = match self.padding {
            Some(row) => ids.ne(i64::from(row))?.to_dtype(dtype)?,
            None => ids.ones_like()?.to_dtype(dtype)?,
        };
        let share = match self.mode {
            BagMode::Sum => there.clone(),
            BagMode::Mean => {
                let n = there.sum_keepdim(1)?;
                there.broadcast_div(&n.maximum(&n.ones_like()?)?)?
            }
        };
        let share = match weights {
            Some(weights) => (share * weights.to_dtype(dtype)?.to_device(rows.device())?)?,
            None => share,
        };
        Ok(rows.broadcast_mul(&share.unsqueeze(2)?)?.sum(1)?)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use tensor_tree::Tree;

    use super::*;
    use crate::param::Param;
    use crate::testing::{assert_close, normal, per_sample};

    fn bag(mode: BagMode) -> EmbeddingBag {
        let rows = Embedding::new(Param::named("weight", &[5, 3]));
        EmbeddingBag { rows, padding: None, mode }.with_padding(0)
    }

    fn ids() -> Tensor {
        Tensor::new(&[[1u32, 4, 4, 0], [0, 0, 0, 0], [2, 0, 3, 1]], &Device::Cpu).unwrap()
    }

    #[test]
    fn bags_are_sums_and_means_without_padding() {
        let params = Tree::from_leaves([("weight", normal(&[5, 3], 1))]).unwrap();
        let none = Tree::new();
        let cx = Context::eval(&params, &none);
        let table = params.get("weight").unwrap();
        // How often each row is in each bag.
        let counts =
            [[0.0, 1.0, 0.0, 0.0, 2.0], [0.0, 0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 1.0, 1.0, 0.0]];
        let want = Tensor::new(&counts, &Device::Cpu).unwrap().matmul(table).unwrap();
        let sum = bag(BagMode::Sum).forward(&cx, &ids()).unwrap();
        assert_close(&sum, &want, 1e-14, "sum");
        let mean = bag(BagMode::Mean).forward(&cx, &ids()).unwrap();
        let thirds = Tensor::new(&[[3.0], [1.0], [3.0]], &Device::Cpu).unwrap();
        assert_close(&mean.broadcast_mul(&thirds).unwrap(), &want, 1e-14, "mean");
        let weights = Tensor::full(2.0, (3, 4), &Device::Cpu).unwrap();
        let twice = bag(BagMode::Sum).forward_weighted(&cx, &ids(), &weights).unwrap();
        assert_close(&twice, &(want * 2.0).unwrap(), 1e-14, "weighted");
    }

    #[test]
    fn the_gradient_of_a_row_counts_how_often_it_is_in_the_bag() {
        let params = Tree::from_leaves([("weight", normal(&[5, 3], 1))]).unwrap();
        let none = Tree::new();
        let grads = per_sample(&params, 3, |tape| {
            let cx = Context::recording(&params, &none, tape);
            bag(BagMode::Mean).forward(&cx, &ids()).unwrap().sum_all().unwrap()
        });
        let third = 1.0 / 3.0;
        let rows = [
            [0.0, third, 0.0, 0.0, 2.0 * third],
            [0.0, 0.0, 0.0, 0.0, 0.0],
            [0.0, third, third, third, 0.0],
        ];
        let want = Tensor::new(&rows, &Device::Cpu).unwrap().unsqueeze(2).unwrap();
        let want = want.broadcast_as((3, 5, 3)).unwrap().contiguous().unwrap();
        assert_close(grads.get("weight").unwrap(), &want, 1e-14, "gradient");
    }

    #[test]
    fn bags_that_are_none_are_errors() {
        let params = Tree::from_leaves([("weight", normal(&[5, 3], 1))]).unwrap();
        let none = Tree::new();
        let cx = Context::eval(&params, &none);
        let flat = Tensor::new(&[1u32, 2], &Device::Cpu).unwrap();
        let got = bag(BagMode::Sum).forward(&cx, &flat);
        assert!(matches!(got, Err(Error::InputShape { .. })));
        let far = Tensor::new(&[[1u32, 5]], &Device::Cpu).unwrap();
        assert!(matches!(bag(BagMode::Sum).forward(&cx, &far), Err(Error::OutOfRange { .. })));
        let weights = Tensor::full(2.0, (3, 3), &Device::Cpu).unwrap();
        let got = bag(BagMode::Sum).forward_weighted(&cx, &ids(), &weights);
        assert!(matches!(got, Err(Error::InputShape { .. })));
    }
}
