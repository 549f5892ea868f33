//! Sequences of weights for the sorted-L1 norm. All are shapes: multiply by the strength of the penalty.

use crate::error::{Result, number};
use crate::theory::quantile;

fn check_q(q: f64) -> Result<()> {
    number("q", "above 0 and below 1", 0.0 < q && q < 1.0, q)
}

/// `lambda_j = Phi^-1(1 - q j / (2 p))`: the thresholds of Benjamini and Hochberg at rate `q`, also known as the quantile
/// sequence. Under an orthogonal design with
/// unit noise and [`crate::LossScale::Sum`] the false discovery rate is at most `q`.
///
/// # Errors
/// [`crate::Error::InvalidNumber`] unless `0 < q < 1`.
///
/// # Source
/// arXiv 1407.3824, equation 1.7.
pub fn benjamini_hochberg(q: f64, p: usize) -> Result<Vec<f64>> {
    check_q(q)?;
    // Phi^-1(1 - x) = -Phi^-1(x), which loses no digits for small x.
    (1..=p).map(|j| Ok(-quantile(0.5 * q * j as f64 / p as f64)?)).collect()
}

/// The Benjamini-Hochberg sequence raised for the correlation of `n` random Gaussian rows, flat from where it would rise:
/// `lambda_i = lambda_BH(i) sqrt(1 + sum_(j<i) lambda_j^2 / max(1, n - i - 1))`, `i` counted from 0.
///
/// # Errors
/// As [`benjamini_hochberg`].
///
/// # Source
/// arXiv 1407.3824, equation 3.7.
pub fn gaussian(q: f64, p: usize, n: usize) -> Result<Vec<f64>> {
    let mut lambda = benjamini_hochberg(q, p)?;
    let mut squares = 0.0;
    for i in 0..p {
        let rest = n.saturating_sub(i + 1).max(1) as f64;
        let raised = lambda[i] * (1.0 + squares / rest).sqrt();
        if 0 < i && lambda[i - 1] <= raised {
            let flat = lambda[i - 1];
            lambda[i..].fill(flat);
            break;
        }
        lambda[i] = raised;
        squares += raised * raised;
    }
    Ok(lambda)
}

/// `lambda_j = theta1 + theta2 (p - j)`: the OSCAR.
///
/// # Errors
/// [`crate::Error::InvalidNumber`] unless both are finite and not negative.
///
/// # Source
/// Bondell and Reich 2008, in the form of arXiv 1407.3824.
pub fn oscar(theta1: f64, theta2: f64, p: usize) -> Result<Vec<f64>> {
    for (name, theta) in [("theta1", theta1), ("theta2", theta2)] {
        number(name, "finite and not negative", theta.is_finite() && 0.0 <= theta, theta)?;
    }
    Ok((1..=p).map(|j| theta1 + theta2 * (p - j) as f64).collect())
}

/// Two levels from any non-increasing sequence: split after `k`, each level the mean of its part.
///
/// # Errors
/// As [`crate::TwoLevel::new`].
pub fn two_level_of(lambda: &[f64], k: usize) -> Result<crate::TwoLevel> {
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len().max(1) as f64;
    let (upper, lower) = lambda.split_at(k.min(lambda.len()));
    let lower_level = if lower.is_empty() { mean(upper) } else { mean(lower) };
    let upper_level = if upper.is_empty() { lower_level } else { mean(upper) };
    crate::TwoLevel::new(upper_level, lower_level, k, lambda.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_fall_and_start_where_they_should() {
        let bh = benjamini_hochberg(0.1, 20).unwrap();
        // Phi^-1(1 - 0.0025), forty digits.
        assert!((bh[0] - 2.807_033_768_343_804_2).abs() < 1e-14, "{}", bh[0]);
        for lambda in [bh.clone(), gaussian(0.1, 20, 15).unwrap(), oscar(1.0, 0.2, 20).unwrap()] {
            assert_eq!(lambda.len(), 20);
            assert!(lambda.windows(2).all(|l| l[1] <= l[0]) && 0.0 < lambda[19]);
            crate::SortedL1::new(lambda).unwrap();
        }
        let raised = gaussian(0.1, 20, 1_000_000).unwrap();
        assert!(
            raised.iter().zip(&bh).all(|(r, b)| (r - b).abs() < 1e-4),
            "many rows change little"
        );
        let raised = gaussian(0.1, 20, 15).unwrap();
        assert!(raised.iter().zip(&bh).all(|(r, b)| b <= r));
        assert_eq!(raised[19].to_bits(), raised[18].to_bits(), "flat at the end");
    }

    #[test]
    fn two_levels_are_the_means_of_their_parts() {
        let two = two_level_of(&[4.0, 2.0, 1.0, 1.0, 0.0], 2).unwrap();
        assert_eq!((two.lambda1(), two.k()), (3.0, 2));
        assert!((two.lambda2() - 2.0 / 3.0).abs() < 1e-15);
        assert_eq!(two_level_of(&[2.0, 1.0], 0).unwrap().as_lasso(), Some(1.5));
        assert_eq!(two_level_of(&[2.0, 1.0], 2).unwrap().as_lasso(), Some(1.5));
        assert!(benjamini_hochberg(1.0, 3).is_err() && oscar(f64::NAN, 1.0, 3).is_err());
    }
}
