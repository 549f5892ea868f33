//! The estimator gives what its parts give, on the scale of the data.

use slope2::estimator::{FamilyKind, FittedPenalty, FoldPlan, Method, PenaltyForm, Rule, Strength};
use slope2::selection::{Criterion, NoiseEnd, Score};
use slope2::{
    Alphas, Center, Design, Error, Gaussian, GridSettings, LossScale, PathSettings, Scale, Silent,
    Slope2,
};

use crate::data::{Data, breast_cancer, distance};

const TWO: PenaltyForm = PenaltyForm::TwoLevel { ratio: 0.5, share: 0.3 };

fn seeded(n_folds: usize, seed: u64) -> FoldPlan {
    FoldPlan::Seeded { n_folds, n_repeats: 1, seed }
}

fn validated(folds: FoldPlan, rule: Rule) -> Strength {
    let alphas = Alphas::Geometric { n_points: 20, ratio: Some(0.01) };
    Strength::CrossValidated { alphas, folds, score: None, rule }
}

#[test]
fn every_form_and_strength_is_fitted_and_certified() {
    let data = Data::draw(&Gaussian, 60, 10, 31);
    let design = data.design();
    let lambda: Vec<f64> = (1..=10).rev().map(|l| 0.3 * f64::from(l)).collect();
    let forms = [
        TWO,
        PenaltyForm::Lasso,
        PenaltyForm::Sequence(lambda),
        PenaltyForm::BenjaminiHochberg { q: 0.1 },
        PenaltyForm::Gaussian { q: 0.1 },
        PenaltyForm::Oscar { theta1: 1.0, theta2: 0.2 },
    ];
    for form in forms {
        let strengths = [
            Strength::Relative(0.05),
            Strength::Noise,
            Strength::Criterion { path: PathSettings::default(), criterion: Criterion::Bic },
            validated(seeded(5, 1), Rule::Best),
        ];
        let mut fits = Vec::new();
        for strength in strengths {
            let slope = Slope2::builder().penalty(form.clone()).strength(strength).build().unwrap();
            let fit = slope.fit(&design, &data.y).unwrap();
            assert!(fit.converged() && fit.certificate().relative_gap() <= 1e-8, "{form:?}");
            assert!(fit.alpha() > 0.0 && !fit.clusters().is_empty(), "{form:?}");
            // Fitting again at the strength that was found gives the same.
            let again = Slope2::builder()
                .penalty(form.clone())
                .strength(Strength::Alpha(fit.alpha()))
                .build()
                .unwrap();
            let again = again.fit(&design, &data.y).unwrap();
            assert_eq!(again.penalty(), fit.penalty(), "{form:?}");
            let apart =
                distance(again.standardized_coefficients(), fit.standardized_coefficients());
            assert!(apart < 2e-3, "{form:?}: {apart}");
            fits.push(fit);
        }
        assert!(fits[3].validated().is_some() && fits[0].validated().is_none());
    }
}

#[test]
fn predictions_do_not_depend_on_the_scale_of_the_columns() {
    let data = Data::draw(&Gaussian, 50, 6, 32);
    let mut scaled = Data::draw(&Gaussian, 50, 6, 32);
    for (i, x) in scaled.x.iter_mut().enumerate() {
        let j = (i / 50) as f64;
        *x = (0.1 + j) * *x - 7.0 * j;
    }
    let slope = Slope2::builder().penalty(TWO).tolerance(1e-13).build().unwrap();
    let fit = slope.fit(&data.design(), &data.y).unwrap();
    let other = slope.fit(&scaled.design(), &data.y).unwrap();
    let predictions = fit.predict(&data.design()).unwrap();
    assert!(distance(&predictions, &other.predict(&scaled.design()).unwrap()) < 1e-8);
    for j in 0..6 {
        let want = fit.coefficients()[j] / (0.1 + j as f64);
        assert!((other.coefficients()[j] - want).abs() < 1e-8);
    }
    // By hand, from what the fit states.
    let row = 17;
    let by_hand: f64 = (0..6)
        .map(|j| {
            let z = (data.x[j * 50 + row] - fit.centers()[j]) / fit.scales()[j];
            fit.standardized_coefficients()[j] * z
        })
        .sum();
    assert!((fit.standardized_intercept() + by_hand - predictions[row]).abs() < 1e-11);
    assert!(fit.predict(&Data::draw(&Gaussian, 5, 7, 1).design()).is_err());
}

