//! The exact p-value of the two-sample test: the probability that a random order of all values strays too far.

use super::PValue;

/// Below this, terms of the sum may have been too small for an `f64`.
const TINY: f64 = 1e-280;

/// Probability that a random lattice path from `(0, 0)` to `(n, m)` has a point with `|i m - j n| >= distance`.
///
/// Computed as the probability `h(i, j)` that a path through `(i, j)` has such a point there or later,
///
/// ```text
/// h(i, j) = ((n - i) h(i + 1, j) + (m - j) h(i, j + 1)) / (n - i + m - j),   1 at such points,
/// ```
///
/// sums of terms that are not negative: the relative error is at most a small multiple of `(n + m) 2^-53` however small
/// the result. If it is too small for an `f64`, the same is done with logarithms.
pub(super) fn p_value(n: usize, m: usize, distance: u128) -> PValue {
    let value = leave::<Plain>(n, m, distance);
    if TINY < value {
        return PValue::new(value);
    }
    let ln = leave::<Log>(n, m, distance);
    PValue { ln, value: ln.exp() }
}

/// How probabilities are kept.
trait Scale {
    const NEVER: f64;
    const SURELY: f64;
    /// `weight * a + (1 - weight) * b`.
    fn mix(weight: f64, a: f64, b: f64) -> f64;
}

struct Plain;

impl Scale for Plain {
    const NEVER: f64 = 0.0;
    const SURELY: f64 = 1.0;

    fn mix(weight: f64, a: f64, b: f64) -> f64 {
        weight * a + (1.0 - weight) * b
    }
}

struct Log;

impl Scale for Log {
    const NEVER: f64 = f64::NEG_INFINITY;
    const SURELY: f64 = 0.0;

    fn mix(weight: f64, a: f64, b: f64) -> f64 {
        let (a, b) = (weight.ln() + a, (1.0 - weight).ln() + b);
        let (less, more) = if a < b { (a, b) } else { (b, a) };
        if less == f64::NEG_INFINITY { more } else { more + (less - more).exp().ln_1p() }
    }
}

fn leave<S: Scale>(n: usize, m: usize, distance: u128) -> f64 {
    if distance == 0 {
        return S::SURELY;
    }
    // Row i + 1 on entry of the loop for row i; points too far hold SURELY.
    let mut row = vec![S::SURELY; m + 1];
    let mut last_above = m; // last point of row i + 1 that is near
    for i in (0..=n).rev() {
        let Some((first, last)) = near(i, n, m, distance) else { return S::SURELY };
        row[(last + 1).min(m + 1)..=last_above.max(last)].fill(S::SURELY);
        for j in (first..=last).rev() {
            let (down, right) = ((n - i) as f64, (m - j) as f64);
            row[j] = if i == n && j == m {
                S::NEVER
            } else if i == n {
                row[j + 1]
            } else if j == m {
                row[j]
            } else {
                S::mix(down / (down + right), row[j], row[j + 1])
            };
        }
        last_above = last;
    }
    row[0]
}

/// First and last `j` with `|i m - j n| < distance`; none if there is none.
fn near(i: usize, n: usize, m: usize, distance: u128) -> Option<(usize, usize)> {
    let (along, step) = (i as u128 * m as u128, n as u128);
    let first = (along + 1).saturating_sub(distance).div_ceil(step);
    let last = ((along + distance - 1) / step).min(m as u128);
    if last < first {
        return None;
    }
    Some((usize::try_from(first).ok()?, usize::try_from(last).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All orders of `n` and `m` values, counted.
    fn by_counting(n: usize, m: usize, distance: u128) -> f64 {
        let (mut n_far, mut n_all) = (0_u32, 0_u32);
        for order in 0..1_u32 << (n + m) {
            if order.count_ones() as usize != n {
                continue;
            }
            let (mut i, mut j, mut far) = (0_usize, 0_usize, distance == 0);
            for step in 0..n + m {
                if order >> step & 1 == 1 {
                    i += 1
                } else {
                    j += 1
                }
                far |= distance <= ((i * m) as u128).abs_diff((j * n) as u128);
            }
            n_far += u32::from(far);
            n_all += 1;
        }
        f64::from(n_far) / f64::from(n_all)
    }

    #[test]
    fn every_distance_of_small_samples_agrees_with_counting() {
        for (n, m) in [(1, 1), (1, 4), (4, 1), (3, 3), (4, 6), (7, 5), (8, 2)] {
            for distance in 0..=(n * m) as u128 {
                let want = by_counting(n, m, distance);
                let got = p_value(n, m, distance);
                // Twelve steps, each rounded a few times.
                assert!(
                    (got.value - want).abs() <= 1e-14 * want,
                    "{n} {m} {distance}: {got:?}, {want}"
                );
                let log = leave::<Log>(n, m, distance);
                assert!(
                    (log - want.ln()).abs() <= 1e-13,
                    "{n} {m} {distance}: {log}, {}",
                    want.ln()
                );
            }
        }
    }

    /// Of complete separation, 2 / C(2 n, n).
    #[test]
    fn a_probability_below_the_least_number_has_a_logarithm() {
        let n = 2000;
        let ln_orders: f64 = (1..=n).map(|i| (1.0 + n as f64 / i as f64).ln()).sum();
        let got = p_value(n, n, (n * n) as u128);
        assert_eq!(got.value, 0.0);
        let want = 2_f64.ln() - ln_orders;
        // 4000 logarithms of size up to 2800, each rounded at 2^-53 of its size.
        assert!((got.ln - want).abs() < 1e-9, "{} {want}", got.ln);
    }

    #[test]
    fn both_ways_agree_where_both_can() {
        for distance in [100, 2000, 5000, 9000] {
            let (plain, log) = (leave::<Plain>(90, 110, distance), leave::<Log>(90, 110, distance));
            assert!((plain.ln() - log).abs() < 1e-11, "{distance}: {plain} {log}");
        }
    }
}
