//! Tests of the normal generator.

use chacha20::ChaCha20Rng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::Key;
use crate::host::Level;

#[test]
fn the_key_stream_is_that_of_chacha20() {
    let key = Key::from_seed(3);
    let mut rng: ChaCha20Rng = key.rng();
    let got = blocks(&key.words_for_tests(), 0, 0);
    for l in 0..LANES {
        for row in &got {
            assert_eq!(row[l], rng.next_u32());
        }
    }
    let _ = ChaCha20Rng::from_seed([0; 32]);
}

#[test]
fn every_instruction_set_gives_the_same_bits() {
    let key = Key::from_seed(11);
    let n = 300_000 + 77;
    let draw = |level| {
        Level::limit(level);
        let mut out = vec![0f32; n];
        key.fill_normal(&mut out);
        Level::limit(Level::V4);
        out
    };
    let plain = draw(Level::Baseline);
    for level in [Level::V3, Level::V4] {
        let other = draw(level);
        assert!(plain.iter().zip(&other).all(|(a, b)| a.to_bits() == b.to_bits()), "{level:?}");
    }
}

#[test]
fn a_value_depends_on_its_position_alone() {
    let key = Key::from_seed(12);
    let mut long = vec![0f32; 100_003];
    key.fill_normal(&mut long);
    let mut short = vec![0f32; 301];
    key.fill_normal(&mut short);
    assert_eq!(&long[..301], &short[..]);
    let mut one_thread = vec![0f32; 100_003];
    let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(1).build() else { return };
    pool.install(|| key.fill_normal(&mut one_thread));
    assert_eq!(long, one_thread);
}

/// Moments within five standard errors: var of mean 1/n, of x^2 2/n, of x^3 15/n, of x^4 96/n.
fn check_moments(values: &[f64]) {
    let n = values.len() as f64;
    let moment = |k: i32| values.iter().map(|x| x.powi(k)).sum::<f64>() / n;
    assert!(moment(1).abs() < 5.0 * (1.0 / n).sqrt(), "mean {}", moment(1));
    assert!((moment(2) - 1.0).abs() < 5.0 * (2.0 / n).sqrt(), "variance {}", moment(2));
    assert!(moment(3).abs() < 5.0 * (15.0 / n).sqrt(), "third moment {}", moment(3));
    assert!((moment(4) - 3.0).abs() < 5.0 * (96.0 / n).sqrt(), "fourth moment {}", moment(4));
    let lag: f64 = values.windows(2).map(|w| w[0] * w[1]).sum::<f64>() / n;
    assert!(lag.abs() < 5.0 * (1.0 / n).sqrt(), "lag-1 product {lag}");
    // Counts beyond 1..4 standard deviations against 2 Phi(-k), five binomial standard errors.
    for k in 1..=4 {
        let p = libm::erfc(f64::from(k) / std::f64::consts::SQRT_2);
        let count = values.iter().filter(|x| x.abs() > f64::from(k)).count() as f64;
        assert!((count - n * p).abs() < 5.0 * (n * p * (1.0 - p)).sqrt(), "beyond {k}: {count}");
    }
}

#[test]
fn f32_normals_have_the_moments_and_tails_of_normals() {
    let mut out = vec![0f32; 4_000_000];
    Key::from_seed(21).fill_normal(&mut out);
    check_moments(&out.iter().map(|x| f64::from(*x)).collect::<Vec<_>>());
}

#[test]
fn f64_normals_have_the_moments_and_tails_of_normals() {
    let mut out = vec![0f64; 1_000_000];
    Key::from_seed(22).fill_normal(&mut out);
    check_moments(&out);
}

#[test]
fn radius_and_angle_agree_with_the_exact_functions() {
    let mut worst_r = 0.0f64;
    let mut worst_t = 0.0f64;
    let mut word = 0u32;
    for i in 0..2_000_000u32 {
        word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223).wrapping_add(i & 1);
        for w in [word, i.wrapping_mul(3), u32::MAX - i] {
            let u = (f64::from(w) + 0.5) / 4_294_967_296.0;
            let exact = if u > 0.5 {
                (-2.0 * (-(f64::from(!w) + 0.5) / 4_294_967_296.0).ln_1p()).sqrt()
            } else {
                (-2.0 * u.ln()).sqrt()
            };
            worst_r = worst_r.max((f64::from(radius(w)) / exact - 1.0).abs());
            let (c, s) = turn(w);
            worst_t = worst_t.max((f64::from(c).hypot(f64::from(s)) - 1.0).abs());
        }
    }
    assert!(worst_r < 3e-7, "radius {worst_r}");
    assert!(worst_t < 3e-7, "angle {worst_t}");
}

#[test]
fn small_radius_words_are_extended_beyond_the_32_bit_tail() {
    // With the word 0 the 32-bit radius stops at sqrt(2 * 33 ln 2) = 6.76; the extension goes on.
    let key = Key::from_seed(1).words_for_tests();
    let mut s = blocks(&key, 5, 0);
    s[2][3] = 0;
    let mut out = [0f32; GROUP];
    extend_tails(&key, 5, &s, &mut out);
    let r = out[2 * 2 * LANES + 3].hypot(out[2 * 2 * LANES + LANES + 3]);
    assert!(6.66 < r && r < 12.0, "radius {r}");
    assert!(out.iter().filter(|x| **x != 0.0).count() >= 2);
}