#[test]
fn a_design_that_is_standardized_already_is_taken_as_it_is_stored() {
    let data = Data::draw(&Gaussian, 30, 5, 33);
    let slope = Slope2::builder().penalty(TWO).build().unwrap();
    let plain = slope.fit(&data.design(), &data.y).unwrap();
    let other = data.design().standardized(&Center::Min, &Scale::MaxAbs, None).unwrap();
    assert_eq!(slope.fit(&other, &data.y).unwrap(), plain);
    assert_eq!(plain.predict(&other).unwrap(), plain.predict(&data.design()).unwrap());
}

#[test]
fn weights_are_repeated_rows() {
    let data = Data::draw(&Gaussian, 20, 4, 34);
    let times: Vec<usize> = (0..20).map(|i| 1 + i % 3).collect();
    let weights: Vec<f64> = times.iter().map(|t| *t as f64).collect();
    let repeat = |v: &[f64]| -> Vec<f64> {
        v.iter().zip(&times).flat_map(|(v, t)| std::iter::repeat_n(*v, *t)).collect()
    };
    let x: Vec<f64> = (0..4).flat_map(|j| repeat(&data.x[j * 20..(j + 1) * 20])).collect();
    let y = repeat(&data.y);
    let slope = Slope2::builder().penalty(TWO).tolerance(1e-14).build().unwrap();
    let weighted = slope.fit_with(&data.design(), &data.y, Some(&weights), &Silent).unwrap();
    let repeated = slope.fit(&Design::from_columns(x, y.len(), 4).unwrap(), &y).unwrap();
    assert!(distance(&weighted.coefficients(), &repeated.coefficients()) < 1e-9);
    assert!((weighted.intercept() - repeated.intercept()).abs() < 1e-8);
    // Both scales of the loss, with penalties to match.
    let at = |scale: LossScale, factor: f64| {
        let strength = Strength::Alpha(factor * 0.2);
        let builder = Slope2::builder().penalty(TWO).loss_scale(scale).strength(strength);
        builder.tolerance(1e-14).build().unwrap().fit(&data.design(), &data.y).unwrap()
    };
    let (mean, sum) = (at(LossScale::Mean, 1.0), at(LossScale::Sum, 20.0));
    assert!(distance(&mean.coefficients(), &sum.coefficients()) < 1e-9);
}

#[test]
fn tumors_are_classified_by_a_cross_validated_grid() {
    let data = breast_cancer();
    let design = data.design();
    let alphas = Alphas::Geometric { n_points: 8, ratio: Some(0.02) };
    let strength = Strength::CrossValidated {
        alphas,
        folds: seeded(4, 3),
        score: Some(Score::Misclassification),
        rule: Rule::OneStandardError,
    };
    let slope = Slope2::builder()
        .family(FamilyKind::Binomial)
        .penalty(PenaltyForm::TwoLevelGrid { ratios: vec![0.2, 1.0], shares: vec![0.1, 0.3] })
        .strength(strength)
        .tolerance(1e-6)
        .build()
        .unwrap();
    let fit = slope.fit(&design, &data.y).unwrap();
    let found = fit.validated().unwrap();
    assert_eq!(found.scores.len(), 8 * 4);
    assert!(found.scores[found.best].mean < 0.05, "{:?}", found.scores[found.best]);
    let classes = fit.classify(&design).unwrap();
    let wrong = classes.iter().zip(&data.y).filter(|(c, y)| **c != usize::from(**y == 1.0)).count();
    assert!(wrong < 30, "{wrong} of 569");
    assert!(matches!(fit.penalty(), FittedPenalty::TwoLevel { .. }));
    let means = fit.predict(&design).unwrap();
    assert!(means.iter().zip(&classes).all(|(m, c)| *c == usize::from(0.5 <= *m)));
}

