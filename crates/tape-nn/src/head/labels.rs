//! Classes of positions, checked.

use candle_core::{DType, Device, Tensor};
use tensor_tree::host::Real;

use crate::error::{Error, Result};

/// Labels of a batch, checked.
#[derive(Clone, Debug)]
pub(crate) struct Labels {
    /// The class of each position; `None` where it does not count.
    pub(crate) classes: Vec<Option<usize>>,
    pub(crate) batch: usize,
    pub(crate) positions: usize,
}

impl Labels {
    pub(crate) fn read(
        labels: &Tensor,
        batch: usize,
        positions: usize,
        n_classes: usize,
        ignore: Option<i64>,
    ) -> Result<Labels> {
        if labels.elem_count() != batch * positions || labels.dims().first() != Some(&batch) {
            return Err(Error::InputShape {
                layer: "cross-entropy".into(),
                expected: format!("labels [{batch}, ..] with {positions} positions per sample"),
                got: labels.dims().to_vec(),
            });
        }
        let values = labels
            .to_dtype(DType::I64)?
            .to_device(&Device::Cpu)?
            .flatten_all()?
            .to_vec1::<i64>()?;
        let classes = values
            .into_iter()
            .enumerate()
            .map(|(position, label)| match usize::try_from(label) {
                _ if Some(label) == ignore => Ok(None),
                Ok(class) if class < n_classes => Ok(Some(class)),
                _ => {
                    Err(Error::OutOfRange { what: "label", got: label, position, limit: n_classes })
                }
            })
            .collect::<Result<_>>()?;
        Ok(Labels { classes, batch, positions })
    }

    /// How many positions count in each sample.
    pub(crate) fn weights(&self, dtype: DType, device: &Device) -> Result<Tensor> {
        let counts: Vec<f64> =
            (0..self.batch).map(|i| self.of(i).iter().flatten().count() as f64).collect();
        Ok(Tensor::from_vec(counts, self.batch, device)?.to_dtype(dtype)?)
    }

    fn of(&self, sample: usize) -> &[Option<usize>] {
        &self.classes[sample * self.positions..(sample + 1) * self.positions]
    }

    /// Adds up the losses of positions for each sample, in doubles.
    pub(crate) fn sample_sums<T: Real>(&self, loss: impl Fn(usize) -> f64) -> Vec<T> {
        (0..self.batch)
            .map(|i| T::of((0..self.positions).map(|t| loss(i * self.positions + t)).sum()))
            .collect()
    }
}
