//! Dropout whose masks belong to samples.

use candle_core::Tensor;
use tensor_tree::host::{Real, from_vec};

use super::by_dtype;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::graph::{Value, node};

/// Sets each element to zero with probability `rate` and divides the others by `1 - rate`, in training only.
///
/// A sample's mask depends on the key of the step, the layer's name and the sample's number: micro-batches and
/// several probe points see the same mask.
#[derive(Clone, Debug, PartialEq)]
pub struct Dropout {
    name: String,
    rate: f64,
}

impl Dropout {
    /// A dropout layer of that name.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] unless `0 <= rate < 1`.
    pub fn new(name: impl Into<String>, rate: f64) -> Result<Self> {
        if !(0.0..1.0).contains(&rate) {
            return Err(Error::InvalidSetting {
                name: "dropout rate".into(),
                must: "in [0, 1)",
                got: rate.to_string(),
            });
        }
        Ok(Dropout { name: name.into(), rate })
    }

    /// Applies the masks of this pass.
    ///
    /// # Errors
    /// From the back-end.
    pub fn forward(&self, cx: &Context<'_>, x: &Tensor) -> Result<Tensor> {
        if self.rate == 0.0 || cx.dropout_key(&self.name, 0).is_none() {
            return Ok(x.clone());
        }
        let mask = by_dtype!("dropout", x, mask::<T>(self, cx, x))?.to_device(x.device())?;
        let value = Value::tensor((x.detach() * &mask)?)?;
        let needs_input = x.track_op();
        let backward =
            move |grad: &Tensor| Ok([if needs_input { Some((grad * &mask)?) } else { None }]);
        Ok(node("dropout", x, None, value, backward)?)
    }
}

fn mask<T: Real>(layer: &Dropout, cx: &Context<'_>, x: &Tensor) -> Result<Tensor> {
    let batch = x.dims().first().copied().unwrap_or(0);
    let size = x.elem_count() / batch.max(1);
    let mut out = vec![T::default(); x.elem_count()];
    let keep = T::of(1.0 / (1.0 - layer.rate));
    let rate = T::of(layer.rate);
    for (row, piece) in out.chunks_mut(size.max(1)).enumerate() {
        if let Some(key) = cx.dropout_key(&layer.name, row) {
            key.fill_uniform(piece);
        }
        for v in piece {
            *v = if *v < rate { T::default() } else { keep };
        }
    }
    Ok(from_vec(out, x.shape())?)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use tensor_tree::{Key, Pass, Tree};

    use super::*;

    #[test]
    fn a_mask_belongs_to_the_sample_and_not_to_its_place() {
        let tree = Tree::new();
        let x = Tensor::ones((2, 50), DType::F32, &Device::Cpu).unwrap();
        let layer = Dropout::new("drop", 0.4).unwrap();
        let pass = Pass::Train { key: Key::from_seed(1) };
        let run = |ids: &[u64], pass| {
            let cx = Context::eval(&tree, &tree).in_pass(pass, Some(ids));
            layer.forward(&cx, &x).unwrap().to_vec2::<f32>().unwrap()
        };
        let (a, b) = (run(&[7, 9], pass), run(&[9, 7], pass));
        assert_eq!((&a[0], &a[1]), (&b[1], &b[0]));
        assert_ne!(a[0], a[1]);
        assert_eq!(run(&[7, 9], Pass::Eval), [[1.0; 50]; 2]);
        // Mean of the mask within five standard errors of one.
        let mean = a.iter().flatten().sum::<f32>() / 100.0;
        assert!((mean - 1.0).abs() < 5.0 * (0.4f32 / 0.6 / 100.0).sqrt(), "{mean}");
        assert!(Dropout::new("drop", 1.0).is_err() && Dropout::new("drop", f64::NAN).is_err());
    }
}
