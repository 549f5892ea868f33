//! Data at the edge of what can be meant: a fit, or an error that says what is wrong, and never a panic.

use slope2::estimator::{FamilyKind, Fitted, PenaltyForm, Strength};
use slope2::{Binomial, Design, Error, Gaussian, Result, Slope2, Termination, TwoLevel};

use crate::data::Data;

fn fit(family: FamilyKind, x: &[f64], y: &[f64], p: usize) -> Result<Fitted> {
    let design = Design::from_columns(x, y.len(), p)?;
    let penalty = PenaltyForm::TwoLevel { ratio: 0.5, share: 0.5 };
    Slope2::builder().family(family).penalty(penalty).build()?.fit(&design, y)
}

fn is_null(fit: &Fitted, intercept: f64) {
    assert!(fit.converged(), "{fit:?}");
    assert!(fit.coefficients().iter().all(|b| *b == 0.0), "{fit:?}");
    assert!((fit.intercept() - intercept).abs() < 1e-14, "{fit:?}");
}

#[test]
fn views_of_a_matrix_in_any_order_are_the_columns_they_show() {
    let whole = faer::Mat::from_fn(4, 3, |i, j| (10 * j + i) as f64);
    let b = [1.0, -2.0, 0.5];
    for view in [
        whole.as_ref(),
        whole.as_ref().reverse_cols(),
        whole.as_ref().reverse_rows(),
        whole.as_ref().get(1..3, ..),
        whole.as_ref().get(.., 1..2),
        whole.transpose().get(..3, ..3),
    ] {
        let design = Design::dense(view);
        let mut got = vec![0.0; view.nrows()];
        design.apply(&b[..view.ncols()], &mut got);
        for (i, got) in got.iter().enumerate() {
            let want: f64 = (0..view.ncols()).map(|j| view[(i, j)] * b[j]).sum();
            assert_eq!(*got, want, "row {i} of {view:?}");
        }
    }
}

#[test]
fn one_row_is_fitted_by_the_intercept() {
    is_null(&fit(FamilyKind::Gaussian, &[1.0, 2.0, 3.0], &[7.0], 3).unwrap(), 7.0);
}

#[test]
fn one_column_is_fitted() {
    let fit = fit(FamilyKind::Gaussian, &[1.0, 2.0, 3.0, 5.0], &[1.0, 2.0, 3.0, 5.0], 1).unwrap();
    // Soft thresholding of a coefficient of 1 by a tenth.
    assert!((fit.coefficients()[0] - 0.9).abs() < 1e-6, "{fit:?}");
}

#[test]
fn a_constant_or_zero_response_and_zero_columns_have_no_coefficients() {
    let data = Data::draw(&Gaussian, 12, 4, 41);
    for level in [0.0, 0.1, 3.0, -1e9] {
        let fit = fit(FamilyKind::Gaussian, &data.x, &[level; 12], 4).unwrap();
        assert!((fit.intercept() - level).abs() <= 1e-14 * level.abs(), "{level} {fit:?}");
        assert!(fit.converged() && fit.coefficients().iter().all(|b| *b == 0.0), "{fit:?}");
    }
    let mean = data.y.iter().sum::<f64>() / 12.0;
    is_null(&fit(FamilyKind::Gaussian, &[0.0; 48], &data.y, 4).unwrap(), mean);
}

#[test]
fn a_response_far_from_zero_is_fitted_as_one_around_zero() {
    let data = Data::draw(&Gaussian, 30, 4, 47);
    let near = fit(FamilyKind::Gaussian, &data.x, &data.y, 4).unwrap();
    for shift in [-1e5, 1e6] {
        let y: Vec<f64> = data.y.iter().map(|y| y + shift).collect();
        let far = fit(FamilyKind::Gaussian, &data.x, &y, 4).unwrap();
        let apart = crate::data::distance(&far.coefficients(), &near.coefficients());
        assert!(far.converged() && apart < 1e-5, "{apart}");
        assert!((far.intercept() - near.intercept() - shift).abs() < 1e-4);
        assert!(-1e-9 * far.certificate().primal <= far.certificate().gap());
    }
}

#[test]
fn a_constant_column_has_a_coefficient_of_exactly_zero() {
    let mut data = Data::draw(&Gaussian, 20, 4, 42);
    for level in [0.0, 0.1, 1e6] {
        data.x[20..40].fill(level);
        let fit = fit(FamilyKind::Gaussian, &data.x, &data.y, 4).unwrap();
        assert_eq!((fit.coefficients()[1], fit.scales()[1]), (0.0, 1.0));
        assert!(fit.coefficients()[0] != 0.0 && fit.converged());
    }
}

