//! Elementwise maps of two numbers: rotations of pairs, and gated activations.

use tensor_tree::host::Real;

#[inline(always)]
fn sigmoid<T: Real>(x: T) -> T {
    T::ONE / (T::ONE + (-x).exponential())
}

tensor_tree::kernels! {
    /// Turns the pairs `(i, i + n)` of each head of `2 n` elements by the angles whose cosines and sines are given.
    pub(crate) fn rotate_halves<T: Real>(y: &mut [T], x: &[T], cos: &[T], sin: &[T]) {
        let n = cos.len();
        for (y, x) in y.chunks_exact_mut(2 * n).zip(x.chunks_exact(2 * n)) {
            let ((y0, y1), (x0, x1)) = (y.split_at_mut(n), x.split_at(n));
            let (sin, x1) = (&sin[..n], &x1[..n]);
            for i in 0..n {
                y0[i] = x0[i] * cos[i] - x1[i] * sin[i];
            }
            for i in 0..n {
                y1[i] = x1[i] * cos[i] + x0[i] * sin[i];
            }
        }
    }

    /// The same for the pairs `(2 i, 2 i + 1)`.
    pub(crate) fn rotate_neighbors<T: Real>(y: &mut [T], x: &[T], cos: &[T], sin: &[T]) {
        let n = cos.len();
        for (y, x) in y.chunks_exact_mut(2 * n).zip(x.chunks_exact(2 * n)) {
            let angles = cos.iter().zip(sin);
            for ((y, x), (c, s)) in y.chunks_exact_mut(2).zip(x.chunks_exact(2)).zip(angles) {
                y[0] = x[0] * *c - x[1] * *s;
                y[1] = x[1] * *c + x[0] * *s;
            }
        }
    }

    /// `y = silu(gate) * up`.
    pub(crate) fn swiglu<T: Real>(y: &mut [T], gate: &[T], up: &[T]) {
        for ((y, a), u) in y.iter_mut().zip(gate).zip(up) {
            *y = *a * sigmoid(*a) * *u;
        }
    }

    /// The gradients of [`swiglu`].
    pub(crate) fn swiglu_backward<T: Real>(
        d_gate: &mut [T],
        d_up: &mut [T],
        g: &[T],
        gate: &[T],
        up: &[T],
    ) {
        for ((((da, du), g), a), u) in d_gate.iter_mut().zip(d_up).zip(g).zip(gate).zip(up) {
            let s = sigmoid(*a);
            let silu = *a * s;
            *du = *g * silu;
            *da = *g * *u * (s + silu * (T::ONE - s));
        }
    }
}
