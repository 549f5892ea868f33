//! Sums of weights over consecutive ranks.

/// A sequence of weights with its partial sums.
#[derive(Debug)]
pub(super) struct Ranks<'a> {
    lambda: &'a [f64],
    /// Sum of the first `i` weights.
    sums: Vec<f64>,
}

impl<'a> Ranks<'a> {
    pub(super) fn new(lambda: &'a [f64]) -> Self {
        let mut sums = Vec::with_capacity(lambda.len() + 1);
        let mut sum = 0.0;
        sums.push(sum);
        for l in lambda {
            sum += l;
            sums.push(sum);
        }
        Ranks { lambda, sums }
    }

    /// The weights.
    pub(super) fn lambda(&self) -> &[f64] {
        self.lambda
    }

    /// The sum of `size` weights from the rank `first` on.
    pub(super) fn of(&self, first: usize, size: usize) -> f64 {
        // A difference of sums loses digits where few weights are meant.
        if size <= 8 {
            self.lambda[first..first + size].iter().sum()
        } else {
            self.sums[first + size] - self.sums[first]
        }
    }

    /// The mean weight.
    pub(super) fn mean(&self) -> f64 {
        self.sums[self.lambda.len()] / self.lambda.len().max(1) as f64
    }

    /// `max_i (sum of the i largest) / (sum of the i first weights)` for magnitudes from large to small.
    pub(super) fn dual_norm(&self, sorted: impl Iterator<Item = f64>) -> f64 {
        let mut sum = 0.0;
        let ratios = sorted.zip(&self.sums[1..]).map(|(size, weights)| {
            sum += size;
            if 0.0 < sum { sum / weights } else { 0.0 }
        });
        ratios.fold(0.0, f64::max)
    }
}
