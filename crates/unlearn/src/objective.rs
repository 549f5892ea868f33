//! Losses to forget by, as functions of the log-probabilities of whole answers ([`ForgetLoss`]) or of the logits at single tokens
//! ([`TokenLoss`]), with their derivatives.
//!
//! A model whose gradient of `log p(y_i | x_i)` is known descends such a loss by the chain rule: the derivative here is the weight of
//! sample `i`. No second model is needed in memory: reference log-probabilities are numbers, computed once.

mod token;

pub use token::TokenLoss;

use crate::error::{all, all_finite};
use crate::{Error, Result};

/// A loss to be descended on a batch of answers to forget. Logarithms are of whole answers: sums over their tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum ForgetLoss {
    /// Gradient ascent (GA): minus the mean loss over all tokens of the batch, `sum_i log p_i / sum_i T_i`. Unbounded.
    Ascent,
    /// Negative preference optimization (NPO): `(2 / (beta n)) sum_i softplus(beta (log p_i - log p0_i))`. Bounded below by 0; each weight
    /// is in `(0, 2 / n)` and falls to 0 once an answer is forgotten.
    Npo {
        /// Positive; 0.1 by default in published codes.
        beta: f64,
    },
    /// Without a reference and normalized by length (SimNPO): `(2 / (beta n)) sum_i softplus(-beta (-log p_i / T_i - delta))`.
    SimNpo {
        /// Positive.
        beta: f64,
        /// Margin, in nats for each token.
        delta: f64,
    },
    /// Direct preference of a refusal (DPO, IdkDPO): `(2 / (beta n)) sum_i softplus(-beta [(log q_i - log q0_i) - (log p_i - log p0_i)])` for
    /// refusals of probability `q`.
    Dpo {
        /// Positive; 0.1 by default in published codes.
        beta: f64,
        /// What stands before the mean.
        scale: DpoScale,
    },
}

/// The factor of [`ForgetLoss::Dpo`], in which published codes differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DpoScale {
    /// `2 / beta`, as in OpenUnlearning: at the reference every weight is one over the number of samples.
    #[default]
    TwoOverBeta,
    /// 1, as in TOFU's own code.
    One,
}

/// Log-probabilities of a batch, in nats, one for each sample.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answers<'a> {
    /// `log p(y_i | x_i)` of the answers to forget.
    pub forget: &'a [f64],
    /// The same before unlearning; needed by [`ForgetLoss::Npo`] and [`ForgetLoss::Dpo`].
    pub forget_reference: &'a [f64],
    /// Tokens of each answer; needed by [`ForgetLoss::Ascent`] and [`ForgetLoss::SimNpo`].
    pub n_tokens: &'a [usize],
    /// `log q` of the refusals; needed by [`ForgetLoss::Dpo`].
    pub refusal: &'a [f64],
    /// The same before unlearning.
    pub refusal_reference: &'a [f64],
}

/// A loss with its derivatives.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// The loss.
    pub loss: f64,
    /// Derivative by `log p(y_i | x_i)` of each answer to forget.
    pub forget: Vec<f64>,
    /// Derivative by `log q` of each refusal; empty for losses without.
    pub refusal: Vec<f64>,
}

impl ForgetLoss {
    /// The loss of a batch and its derivatives.
    ///
    /// # Errors
    /// [`Error::Empty`] for an empty batch, [`Error::Length`] for lists that do not fit each other, [`Error::OutOfRange`] for settings and
    /// [`Error::OneOutOfRange`] for a log-probability that is not finite or an answer without tokens.
    ///
    /// # Source
    /// arXiv 2404.05868 (NPO), 2410.07163 (SimNPO), 2305.18290 (DPO), 2401.06121 (GA, IdkDPO).
    pub fn value(self, answers: Answers<'_>) -> Result<Value> {
        let n = answers.forget.len();
        if n == 0 {
            return Err(Error::Empty { what: "answers to forget" });
        }
        all_finite("log-probabilities of answers to forget", answers.forget)?;
        let list = |name, values: &[f64]| -> Result<()> {
            length(name, n, values.len())?;
            all_finite(name, values)
        };
        if let ForgetLoss::Npo { .. } | ForgetLoss::Dpo { .. } = self {
            list("reference log-probabilities of answers to forget", answers.forget_reference)?;
        }
        if let ForgetLoss::Dpo { .. } = self {
            list("log-probabilities of refusals", answers.refusal)?;
            list("reference log-probabilities of refusals", answers.refusal_reference)?;
        }
        if let ForgetLoss::Ascent | ForgetLoss::SimNpo { .. } = self {
            length("numbers of tokens", n, answers.n_tokens.len())?;
            let counts: Vec<f64> = answers.n_tokens.iter().map(|t| *t as f64).collect();
            all("numbers of tokens", "at least 1", &counts, |t| 1.0 <= t)?;
        }
        self.check()?;
        Ok(self.checked(answers))
    }

