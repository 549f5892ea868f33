//! Problems at the edge of what can be asked.

use slope2::{
    Binomial, ClusterDescent, Datafit, Design, Error, Family, Gaussian, LossScale, Poisson,
    Problem, Solution, Solver, SortedL1, Start, Termination,
};

/// The fit of a dense design by columns.
fn fit_with(
    solver: ClusterDescent,
    family: &'static dyn Family,
    x: &[f64],
    y: &[f64],
    lambda: Vec<f64>,
    intercept: bool,
) -> slope2::Result<Solution> {
    let design = Design::from_columns(x, y.len(), x.len() / y.len())?;
    let datafit = Datafit::new(family, y, LossScale::Mean)?;
    let penalty = SortedL1::new(lambda)?;
    solver.solve(&Problem { design: &design, datafit, penalty, intercept }, &Start::default())
}

fn fit(family: &'static dyn Family, x: &[f64], y: &[f64], lambda: Vec<f64>) -> Solution {
    fit_with(ClusterDescent::default(), family, x, y, lambda, true).unwrap()
}

const X: [f64; 12] = [1.0, 2.0, 3.0, 4.0, 0.5, -1.0, 0.25, 1.0, -1.0, 0.0, 1.0, -0.5];

#[test]
fn one_observation_and_one_feature() {
    let one = fit_with(ClusterDescent::default(), &Gaussian, &[2.0], &[3.0], vec![0.5], false);
    // The minimum of (3 - 2 b)^2 / 2 + |b| / 2.
    assert!((one.unwrap().coefficients[0] - 1.375).abs() < 1e-12);
    let centered = fit(&Gaussian, &[2.0], &[3.0], vec![0.5]);
    assert_eq!(centered.coefficients, [0.0]);
    assert_eq!(centered.intercept(), 3.0);
}

#[test]
fn nothing_to_explain_gives_zeros() {
    for y in [[0.0; 4], [2.5; 4]] {
        let solution = fit(&Gaussian, &X, &y, vec![0.3, 0.2, 0.1]);
        assert_eq!(solution.coefficients, [0.0; 3]);
        assert!((solution.intercept() - y[0]).abs() < 1e-15);
    }
    let solution = fit(&Gaussian, &[0.0; 12], &[1.0, 2.0, 3.0, 5.0], vec![0.3, 0.2, 0.1]);
    assert_eq!(solution.coefficients, [0.0; 3]);
}

#[test]
fn weights_of_zero_are_least_squares() {
    let y = [1.0, -1.0, 2.0, 0.5];
    let solution = fit(&Gaussian, &X, &y, vec![0.0; 3]);
    // Four parameters fit four observations.
    for i in 0..4 {
        let eta: f64 = (0..3).map(|j| X[4 * j + i] * solution.coefficients[j]).sum();
        assert!((solution.intercept() + eta - y[i]).abs() < 1e-6);
    }
    let top = fit(&Gaussian, &X, &y, vec![0.2, 0.0, 0.0]);
    assert!(top.certificate.relative_gap() < 1e-8, "{top:?}");
}

#[test]
fn separable_classes_with_a_small_penalty_end() {
    let y = [0.0, 0.0, 1.0, 1.0];
    let solution = fit(&Binomial, &X, &y, vec![3e-4, 2e-4, 1e-4]);
    assert!(solution.certificate.relative_gap() < 1e-6, "{solution:?}");
    assert!(solution.coefficients.iter().all(|b| b.is_finite()));
    let counts = fit(&Poisson, &X, &[0.0, 0.0, 40.0, 90.0], vec![3e-2, 2e-2, 1e-2]);
    assert!(counts.certificate.relative_gap() < 1e-6, "{counts:?}");
}

#[test]
fn small_sets_and_few_steps_are_told() {
    let y = [1.0, -1.0, 2.0, 0.5];
    let lambda = vec![0.03, 0.02, 0.01];
    let want = fit(&Gaussian, &X, &y, lambda.clone());
    let small = ClusterDescent { working_set: 0, ..ClusterDescent::default() };
    let got = fit_with(small, &Gaussian, &X, &y, lambda.clone(), true).unwrap();
    for (got, want) in got.coefficients.iter().zip(&want.coefficients) {
        assert!((got - want).abs() < 1e-7);
    }
    let short = ClusterDescent { max_iters: 0, ..ClusterDescent::default() };
    let got = fit_with(short, &Gaussian, &X, &y, lambda, true).unwrap();
    assert_eq!(got.report.termination, Termination::MaxIters);
}

#[test]
fn calls_that_cannot_be_meant_are_refused() {
    let y = [1.0, -1.0, 2.0, 0.5];
    let solver = ClusterDescent::default();
    let mut bad = X;
    bad[5] = f64::NAN;
    for lambda in [vec![0.3, 0.2, 0.1], vec![9.0, 9.0, 9.0]] {
        let refused = fit_with(solver, &Gaussian, &bad, &y, lambda, true);
        assert!(matches!(refused, Err(Error::InvalidEntry { name: "design", .. })), "{refused:?}");
    }
    let refused = fit_with(solver, &Gaussian, &X, &y, vec![0.3, 0.2], true);
    assert!(matches!(refused, Err(Error::Length { .. })));
    let loose = ClusterDescent { tolerance: f64::NAN, ..solver };
    let refused = fit_with(loose, &Gaussian, &X, &y, vec![0.3, 0.2, 0.1], true);
    assert!(matches!(refused, Err(Error::InvalidNumber { .. })));
    let refused = fit_with(solver, &Binomial, &X, &[1.0; 4], vec![0.3, 0.2, 0.1], true);
    assert!(matches!(refused, Err(Error::Response(_))));
}
