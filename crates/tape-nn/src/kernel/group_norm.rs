//! Group normalisation of one channels-last sample, with ReLU and 2x2 maximum pooling behind it.

use tensor_tree::host::Real;

/// No place of the window took part: all were negative.
const NONE: u8 = 4;

/// What one sample needs besides its data: one entry for each channel.
#[derive(Debug)]
pub(crate) struct Channel<T> {
    pub(crate) mean: Vec<T>,
    /// Weight over standard deviation.
    pub(crate) scale: Vec<T>,
    /// Sum of the gradient of the normalised and scaled output.
    sums: Vec<f64>,
    /// Sum of that gradient times the centred input.
    moments: Vec<f64>,
    block: Vec<T>,
    offset: Vec<T>,
    slope: Vec<T>,
}

impl<T: Real> Channel<T> {
    pub(crate) fn new(channels: usize) -> Self {
        Channel {
            mean: vec![T::default(); channels],
            scale: vec![T::default(); channels],
            sums: vec![0.0; channels],
            moments: vec![0.0; channels],
            block: vec![T::default(); 2 * channels],
            offset: vec![T::default(); channels],
            slope: vec![T::default(); channels],
        }
    }

    /// Mean and one over the standard deviation of each group of `x`, written as pairs to `stats`.
    pub(crate) fn measure(&mut self, x: &[T], eps: f64, stats: &mut [T]) {
        let channels = self.mean.len();
        let groups = stats.len() / 2;
        let width = channels / groups;
        let count = (x.len() / groups) as f64;
        self.sums.fill(0.0);
        column_sums(x, &mut self.block[..channels], &mut self.sums);
        for (g, sums) in self.sums.chunks_exact(width).enumerate() {
            let mean = T::of(sums.iter().sum::<f64>() / count);
            stats[2 * g] = mean;
            self.mean[g * width..(g + 1) * width].fill(mean);
        }
        self.sums.fill(0.0);
        column_squares(x, &self.mean, &mut self.block[..channels], &mut self.sums);
        for (g, sums) in self.sums.chunks_exact(width).enumerate() {
            let variance = sums.iter().sum::<f64>() / count;
            stats[2 * g + 1] = T::of(1.0 / (variance + eps).sqrt());
        }
    }

    /// Fills mean and scale of each channel from what [`Channel::measure`] found.
    pub(crate) fn expand(&mut self, stats: &[T], weight: &[T]) {
        let width = weight.len() / (stats.len() / 2);
        for (g, pair) in stats.chunks_exact(2).enumerate() {
            let range = g * width..(g + 1) * width;
            self.mean[range.clone()].fill(pair[0]);
            for (s, w) in self.scale[range.clone()].iter_mut().zip(&weight[range]) {
                *s = *w * pair[1];
            }
        }
    }

    /// Sums of one sample over places, as per-sample gradients of weight and bias, and the terms of the input
    /// gradient `scale * g - (offset + slope * (x - mean))`.
    fn finish(&mut self, stats: &[T], weight: &[T], places: usize, dw: &mut [T], db: &mut [T]) {
        let width = weight.len() / (stats.len() / 2);
        let count = (places * width) as f64;
        for (g, pair) in stats.chunks_exact(2).enumerate() {
            let std = pair[1].double();
            let range = g * width..(g + 1) * width;
            let (mut first, mut second) = (0.0, 0.0);
            for c in range.clone() {
                let w = weight[c].double();
                first += w * self.sums[c];
                second += w * self.moments[c] * std;
                if !dw.is_empty() {
                    dw[c] = T::of(self.moments[c] * std);
                }
                if !db.is_empty() {
                    db[c] = T::of(self.sums[c]);
                }
            }
            self.offset[range.clone()].fill(T::of(std * first / count));
            self.slope[range].fill(T::of(std * std * second / count));
        }
    }

