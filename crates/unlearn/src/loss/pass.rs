//! Passes of a model over batches: values, and gradients that do not depend on how a batch is cut or padded.

use candle_core::{DType, Tensor};
use tape_nn::loss::{linear_cross_entropy, of_positions};
use tape_nn::net::{IGNORED, LanguageModel, Texts};
use tape_nn::{Context, Tape};
use tensor_tree::{Losses, Tree};

use super::{Loss, Positions, missing};
use crate::batch::Batch;
use crate::objective::{Answers, ForgetLoss, TokenLoss};
use crate::{Error, Result};

/// A loss of a model.
#[derive(Debug)]
pub struct Objective<'a, M: ?Sized> {
    /// The model.
    pub model: &'a M,
    /// Its parameters that are not trained.
    pub frozen: &'a Tree,
    /// What is computed of it.
    pub loss: Loss,
}

// By hand: references are copied whatever they point to.
impl<M: ?Sized> Clone for Objective<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M: ?Sized> Copy for Objective<'_, M> {}

/// What a pass over an effective batch gave.
#[derive(Clone, Debug)]
pub struct Pass {
    /// The mean of the loss over what counts: the value that is descended.
    pub loss: f64,
    /// The mean of `-log p` over the tokens of the answers, in nats.
    pub nll: f64,
    /// Sums of the loss and weights of each sample, detached.
    pub losses: Losses,
    /// The gradient of `loss`; empty where none was asked for.
    pub gradient: Tree,
}

/// One micro-batch: the losses in the graph, and sums of `-log p` with the number of tokens.
struct Parts {
    losses: Losses,
    nll: (f64, f64),
}

