//! Softmax attention of one sample, head by head and in blocks of queries.

use tensor_tree::host::Real;

use super::norm::{LANES, fold};
use super::product::{Mat, MatMut, Threads, product};

/// Queries whose scores are made at a time: keys that none of them may see are left out.
const BLOCK: usize = 64;

/// Sizes of one attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) queries: usize,
    /// At least as many as queries: the first `keys - queries` were cached.
    pub(crate) keys: usize,
    pub(crate) causal: bool,
}

impl Sizes {
    pub(crate) fn width(&self) -> usize {
        self.heads * self.head_dim
    }

    pub(crate) fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// Numbers kept for each query and head: largest score and one over the sum of exponentials.
    pub(crate) fn kept(&self) -> usize {
        2 * self.heads * self.queries
    }

    /// How many keys the query sees where `valid` of them are no padding.
    pub(crate) fn visible(&self, query: usize, valid: usize) -> usize {
        if self.causal { (self.keys - self.queries + query + 1).min(valid) } else { valid }
    }

    fn scale<T: Real>(&self) -> T {
        T::of(1.0 / (self.head_dim as f64).sqrt())
    }

    fn kv_head(&self, head: usize) -> usize {
        head / (self.heads / self.kv_heads)
    }
}

/// Rows of one sample, `stride` elements apart; the first head's part starts at `data[offset]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<'a, T> {
    pub(crate) data: &'a [T],
    pub(crate) offset: usize,
    pub(crate) stride: usize,
}

impl<'a, T> Rows<'a, T> {
    fn head(&self, head: usize, dim: usize, from: usize, rows: usize) -> Mat<'a, T> {
        if rows == 0 {
            return Mat::strided(&[], 0, dim, self.stride);
        }
        let start = from * self.stride + self.offset + head * dim;
        Mat::strided(&self.data[start..], rows, dim, self.stride)
    }
}

/// Queries, keys and values of one sample.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inputs<'a, T> {
    pub(crate) q: Rows<'a, T>,
    pub(crate) k: Rows<'a, T>,
    pub(crate) v: Rows<'a, T>,
    /// Keys from this one on are padding.
    pub(crate) valid: usize,
}

/// Where the gradients of one sample go.
#[derive(Debug)]
pub(crate) enum Gradients<'a, T> {
    /// All three side by side in each row.
    Packed(&'a mut [T]),
    /// Each on its own.
    Apart([&'a mut [T]; 3]),
}

impl<T> Gradients<'_, T> {
    /// The block of one head of queries (0), keys (1) or values (2).
    fn head(
        &mut self,
        s: &Sizes,
        role: usize,
        head: usize,
        from: usize,
        rows: usize,
    ) -> MatMut<'_, T> {
        let width = if role == 0 { s.width() } else { s.kv_width() };
        let (data, offset, stride) = match self {
            Gradients::Packed(data) => {
                let offset = [0, s.width(), s.width() + s.kv_width()][role];
                (&mut **data, offset, s.width() + 2 * s.kv_width())
            }
            Gradients::Apart(parts) => (&mut *parts[role], 0, width),
        };
        let start = (from * stride + offset + head * s.head_dim).min(data.len());
        MatMut::strided(&mut data[start..], rows, s.head_dim, stride)
    }
}

/// `out = softmax(q k^T / sqrt(head_dim)) v` for one sample; `kept` gets [`Sizes::kept`] numbers.
pub(crate) fn forward<T: Real>(
    s: &Sizes,
    x: &Inputs<'_, T>,
    out: &mut [T],
    kept: &mut [T],
    scratch: &mut Vec<T>,
) {
    let (dim, width) = (s.head_dim, s.width());
    scratch.resize(BLOCK.min(s.queries) * s.keys, T::default());
    for head in 0..s.heads {
        let kv = s.kv_head(head);
        for from in (0..s.queries).step_by(BLOCK) {
            let rows = BLOCK.min(s.queries - from);
            let end = s.visible(from + rows - 1, x.valid);
            let scores = &mut scratch[..rows * end];
            product(
                MatMut::new(scores, rows, end),
                false,
                x.q.head(head, dim, from, rows),
                x.k.head(kv, dim, 0, end).t(),
                s.scale(),
                Threads::One,
            );
            for (row, scores) in scores.chunks_exact_mut(end.max(1)).enumerate() {
                let at = 2 * (head * s.queries + from + row);
                let (seen, hidden) = scores.split_at_mut(s.visible(from + row, x.valid));
                softmax(seen, &mut kept[at..at + 2]);
                hidden.fill(T::default());
            }
            product(
                MatMut::strided(&mut out[from * width + head * dim..], rows, dim, width),
                false,
                Mat::new(scores, rows, end),
                x.v.head(kv, dim, 0, end),
                T::ONE,
                Threads::One,
            );
        }
    }
}

