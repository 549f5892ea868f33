//! Scores against their definitions.

use slope2::selection::Score;
use slope2::{Binomial, Error, Gaussian, Poisson};

#[test]
fn scores_are_their_definitions() {
    let (y, eta) = ([1.0, 2.0, 4.0], [1.5, 2.0, 2.0]);
    let of = |score: Score, w: Option<&[f64]>| score.of(&Gaussian, &y, &eta, w).unwrap();
    assert!((of(Score::SquaredError, None) - 4.25 / 3.0).abs() < 1e-15);
    assert!((of(Score::Deviance, None) - 4.25 / 3.0).abs() < 1e-15);
    assert!((of(Score::AbsoluteError, None) - 2.5 / 3.0).abs() < 1e-15);
    let weighted = of(Score::AbsoluteError, Some(&[2.0, 7.0, 1.0]));
    assert!((weighted - 3.0 / 10.0).abs() < 1e-15);
    let (y, eta) = ([0.0, 1.0, 1.0, 0.0], [-1.0, 0.5, -0.2, 0.5]);
    let of = |score: Score| score.of(&Binomial, &y, &eta, None).unwrap();
    assert_eq!(of(Score::Misclassification), 0.5);
    // Pairs: 0.5 over -1, 0.5 ties 0.5, -0.2 over -1, -0.2 below 0.5.
    assert_eq!(of(Score::Auc), 2.5 / 4.0);
    let log = |eta: f64, y: f64| 2.0 * ((1.0 + eta.exp()).ln() - y * eta);
    let deviance: f64 = y.iter().zip(&eta).map(|(y, eta)| log(*eta, *y)).sum();
    assert!((of(Score::Deviance) - deviance / 4.0).abs() < 1e-14);
    // The deviance of a Poisson response is zero where the mean is the response.
    let y = [0.5f64, 3.0];
    let exact: Vec<f64> = y.iter().map(|y| y.ln()).collect();
    assert!(Score::Deviance.of(&Poisson, &y, &exact, None).unwrap().abs() < 1e-14);
}

#[test]
fn weighted_areas_are_those_of_repeated_rows() {
    let (y, eta, w) = ([0.0, 1.0, 1.0, 0.0], [0.1, 0.5, -0.2, 0.5], [3.0, 1.0, 2.0, 1.0]);
    let repeat = |v: &[f64]| -> Vec<f64> {
        v.iter().zip(w).flat_map(|(v, w)| std::iter::repeat_n(*v, w as usize)).collect()
    };
    let weighted = Score::Auc.of(&Binomial, &y, &eta, Some(&w)).unwrap();
    let repeated = Score::Auc.of(&Binomial, &repeat(&y), &repeat(&eta), None).unwrap();
    assert!((weighted - repeated).abs() < 1e-15);
}

#[test]
fn scores_without_a_value_are_refused() {
    let one_class = Score::Auc.of(&Binomial, &[1.0, 1.0], &[0.0, 1.0], None);
    assert!(matches!(one_class, Err(Error::Score { score: "auc", .. })));
    let no_classes = Score::Misclassification.of(&Gaussian, &[1.0], &[0.0], None);
    assert!(matches!(no_classes, Err(Error::Score { .. })));
    assert!(Score::SquaredError.of(&Gaussian, &[1.0], &[0.0], Some(&[0.0])).is_err());
    assert!(Score::SquaredError.of(&Gaussian, &[1.0], &[0.0, 1.0], None).is_err());
}
