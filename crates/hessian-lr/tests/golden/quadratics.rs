//! Section `quadratics` of `hessian_lr.json`.

use hessian_lr::fit::{Intercept, Quadratic, fit, fit_diagonal};
use report::golden::section;
use serde_json::Value;

use super::{Line, close, number, numbers, optional, rows};

struct Case<'a> {
    value: &'a Value,
    h: Vec<Vec<f64>>,
    c: Vec<f64>,
    line: Line,
}

impl<'a> Case<'a> {
    fn of(value: &'a Value) -> Self {
        Case { value, h: rows(&value["H"]), c: numbers(&value["c"]), line: Line::of(value) }
    }

    fn loss(&self, rates: &[f64]) -> f64 {
        let w = self.line.at(rates);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let hw: Vec<f64> = self.h.iter().map(|row| dot(row, &w)).collect();
        0.5 * dot(&w, &hw) + dot(&self.c, &w) + number(&self.value["offset"])
    }
}

/// Slopes and curvatures along the axes from the probes and losses of the file.
fn axis_fits(probes: &[Vec<f64>], losses: &[f64]) -> Vec<(f64, f64)> {
    assert!(probes[0].iter().all(|x| *x == 0.0));
    (0..probes[0].len())
        .map(|k| {
            let own: Vec<usize> = (1..probes.len()).filter(|j| probes[*j][k] != 0.0).collect();
            let x: Vec<f64> = own.iter().map(|j| probes[*j][k]).collect();
            let d: Vec<Vec<f64>> = own.iter().map(|j| vec![losses[*j] - losses[0]]).collect();
            let (parabola, _) = fit(&x, &d, Intercept::Pinned).unwrap();
            (parabola.slope, parabola.curvature)
        })
        .collect()
}

#[test]
fn golden_quadratics_are_reproduced() {
    let Some(file) = super::file("hessian_lr.json") else { return };
    let Some(cases) = section(&file, "quadratics") else { return };
    for value in cases {
        let name = value["name"].as_str().unwrap();
        let case = Case::of(value);
        let expected = &value["expected"];
        let model = Quadratic { slope: numbers(&expected["b"]), curvature: rows(&expected["A"]) };
        let probes = rows(&value["axis_probes"]);
        let losses = numbers(&value["axis_losses"]);
        for (probe, loss) in probes.iter().zip(&losses) {
            close(case.loss(probe), *loss, 1e-12, name);
        }
        let largest = losses.iter().fold(0.0f64, |a, l| a.max((l - losses[0]).abs()));
        for (k, (b, a)) in axis_fits(&probes, &losses).into_iter().enumerate() {
            let h = probes.iter().fold(0.0f64, |h, x| h.max(x[k].abs()));
            // Zeros are rounding of losses.
            let near = |got: f64, want: f64, unit: f64, what: &str| {
                let bound = 1e-9 * want.abs() + 1e-12 * (largest + losses[0].abs()) / unit;
                assert!((got - want).abs() <= bound, "{name}, {what} {k}: {got} and {want}");
            };
            near(b, model.slope[k], h, "slope");
            near(a, model.curvature[k][k], h * h, "curvature");
        }
        let random = rows(&value["random_probes"]);
        let differences: Vec<f64> =
            numbers(&value["random_losses"]).iter().map(|l| l - number(&value["loss0"])).collect();
        let diagonal = fit_diagonal(&random, &differences).unwrap();
        let want = &value["random_diag_fit"];
        for (k, (b, a)) in numbers(&want["b"]).into_iter().zip(numbers(&want["A_diag"])).enumerate()
        {
            let h = random.iter().fold(0.0f64, |h, x| h.max(x[k].abs()));
            let spread = differences.iter().fold(0.0f64, |m, d| m.max(d.abs()));
            let slack = 1e-11 * diagonal.condition * (spread + losses[0].abs());
            assert!((diagonal.slope[k] - b).abs() <= 1e-8 * b.abs() + slack / h, "{name} b {k}");
            assert!(
                (diagonal.curvature[k] - a).abs() <= 1e-8 * a.abs() + slack / h / h,
                "{name} a {k}"
            );
        }
        let diagonal = model.diagonal();
        let eta: Vec<Option<f64>> =
            expected["eta_diag"].as_array().unwrap().iter().map(optional).collect();
        for (k, (got, want)) in diagonal.iter().zip(&eta).enumerate() {
            assert_eq!(got.is_some(), want.is_some(), "{name} {k}");
            if let (Some(got), Some(want)) = (got, want) {
                close(*got, *want, 1e-9, name);
            }
        }
        let rates: Vec<f64> = diagonal.iter().map(|eta| eta.unwrap_or(0.0)).collect();
        let scale = model.joint_scale(&rates).unwrap();
        close(scale, number(&expected["joint_scale"]), 1e-9, name);
        let scaled: Vec<f64> = rates.iter().map(|r| scale * r).collect();
        close(model.decrease(&rates), number(&expected["decrease_diag"]), 1e-8, name);
        close(model.decrease(&scaled), number(&expected["decrease_diag_rescaled"]), 1e-8, name);
        if let Some(after) = optional(&value["loss_after_eta_diag"]) {
            close(case.loss(&rates), after, 1e-9, name);
        }
        match optional(&expected["eta_uniform"]) {
            Some(want) => {
                let got = model.uniform().unwrap();
                close(got, want, 1e-9, name);
                let all = vec![got; rates.len()];
                close(model.decrease(&all), number(&expected["decrease_uniform"]), 1e-8, name);
            }
            None => assert!(model.uniform().is_none_or(|rate| rate <= 0.0), "{name}"),
        }
        match expected["eta_full"].as_array() {
            Some(want) => {
                let got = model.minimizer(0.0).unwrap_or_else(|| panic!("{name}: no minimum"));
                for (got, want) in got.iter().zip(want) {
                    close(*got, number(want), 1e-6, name);
                }
                close(model.decrease(&got), number(&expected["decrease_full"]), 1e-8, name);
            }
            None => assert_eq!(model.minimizer(0.0), None, "{name}"),
        }
    }
}