    /// Backward pass of one sample without pooling. `dw` and `db` may be empty; so may `dx`.
    #[allow(clippy::too_many_arguments, reason = "the arrays of one sample")]
    pub(crate) fn pull(
        &mut self,
        x: &[T],
        g: &[T],
        stats: &[T],
        weight: &[T],
        shift: &[T],
        relu: bool,
        (dx, dw, db): (&mut [T], &mut [T], &mut [T]),
    ) {
        self.expand(stats, weight);
        self.sums.fill(0.0);
        self.moments.fill(0.0);
        let Channel { mean, scale, sums, moments, block, .. } = self;
        if relu {
            gradient_sums_relu(x, g, mean, scale, shift, block, sums, moments);
        } else {
            gradient_sums(x, g, mean, block, sums, moments);
        }
        self.finish(stats, weight, x.len() / weight.len(), dw, db);
        let Channel { mean, scale, offset, slope, .. } = self;
        match (dx.is_empty(), relu) {
            (true, _) => {}
            (false, true) => write_relu(x, g, mean, scale, shift, offset, slope, dx),
            (false, false) => write(x, g, mean, scale, offset, slope, dx),
        }
    }

    /// Backward pass of one sample with ReLU and pooling.
    #[allow(clippy::too_many_arguments, reason = "the arrays of one sample")]
    pub(crate) fn pull_pooled(
        &mut self,
        x: &[T],
        g: &[T],
        which: &[u8],
        stats: &[T],
        weight: &[T],
        (h, w): (usize, usize),
        (dx, dw, db): (&mut [T], &mut [T], &mut [T]),
    ) {
        self.expand(stats, weight);
        self.sums.fill(0.0);
        self.moments.fill(0.0);
        let Channel { mean, block, sums, moments, .. } = self;
        gradient_sums_pooled(x, g, which, (h, w), mean, block, sums, moments);
        self.finish(stats, weight, h * w, dw, db);
        if !dx.is_empty() {
            let Channel { mean, scale, offset, slope, .. } = self;
            write_pooled(x, g, which, (h, w), mean, scale, offset, slope, dx);
        }
    }
}

/// Rows that are added in `T` before they go to the double-precision sums.
const ROWS: usize = 32;

