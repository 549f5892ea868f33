//! Sums over pairs of positions: the ghost form of per-sample gradient norms.

use std::ops::Range;

use candle_core::DType;
use tensor_tree::host::Real;

use super::product::{Mat, MatMut, Threads, product};

/// Rows of the Gram matrices made at a time. Small enough that little of the upper triangle is computed
/// in vain, large enough for the product to be fast.
const PANEL: usize = 32;

/// Most positions of which the Gram matrices are held as a whole.
const WHOLE: usize = 256;

/// Columns that are transposed at a time, so that they stay in cache.
const DEPTH: usize = 256;

/// The squared norm of `g^T x` for one sample by its Gram matrices; `x` is `t x d`, `g` is `t x p`. NaN or
/// infinite if an entry is, or if a product overflows.
///
/// Where positions cancel, or products are too small for the data type, the sum loses digits. It is then made again
/// in doubles, and what the rounding of `g^T x` itself may add is added, so that the norm is not understated:
/// clipping relies on it.
pub(crate) fn ghost_norm<T: Real>(x: &[T], d: usize, g: &[T], p: usize, t: usize) -> f64 {
    ghost_norm_with(&mut Scratch::default(), x, d, g, p, t)
}

/// Memory for Gram matrices, to be used again for the next sample.
#[derive(Debug, Default)]
pub(crate) struct Scratch<T> {
    gram_x: Vec<T>,
    gram_g: Vec<T>,
    turned: Vec<T>,
}

/// [`ghost_norm`] in memory that is there already.
pub(crate) fn ghost_norm_with<T: Real>(
    scratch: &mut Scratch<T>,
    x: &[T],
    d: usize,
    g: &[T],
    p: usize,
    t: usize,
) -> f64 {
    let Gram { sum, bound, lost } = gram_inner(scratch, x, d, g, p, t);
    // Without cancellation the sum is about `bound / t`. A NaN is no reason to do it again, and stays.
    let enough = (bound * (0.125 / t as f64).min(0.01)).max(1e7 * lost);
    if enough <= sum || !sum.is_finite() || !bound.is_finite() {
        return sum;
    }
    let doubles = |v: &[T]| v.iter().map(|v| v.double()).collect::<Vec<f64>>();
    let scratch = &mut Scratch::default();
    let Gram { sum, bound, .. } = gram_inner(scratch, &doubles(x), d, &doubles(g), p, t);
    let unit = if T::DTYPE == DType::F64 { f64::EPSILON } else { f32::EPSILON.into() };
    let rounding = 16.0 * unit * unit * bound;
    if sum < 0.0 { rounding } else { sum + rounding }
}

/// What the Gram matrices of one sample give.
struct Gram {
    /// `sum_{s,t} (x_s . x_t) (g_s . g_t)`.
    sum: f64,
    /// The largest value that it could have with positions of these norms, `(sum_t |x_t| |g_t|)^2`.
    bound: f64,
    /// The most that products too small for the data type can have taken from it.
    lost: f64,
}

/// Only the lower triangle is used, and what lies left of the diagonal counts twice.
fn gram_inner<T: Real>(
    scratch: &mut Scratch<T>,
    x: &[T],
    d: usize,
    g: &[T],
    p: usize,
    t: usize,
) -> Gram {
    let Scratch { gram_x, gram_g, turned } = scratch;
    let height = if t <= WHOLE { t } else { PANEL };
    gram_x.resize(height * t, T::default());
    gram_g.resize(height * t, T::default());
    let mut sum = 0.0;
    // An entry of a Gram matrix lacks at most these.
    let tiny = if T::DTYPE == DType::F64 { f64::MIN_POSITIVE } else { f32::MIN_POSITIVE.into() };
    let (tiny_x, tiny_g) = (tiny * d as f64, tiny * p as f64);
    let (mut norms, mut norms_x, mut norms_g) = (0.0, 0.0, 0.0);
    for start in (0..t).step_by(height.max(1)) {
        let rows = height.min(t - start);
        gram_rows(gram_x, turned, x, d, t, start..start + rows);
        gram_rows(gram_g, turned, g, p, t, start..start + rows);
        for row in 0..rows {
            let left = row * t..row * t + start + row;
            let diagonal = left.end;
            sum += 2.0 * inner(&gram_x[left.clone()], &gram_g[left]);
            sum += gram_x[diagonal].double() * gram_g[diagonal].double();
            let norm_x = (gram_x[diagonal].double() + tiny_x).sqrt();
            let norm_g = (gram_g[diagonal].double() + tiny_g).sqrt();
            norms += norm_x * norm_g;
            norms_x += norm_x;
            norms_g += norm_g;
        }
    }
    let lost = tiny_x * norms_g * norms_g + tiny_g * norms_x * norms_x;
    Gram { sum, bound: norms * norms, lost }
}