impl<M: LanguageModel + ?Sized> Objective<'_, M> {
    /// The value and the gradient of the mean over all of these micro-batches, which are one effective batch: how it is cut changes
    /// rounding alone.
    ///
    /// # Errors
    /// [`Error::Missing`] if samples lack what the loss needs, [`Error::NonFinite`] for a loss that is not finite,
    /// [`Error::Empty`] without batches or if nothing counts; those of the model.
    pub fn gradient(&self, params: &Tree, batches: &[Batch]) -> Result<Pass> {
        finite(self.pass(params, batches, true)?)
    }

    /// The value alone, outside any graph.
    ///
    /// # Errors
    /// As [`Self::gradient`].
    pub fn value(&self, params: &Tree, batches: &[Batch]) -> Result<Pass> {
        finite(self.pass(params, batches, false)?)
    }

    /// The value alone, which need not be finite: for controllers of rates, which know what to do then.
    pub(crate) fn any_value(&self, params: &Tree, batches: &[Batch]) -> Result<Pass> {
        self.pass(params, batches, false)
    }

    fn pass(&self, params: &Tree, batches: &[Batch], wanted: bool) -> Result<Pass> {
        let mut sum: Option<Tree> = None;
        let (mut sums, mut weights) = (Vec::new(), Vec::new());
        let (mut nll, mut n_tokens) = (0.0, 0.0);
        for batch in batches {
            let parts = if wanted {
                let device = batch.texts.ids.device();
                let tape = Tape::summing(device)?;
                let cx = Context::recording(params, self.frozen, &tape);
                let parts = self.parts(&cx, params, batch)?;
                if 0.0 < total(&parts.losses.weight)? {
                    parts.losses.sum.sum_all()?.backward()?;
                    let gradient = tape.into_sum(params)?;
                    sum = Some(match sum {
                        None => gradient,
                        Some(sum) => sum.add_scaled(1.0, &gradient)?,
                    });
                }
                parts
            } else {
                self.parts(&Context::eval(params, self.frozen), params, batch)?
            };
            sums.push(parts.losses.sum.detach());
            weights.push(parts.losses.weight.detach());
            nll += parts.nll.0;
            n_tokens += parts.nll.1;
        }
        if sums.is_empty() {
            return Err(Error::Empty { what: "batches of a pass" });
        }
        let losses = Losses { sum: Tensor::cat(&sums, 0)?, weight: Tensor::cat(&weights, 0)? };
        let weight = total(&losses.weight)?;
        if weight == 0.0 {
            return Err(Error::Empty { what: "tokens that count in a batch" });
        }
        let loss = total(&losses.sum)? / weight;
        let gradient = sum.map(|sum| sum.scale(1.0 / weight)).transpose()?.unwrap_or_default();
        Ok(Pass { loss, nll: nll / n_tokens, losses, gradient })
    }

    fn parts(&self, cx: &Context<'_>, params: &Tree, batch: &Batch) -> Result<Parts> {
        match self.loss {
            Loss::NextToken => {
                let losses = self.cross_entropy(cx, &batch.texts)?;
                let nll = (total(&losses.sum)?, total(&losses.weight)?);
                Ok(Parts { losses, nll })
            }
            Loss::Refusal => {
                let refusals =
                    batch.refusals.as_ref().ok_or_else(|| missing(self.loss, "a refusal"))?;
                let losses = self.cross_entropy(cx, refusals)?;
                // What became of the answers themselves, without a gradient.
                let nll = self.cross_entropy(&Context::eval(params, self.frozen), &batch.texts)?;
                Ok(Parts { losses, nll: (total(&nll.sum)?, total(&nll.weight)?) })
            }
            Loss::Answers(loss) => self.answers(cx, loss, batch),
            Loss::Tokens(loss, positions) => self.tokens(cx, loss, positions, batch),
        }
    }

    fn cross_entropy(&self, cx: &Context<'_>, texts: &Texts) -> Result<Losses> {
        let hidden = self.model.hidden(cx, &texts.ids)?;
        Ok(linear_cross_entropy(cx, self.model.head(), &hidden, &texts.labels, Some(IGNORED))?)
    }

    /// Losses of whole answers by the chain rule: each enters the graph as its value, with its derivative as the factor of `log p`.
    fn answers(&self, cx: &Context<'_>, loss: ForgetLoss, batch: &Batch) -> Result<Parts> {
        let nll = self.cross_entropy(cx, &batch.texts)?;
        let sums = (total(&nll.sum)?, total(&nll.weight)?);
        if loss == ForgetLoss::Ascent {
            return Ok(Parts {
                losses: Losses { sum: nll.sum.neg()?, weight: nll.weight },
                nll: sums,
            });
        }
        let refusals = match loss {
            ForgetLoss::Dpo { .. } => {
                let texts =
                    batch.refusals.as_ref().ok_or_else(|| missing(self.loss, "a refusal"))?;
                Some(self.cross_entropy(cx, texts)?)
            }
            _ => None,
        };
        let log_p = negated(&nll.sum)?;
        let log_q = refusals.as_ref().map(|r| negated(&r.sum)).transpose()?;
        let needs = self.loss.needs();
        let mut values = Vec::with_capacity(batch.len());
        let (mut of_forget, mut of_refusal) = (Vec::new(), Vec::new());
        for (i, item) in batch.items.iter().enumerate() {
            let known = |wanted: bool, value: Option<f64>, what| match value {
                Some(value) => Ok([value]),
                None if wanted => Err(missing(self.loss, what)),
                None => Ok([0.0]),
            };
            let reference = known(needs.reference, item.reference, "a reference log-probability")?;
            let what = "a reference log-probability of its refusal";
            let wanted = needs.reference && needs.refusal;
            let refusal_reference = known(wanted, item.refusal_reference, what)?;
            let refusal = [log_q.as_ref().map_or(0.0, |q| q[i])];
            if !log_p[i].is_finite() || !refusal[0].is_finite() {
                // As a loss that is not finite, which its caller judges.
                values.push(f64::NAN);
                of_forget.push(0.0);
                of_refusal.push(0.0);
                continue;
            }
            let value = loss.value(Answers {
                forget: &[log_p[i]],
                forget_reference: &reference,
                n_tokens: &[item.sample.n_labels()],
                refusal: &refusal,
                refusal_reference: &refusal_reference,
            })?;
            values.push(value.loss);
            of_forget.push(value.forget[0]);
            of_refusal.extend(value.refusal);
        }
        let like = &nll.sum;
        let mut sum = by_chain_rule(&nll.sum, &log_p, &of_forget)?;
        if let (Some(refusals), Some(log_q)) = (&refusals, &log_q) {
            sum = (sum + by_chain_rule(&refusals.sum, log_q, &of_refusal)?)?;
        }
        let sum = (sum + on(like, &values)?)?;
        let weight = like.ones_like()?.detach();
        Ok(Parts { losses: Losses { sum, weight }, nll: sums })
    }

    fn tokens(
        &self,
        cx: &Context<'_>,
        loss: TokenLoss,
        positions: Positions,
        batch: &Batch,
    ) -> Result<Parts> {
        loss.check()?;
        let logits = self.model.logits(cx, &batch.texts.ids)?;
        let &[n, width, vocab] = logits.dims() else {
            return Err(Error::Empty { what: "logits" });
        };
        let labels =
            tape_nn::loss::cross_entropy(&logits.detach(), &batch.texts.labels, Some(IGNORED))?;
        // For each position: its label, and where its reference begins.
        let mut counted: Vec<Option<(usize, usize)>> = vec![None; n * width];
        for (i, item) in batch.items.iter().enumerate() {
            let sample = &item.sample;
            let first = match positions {
                Positions::Answer => sample.first_label(),
                Positions::Text => 0,
            };
            let all = first..sample.n_positions();
            if loss.needs_reference() {
                let got = item.distributions.as_ref().map_or(0, |d| d.len());
                if got != all.len() * vocab {
                    let what = "the reference's logits at every position that counts";
                    return Err(missing(self.loss, what));
                }
            }
            for (at, p) in all.enumerate().skip(loss.skipped()) {
                let token = sample.tokens()[p + 1] as usize;
                counted[i * width + p] = Some((token, at * vocab));
            }
        }
        let losses = of_positions(&logits, |row, z, gradient| {
            let (token, from) = counted[row]?;
            let reference: Vec<f64> = match &batch.items[row / width].distributions {
                Some(d) if loss.needs_reference() => {
                    d[from..from + vocab].iter().map(|z| f64::from(*z)).collect()
                }
                _ => Vec::new(),
            };
            Some(loss.at(z, token, &reference, gradient))
        })?;
        Ok(Parts { losses, nll: (total(&labels.sum)?, total(&labels.weight)?) })
    }
}

