//! Tails of the binomial distribution, and what a count says of its probability.

use crate::{Confidence, Error, Result};

/// `Pr[X >= k]` for `X` binomial of `n` trials with probability `p`, to about 1e-11 relative.
///
/// Terms are summed from `k` outwards, so that the tail does not come out of a difference unless it is the larger side. `p`
/// outside `[0, 1]` counts as the nearest end.
#[must_use]
pub fn upper_tail(n: u64, p: f64, k: u64) -> f64 {
    if k == 0 {
        return 1.0;
    }
    if n < k || p <= 0.0 {
        return 0.0;
    }
    if 1.0 <= p {
        return 1.0;
    }
    let odds = p / (1.0 - p);
    if n as f64 * p < k as f64 {
        // Upwards: each term is smaller than the one before.
        let ratio = |i: u64| (n - i) as f64 / (i + 1) as f64 * odds;
        term(n, p, k) * series(k, n, ratio, |i| i + 1)
    } else {
        let below = k - 1;
        let ratio = |i: u64| i as f64 / ((n - i) as f64 + 1.0) / odds;
        1.0 - term(n, p, below) * series(below, 0, ratio, |i| i - 1)
    }
}

/// `Pr[X = k]` of the same.
#[must_use]
pub fn term(n: u64, p: f64, k: u64) -> f64 {
    if n < k {
        return 0.0;
    }
    if p <= 0.0 || 1.0 <= p {
        let certain = if p <= 0.0 { 0 } else { n };
        return f64::from(u8::from(k == certain));
    }
    let ln_factorial = |i: u64| libm::lgamma(i as f64 + 1.0);
    let ln_choose = ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k);
    (ln_choose + k as f64 * p.ln() + (n - k) as f64 * (-p).ln_1p()).exp()
}

/// `1 + r(i) + r(i) r(next) + ...` from `first` to `last`.
fn series(first: u64, last: u64, ratio: impl Fn(u64) -> f64, next: impl Fn(u64) -> u64) -> f64 {
    let (mut sum, mut product, mut at) = (1.0, 1.0, first);
    while at != last {
        product *= ratio(at);
        sum += product;
        if product < 1e-18 * sum {
            break;
        }
        at = next(at);
    }
    sum
}

/// A probability is at least this, unless something of the stated improbability happened: the smallest `p` under which
/// `successes` or more of `trials` are not too improbable.
///
/// # Errors
/// [`Error::InvalidScalar`] if there are no trials, or more successes than trials.
///
/// # Source
/// Clopper and Pearson 1934, one side.
pub fn at_least(successes: u64, trials: u64, confidence: Confidence) -> Result<f64> {
    check(successes, trials)?;
    if successes == 0 {
        return Ok(0.0);
    }
    // The tail rises with p.
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if upper_tail(trials, middle, successes) <= confidence.failure() {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

/// A probability is at most this: the same seen from the failures.
///
/// # Errors
/// As [`at_least`].
pub fn at_most(successes: u64, trials: u64, confidence: Confidence) -> Result<f64> {
    check(successes, trials)?;
    Ok(1.0 - at_least(trials - successes, trials, confidence)?)
}

fn check(successes: u64, trials: u64) -> Result<()> {
    if trials == 0 {
        return Err(Error::InvalidScalar { name: "number of trials", must: "positive", got: 0.0 });
    }
    if trials < successes {
        return Err(Error::InvalidScalar {
            name: "number of successes",
            must: "at most that of trials",
            got: successes as f64,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_of_few_trials_are_sums_that_can_be_done_by_hand() {
        // (1/2)^10 (1 + 10 + 45) and (3/4)^4.
        assert!((upper_tail(10, 0.5, 8) - 56.0 / 1024.0).abs() < 1e-15);
        assert!((upper_tail(4, 0.25, 1) - (1.0 - 0.316_406_25)).abs() < 1e-15);
        assert!((upper_tail(10, 0.5, 3) - (1.0 - 56.0 / 1024.0)).abs() < 1e-15);
        for (n, p, k, expected) in [(5, 0.3, 0, 1.0), (5, 0.3, 6, 0.0), (5, 0.0, 1, 0.0)] {
            assert!((upper_tail(n, p, k) - expected).abs() < 1e-300);
        }
        assert!((upper_tail(5, 1.0, 5) - 1.0).abs() < 1e-300);
    }

    #[test]
    fn both_ways_of_summing_meet_and_all_terms_sum_to_one() {
        for (n, p) in [(17_u64, 0.4), (400, 0.03), (5000, 0.731)] {
            let all: f64 = (0..=n).map(|k| term(n, p, k)).sum();
            assert!((all - 1.0).abs() < 1e-10, "{n} {p}: {all}");
            for k in 1..=n {
                let step = upper_tail(n, p, k) - upper_tail(n, p, k + 1);
                assert!((step - term(n, p, k)).abs() < 1e-11, "{n} {p} {k}");
            }
        }
    }

    #[test]
    fn bounds_are_those_of_tables() {
        // No failure in 59 trials: the rule of 95 %. One-sided Clopper-Pearson, 1 - failure^(1/n) and tables.
        let confidence = Confidence::of_failure(0.05).unwrap();
        let all = at_least(59, 59, confidence).unwrap();
        assert!((all - 0.05_f64.powf(1.0 / 59.0)).abs() < 1e-14, "{all}");
        let none = at_most(0, 59, confidence).unwrap();
        assert!((none - (1.0 - 0.05_f64.powf(1.0 / 59.0))).abs() < 1e-14, "{none}");
        // 10 of 100, two-sided 95 %: (0.0490, 0.1762).
        let confidence = Confidence::of_failure(0.025).unwrap();
        assert!((at_least(10, 100, confidence).unwrap() - 0.04900).abs() < 5e-6);
        assert!((at_most(10, 100, confidence).unwrap() - 0.17622).abs() < 5e-6);
    }

    #[test]
    fn counts_that_cannot_be_are_refused() {
        let confidence = Confidence::of_failure(0.05).unwrap();
        assert!(at_least(0, 0, confidence).is_err());
        assert!(at_most(3, 2, confidence).is_err());
        for failure in [0.0, 1.0, -0.1, f64::NAN] {
            assert!(Confidence::of_failure(failure).is_err(), "{failure}");
        }
    }
}
