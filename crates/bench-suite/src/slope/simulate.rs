//! Simulated designs: features in rows of an autoregression, or sparse ones; seeded.

use chacha20::ChaCha20Rng;
use rand::{Rng, RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use super::data::{Data, Entries};

/// Number of features that the response depends on.
const SIGNALS: usize = 20;
/// Norm of the signal over norm of the noise.
const SIGNAL_TO_NOISE: f64 = 3.0;

/// A design with a response.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Simulation {
    /// Observations.
    pub n: usize,
    /// Features.
    pub p: usize,
    /// What the entries are.
    pub kind: Kind,
    /// Seed.
    pub seed: u64,
}

/// What the entries of a design are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Kind {
    /// Standard normal, neighbours in a row correlated.
    Autoregression {
        /// Correlation of neighbours.
        rho: f64,
    },
    /// Independent standard normal at random places, zero elsewhere.
    Sparse {
        /// Share of the entries that are not zero.
        density: f64,
    },
}

/// A standard normal number, by the method of Box and Muller.
pub fn normal(rng: &mut impl Rng) -> f64 {
    let (u, v): (f64, f64) = (rng.random(), rng.random());
    (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// Columns of `n` entries whose neighbours have correlation `rho`.
pub fn autoregression(n: usize, p: usize, rho: f64, rng: &mut impl Rng) -> Vec<f64> {
    let fresh = (1.0 - rho * rho).sqrt();
    let mut x = Vec::with_capacity(n * p);
    for j in 0..p {
        for i in 0..n {
            let z = normal(rng);
            x.push(if j == 0 { z } else { rho * x[(j - 1) * n + i] + fresh * z });
        }
    }
    x
}

fn sparse(n: usize, p: usize, density: f64, rng: &mut impl Rng) -> Entries {
    let (mut starts, mut rows, mut values) = (vec![0], Vec::new(), Vec::new());
    for _ in 0..p {
        // Geometric distances between entries: each row is taken with probability `density`.
        let mut at = gap(density, rng);
        while at < n {
            rows.push(at);
            values.push(normal(rng));
            at = at.saturating_add(1).saturating_add(gap(density, rng));
        }
        starts.push(rows.len());
    }
    Entries::Sparse { starts, rows, values }
}

/// How many failures precede a success of probability `density`.
fn gap(density: f64, rng: &mut impl Rng) -> usize {
    let u: f64 = rng.random();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let n = ((1.0 - u).ln() / (1.0 - density).ln()).floor() as usize;
    n
}

impl Simulation {
    /// Draws the design, and a response of twenty features of coefficients 1 and -1, spread evenly.
    #[must_use]
    pub fn draw(&self) -> Data {
        let Simulation { n, p, kind, seed } = *self;
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let entries = match kind {
            Kind::Autoregression { rho } => Entries::Dense(autoregression(n, p, rho, &mut rng)),
            Kind::Sparse { density } => sparse(n, p, density, &mut rng),
        };
        let mut data = Data { n, p, entries, y: vec![0.0; n] };
        let mut y = vec![0.0; n];
        for s in 0..SIGNALS {
            data.add_column(s * p / SIGNALS, if s % 2 == 0 { 1.0 } else { -1.0 }, &mut y);
        }
        let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
        let noise: Vec<f64> = (0..n).map(|_| normal(&mut rng)).collect();
        let scale = norm(&y) / (SIGNAL_TO_NOISE * norm(&noise));
        y.iter_mut().zip(&noise).for_each(|(y, e)| *y += scale * e);
        data.y = y;
        data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_correlated_and_the_noise_is_a_third() {
        let kind = Kind::Autoregression { rho: 0.5 };
        let simulation = Simulation { n: 4000, p: 40, kind, seed: 1 };
        let data = simulation.draw();
        let Entries::Dense(x) = &data.entries else { unreachable!("dense") };
        let column = |j: usize| &x[j * 4000..(j + 1) * 4000];
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        // The mean of 4000 products with a standard deviation of sqrt(1 + .25): 5 of its own deviations.
        let bound = 5.0 * (1.25f64 / 4000.0).sqrt();
        assert!((dot(column(7), column(8)) / 4000.0 - 0.5).abs() < bound);
        let mut signal = vec![0.0; 4000];
        for s in 0..20 {
            data.add_column(2 * s, if s % 2 == 0 { 1.0 } else { -1.0 }, &mut signal);
        }
        let noise: f64 = data.y.iter().zip(&signal).map(|(y, s)| (y - s).powi(2)).sum();
        assert!((dot(&signal, &signal) / noise - 9.0).abs() < 1e-9);
        assert_eq!(data.y, simulation.draw().y, "seeded");
    }

    #[test]
    fn sparse_columns_have_their_density() {
        let kind = Kind::Sparse { density: 0.01 };
        let data = Simulation { n: 1000, p: 1000, kind, seed: 1 }.draw();
        let Entries::Sparse { starts, rows, values } = &data.entries else {
            unreachable!("sparse")
        };
        assert_eq!((starts.len(), rows.len()), (1001, values.len()));
        // 10000 expected of a million trials: 5 deviations of sqrt(9900).
        assert!((rows.len() as f64 - 10_000.0).abs() < 500.0, "{}", rows.len());
        assert!(data.design().is_ok());
    }
}
