//! Standard normals from ChaCha20 by Box-Muller, sixteen blocks side by side.
//!
//! Only additions, multiplications, square roots and integer operations in a fixed order: every
//! instruction set gives the same bits. The radius has 32 random bits; where they fall below 2^16
//! (one pair in 65,536) 64 more are drawn from a second stream of the same key, so that the tail is
//! cut at 11.5 standard deviations and not at 6.7.

#![allow(
    clippy::cast_possible_truncation,
    clippy::needless_range_loop,
    reason = "words are cut from counters on purpose, and lanes are indexed in several arrays at once"
)]

use rayon::prelude::*;

use crate::host::Real;

const LANES: usize = 16;
/// Words of key stream per group of sixteen blocks.
const GROUP: usize = 16 * LANES;
/// The stream that extends small radius words.
const TAIL_STREAM: u64 = 1 << 63;
/// Groups made by one thread in one go.
const GROUPS_PER_TASK: usize = 64;

/// Element types of which normals can be drawn.
pub trait Normal: Real {
    #[doc(hidden)]
    const PER_GROUP: usize;
    #[doc(hidden)]
    fn group(key: &[u32; 8], index: u64, out: &mut [Self]);

    /// Fills `out` and hands each finished piece to `then` with its start.
    #[doc(hidden)]
    fn fill(key: &[u32; 8], out: &mut [Self], then: impl Fn(usize, &mut [Self]) + Sync) {
        let task = GROUPS_PER_TASK * Self::PER_GROUP;
        let run = |(t, piece): (usize, &mut [Self])| {
            for (g, part) in piece.chunks_mut(Self::PER_GROUP).enumerate() {
                let index = (t * GROUPS_PER_TASK + g) as u64;
                Self::group(key, index, part);
            }
            then(t * task, piece);
        };
        if out.len() <= task || rayon::current_num_threads() == 1 {
            out.chunks_mut(task).enumerate().for_each(run);
        } else {
            out.par_chunks_mut(task).enumerate().for_each(run);
        }
    }
}

impl Normal for f32 {
    const PER_GROUP: usize = GROUP;
    fn group(key: &[u32; 8], index: u64, out: &mut [f32]) {
        if out.len() == GROUP {
            group_f32(key, index, out);
        } else {
            let mut whole = [0f32; GROUP];
            group_f32(key, index, &mut whole);
            out.copy_from_slice(&whole[..out.len()]);
        }
    }
}

impl Normal for f64 {
    const PER_GROUP: usize = GROUP / 2;
    fn group(key: &[u32; 8], index: u64, out: &mut [f64]) {
        let mut whole = [0f64; GROUP / 2];
        group_f64(key, index, &mut whole);
        out.copy_from_slice(&whole[..out.len()]);
    }
}

/// Sixteen consecutive ChaCha20 blocks from `16 * index` on: word `w` of block `l` at `[w][l]`.
#[inline(always)]
fn blocks(key: &[u32; 8], index: u64, stream: u64) -> [[u32; LANES]; 16] {
    let mut start = [[0u32; LANES]; 16];
    let constants = [0x6170_7865u32, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];
    for (row, value) in start.iter_mut().zip(constants.iter().chain(key.iter())) {
        *row = [*value; LANES];
    }
    for l in 0..LANES {
        let counter = index.wrapping_mul(LANES as u64).wrapping_add(l as u64);
        start[12][l] = counter as u32;
        start[13][l] = (counter >> 32) as u32;
    }
    start[14] = [stream as u32; LANES];
    start[15] = [(stream >> 32) as u32; LANES];
    let mut s = start;
    for _ in 0..10 {
        quarter(&mut s, 0, 4, 8, 12);
        quarter(&mut s, 1, 5, 9, 13);
        quarter(&mut s, 2, 6, 10, 14);
        quarter(&mut s, 3, 7, 11, 15);
        quarter(&mut s, 0, 5, 10, 15);
        quarter(&mut s, 1, 6, 11, 12);
        quarter(&mut s, 2, 7, 8, 13);
        quarter(&mut s, 3, 4, 9, 14);
    }
    for (row, first) in s.iter_mut().zip(&start) {
        for (x, y) in row.iter_mut().zip(first) {
            *x = x.wrapping_add(*y);
        }
    }
    s
}

#[inline(always)]
fn quarter(s: &mut [[u32; LANES]; 16], a: usize, b: usize, c: usize, d: usize) {
    let (mut ra, mut rb, mut rc, mut rd) = (s[a], s[b], s[c], s[d]);
    add_xor_rotate(&mut ra, &rb, &mut rd, 16);
    add_xor_rotate(&mut rc, &rd, &mut rb, 12);
    add_xor_rotate(&mut ra, &rb, &mut rd, 8);
    add_xor_rotate(&mut rc, &rd, &mut rb, 7);
    (s[a], s[b], s[c], s[d]) = (ra, rb, rc, rd);
}

#[inline(always)]
fn add_xor_rotate(x: &mut [u32; LANES], y: &[u32; LANES], z: &mut [u32; LANES], by: u32) {
    for l in 0..LANES {
        x[l] = x[l].wrapping_add(y[l]);
        z[l] = (z[l] ^ x[l]).rotate_left(by);
    }
}

const TWO_POW_MINUS_32: f32 = 1.0 / 4_294_967_296.0;

