//! The distribution of the one-sample statistic.

use std::f64::consts::PI;

use libm::lgamma;

/// Probability that the two-sided statistic of `n` uniform values is at least `x`; `n` is whole and at least 1.
///
/// Where `n x^2 <= 4` and `n` is at most 140, the matrix form of Marsaglia, Tsang and Wang, which is exact; the same where the
/// matrix is small. Where `n x^2` is larger, or at least 2.2 and `n` larger, twice the one-sided probability, within
/// `2 exp(-8 n x^2)`, at most 5e-8. Elsewhere the expansion of Pelz and Good, within `n^-2 / 20`.
///
/// # Source
/// R. Simard and P. L'Ecuyer, Computing the two-sided Kolmogorov-Smirnov distribution, J. Stat. Software 39 (2011).
pub(super) fn survival(n: f64, x: f64) -> f64 {
    let nx2 = n * x * x;
    if 1.0 <= x {
        0.0
    } else if n * x <= 0.5 {
        1.0
    } else if 0.5 <= x || 4.0 < nx2 || (140.0 < n && 2.2 <= nx2) {
        (2.0 * one_sided(n, x)).min(1.0)
    } else if n <= 140.0 || (n <= 1e5 && n * x.powf(1.5) <= 1.4) {
        1.0 - matrix(n, x)
    } else {
        1.0 - pelz_good(n, x)
    }
    .clamp(0.0, 1.0)
}

/// Smirnov's sum, `x sum_j C(n, j) (x + j / n)^(j - 1) (1 - x - j / n)^(n - j)` over `j <= n (1 - x)`.
fn one_sided(n: f64, x: f64) -> f64 {
    let mut sum = 0.0;
    let mut j = 0.0;
    let ln_n_factorial = lgamma(n + 1.0);
    while j / n + x < 1.0 {
        let ln_choose = ln_n_factorial - lgamma(j + 1.0) - lgamma(n - j + 1.0);
        let at = x + j / n;
        sum += (ln_choose + (j - 1.0) * at.ln() + (n - j) * (-at).ln_1p()).exp();
        j += 1.0;
    }
    x * sum
}

/// Probability of less than `x`: `n! / n^n` times an entry of the `n`-th power of a matrix of `2 k - 1` rows.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "both are at most a few hundred"
)]
fn matrix(n: f64, x: f64) -> f64 {
    let k = (n * x) as usize + 1;
    let size = 2 * k - 1;
    let h = k as f64 - n * x;
    let mut base = Matrix { size, entries: vec![0.0; size * size] };
    for i in 0..size {
        for j in 0..size.min(i + 2) {
            base.entries[i * size + j] = 1.0;
        }
    }
    let power = |exponent: usize| h.powi(exponent as i32);
    for i in 0..size {
        base.entries[i * size] -= power(i + 1);
        base.entries[(size - 1) * size + i] -= power(size - i);
    }
    if 0.5 < h {
        base.entries[(size - 1) * size] += (2.0 * h - 1.0).powi(size as i32);
    }
    for i in 0..size {
        for j in 0..=i {
            let factorial: f64 = (1..=i + 1 - j).map(|g| g as f64).product();
            base.entries[i * size + j] /= factorial;
        }
    }
    let (result, ln_scale) = base.power(n as u64);
    let ln_factor = lgamma(n + 1.0) - n * n.ln();
    let entry = result.entries[(k - 1) * size + k - 1];
    (entry.ln() + ln_scale + ln_factor).exp()
}

struct Matrix {
    size: usize,
    entries: Vec<f64>,
}

impl Matrix {
    fn times(&self, other: &Matrix) -> Matrix {
        let size = self.size;
        let mut entries = vec![0.0; size * size];
        for (row, out) in self.entries.chunks(size).zip(entries.chunks_mut(size)) {
            for (factor, line) in row.iter().zip(other.entries.chunks(size)) {
                out.iter_mut().zip(line).for_each(|(sum, entry)| *sum += factor * entry);
            }
        }
        Matrix { size, entries }
    }

    /// A power divided by a factor, and the logarithm of that factor.
    fn power(self, mut exponent: u64) -> (Matrix, f64) {
        let mut identity = vec![0.0; self.size * self.size];
        identity.iter_mut().step_by(self.size + 1).for_each(|entry| *entry = 1.0);
        let mut result = (Matrix { size: self.size, entries: identity }, 0.0);
        let mut square = (self, 0.0);
        while exponent > 0 {
            if exponent % 2 == 1 {
                result = scaled(result.0.times(&square.0), result.1 + square.1);
            }
            square = scaled(square.0.times(&square.0), 2.0 * square.1);
            exponent /= 2;
        }
        result
    }
}

