//! Trade-off curves and proposals.

use crate::program::Place;

#[test]
fn curves_are_those_of_theory_in_their_order() {
    let place = Place::new();
    let text = place.runs("slope tradeoff --delta 0.3 --eps 0.2 --points 5 --quiet");
    assert!(text.contains("selects at most 0.567603 of the signals"), "{text}");
    let all = place.json("tradeoff/tradeoff.json");
    assert!((all["donoho_tanner"]["u_star"].as_f64().unwrap() - 0.567_603_328_799_0).abs() < 1e-12);
    let curves = all["curves"].as_array().unwrap();
    assert_eq!(curves.len(), 5);
    for point in curves {
        let of = |name: &str| point[name].as_f64();
        let (two, upper) = (of("two_level").unwrap(), of("slope_upper").unwrap());
        assert!(two <= upper + 1e-9);
        assert_eq!(of("lasso").is_none(), 0.5676 < of("tpp").unwrap());
        assert!(of("lasso").is_none_or(|lasso| two <= lasso + 1e-9));
    }
    assert!(place.read("tradeoff/tradeoff.svg").contains("Donoho-Tanner"));
    place.refuses(
        "slope tradeoff --delta 0 --eps 0.2",
        1,
        "delta: expected positive and finite, got 0",
    );
}

#[test]
fn a_proposal_holds_its_target() {
    let place = Place::new();
    let text = place
        .runs("slope design --delta 0.8 --eps 0.4 --variance 1 --noise 1 --target-fdp 0.3 --json");
    let all: serde_json::Value = serde_json::from_str(&text).unwrap();
    let (two, lasso) = (&all["proposal"], &all["lasso"]);
    assert!(two["fdp"].as_f64().unwrap() <= 0.3 + 1e-6);
    assert!(lasso["tpp"].as_f64() <= two["tpp"].as_f64());
}

/// The penalty of the sum over columns of norm 1 is that of the mean over columns of deviation 1, times sqrt(n).
#[test]
fn the_scaling_of_a_proposal_is_that_of_two_fits() {
    let place = Place::new();
    place.write("t.csv", crate::program::table(100, 5));
    let fit = |flags: &str| {
        place
            .runs(&format!("slope fit t.csv --response y --k 2 --tolerance 1e-13 {flags} --quiet"));
        let csv = place.read("t.fit/coefficients.csv");
        let second = |line: &str| line.split(',').nth(2).unwrap().parse::<f64>().unwrap();
        csv.lines().skip(1).map(second).collect::<Vec<f64>>()
    };
    let sum = fit("--lambda1 0.8 --lambda2 0.4 --scale l2 --loss-scale sum");
    let mean = fit("--lambda1 0.08 --lambda2 0.04");
    assert!(crate::program::distance(&sum, &mean) < 1e-9, "{sum:?} and {mean:?}");
}