/// A pass whose loss is a finite number, and that of the answers themselves too.
fn finite(pass: Pass) -> Result<Pass> {
    for (what, got) in [("loss of a batch", pass.loss), ("loss of answers", pass.nll)] {
        if !got.is_finite() {
            return Err(Error::NonFinite { what, got });
        }
    }
    Ok(pass)
}

/// Zero in value, with these derivatives by each sample's `log p`, of which `nll` is the negative.
fn by_chain_rule(nll: &Tensor, log_p: &[f64], weights: &[f64]) -> Result<Tensor> {
    let weighted: Vec<f64> = log_p.iter().zip(weights).map(|(p, w)| w * p).collect();
    let weights: Vec<f64> = weights.iter().map(|w| -w).collect();
    Ok(((nll * on(nll, &weights)?)? - on(nll, &weighted)?)?)
}

/// Numbers as a tensor of the type and place of another.
fn on(like: &Tensor, values: &[f64]) -> Result<Tensor> {
    let values = Tensor::new(values, &candle_core::Device::Cpu)?;
    Ok(values.to_dtype(like.dtype())?.to_device(like.device())?)
}

fn host(x: &Tensor) -> Result<Vec<f64>> {
    Ok(x.detach().to_dtype(DType::F64)?.to_vec1::<f64>()?)
}

fn negated(x: &Tensor) -> Result<Vec<f64>> {
    Ok(host(x)?.into_iter().map(|x| -x).collect())
}

fn total(x: &Tensor) -> Result<f64> {
    Ok(host(x)?.into_iter().sum())
}

/// Values alone, for controllers of rates, which know what to do where they are not finite: batches are micro-batches of one effective
/// batch.
impl<M: LanguageModel + ?Sized> tensor_tree::Objective for Objective<'_, M> {
    type Batch = Vec<Batch>;

    fn losses(
        &self,
        params: &Tree,
        batches: &Vec<Batch>,
        _pass: tensor_tree::Pass,
    ) -> tensor_tree::Result<Losses> {
        self.any_value(params, batches).map(|pass| pass.losses).map_err(Error::into_tree)
    }
}

/// Gradients of the mean over what counts alone.
impl<M: LanguageModel + ?Sized> tensor_tree::Differentiable for Objective<'_, M> {
    fn value_and_grad(
        &self,
        params: &Tree,
        batches: &Vec<Batch>,
        _pass: tensor_tree::Pass,
        _reduction: tensor_tree::Reduction,
    ) -> tensor_tree::Result<(Losses, Tree)> {
        let pass = self.gradient(params, batches).map_err(Error::into_tree)?;
        Ok((pass.losses, pass.gradient))
    }
}
