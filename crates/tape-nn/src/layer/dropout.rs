//! Dropout whose masks belong to samples.

use candle_core::{DType, Tensor};
use tensor_tree::Key;
use tensor_tree::host::{Real, from_vec};

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
    /// [`Error::SampleIds`] in training unless the pass has one sample number for each row of `x`;
    /// [`Error::InputShape`] without a batch axis.
    pub fn forward(&self, cx: &Context<'_>, x: &Tensor) -> Result<Tensor> {
        if self.rate == 0.0 {
            return Ok(x.clone());
        }
        let Some(batch) = x.dims().first() else {
            return Err(Error::InputShape {
                layer: self.name.clone(),
                expected: "[batch, ..]".into(),
                got: vec![],
            });
        };
        let Some(keys) = cx.dropout_keys(&self.name, *batch)? else { return Ok(x.clone()) };
        let mask = match x.dtype() {
            DType::F64 => mask::<f64>(self.rate, &keys, x)?,
            _ => mask::<f32>(self.rate, &keys, x)?,
        };
        let mask = mask.to_dtype(x.dtype())?.to_device(x.device())?;
        let value = Value::tensor((x.detach() * &mask)?)?;
        let needs_input = x.track_op();
        let backward =
            move |grad: &Tensor| Ok([if needs_input { Some((grad * &mask)?) } else { None }]);
        Ok(node("dropout", x, None, value, backward)?)
    }
}

fn mask<T: Real>(rate: f64, keys: &[Key], x: &Tensor) -> Result<Tensor> {
    let size = x.elem_count() / keys.len().max(1);
    let mut out = vec![T::default(); x.elem_count()];
    let keep = T::of(1.0 / (1.0 - rate));
    let rate = T::of(rate);
    for (key, piece) in keys.iter().zip(out.chunks_mut(size.max(1))) {
        key.fill_uniform(piece);
        for v in piece {
            *v = if *v < rate { T::default() } else { keep };
        }
    }
    Ok(from_vec(out, x.shape())?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use tensor_tree::{Pass, Tree};

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

    #[test]
    fn training_needs_one_number_for_each_sample() {
        let tree = Tree::new();
        let pass = Pass::Train { key: Key::from_seed(1) };
        let x = Tensor::ones((2, 5), DType::F32, &Device::Cpu).unwrap();
        let run = |rate: f64, ids: Option<&[u64]>, pass| {
            let cx = Context::eval(&tree, &tree).in_pass(pass, ids);
            Dropout::new("drop", rate).unwrap().forward(&cx, &x)
        };
        for ids in [None, Some(&[1u64][..]), Some(&[1, 2, 3])] {
            let n = ids.map_or(0, <[u64]>::len);
            let error = run(0.5, ids, pass).unwrap_err();
            assert!(
                matches!(&error, Error::SampleIds { layer, expected: 2, got } if layer == "drop" && *got == n),
                "{error}"
            );
            assert!(run(0.0, ids, pass).is_ok() && run(0.5, ids, Pass::Eval).is_ok());
        }
        assert!(run(0.5, Some(&[1, 2]), pass).is_ok());
    }

    #[test]
    fn half_precision_gets_the_masks_of_single_precision() {
        let tree = Tree::new();
        let pass = Pass::Train { key: Key::from_seed(1) };
        let layer = Dropout::new("drop", 0.5).unwrap();
        let run = |dtype: DType| {
            let x = Tensor::ones((2, 50), dtype, &Device::Cpu).unwrap();
            let cx = Context::eval(&tree, &tree).in_pass(pass, Some(&[3, 4]));
            let y = layer.forward(&cx, &x).unwrap();
            assert_eq!(y.dtype(), dtype);
            y.to_dtype(DType::F32).unwrap().to_vec2::<f32>().unwrap()
        };
        assert_eq!(run(DType::F32), run(DType::BF16));
        assert_eq!(run(DType::F32), run(DType::F16));
    }
}
