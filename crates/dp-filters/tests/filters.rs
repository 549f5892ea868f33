//! Coefficients: which are refused and what is said of them, and what valid ones do to ones, frequencies and noise.

use dp_filters::{Disk, Error, Filter, LookAhead, LowPass, Recipe};
use proptest::prelude::*;

use crate::support::{cases, filters, times};

fn refused(a: &[f64], b: &[f64]) -> (Error, String) {
    let error = Filter::new(a.to_vec(), b.to_vec()).unwrap_err();
    let text = error.to_string();
    (error, text)
}

#[test]
fn a_filter_that_is_not_stable_is_refused_with_its_pole() {
    // A real pole, on the unit circle and outside.
    for (a, pole) in [(-1.0, "pole 1 has modulus 1"), (1.25, "pole -1.25 has modulus 1.25")] {
        let (error, text) = refused(&[a], &[0.1]);
        assert!(matches!(error, Error::Unstable { .. }) && text.contains(pole), "{text}");
    }
    // A pair; the farther of two; of order four, a pair outside among two inside.
    let (_, text) = refused(&[-1.5, 1.125], &[1.0]);
    assert!(text.contains("pole 0.75 + 0.75i has modulus 1.06066"), "{text}");
    let (_, text) = refused(&[-2.5, 1.0], &[1.0]);
    assert!(text.contains("pole 2 has modulus 2"), "{text}");
    let quartic = times(&[1.0, -1.5, 1.125], &[1.0, -0.3, -0.1]);
    let Error::Unstable { pole } = refused(&quartic[1..], &[1.0]).0 else { panic!("not refused") };
    assert!((pole.re - 0.75).abs() < 1e-12 && (pole.im - 0.75).abs() < 1e-12, "{pole}");
    assert!((pole.modulus() - 1.125f64.sqrt()).abs() < 1e-12);
}

#[test]
fn a_filter_by_whose_gain_one_cannot_divide_is_refused_and_says_why() {
    for b in [vec![], vec![0.0], vec![0.0, 1.0]] {
        assert!(matches!(refused(&[-0.5], &b).0, Error::NoInput));
    }
    // A zero at z = 1, exactly and but for rounding.
    for b in [vec![0.1, -0.1], vec![0.1, 0.2, -0.3]] {
        let (error, text) = refused(&[-0.5], &b);
        assert!(matches!(error, Error::ZeroDcGain { .. }), "{text}");
        assert!(text.contains("zero at z = 1"), "{text}");
    }
    // Not positive at once, and at a later step: c = 1, 1 - 3 < 0.
    let (error, text) = refused(&[], &[-1.0]);
    assert!(matches!(error, Error::GainNotPositive { step: 0, gain: -1.0 }), "{text}");
    let (error, text) = refused(&[], &[1.0, -3.0, 4.0]);
    assert!(matches!(error, Error::GainNotPositive { step: 1, gain: -2.0 }), "{text}");
    assert!(text.contains("-2 at step 1"), "{text}");
    // Later than a short look: k_r = 0.9^r - q 0.999^r, so c tends to 10 - 1000 q = -0.5, and comes to 0 after some 3000 steps.
    let (q, a) = (0.0105, times(&[1.0, -0.999], &[1.0, -0.9]));
    let (error, text) = refused(&a[1..], &[1.0 - q, 0.9 * q - 0.999]);
    assert!(matches!(error, Error::GainNotPositive { step: 2900..3200, .. }), "{text}");
}

/// Four poles at p = 1 - 2^-10 and a numerator that nearly cancels them: `c_t` is 1 to 1e-6 for long, and then leaves it for below 0.
/// All coefficients are exact in doubles, so this is no matter of rounding.
#[test]
fn a_gain_that_leaves_its_limit_after_it_seemed_to_have_settled_is_refused() {
    let pole = 1.0 - 2f64.powi(-10);
    let a = times(&times(&[1.0, -pole], &[1.0, -pole]), &times(&[1.0, -pole], &[1.0, -pole]));
    let mut b = a.clone();
    b[3] -= 2f64.powi(-26);
    b[4] += 2f64.powi(-26);
    let (error, text) = refused(&a[1..], &b);
    assert!(matches!(error, Error::GainNotPositive { step: 1030..1040, .. }), "{text}");
}

