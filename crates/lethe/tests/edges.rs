//! Data at the edge of what can be fitted.

use crate::program::{Place, numbers, table};

fn coefficients(place: &Place) -> Vec<f64> {
    numbers(&place.json("t.fit/model.json")["fit"]["coefficients"])
}

#[test]
fn a_constant_column_has_no_coefficient_and_is_named() {
    let place = Place::new();
    place.write("t.csv", "a,b,y\n1,7,1.1\n2,7,1.9\n3,7,3.2\n4,7,3.9\n");
    let run = place.run("slope fit t.csv --response y");
    assert_eq!(run.code, 0);
    assert_eq!(run.stderr, "note: constant columns, whose coefficients are zero: `b`\n");
    let found = coefficients(&place);
    assert!(0.0 < found[0] && found[1] == 0.0, "{found:?}");
    let constant = &place.json("t.fit/model.json")["statement"]["data"]["constant_columns"];
    assert_eq!(constant, &serde_json::json!(["b"]));
}

#[test]
fn one_row_or_a_constant_response_leave_nothing_to_explain() {
    let place = Place::new();
    for text in ["a,b,y\n1,2,3\n", "a,b,y\n1,2,3\n5,1,3\n2,2,3\n"] {
        place.write("t.csv", text);
        place.runs("slope fit t.csv --response y");
        assert_eq!(coefficients(&place), [0.0, 0.0]);
        let model = place.json("t.fit/model.json");
        assert_eq!(model["fit"]["intercepts"][0], 3.0);
        place.runs("slope path t.csv --response y");
        assert_eq!(place.json("t.path/path.json")["points"].as_array().unwrap().len(), 1);
    }
    place.runs("slope fit t.csv --response y --cv 2");
}

#[test]
fn one_column_is_a_lasso() {
    let place = Place::new();
    place.write("t.csv", "a,y\n1,2\n2,4.5\n3,5.5\n4,8\n");
    for penalty in ["two-level", "lasso", "bh", "oscar"] {
        place.runs(&format!(
            "slope fit t.csv --response y --alpha-fraction 0.5 --penalty {penalty}"
        ));
        // Half the strength that makes it zero leaves half of least squares: covariance 2.375, deviation of a sqrt(1.25).
        let want = 0.5 * 2.375 / 1.25f64.sqrt();
        assert!(
            (coefficients(&place)[0] - want).abs() < 1e-9,
            "{penalty}: {:?}",
            coefficients(&place)
        );
    }
}

#[test]
fn separable_classes_have_a_finite_fit_under_any_penalty() {
    let place = Place::new();
    let rows = (0..20).map(|i| format!("{i},{},{}\n", i % 3, if i < 10 { "low" } else { "high" }));
    place.write("t.csv", format!("a,b,y\n{}", rows.collect::<String>()));
    place.runs("slope fit t.csv --response y --family binomial --alpha-fraction 0.01");
    let found = coefficients(&place);
    assert!(found[0] < 0.0, "`high` is 0, `low` is 1: {found:?}");
    let run = place.run("slope fit t.csv --response y --family binomial --alpha-fraction 1e-7");
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    assert!(coefficients(&place).iter().all(|b| b.is_finite()));
}

#[test]
fn a_fit_that_is_not_finished_is_written_and_told() {
    let place = Place::new();
    // A weak penalty on more columns than rows: far from its gap after one step, whatever rounding does.
    place.write("t.csv", table(40, 60));
    let run = place
        .run("slope fit t.csv --response y --solver fista --max-iters 1 --alpha-fraction 0.001");
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.starts_with("note: the solver ended ("), "{}", run.stderr);
    assert_eq!(place.json("t.fit/model.json")["converged"], false);
}

#[test]
fn a_choice_at_an_end_of_the_path_is_told() {
    let place = Place::new();
    place.write("t.csv", table(60, 3));
    // Two independent columns.
    let run = place.run("slope fit t.csv --response c2 --ignore y --ignore c0 --cv 5 --quiet");
    let none = "note: no column helps: the best strength leaves all coefficients at zero\n";
    assert_eq!((run.code, run.stderr.as_str()), (0, none));
    assert_eq!(coefficients(&place), [0.0]);
    let run = place.run("slope fit t.csv --response y --cv 5 --quiet --last 0.5 --points 5");
    let weak = "note: the weakest penalty is the best; --last may go lower\n";
    assert_eq!((run.code, run.stderr.as_str()), (0, weak));
}

/// Noise alone, with more columns than rows.
fn wide(n: usize, p: usize) -> String {
    let text = table(n, p + 1);
    // A column without a part in the response stands for it.
    text.lines().fold(String::new(), |all, line| {
        let (rest, _) = line.rsplit_once(',').unwrap();
        let (rest, last) = rest.rsplit_once(',').unwrap();
        let last = if last.starts_with('c') { "y" } else { last };
        all + rest + "," + last + "\n"
    })
}