#[test]
fn responses_without_a_model_are_named() {
    let data = Data::draw(&Binomial, 12, 3, 43);
    for class in [0.0, 1.0] {
        let failed = fit(FamilyKind::Binomial, &data.x, &[class; 12], 3);
        assert!(matches!(failed, Err(Error::Response(_))), "{failed:?}");
    }
    let mut y = [2.0; 12];
    y[4] = -1.0;
    let failed = fit(FamilyKind::Poisson, &data.x, &y, 3).unwrap_err();
    assert_eq!(failed.to_string(), "response at 4: expected not negative, got -1");
    let failed = fit(FamilyKind::Binomial, &data.x, &y, 3).unwrap_err();
    assert_eq!(failed.to_string(), "response at 0: expected 0 or 1, got 2");
    assert!(fit(FamilyKind::Poisson, &data.x, &[0.0; 12], 3).is_err());
    assert!(matches!(fit(FamilyKind::Gaussian, &[], &[], 3), Err(Error::Length { .. })));
}

#[test]
fn entries_that_are_not_finite_are_named() {
    let data = Data::draw(&Gaussian, 12, 3, 44);
    for bad in [f64::NAN, f64::INFINITY] {
        let mut x = data.x.clone();
        x[2 * 12 + 5] = bad;
        let failed = fit(FamilyKind::Gaussian, &x, &data.y, 3).unwrap_err();
        assert!(failed.to_string().starts_with("design at row 5, column 2"), "{failed}");
        let mut y = data.y.clone();
        y[9] = bad;
        let failed = fit(FamilyKind::Gaussian, &data.x, &y, 3).unwrap_err();
        assert!(failed.to_string().starts_with("response at 9"), "{failed}");
    }
    let slope = Slope2::builder().build().unwrap();
    let weights = |w: f64| {
        let mut weights = vec![1.0; 12];
        weights[2] = w;
        slope.fit_with(&data.design(), &data.y, Some(&weights), &slope2::Silent)
    };
    for bad in [f64::NAN, -1.0] {
        let failed = weights(bad).unwrap_err();
        assert!(failed.to_string().starts_with("weights of the observations at 2"), "{failed}");
    }
    assert!(weights(0.0).is_ok());
    let mut short = data.y.clone();
    short.pop();
    assert!(matches!(slope.fit(&data.design(), &short), Err(Error::Length { .. })));
}

#[test]
fn penalties_that_cannot_be_meant_are_refused() {
    assert_eq!(TwoLevel::new(1.0, 0.5, 4, 3), Err(Error::TooManyAtUpperLevel { k: 4, p: 3 }),);
    let with = |penalty: PenaltyForm| Slope2::builder().penalty(penalty).build();
    assert!(with(PenaltyForm::Sequence(vec![1.0, 2.0])).is_err());
    assert!(with(PenaltyForm::Sequence(vec![1.0, f64::NAN])).is_err());
    assert!(with(PenaltyForm::TwoLevel { ratio: 1.5, share: 0.5 }).is_err());
    assert!(with(PenaltyForm::TwoLevel { ratio: 0.5, share: -0.1 }).is_err());
    assert!(Slope2::builder().strength(Strength::Alpha(-1.0)).build().is_err());
    assert!(Slope2::builder().tolerance(f64::NAN).build().is_err());
    let data = Data::draw(&Gaussian, 12, 3, 45);
    let slope = with(PenaltyForm::Sequence(vec![2.0, 1.0])).unwrap();
    assert!(matches!(slope.fit(&data.design(), &data.y), Err(Error::Length { .. })));
}

#[test]
fn too_few_iterations_are_flagged() {
    let data = Data::draw(&Gaussian, 40, 30, 46);
    let builder = Slope2::builder().strength(Strength::Relative(0.01)).tolerance(1e-12);
    let fit = builder.clone().max_iters(1).build().unwrap();
    let fit = fit.fit(&data.design(), &data.y).unwrap();
    assert!(!fit.converged() && fit.report().termination == Termination::MaxIters);
    assert!(fit.certificate().gap() > 0.0, "and the certificate says how far it is");
    assert!(builder.build().unwrap().fit(&data.design(), &data.y).unwrap().converged());
}

#[test]
fn separable_classes_with_a_tiny_penalty_stay_finite() {
    let x: Vec<f64> = (0..20).map(|i| f64::from(i) - 9.5).collect();
    let y: Vec<f64> = (0..20).map(|i| f64::from(i > 9)).collect();
    let design = Design::from_columns(x, 20, 1).unwrap();
    let slope = Slope2::builder()
        .family(FamilyKind::Binomial)
        .penalty(PenaltyForm::Lasso)
        .strength(Strength::Relative(1e-7))
        .build()
        .unwrap();
    let fit = slope.fit(&design, &y).unwrap();
    assert!(fit.coefficients()[0].is_finite() && fit.coefficients()[0] > 1.0, "{fit:?}");
}