/// The gradients of [`forward`] for the gradient `g` of its result. `to` must hold zeros for keys and values.
pub(crate) fn backward<T: Real>(
    s: &Sizes,
    x: &Inputs<'_, T>,
    kept: &[T],
    g: &[T],
    to: &mut Gradients<'_, T>,
    scratch: &mut Vec<T>,
) {
    let (dim, width) = (s.head_dim, s.width());
    let size = BLOCK.min(s.queries) * s.keys;
    scratch.resize(2 * size, T::default());
    let g = Rows { data: g, offset: 0, stride: width };
    for head in 0..s.heads {
        let kv = s.kv_head(head);
        for from in (0..s.queries).step_by(BLOCK) {
            let rows = BLOCK.min(s.queries - from);
            let end = s.visible(from + rows - 1, x.valid);
            let (probs, slopes) = scratch.split_at_mut(size);
            let (probs, slopes) = (&mut probs[..rows * end], &mut slopes[..rows * end]);
            let (q, k) = (x.q.head(head, dim, from, rows), x.k.head(kv, dim, 0, end));
            let (v, g) = (x.v.head(kv, dim, 0, end), g.head(head, dim, from, rows));
            product(MatMut::new(probs, rows, end), false, q, k.t(), s.scale(), Threads::One);
            product(MatMut::new(slopes, rows, end), false, g, v.t(), T::ONE, Threads::One);
            let pairs = probs.chunks_exact_mut(end.max(1)).zip(slopes.chunks_exact_mut(end.max(1)));
            for (row, (probs, slopes)) in pairs.enumerate() {
                let at = 2 * (head * s.queries + from + row);
                let seen = s.visible(from + row, x.valid);
                probs[seen..].fill(T::default());
                slopes[seen..].fill(T::default());
                softmax_backward(&mut probs[..seen], &mut slopes[..seen], &kept[at..at + 2]);
            }
            let (p, d) = (Mat::new(probs, rows, end), Mat::new(slopes, rows, end));
            product(to.head(s, 2, kv, 0, end), true, p.t(), g, T::ONE, Threads::One);
            product(to.head(s, 0, head, from, rows), false, d, k, s.scale(), Threads::One);
            product(to.head(s, 1, kv, 0, end), true, d.t(), q, s.scale(), Threads::One);
        }
    }
}

tensor_tree::kernels! {
    /// Softmax in place; `kept` gets the largest element and one over the sum of exponentials.
    fn softmax<T: Real>(x: &mut [T], kept: &mut [T]) {
        let mut lanes = [T::of(f64::NEG_INFINITY); LANES];
        let whole = x.chunks_exact(LANES);
        let rest = whole.remainder();
        for part in whole {
            for l in 0..LANES {
                lanes[l] = part[l].larger(lanes[l]);
            }
        }
        for (l, v) in rest.iter().enumerate() {
            lanes[l] = v.larger(lanes[l]);
        }
        let largest = lanes.iter().fold(lanes[0], |a, b| b.larger(a));
        let mut lanes = [T::default(); LANES];
        let mut whole = x.chunks_exact_mut(LANES);
        for part in whole.by_ref() {
            for l in 0..LANES {
                let e = (part[l] - largest).exponential();
                lanes[l] += e;
                part[l] = e;
            }
        }
        for (l, v) in whole.into_remainder().iter_mut().enumerate() {
            *v = (*v - largest).exponential();
            lanes[l] += *v;
        }
        let inverse = T::ONE / fold(lanes);
        for v in x {
            *v *= inverse;
        }
        kept[0] = largest;
        kept[1] = inverse;
    }

    /// Makes probabilities of the scores `p` again, and of the probabilities' gradient `d` that of the scores.
    fn softmax_backward<T: Real>(p: &mut [T], d: &mut [T], kept: &[T]) {
        let (largest, inverse) = (kept[0], kept[1]);
        let mut lanes = [T::default(); LANES];
        let (mut ps, mut ds) = (p.chunks_exact_mut(LANES), d.chunks_exact(LANES));
        for (p, d) in ps.by_ref().zip(ds.by_ref()) {
            for l in 0..LANES {
                let v = (p[l] - largest).exponential() * inverse;
                p[l] = v;
                lanes[l] += v * d[l];
            }
        }
        for (l, (p, d)) in ps.into_remainder().iter_mut().zip(ds.remainder()).enumerate() {
            *p = (*p - largest).exponential() * inverse;
            lanes[l] += *p * *d;
        }
        let mean = fold(lanes);
        for (d, p) in d.iter_mut().zip(p.iter()) {
            *d = *p * (*d - mean);
        }
    }
}
