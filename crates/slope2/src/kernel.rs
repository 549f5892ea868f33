//! Loops over slices that use the widest vectors of the processor they run on.
//!
//! Each is a type of its own and not a closure: the compiler puts a long closure into a function of its own, which then knows
//! nothing of the wide vectors.

use std::sync::OnceLock;

use pulp::{Arch, NullaryFnOnce};

fn run<F: NullaryFnOnce>(loops: F) -> F::Output {
    static ARCH: OnceLock<Arch> = OnceLock::new();
    ARCH.get_or_init(Arch::new).dispatch(loops)
}

/// Lanes of the accumulators: enough to hide the latency of additions at every vector width.
const LANES: usize = 16;

/// `sum_i a_i b_i`. The order of additions is fixed, so all processors give the same bits but for fused rounding, which is
/// not used.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    debug_assert_eq!(a.len(), b.len());
    run(Dot(a, b))
}

struct Dot<'a>(&'a [f64], &'a [f64]);

impl NullaryFnOnce for Dot<'_> {
    type Output = f64;

    #[inline(always)]
    fn call(self) -> f64 {
        let mut sums = [0.0; LANES];
        let (a_lanes, a_rest) = self.0.as_chunks::<LANES>();
        let (b_lanes, b_rest) = self.1.as_chunks::<LANES>();
        for (a, b) in a_lanes.iter().zip(b_lanes) {
            for lane in 0..LANES {
                sums[lane] += a[lane] * b[lane];
            }
        }
        let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
        fold(sums) + rest
    }
}

/// `sum_i (x_i - shift) v_i`.
pub(crate) fn shifted_dot(x: &[f64], shift: f64, v: &[f64]) -> f64 {
    debug_assert_eq!(x.len(), v.len());
    run(ShiftedDot(x, shift, v))
}

struct ShiftedDot<'a>(&'a [f64], f64, &'a [f64]);

impl NullaryFnOnce for ShiftedDot<'_> {
    type Output = f64;

    #[inline(always)]
    fn call(self) -> f64 {
        let mut sums = [0.0; LANES];
        let (x_lanes, x_rest) = self.0.as_chunks::<LANES>();
        let (v_lanes, v_rest) = self.2.as_chunks::<LANES>();
        for (x, v) in x_lanes.iter().zip(v_lanes) {
            for lane in 0..LANES {
                sums[lane] += (x[lane] - self.1) * v[lane];
            }
        }
        let rest: f64 = x_rest.iter().zip(v_rest).map(|(x, v)| (x - self.1) * v).sum();
        fold(sums) + rest
    }
}

/// Lanes where several columns are summed at a time: no sum is added up in fewer parts.
pub(crate) const NARROW: usize = LANES / 2;

/// Columns that [`dots`] takes at a time: memory answers several streams faster than one, and `v` is read once for all.
pub(crate) const STREAMS: usize = 8;

/// `sum_i (x_i - shift) v_i` for several columns `x`, each with its shift. A column gets the same bits in whatever company.
pub(crate) fn dots<'a>(
    column: impl Fn(usize) -> (&'a [f64], f64),
    is_shifted: bool,
    v: &[f64],
    out: &mut [f64],
) {
    let (groups, rest) = out.as_chunks_mut::<STREAMS>();
    for (group, out) in groups.iter_mut().enumerate() {
        let columns = std::array::from_fn(|k| column(group * STREAMS + k));
        *out = dots_of(columns, is_shifted, v);
    }
    let first = groups.len() * STREAMS;
    for (k, out) in rest.iter_mut().enumerate() {
        [*out] = dots_of([column(first + k)], is_shifted, v);
    }
}

fn dots_of<const K: usize>(columns: [(&[f64], f64); K], is_shifted: bool, v: &[f64]) -> [f64; K] {
    debug_assert!(columns.iter().all(|(x, _)| x.len() == v.len()));
    if is_shifted {
        run(Dots::<K, true> { columns, v })
    } else {
        run(Dots::<K, false> { columns, v })
    }
}