#[test]
fn a_pole_that_rounding_does_not_tell_from_the_circle_is_refused_with_the_margin() {
    let (error, text) = refused(&[-1.9, 0.9], &[1.0]);
    assert!(matches!(error, Error::Unstable { .. }), "{text}");
    assert!(text.contains("by more than rounding") && text.contains("below 1 - 1e-12"), "{text}");
    let text = Filter::ema(1.0 - 1e-13).unwrap_err().to_string();
    assert!(text.contains("decay must be in [0, 1 - 1e-12)"), "{text}");
    assert!((Filter::ema(1.0 - 1e-11).unwrap().dc_gain() - 1.0).abs() < 1e-15);
}

/// Not moved apart by the root of a rounding.
#[test]
fn two_poles_that_coincide_come_out_as_one() {
    for pole in [0.8, -0.3, 0.1, 0.99] {
        let a = times(&[1.0, -pole], &[1.0, -pole]);
        let poles = Filter::new(a[1..].to_vec(), vec![1.0]).unwrap().poles().unwrap();
        assert_eq!(poles.len(), 2);
        for got in poles {
            assert!((got.re - pole).abs() < 1e-15 && got.im == 0.0, "{got}, want {pole}");
        }
    }
    assert_eq!(Recipe::DoublePole.filter().poles().unwrap()[0].to_string(), "0.8");
    // Two that do not: 0.8 and 0.8 + 1e-6, and a pair off the axis by as much.
    let near = Filter::new(vec![-1.600_001, 0.8 * 0.800_001], vec![1.0]).unwrap();
    let [far, near] = near.poles().unwrap()[..] else { panic!("not two poles") };
    assert!((far.re - near.re - 1e-6).abs() < 1e-9, "{far} {near}");
    let pair = Filter::new(vec![-1.6, 0.64 + 1e-12], vec![1.0]).unwrap().poles().unwrap();
    assert!((pair[0].im - 1e-6).abs() < 1e-9, "{}", pair[0]);
}

#[test]
fn coefficients_that_are_no_numbers_are_refused_by_name() {
    for bad in [f64::NAN, f64::INFINITY] {
        assert!(refused(&[-0.5, bad], &[1.0]).1.contains("coefficient a_2"));
        assert!(refused(&[-0.5], &[bad]).1.contains("coefficient b_0"));
    }
    let (error, _) = refused(&[-0.5], &[f64::MAX, f64::MAX]);
    assert!(matches!(error, Error::GainNotPositive { step: 1, .. }));
}

#[test]
fn the_filters_of_the_table_are_valid_and_have_its_gains() {
    // Gain at frequency zero and noise power gain, to the digits of the table.
    let table = [
        (1.0, 1.0, 1e-12),
        (1.0, 0.0526, 5e-5),
        (1.0, 0.0605, 5e-5),
        (1.0, 0.1, 1e-12),
        (1.0, 0.0562, 5e-5),
        (0.3162, 0.00712, 5e-5),
    ];
    for (recipe, (dc, power, tolerance)) in Recipe::ALL.into_iter().zip(table) {
        let filter = recipe.filter();
        let checked = Filter::new(filter.a().to_vec(), filter.b().to_vec()).unwrap();
        assert_eq!(checked, filter);
        assert!((filter.dc_gain() - dc).abs() < 5e-5, "{}", recipe.name());
        assert!((filter.noise_power_gain() - power).abs() < tolerance, "{}", recipe.name());
    }
    let low = Recipe::SecondOrderLowGain.filter().normalized();
    assert!((low.noise_power_gain() - 0.0712).abs() < 5e-5 && (low.dc_gain() - 1.0).abs() < 1e-12);
}

