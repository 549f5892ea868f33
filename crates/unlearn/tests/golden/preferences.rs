//! Losses of whole answers with their derivatives.

use report::golden::{array, number, numbers};
use serde_json::Value as Json;
use unlearn::objective::{Answers, DpoScale, ForgetLoss, Value};

use super::{Golden, close};

/// Some values are in the thousands: the tolerance is relative there.
fn near(got: f64, want: f64, tolerance: f64, what: &str) {
    close(got, want, tolerance * want.abs().max(1.0), what);
}

fn check(got: &Value, want: &Json, tolerance: f64, what: &str) {
    near(got.loss, number(want, "/loss"), tolerance, what);
    let lists = [(&got.forget, "grad_logp_forget"), (&got.refusal, "grad_logp_idk")];
    for (got, name) in lists.into_iter().filter(|(_, name)| want.get(name).is_some()) {
        let want = numbers(&want[name]);
        assert_eq!(got.len(), want.len(), "{what}");
        for (got, want) in got.iter().zip(want) {
            near(*got, want, tolerance, what);
        }
    }
}

#[test]
fn golden_losses_of_preferences_are_reproduced() {
    let Some(golden) = Golden::read() else { return };
    let Some(cases) = golden.section("preference") else { return };
    let tolerance = golden.tolerance("losses");
    for case in cases {
        let list = |name: &str| numbers(&case[name]);
        let (forget, forget_reference) = (list("logp_forget"), list("ref_logp_forget"));
        let (refusal, refusal_reference) = (list("logp_idk"), list("ref_logp_idk"));
        let tokens: Vec<usize> = array(&case["lengths"])
            .iter()
            .map(|t| usize::try_from(t.as_u64().unwrap()).unwrap())
            .collect();
        let answers = Answers {
            forget: &forget,
            forget_reference: &forget_reference,
            n_tokens: &tokens,
            refusal: &refusal,
            refusal_reference: &refusal_reference,
        };
        let (beta, delta) = (number(case, "/beta"), number(case, "/delta"));
        for (loss, name) in [
            (ForgetLoss::Dpo { beta, scale: DpoScale::TwoOverBeta }, "dpo"),
            (ForgetLoss::Npo { beta }, "npo"),
            (ForgetLoss::SimNpo { beta, delta }, "simnpo"),
            (ForgetLoss::Ascent, "ga_token_mean"),
        ] {
            check(&loss.value(answers).unwrap(), &case[name], tolerance, name);
        }
    }
}
