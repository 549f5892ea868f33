//! Statistics of samples.

use report::golden::number;
use unlearn::metric::ks::{Ks, Method};
use unlearn::metric::mean;
use unlearn::metric::truth_ratio::{Aggregate, TruthRatio, Wrong, mean_score};
use unlearn::metric::{ks, probability};

use super::{Golden, close, defined, numbers, rows};

#[test]
fn golden_two_sample_tests_are_reproduced() {
    let Some(file) = Golden::read() else { return };
    let Some(cases) = file.section("ks") else { return };
    let (of_statistic, of_p) = (file.tolerance("ks_statistic"), file.tolerance("ks_p"));
    for (idx, case) in cases.iter().enumerate() {
        let ks = Ks::new(&numbers(&case["x"]), &numbers(&case["y"])).unwrap();
        close(ks.statistic(), number(case, "/statistic"), of_statistic, &format!("case {idx}"));
        for (key, method) in
            [("p_auto", Method::Auto), ("p_exact", Method::Exact), ("p_asymp", Method::Asymptotic)]
        {
            let got: Option<ks::PValue> = ks.p_value(method).ok();
            let want = defined(&case[key]);
            assert_eq!(got.is_some(), want.is_some(), "case {idx}, {key}");
            if let (Some(got), Some(want)) = (got, want) {
                close(got.value(), want, of_p, &format!("case {idx}, {key}"));
                if key == "p_exact" {
                    // Stricter than the file: exact is exact.
                    close(got.log10(), want.log10(), 1e-9, &format!("case {idx}, log10 of {key}"));
                }
            }
        }
    }
}

#[test]
fn golden_means_are_reproduced() {
    let Some(file) = Golden::read() else { return };
    let Some(cases) = file.section("means") else { return };
    let tolerance = file.tolerance("losses");
    for (idx, case) in cases.iter().enumerate() {
        let values = numbers(&case["values"]);
        let what = format!("case {idx}");
        close(mean::harmonic(&values).unwrap(), number(case, "/harmonic"), tolerance, &what);
        close(mean::arithmetic(&values).unwrap(), number(case, "/arithmetic"), tolerance, &what);
    }
}

#[test]
fn golden_truth_ratios_are_reproduced() {
    let Some(file) = Golden::read() else { return };
    let Some(cases) = file.section("truth_ratio") else { return };
    let tolerance = file.tolerance("losses");
    for (idx, case) in cases.iter().enumerate() {
        let right = numbers(&case["paraphrased_avg_loss"]);
        let wrong = rows(&case["perturbed_avg_loss"]);
        assert_eq!(right.len(), wrong.len());
        for (name, how) in [("geometric", Wrong::Geometric), ("arithmetic", Wrong::Arithmetic)] {
            let what = format!("case {idx}, {name}");
            let ratios: Vec<TruthRatio> = right
                .iter()
                .zip(&wrong)
                .map(|(right, wrong)| TruthRatio::new(*right, wrong, how).unwrap())
                .collect();
            let want = numbers(&case[format!("ratio_{name}")]);
            assert_eq!(want.len(), ratios.len(), "{what}");
            for (ratio, want) in ratios.iter().zip(want) {
                close(ratio.value(), want, tolerance, &what);
            }
            for (key, aggregate) in
                [("forget_agg", Aggregate::Forget), ("utility_agg", Aggregate::Utility)]
            {
                let got = mean_score(&ratios, aggregate).unwrap();
                close(got, number(case, &format!("/{key}_{name}")), tolerance, &what);
            }
            if how == Wrong::Geometric {
                let got = mean_score(&ratios, Aggregate::Share).unwrap();
                close(got, number(case, "/openunlearning_prob_mean"), tolerance, &what);
            }
        }
        for ((right, wrong), want) in
            right.iter().zip(&wrong).zip(numbers(&case["normalised_prob"]))
        {
            let got = probability::normalized(*right, wrong).unwrap();
            close(got, want, tolerance, &format!("case {idx}, share of the right answer"));
        }
    }
}
