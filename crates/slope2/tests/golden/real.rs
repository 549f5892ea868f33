//! Section `real` of `slope_solutions.json`: diabetes and breast cancer, columns centered and divided by their population
//! standard deviation.

use slope2::{
    Binomial, Center, Datafit, DualNorm, Family, Gaussian, LossScale, Problem, Scale, Solver,
    Start, TwoLevel, ZoneDescent,
};

use super::solutions::two_level;
use super::{file, number, numbers, section, text};
use crate::data::{breast_cancer, diabetes, distance};

#[test]
fn golden_fits_of_diabetes_and_breast_cancer_are_found() {
    let Some(file) = file("slope_solutions.json") else { return };
    let Some(rows) = section(&file, "real") else { return };
    for (i, row) in rows.iter().enumerate() {
        let (family, data): (&dyn Family, _) = match text(row, "/family") {
            "gaussian" => (&Gaussian, diabetes()),
            _ => (&Binomial, breast_cancer()),
        };
        let design = data.design().standardized(&Center::Mean, &Scale::Sd, None).unwrap();
        let penalty = two_level(row, data.p);
        let datafit = Datafit::new(family, &data.y, LossScale::Mean).unwrap();
        let problem = Problem { design: &design, datafit, penalty, intercept: true };
        let shape =
            TwoLevel::new(1.0, penalty.lambda2() / penalty.lambda1(), penalty.k(), data.p).unwrap();
        let (top, want) = (shape.dual_norm(&problem.null_gradient()), number(row, "/alpha_max"));
        assert!((top - want).abs() < 1e-9 * want, "row {i}: alpha_max {top}, expected {want}");
        let solver = ZoneDescent { tolerance: 1e-14, ..ZoneDescent::default() };
        let fit = solver.solve(&problem, &Start::default()).unwrap();
        let primal = number(row, "/primal");
        assert!((fit.certificate.primal - primal).abs() < 1e-10 * primal, "row {i}: objective");
        let want = numbers(&row["coef"]);
        let scale = want.iter().fold(1.0, |top: f64, b| top.max(b.abs()));
        let apart = distance(&fit.coefficients, &want);
        assert!(apart < 1e-7 * scale, "row {i}: coefficients differ by {apart}");
        let apart = (fit.intercept - number(row, "/intercept_value")).abs();
        assert!(apart < 1e-7, "row {i}: intercepts differ by {apart}");
    }
}