struct Dots<'a, const K: usize, const SHIFTED: bool> {
    columns: [(&'a [f64], f64); K],
    v: &'a [f64],
}

impl<const K: usize, const SHIFTED: bool> NullaryFnOnce for Dots<'_, K, SHIFTED> {
    type Output = [f64; K];

    #[inline(always)]
    fn call(self) -> [f64; K] {
        let Dots { columns, v } = self;
        let (lanes, rest) = v.as_chunks::<NARROW>();
        let n = lanes.len();
        let entries = columns.map(|(x, _)| &x.as_chunks::<NARROW>().0[..n]);
        let mut sums = [[0.0; NARROW]; K];
        for (i, v) in lanes.iter().enumerate() {
            for k in 0..K {
                for lane in 0..NARROW {
                    let x = entries[k][i][lane];
                    let x = if SHIFTED { x - columns[k].1 } else { x };
                    sums[k][lane] += x * v[lane];
                }
            }
        }
        let mut out = sums.map(fold);
        for (out, (x, shift)) in out.iter_mut().zip(columns) {
            for (x, v) in x[n * NARROW..].iter().zip(rest) {
                *out += if SHIFTED { x - shift } else { *x } * v;
            }
        }
        out
    }
}

/// `y += alpha (x - shift)`.
pub(crate) fn shifted_axpy(alpha: f64, x: &[f64], shift: f64, y: &mut [f64]) {
    run(ShiftedAxpy(alpha, x, shift, y));
}

struct ShiftedAxpy<'a>(f64, &'a [f64], f64, &'a mut [f64]);

impl NullaryFnOnce for ShiftedAxpy<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for (y, x) in self.3.iter_mut().zip(self.1) {
            *y += self.0 * (x - self.2);
        }
    }
}

/// `y_i += alpha (x_i - shift) weights_i`.
pub(crate) fn weighted_axpy(alpha: f64, x: &[f64], shift: f64, weights: &[f64], y: &mut [f64]) {
    run(WeightedAxpy { alpha, x, shift, weights, y });
}

struct WeightedAxpy<'a> {
    alpha: f64,
    x: &'a [f64],
    shift: f64,
    weights: &'a [f64],
    y: &'a mut [f64],
}

impl NullaryFnOnce for WeightedAxpy<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for ((y, x), weight) in self.y.iter_mut().zip(self.x).zip(self.weights) {
            *y += self.alpha * (x - self.shift) * weight;
        }
    }
}

/// `y += alpha x`.
pub(crate) fn axpy(alpha: f64, x: &[f64], y: &mut [f64]) {
    run(Axpy(alpha, x, y));
}

struct Axpy<'a>(f64, &'a [f64], &'a mut [f64]);

impl NullaryFnOnce for Axpy<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for (y, x) in self.2.iter_mut().zip(self.1) {
            *y += self.0 * x;
        }
    }
}

/// `out_i = (x_i - shift) factor roots_i`.
pub(crate) fn shifted_and_scaled(
    x: &[f64],
    shift: f64,
    factor: f64,
    roots: &[f64],
    out: &mut [f64],
) {
    run(Scaled { x, shift, factor, roots, out });
}

struct Scaled<'a> {
    x: &'a [f64],
    shift: f64,
    factor: f64,
    roots: &'a [f64],
    out: &'a mut [f64],
}

impl NullaryFnOnce for Scaled<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for ((out, x), root) in self.out.iter_mut().zip(self.x).zip(self.roots) {
            *out = (x - self.shift) * (self.factor * root);
        }
    }
}

/// Whether all are finite.
pub(crate) fn all_finite(v: &[f64]) -> bool {
    run(Finite(v))
}

struct Finite<'a>(&'a [f64]);

impl NullaryFnOnce for Finite<'_> {
    type Output = bool;

    #[inline(always)]
    fn call(self) -> bool {
        // Zero times a number is zero, times anything else it is not.
        let mut sums = [0.0; LANES];
        let (lanes, rest) = self.0.as_chunks::<LANES>();
        for v in lanes {
            for lane in 0..LANES {
                sums[lane] += 0.0 * v[lane];
            }
        }
        fold(sums) == 0.0 && rest.iter().all(|x| x.is_finite())
    }
}

/// `sgn(v) (|v| - low - clip(|v| - low - h, 0, width))_+` in place of each `v`. Whether all are finite; what is not stays so.
pub(crate) fn shrink(v: &mut [f64], low: f64, h: f64, width: f64) -> bool {
    run(Shrink { v, low, h, width })
}

struct Shrink<'a> {
    v: &'a mut [f64],
    low: f64,
    h: f64,
    width: f64,
}

impl Shrink<'_> {
    #[inline(always)]
    fn of(x: f64, low: f64, h: f64, width: f64) -> f64 {
        let over = x.abs() - low;
        let more = over - h;
        let more = if more < width { more } else { width };
        let more = if 0.0 < more { more } else { 0.0 };
        let z = if over <= 0.0 { 0.0 } else { over - more };
        z.copysign(x)
    }
}