/// `sqrt(-2 ln u)` for `u = (word + 1/2) / 2^32`.
#[inline(always)]
fn radius(word: u32) -> f32 {
    // Near 1 the distance to 1 is what must be exact, so it is taken from the complement.
    let near_one = word >= 0xB504_F334; // u >= 1/sqrt(2)
    let below = -((!word) as f32 + 0.5) * TWO_POW_MINUS_32;
    let v = word as f32 + 0.5;
    // v = 2^e * m with m in [1/sqrt(2), sqrt(2))
    let bits = v.to_bits().wrapping_sub(0x3F35_04F3);
    let e = (bits as i32) >> 23;
    let m = f32::from_bits((bits & 0x007F_FFFF).wrapping_add(0x3F35_04F3));
    let x = if near_one { below } else { m - 1.0 };
    let e = if near_one { 0.0 } else { (e - 32) as f32 };
    // ln(1 + x), Cephes logf.
    let z = x * x;
    let mut p = 7.037_683_6e-2f32;
    p = p * x - 1.151_461e-1;
    p = p * x + 1.167_699_9e-1;
    p = p * x - 1.242_014_1e-1;
    p = p * x + 1.424_932_3e-1;
    p = p * x - 1.666_805_8e-1;
    p = p * x + 2.000_071_5e-1;
    p = p * x - 2.499_999_4e-1;
    p = p * x + 3.333_333e-1;
    let y = p * x * z + e * -2.121_944_4e-4 - 0.5 * z;
    let ln = x + y + e * 0.693_359_4;
    (-2.0 * ln).sqrt()
}

/// Cosine and sine of the angle `2 pi (word + 1/2) / 2^32`, up to a fixed rotation.
#[inline(always)]
fn turn(word: u32) -> (f32, f32) {
    // The two top bits choose the quadrant, the rest an angle in (-pi/4, pi/4).
    let inner = (word << 2) as i32;
    let x = (inner as f32 + 2.0) * (std::f32::consts::FRAC_PI_4 / 2_147_483_648.0);
    let z = x * x;
    let mut s = -1.951_529_6e-4f32;
    s = s * z + 8.332_161e-3;
    s = s * z - 1.666_665_5e-1;
    let sin = s * z * x + x;
    let mut c = 2.443_315_7e-5f32;
    c = c * z - 1.388_731_6e-3;
    c = c * z + 4.166_664_6e-2;
    let cos = c * z * z - 0.5 * z + 1.0;
    // Quarter turns as exchange and sign flips.
    let swap = word & 0x4000_0000 != 0;
    let (a, b) = if swap { (sin, cos) } else { (cos, sin) };
    let flip_a = (word ^ (word << 1)) & 0x8000_0000;
    let flip_b = word & 0x8000_0000;
    (f32::from_bits(a.to_bits() ^ flip_a), f32::from_bits(b.to_bits() ^ flip_b))
}

crate::kernels! {
    /// One group of 256 normals.
    fn group_f32(key: &[u32; 8], index: u64, out: &mut [f32]) {
        let s = blocks(key, index, 0);
        let mut smallest = u32::MAX;
        for w in 0..8 {
            let (first, second) = out[w * 2 * LANES..(w + 1) * 2 * LANES].split_at_mut(LANES);
            for l in 0..LANES {
                let r = radius(s[w][l]);
                let (c, d) = turn(s[w + 8][l]);
                first[l] = r * c;
                second[l] = r * d;
                smallest = if s[w][l] < smallest { s[w][l] } else { smallest };
            }
        }
        if smallest < 1 << 16 {
            extend_tails(key, index, &s, out);
        }
    }
}

/// Redoes the pairs whose radius word is below 2^16 with 64 more bits.
#[cold]
#[inline(never)]
#[allow(clippy::cast_possible_truncation, reason = "rounding to f32 is the purpose")]
fn extend_tails(key: &[u32; 8], index: u64, s: &[[u32; LANES]; 16], out: &mut [f32]) {
    let more = blocks(key, index, TAIL_STREAM);
    for w in 0..8 {
        for l in 0..LANES {
            if s[w][l] < 1 << 16 {
                let extra = (u64::from(more[w][l]) << 32) | u64::from(more[w + 8][l]);
                let u =
                    (f64::from(s[w][l]) + (extra as f64 + 0.5) * 2f64.powi(-64)) * 2f64.powi(-32);
                let r = (-2.0 * libm::log(u)).sqrt() as f32;
                let (c, d) = turn(s[w + 8][l]);
                out[w * 2 * LANES + l] = r * c;
                out[w * 2 * LANES + LANES + l] = r * d;
            }
        }
    }
}

/// One group of 128 doubles: 64-bit radius (extended by 32 bits below 2^32) and 64-bit angle.
fn group_f64(key: &[u32; 8], index: u64, out: &mut [f64; GROUP / 2]) {
    let s = blocks(key, index, 0);
    let mut more = None;
    for w in 0..4 {
        for l in 0..LANES {
            let wide = |i: usize| (u64::from(s[i][l]) << 32) | u64::from(s[i + 1][l]);
            let (r, a) = (wide(4 * w), wide(4 * w + 2));
            let ln = if r >= 1 << 63 {
                libm::log1p(-((!r) as f64 + 0.5) * 2f64.powi(-64))
            } else if r < 1 << 32 {
                let more = more.get_or_insert_with(|| blocks(key, index, TAIL_STREAM));
                let low = (f64::from(more[w][l]) + 0.5) * 2f64.powi(-32);
                libm::log((r as f64 + low) * 2f64.powi(-64))
            } else {
                libm::log((r as f64 + 0.5) * 2f64.powi(-64))
            };
            let radius = (-2.0 * ln).sqrt();
            let (sin, cos) =
                libm::sincos((a as f64 + 0.5) * (std::f64::consts::TAU * 2f64.powi(-64)));
            out[w * 2 * LANES + l] = radius * cos;
            out[w * 2 * LANES + LANES + l] = radius * sin;
        }
    }
}

#[cfg(test)]
mod tests;
