//! Identities of the losses, and their derivatives against differences.

use proptest::prelude::*;

use super::*;

#[derive(Debug)]
struct Batch {
    forget: Vec<f64>,
    forget_reference: Vec<f64>,
    n_tokens: Vec<usize>,
    refusal: Vec<f64>,
    refusal_reference: Vec<f64>,
}

impl Batch {
    fn answers(&self) -> Answers<'_> {
        Answers {
            forget: &self.forget,
            forget_reference: &self.forget_reference,
            n_tokens: &self.n_tokens,
            refusal: &self.refusal,
            refusal_reference: &self.refusal_reference,
        }
    }
}

fn batch() -> impl Strategy<Value = Batch> {
    let numbers = |n| proptest::collection::vec(-30.0..-0.1f64, n);
    (1usize..6).prop_flat_map(move |n| {
        let tokens = proptest::collection::vec(1usize..40, n);
        (numbers(n), numbers(n), tokens, numbers(n), numbers(n)).prop_map(
            |(forget, forget_reference, n_tokens, refusal, refusal_reference)| Batch {
                forget,
                forget_reference,
                n_tokens,
                refusal,
                refusal_reference,
            },
        )
    })
}

fn losses() -> [ForgetLoss; 5] {
    [
        ForgetLoss::Ascent,
        ForgetLoss::Npo { beta: 0.1 },
        ForgetLoss::SimNpo { beta: 2.5, delta: 0.3 },
        ForgetLoss::Dpo { beta: 0.1, scale: DpoScale::TwoOverBeta },
        ForgetLoss::Dpo { beta: 0.3, scale: DpoScale::One },
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn derivatives_are_those_that_differences_show(batch in batch()) {
        for loss in losses() {
            let value = loss.value(batch.answers()).unwrap();
            let h = 1e-4;
            for i in 0..batch.forget.len() {
                let at = |h: f64| {
                    let mut forget = batch.forget.clone();
                    forget[i] += h;
                    loss.value(Answers { forget: &forget, ..batch.answers() }).unwrap().loss
                };
                let slope = (at(h) - at(-h)) / (2.0 * h);
                prop_assert!((slope - value.forget[i]).abs() < 1e-6, "{loss:?}: {slope} {value:?}");
                if let Some(weight) = value.refusal.get(i) {
                    prop_assert_eq!(*weight, -value.forget[i]);
                }
            }
        }
    }

    #[test]
    fn negative_preferences_are_bounded_and_know_only_the_ratio(batch in batch(), shift in -5.0..5.0f64) {
        let n = batch.forget.len() as f64;
        let npo = ForgetLoss::Npo { beta: 0.7 };
        let value = npo.value(batch.answers()).unwrap();
        prop_assert!(0.0 <= value.loss);
        prop_assert!(value.forget.iter().all(|w| 0.0 < *w && *w < 2.0 / n));
        let moved = |v: &[f64]| v.iter().map(|x| x + shift).collect::<Vec<_>>();
        let (forget, forget_reference) = (moved(&batch.forget), moved(&batch.forget_reference));
        let answers = Answers { forget: &forget, forget_reference: &forget_reference, ..batch.answers() };
        prop_assert!((npo.value(answers).unwrap().loss - value.loss).abs() < 1e-9);
        // A refusal as likely as before leaves the negative preference.
        let same = Answers { refusal_reference: &batch.refusal, ..batch.answers() };
        let dpo = ForgetLoss::Dpo { beta: 0.7, scale: DpoScale::TwoOverBeta };
        prop_assert!((dpo.value(same).unwrap().loss - value.loss).abs() < 1e-9);
        // Without a reference, of one token each.
        let ones = vec![1; batch.forget.len()];
        let zeros = vec![0.0; batch.forget.len()];
        let alone = Answers { n_tokens: &ones, forget_reference: &zeros, ..batch.answers() };
        let simple = ForgetLoss::SimNpo { beta: 0.7, delta: 0.0 }.value(alone).unwrap();
        prop_assert!((simple.loss - npo.value(alone).unwrap().loss).abs() < 1e-9);
    }

    #[test]
    fn negative_preferences_without_a_scale_are_ascent_on_whole_answers(batch in batch()) {
        let n = batch.forget.len() as f64;
        let weights = |beta| ForgetLoss::Npo { beta }.value(batch.answers()).unwrap().forget;
        // Twice a sigmoid of beta times the ratio, which is at most 30 here.
        for beta in [1e-3, 1e-6, 1e-9] {
            prop_assert!(weights(beta).iter().all(|w| (w * n - 1.0).abs() <= 15.0 * beta + 1e-12));
        }
        let ones = vec![1; batch.forget.len()];
        let alone = Answers { n_tokens: &ones, ..batch.answers() };
        let ascent = ForgetLoss::Ascent.value(alone).unwrap().forget;
        for (a, b) in weights(1e-9).iter().zip(ascent) {
            prop_assert!((a - b).abs() < 1e-7);
        }
    }

    #[test]
    fn at_the_reference_every_weight_is_one(batch in batch()) {
        let at = Answers {
            forget_reference: &batch.forget,
            refusal_reference: &batch.refusal,
            ..batch.answers()
        };
        let n = batch.forget.len() as f64;
        for loss in [
            ForgetLoss::Npo { beta: 0.2 },
            ForgetLoss::Dpo { beta: 0.2, scale: DpoScale::TwoOverBeta },
        ] {
            let value = loss.value(at).unwrap();
            prop_assert!((value.loss - 10.0 * std::f64::consts::LN_2).abs() < 1e-12);
            prop_assert!(value.forget.iter().all(|w| (w - 1.0 / n).abs() < 1e-15));
        }
    }
}

#[test]
fn batches_that_do_not_fit_are_refused() {
    let (p, t) = ([-1.0, -2.0], [3, 4]);
    let npo = ForgetLoss::Npo { beta: 0.1 };
    let fine = Answers { forget: &p, forget_reference: &p, n_tokens: &t, ..Answers::default() };
    assert!(npo.value(fine).is_ok());
    assert!(matches!(npo.value(Answers::default()), Err(Error::Empty { .. })));
    let short = Answers { forget_reference: &p[..1], ..fine };
    assert!(matches!(npo.value(short), Err(Error::Length { expected: 2, got: 1, .. })));
    let dpo = ForgetLoss::Dpo { beta: 0.1, scale: DpoScale::One };
    assert!(matches!(dpo.value(fine), Err(Error::Length { .. })));
    let bad = Answers { forget: &[-1.0, f64::NAN], ..fine };
    assert!(matches!(npo.value(bad), Err(Error::OneOutOfRange { index: 1, .. })));
    let empty = Answers { n_tokens: &[3, 0], ..fine };
    assert!(matches!(ForgetLoss::Ascent.value(empty), Err(Error::OneOutOfRange { index: 1, .. })));
    for beta in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let refused = ForgetLoss::Npo { beta }.value(fine);
        assert!(matches!(refused, Err(Error::OutOfRange { name: "beta", .. })));
    }
}