tensor_tree::kernels! {
    fn column_sums<T: Real>(x: &[T], block: &mut [T], sums: &mut [f64]) {
        let c = block.len();
        for rows in x.chunks(ROWS * c) {
            block.fill(T::default());
            for row in rows.chunks_exact(c) {
                for (b, x) in block.iter_mut().zip(row) {
                    *b += *x;
                }
            }
            for (s, b) in sums.iter_mut().zip(&*block) {
                *s += b.double();
            }
        }
    }

    fn column_squares<T: Real>(x: &[T], mean: &[T], block: &mut [T], sums: &mut [f64]) {
        let c = block.len();
        for rows in x.chunks(ROWS * c) {
            block.fill(T::default());
            for row in rows.chunks_exact(c) {
                for ((b, x), m) in block.iter_mut().zip(row).zip(mean) {
                    let d = *x - *m;
                    *b += d * d;
                }
            }
            for (s, b) in sums.iter_mut().zip(&*block) {
                *s += b.double();
            }
        }
    }

    /// `y = (x - mean) * scale + shift`, then ReLU if wanted.
    pub(crate) fn normalize<T: Real>(x: &[T], mean: &[T], scale: &[T], shift: &[T], relu: bool, y: &mut [T]) {
        let c = mean.len();
        for (row, out) in x.chunks_exact(c).zip(y.chunks_exact_mut(c)) {
            for i in 0..c {
                let v = (row[i] - mean[i]) * scale[i] + shift[i];
                out[i] = if relu && v < T::default() { T::default() } else { v };
            }
        }
    }

    /// The same with ReLU, then the maximum of each 2x2 window and its place.
    pub(crate) fn normalize_pooled<T: Real>(
        x: &[T], size: (usize, usize), mean: &[T], scale: &[T], shift: &[T], y: &mut [T], which: &mut [u8]
    ) {
        let c = mean.len();
        let (oh, ow, line) = (size.0 / 2, size.1 / 2, size.1 * c);
        let (mean, scale, shift) = (&mean[..c], &scale[..c], &shift[..c]);
        for oy in 0..oh {
            for ox in 0..ow {
                let [x0, x1, x2, x3] = window(x, 2 * oy * line + 2 * ox * c, line, c);
                let at = (oy * ow + ox) * c;
                let (y, which) = (&mut y[at..at + c], &mut which[at..at + c]);
                for i in 0..c {
                    let (m, s, b) = (mean[i], scale[i], shift[i]);
                    let v = [(x0[i] - m) * s + b, (x1[i] - m) * s + b, (x2[i] - m) * s + b, (x3[i] - m) * s + b];
                    let (mut top, mut k) = (v[0], 0i32);
                    for (v, j) in [(v[1], 1), (v[2], 2), (v[3], 3)] {
                        k = if v > top { j } else { k };
                        top = if v > top { v } else { top };
                    }
                    let off = top <= T::default();
                    y[i] = if off { T::default() } else { top };
                    which[i] = byte(if off { i32::from(NONE) } else { k });
                }
            }
        }
    }

    fn gradient_sums<T: Real>(x: &[T], g: &[T], mean: &[T], block: &mut [T], sums: &mut [f64], moments: &mut [f64]) {
        let c = mean.len();
        let (first, second) = block.split_at_mut(c);
        for (xs, gs) in x.chunks(ROWS * c).zip(g.chunks(ROWS * c)) {
            first.fill(T::default());
            second.fill(T::default());
            for (x, g) in xs.chunks_exact(c).zip(gs.chunks_exact(c)) {
                for i in 0..c {
                    first[i] += g[i];
                    second[i] += g[i] * (x[i] - mean[i]);
                }
            }
            flush(first, second, sums, moments);
        }
    }

    fn gradient_sums_relu<T: Real>(
        x: &[T], g: &[T], mean: &[T], scale: &[T], shift: &[T], block: &mut [T], sums: &mut [f64], moments: &mut [f64]
    ) {
        let c = mean.len();
        let (first, second) = block.split_at_mut(c);
        for (xs, gs) in x.chunks(ROWS * c).zip(g.chunks(ROWS * c)) {
            first.fill(T::default());
            second.fill(T::default());
            for (x, g) in xs.chunks_exact(c).zip(gs.chunks_exact(c)) {
                for i in 0..c {
                    let d = x[i] - mean[i];
                    let g = if d * scale[i] + shift[i] <= T::default() { T::default() } else { g[i] };
                    first[i] += g;
                    second[i] += g * d;
                }
            }
            flush(first, second, sums, moments);
        }
    }

    fn gradient_sums_pooled<T: Real>(
        x: &[T], g: &[T], which: &[u8], size: (usize, usize), mean: &[T],
        block: &mut [T], sums: &mut [f64], moments: &mut [f64]
    ) {
        let c = mean.len();
        let (oh, ow, line) = (size.0 / 2, size.1 / 2, size.1 * c);
        let (first, second) = block.split_at_mut(c);
        for oy in 0..oh {
            first.fill(T::default());
            second.fill(T::default());
            for ox in 0..ow {
                let [x0, x1, x2, x3] = window(x, 2 * oy * line + 2 * ox * c, line, c);
                let at = (oy * ow + ox) * c;
                let (g, which) = (&g[at..at + c], &which[at..at + c]);
                for i in 0..c {
                    let k = i32::from(which[i]);
                    let g = g[i];
                    let x = if k == 0 { x0[i] } else { x3[i] };
                    let x = if k == 1 { x1[i] } else { x };
                    let x = if k == 2 { x2[i] } else { x };
                    let g = if k == i32::from(NONE) { T::default() } else { g };
                    first[i] += g;
                    second[i] += g * (x - mean[i]);
                }
            }
            flush(first, second, sums, moments);
        }
    }

    fn write<T: Real>(x: &[T], g: &[T], mean: &[T], scale: &[T], offset: &[T], slope: &[T], dx: &mut [T]) {
        let c = mean.len();
        for ((x, g), out) in x.chunks_exact(c).zip(g.chunks_exact(c)).zip(dx.chunks_exact_mut(c)) {
            for i in 0..c {
                out[i] = scale[i] * g[i] - (offset[i] + slope[i] * (x[i] - mean[i]));
            }
        }
    }

    fn write_relu<T: Real>(
        x: &[T], g: &[T], mean: &[T], scale: &[T], shift: &[T], offset: &[T], slope: &[T], dx: &mut [T]
    ) {
        let c = mean.len();
        for ((x, g), out) in x.chunks_exact(c).zip(g.chunks_exact(c)).zip(dx.chunks_exact_mut(c)) {
            for i in 0..c {
                let d = x[i] - mean[i];
                let g = if d * scale[i] + shift[i] <= T::default() { T::default() } else { g[i] };
                out[i] = scale[i] * g - (offset[i] + slope[i] * d);
            }
        }
    }

    fn write_pooled<T: Real>(
        x: &[T], g: &[T], which: &[u8], size: (usize, usize), mean: &[T], scale: &[T],
        offset: &[T], slope: &[T], dx: &mut [T]
    ) {
        let c = mean.len();
        let (h, w) = size;
        let (oh, ow, line) = (h / 2, w / 2, w * c);
        let (mean, scale, offset, slope) = (&mean[..c], &scale[..c], &offset[..c], &slope[..c]);
        for oy in 0..oh {
            let (upper, lower) = dx[2 * oy * line..(2 * oy + 2) * line].split_at_mut(line);
            for ox in 0..ow {
                let [x0, x1, x2, x3] = window(x, 2 * oy * line + 2 * ox * c, line, c);
                let at = (oy * ow + ox) * c;
                let (g, which) = (&g[at..at + c], &which[at..at + c]);
                let (d0, d1) = upper[2 * ox * c..(2 * ox + 2) * c].split_at_mut(c);
                let (d2, d3) = lower[2 * ox * c..(2 * ox + 2) * c].split_at_mut(c);
                for i in 0..c {
                    let k = i32::from(which[i]);
                    let (m, o, s) = (mean[i], offset[i], slope[i]);
                    let pulled = scale[i] * g[i];
                    let zero = T::default();
                    d0[i] = (if k == 0 { pulled } else { zero }) - (o + s * (x0[i] - m));
                    d1[i] = (if k == 1 { pulled } else { zero }) - (o + s * (x1[i] - m));
                    d2[i] = (if k == 2 { pulled } else { zero }) - (o + s * (x2[i] - m));
                    d3[i] = (if k == 3 { pulled } else { zero }) - (o + s * (x3[i] - m));
                }
            }
        }
        // A last row or column outside every window.
        for y in 0..h {
            let from = if y < 2 * oh { 2 * ow } else { 0 };
            for at in (y * w + from..(y + 1) * w).map(|p| p * c) {
                for i in 0..c {
                    dx[at + i] = -(offset[i] + slope[i] * (x[at + i] - mean[i]));
                }
            }
        }
    }
}

/// Places are compared as 32-bit numbers, like the data, so that the loops vectorise.
#[inline(always)]
#[allow(clippy::cast_possible_truncation, reason = "from 0 to 4")]
fn byte(place: i32) -> u8 {
    place as u8
}

/// The four places of a window, row by row.
#[inline(always)]
fn window<T>(x: &[T], at: usize, line: usize, c: usize) -> [&[T]; 4] {
    let (upper, lower) = (&x[at..at + 2 * c], &x[at + line..at + line + 2 * c]);
    [&upper[..c], &upper[c..2 * c], &lower[..c], &lower[c..2 * c]]
}

#[inline(always)]
fn flush<T: Real>(first: &[T], second: &[T], sums: &mut [f64], moments: &mut [f64]) {
    for (s, b) in sums.iter_mut().zip(first) {
        *s += b.double();
    }
    for (s, b) in moments.iter_mut().zip(second) {
        *s += b.double();
    }
}
