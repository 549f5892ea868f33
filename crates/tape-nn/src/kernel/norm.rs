//! Rows brought to unit variance or unit mean square, and the way back.

use tensor_tree::host::Real;

/// Partial sums of a row; their number and order are fixed, so results do not depend on the instruction set.
pub(crate) const LANES: usize = 16;

/// Adds up partial sums as a binary tree.
#[inline(always)]
pub(crate) fn fold<T: Real>(mut lanes: [T; LANES]) -> T {
    let mut width = LANES / 2;
    while 0 < width {
        for l in 0..width {
            lanes[l] += lanes[l + width];
        }
        width /= 2;
    }
    lanes[0]
}

#[inline(always)]
fn sum<T: Real>(x: &[T]) -> T {
    let mut lanes = [T::default(); LANES];
    let whole = x.chunks_exact(LANES);
    let rest = whole.remainder();
    for part in whole {
        for l in 0..LANES {
            lanes[l] += part[l];
        }
    }
    for (l, v) in rest.iter().enumerate() {
        lanes[l] += *v;
    }
    fold(lanes)
}

#[inline(always)]
fn sum_of_squares<T: Real>(x: &[T], shift: T) -> T {
    let mut lanes = [T::default(); LANES];
    let whole = x.chunks_exact(LANES);
    let rest = whole.remainder();
    for part in whole {
        for l in 0..LANES {
            let v = part[l] - shift;
            lanes[l] += v * v;
        }
    }
    for (l, v) in rest.iter().enumerate() {
        let v = *v - shift;
        lanes[l] += v * v;
    }
    fold(lanes)
}

/// `sum g w` and `sum g w (x - mean)`.
#[inline(always)]
fn moments<T: Real>(g: &[T], w: &[T], x: &[T], mean: T) -> (T, T) {
    let (mut first, mut second) = ([T::default(); LANES], [T::default(); LANES]);
    let (gs, ws, xs) = (g.chunks_exact(LANES), w.chunks_exact(LANES), x.chunks_exact(LANES));
    let rest = (gs.remainder(), ws.remainder(), xs.remainder());
    for ((g, w), x) in gs.zip(ws).zip(xs) {
        for l in 0..LANES {
            let v = g[l] * w[l];
            first[l] += v;
            second[l] += v * (x[l] - mean);
        }
    }
    for (l, ((g, w), x)) in rest.0.iter().zip(rest.1).zip(rest.2).enumerate() {
        let v = *g * *w;
        first[l] += v;
        second[l] += v * (*x - mean);
    }
    (fold(first), fold(second))
}

tensor_tree::kernels! {
    /// `y = w (x - mean) / std + b` for each row as long as `w`; without `centered`, mean is zero and std the
    /// root of the mean square. `b` may be empty. `stats` gets the mean and 1/std of each row.
    pub(crate) fn normalize<T: Real>(
        y: &mut [T],
        stats: &mut [T],
        x: &[T],
        w: &[T],
        b: &[T],
        eps: T,
        centered: bool,
    ) {
        let width = w.len();
        let n = T::of(width as f64);
        let rows = y.chunks_exact_mut(width).zip(x.chunks_exact(width));
        for ((y, x), stats) in rows.zip(stats.chunks_exact_mut(2)) {
            let mean = if centered { sum(x) / n } else { T::default() };
            let rstd = T::ONE / (sum_of_squares(x, mean) / n + eps).root();
            stats[0] = mean;
            stats[1] = rstd;
            if b.is_empty() {
                for ((y, x), w) in y.iter_mut().zip(x).zip(w) {
                    *y = (*x - mean) * rstd * *w;
                }
            } else {
                for (((y, x), w), b) in y.iter_mut().zip(x).zip(w).zip(b) {
                    *y = (*x - mean) * rstd * *w + *b;
                }
            }
        }
    }

    /// The gradients of [`normalize`] of one sample: `dx` for each row, `dw` and `db` added up over rows. Each
    /// of the three is left out if it is empty.
    pub(crate) fn normalize_backward<T: Real>(
        dx: &mut [T],
        dw: &mut [T],
        db: &mut [T],
        g: &[T],
        x: &[T],
        w: &[T],
        stats: &[T],
        centered: bool,
    ) {
        let width = w.len();
        let n = T::of(width as f64);
        let rows = g.chunks_exact(width).zip(x.chunks_exact(width)).zip(stats.chunks_exact(2));
        for (row, ((g, x), stats)) in rows.enumerate() {
            let (mean, rstd) = (stats[0], stats[1]);
            if !dw.is_empty() {
                for ((d, g), x) in dw.iter_mut().zip(g).zip(x) {
                    *d += *g * ((*x - mean) * rstd);
                }
            }
            if !db.is_empty() {
                for (d, g) in db.iter_mut().zip(g) {
                    *d += *g;
                }
            }
            if !dx.is_empty() {
                let (first, second) = moments(g, w, x, mean);
                let a = if centered { first / n } else { T::default() };
                let c = second * rstd * rstd / n;
                let dx = &mut dx[row * width..(row + 1) * width];
                for (((d, g), w), x) in dx.iter_mut().zip(g).zip(w).zip(x) {
                    *d = rstd * (*g * *w - a - (*x - mean) * c);
                }
            }
        }
    }
}