#[test]
fn designed_filters_pass_the_mean_and_halve_the_power_at_their_cut_off() {
    type Design = fn(f64) -> dp_filters::Result<Filter>;
    let designs: [(Design, f64); 4] = [
        (Filter::ema_with_cut_off, 0.5),
        (Filter::double_pole_with_cut_off, 0.5),
        (Filter::butterworth_1, 0.4999),
        (Filter::butterworth_2, 0.4999),
    ];
    for (design, highest) in designs {
        for cut_off in [1e-5, 3.7e-5, 1e-4, 0.01, 0.05, 0.1, 0.25, 0.4, highest] {
            let filter = design(cut_off).unwrap();
            let at = |f: f64| filter.response(f).unwrap().magnitude;
            // Rounded coefficients, over the squared distance of the cut-off from where the denominator is smallest.
            let edge = if highest < 0.5 { cut_off.min(0.5 - cut_off) } else { cut_off };
            let small = (std::f64::consts::TAU * edge).powi(2);
            let tolerance = 16.0 * f64::EPSILON * (1.0 + 1.0 / small);
            // Normalised, so that rounding of the poles does not matter.
            assert!((filter.dc_gain() - 1.0).abs() < 4.0 * f64::EPSILON, "{cut_off}: {}", at(0.0));
            assert!(LowPass::uncorrected(filter.clone()).is_ok(), "{cut_off}");
            assert!((at(cut_off) - 0.5f64.sqrt()).abs() < tolerance, "{cut_off}: {}", at(cut_off));
        }
        for bad in [0.0, -0.1, 0.6, 9.9e-6, 1e-8, f64::NAN] {
            assert!(matches!(design(bad), Err(Error::InvalidSetting { .. })), "{bad}");
        }
    }
    // Second order falls off faster, and flatter where it passes.
    let at = |filter: &Filter, f: f64| filter.response(f).unwrap().magnitude;
    let (one, two) = (Filter::butterworth_1(0.1).unwrap(), Filter::butterworth_2(0.1).unwrap());
    assert!(at(&one, 0.03) < at(&two, 0.03) && at(&two, 0.3) < at(&one, 0.3));
    // Both are zero at the highest frequency.
    assert!(at(&one, 0.5) < 1e-15 && at(&two, 0.5) < 1e-14);
}