fn token_losses() -> [TokenLoss; 6] {
    [
        TokenLoss::NextToken,
        TokenLoss::Wga { beta: 1.0 },
        TokenLoss::SatImp { beta1: 5.0, beta2: 1.0 },
        TokenLoss::Undial { beta: 10.0 },
        TokenLoss::CeU,
        TokenLoss::Kl,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn derivatives_by_logits_are_those_that_differences_show(
        z in proptest::collection::vec(-4.0..4.0f64, 2..9),
        shift in proptest::collection::vec(-2.0..2.0f64, 9),
        token in 0usize..100,
    ) {
        let token = token % z.len();
        let reference: Vec<f64> = z.iter().zip(&shift).map(|(z, s)| z + s).collect();
        for loss in token_losses() {
            let (_, gradient) = loss.value(&z, token, &reference).unwrap();
            // Constant logits everywhere change nothing.
            prop_assert!(gradient.iter().sum::<f64>().abs() < 1e-12);
            for i in 0..z.len() {
                let h = 1e-5;
                let at = |h: f64| {
                    let mut moved = z.clone();
                    moved[i] += h;
                    // What is detached stays where it was.
                    match loss {
                        TokenLoss::Wga { .. } | TokenLoss::SatImp { .. } => {
                            let nll = TokenLoss::NextToken.value(&z, token, &[]).unwrap().0;
                            let weight = loss.value(&z, token, &[]).unwrap().0 / nll;
                            weight * TokenLoss::NextToken.value(&moved, token, &[]).unwrap().0
                        }
                        TokenLoss::CeU => {
                            let undial = TokenLoss::Undial { beta: 700.0 };
                            undial.value(&moved, token, &z).unwrap().0
                        }
                        _ => loss.value(&moved, token, &reference).unwrap().0,
                    }
                };
                let slope = (at(h) - at(-h)) / (2.0 * h);
                prop_assert!((slope - gradient[i]).abs() < 1e-6, "{loss:?} {slope} {gradient:?}");
            }
        }
    }

    #[test]
    fn a_divergence_is_zero_exactly_at_the_reference(
        z in proptest::collection::vec(-30.0..30.0f64, 1..9),
        by in 0.5..3.0f64,
    ) {
        let (loss, gradient) = TokenLoss::Kl.value(&z, 0, &z).unwrap();
        prop_assert!(loss == 0.0 && gradient.iter().all(|g| *g == 0.0));
        let shifted: Vec<f64> = z.iter().map(|z| z + by).collect();
        prop_assert!(TokenLoss::Kl.value(&shifted, 0, &z).unwrap().0 < 1e-12);
        if 1 < z.len() {
            // The likeliest token made likelier.
            let mut other = vec![0.0; z.len()];
            other[0] = by;
            let flat = vec![0.0; z.len()];
            prop_assert!(1e-3 < TokenLoss::Kl.value(&other, 0, &flat).unwrap().0);
        }
    }
}

#[test]
fn weights_of_ascent_vanish_once_a_token_is_forgotten() {
    let gradient = |loss: TokenLoss, z: f64| loss.value(&[z, 0.0, 0.0], 0, &[]).unwrap().1[0];
    // Descent lowers the logit of the token, as long as it is there.
    for loss in [TokenLoss::Wga { beta: 1.0 }, TokenLoss::SatImp { beta1: 5.0, beta2: 1.0 }] {
        assert!(0.0 < gradient(loss, 0.0));
        assert!(gradient(loss, -20.0) < 1e-8);
    }
    // Plain ascent goes on.
    assert!(0.99 < -gradient(TokenLoss::NextToken, -20.0));
    let bad = TokenLoss::Wga { beta: -1.0 }.value(&[0.0], 0, &[]);
    assert!(matches!(bad, Err(Error::OutOfRange { name: "beta of WGA", .. })));
    assert!(matches!(TokenLoss::Kl.value(&[0.0, 1.0], 0, &[0.0]), Err(Error::Length { .. })));
    assert!(matches!(TokenLoss::CeU.value(&[0.0], 1, &[]), Err(Error::OutOfRange { .. })));
    assert!(matches!(TokenLoss::CeU.value(&[], 0, &[]), Err(Error::Empty { .. })));
}
