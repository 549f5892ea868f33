//! Choosing one token by its logits.

use crate::error::{Error, Result};

/// How a token is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Choice {
    /// The likeliest; of equals the one with the smallest number.
    Greedy,
    /// Drawn from the softmax of the logits divided by `temperature`, restricted to the `top_k` likeliest and
    /// then to the fewest likeliest whose probabilities add up to `top_p`.
    Sample {
        /// Divides the logits.
        temperature: f64,
        /// How many of the likeliest are kept.
        top_k: Option<usize>,
        /// Probability that must be kept.
        top_p: Option<f64>,
    },
}

impl Choice {
    /// Whether the settings are within their ranges.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] unless `temperature` is finite and positive, `top_k` is at least 1 and
    /// `0 < top_p <= 1`.
    pub fn check(&self) -> Result<()> {
        let Choice::Sample { temperature, top_k, top_p } = *self else { return Ok(()) };
        let invalid = |name: &str, must, got: String| {
            Err(Error::InvalidSetting { name: name.into(), must, got })
        };
        if !(temperature.is_finite() && 0.0 < temperature) {
            return invalid("temperature", "finite and positive", temperature.to_string());
        }
        if top_k == Some(0) {
            return invalid("top_k", "at least 1", "0".into());
        }
        match top_p {
            Some(p) if !(0.0 < p && p <= 1.0) => {
                invalid("top_p", "above 0 and at most 1", p.to_string())
            }
            _ => Ok(()),
        }
    }

    /// The token for a number `draw` in `[0, 1)`.
    pub(super) fn choose(&self, logits: &[f64], draw: f64) -> Result<u32> {
        if logits.is_empty() || logits.iter().any(|x| x.is_nan() || *x == f64::INFINITY) {
            return Err(Error::InvalidSetting {
                name: "logits of the next token".into(),
                must: "numbers below infinity",
                got: format!("{} of them, some of which are not", logits.len()),
            });
        }
        let token = match *self {
            Choice::Greedy => best(logits),
            Choice::Sample { temperature, top_k, top_p } => {
                sampled(logits, temperature, top_k, top_p, draw)
            }
        };
        Ok(u32::try_from(token).unwrap_or(u32::MAX))
    }
}

fn best(logits: &[f64]) -> usize {
    let mut best = 0;
    for (i, x) in logits.iter().enumerate() {
        if logits[best] < *x {
            best = i;
        }
    }
    best
}

fn sampled(
    logits: &[f64],
    temperature: f64,
    top_k: Option<usize>,
    top_p: Option<f64>,
    draw: f64,
) -> usize {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    // Equal logits stand in the order of their numbers, so the same draw gives the same token everywhere.
    let by_logit = |a: &usize, b: &usize| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b));
    if let Some(k) = top_k
        && k < order.len()
    {
        order.select_nth_unstable_by(k - 1, by_logit);
        order.truncate(k);
    }
    order.sort_unstable_by(by_logit);
    let highest = logits[order[0]];
    let weight = |i: usize| {
        if highest == f64::NEG_INFINITY { 1.0 } else { ((logits[i] - highest) / temperature).exp() }
    };
    let weights: Vec<f64> = order.iter().map(|i| weight(*i)).collect();
    let mut total: f64 = weights.iter().sum();
    if let Some(p) = top_p {
        let mut kept = 0.0;
        let enough = weights.iter().position(|w| {
            kept += w;
            p * total <= kept
        });
        order.truncate(enough.map_or(order.len(), |last| last + 1));
        total = weights[..order.len()].iter().sum();
    }
    let mut left = draw * total;
    for (i, w) in order.iter().zip(&weights) {
        left -= w;
        if left < 0.0 {
            return *i;
        }
    }
    // Rounding: the likeliest of those kept is always possible.
    order[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(temperature: f64, top_k: Option<usize>, top_p: Option<f64>) -> Choice {
        Choice::Sample { temperature, top_k, top_p }
    }

    /// How often each token comes over evenly spaced draws.
    fn shares(choice: Choice, logits: &[f64]) -> Vec<f64> {
        let n = 10_000;
        let mut out = vec![0.0; logits.len()];
        for i in 0..n {
            let draw = (f64::from(i) + 0.5) / f64::from(n);
            out[choice.choose(logits, draw).unwrap() as usize] += 1.0 / f64::from(n);
        }
        out
    }

    fn assert_close(got: &[f64], want: &[f64]) {
        for (got, want) in got.iter().zip(want) {
            assert!((got - want).abs() < 2e-4, "{got} {want}");
        }
        assert_eq!(got.len(), want.len());
    }

    #[test]
    fn draws_have_the_probabilities_of_the_softmax() {
        let p = [0.1f64, 0.5, 0.15, 0.25];
        let logits = p.map(f64::ln);
        assert_close(&shares(sample(1.0, None, None), &logits), &p);
        let halved = p.map(|p| p.powf(2.0));
        let total: f64 = halved.iter().sum();
        assert_close(&shares(sample(0.5, None, None), &logits), &halved.map(|p| p / total));
        let two = [0.0, 2.0 / 3.0, 0.0, 1.0 / 3.0];
        assert_close(&shares(sample(1.0, Some(2), None), &logits), &two);
        assert_close(&shares(sample(1.0, None, Some(0.6)), &logits), &two);
        assert_close(&shares(sample(1.0, None, Some(0.4)), &logits), &[0.0, 1.0, 0.0, 0.0]);
        assert_close(&shares(sample(1.0, Some(9), Some(1.0)), &logits), &p);
    }

    #[test]
    fn limits_are_the_greedy_choice() {
        let logits = [0.3, 2.0, 2.0, -1.0];
        assert_eq!(Choice::Greedy.choose(&logits, 0.9).unwrap(), 1);
        for draw in [0.0, 0.3, 0.999_999] {
            assert_eq!(sample(1.0, Some(1), None).choose(&logits, draw).unwrap(), 1);
            assert_eq!(sample(1.0, None, Some(1e-9)).choose(&logits, draw).unwrap(), 1);
        }
        assert_eq!(sample(1e-300, None, None).choose(&[0.0, 1.0], 0.999).unwrap(), 1);
        let none = [f64::NEG_INFINITY; 3];
        assert_eq!(sample(1.0, None, None).choose(&none, 0.5).unwrap(), 1);
    }

    #[test]
    fn what_is_no_probability_is_refused() {
        for bad in [
            sample(0.0, None, None),
            sample(f64::NAN, None, None),
            sample(1.0, Some(0), None),
            sample(1.0, None, Some(0.0)),
            sample(1.0, None, Some(1.1)),
            sample(1.0, None, Some(f64::NAN)),
        ] {
            assert!(matches!(bad.check(), Err(Error::InvalidSetting { .. })), "{bad:?}");
        }
        for logits in [vec![], vec![f64::NAN, 1.0], vec![f64::INFINITY]] {
            assert!(Choice::Greedy.choose(&logits, 0.5).is_err());
        }
    }
}
