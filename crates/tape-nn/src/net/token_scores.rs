//! What a model says of each token of given texts.

use candle_core::{DType, Tensor};
use tensor_tree::Tree;
use tensor_tree::host::{Host, Real};

use super::{IGNORED, LanguageModel, Texts};
use crate::context::Context;
use crate::error::Result;
use crate::head::{Labels, rows_at_a_time};
use crate::kernel::map_indices;
use crate::layer::{by_dtype, is_host};

/// What a model says of one token, given the true tokens before it. Logarithms are natural.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenScore {
    /// Logarithm of the token's probability.
    pub log_prob: f64,
    /// Whether the token is the one that greedy decoding takes: no other is likelier, and none of a smaller number as
    /// likely.
    pub is_argmax: bool,
    /// The mean log-probability of a token drawn by the model, `mu = sum_v p_v log p_v`: minus the entropy.
    pub mean: f64,
    /// The variance of the same, `sum_v p_v (log p_v)^2 - mu^2`, and at least 1e-6.
    pub variance: f64,
}

/// The least variance, as in the published code of Min-K%++.
const LEAST_VARIANCE: f64 = 1e-6;

impl TokenScore {
    /// `(log_prob - mean) / sqrt(variance)`: the score of a token in Min-K%++.
    #[must_use]
    pub fn standardized(&self) -> f64 {
        (self.log_prob - self.mean) / self.variance.sqrt()
    }
}

/// The scores of the labelled positions of each text, in their order, by the parameters of both trees. A token of
/// probability 0 has the log-probability of negative infinity and counts nothing in mean and variance; logits that are
/// no numbers give scores that are none.
///
/// The logits of only a few positions exist at a time.
///
/// # Errors
/// [`Error::OutOfRange`](crate::Error::OutOfRange) for a label that is no token and not [`IGNORED`]; as
/// [`LanguageModel::logits`].
///
/// # Source
/// Mean and variance: arXiv 2404.02936, equation 3.
pub fn token_scores<M: LanguageModel + ?Sized>(
    model: &M,
    trainable: &Tree,
    frozen: &Tree,
    texts: &Texts,
) -> Result<Vec<Vec<TokenScore>>> {
    let cx = Context::eval(trainable, frozen);
    let hidden = model.hidden(&cx, &texts.ids)?;
    let (batch, t, width) = hidden.dims3()?;
    let labels = Labels::read(&texts.labels, batch, t, model.vocab_size(), Some(IGNORED))?;
    let rows = hidden.reshape((batch * t, width))?;
    let labelled: Vec<(usize, usize)> = labels
        .classes
        .iter()
        .enumerate()
        .filter_map(|(row, class)| class.map(|class| (row, class)))
        .collect();
    let mut scores = vec![Vec::new(); batch];
    for piece in labelled.chunks(rows_at_a_time(model.vocab_size(), hidden.dtype())) {
        let numbers = piece.iter().map(|(row, _)| u32::try_from(*row).unwrap_or(u32::MAX));
        let numbers = Tensor::from_iter(numbers, hidden.device())?;
        let logits = model.head().forward(&cx, &rows.index_select(&numbers, 0)?)?;
        let classes: Vec<usize> = piece.iter().map(|(_, class)| *class).collect();
        let of_piece = if is_host(&logits) {
            by_dtype!("token scores", logits, fused::<T>(&logits, &classes))?
        } else {
            composed(&logits, &classes)?
        };
        for ((row, _), score) in piece.iter().zip(of_piece) {
            scores[row / t.max(1)].push(score);
        }
    }
    Ok(scores)
}

/// Scores of the classes under rows of logits `[rows, classes]`.
fn fused<T: Real>(logits: &Tensor, classes: &[usize]) -> Result<Vec<TokenScore>> {
    let width = logits.dims().last().copied().unwrap_or(1);
    let host = Host::of(logits)?;
    let view = host.view();
    let x = view.slice::<T>()?;
    Ok(map_indices(classes.len(), |row| {
        let x = &x[row * width..(row + 1) * width];
        let (largest, at_label) =
            (x.iter().copied().fold(T::of(f64::NEG_INFINITY), T::larger), x[classes[row]]);
        let (before, behind) = x.split_at(classes[row]);
        // Relative to the largest logit, which the variance does not see and which keeps the sums small.
        let (mut sum, mut first, mut second) = (0.0, 0.0, 0.0);
        for x in x {
            let x = x.double() - largest.double();
            let p = x.exponential();
            sum += p;
            if x != f64::NEG_INFINITY {
                first += p * x;
                second += p * x * x;
            }
        }
        let mean = first / sum;
        TokenScore {
            log_prob: at_label.double() - largest.double() - sum.ln(),
            is_argmax: before.iter().all(|x| *x < at_label)
                && behind.iter().all(|x| *x <= at_label),
            mean: mean - sum.ln(),
            variance: at_least_the_least(second / sum - mean * mean),
        }
    }))
}

/// The same from candle's operations, for other devices and types, in single precision unless the logits are doubles.
fn composed(logits: &Tensor, classes: &[usize]) -> Result<Vec<TokenScore>> {
    let dtype = if logits.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
    let (rows, width) = logits.dims2()?;
    let device = logits.device();
    let number = |x: usize| u32::try_from(x).unwrap_or(u32::MAX);
    let labels = Tensor::from_iter(classes.iter().map(|class| number(*class)), device)?;
    let labels = labels.reshape((rows, 1))?;
    let x = logits.to_dtype(dtype)?;
    let x = x.broadcast_sub(&x.max_keepdim(1)?)?;
    let at_label = x.gather(&labels, 1)?;
    let exps = x.exp()?;
    let sums = exps.sum_keepdim(1)?;
    // So low that it counts nothing, and finite.
    let finite = x.clamp(-1e4, f64::INFINITY)?;
    let mean = (&exps * &finite)?.sum_keepdim(1)?.div(&sums)?;
    let centered = finite.broadcast_sub(&mean)?;
    let variance = (&exps * centered.sqr()?)?.sum_keepdim(1)?.div(&sums)?;
    // What stands in the way of the label: likelier tokens, and equally likely ones of smaller numbers.
    let above = x.broadcast_gt(&at_label)?;
    let equal = x.broadcast_eq(&at_label)?;
    let before = Tensor::arange(0, number(width), device)?.unsqueeze(0)?.broadcast_lt(&labels)?;
    let rivals = (above + (equal * before)?)?.to_dtype(DType::F32)?.sum_keepdim(1)?;
    let log_sums = sums.log()?;
    let column = |x: Tensor| x.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    let (log_probs, means) = (column((at_label - &log_sums)?)?, column((mean - &log_sums)?)?);
    let (variances, rivals) = (column(variance)?, column(rivals)?);
    Ok((0..rows)
        .map(|row| TokenScore {
            log_prob: log_probs[row],
            is_argmax: rivals[row] == 0.0 && !log_probs[row].is_nan(),
            mean: means[row],
            variance: at_least_the_least(variances[row]),
        })
        .collect())
}

/// Like `max`, but what is no number stays none.
fn at_least_the_least(variance: f64) -> f64 {
    if variance < LEAST_VARIANCE { LEAST_VARIANCE } else { variance }
}

#[cfg(test)]
mod tests;