#[test]
fn folds_of_the_estimator_are_those_asked_for() {
    let data = Data::draw(&Gaussian, 40, 6, 35);
    let fit = |folds: FoldPlan| {
        let strength = validated(folds, Rule::OneStandardError);
        let slope = Slope2::builder().penalty(TWO).strength(strength).build().unwrap();
        slope.fit(&data.design(), &data.y)
    };
    assert_eq!(fit(seeded(5, 1)).unwrap(), fit(seeded(5, 1)).unwrap());
    let groups: Vec<usize> = (0..40).map(|i| i / 4).collect();
    let grouped = FoldPlan::Grouped { groups, n_folds: 5, seed: 1 };
    assert_eq!(fit(grouped).unwrap().validated().unwrap().by_fold.len(), 5);
    let given = FoldPlan::Given((0..40).map(|i| i % 3).collect());
    assert_eq!(fit(given).unwrap().validated().unwrap().by_fold.len(), 3);
    let repeated = FoldPlan::Seeded { n_folds: 4, n_repeats: 3, seed: 1 };
    assert_eq!(fit(repeated).unwrap().validated().unwrap().by_fold.len(), 12);
    assert!(fit(seeded(1, 1)).is_err());
    let grid = PenaltyForm::TwoLevelGrid { ratios: vec![0.5], shares: vec![0.5] };
    assert!(matches!(Slope2::builder().penalty(grid).build(), Err(Error::Settings(_))));
}

#[cfg(feature = "serde")]
mod saved {
    use super::{Data, Error, FamilyKind, PenaltyForm, Slope2, Strength, TWO};
    use slope2::{Binomial, Fitted};

    fn fit(form: PenaltyForm, strength: Strength) -> Fitted {
        let data = Data::draw(&Binomial, 60, 7, 36);
        let builder = Slope2::builder().family(FamilyKind::Binomial).penalty(form);
        builder.strength(strength).build().unwrap().fit(&data.design(), &data.y).unwrap()
    }

    #[test]
    fn a_fit_is_read_back_with_the_same_bits() {
        for form in [TWO, PenaltyForm::BenjaminiHochberg { q: 0.2 }] {
            let fit = fit(form, Strength::Relative(0.1));
            let text = fit.to_json().unwrap();
            assert_eq!(Fitted::from_json(&text).unwrap(), fit);
        }
    }

    #[test]
    fn the_first_version_is_still_read() {
        let text = r#"{"format": "slope2 fit", "version": 1, "family": "gaussian",
            "penalty": {"two_level": {"lambda1": 1.0, "lambda2": 0.5, "k": 1}}, "alpha": 1.0,
            "intercepts": [2.0], "coefficients": [3.0, 0.0], "centers": [1.0, 0.0],
            "scales": [2.0, 1.0], "primal": 1.5, "dual": 1.5, "dual_norm": null,
            "termination": "gap_reached", "n_iters": 4}"#;
        let fit = Fitted::from_json(text).unwrap();
        assert_eq!((fit.coefficients(), fit.intercept()), (vec![1.5, 0.0], 0.5));
        assert!(fit.converged() && fit.certificate().dual_norm.is_infinite());
    }

    #[test]
    fn other_versions_and_malformed_files_are_refused() {
        let text = fit(TWO, Strength::Relative(0.1)).to_json().unwrap();
        let newer = text.replace("\"version\": 1", "\"version\": 2");
        let unknown = Error::UnknownVersion { known: 1, got: "2".to_owned() };
        assert_eq!(Fitted::from_json(&newer), Err(unknown));
        let malformed = |text: &str| {
            let failed = Fitted::from_json(text);
            assert!(matches!(failed, Err(Error::Malformed { .. })), "{failed:?}");
        };
        malformed("");
        malformed("{}");
        malformed(&text[..text.len() / 2]);
        malformed(&text.replace("slope2 fit", "another"));
        malformed(&text.replace("\"alpha\"", "\"alfa\""));
        malformed(&text.replacen("\"alpha\":", "\"extra\": 1, \"alpha\":", 1));
        let refused = |from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            assert!(Fitted::from_json(&text.replacen(from, to, 1)).is_err(), "{to}");
        };
        refused("\"scales\": [", "\"scales\": [ 1.0,");
        refused("\"scales\": [", "\"scales\": [ -1.0,");
        refused("\"k\": 2", "\"k\": 100");
    }
}