#[test]
fn criteria_leave_out_fits_that_follow_noise_and_say_so() {
    let place = Place::new();
    place.write("t.csv", wide(50, 200));
    let why = "left out, with more than 25 degrees of freedom";
    for criterion in ["bic", "ebic", "gcv"] {
        place.runs(&format!("slope fit t.csv --response y --criterion {criterion} --quiet"));
        let model = place.json("t.fit/model.json");
        let values = model["selection"]["values"].as_array().unwrap();
        assert!(values.iter().all(|v| v.is_f64() || v == "left out"), "{values:?}");
        assert!(values.iter().any(|v| v == "left out"));
        let size = coefficients(&place).iter().filter(|b| **b != 0.0).count();
        assert!(criterion == "gcv" || size <= 1, "{criterion}: {size} columns");
    }
    let text = place.runs("slope fit t.csv --response y --criterion bic --quiet");
    assert!(text.contains(why), "{text}");
    let text = place.runs("slope path t.csv --response y --quiet");
    assert!(text.contains(why), "{text}");
    let point = &place.json("t.path/path.json")["points"];
    let last = point.as_array().unwrap().last().unwrap();
    assert_eq!((&last["bic"], &last["gcv"]), (&"left out".into(), &"left out".into()));
    let text = place
        .runs("slope grid t.csv --response y --points 12 --ratios 0,1 --shares 0.1,0.5 --quiet");
    assert!(text.contains(why), "{text}");
    let grid = place.json("t.grid/grid.json");
    let cells = grid["cells"].as_array().unwrap();
    assert!(cells.iter().all(|cell| cell["bic"].is_f64() || cell["bic"] == "left out"));
    let model = place.json("t.grid/model.json");
    let size = numbers(&model["fit"]["coefficients"]).iter().filter(|b| **b != 0.0).count();
    assert!(size <= 1, "{size} columns for noise");
}

#[test]
fn a_criterion_of_fits_that_leave_nothing_is_a_word() {
    let place = Place::new();
    place.write("t.csv", "a,b,y\n1,2,3\n5,1,3\n2,2,3\n");
    place.runs("slope path t.csv --response y");
    let point = &place.json("t.path/path.json")["points"][0];
    assert_eq!((&point["aic"], &point["gcv"]), (&"exact".into(), &serde_json::json!(0.0)));
}

#[test]
fn the_end_of_estimating_the_noise_is_told() {
    let place = Place::new();
    place.write("t.csv", table(60, 8));
    let run = place.run("slope fit t.csv --response y --penalty bh --noise --quiet");
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    assert!(run.stdout.contains("from the noise: standard deviation "), "{}", run.stdout);
    assert!(run.stdout.contains(" rounds, settled\n"), "{}", run.stdout);
    let strength = place.json("t.fit/model.json")["strength"].clone();
    let rounds = numbers(&strength["rounds"]);
    assert_eq!(strength["end"], "settled");
    assert_eq!(strength["noise_std"].as_f64(), rounds.last().copied());
    // Uniform noise of width 0.3; the relative standard error of its deviation is at most 1 / sqrt(2 * 50).
    let want = 0.3 / 12f64.sqrt();
    assert!((rounds[rounds.len() - 1] - want).abs() < 0.4 * want, "{rounds:?}");
    place.write("e.csv", "a,y\n1,2\n2,4\n3,6\n4,8\n5,10\n6,12\n7,14\n8,16\n");
    let run = place.run("slope fit e.csv --response y --penalty bh --noise --quiet");
    let note = "note: the columns that were found explain the response exactly; the noise is the last estimate above zero\n";
    assert_eq!((run.code, run.stderr.as_str()), (0, note), "{}", run.stdout);
    assert_eq!(place.json("e.fit/model.json")["strength"]["end"], "exact");
}

#[test]
fn a_fold_without_one_of_the_classes_is_named() {
    let place = Place::new();
    let row =
        |i: i32| format!("{},{},{},{}\n", i % 7, i % 5, i / 5, if i == 3 { "b" } else { "a" });
    place.write("t.csv", "u,v,g,y\n".to_owned() + &(0..20).map(row).collect::<String>());
    for flags in ["--cv 4 --ignore g", "--cv 4 --groups g"] {
        let run =
            place.run(&format!("slope fit t.csv --response y --family binomial {flags} --quiet"));
        let part = " of repeat 1, the rows that are fitted: a class without observations, ";
        assert_eq!(run.code, 1, "{}", run.stderr);
        assert!(run.stderr.starts_with("error: fold "), "{}", run.stderr);
        assert!(run.stderr.contains(part), "{}", run.stderr);
    }
    let weights = |i: i32| format!("{},{},{}\n", i % 7, i % 5, i32::from(i != 4));
    place.write("w.csv", "u,y,w\n".to_owned() + &(0..20).map(weights).collect::<String>());
    let run = place.run("slope fit w.csv --response y --weights w --cv 20 --quiet");
    assert_eq!(run.code, 1, "{}", run.stderr);
    let part = " of repeat 1, the rows that are held out: score mse: the rows have no weight\n";
    assert!(run.stderr.starts_with("error: fold ") && run.stderr.ends_with(part), "{}", run.stderr);
}