/// Rows of the Gram matrix of `x`, `t` elements apart, at least as far as the diagonal.
fn gram_rows<T: Real>(
    out: &mut [T],
    turned: &mut Vec<T>,
    x: &[T],
    width: usize,
    t: usize,
    rows: Range<usize>,
) {
    let end = |from: usize| (from + PANEL).min(rows.end);
    if rows.len() < t {
        for from in rows.clone().step_by(PANEL) {
            let (n, cols) = (end(from) - from, end(from));
            let dst = MatMut::strided(&mut out[(from - rows.start) * t..], n, cols, t);
            let lhs = Mat::new(&x[from * width..cols * width], n, width);
            let rhs = Mat::new(&x[..cols * width], cols, width).t();
            product(dst, false, lhs, rhs, T::ONE, Threads::One);
        }
        return;
    }
    // A product packs both sides, and does so slowly where neighbors lie far apart: both are transposed once.
    if width == 0 {
        out.fill(T::default());
    }
    turned.resize(DEPTH.min(width) * t, T::default());
    for from_k in (0..width).step_by(DEPTH) {
        let depth = DEPTH.min(width - from_k);
        transpose(turned, &x[from_k..], width, depth, t);
        for from in (0..t).step_by(PANEL) {
            let (n, cols) = (end(from) - from, end(from));
            let dst = MatMut::strided(&mut out[from * t..], n, cols, t);
            let lhs = Mat::strided(&turned[from..], depth, n, t).t();
            let rhs = Mat::strided(turned, depth, cols, t);
            product(dst, 0 < from_k, lhs, rhs, T::ONE, Threads::One);
        }
    }
}

