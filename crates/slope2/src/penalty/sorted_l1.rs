//! The sorted-L1 norm with any weights.

use super::{DualNorm, Penalty, pava};
use crate::error::{Result, entries};

/// `J(beta) = sum_j lambda_j |beta|_(j)`, magnitudes from large to small.
///
/// # Source
/// arXiv 1407.3824, equation 1.3.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct SortedL1 {
    lambda: Vec<f64>,
}

impl SortedL1 {
    /// The norm with weights `lambda`.
    ///
    /// # Errors
    /// [`crate::Error::InvalidEntry`] unless the weights are finite, not negative and non-increasing.
    pub fn new(lambda: impl Into<Vec<f64>>) -> Result<Self> {
        let lambda = lambda.into();
        let name = "lambda";
        entries(name, "finite and not negative", &lambda, |l| l.is_finite() && 0.0 <= l)?;
        if let Some(i) = (1..lambda.len()).find(|i| lambda[i - 1] < lambda[*i]) {
            let must = "at most the weight before it";
            let (place, got) = (i.to_string(), lambda[i]);
            return Err(crate::Error::InvalidEntry { name, place, must, got });
        }
        Ok(SortedL1 { lambda })
    }

    /// The weights.
    #[must_use]
    pub fn lambda(&self) -> &[f64] {
        &self.lambda
    }

    /// The same norm times `alpha`.
    ///
    /// # Errors
    /// As [`SortedL1::new`].
    pub fn scaled(&self, alpha: f64) -> Result<Self> {
        Self::new(self.lambda.iter().map(|l| alpha * l).collect::<Vec<_>>())
    }
}

/// Positions by falling magnitude; equal magnitudes in their order.
fn by_magnitude(v: &[f64], positions: impl IntoIterator<Item = usize>) -> Vec<usize> {
    let mut order: Vec<usize> = positions.into_iter().collect();
    order.sort_by(|a, b| v[*b].abs().total_cmp(&v[*a].abs()));
    order
}

impl Penalty for SortedL1 {
    fn len(&self) -> usize {
        self.lambda.len()
    }

    fn value(&self, beta: &[f64]) -> f64 {
        let mut magnitudes: Vec<f64> = beta.iter().map(|b| b.abs()).filter(|b| 0.0 < *b).collect();
        magnitudes.sort_by(|a, b| b.total_cmp(a));
        magnitudes.iter().zip(&self.lambda).map(|(b, l)| b * l).sum()
    }

    /// A sort and one pass; entries up to the smallest weight become zero without being sorted.
    ///
    /// # Source
    /// arXiv 1407.3824, Algorithm 4.
    fn prox(&self, v: &mut [f64], step: f64) -> Result<()> {
        super::check(v)?;
        let smallest = step * self.lambda.last().copied().unwrap_or(0.0);
        let order = by_magnitude(v, (0..v.len()).filter(|j| smallest < v[*j].abs()));
        let shifted = order.iter().zip(&self.lambda).map(|(j, l)| v[*j].abs() - step * l);
        let blocks = pava::non_increasing(shifted);
        let mut result = vec![0.0; v.len()];
        for (i, block) in blocks.iter().enumerate() {
            let end = blocks.get(i + 1).map_or(order.len(), |next| next.start);
            for j in &order[block.start..end] {
                result[*j] = block.mean.max(0.0).copysign(v[*j]);
            }
        }
        v.copy_from_slice(&result);
        Ok(())
    }
}

impl DualNorm for SortedL1 {
    /// `max_i (sum of the i largest magnitudes) / (sum of the i first weights)`.
    fn dual_norm(&self, v: &[f64]) -> f64 {
        if v.iter().any(|v| v.is_nan()) {
            return f64::NAN;
        }
        let mut sizes: Vec<f64> = v.iter().map(|v| v.abs()).collect();
        sizes.sort_unstable_by(|a, b| b.total_cmp(a));
        let (mut sum, mut weight, mut best) = (0.0, 0.0, 0.0f64);
        for (size, l) in sizes.iter().zip(&self.lambda) {
            sum += size;
            weight += l;
            if 0.0 < sum {
                best = best.max(sum / weight);
            }
        }
        best
    }
}