    /// Whether the settings are within their ranges.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] with the setting.
    pub fn check(self) -> Result<()> {
        if let ForgetLoss::SimNpo { delta, .. } = self
            && !delta.is_finite()
        {
            return Err(Error::OutOfRange { name: "delta", must: "finite", got: delta });
        }
        match self {
            ForgetLoss::Npo { beta }
            | ForgetLoss::SimNpo { beta, .. }
            | ForgetLoss::Dpo { beta, .. }
                if !(0.0 < beta && beta.is_finite()) =>
            {
                Err(Error::OutOfRange { name: "beta", must: "finite and positive", got: beta })
            }
            _ => Ok(()),
        }
    }

    fn checked(self, answers: Answers<'_>) -> Value {
        let Answers { forget, forget_reference, n_tokens, refusal, refusal_reference } = answers;
        let n = forget.len() as f64;
        match self {
            ForgetLoss::Ascent => {
                let tokens: f64 = n_tokens.iter().map(|t| *t as f64).sum();
                let loss = forget.iter().sum::<f64>() / tokens;
                Value { loss, forget: vec![1.0 / tokens; forget.len()], refusal: Vec::new() }
            }
            ForgetLoss::Npo { beta } => {
                let u: Vec<f64> =
                    forget.iter().zip(forget_reference).map(|(p, p0)| beta * (p - p0)).collect();
                let loss = 2.0 / (beta * n) * u.iter().map(|u| softplus(*u)).sum::<f64>();
                let weights = u.iter().map(|u| 2.0 / n * sigmoid(*u)).collect();
                Value { loss, forget: weights, refusal: Vec::new() }
            }
            ForgetLoss::SimNpo { beta, delta } => {
                let each = |(p, t): (&f64, &usize)| (-beta * (-p / *t as f64 - delta), *t as f64);
                let u: Vec<(f64, f64)> = forget.iter().zip(n_tokens).map(each).collect();
                let loss = 2.0 / (beta * n) * u.iter().map(|(u, _)| softplus(*u)).sum::<f64>();
                let weights = u.iter().map(|(u, t)| 2.0 / (n * t) * sigmoid(*u)).collect();
                Value { loss, forget: weights, refusal: Vec::new() }
            }
            ForgetLoss::Dpo { beta, scale } => {
                let factor = match scale {
                    DpoScale::TwoOverBeta => 2.0 / beta,
                    DpoScale::One => 1.0,
                };
                let preferred = refusal.iter().zip(refusal_reference).map(|(q, q0)| q - q0);
                let rejected = forget.iter().zip(forget_reference).map(|(p, p0)| p - p0);
                let u: Vec<f64> = preferred.zip(rejected).map(|(q, p)| -beta * (q - p)).collect();
                let loss = factor / n * u.iter().map(|u| softplus(*u)).sum::<f64>();
                let weights: Vec<f64> = u.iter().map(|u| factor * beta / n * sigmoid(*u)).collect();
                let refusal = weights.iter().map(|w| -w).collect();
                Value { loss, forget: weights, refusal }
            }
        }
    }
}

fn length(name: &'static str, expected: usize, got: usize) -> Result<()> {
    if expected == got { Ok(()) } else { Err(Error::Length { name, expected, got }) }
}

/// `ln(1 + exp(x))`.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// `1 / (1 + exp(-x))`.
fn sigmoid(x: f64) -> f64 {
    let e = (-x.abs()).exp();
    if x < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
}

#[cfg(test)]
mod tests;
