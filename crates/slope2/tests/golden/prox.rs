//! `slope_prox.json`: proximal maps, norms and dual norms.

use slope2::{DualNorm, SortedL1, TwoLevel};

use report::golden::{count, number, numbers, optional, section};

use super::file;

const TOLERANCE: f64 = 1e-12;

/// Agreement relative to the largest magnitude that went in.
fn check(name: &str, what: &str, got: f64, want: f64, scale: f64) {
    let error = (got - want).abs();
    assert!(error <= TOLERANCE * scale, "{name}: {what} {got}, expected {want}");
}

#[test]
fn golden_prox_norm_and_dual_norm() {
    let Some(file) = file("slope_prox.json") else { return };
    let Some(cases) = section(&file, "cases") else { return };
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let (v, want) = (numbers(&case["v"]), numbers(&case["prox"]));
        let two = case.get("two_level").map(|two| {
            let (l1, l2) = (number(two, "/lambda1"), number(two, "/lambda2"));
            TwoLevel::new(l1, l2, count(two, "/k"), v.len()).unwrap()
        });
        let sequence = match &two {
            Some(two) => two.sequence(),
            None => numbers(&case["lambda"]),
        };
        let general = SortedL1::new(sequence).unwrap();
        let mut penalties: Vec<(&str, &dyn DualNorm)> = vec![("general", &general)];
        penalties.extend(two.iter().map(|two| ("two levels", two as &dyn DualNorm)));
        let scale = v.iter().fold(1.0, |top: f64, v| top.max(v.abs()));
        for (form, penalty) in penalties {
            let name = format!("{name}, {form}");
            let mut z = v.clone();
            penalty.prox(&mut z, 1.0).unwrap();
            for (j, (got, want)) in z.iter().zip(&want).enumerate() {
                check(&name, &format!("prox at {j}"), *got, *want, scale);
            }
            let norm = number(case, "/norm");
            check(&name, "norm", penalty.value(&v), norm, 1.0f64.max(norm));
            if let Some(dual) = optional(case, "/dual_norm") {
                check(&name, "dual norm", penalty.dual_norm(&v), dual, 1.0f64.max(dual));
            }
        }
        if let (Some(two), Some(h)) = (two, optional(case, "/h")) {
            let got = two.prox_with_height(&mut v.clone(), 1.0, 0.0).unwrap();
            // Where no magnitude lies in the window, every height in a gap is one.
            let width = two.lambda1() - two.lambda2();
            let excess = |h: f64| -> f64 {
                v.iter().map(|v| (v.abs() - two.lambda2() - h).clamp(0.0, width)).sum()
            };
            let inside = |h: f64| {
                v.iter().any(|v| (1e-9 * scale..width).contains(&(v.abs() - two.lambda2() - h)))
            };
            if inside(got) || inside(h) {
                check(name, "height", got, h, scale);
            } else {
                check(name, "excess", excess(got), excess(h), width.max(1.0));
            }
        }
    }
}
