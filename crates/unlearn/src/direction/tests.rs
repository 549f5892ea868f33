//! Identities of the directions, for gradients of any size and angle.

use proptest::prelude::*;

use super::*;

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn gram(r: &[f64], f: &[f64]) -> Gram {
    Gram { rr: dot(r, r), ff: dot(f, f), rf: dot(r, f) }
}

fn of(direction: Direction, r: &[f64], f: &[f64]) -> Vec<f64> {
    let Coefficients { retain, forget } = direction.coefficients(gram(r, f)).unwrap();
    r.iter().zip(f).map(|(r, f)| retain * r + forget * f).collect()
}

/// Two vectors of one length, of sizes from 1e-6 to 1e6, that may be parallel, opposite or zero.
fn pair() -> impl Strategy<Value = (Vec<f64>, Vec<f64>)> {
    (2usize..=200, -6.0..6.0, -6.0..6.0, 0..7u8).prop_flat_map(|(n, a, b, kind)| {
        let vector = |scale: f64| {
            proptest::collection::vec(-1.0..1.0f64, n)
                .prop_map(move |v| v.into_iter().map(|x| x * 10f64.powf(scale)).collect::<Vec<_>>())
        };
        (vector(a), vector(b)).prop_map(move |(r, f)| match kind {
            0 => (r.clone(), r.iter().map(|x| 3.0 * x).collect()),
            1 => (r.clone(), r.iter().map(|x| -0.5 * x).collect()),
            2 => (r, vec![0.0; f.len()]),
            3 => (vec![0.0; f.len()], f),
            _ => (r, f),
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn normalized_differences_raise_neither_loss((r, f) in pair(), a in 1e-3..1e3f64) {
        let d = of(Direction::NgDiff, &r, &f);
        let g = gram(&r, &f);
        let (nr, nf) = (g.rr.sqrt(), g.ff.sqrt());
        prop_assert!(-1e-12 * nr <= dot(&r, &d) && -1e-12 * nf <= dot(&f, &d));
        prop_assert!(dot(&d, &d).sqrt() <= 2.0 + 1e-12);
        if 0.0 < nr * nf {
            prop_assert!((dot(&d, &d) - 2.0 - 2.0 * g.cosine()).abs() < 1e-10);
            let longer: Vec<f64> = r.iter().map(|x| a * x).collect();
            for (x, y) in of(Direction::NgDiff, &longer, &f).iter().zip(&d) {
                prop_assert!((x - y).abs() < 1e-12);
            }
            // Equal projections give the same line.
            let scale = nr * nf / (nr + nf);
            for (x, y) in of(Direction::ImtlG, &r, &f).iter().zip(&d) {
                prop_assert!((x - scale * y).abs() <= 1e-12 * scale);
            }
        }
        for (x, y) in of(Direction::NgDiff, &f, &r).iter().zip(&d) {
            prop_assert!((x - y).abs() < 1e-12, "both are treated alike");
        }
    }

    #[test]
    fn the_shortest_vector_is_no_longer_than_either_and_descends_both((r, f) in pair()) {
        let d = of(Direction::Mgda, &r, &f);
        let (g, dd) = (gram(&r, &f), dot(&d, &d));
        let slack = 1e-9 * (g.rr + g.ff);
        prop_assert!(dd <= g.rr + slack && dd <= g.ff + slack);
        prop_assert!(dd - slack <= dot(&d, &r) && dd - slack <= dot(&d, &f));
    }

    #[test]
    fn without_conflict_projections_change_nothing_and_else_take_the_conflict_away((r, f) in pair()) {
        let d = of(Direction::PcGrad, &r, &f);
        let g = gram(&r, &f);
        if 0.0 <= g.rf {
            let sum: Vec<f64> = r.iter().zip(&f).map(|(r, f)| r + f).collect();
            prop_assert_eq!(d, sum);
        } else {
            let slack = 1e-9 * (g.rr + g.ff);
            prop_assert!(-slack <= dot(&d, &r) && -slack <= dot(&d, &f));
            // The sum of what each keeps, which is orthogonal to the other gradient.
            let a = of(Direction::Blur { gamma: 0.0 }, &r, &f);
            let b = of(Direction::BlurSwapped { gamma: 0.0 }, &r, &f);
            let size = g.rr.sqrt() * g.ff.sqrt();
            prop_assert!(dot(&a, &f).abs() <= 1e-12 * size && dot(&b, &r).abs() <= 1e-12 * size);
            for ((x, a), b) in d.iter().zip(&a).zip(&b) {
                prop_assert!((x - a - b).abs() <= 1e-12 * (g.rr.sqrt() + g.ff.sqrt()));
            }
        }
    }

    #[test]
    fn the_retain_part_of_blur_does_not_touch_the_forget_loss((r, f) in pair(), gamma in 0.0..3.0f64) {
        let d = of(Direction::Blur { gamma }, &r, &f);
        let g = gram(&r, &f);
        if g.ff == 0.0 {
            prop_assert_eq!(d, r);
        } else {
            let size = g.rr.sqrt() * g.ff.sqrt() + g.ff;
            prop_assert!((dot(&d, &f) - gamma * g.ff).abs() <= 1e-12 * (1.0 + gamma) * size);
            let swapped = of(Direction::BlurSwapped { gamma }, &f, &r);
            for (x, y) in swapped.iter().zip(&d) {
                prop_assert!((x - y).abs() <= 1e-10 * (x.abs() + y.abs() + size));
            }
            if 0.1 < gamma {
                let scaled = of(Direction::BlurScaled { alpha: 1.0 / gamma }, &r, &f);
                for (x, y) in scaled.iter().zip(&d) {
                    prop_assert!((gamma * x - y).abs() <= 1e-9 * (1.0 + gamma) * (y.abs() + size));
                }
            }
        }
    }

    #[test]
    fn what_blur_keeps_is_a_projection(
        (r, f) in pair(),
        gamma in 0.0..3.0f64,
        b in prop_oneof![-1e3..-1e-3f64, 1e-3..1e3f64],
    ) {
        let g = gram(&r, &f);
        prop_assume!(0.0 < g.ff);
        let (nr, nf) = (g.rr.sqrt(), g.ff.sqrt());
        let perp = |r: &[f64], f: &[f64]| of(Direction::Blur { gamma: 0.0 }, r, f);
        let kept = perp(&r, &f);
        prop_assert!(dot(&kept, &f).abs() <= 1e-12 * nr * nf);
        // Any other multiple of the forget gradient takes the same away, and a second time takes nothing.
        let longer: Vec<f64> = f.iter().map(|x| b * x).collect();
        for ((x, other), again) in kept.iter().zip(perp(&r, &longer)).zip(perp(&kept, &f)) {
            prop_assert!((x - other).abs() <= 1e-12 * nr && (x - again).abs() <= 1e-12 * nr);
        }
        let d = of(Direction::Blur { gamma }, &r, &f);
        let (kk, dd) = (dot(&kept, &kept), dot(&d, &d));
        let size = g.rr + gamma * nr * nf + gamma * gamma * g.ff;
        prop_assert!((dd - kk - gamma * gamma * g.ff).abs() <= 1e-11 * size);
        prop_assert!((dot(&d, &r) - kk - gamma * g.rf).abs() <= 1e-11 * size);
        // Linear in the retain gradient: what is added to it adds its own projection.
        let more: Vec<f64> = r.iter().rev().map(|x| 0.3 * x).collect();
        let sum: Vec<f64> = r.iter().zip(&more).map(|(x, y)| b * x + y).collect();
        for ((x, k), m) in perp(&sum, &f).iter().zip(&kept).zip(perp(&more, &f)) {
            prop_assert!((x - b * k - m).abs() <= 1e-12 * (1.0 + b.abs()) * nr);
        }
    }

    #[test]
    fn losses_are_normalized_whatever_their_units(
        (r, f) in pair(),
        losses in (0.01..10.0f64, 0.01..10.0f64),
        scales in (1e-3..1e3f64, 1e-3..1e3f64),
    ) {
        let of = |a: f64, b: f64| {
            let scaled = |x: &[f64], by: f64| x.iter().map(|x| by * x).collect::<Vec<_>>();
            let (retain_loss, forget_loss) = (a * losses.0, b * losses.1);
            of(Direction::LossNorm { retain_loss, forget_loss }, &scaled(&r, a), &scaled(&f, b))
        };
        let g = gram(&r, &f);
        let size = g.rr.sqrt() / losses.0 + g.ff.sqrt() / losses.1;
        for (x, y) in of(1.0, 1.0).iter().zip(of(scales.0, scales.1)) {
            prop_assert!((x - y).abs() <= 1e-12 * size);
        }
    }
}

#[test]
fn what_has_no_direction_is_refused_with_the_number() {
    let fine = Gram { rr: 1.0, ff: 2.0, rf: 0.5 };
    for (direction, name) in [
        (Direction::Weighted { retain: 1.5 }, "weight of the retain gradient"),
        (Direction::LossNorm { retain_loss: 0.0, forget_loss: 1.0 }, "retain loss"),
        (Direction::LossNorm { retain_loss: 1.0, forget_loss: f64::NAN }, "forget loss"),
        (Direction::Random { draws: [0.0, f64::INFINITY] }, "random draw"),
        (Direction::Blur { gamma: -1.0 }, "gamma"),
        (Direction::BlurScaled { alpha: f64::NAN }, "alpha"),
    ] {
        let error = direction.coefficients(fine).unwrap_err().to_string();
        assert!(error.contains(name), "{direction:?}: {error}");
    }
    for gram in [
        Gram { rr: f64::NAN, ..fine },
        Gram { ff: f64::INFINITY, ..fine },
        Gram { rf: f64::NEG_INFINITY, ..fine },
    ] {
        assert!(Direction::NgDiff.coefficients(gram).is_err());
    }
    let slopes = fine.slopes(Coefficients { retain: 1.0, forget: 2.0 });
    assert_eq!(slopes, (2.0, 4.5));
}
