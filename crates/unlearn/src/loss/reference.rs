//! What a model says before unlearning, computed once.

use std::sync::Arc;

use candle_core::{DType, Device};
use tape_nn::Context;
use tape_nn::net::LanguageModel;
use tensor_tree::Tree;

use super::pass::Objective;
use super::{Loss, Positions};
use crate::batch::{Batch, Item, padded};
use crate::text::Sample;
use crate::{Error, Result};

/// A model as it is before unlearning.
#[derive(Debug)]
pub struct Reference<'a, M: ?Sized> {
    /// The model.
    pub model: &'a M,
    /// Its parameters that are trained later.
    pub params: &'a Tree,
    /// Its other ones.
    pub frozen: &'a Tree,
    /// Where it computes.
    pub device: &'a Device,
    /// Samples of a pass.
    pub batch: usize,
    /// Most bytes that logits of samples may take in all.
    pub most_bytes: usize,
}

impl<M: LanguageModel + ?Sized> Reference<'_, M> {
    /// Writes into items what a loss needs of them. Logits are kept in single precision: four bytes for each token of the vocabulary
    /// and position.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for logits of more than the most bytes, [`Error::Missing`] for items without a refusal; those of the model.
    pub fn fill(&self, items: &mut [Item], loss: Loss) -> Result<()> {
        let needs = loss.needs();
        if needs.refusal && items.iter().any(|item| item.refusal.is_none()) {
            return Err(super::missing(loss, "a refusal"));
        }
        if needs.reference {
            let all = self.log_probs(items, |i| Some(&i.sample))?;
            for (item, log_p) in items.iter_mut().zip(all) {
                item.reference = Some(log_p);
            }
        }
        if needs.reference && needs.refusal {
            let all = self.log_probs(items, |i| i.refusal.as_ref())?;
            for (item, log_q) in items.iter_mut().zip(all) {
                item.refusal_reference = Some(log_q);
            }
        }
        if let Loss::Tokens(_, positions) = loss
            && needs.distributions
        {
            self.distributions(items, positions)?;
        }
        Ok(())
    }

    /// `log p0` of one answer of each item.
    fn log_probs(&self, items: &[Item], of: impl Fn(&Item) -> Option<&Sample>) -> Result<Vec<f64>> {
        let objective = Objective { model: self.model, frozen: self.frozen, loss: Loss::NextToken };
        let mut out = Vec::with_capacity(items.len());
        let samples: Vec<Sample> = items.iter().filter_map(|i| of(i).cloned()).collect();
        for samples in samples.chunks(self.batch.max(1)) {
            let batch = Batch::new(samples.iter().cloned().map(Item::from), self.device)?;
            let sums = objective.value(self.params, &[batch])?.losses.sum;
            out.extend(sums.to_dtype(DType::F64)?.to_vec1::<f64>()?.into_iter().map(|x| -x));
        }
        Ok(out)
    }

    fn distributions(&self, items: &mut [Item], positions: Positions) -> Result<()> {
        let first = |sample: &Sample| match positions {
            Positions::Answer => sample.first_label(),
            Positions::Text => 0,
        };
        let n: usize = items.iter().map(|i| i.sample.n_positions() - first(&i.sample)).sum();
        let bytes = n * self.model.vocab_size() * size_of::<f32>();
        if self.most_bytes < bytes {
            let what = "logits before unlearning";
            return Err(Error::TooLarge { what, bytes, most: self.most_bytes });
        }
        let cx = Context::eval(self.params, self.frozen);
        for items in items.chunks_mut(self.batch.max(1)) {
            let texts = padded(items.iter().map(|item| &item.sample), 0, self.device)?;
            let logits = self.model.logits(&cx, &texts.ids)?.to_dtype(DType::F32)?;
            let logits = logits.to_device(&Device::Cpu)?;
            for (i, item) in items.iter_mut().enumerate() {
                let (from, to) = (first(&item.sample), item.sample.n_positions());
                let rows = logits.get(i)?.narrow(0, from, to - from)?;
                item.distributions = Some(Arc::from(rows.flatten_all()?.to_vec1::<f32>()?));
            }
        }
        Ok(())
    }
}
