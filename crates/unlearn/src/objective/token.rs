//! Losses of single tokens, as functions of the logits there, with their derivatives.

use crate::error::all_finite;
use crate::{Error, Result};

/// A loss of each token of an answer, to be descended; of a batch it is the mean over all tokens that count. `z` are the logits of a
/// position, `p` their softmax, `y` the token that stands there, `z0` and `p0` those of a reference model.
///
/// What is said to be detached counts as a constant in the derivative.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum TokenLoss {
    /// `-log p_y`: to be learned.
    NextToken,
    /// Weighted gradient ascent (WGA): `p_y^beta log p_y`, the weight detached. Ascent that spares what is forgotten.
    Wga {
        /// Not negative; 1 by default in published code.
        beta: f64,
    },
    /// Saturation and importance (SatImp): `p_y^beta1 (1 - p_y)^beta2 log p_y`, the weight detached.
    SatImp {
        /// Not negative; 5 in published code.
        beta1: f64,
        /// Not negative; 1 in published code.
        beta2: f64,
    },
    /// Self-distillation from adjusted logits (UNDIAL): the cross-entropy to `softmax(z0 - beta e_y)`.
    Undial {
        /// By how much the reference's logit of the token is lowered; 10 in published code.
        beta: f64,
    },
    /// The cross-entropy to the model's own distribution without the token (CE-U): to `softmax(z)` with `z_y` at minus infinity, detached.
    CeU,
    /// `KL(p0 || p)`: stay where the reference was. At least 0, and 0 exactly where the distributions are equal.
    Kl,
}

impl TokenLoss {
    /// Whether the loss needs the logits of a reference model.
    #[must_use]
    pub fn needs_reference(self) -> bool {
        matches!(self, TokenLoss::Undial { .. } | TokenLoss::Kl)
    }

    /// Tokens at the beginning of each answer that do not count: one for [`TokenLoss::CeU`], none for the others.
    #[must_use]
    pub fn skipped(self) -> usize {
        usize::from(self == TokenLoss::CeU)
    }

    /// Whether the settings are within their ranges.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] with the setting.
    pub fn check(self) -> Result<()> {
        let exponent = |name, value: f64| {
            let must = "finite and not negative";
            let holds = 0.0 <= value && value.is_finite();
            if holds { Ok(()) } else { Err(Error::OutOfRange { name, must, got: value }) }
        };
        match self {
            TokenLoss::Wga { beta } => exponent("beta of WGA", beta),
            TokenLoss::SatImp { beta1, beta2 } => {
                exponent("beta1 of SatImp", beta1)?;
                exponent("beta2 of SatImp", beta2)
            }
            TokenLoss::Undial { beta } => exponent("beta of UNDIAL", beta),
            TokenLoss::NextToken | TokenLoss::CeU | TokenLoss::Kl => Ok(()),
        }
    }

    /// The loss of one position, with its derivative by the logits.
    ///
    /// # Errors
    /// [`Error::Empty`] without logits, [`Error::Length`] for a reference of another length, [`Error::OutOfRange`] for a token that is
    /// none of them or a setting, [`Error::OneOutOfRange`] for a logit that is not finite.
    ///
    /// # Source
    /// arXiv 2502.19301 (WGA), 2505.11953 (SatImp), 2402.10052 (UNDIAL), 2503.01224 (CE-U), 2401.06121 (KL).
    pub fn value(self, logits: &[f64], token: usize, reference: &[f64]) -> Result<(f64, Vec<f64>)> {
        self.check()?;
        if logits.is_empty() {
            return Err(Error::Empty { what: "logits" });
        }
        if logits.len() <= token {
            let got = token as f64;
            return Err(Error::OutOfRange {
                name: "token",
                must: "below the number of logits",
                got,
            });
        }
        all_finite("logits", logits)?;
        if self.needs_reference() {
            if reference.len() != logits.len() {
                let (expected, got) = (logits.len(), reference.len());
                return Err(Error::Length { name: "logits of the reference", expected, got });
            }
            all_finite("logits of the reference", reference)?;
        }
        let mut gradient = vec![0.0; logits.len()];
        let loss = self.at(logits, token, reference, Some(&mut gradient));
        Ok((loss, gradient))
    }

    /// The same for numbers that were checked; `gradient` is overwritten.
    pub(crate) fn at(
        self,
        z: &[f64],
        token: usize,
        reference: &[f64],
        gradient: Option<&mut [f64]>,
    ) -> f64 {
        let lse = log_sum_exp(z, None);
        let log_p = z[token] - lse;
        // Weights of -log p_y that count as constants.
        let ascent = match self {
            TokenLoss::NextToken => Some(1.0),
            TokenLoss::Wga { beta } => Some(-(beta * log_p).exp()),
            TokenLoss::SatImp { beta1, beta2 } => {
                Some(-(beta1 * log_p).exp() * (-log_p.exp_m1()).powf(beta2))
            }
            _ => None,
        };
        if let Some(weight) = ascent {
            if let Some(gradient) = gradient {
                for (g, z) in gradient.iter_mut().zip(z) {
                    *g = weight * (z - lse).exp();
                }
                gradient[token] -= weight;
            }
            return -weight * log_p;
        }
        // Cross-entropies and divergences to a distribution q, whose logarithms are these.
        let (teacher, lowered) = match self {
            TokenLoss::CeU => (z, f64::INFINITY),
            TokenLoss::Undial { beta } => (reference, beta),
            _ => (reference, 0.0),
        };
        let teacher_lse = log_sum_exp(teacher, Some((token, lowered)));
        let log_q = |i: usize| {
            let lower = if i == token { lowered } else { 0.0 };
            teacher[i] - lower - teacher_lse
        };
        let mut loss = 0.0;
        for (i, z) in z.iter().enumerate() {
            let log_q = log_q(i);
            let q = log_q.exp();
            // A distribution on a single token leaves nothing to compare. What is no number stays none.
            if q != 0.0 {
                loss += q * if self == TokenLoss::Kl { log_q - (z - lse) } else { lse - z };
            }
        }
        if let Some(gradient) = gradient {
            for (i, (g, z)) in gradient.iter_mut().zip(z).enumerate() {
                *g = (z - lse).exp() - log_q(i).exp();
            }
        }
        // Rounding may leave less than nothing.
        if self == TokenLoss::Kl && loss < 0.0 { 0.0 } else { loss }
    }
}

/// `ln sum_i exp(x_i)`, with one of them lowered.
fn log_sum_exp(x: &[f64], lowered: Option<(usize, f64)>) -> f64 {
    let of = |(i, x): (usize, &f64)| match lowered {
        Some((token, by)) if token == i => x - by,
        _ => *x,
    };
    let largest = x.iter().enumerate().map(of).fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = x.iter().enumerate().map(|x| (of(x) - largest).exp()).sum();
    largest + sum.ln()
}
