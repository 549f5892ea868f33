//! What holds for every text and every sample.

use proptest::collection::vec;
use proptest::prelude::*;

use unlearn::metric::attack::{loss_auc, membership_score, priv_leak};
use unlearn::metric::auc::auc;
use unlearn::metric::ks::{Ks, Method};
use unlearn::metric::mean::{arithmetic, harmonic};
use unlearn::metric::min_k::{Rounding, min_k};
use unlearn::metric::porter::stem;
use unlearn::metric::rouge::{Overlap, Rouge};
use unlearn::metric::truth_ratio::{Aggregate, TruthRatio, Wrong, mean_score};
use unlearn::multiple_choice::Rule;
use unlearn::score::semeval::{Cell, Cells, Gate, Outcome};
use unlearn::{Definition, Score};

/// Texts of few words, so that they have some in common, with noise between them.
fn text() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("the"),
        Just("running"),
        Just("runs"),
        Just("Madera"),
        Just("x1"),
        Just("é"),
        Just("relational"),
    ];
    let gap = prop_oneof![Just(" "), Just(", "), Just("\n"), Just(" — ")];
    vec((word, gap), 0..12)
        .prop_map(|parts| parts.into_iter().map(|(word, gap)| format!("{word}{gap}")).collect())
}

fn rouge() -> impl Strategy<Value = Rouge> {
    any::<bool>().prop_map(|stemmer| Rouge { stemmer })
}

/// Samples with ties: multiples of a quarter.
fn sample() -> impl Strategy<Value = Vec<f64>> {
    vec((-12..12_i32).prop_map(|x| f64::from(x) / 4.0), 1..30)
}

fn cell() -> impl Strategy<Value = Cell> {
    (0.0..=1.0, 0.0..=1.0).prop_map(|(regurgitation, knowledge)| Cell { regurgitation, knowledge })
}

fn cells() -> impl Strategy<Value = Cells> {
    let three = || [cell(), cell(), cell()];
    (three(), three()).prop_map(|(forget, retain)| Cells { forget, retain })
}

fn shares(overlap: Overlap) -> [f64; 3] {
    [overlap.precision, overlap.recall, overlap.f_measure]
}

