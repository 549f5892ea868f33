//! `slope_solutions.json`: solutions of every family, scale and sequence.

use serde_json::Value;
use slope2::{
    Binomial, Certificate, ClusterDescent, Datafit, Design, DualNorm, Family, Fista, Gaussian,
    LossScale, Poisson, Problem, Solution, Solver, SortedL1, Start, TwoLevel, ZoneDescent, certify,
};

use report::golden::{count, number, numbers, section};

use super::file;

/// A design that owns its entries.
pub(crate) enum Matrix {
    Dense(Vec<f64>, usize, usize),
    Sparse(Vec<usize>, Vec<usize>, Vec<f64>, usize),
}

impl Matrix {
    pub(crate) fn read(x: &Value) -> Matrix {
        let (n, p, data) = (count(x, "/n"), count(x, "/p"), numbers(&x["data"]));
        let whole = |v: &Value| numbers(v).into_iter().map(|x| x as usize).collect::<Vec<_>>();
        match x["format"].as_str() {
            Some("dense_row_major") => {
                let columns = (0..p).flat_map(|j| (0..n).map(move |i| (i, j)));
                Matrix::Dense(columns.map(|(i, j)| data[i * p + j]).collect(), n, p)
            }
            Some("csc") => Matrix::Sparse(whole(&x["indptr"]), whole(&x["indices"]), data, n),
            other => panic!("format {other:?}"),
        }
    }

    pub(crate) fn design(&self) -> Design<'_> {
        match self {
            Matrix::Dense(data, n, p) => Design::from_columns(data.as_slice(), *n, *p).unwrap(),
            Matrix::Sparse(ptr, idx, data, n) => Design::sparse(*n, ptr, idx, data).unwrap(),
        }
    }
}

pub(crate) fn family(name: &str) -> &'static dyn Family {
    match name {
        "gaussian" => &Gaussian,
        "binomial" => &Binomial,
        "poisson" => &Poisson,
        other => panic!("family {other}"),
    }
}

/// The sequence of a row of the file.
pub(crate) fn sequence(row: &Value, p: usize) -> Vec<f64> {
    match row["sequence"].as_str() {
        Some("two_level") => two_level(row, p).sequence(),
        Some("lasso") => vec![number(row, "/lambda"); p],
        _ if row.get("lambda").is_some() => numbers(&row["lambda"]),
        _ => ruled(row, p).into_iter().map(|l| number(row, "/lambda_scale") * l).collect(),
    }
}

/// The unscaled sequence of a rule.
fn ruled(row: &Value, p: usize) -> Vec<f64> {
    let rule = |name: &str| number(row, &format!("/lambda_rule/{name}"));
    match row["sequence"].as_str() {
        Some("bh") => slope2::sequence::benjamini_hochberg(rule("q"), p).unwrap(),
        Some("oscar") => slope2::sequence::oscar(rule("theta1"), rule("theta2"), p).unwrap(),
        other => panic!("sequence {other:?} in {row}"),
    }
}

pub(crate) fn two_level(row: &Value, p: usize) -> TwoLevel {
    TwoLevel::new(number(row, "/lambda1"), number(row, "/lambda2"), count(row, "/k"), p).unwrap()
}

/// What the file says about the coefficients.
pub(crate) fn coefficients(row: &Value, p: usize) -> Vec<f64> {
    let coef = numbers(&row["coef"]);
    let Some(nonzero) = row.get("nonzero") else { return coef };
    let mut all = vec![0.0; p];
    for (j, b) in numbers(nonzero).into_iter().zip(coef) {
        all[j as usize] = b;
    }
    all
}

fn compare(name: &str, row: &Value, got: &Solution, p: usize) {
    let want = coefficients(row, p);
    let scale = want.iter().fold(1.0, |top: f64, b| top.max(b.abs()));
    for (j, (got, want)) in got.coefficients.iter().zip(&want).enumerate() {
        assert!(
            (got - want).abs() <= 1e-8 * scale,
            "{name}: coefficient {j} {got}, expected {want}"
        );
    }
    let (primal, want) = (got.certificate.primal, number(row, "/primal"));
    assert!(
        (primal - want).abs() <= 1e-10 * want.abs(),
        "{name}: objective {primal}, expected {want}"
    );
}

/// The file's own solution must be certified by our certificate, which has not seen a solver then.
fn certified(problem: &Problem<'_, SortedL1>, row: &Value, p: usize) -> Certificate {
    certify(problem, &[number(row, "/intercept_value")], &coefficients(row, p)).unwrap()
}

