//! Seeded damage to files, for the tests of parsers.

#![allow(clippy::cast_possible_truncation, reason = "numbers of bytes, far below 2^52")]

use tensor_tree::{Key, Label};

/// A damaged copy of `bytes`, or rarely random bytes. The first kilobytes, where headers lie, are hit most.
pub(crate) fn damaged(bytes: &[u8], seed: u64) -> Vec<u8> {
    let key = Key::from_seed(seed);
    let (mut draws, mut drawn) = ([0f64; 32], 0usize);
    let mut below = move |n: usize| {
        if drawn.is_multiple_of(32) {
            key.child(Label::Step(drawn as u64)).fill_uniform(&mut draws);
        }
        drawn += 1;
        (draws[(drawn - 1) % 32] * n as f64) as usize
    };
    let mut out = bytes.to_vec();
    for _ in 0..=below(3) {
        let near = [64, 1024, 16 * 1024, usize::MAX][below(4)];
        let at = below(out.len().min(near));
        match below(9) {
            0 => out.truncate(at),
            1 => {
                if let Some(b) = out.get_mut(at) {
                    *b ^= 1 << below(8);
                }
            }
            2 => {
                if let Some(b) = out.get_mut(at) {
                    *b = [0, 1, 0x7f, 0x80, 0xff, b'"', b'{', b'9'][below(8)];
                }
            }
            3 => {
                let wild: [u64; 6] = [u64::MAX, 1 << 63, 1 << 40, 1 << 32, 1 << 31, 0];
                let wild = wild[below(6)].to_le_bytes();
                let end = (at + [4, 8][below(2)]).min(out.len());
                let len = end - at;
                out[at..end].copy_from_slice(&wild[..len]);
            }
            4 => {
                let end = (at + below(32)).min(out.len());
                out.drain(at..end);
            }
            5 => {
                let added: Vec<u8> =
                    (0..below(32)).map(|_| u8::try_from(below(256)).unwrap_or(0)).collect();
                out.splice(at..at, added);
            }
            6 => {
                let end = (at + below(64)).min(out.len());
                let copy = out[at..end].to_vec();
                let to = below(out.len());
                out.splice(to..to, copy);
            }
            7 => {
                let digits: Vec<usize> = (0..out.len().min(near.min(1 << 16)))
                    .filter(|i| out[*i].is_ascii_digit())
                    .collect();
                if !digits.is_empty() {
                    out[digits[below(digits.len())]] = b"0123456789-"[below(11)];
                }
            }
            _ => {
                if below(8) == 0 {
                    out = (0..below(512)).map(|_| u8::try_from(below(256)).unwrap_or(0)).collect();
                }
            }
        }
    }
    out
}

/// Runs `parse` on `n` damaged copies; it must return, whatever it returns. The number it refused.
pub(crate) fn survive(bytes: &[u8], n: u64, mut parse: impl FnMut(&[u8]) -> bool) -> u64 {
    (0..n).map(|seed| u64::from(!parse(&damaged(bytes, seed)))).sum()
}