#[test]
fn every_solver_that_takes_a_penalty_finds_the_same_fit() {
    let data = Data::draw(&Gaussian, 40, 8, 3);
    let fit = |method: Method, penalty: PenaltyForm| {
        let slope = Slope2::builder().method(method).penalty(penalty).tolerance(1e-12);
        slope.build().unwrap().fit(&data.design(), &data.y)
    };
    let two = || PenaltyForm::TwoLevel { ratio: 0.4, share: 0.3 };
    let usual = fit(Method::Suitable, two()).unwrap();
    for method in [Method::ZoneDescent, Method::ClusterDescent, Method::Fista] {
        let other = fit(method, two()).unwrap();
        let apart = distance(usual.standardized_coefficients(), other.standardized_coefficients());
        assert!(apart < 1e-5, "{method:?}: {apart}");
    }
    let sorted = || PenaltyForm::BenjaminiHochberg { q: 0.1 };
    assert!(matches!(fit(Method::ZoneDescent, sorted()), Err(Error::Settings(_))));
    assert!(fit(Method::ClusterDescent, sorted()).unwrap().converged());
}

#[test]
fn a_grid_of_the_estimator_is_that_of_its_problem() {
    let data = Data::draw(&Gaussian, 40, 8, 4);
    let settings = GridSettings {
        lambda1: Alphas::Geometric { n_points: 4, ratio: Some(0.1) },
        ratios: vec![0.25, 1.0],
        shares: vec![0.2, 0.5],
    };
    let slope = Slope2::builder().build().unwrap();
    let grid = slope.fit_grid(&data.design(), &data.y, None, &settings, &Silent).unwrap();
    assert_eq!(grid.cells.len(), 16);
    let cell = grid.cells[13];
    let alone = Slope2::builder()
        .penalty(PenaltyForm::TwoLevel { ratio: cell.ratio, share: cell.share })
        .strength(Strength::Alpha(cell.penalty.lambda1()))
        .build()
        .unwrap()
        .fit(&data.design(), &data.y)
        .unwrap();
    let of_cell = &grid.solution(13).unwrap().coefficients;
    assert!(distance(alone.standardized_coefficients(), of_cell) < 1e-3);
}

#[test]
fn a_fit_says_how_its_noise_was_found() {
    let (small, large) = (Data::draw(&Gaussian, 12, 40, 38), Data::draw(&Gaussian, 200, 10, 39));
    let fit = |data: &Data, q: f64, strength: Strength| {
        let slope = Slope2::builder().penalty(PenaltyForm::BenjaminiHochberg { q });
        let slope = slope.strength(strength).build().unwrap();
        slope.fit(&data.design(), &data.y).unwrap()
    };
    let found = fit(&large, 0.1, Strength::Noise);
    let noise = found.noise().unwrap();
    assert_eq!(noise.end, NoiseEnd::Settled);
    assert_eq!(noise.history.last(), Some(&noise.noise_std));
    assert!((found.alpha() - noise.noise_std / 200f64.sqrt()).abs() < 1e-15);
    // Nearly no penalty: the support takes all degrees of freedom.
    let found = fit(&small, 0.999, Strength::Noise);
    assert_eq!(found.noise().unwrap().end, NoiseEnd::Saturated);
    assert_eq!(fit(&large, 0.1, Strength::Relative(0.1)).noise(), None);
}
