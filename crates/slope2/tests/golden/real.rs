//! Section `real` of `slope_solutions.json`: diabetes and breast cancer, columns centered and divided by their population
//! standard deviation.

use slope2::estimator::{FamilyKind, FittedPenalty, PenaltyForm, Strength};
use slope2::{PathSettings, Silent, Slope2};

use super::solutions::two_level;
use report::golden::{number, numbers, section, text};

use super::file;
use crate::data::{breast_cancer, diabetes, distance};

#[test]
fn golden_fits_of_diabetes_and_breast_cancer_are_found() {
    let Some(file) = file("slope_solutions.json") else { return };
    let Some(rows) = section(&file, "real") else { return };
    for (i, row) in rows.iter().enumerate() {
        let (family, data) = match text(row, "/family") {
            "gaussian" => (FamilyKind::Gaussian, diabetes()),
            _ => (FamilyKind::Binomial, breast_cancer()),
        };
        let p = data.p;
        let wanted = two_level(row, p);
        let (lambda1, lambda2, k) = (wanted.lambda1(), wanted.lambda2(), wanted.k());
        let (ratio, share) = (lambda2 / lambda1, k as f64 / p as f64);
        let slope = Slope2::builder()
            .penalty(PenaltyForm::TwoLevel { ratio, share })
            .family(family)
            .strength(Strength::Alpha(lambda1))
            .tolerance(1e-14)
            .build()
            .unwrap();
        let design = data.design();
        let fit = slope.fit(&design, &data.y).unwrap();
        let FittedPenalty::TwoLevel { lambda2: got, k: got_k, .. } = *fit.penalty() else {
            panic!()
        };
        assert!(got_k == k && (got - lambda2).abs() < 1e-13 * lambda1, "row {i}: penalty");
        let path =
            slope.fit_path(&design, &data.y, None, &PathSettings::default(), &Silent).unwrap();
        let (top, want) = (path.alpha_max, number(row, "/alpha_max"));
        assert!((top - want).abs() < 1e-9 * want, "row {i}: alpha_max {top}, expected {want}");
        let primal = number(row, "/primal");
        assert!((fit.certificate().primal - primal).abs() < 1e-10 * primal, "row {i}: objective");
        let want = numbers(&row["coef"]);
        let scale = want.iter().fold(1.0, |top: f64, b| top.max(b.abs()));
        let apart = distance(fit.standardized_coefficients(), &want);
        let tolerance = if family == FamilyKind::Gaussian { 1e-8 } else { 1e-7 };
        assert!(apart < tolerance * scale, "row {i}: coefficients differ by {apart}");
        let apart = (fit.standardized_intercept() - number(row, "/intercept_value")).abs();
        assert!(apart < tolerance * scale, "row {i}: intercepts differ by {apart}");
    }
}
