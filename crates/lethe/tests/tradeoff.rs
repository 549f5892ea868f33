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