proptest! {
    #[test]
    fn overlaps_are_shares_and_mirror_each_other(a in text(), b in text(), rouge in rouge()) {
        for (one, other) in [
            (rouge.rouge_l(&a, &b), rouge.rouge_l(&b, &a)),
            (rouge.rouge_1(&a, &b), rouge.rouge_1(&b, &a)),
        ] {
            prop_assert!(shares(one).iter().all(|x| (0.0..=1.0).contains(x)));
            prop_assert_eq!(one.recall, other.precision);
            prop_assert_eq!(one.precision, other.recall);
            prop_assert_eq!(one.f_measure, other.f_measure);
        }
        prop_assert!(rouge.rouge_l(&a, &b).recall <= rouge.rouge_1(&a, &b).recall);
    }

    #[test]
    fn a_text_is_all_of_itself(a in text(), rouge in rouge()) {
        let whole = if rouge.tokens(&a).is_empty() { 0.0 } else { 1.0 };
        prop_assert_eq!(shares(rouge.rouge_l(&a, &a)), [whole; 3]);
        prop_assert_eq!(shares(rouge.rouge_1(&a, &a)), [whole; 3]);
    }

    #[test]
    fn more_text_never_lowers_the_recall(a in text(), b in text(), more in text(), rouge in rouge()) {
        let longer = format!("{b} {more}");
        prop_assert!(rouge.rouge_l(&a, &b).recall <= rouge.rouge_l(&a, &longer).recall);
        prop_assert!(rouge.rouge_1(&a, &b).recall <= rouge.rouge_1(&a, &longer).recall);
    }

    #[test]
    fn the_common_subsequence_is_no_longer_than_either_text(a in text(), b in text(), rouge in rouge()) {
        let (n, m) = (rouge.tokens(&a).len(), rouge.tokens(&b).len());
        let length = rouge.rouge_l(&a, &b).recall * n as f64;
        prop_assert!(length <= n.min(m) as f64 + 1e-9); // a count, computed back from a share
    }

    #[test]
    fn case_and_punctuation_are_no_tokens(a in text(), rouge in rouge()) {
        let loud = format!("«{}!»", a.to_uppercase().replace(' ', " ... "));
        prop_assert_eq!(rouge.tokens(&loud), rouge.tokens(&a));
    }

    #[test]
    fn any_text_has_tokens_of_letters_and_digits(a in any::<String>(), rouge in rouge()) {
        for token in rouge.tokens(&a) {
            prop_assert!(!token.is_empty());
            prop_assert!(token.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()));
        }
    }

    #[test]
    fn a_stem_is_no_longer_than_its_word_and_one_letter(word in "[a-z0-9]{0,14}") {
        let stem = stem(&word);
        prop_assert!(stem.len() <= word.len() + 1, "{}", stem);
        prop_assert!(word.is_empty() || !stem.is_empty());
    }

    #[test]
    fn areas_below_the_curve_add_up_to_one(a in sample(), b in sample()) {
        let sum = auc(&a, &b).unwrap() + auc(&b, &a).unwrap();
        prop_assert!((sum - 1.0).abs() < 1e-15, "{}", sum); // two roundings of halves of one
    }

    #[test]
    fn areas_ignore_increasing_maps(a in sample(), b in sample()) {
        let map = |values: &[f64]| -> Vec<f64> { values.iter().map(|x| x.exp() + 3.0 * x).collect() };
        prop_assert_eq!(auc(&a, &b).unwrap(), auc(&map(&a), &map(&b)).unwrap());
    }

    #[test]
    fn areas_are_those_of_all_pairs(a in sample(), b in sample()) {
        let of_pair = |x: f64, y: f64| if x > y { 1.0 } else if x < y { 0.0 } else { 0.5 };
        let sum: f64 = a.iter().flat_map(|x| b.iter().map(|y| of_pair(*x, *y))).sum();
        let want = sum / (a.len() * b.len()) as f64;
        prop_assert!((auc(&a, &b).unwrap() - want).abs() < 1e-15);
    }

    #[test]
    fn membership_is_hidden_only_at_one_half(a in sample(), b in sample()) {
        let area = loss_auc(&a, &b).unwrap();
        let score = membership_score(area).unwrap();
        prop_assert!((0.0..=1.0).contains(&score));
        prop_assert_eq!(score == 1.0, area == 0.5);
    }

    #[test]
    fn nothing_leaks_only_at_the_retrained_area(area in 0.0..=1.0, retrain in 0.01..=1.0) {
        prop_assert_eq!(priv_leak(area, retrain).unwrap() == 0.0, area == retrain);
        prop_assert_eq!(priv_leak(retrain, retrain).unwrap(), 0.0);
    }

    #[test]
    fn harmonic_means_keep_their_bounds(mut values in vec(0.0..=1.0, 1..20), at in any::<prop::sample::Index>()) {
        let mean = harmonic(&values).unwrap();
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let n = values.len() as f64;
        let slack = 1.0 + 1e-14; // some twenty roundings
        prop_assert!(mean <= arithmetic(&values).unwrap() * slack);
        prop_assert!(mean <= least * n * slack);
        prop_assert!(least <= mean * slack);
        prop_assert_eq!(mean == 0.0, least == 0.0);
        values.reverse();
        prop_assert!((harmonic(&values).unwrap() - mean).abs() <= 1e-14 * mean);
        let at = at.index(values.len());
        values[at] = 0.0;
        prop_assert_eq!(harmonic(&values).unwrap(), 0.0);
    }

    #[test]
    fn two_sample_tests_are_symmetric_and_ignore_increasing_maps(a in sample(), b in sample()) {
        let ks = Ks::new(&a, &b).unwrap();
        let swapped = Ks::new(&b, &a).unwrap();
        prop_assert!((0.0..=1.0).contains(&ks.statistic()));
        prop_assert_eq!(ks.statistic(), swapped.statistic());
        let p = ks.p_value(Method::Exact).unwrap();
        prop_assert!((0.0..=1.0).contains(&p.value()));
        // Up to 58 steps, each rounded three times.
        let within = 200.0 * f64::EPSILON * p.value();
        prop_assert!((p.value() - swapped.p_value(Method::Exact).unwrap().value()).abs() <= within);
        let map = |values: &[f64]| -> Vec<f64> { values.iter().map(|x| -(-x).exp()).collect() };
        prop_assert_eq!(ks, Ks::new(&map(&a), &map(&b)).unwrap());
        let fall = |values: &[f64]| -> Vec<f64> { values.iter().map(|x| (-x).exp()).collect() };
        prop_assert_eq!(ks, Ks::new(&fall(&a), &fall(&b)).unwrap());
    }

    #[test]
    fn a_sample_is_like_itself(a in sample()) {
        let ks = Ks::new(&a, &a).unwrap();
        prop_assert_eq!(ks.statistic(), 0.0);
        prop_assert_eq!(ks.p_value(Method::Exact).unwrap().value(), 1.0);
        if a.len() > 1 {
            prop_assert_eq!(ks.p_value(Method::Asymptotic).unwrap().value(), 1.0);
        }
    }

    #[test]
    fn fewer_tokens_are_less_likely_ones(text in vec(-9.0..=0.0, 1..40), a in 0.01..=1.0, b in 0.01..=1.0) {
        let at = |share| min_k(&text, share, Rounding::AtLeastOne).unwrap();
        let (less, more) = if a < b { (a, b) } else { (b, a) };
        prop_assert!(at(more) <= at(less) + 1e-13); // means of up to forty numbers below ten
        let mean = -arithmetic(&text).unwrap();
        prop_assert!((at(1.0) - mean).abs() < 1e-13);
    }

    #[test]
    fn forgetting_does_not_care_which_way_the_ratio_goes(losses in vec((0.0..9.0, 0.0..9.0), 1..20)) {
        let ratios = |flip: bool| -> Vec<TruthRatio> {
            let pair = |(a, b)| if flip { (b, a) } else { (a, b) };
            let of = |(right, wrong)| TruthRatio::new(right, &[wrong], Wrong::Geometric).unwrap();
            losses.iter().copied().map(pair).map(of).collect()
        };
        let one = mean_score(&ratios(false), Aggregate::Forget).unwrap();
        prop_assert!(0.0 < one && one <= 1.0);
        prop_assert_eq!(one, mean_score(&ratios(true), Aggregate::Forget).unwrap());
    }

    #[test]
    fn the_arithmetic_mean_of_wrong_answers_is_not_below_the_geometric(
        right in 0.0..9.0,
        wrong in vec(0.0..9.0, 1..6),
    ) {
        let of = |how| TruthRatio::new(right, &wrong, how).unwrap().ln();
        prop_assert!(of(Wrong::Geometric) <= of(Wrong::Arithmetic) + 1e-13); // logarithms below ten
    }

    #[test]
    fn final_scores_are_shares(cells in cells(), a in sample(), b in sample(), right in 0.0..=1.0) {
        let definition = Definition::Accuracy { questions: "q".into(), rule: Rule::MostProbable };
        let accuracy = Score::new(right, definition).unwrap();
        let outcome = Outcome::new(cells, &a, &b, accuracy, Gate::Open).unwrap();
        let parts = [outcome.task_aggregate(), outcome.membership(), outcome.score()];
        prop_assert!(parts.iter().all(|score| (0.0..=1.0).contains(&score.value())));
        prop_assert!(outcome.passes_gate());
    }
}
