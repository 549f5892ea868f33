//! Section `logistic` of `hessian_lr.json`: losses of logistic regressions, whose Hessian is known.

use hessian_lr::fit::{Quadratic, axis_probes, corner_probes, fit_diagonal, fit_full};
use report::golden::section;
use serde_json::Value;

use super::{Line, close, number, numbers, optional, rows};

struct Logistic {
    x: Vec<Vec<f64>>,
    y: Vec<f64>,
    l2: f64,
    line: Line,
}

impl Logistic {
    fn of(value: &Value) -> Self {
        Logistic {
            x: rows(&value["X"]),
            y: numbers(&value["y"]),
            l2: number(&value["l2"]),
            line: Line::of(value),
        }
    }

    fn loss(&self, rates: &[f64]) -> f64 {
        let w = self.line.at(rates);
        let one = |(x, y): (&Vec<f64>, &f64)| {
            let z: f64 = x.iter().zip(&w).map(|(x, w)| x * w).sum();
            // ln(1 + e^z) - y z
            z.max(0.0) + (-z.abs()).exp().ln_1p() - y * z
        };
        let mean = self.x.iter().zip(&self.y).map(one).sum::<f64>() / self.y.len() as f64;
        mean + 0.5 * self.l2 * w.iter().map(|w| w * w).sum::<f64>()
    }
}

#[test]
fn golden_logistic_regressions_are_reproduced() {
    let Some(file) = super::file("hessian_lr.json") else { return };
    let Some(cases) = section(&file, "logistic") else { return };
    for value in cases {
        let name = value["name"].as_str().unwrap();
        let case = Logistic::of(value);
        let expected = &value["expected"];
        let exact = Quadratic { slope: numbers(&expected["b"]), curvature: rows(&expected["A"]) };
        for fit in value["fits"].as_array().unwrap() {
            let scheme = fit["scheme"].as_str().unwrap();
            let relative = number(&fit["relative_step"]);
            let probes = rows(&fit["probes"]);
            let losses = numbers(&fit["losses"]);
            for (probe, loss) in probes.iter().zip(&losses) {
                close(case.loss(probe), *loss, 1e-12, name);
            }
            let multipliers: &[f64] =
                if scheme == "three_point" { &[-1.0, 1.0] } else { &[-2.0, -1.0, 1.0, 2.0] };
            let scales: Vec<f64> =
                exact.diagonal().iter().map(|eta| relative * eta.unwrap()).collect();
            let own = axis_probes(&scales, multipliers);
            assert_eq!(own.len(), probes.len(), "{name} {scheme}");
            for (own, theirs) in own.iter().flatten().zip(probes.iter().flatten()) {
                close(*own, *theirs, 1e-9, "probe");
            }
            let differences: Vec<f64> = losses.iter().map(|l| l - losses[0]).collect();
            let found = fit_diagonal(&probes, &differences).unwrap();
            assert_eq!(fit["rank"], fit["columns"]);
            // What rounding of the losses may do to a curvature at this step.
            for (k, (b, a)) in
                numbers(&fit["b"]).into_iter().zip(numbers(&fit["A_diag"])).enumerate()
            {
                let h = scales[k];
                close(found.slope[k], b, 1e-5, name);
                let slack = 8.0 * f64::EPSILON * losses[0] / h / h;
                let bound = 1e-5 * a.abs() + slack;
                assert!((found.curvature[k] - a).abs() <= bound, "{name} {scheme} {relative} {k}");
            }
        }
        let full = &value["full_fit"];
        let (probes, losses) = (rows(&full["probes"]), numbers(&full["losses"]));
        let differences: Vec<f64> = losses.iter().map(|l| l - losses[0]).collect();
        let found = fit_full(&probes, &differences).unwrap();
        let scales: Vec<f64> = (0..exact.slope.len())
            .map(|k| probes.iter().fold(0.0f64, |h, x| h.max(x[k].abs())))
            .collect();
        let mut own = axis_probes(&scales, &[-1.0, 1.0]);
        own.extend(corner_probes(&scales));
        assert_eq!(own, probes, "{name}");
        let want = rows(&full["A"]);
        for (k, b) in numbers(&full["b"]).into_iter().enumerate() {
            close(found.slope[k], b, 1e-5, name);
            for l in 0..want.len() {
                let slack = 8.0 * f64::EPSILON * losses[0] / scales[k] / scales[l];
                let bound = 1e-5 * want[k][l].abs() + slack;
                assert!((found.curvature[k][l] - want[k][l]).abs() <= bound, "{name} A {k} {l}");
                // And near the Hessian itself, as far as steps of a hundredth let it be.
                let truth = exact.curvature[k][l];
                let size = (exact.curvature[k][k] * exact.curvature[l][l]).sqrt();
                assert!((found.curvature[k][l] - truth).abs() <= 0.02 * size, "{name} H {k} {l}");
            }
        }
        for (got, want) in exact.diagonal().iter().zip(expected["eta_diag"].as_array().unwrap()) {
            close(got.unwrap(), optional(want).unwrap(), 1e-9, name);
        }
        let got = exact.minimizer(0.0).unwrap();
        for (got, want) in got.iter().zip(expected["eta_full"].as_array().unwrap()) {
            close(*got, number(want), 1e-6, name);
        }
    }
}