/// Calls `visit` with the name of each row of the file, the row and its problem. Returns the number of rows.
fn each_row(mut visit: impl FnMut(&str, &Value, &Problem<'_, SortedL1>)) -> usize {
    let Some(file) = file("slope_solutions.json") else { return 0 };
    let Some(problems) = section(&file, "problems") else { return 0 };
    let mut n = 0;
    for case in problems {
        let matrix = Matrix::read(&case["X"]);
        let design = matrix.design();
        let p = design.n_cols();
        for (i, row) in case["solutions"].as_array().unwrap().iter().enumerate() {
            let kind = row["family"].as_str().unwrap();
            let name = format!("{} {i} {kind} {}", case["name"], row["sequence"]);
            let y = numbers(&case[format!("y_{kind}")]);
            let scale = match row["loss_scale"].as_str() {
                Some("1/n") => LossScale::Mean,
                Some("1") => LossScale::Sum,
                other => panic!("loss scale {other:?}"),
            };
            let problem = Problem {
                design: &design,
                datafit: Datafit::new(family(kind), &y, scale).unwrap(),
                penalty: SortedL1::new(sequence(row, p)).unwrap(),
                intercept: row["intercept"].as_bool().unwrap(),
            };
            visit(&name, row, &problem);
            n += 1;
        }
    }
    eprintln!("{n} solutions");
    n
}

/// Whether the file holds coefficients to compare with.
fn is_unique(row: &Value) -> bool {
    row.get("unique_coef").is_none_or(|u| u.as_bool() == Some(true)) && row.get("coef").is_some()
}

#[test]
fn golden_solutions_are_certified() {
    each_row(|name, row, problem| {
        if !is_unique(row) {
            return;
        }
        let p = problem.design.n_cols();
        let proof = certified(problem, row, p);
        assert!(proof.relative_gap() < 1e-10, "{name}: gap {}", proof.relative_gap());
        assert!(-1e-12 * proof.primal.abs() <= proof.gap(), "{name}: gap {}", proof.gap());
        if let Some(want) = row.get("alpha_max").and_then(Value::as_f64) {
            let got = shape(row, p).dual_norm(&problem.null_gradient());
            assert!((got - want).abs() <= 1e-9 * want, "{name}: alpha_max {got}, expected {want}");
        }
    });
}

/// Compares the reference with every `step`-th row.
fn by_the_reference(step: usize) {
    let mut i = 0;
    each_row(|name, row, problem| {
        i += 1;
        if i % step == 0 && is_unique(row) {
            // A gap below rounding does not bound coefficients to 1e-8 where columns are correlated: no early stop.
            let solver = Fista { tolerance: 0.0, max_iters: 6000, check_every: 6000 };
            let solution = solver.solve(problem, &Start::default()).unwrap();
            compare(name, row, &solution, problem.design.n_cols());
        }
    });
}

#[test]
fn golden_solutions_are_found_by_the_reference() {
    by_the_reference(10);
}

#[test]
#[ignore = "heavy: six thousand accelerated steps for each solution"]
fn all_golden_solutions_are_found_by_the_reference() {
    by_the_reference(1);
}

fn over_clusters(solver: ClusterDescent) {
    each_row(|name, row, problem| {
        let solution = solver.solve(problem, &Start::default()).unwrap();
        let gap = solution.certificate.relative_gap();
        assert!(gap < 1e-9, "{name}: gap {gap} after {:?}", solution.report);
        if is_unique(row) {
            compare(name, row, &solution, problem.design.n_cols());
        }
        compare_fitted(name, row, problem.design, &solution);
    });
}

#[test]
fn golden_solutions_are_found_over_clusters() {
    over_clusters(ClusterDescent { tolerance: 1e-15, ..ClusterDescent::default() });
}

#[test]
fn golden_solutions_are_found_over_clusters_in_random_order() {
    over_clusters(ClusterDescent {
        tolerance: 1e-15,
        permuted: Some(3),
        ..ClusterDescent::default()
    });
}

fn compare_fitted(name: &str, row: &Value, design: &Design<'_>, solution: &Solution) {
    let Some(fitted) = row.get("fitted") else { return };
    let mut got = vec![0.0; design.n_rows()];
    design.apply(&solution.coefficients, &mut got);
    for (got, want) in got.iter().zip(numbers(fitted)) {
        assert!((got - want).abs() < 1e-8 * (1.0 + want.abs()), "{name}: {got} {want}");
    }
}

/// The penalty of which `alpha_max` is the dual norm of the null gradient.
fn shape(row: &Value, p: usize) -> SortedL1 {
    let sequence = sequence(row, p);
    let top = sequence[0];
    let shape = match row["sequence"].as_str() {
        Some("two_level" | "lasso") => sequence.iter().map(|l| l / top).collect(),
        _ => ruled(row, p),
    };
    SortedL1::new(shape).unwrap()
}

#[test]
fn golden_solutions_with_two_levels_are_found_over_zones() {
    each_row(|name, row, general| {
        let p = general.design.n_cols();
        let penalty = match row["sequence"].as_str() {
            Some("two_level") => two_level(row, p),
            Some("lasso") => {
                let lambda = number(row, "/lambda");
                TwoLevel::new(lambda, lambda, p, p).unwrap()
            }
            _ => return,
        };
        let Problem { design, datafit, intercept, .. } = *general;
        let problem = Problem { design, datafit, penalty, intercept };
        let solver = ZoneDescent { tolerance: 1e-15, ..ZoneDescent::default() };
        let solution = solver.solve(&problem, &Start::default()).unwrap();
        let gap = solution.certificate.relative_gap();
        assert!(gap < 1e-9, "{name}: gap {gap} after {:?}", solution.report);
        if is_unique(row) {
            compare(name, row, &solution, p);
        }
        compare_fitted(name, row, design, &solution);
    });
}
