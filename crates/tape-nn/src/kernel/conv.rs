//! Convolution of one sample: unfolding, products, and folding back. Everything is channels-last.

use tensor_tree::host::Real;

use super::product::{Mat, MatMut, Threads, product};

/// Runs shorter than this are copied one element at a time.
const SHORT: usize = 8;

/// Sizes of a convolution. One-dimensional ones have height 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// Height and width of the input.
    pub(crate) input: [usize; 2],
    /// Height and width of the output.
    pub(crate) output: [usize; 2],
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: [usize; 2],
    pub(crate) padding: [usize; 2],
    pub(crate) dilation: [usize; 2],
    /// Input channels.
    pub(crate) inputs: usize,
    /// Output channels.
    pub(crate) outputs: usize,
    pub(crate) groups: usize,
}

impl Geometry {
    /// Places of the output.
    pub(crate) fn positions(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Elements of one sample of the input.
    pub(crate) fn sample_in(&self) -> usize {
        self.input[0] * self.input[1] * self.inputs
    }

    /// Elements of one sample of the output.
    pub(crate) fn sample_out(&self) -> usize {
        self.positions() * self.outputs
    }

    /// Entries of the weight.
    pub(crate) fn weights(&self) -> usize {
        self.outputs * self.depth()
    }

    /// Places of the kernel.
    pub(crate) fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Input channels of one group.
    pub(crate) fn group_inputs(&self) -> usize {
        self.inputs / self.groups
    }

    /// Terms of each output: columns of the unfolded input that one group sees.
    pub(crate) fn depth(&self) -> usize {
        self.taps() * self.group_inputs()
    }

    /// Columns of the unfolded input, ordered (group, kernel row, kernel column, channel).
    pub(crate) fn columns(&self) -> usize {
        self.taps() * self.inputs
    }

    /// Whether the unfolded input is the input itself.
    fn is_pointwise(&self) -> bool {
        self.taps() == 1 && self.stride == [1, 1] && self.padding == [0, 0]
    }

    /// Elements of scratch that one sample needs.
    pub(crate) fn scratch(&self) -> usize {
        if self.is_pointwise() { 0 } else { self.positions() * self.columns() }
    }

    /// Length of the runs that lie together both in the input and in the unfolded input.
    fn run(&self) -> usize {
        if self.joined() { self.kernel[1] * self.inputs } else { self.group_inputs() }
    }

    /// Whether a kernel row is one run.
    fn joined(&self) -> bool {
        self.groups == 1 && self.dilation[1] == 1
    }

    /// The unfolded input, `positions x columns`, in `scratch` or where it was.
    pub(crate) fn unfolded<'a, T: Real>(&self, x: &'a [T], scratch: &'a mut [T]) -> &'a [T] {
        if self.is_pointwise() {
            return x;
        }
        if self.run() < SHORT {
            unfold_short(*self, x, scratch)
        } else {
            unfold(*self, x, scratch)
        }
        scratch
    }

    /// `y = keep * y + unfolded * weight^T`, group by group; the weight is (out, taps, channels).
    pub(crate) fn apply<T: Real>(&self, unfolded: &[T], weight: &[T], y: &mut [T], keep: bool) {
        let (t, d, og) = (self.positions(), self.depth(), self.outputs / self.groups);
        for group in 0..self.groups {
            product(
                MatMut::strided(&mut y[group * og..], t, og, self.outputs),
                keep,
                Mat::strided(&unfolded[group * d..], t, d, self.columns()),
                Mat::new(&weight[group * og * d..(group + 1) * og * d], og, d).t(),
                T::ONE,
                Threads::One,
            );
        }
    }

    /// `out = keep * out + alpha * g^T unfolded`: the gradient of the weight in the order (out, taps, channels).
    pub(crate) fn weight_gradient<T: Real>(
        &self,
        unfolded: &[T],
        g: &[T],
        alpha: T,
        out: &mut [T],
        keep: bool,
    ) {
        let (t, d, og) = (self.positions(), self.depth(), self.outputs / self.groups);
        for group in 0..self.groups {
            product(
                MatMut::new(&mut out[group * og * d..(group + 1) * og * d], og, d),
                keep,
                Mat::strided(&g[group * og..], t, og, self.outputs).t(),
                Mat::strided(&unfolded[group * d..], t, d, self.columns()),
                alpha,
                Threads::One,
            );
        }
    }

    /// The gradient of the input, from that of the output.
    pub(crate) fn input_gradient<T: Real>(
        &self,
        g: &[T],
        weight: &[T],
        scratch: &mut [T],
        dx: &mut [T],
    ) {
        if self.is_pointwise() {
            return self.unfolded_gradient(g, weight, dx);
        }
        self.unfolded_gradient(g, weight, scratch);
        dx.fill(T::default());
        if self.run() < SHORT { fold_short(*self, scratch, dx) } else { fold(*self, scratch, dx) }
    }

    fn unfolded_gradient<T: Real>(&self, g: &[T], weight: &[T], out: &mut [T]) {
        let (t, d, og) = (self.positions(), self.depth(), self.outputs / self.groups);
        for group in 0..self.groups {
            product(
                MatMut::strided(&mut out[group * d..], t, d, self.columns()),
                false,
                Mat::strided(&g[group * og..], t, og, self.outputs),
                Mat::new(&weight[group * og * d..(group + 1) * og * d], og, d),
                T::ONE,
                Threads::One,
            );
        }
    }
}

/// Calls `f(place in the unfolded input, place in the input or `None` for padding, length)` for every run.
#[inline(always)]
fn runs(g: &Geometry, mut f: impl FnMut(usize, Option<usize>, usize)) {
    let ([h, w], [kh, kw], c) = (g.input, g.kernel, g.inputs);
    let (cg, taps, joined) = (g.group_inputs(), g.taps(), g.joined());
    let mut row = 0;
    for oy in 0..g.output[0] {
        for ox in 0..g.output[1] {
            for ky in 0..kh {
                let iy = inside(oy * g.stride[0] + ky * g.dilation[0], g.padding[0], h);
                if joined {
                    let at = row + ky * kw * c;
                    // Taps lo..hi of this kernel row lie inside.
                    let start = ox * g.stride[1];
                    let lo = g.padding[1].saturating_sub(start).min(kw);
                    let hi = (w + g.padding[1]).saturating_sub(start).min(kw).max(lo);
                    let Some(iy) = iy.filter(|_| lo < hi) else {
                        f(at, None, kw * c);
                        continue;
                    };
                    if 0 < lo {
                        f(at, None, lo * c);
                    }
                    let from = (iy * w + start + lo - g.padding[1]) * c;
                    f(at + lo * c, Some(from), (hi - lo) * c);
                    if hi < kw {
                        f(at + hi * c, None, (kw - hi) * c);
                    }
                } else {
                    for kx in 0..kw {
                        let ix = inside(ox * g.stride[1] + kx * g.dilation[1], g.padding[1], w);
                        for group in 0..g.groups {
                            let at = row + (group * taps + ky * kw + kx) * cg;
                            let from = iy.zip(ix).map(|(y, x)| (y * w + x) * c + group * cg);
                            f(at, from, cg);
                        }
                    }
                }
            }
            row += taps * c;
        }
    }
}

#[inline(always)]
fn inside(at: usize, padding: usize, size: usize) -> Option<usize> {
    at.checked_sub(padding).filter(|i| *i < size)
}

/// Calls `f(place in the unfolded input, place in the input, its step, count, zeros before, zeros after)` for
/// every column, kernel place and output row: long strided walks where runs are short.
#[inline(always)]
fn walks(g: &Geometry, mut f: impl FnMut(usize, usize, usize, usize, usize, usize)) {
    let ([h, w], [oh, ow], [kh, kw], c) = (g.input, g.output, g.kernel, g.inputs);
    let (cg, taps, columns) = (g.group_inputs(), g.taps(), g.columns());
    let (s, p) = (g.stride[1], g.padding[1]);
    for channel in 0..c {
        for ky in 0..kh {
            for kx in 0..kw {
                let column = ((channel / cg) * taps + ky * kw + kx) * cg + channel % cg;
                let shift = kx * g.dilation[1];
                // Outputs lo..hi of a row see the inside.
                let lo = p.saturating_sub(shift).div_ceil(s).min(ow);
                let hi = (w + p).saturating_sub(shift).div_ceil(s).min(ow).max(lo);
                for oy in 0..oh {
                    let at = oy * ow * columns + column;
                    match inside(oy * g.stride[0] + ky * g.dilation[0], g.padding[0], h) {
                        Some(iy) if lo < hi => {
                            let from = (iy * w + lo * s + shift - p) * c + channel;
                            f(at, from, s * c, hi - lo, lo, ow - hi);
                        }
                        _ => f(at, 0, 0, 0, ow, 0),
                    }
                }
            }
        }
    }
}

tensor_tree::kernels! {
    fn unfold<T: Real>(g: Geometry, x: &[T], u: &mut [T]) {
        runs(&g, |at, from, len| match from {
            Some(from) => u[at..at + len].copy_from_slice(&x[from..from + len]),
            None => u[at..at + len].fill(T::default()),
        });
    }

    fn fold<T: Real>(g: Geometry, u: &[T], dx: &mut [T]) {
        runs(&g, |at, from, len| {
            if let Some(from) = from {
                for (o, v) in dx[from..from + len].iter_mut().zip(&u[at..at + len]) {
                    *o += *v;
                }
            }
        });
    }

    fn unfold_short<T: Real>(g: Geometry, x: &[T], u: &mut [T]) {
        let columns = g.columns();
        walks(&g, |at, from, step, count, before, after| {
            for k in 0..before {
                u[at + k * columns] = T::default();
            }
            for k in 0..count {
                u[at + (before + k) * columns] = x[from + k * step];
            }
            for k in before + count..before + count + after {
                u[at + k * columns] = T::default();
            }
        });
    }

    fn fold_short<T: Real>(g: Geometry, u: &[T], dx: &mut [T]) {
        let columns = g.columns();
        walks(&g, |at, from, step, count, before, _after| {
            for k in 0..count {
                dx[from + k * step] += u[at + (before + k) * columns];
            }
        });
    }
}

/// Every block of `rows x cols` transposed.
pub(crate) fn transposed<T: Real>(data: &[T], rows: usize, cols: usize) -> Vec<T> {
    if rows == 1 || cols == 1 {
        return data.to_vec();
    }
    let mut out = vec![T::default(); data.len()];
    super::for_pieces(&mut out, rows * cols, |i, piece| {
        transpose(&data[i * rows * cols..(i + 1) * rows * cols], rows, cols, piece);
    });
    out
}

tensor_tree::kernels! {
    /// In tiles, so that both sides stay in the cache.
    fn transpose<T: Real>(data: &[T], rows: usize, cols: usize, out: &mut [T]) {
        for r0 in (0..rows).step_by(16) {
            for c0 in (0..cols).step_by(16) {
                for c in c0..cols.min(c0 + 16) {
                    for r in r0..rows.min(r0 + 16) {
                        out[c * rows + r] = data[r * cols + c];
                    }
                }
            }
        }
    }
}
