//! Where each coefficient stands relative to the height, and the optimality that belongs to it.

use crate::penalty::TwoLevel;

/// The place of a coefficient. While the height is 0, those that are not zero are all above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zone {
    /// Zero.
    Zero,
    /// Between zero and the height.
    Low,
    /// At the height, with a sign.
    Cluster,
    /// Above the height.
    Upper,
}

/// The levels of a two-level penalty, in its canonical form.
#[derive(Clone, Copy, Debug)]
pub(super) struct Levels {
    pub(super) lambda1: f64,
    pub(super) lambda2: f64,
    pub(super) k: f64,
}

impl Levels {
    pub(super) fn of(penalty: &TwoLevel) -> Self {
        let form = penalty.canonical();
        Levels { lambda1: form.lambda1(), lambda2: form.lambda2(), k: form.k() as f64 }
    }

    pub(super) fn step(&self) -> f64 {
        self.lambda1 - self.lambda2
    }

    /// The level that keeps a zero at zero.
    pub(super) fn of_zero(&self, h: f64) -> f64 {
        if 0.0 < h { self.lambda2 } else { self.lambda1 }
    }

    /// The slope of the penalty in the height, for a cluster of `n_cluster` below `n_upper` others.
    pub(super) fn cluster_slope(&self, n_cluster: usize, n_upper: usize) -> f64 {
        n_cluster as f64 * self.lambda2 + (self.k - n_upper as f64) * self.step()
    }

    /// How far the gradient `g` of a coefficient is from what its zone allows; negative inside for zeros and members.
    pub(super) fn violation(&self, zone: Zone, sign: f64, g: f64, h: f64) -> f64 {
        match zone {
            Zone::Zero => g.abs() - self.of_zero(h),
            Zone::Low => (sign * g - self.lambda2).abs(),
            Zone::Upper => (sign * g - self.lambda1).abs(),
            Zone::Cluster => (self.lambda2 - sign * g).max(sign * g - self.lambda1),
        }
    }
}