fn scaled(mut matrix: Matrix, ln_scale: f64) -> (Matrix, f64) {
    let most = matrix.entries.iter().fold(0.0_f64, |most, entry| most.max(entry.abs()));
    if most <= 0.0 {
        return (matrix, ln_scale);
    }
    matrix.entries.iter_mut().for_each(|entry| *entry /= most);
    (matrix, ln_scale + most.ln())
}

/// Probability of less than `x`, `K0 + K1 / sqrt(n) + K2 / n + K3 / n^(3/2)` at `z = sqrt(n) x`.
fn pelz_good(n: f64, x: f64) -> f64 {
    let z = n.sqrt() * x;
    let [z2, z4, z6] = [z * z, z.powi(4), z.powi(6)];
    let pi2 = PI * PI;
    let [mut k0, mut k1, mut k2, mut k3] = [0.0; 4];
    for k in 0..=TERMS {
        let odd = (f64::from(k) + 0.5).powi(2) * pi2; // the terms of k and -1 - k are equal
        let weight = 2.0 * (-odd / (2.0 * z2)).exp();
        k0 += weight;
        k1 += weight * (odd - z2);
        k2 += weight
            * (6.0 * z6 + 2.0 * z4 + (2.0 * z4 - 5.0 * z2) * odd + (1.0 - 2.0 * z2) * odd * odd);
        let cubic = (5.0 - 30.0 * z2) * odd.powi(3) + (212.0 * z4 - 60.0 * z2) * odd * odd;
        k3 += weight * (cubic + (135.0 * z4 - 96.0 * z6) * odd - 30.0 * z6 - 90.0 * z6 * z2);
    }
    let [mut even2, mut even3] = [0.0; 2];
    for k in 1..=TERMS {
        let even = f64::from(k).powi(2) * pi2; // the terms of k and -k are equal
        let weight = 2.0 * (-even / (2.0 * z2)).exp();
        even2 += weight * even;
        even3 += weight * (3.0 * even * z2 - even * even);
    }
    let half = (PI / 2.0).sqrt();
    let k0 = half * k0 / z;
    let k1 = half * k1 / (6.0 * z4);
    let k2 = half * (k2 / (72.0 * z6 * z) - even2 / (36.0 * z2 * z));
    let k3 = half * (k3 / (6480.0 * z6 * z4) + even3 / (216.0 * z6));
    k0 + k1 / n.sqrt() + k2 / n + k3 / n.powf(1.5)
}

/// Here `z^2 < 2.2`: the first term left out is below `exp(-(9.5 pi)^2 / 4.4)`, which is below 1e-80.
const TERMS: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    /// Ruben and Gambino: closed forms at both ends.
    #[test]
    fn the_ends_have_closed_forms() {
        for n in [2.0, 5.0, 17.0_f64] {
            let x = 0.8 / n; // n! (2 x - 1 / n)^n
            let inside: f64 = (1..=17)
                .map(f64::from)
                .take_while(|i| *i <= n)
                .map(|i| i * (2.0 * x - 1.0 / n))
                .product();
            assert!((survival(n, x) - (1.0 - inside)).abs() < 1e-13, "{n}");
            let x = 1.0 - 0.3 / n; // 2 (1 - x)^n
            assert!((survival(n, x) / (2.0 * (0.3 / n).powf(n)) - 1.0).abs() < 1e-12, "{n}");
        }
    }

    #[test]
    fn three_ways_agree_where_they_meet() {
        for n in [30.0, 140.0_f64] {
            let x = (4.0 / n).sqrt();
            let (a, b) = (1.0 - matrix(n, x), 2.0 * one_sided(n, x));
            assert!((a - b).abs() < 1e-12, "{n}: {a} {b}"); // exp(-24) of 7e-4
        }
        // An expansion to n^(-3/2) misses a multiple of n^-2: a wrong term would show as n grows.
        for nx2 in [0.2, 0.4, 0.7, 1.2, 2.1_f64] {
            for n in [141.0, 282.0, 564.0, 1128.0] {
                let x = (nx2 / n).sqrt();
                let (a, b) = (matrix(n, x), pelz_good(n, x));
                assert!((a - b).abs() * n * n < 0.05, "{n} {nx2}: {a} {b}");
            }
        }
    }

    #[test]
    fn probabilities_fall_with_the_distance() {
        for n in [1.0, 3.0, 50.0, 140.0, 141.0, 5000.0] {
            let values: Vec<f64> = (1..400).map(|i| survival(n, f64::from(i) / 400.0)).collect();
            assert!(values.windows(2).all(|pair| pair[1] <= pair[0] + 1e-13), "{n}"); // rounding near 1
            assert!(values.iter().all(|p| (0.0..=1.0).contains(p)), "{n}");
        }
    }
}
