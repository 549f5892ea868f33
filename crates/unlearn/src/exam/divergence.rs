//! How far two models are apart in what they expect next.

use candle_core::{DType, Device, Tensor};
use tape_nn::Context;
use tape_nn::net::LanguageModel;

use super::Subject;
use crate::batch::{padded, similar};
use crate::objective::TokenLoss;
use crate::row::Row;
use crate::text::Sample;
use crate::{Error, Result};

impl<M: LanguageModel + ?Sized> Subject<'_, M> {
    /// The mean of `KL(q || p)` in nats over the tokens of all answers, the end of an answer included: `p` is what this model expects at a
    /// token given all before, `q` what the other one does, the gold model say. At least 0, and 0 where both expect the same.
    ///
    /// On rows to forget it is what a model still betrays, or overdoes, beside one that never saw them. `go_on` is told how many rows are
    /// done. Logits of at most [`Subject::batch`] rows are held at once.
    ///
    /// # Errors
    /// [`Error::Empty`] without rows; [`Error::Length`] for models with different vocabularies; [`Error::Row`] for a row that both
    /// tokenizers do not cut alike; [`Error::OneOutOfRange`] for a logit that is not finite; [`tape_nn::Error::Stopped`] once `go_on`
    /// says no; those of the models.
    pub fn divergence<O: LanguageModel + ?Sized>(
        &self,
        gold: &Subject<'_, O>,
        rows: &[Row],
        go_on: &mut dyn FnMut(usize) -> bool,
    ) -> Result<f64> {
        let (expected, got) = (self.model.vocab_size(), gold.model.vocab_size());
        if expected != got {
            let name = "tokens of the other model";
            return Err(Error::Length { name, expected, got });
        }
        let samples = rows.iter().map(|row| self.same(gold, row)).collect::<Result<Vec<_>>>()?;
        let mut samples = samples.concat();
        samples.sort_by_key(Sample::n_positions);
        let (mut sum, mut n, mut n_done, mut done) = (0.0, 0, 0, 0);
        for together in similar(&samples, Sample::n_positions, self.batch, self.device) {
            if !go_on(done) {
                let what = "comparing two models";
                return Err(tape_nn::Error::Stopped { what, done, total: rows.len() }.into());
            }
            let (own, others) = (self.logits(together)?, gold.logits(together)?);
            for (i, sample) in together.iter().enumerate() {
                for at in sample.first_label()..sample.n_positions() {
                    let token = sample.tokens()[at + 1] as usize;
                    sum += TokenLoss::Kl.value(&of(&own, i, at)?, token, &of(&others, i, at)?)?.0;
                    n += 1;
                }
            }
            n_done += together.len();
            done = n_done * rows.len() / samples.len();
        }
        if n == 0 { Err(Error::Empty { what: "rows" }) } else { Ok(sum / f64::from(n)) }
    }

    /// The row in tokens, which are those of the other model too.
    fn same<O: LanguageModel + ?Sized>(
        &self,
        other: &Subject<'_, O>,
        row: &Row,
    ) -> Result<Vec<Sample>> {
        let (own, others) = (self.samples(row, &row.output)?.0, other.samples(row, &row.output)?.0);
        if own == others {
            return Ok(own);
        }
        let all = |samples: &[Sample]| -> Vec<u32> {
            samples.iter().flat_map(|sample| sample.tokens().iter().copied()).collect()
        };
        let (own, others) = (all(&own), all(&others));
        let pairs = own.iter().zip(&others);
        let at = pairs.take_while(|(own, other)| own == other).count();
        let of = |tokens: &[u32]| match tokens.get(at) {
            Some(token) => format!("token {token}"),
            None => "the end".to_owned(),
        };
        let source = Box::new(Error::DifferentTokens { at, own: of(&own), other: of(&others) });
        Err(Error::Row { id: row.id.clone(), source })
    }

    fn logits(&self, samples: &[Sample]) -> Result<Tensor> {
        let texts = padded(samples.iter(), 0, self.device)?;
        let cx = Context::eval(self.trainable, self.frozen);
        let logits = self.model.logits(&cx, &texts.ids)?;
        Ok(logits.detach().to_device(&Device::Cpu)?)
    }
}

/// The logits at a position of a sample.
fn of(logits: &Tensor, sample: usize, position: usize) -> Result<Vec<f64>> {
    Ok(logits.get(sample)?.get(position)?.to_dtype(DType::F64)?.to_vec1()?)
}
