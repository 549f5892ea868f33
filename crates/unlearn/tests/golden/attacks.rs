//! Membership inference.

use report::golden::number;
use unlearn::Error;
use unlearn::metric::attack::{loss_auc, membership_score, muse_auc, priv_leak};
use unlearn::metric::min_k::{Rounding, min_k, min_k_plus_plus, standardized};

use super::{Golden, close, defined, numbers, rows};

#[test]
fn golden_loss_attacks_are_reproduced() {
    let Some(file) = Golden::read() else { return };
    let Some(cases) = file.section("mia_auc") else { return };
    let tolerance = file.tolerance("auc");
    for (idx, case) in cases.iter().enumerate() {
        let auc =
            loss_auc(&numbers(&case["member_loss"]), &numbers(&case["nonmember_loss"])).unwrap();
        close(auc, number(case, "/auc"), tolerance, &format!("case {idx}"));
        let score = membership_score(auc).unwrap();
        close(score, number(case, "/mia_score"), tolerance, &format!("case {idx}"));
    }
}

#[test]
fn golden_min_k_scores_are_reproduced() {
    let Some(file) = Golden::read() else { return };
    let Some(cases) = file.section("min_k") else { return };
    let tolerance = file.tolerance("losses");
    for (idx, case) in cases.iter().enumerate() {
        let text = numbers(&case["logprobs"]);
        let whole = min_k(&text, 1.0, Rounding::AtLeastOne).unwrap();
        close(whole, number(case, "/neg_mean_loss"), tolerance, &format!("case {idx}"));
        for (key, rounding) in [("muse", Rounding::Down), ("openunlearning", Rounding::AtLeastOne)]
        {
            let by_share = case[key].as_object().unwrap();
            assert!(!by_share.is_empty());
            for (share, want) in by_share {
                let what = format!("case {idx}, {key}, {share}");
                match (min_k(&text, share.parse().unwrap(), rounding), defined(want)) {
                    (Ok(got), Some(want)) => close(got, want, tolerance, &what),
                    (Err(Error::NoToken { .. }), None) => {}
                    other => panic!("{what}: {other:?}"),
                }
            }
        }
    }
}

#[test]
fn golden_min_k_plus_plus_scores_are_reproduced() {
    let Some(file) = Golden::read() else { return };
    let Some(cases) = file.section("min_k_plus_plus") else { return };
    let tolerance = file.tolerance("losses");
    for (idx, case) in cases.iter().enumerate() {
        let logits = rows(&case["logits"]);
        let targets = case["targets"].as_array().unwrap();
        let got: Vec<f64> = logits
            .iter()
            .zip(targets)
            .map(|(logits, target)| {
                standardized(logits, target.as_u64().unwrap() as usize).unwrap()
            })
            .collect();
        let want = numbers(&case["z"]);
        assert_eq!(got.len(), want.len(), "case {idx}");
        for (got, want) in got.iter().zip(want) {
            close(*got, want, tolerance, &format!("case {idx}"));
        }
        for (share, want) in case["score"].as_object().unwrap() {
            let score =
                min_k_plus_plus(&got, share.parse().unwrap(), Rounding::AtLeastOne).unwrap();
            close(score, want.as_f64().unwrap(), tolerance, &format!("case {idx}, {share}"));
        }
    }
}

#[test]
fn golden_leaks_are_reproduced() {
    let Some(file) = Golden::read() else { return };
    let Some(cases) = file.section("privleak") else { return };
    let tolerance = file.tolerance("auc");
    for (idx, case) in cases.iter().enumerate() {
        let (forget, holdout) = (numbers(&case["forget_score"]), numbers(&case["holdout_score"]));
        let auc = muse_auc(&forget, &holdout).unwrap();
        close(auc, number(case, "/auc_muse"), tolerance, &format!("case {idx}"));
        let leak = priv_leak(auc, number(case, "/auc_retrain")).unwrap();
        // In percent of an area of about one half.
        close(leak, number(case, "/privleak"), 1e3 * tolerance, &format!("case {idx}"));
        let score =
            unlearn::score::muse::priv_leak(&forget, &holdout, number(case, "/auc_retrain"), 0.4);
        close(score.unwrap().value(), leak, 0.0, &format!("case {idx}"));
    }
}
