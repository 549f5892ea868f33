//! Rows of logits: log-sum-exp, and the gradient of cross-entropy.

use tensor_tree::host::Real;

/// Elements whose exponentials are added in single precision before the sum goes on in doubles.
const BLOCK: usize = 512;

tensor_tree::kernels! {
    /// `ln sum_j exp(x_j)`, shifted by the largest element.
    pub(crate) fn log_sum_exp<T: Real>(x: &[T]) -> f64 {
        let largest = row_max(x);
        if !largest.finite() {
            // The search for the largest skips what is not a number; a finite row finds it in the sum.
            let any_nan = x.iter().any(|v| v.double().is_nan());
            return if any_nan { f64::NAN } else { largest.double() };
        }
        let mut sum = 0.0;
        for block in x.chunks(BLOCK) {
            let mut lanes = [T::default(); 16];
            let whole = block.chunks_exact(16);
            let rest = whole.remainder();
            for part in whole {
                for l in 0..16 {
                    lanes[l] += (part[l] - largest).exponential();
                }
            }
            for (l, v) in rest.iter().enumerate() {
                lanes[l] += (*v - largest).exponential();
            }
            let mut width = 8;
            while 0 < width {
                for l in 0..width {
                    lanes[l] += lanes[l + width];
                }
                width /= 2;
            }
            sum += lanes[0].double();
        }
        largest.double() + sum.ln()
    }

    /// `x_j <- factor * exp(x_j - lse)`: the softmax of a row whose log-sum-exp is known.
    pub(crate) fn softmax_in_place<T: Real>(x: &mut [T], lse: T, factor: T) {
        for v in x {
            *v = factor * (*v - lse).exponential();
        }
    }

    /// `out_j = factor * exp(x_j - lse)`.
    pub(crate) fn softmax_into<T: Real>(out: &mut [T], x: &[T], lse: T, factor: T) {
        for (o, v) in out.iter_mut().zip(x) {
            *o = factor * (*v - lse).exponential();
        }
    }
}

#[inline(always)]
fn row_max<T: Real>(x: &[T]) -> T {
    let mut lanes = [T::of(f64::NEG_INFINITY); 16];
    let whole = x.chunks_exact(16);
    let rest = whole.remainder();
    for part in whole {
        for l in 0..16 {
            lanes[l] = part[l].larger(lanes[l]);
        }
    }
    for (l, v) in rest.iter().enumerate() {
        lanes[l] = v.larger(lanes[l]);
    }
    lanes.iter().fold(lanes[0], |a, b| b.larger(a))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_sum_exp_agrees_with_doubles_and_survives_large_values() {
        for n in [1, 15, 16, 17, 600, 8192] {
            let mut x = vec![0f32; n];
            tensor_tree::Key::from_seed(n as u64).fill_normal(&mut x);
            x.iter_mut().for_each(|v| *v = *v * 5.0 + 300.0);
            let want = x.iter().map(|v| (f64::from(*v) - 300.0).exp()).sum::<f64>().ln() + 300.0;
            assert!((log_sum_exp(&x) - want).abs() < 3e-5, "{n}: {} {want}", log_sum_exp(&x));
        }
        assert!(log_sum_exp(&[1.0f32, f32::NAN, 0.0]).is_nan());
        assert_eq!(log_sum_exp(&[f64::NEG_INFINITY; 3]), f64::NEG_INFINITY);
        assert!((log_sum_exp(&[f64::NEG_INFINITY, 2.0]) - 2.0).abs() < 1e-15);
    }
}
