//! The step-down recursion of a denominator: whether it is stable, and the noise power of a filter in closed form.

/// Poles nearer than this to the unit circle, in the size of the last reflection coefficients, count as on it: no computation in doubles
/// tells them apart.
pub(crate) const MARGIN: f64 = 1e-12;

/// Whether all roots of `z^n + a_1 z^(n-1) + ... + a_n` lie inside the unit circle.
///
/// For order one this is `|a_1| < 1`, for order two `|a_2| < 1` and `|a_1| < 1 + a_2`.
///
/// # Source
/// Schur and Cohn's criterion: every reflection coefficient is smaller than 1.
pub(super) fn is_stable(a: &[f64]) -> bool {
    let mut monic: Vec<f64> = a.to_vec();
    while let Some(last) = monic.pop() {
        if last.is_nan() || 1.0 - MARGIN <= last.abs() {
            return false;
        }
        let n = monic.len();
        monic =
            (0..n).map(|i| (monic[i] - last * monic[n - 1 - i]) / (1.0 - last * last)).collect();
    }
    true
}

/// Sum of the squared impulse response of a stable filter.
///
/// # Source
/// Astrom, Introduction to Stochastic Control Theory (1970), chapter 5, theorem 2.3: with the polynomials `A_k`, `B_k` of falling degree,
/// `A_{k-1} = A_k - alpha_k A_k^*`, `alpha_k = a_k^k / a_0^k`, `B_{k-1} = B_k - beta_k A_k^*`, `beta_k = b_k^k / a_0^k`,
/// the sum is `(1 / a_0) sum_k (b_k^k)^2 / a_0^k`.
pub(super) fn power(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len().max(b.len().saturating_sub(1));
    let padded = |x: &[f64], lead: &[f64]| -> Vec<f64> {
        lead.iter().chain(x).copied().chain(std::iter::repeat(0.0)).take(n + 1).collect()
    };
    let (mut a, mut b) = (padded(a, &[1.0]), padded(b, &[]));
    let mut sum = 0.0;
    for k in (0..=n).rev() {
        sum += b[k] * b[k] / a[0];
        let (alpha, beta) = (a[k] / a[0], b[k] / a[0]);
        let reversed: Vec<f64> = a.iter().rev().copied().collect();
        let less = |x: &[f64], factor: f64| -> Vec<f64> {
            x[..k].iter().zip(&reversed).map(|(x, r)| x - factor * r).collect()
        };
        (a, b) = (less(&a, alpha), less(&b, beta));
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stability_is_the_triangle_for_second_order() {
        for i in -25..=25 {
            for j in -25..=25 {
                let (a1, a2) = (f64::from(i) * 0.1 + 0.013, f64::from(j) * 0.1 + 0.007);
                let inside = a2.abs() < 1.0 && a1.abs() < 1.0 + a2;
                assert_eq!(is_stable(&[a1, a2]), inside, "{a1} {a2}");
            }
        }
        for edge in [vec![-1.0], vec![1.0], vec![-2.0, 1.0], vec![-1.9, 0.9], vec![0.0, 1.0]] {
            assert!(!is_stable(&edge), "{edge:?}");
        }
        assert!(is_stable(&[]) && is_stable(&[-1.0 + 1e-9]));
        assert!(!is_stable(&[f64::NAN]));
    }

    #[test]
    fn the_power_is_that_of_the_impulse_response() {
        type Case = (Vec<f64>, Vec<f64>, f64);
        let cases: [Case; 4] = [
            (vec![], vec![1.0], 1.0),
            (vec![], vec![0.5, -2.0, 1.0], 5.25),
            (vec![-0.9], vec![0.1], 0.01 / 0.19),
            // k_0 = b_0, k_r = (b_1 - a b_0) (-a)^(r-1).
            (vec![-0.8], vec![0.1, 0.1], 0.01 + 0.18 * 0.18 / 0.36),
        ];
        for (a, b, want) in cases {
            assert!((power(&a, &b) - want).abs() < 1e-14, "{a:?} {b:?}");
        }
    }
}