tensor_tree::kernels! {
    /// `out[k][r] = x[r][k]` for `depth` columns of `t` rows that lie `stride` elements apart.
    fn transpose<T: Real>(out: &mut [T], x: &[T], stride: usize, depth: usize, t: usize) {
        const SIDE: usize = 16;
        for r in (0..t).step_by(SIDE) {
            for k in (0..depth).step_by(SIDE) {
                if r + SIDE <= t && k + SIDE <= depth {
                    let mut tile = [[T::default(); SIDE]; SIDE];
                    let sources = x[r * stride..].chunks(stride).take(SIDE).enumerate();
                    for (i, source) in sources {
                        for (row, v) in tile.iter_mut().zip(&source[k..k + SIDE]) {
                            row[i] = *v;
                        }
                    }
                    for (j, row) in tile.iter().enumerate() {
                        out[(k + j) * t + r..(k + j) * t + r + SIDE].copy_from_slice(row);
                    }
                } else {
                    for i in r..(r + SIDE).min(t) {
                        for j in k..(k + SIDE).min(depth) {
                            out[j * t + i] = x[i * stride + j];
                        }
                    }
                }
            }
        }
    }

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
        for (t, d, p) in [
            (1, 3, 2),
            (31, 5, 4),
            (32, 2, 7),
            (33, 6, 6),
            (100, 3, 9),
            (64, 300, 33),
            (270, 40, 3),
        ] {
            let mut x = vec![0f64; t * d];
            let mut g = vec![0f64; t * p];
            tensor_tree::Key::from_seed(t as u64).fill_normal(&mut x);
            tensor_tree::Key::from_seed(1000 + t as u64).fill_normal(&mut g);
            let mut w = vec![0f64; p * d];
            let (gm, xm) = (Mat::new(&g, t, p).t(), Mat::new(&x, t, d));
            product(MatMut::new(&mut w, p, d), false, gm, xm, 1.0, Threads::One);
            let direct = inner(&w, &w);
            let ghost = ghost_norm(&x, d, &g, p, t);
            assert!((ghost - direct).abs() < 1e-11 * direct, "{ghost} {direct}");
        }
    }

    #[test]
    fn the_ghost_form_of_what_is_not_finite_is_not_finite() {
        let (t, d, p) = (3, 4, 5);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let (mut x, mut g) = (vec![1f32; t * d], vec![1f32; t * p]);
            x[5] = bad;
            assert!(!ghost_norm(&x, d, &g, p, t).is_finite());
            x[5] = 1.0;
            g[7] = bad;
            assert!(!ghost_norm(&x, d, &g, p, t).is_finite());
            // A gradient that a dead unit cut: zero times infinity is not zero.
            g.fill(0.0);
            x[5] = bad;
            assert!(!ghost_norm(&x, d, &g, p, t).is_finite());
        }
    }

    #[test]
    fn products_too_small_for_single_precision_are_not_lost() {
        let (t, d, p) = (5, 8, 9);
        let (mut x, mut g) = (vec![0f32; t * d], vec![0f32; t * p]);
        tensor_tree::Key::from_seed(1).fill_normal(&mut x);
        tensor_tree::Key::from_seed(2).fill_normal(&mut g);
        let want = ghost_norm(&x, d, &g, p, t);
        for small in [1e-10f32, 1e-19, 1e-22, 1e-30] {
            let scaled = |v: &[f32], by: f32| v.iter().map(|v| v * by).collect::<Vec<_>>();
            let square = f64::from(small).powi(2);
            let one_side = ghost_norm(&scaled(&x, small), d, &g, p, t) / square;
            assert!((one_side / want - 1.0).abs() < 1e-5, "{small}: {one_side} {want}");
            let undone = ghost_norm(&scaled(&x, small), d, &scaled(&g, 1.0 / small), p, t);
            // What overflows is not finite and is measured in another way.
            let close = (undone / want - 1.0).abs() < 1e-5;
            assert!(close || !undone.is_finite(), "{small}: {undone} {want}");
        }
    }

    #[test]
    fn positions_that_cancel_do_not_understate_the_norm() {
        // Equal inputs, and gradients that add up to a small one: g_t = +-u + v.
        let (t, d, p) = (64, 12, 700);
        let (mut x, mut u, mut v) = (vec![0f32; d], vec![0f32; p], vec![0f32; p]);
        tensor_tree::Key::from_seed(1).fill_normal(&mut x);
        tensor_tree::Key::from_seed(2).fill_normal(&mut u);
        tensor_tree::Key::from_seed(3).fill_normal(&mut v);
        for small in [1e-3, 1e-5, 1e-7, 0.0] {
            let sign = |s: usize| if s.is_multiple_of(2) { 1.0 } else { -1.0 };
            let row = |s: usize| u.iter().zip(&v).map(move |(u, v)| sign(s) * u + small * v);
            let g: Vec<f32> = (0..t).flat_map(row).collect();
            let xs: Vec<f32> = (0..t).flat_map(|_| x.iter().copied()).collect();
            let mut w = vec![0f32; p * d];
            let (gm, xm) = (Mat::new(&g, t, p).t(), Mat::new(&xs, t, d));
            product(MatMut::new(&mut w, p, d), false, gm, xm, 1.0, Threads::One);
            let made = inner(&w, &w).sqrt();
            let ghost = ghost_norm(&xs, d, &g, p, t).sqrt();
            assert!(made <= ghost * (1.0 + 1e-5), "{small}: {made} is more than {ghost}");
            let size = t as f64 * (inner(&x, &x) * inner(&u, &u)).sqrt();
            assert!(ghost <= made * (1.0 + 1e-5) + 1e-6 * size, "{small}: {ghost} {made}");
        }
    }
}
