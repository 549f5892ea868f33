//! What holds for every text of membership scores, of memorization and of lowered logits.

use proptest::collection::vec;
use proptest::prelude::*;

use unlearn::metric::attack::{muse_auc, priv_leak};
use unlearn::metric::calibrated::{gradient_norm, lower_case, p_norm, reference, zlib, zlib_bytes};
use unlearn::metric::mean::{arithmetic, harmonic};
use unlearn::metric::memorization::{exact_memorization, extraction_strength};
use unlearn::metric::min_k::{Rounding, min_k, min_k_plus_plus, standardized};
use unlearn::metric::probability::normalized;
use unlearn::metric::rouge::Rouge;
use unlearn::metric::truth_ratio::{Aggregate, TruthRatio, Wrong, mean_score};
use unlearn::whp;

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

fn shuffled<T: Clone + std::fmt::Debug + 'static>(
    values: impl Strategy<Value = Vec<T>>,
) -> impl Strategy<Value = (Vec<T>, Vec<T>)> {
    values.prop_flat_map(|values| (Just(values.clone()), Just(values).prop_shuffle()))
}

fn loss() -> impl Strategy<Value = f64> {
    0.0..12.0
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn memorization_is_a_share_and_its_end_at_most_all_of_it((text, other) in shuffled(vec(any::<bool>(), 1..40))) {
        let (exact, strength) = (exact_memorization(&text).unwrap(), extraction_strength(&text).unwrap());
        let least = 1.0 / text.len() as f64;
        prop_assert!((0.0..=1.0).contains(&exact));
        prop_assert!(least <= strength && strength <= exact.max(least));
        prop_assert_eq!(strength == 1.0, exact == 1.0 || text.len() == 1);
        prop_assert_eq!(exact, exact_memorization(&other).unwrap());
    }

    #[test]
    fn one_more_token_by_heart_lowers_neither_memorization(text in vec(any::<bool>(), 1..40), at in any::<prop::sample::Index>()) {
        let mut more = text.clone();
        more[at.index(text.len())] = true;
        prop_assert!(exact_memorization(&text).unwrap() <= exact_memorization(&more).unwrap());
        prop_assert!(extraction_strength(&text).unwrap() <= extraction_strength(&more).unwrap());
    }

    #[test]
    fn least_likely_tokens_do_not_care_for_their_order((text, other) in shuffled(vec(-9.0..=0.0, 1..40)), share in 0.01..=1.0) {
        let of = |text: &[f64]| min_k(text, share, Rounding::AtLeastOne).unwrap();
        prop_assert_eq!(of(&text), of(&other));
        let least = text.iter().copied().fold(0.0, f64::min);
        prop_assert!(of(&text) <= -least);
    }

    #[test]
    fn fewer_standardized_tokens_are_lower_ones(scores in vec(-9.0..9.0, 1..40), a in 0.01..=1.0, b in 0.01..=1.0) {
        let at = |share| min_k_plus_plus(&scores, share, Rounding::AtLeastOne).unwrap();
        let (less, more) = if a < b { (a, b) } else { (b, a) };
        prop_assert!(at(more) <= at(less) + 1e-13); // means of up to forty numbers below ten
        prop_assert!((at(1.0) + arithmetic(&scores).unwrap()).abs() < 1e-13);
    }

    #[test]
    fn standardized_scores_have_mean_zero_and_variance_one_and_ignore_shifts(logits in vec(-6.0..6.0, 2..20), shift in -9.0..9.0) {
        let sum: f64 = logits.iter().map(|x: &f64| x.exp()).sum();
        let p: Vec<f64> = logits.iter().map(|x| x.exp() / sum).collect();
        let log_p: Vec<f64> = p.iter().map(|p| p.ln()).collect();
        let mean: f64 = p.iter().zip(&log_p).map(|(p, l)| p * l).sum();
        let variance: f64 = p.iter().zip(&log_p).map(|(p, l)| p * (l - mean) * (l - mean)).sum();
        prop_assume!(1e-3 < variance); // well above the least one
        let z: Vec<f64> = (0..logits.len()).map(|t| standardized(&logits, t).unwrap()).collect();
        let first: f64 = p.iter().zip(&z).map(|(p, z)| p * z).sum();
        let second: f64 = p.iter().zip(&z).map(|(p, z)| p * z * z).sum();
        // The variance is a difference of numbers up to 200, and at least 1e-3.
        prop_assert!(first.abs() < 1e-10 && (second - 1.0).abs() < 1e-9, "{} {}", first, second);
        let shifted: Vec<f64> = logits.iter().map(|x| x + shift).collect();
        for (t, z) in z.iter().enumerate() {
            prop_assert!((standardized(&shifted, t).unwrap() - z).abs() < 1e-8 * (1.0 + z.abs()));
        }
    }

    #[test]
    fn leaks_grow_with_what_is_forgotten(forget in vec(0.0..9.0, 1..20), holdout in vec(0.0..9.0, 1..20), more in 0.0..5.0, retrain in 0.05..=1.0) {
        let area = muse_auc(&forget, &holdout).unwrap();
        let mirrored = muse_auc(&holdout, &forget).unwrap();
        prop_assert!((area + mirrored - 1.0).abs() < 1e-15);
        let forgotten: Vec<f64> = forget.iter().map(|s| s + more).collect();
        let leak = priv_leak(area, retrain).unwrap();
        prop_assert!(leak <= priv_leak(muse_auc(&forgotten, &holdout).unwrap(), retrain).unwrap());
        prop_assert!(-100.0 <= leak && leak <= 100.0 * (1.0 / retrain - 1.0) + 1e-9);
        prop_assert_eq!(priv_leak(muse_auc(&forget, &forget).unwrap(), 0.5).unwrap(), 0.0);
    }

    #[test]
    fn truth_ratios_are_shares_that_fall_with_the_ratio(right in loss(), wrong in vec(loss(), 1..6), more in 0.0..3.0, arithmetic in any::<bool>()) {
        let how = if arithmetic { Wrong::Arithmetic } else { Wrong::Geometric };
        let of = |right| TruthRatio::new(right, &wrong, how).unwrap();
        let (low, high) = (of(right), of(right + more)); // a less likely right answer
        prop_assert!(low.ln() <= high.ln());
        for aggregate in [Aggregate::Forget, Aggregate::Utility, Aggregate::Share] {
            prop_assert!((0.0..=1.0).contains(&low.score(aggregate)));
        }
        for aggregate in [Aggregate::Utility, Aggregate::Share] {
            prop_assert!(high.score(aggregate) <= low.score(aggregate));
        }
        prop_assert!(0.0 < low.score(Aggregate::Forget));
        let share = low.score(Aggregate::Share);
        prop_assert!((low.value() * share - (1.0 - share)).abs() < 1e-12);
    }

    #[test]
    fn truth_ratios_do_not_care_for_the_order_of_questions((losses, other) in shuffled(vec((loss(), loss()), 1..20))) {
        let mean = |losses: &[(f64, f64)], aggregate| {
            let of = |(right, wrong): &(f64, f64)| TruthRatio::new(*right, &[*wrong], Wrong::Geometric).unwrap();
            mean_score(&losses.iter().map(of).collect::<Vec<_>>(), aggregate).unwrap()
        };
        for aggregate in [Aggregate::Forget, Aggregate::Utility, Aggregate::Share] {
            prop_assert!((mean(&losses, aggregate) - mean(&other, aggregate)).abs() < 1e-14);
        }
    }

    #[test]
    fn shares_of_all_options_add_up_to_one(losses in vec(loss(), 2..6)) {
        let of = |i: usize| {
            let rest: Vec<f64> = (0..losses.len()).filter(|j| *j != i).map(|j| losses[j]).collect();
            normalized(losses[i], &rest).unwrap()
        };
        let sum: f64 = (0..losses.len()).map(of).sum();
        prop_assert!((sum - 1.0).abs() < 1e-14);
    }

    #[test]
    fn harmonic_means_do_not_care_for_the_order((values, other) in shuffled(vec(0.0..=1.0, 1..20))) {
        let mean = harmonic(&values).unwrap();
        prop_assert!((harmonic(&other).unwrap() - mean).abs() <= 1e-14 * mean);
    }

    #[test]
    fn scores_do_not_hear_case_and_punctuation(a in "[a-e ]{0,30}", b in "[a-e ]{0,30}", stemmer in any::<bool>()) {
        let rouge = Rouge { stemmer };
        let loud = |text: &str| format!("({})!", text.to_uppercase().replace(' ', "; -- "));
        prop_assert_eq!(rouge.rouge_l(&a, &b), rouge.rouge_l(&loud(&a), &b));
        prop_assert_eq!(rouge.rouge_l(&a, &b), rouge.rouge_l(&a, &loud(&b)));
        prop_assert_eq!(rouge.rouge_1(&a, &b), rouge.rouge_1(&loud(&a), &loud(&b)));
    }

    #[test]
    fn overlaps_of_runs_are_shares_that_mirror_each_other(a in "[ab ]{0,30}", b in "[ab ]{0,30}", n in 1..4_usize) {
        let (rouge, n) = (Rouge { stemmer: false }, std::num::NonZeroUsize::new(n).unwrap());
        let (one, other) = (rouge.rouge_n(n, &a, &b), rouge.rouge_n(n, &b, &a));
        prop_assert!([one.precision, one.recall, one.f_measure].iter().all(|x| (0.0..=1.0).contains(x)));
        prop_assert_eq!((one.recall, one.f_measure), (other.precision, other.f_measure));
        let whole = if n.get() <= rouge.tokens(&a).len() { 1.0 } else { 0.0 };
        prop_assert_eq!(rouge.rouge_n(n, &a, &a).f_measure, whole);
    }

    #[test]
    fn compressed_texts_are_longer_than_the_frame_and_a_repeated_one_is_not_twice_as_long(text in "\\PC{0,200}") {
        let n_bytes = zlib_bytes(&text).unwrap();
        prop_assert!(8 <= n_bytes && n_bytes <= text.len() + 16);
        let twice = zlib_bytes(&format!("{text}{text}")).unwrap();
        prop_assert!(n_bytes <= twice + 2 && twice <= 2 * n_bytes, "{} {}", n_bytes, twice);
        prop_assert!((zlib(3.0, &text).unwrap() * n_bytes as f64 - 3.0).abs() < 1e-14);
    }

    #[test]
    fn calibrated_losses_vanish_where_there_is_no_difference(a in 0.01..12.0, b in 0.01..12.0) {
        prop_assert_eq!(lower_case(a, a).unwrap(), 1.0);
        prop_assert_eq!(lower_case(a, b).unwrap() < 1.0, a < b);
        prop_assert_eq!(reference(a, b).unwrap(), -reference(b, a).unwrap());
        prop_assert_eq!(reference(a, b).unwrap() < 0.0, a < b);
    }

    #[test]
    fn norms_fall_with_their_order_and_grow_with_the_gradient(x in vec(-5.0..5.0, 1..20), p in 1.0..6.0, more in 0.0..4.0, scale in 0.0..9.0_f64) {
        let norm = |x: &[f64], p| -> f64 { p_norm(x, p).unwrap() };
        let slack = 1.0 + 1e-13;
        prop_assert!(norm(&x, p + more) <= norm(&x, p) * slack);
        prop_assert!(norm(&x, f64::INFINITY) <= norm(&x, p) * slack);
        let scaled: Vec<f64> = x.iter().map(|x| scale * x).collect();
        prop_assert!((norm(&scaled, p) - scale * norm(&x, p)).abs() <= 1e-12 * norm(&scaled, p));
        let plain = x.iter().map(|x| x.abs().powf(p)).sum::<f64>().powf(1.0 / p);
        prop_assert!((norm(&x, p) - plain).abs() <= 1e-12 * plain);
        prop_assert!((gradient_norm(&[norm(&x, p), norm(&scaled, p)]).unwrap() - (1.0 + scale) / 2.0 * plain).abs() <= 1e-12 * (1.0 + scale) * plain);
    }

    #[test]
    fn lowered_logits_are_below_those_of_the_model(pairs in vec((-9.0..9.0, -9.0..9.0), 1..20), strength in 0.0..6.0, more in 0.0..3.0) {
        let (baseline, reinforced): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        let at = |strength| whp::logits(&baseline, &reinforced, strength).unwrap();
        prop_assert_eq!(at(0.0), baseline.clone());
        prop_assert_eq!(whp::logits(&baseline, &baseline, strength).unwrap(), baseline.clone());
        for (((low, lower), b), r) in at(strength).iter().zip(at(strength + more)).zip(&baseline).zip(&reinforced) {
            prop_assert!(low <= b && lower <= *low);
            prop_assert!(b < r || low == b);
        }
        for ((z, b), r) in at(1.0).iter().zip(&baseline).zip(&reinforced) {
            prop_assert!((z - b.min(2.0 * b - r)).abs() < 1e-14);
        }
    }
}