proptest! {
    #![proptest_config(cases(256))]

    /// Two ways to the same numbers: recursions over the coefficients, and sums over the impulse response.
    #[test]
    fn closed_forms_are_the_limits_of_the_recursions(filter in filters()) {
        // Poles within 0.95: what is left out after 1500 steps, of order up to 4, is below 1e-20.
        let gains = filter.first_gains(1500);
        let last = gains[1499];
        let k: Vec<f64> = gains.iter().map(|gain| gain.impulse_response).collect();
        let scale = k.iter().map(|k| k.abs()).sum::<f64>();
        let total: f64 = k.iter().sum();
        let near = |got: f64, want: f64, scale: f64| (got - want).abs() <= 1e-10 * scale;
        prop_assert!(near(last.step_response, filter.dc_gain(), scale));
        prop_assert!(near(total, filter.dc_gain(), scale));
        let power: f64 = k.iter().map(|k| k * k).sum();
        prop_assert!(near(filter.noise_power_gain(), power, power));
        let age: f64 = k.iter().zip(0u32..).map(|(k, r)| k * f64::from(r)).sum::<f64>() / total;
        let spread = k.iter().zip(0u32..).map(|(k, r)| k.abs() * f64::from(r)).sum::<f64>();
        prop_assert!(near(filter.mean_age(), age, spread / total.abs()));
        // The step response is the running sum of the impulse response, and `khat` are its shares.
        let (mut sum, mut squares) = (0.0, 0.0);
        for (t, gain) in gains.iter().take(40).enumerate() {
            sum += gain.impulse_response;
            squares += gain.impulse_response.powi(2);
            prop_assert!(near(gain.step_response, sum, scale));
            let shares = squares / (sum * sum);
            prop_assert!(near(filter.noise_power_gain_at(t as u64), shares, shares));
        }
        prop_assert_eq!(filter.noise_power_gain_at(0), gains[0].impulse_response.powi(2) / gains[0].step_response.powi(2));
    }

    /// The answer to a frequency is the transform of the impulse response, and its power over all frequencies is the noise power
    /// gain.
    #[test]
    fn the_frequency_response_is_the_transform_of_the_impulse_response(filter in filters(), f in 0.0..0.5f64) {
        let k = filter.impulse_response(1500);
        let angle = std::f64::consts::TAU * f;
        let sum = |trig: fn(f64) -> f64| -> f64 {
            k.iter().zip(0u32..).map(|(k, r)| k * trig(angle * f64::from(r))).sum()
        };
        let (re, im) = (sum(f64::cos), -sum(f64::sin));
        let scale = k.iter().map(|k| k.abs()).sum::<f64>();
        let got = filter.response(f).unwrap();
        prop_assert!((got.magnitude * got.phase.cos() - re).abs() <= 1e-10 * scale);
        prop_assert!((got.magnitude * got.phase.sin() - im).abs() <= 1e-10 * scale);
        // Trapezoids over a full period: exact up to what the impulse response has beyond their number.
        let n = 2001;
        let all = filter.frequency_response(n).unwrap();
        let inner: f64 = all[1..n - 1].iter().map(|r| r.magnitude.powi(2)).sum();
        let ends = 0.5 * (all[0].magnitude.powi(2) + all[n - 1].magnitude.powi(2));
        let power = (inner + ends) / (n - 1) as f64;
        let want = filter.noise_power_gain();
        prop_assert!((power - want).abs() <= 1e-9 * want, "{} {}", power, want);
    }

    /// The poles are roots of the denominator, and all of its roots.
    #[test]
    fn poles_are_the_roots_of_the_denominator(filter in filters()) {
        let poles = filter.poles().unwrap();
        prop_assert_eq!(poles.len(), filter.a().len());
        prop_assert!(poles.windows(2).all(|pair| pair[1].modulus() <= pair[0].modulus()));
        prop_assert!(poles.iter().all(|pole| pole.modulus() < 1.0));
        // The product of (z - pole), by complex multiplication.
        let mut product = vec![(1.0, 0.0)];
        for pole in &poles {
            let mut next = vec![(0.0, 0.0); product.len() + 1];
            for (i, (re, im)) in product.iter().enumerate() {
                next[i].0 += re;
                next[i].1 += im;
                next[i + 1].0 -= re * pole.re - im * pole.im;
                next[i + 1].1 -= re * pole.im + im * pole.re;
            }
            product = next;
        }
        // Backward stability of eigenvalues: the coefficients come back to rounding, even where poles coincide.
        for ((re, im), a) in product[1..].iter().zip(filter.a()) {
            prop_assert!((re - a).abs() <= 1e-12 && im.abs() <= 1e-12, "{} {} {}", re, im, a);
        }
    }

    /// Moving the farthest pole of a valid filter outside makes it invalid, and the message names a pole out there.
    #[test]
    fn a_pole_that_is_moved_out_is_named(filter in filters(), far in 1.001..3.0f64, negative in any::<bool>()) {
        let pole = if negative { -far } else { far };
        let denominator: Vec<f64> = std::iter::once(1.0).chain(filter.a().iter().copied()).collect();
        let a = times(&denominator, &[1.0, -pole]).split_off(1);
        let Err(Error::Unstable { pole: named }) = Filter::new(a, filter.b().to_vec()) else {
            return Err(TestCaseError::fail("not refused"));
        };
        prop_assert!((named.re - pole).abs() <= 1e-9 && named.im.abs() <= 1e-9, "{}", named);
        prop_assert!((named.modulus() - far).abs() <= 1e-9);
    }
}

/// What is read from a file is checked as what is written in code.
#[test]
fn filters_are_checked_when_they_are_read() {
    for recipe in Recipe::ALL {
        let text = serde_json::to_string(&recipe.filter()).unwrap();
        assert_eq!(serde_json::from_str::<Filter>(&text).unwrap(), recipe.filter());
        let name = serde_json::to_string(&recipe).unwrap();
        assert_eq!(name, format!("\"{}\"", recipe.name()));
    }
    let read = |text: &str| serde_json::from_str::<Filter>(text).unwrap_err().to_string();
    assert!(read(r#"{"a": [-2.0], "b": [1.0]}"#).contains("pole 2 has modulus 2"));
    assert!(read(r#"{"a": [], "b": [1.0], "c": 0}"#).contains("unknown field"));
}

/// Other settings are plain values when they are read, and checked where they are used.
#[test]
fn settings_are_checked_when_they_are_used() {
    let read: LookAhead = serde_json::from_str(r#"{"fixed": -1.0}"#).unwrap();
    assert_eq!(read, LookAhead::Fixed(-1.0));
    assert!(matches!(Disk::new(0.5, read), Err(Error::InvalidSetting { name: "gamma", .. })));
    let read: LookAhead = serde_json::from_str(r#""auto""#).unwrap();
    assert!(Disk::new(0.5, read).is_ok());
}