impl NullaryFnOnce for Shrink<'_> {
    type Output = bool;

    #[inline(always)]
    fn call(self) -> bool {
        let Shrink { v, low, h, width } = self;
        // Zero times a number is zero, times anything else it is not.
        let mut zeros = [0.0; LANES];
        let (lanes, rest) = v.as_chunks_mut::<LANES>();
        for v in lanes {
            for lane in 0..LANES {
                let x = v[lane];
                zeros[lane] += 0.0 * x;
                v[lane] = Shrink::of(x, low, h, width);
            }
        }
        let mut finite = fold(zeros) == 0.0;
        for x in rest {
            finite &= x.is_finite();
            *x = Shrink::of(*x, low, h, width);
        }
        finite
    }
}

/// What one pass over magnitudes says about a level: how many lie above the window of width `width` over `low`, how many
/// inside, and the sum of those inside.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Window {
    pub(crate) above: f64,
    pub(crate) inside: f64,
    pub(crate) inside_sum: f64,
}

/// Counts the magnitudes of `v` above `low + width` and those in `(low, low + width)`.
pub(crate) fn window(v: &[f64], low: f64, width: f64) -> Window {
    run(Count { v, low, high: low + width })
}

struct Count<'a> {
    v: &'a [f64],
    low: f64,
    high: f64,
}

impl NullaryFnOnce for Count<'_> {
    type Output = Window;

    #[inline(always)]
    fn call(self) -> Window {
        let Count { v, low, high } = self;
        let mut above = [0.0; LANES];
        let mut inside = [0.0; LANES];
        let mut sum = [0.0; LANES];
        let (lanes, rest) = v.as_chunks::<LANES>();
        for v in lanes {
            for lane in 0..LANES {
                let x = v[lane].abs();
                let is_above = if high <= x { 1.0 } else { 0.0 };
                let is_inside = if low < x && x < high { 1.0 } else { 0.0 };
                above[lane] += is_above;
                inside[lane] += is_inside;
                sum[lane] += is_inside * x;
            }
        }
        let mut all = Window { above: fold(above), inside: fold(inside), inside_sum: fold(sum) };
        for x in rest {
            let x = x.abs();
            if high <= x {
                all.above += 1.0;
            } else if low < x {
                all.inside += 1.0;
                all.inside_sum += x;
            }
        }
        all
    }
}

/// `sum_j clip(|v_j| - low, 0, width)`.
pub(crate) fn clipped_excess(v: &[f64], low: f64, width: f64) -> f64 {
    run(Excess { v, low, width })
}

struct Excess<'a> {
    v: &'a [f64],
    low: f64,
    width: f64,
}

impl Excess<'_> {
    #[inline(always)]
    fn clip(&self, x: f64) -> f64 {
        let over = x.abs() - self.low;
        let over = if over < self.width { over } else { self.width };
        if 0.0 < over { over } else { 0.0 }
    }
}

impl NullaryFnOnce for Excess<'_> {
    type Output = f64;

    #[inline(always)]
    fn call(self) -> f64 {
        let mut sums = [0.0; LANES];
        let (lanes, rest) = self.v.as_chunks::<LANES>();
        for v in lanes {
            for lane in 0..LANES {
                sums[lane] += self.clip(v[lane]);
            }
        }
        let mut rest_sum = 0.0;
        for x in rest {
            rest_sum += self.clip(*x);
        }
        fold(sums) + rest_sum
    }
}

/// The largest magnitude; 0 of none.
pub(crate) fn largest(v: &[f64]) -> f64 {
    run(Largest(v))
}

struct Largest<'a>(&'a [f64]);

impl NullaryFnOnce for Largest<'_> {
    type Output = f64;

    #[inline(always)]
    fn call(self) -> f64 {
        let mut best = [0.0; LANES];
        let (lanes, rest) = self.0.as_chunks::<LANES>();
        for v in lanes {
            for lane in 0..LANES {
                let x = v[lane].abs();
                best[lane] = if best[lane] < x { x } else { best[lane] };
            }
        }
        let mut top = 0.0;
        for x in best {
            top = if top < x { x } else { top };
        }
        for x in rest {
            top = if top < x.abs() { x.abs() } else { top };
        }
        top
    }
}

#[inline(always)]
fn fold<const N: usize>(mut sums: [f64; N]) -> f64 {
    let mut half = N / 2;
    while 0 < half {
        for lane in 0..half {
            sums[lane] += sums[lane + half];
        }
        half /= 2;
    }
    sums[0]
}
