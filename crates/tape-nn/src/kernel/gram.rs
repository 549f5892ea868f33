//! Sums over pairs of positions: the ghost form of per-sample gradient norms.

use tensor_tree::host::Real;

use super::product::{Mat, MatMut, Threads, product};

/// Rows of the Gram matrices made at a time. Small enough that little of the upper triangle is computed
/// in vain, large enough for the product to be fast.
const PANEL: usize = 32;

/// `sum_{s,t} (x_s . x_t) (g_s . g_t)` for one sample: the squared norm of `g^T x`.
///
/// `x` is `t x d`, `g` is `t x p`. Only panels of the lower triangle are computed and the part left of
/// the diagonal block counts twice.
pub(crate) fn gram_inner<T: Real>(x: &[T], d: usize, g: &[T], p: usize, t: usize) -> f64 {
    let mut gram_x = vec![T::default(); PANEL * t];
    let mut gram_g = vec![T::default(); PANEL * t];
    let mut sum = 0.0;
    for start in (0..t).step_by(PANEL) {
        let rows = PANEL.min(t - start);
        let cols = start + rows;
        let panel = |data: &[T], width: usize, out: &mut [T]| {
            product(
                MatMut::new(&mut out[..rows * cols], rows, cols),
                false,
                Mat::new(&data[start * width..cols * width], rows, width),
                Mat::new(&data[..cols * width], cols, width).t(),
                T::ONE,
                Threads::One,
            );
        };
        panel(x, d, &mut gram_x);
        panel(g, p, &mut gram_g);
        for row in 0..rows {
            let range = row * cols..row * cols + start;
            sum += 2.0 * inner(&gram_x[range.clone()], &gram_g[range]);
            let range = row * cols + start..(row + 1) * cols;
            sum += inner(&gram_x[range.clone()], &gram_g[range]);
        }
    }
    sum
}

tensor_tree::kernels! {
    /// Inner product in eight partial sums of doubles, added in a fixed order.
    pub(crate) fn inner<T: Real>(a: &[T], b: &[T]) -> f64 {
        let mut lanes = [0f64; 8];
        let (ca, cb) = (a.chunks_exact(8), b.chunks_exact(8));
        let (ra, rb) = (ca.remainder(), cb.remainder());
        for (x, y) in ca.zip(cb) {
            for l in 0..8 {
                lanes[l] += x[l].double() * y[l].double();
            }
        }
        for (l, (x, y)) in ra.iter().zip(rb).enumerate() {
            lanes[l] += x.double() * y.double();
        }
        ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))
    }

    /// `out += alpha * x`.
    pub(crate) fn accumulate<T: Real>(out: &mut [T], alpha: T, x: &[T]) {
        for (o, x) in out.iter_mut().zip(x) {
            *o += alpha * *x;
        }
    }

    /// `out = alpha * x`.
    pub(crate) fn scaled<T: Real>(out: &mut [T], alpha: T, x: &[T]) {
        for (o, x) in out.iter_mut().zip(x) {
            *o = alpha * *x;
        }
    }

    /// Adds the rows of `x` (each as long as `out`) to `out`.
    pub(crate) fn add_rows<T: Real>(out: &mut [T], x: &[T]) {
        for row in x.chunks_exact(out.len()) {
            for (o, v) in out.iter_mut().zip(row) {
                *o += *v;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ghost_form_is_the_norm_of_the_product() {
        for (t, d, p) in [(1, 3, 2), (31, 5, 4), (32, 2, 7), (33, 6, 6), (100, 3, 9)] {
            let mut x = vec![0f64; t * d];
            let mut g = vec![0f64; t * p];
            tensor_tree::Key::from_seed(t as u64).fill_normal(&mut x);
            tensor_tree::Key::from_seed(1000 + t as u64).fill_normal(&mut g);
            let mut w = vec![0f64; p * d];
            let (gm, xm) = (Mat::new(&g, t, p).t(), Mat::new(&x, t, d));
            product(MatMut::new(&mut w, p, d), false, gm, xm, 1.0, Threads::One);
            let direct = inner(&w, &w);
            let ghost = gram_inner(&x, d, &g, p, t);
            assert!((ghost - direct).abs() < 1e-11 * direct, "{ghost} {direct}");
        }
    }
}
