//! What fits, paths and grids say, and that it is the same by different ways.

use serde_json::Value;

use crate::program::{Place, distance, numbers, table};

fn place() -> Place {
    let place = Place::new();
    place.write("t.csv", table(60, 8));
    place
}

fn coefficients(model: &Value) -> Vec<f64> {
    numbers(&model["fit"]["coefficients"])
}

/// What every JSON must say.
fn check_statement(value: &Value) {
    let statement = &value["statement"];
    for pointer in [
        "/standardisation/center",
        "/standardisation/scale",
        "/standardisation/in_words",
        "/loss/scale",
        "/loss/in_words",
        "/family",
        "/solver/method",
        "/written_by",
        "/data/response",
    ] {
        assert!(
            statement.pointer(pointer).is_some_and(Value::is_string),
            "{pointer} in {statement}"
        );
    }
    assert!(statement["intercept"].is_boolean());
    assert!(value["format"].as_str().unwrap().starts_with("lethe-slope-"));
    assert_eq!(value["version"], 1);
    assert!(value.get("seed").is_some_and(|seed| seed.is_null() || seed.is_u64()));
    assert_eq!(value["penalty"]["rounding"], "k = round(share p), at least 1 for a share above 0");
}

#[test]
fn a_fit_by_cross_validation_leaves_all_files_and_its_seed() {
    let place = place();
    let text =
        place.runs("slope fit t.csv --response y --cv 5 --repeats 2 --seed 7 --one-se --quiet");
    for part in [
        "standard deviation (divisor n)",
        "1/(2n) sum",
        "k = round(share p)",
        "5 folds, 2 times, seed 7",
        "duality gap",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let names = crate::program::names(&place.path("t.fit"));
    assert_eq!(
        names,
        [
            "coefficients.csv",
            "coefficients.svg",
            "cv.svg",
            "model.json",
            "path.svg",
            "report.html",
            "sizes.svg"
        ]
    );
    let model = place.json("t.fit/model.json");
    check_statement(&model);
    assert_eq!(model["seed"], 7);
    assert_eq!(model["strength"]["rule"], "strongest within one standard error of the best");
    let selection = &model["selection"];
    let chosen = usize::try_from(selection["one_standard_error"].as_u64().unwrap()).unwrap();
    assert_eq!(selection["alphas"][chosen], model["strength"]["alpha"]);
    assert!(selection["one_standard_error"].as_u64() <= selection["best"].as_u64());
    // Without folds, their plots would tell of another fit.
    place.runs("slope fit t.csv --response y");
    assert!(!crate::program::names(&place.path("t.fit")).contains(&"cv.svg".to_owned()));
}

#[test]
fn results_do_not_depend_on_threads_and_json_is_the_model() {
    let place = place();
    let one = place.runs("slope fit t.csv --response y --cv 4 --json --threads 1 --quiet");
    let two = place.runs("slope fit t.csv --response y --cv 4 --json --threads 2 --quiet");
    assert_eq!(one, two);
    assert_eq!(one, place.read("t.fit/model.json"));
}

#[test]
fn scalings_and_criteria_mean_what_they_say() {
    let place = place();
    let fit = |flags: &str| {
        place.runs(&format!("slope fit t.csv --response y --tolerance 1e-13 --quiet {flags}"));
        place.json("t.fit/model.json")
    };
    let mean = fit("--lambda1 0.02 --lambda2 0.01 --k 2");
    let sum = fit("--lambda1 1.2 --lambda2 0.6 --k 2 --loss-scale sum");
    assert!(distance(&coefficients(&mean), &coefficients(&sum)) < 1e-9, "n = 60 times the penalty");
    let same = fit("--alpha 0.02 --ratio 0.5 --share 0.25 --solver fista");
    assert!(distance(&coefficients(&mean), &coefficients(&same)) < 1e-5);
    let none = fit("--alpha 0.02 --center none --scale none --no-intercept");
    assert_eq!(none["statement"]["standardisation"]["in_words"], "columns as they are");
    assert_eq!(none["fit"]["intercepts"][0], 0.0);
    for scale in ["l1", "l2", "range", "max-abs"] {
        assert_eq!(
            fit(&format!("--center min --scale {scale}"))["statement"]["standardisation"]["scale"],
            scale
        );
    }
    for criterion in ["aic", "bic", "ebic", "gcv"] {
        let model = fit(&format!("--criterion {criterion}"));
        assert_eq!(model["strength"]["by"], criterion);
        let values = numbers(&model["selection"]["values"]);
        let best = usize::try_from(model["selection"]["best"].as_u64().unwrap()).unwrap();
        assert!(values.iter().all(|v| values[best] <= *v));
    }
    for penalty in ["lasso", "bh", "gaussian", "oscar"] {
        assert_eq!(fit(&format!("--penalty {penalty}"))["penalty"]["form"], penalty);
    }
    assert_eq!(fit("--penalty gaussian --noise")["strength"]["by"], "estimated noise");
}

#[test]
fn weights_and_groups_are_columns() {
    let place = Place::new();
    let rows = |twice: bool| {
        let mut text = String::from("a,b,y,w,g\n");
        for i in 0..24 {
            let (a, b) = (f64::from(i % 7), f64::from(i * i % 11));
            let row = format!("{a},{b},{},", a - 0.5 * b + f64::from(i % 3));
            let g = i / 4;
            match (i % 2 == 0, twice) {
                (true, true) => text += &format!("{row}1,{g}\n{row}1,{g}\n"),
                (true, false) => text += &format!("{row}2,{g}\n"),
                (false, _) => text += &format!("{row}1,{g}\n"),
            }
        }
        text
    };
    place.write("w.csv", rows(false));
    place.write("r.csv", rows(true));
    let flags = "--response y --ignore g --alpha 0.1 --tolerance 1e-13";
    place.runs(&format!("slope fit w.csv {flags} --weights w"));
    place.runs(&format!("slope fit r.csv {flags} --ignore w"));
    let of = |name: &str| coefficients(&place.json(&format!("{name}.fit/model.json")));
    assert!(distance(&of("w"), &of("r")) < 1e-9, "a weight of 2 is a row twice");
    let text = place.runs("slope fit w.csv --response y --weights w --cv 3 --groups g --quiet");
    assert!(text.contains("3 folds of groups by `g`, seed 0"), "{text}");
    place.refuses(
        "slope fit w.csv --response y --cv 7 --groups g --ignore w --quiet",
        1,
        "folds: expected at least 2 and at most the number of rows or groups, got 7",
    );
}

#[test]
fn sparse_and_dense_files_have_one_fit() {
    let place = Place::new();
    let (mut dense, mut sparse) = (String::from("x1,x2,x3,class\n"), String::new());
    for i in 0..40i32 {
        let (a, b, c) = (i % 3, (i * i) % 5, i % 2 * (i % 7));
        let class = if (a + b + i % 4) % 3 == 0 { "-1" } else { "+1" };
        dense += &format!("{a},{b},{c},{class}\n");
        sparse += &format!("{class} 1:{a} 2:{b} 3:{c} # row {i}\n");
    }
    place.write("d.csv", dense);
    place.write("s.svm", sparse);
    place.runs("slope fit d.csv --response class --family binomial --tolerance 1e-12");
    let text = place.runs("slope fit s.svm --family binomial --tolerance 1e-12");
    assert!(
        text.contains("sparse") && text.contains("`label`, binomial: 0 is `-1`, 1 is `1`"),
        "{text}"
    );
    let (d, s) = (place.json("d.fit/model.json"), place.json("s.fit/model.json"));
    assert!(distance(&coefficients(&d), &coefficients(&s)) < 1e-8);
    assert_eq!(d["columns"], s["columns"]);
}

#[test]
fn a_path_says_where_the_cluster_is() {
    let place = place();
    let text = place.runs("slope path t.csv --response y --points 30 --share 0.3 --whole --quiet");
    assert!(text.contains("30 from alpha_max = "), "{text}");
    let path = place.json("t.path/path.json");
    check_statement(&path);
    let points = path["points"].as_array().unwrap();
    assert_eq!(points.len(), 30);
    assert_eq!(points[0]["nonzero"], serde_json::json!([]));
    let widest = points.iter().map(|point| point["nonzero"].as_array().unwrap().len()).max();
    assert_eq!(widest, Some(8), "all columns at the end");
    assert!(
        points.iter().all(|point| point["certificate"]["relative_gap"].as_f64().unwrap() <= 1e-8)
    );
    let svg = place.read("t.path/path.svg");
    let clustered = points.iter().any(|point| !point["cluster"].is_null());
    assert_eq!(clustered, svg.contains("cluster of"));
    assert_eq!(place.read("t.path/path.csv").lines().count(), 31);
}

#[test]
fn a_grid_counts_its_fits_and_its_best_cell_is_a_model() {
    let place = place();
    for selection in ["--criterion bic", "--cv 3"] {
        let text = place.runs(&format!(
            "slope grid t.csv --response y --points 6 --ratios 0,0.5,1 --shares 0.2,0.5 {selection} --quiet"
        ));
        assert!(text.contains("36 cells: "), "{text}");
        let grid = place.json("t.grid/grid.json");
        check_statement(&grid);
        let cells = grid["cells"].as_array().unwrap();
        let of = |name: &str| usize::try_from(grid[name].as_u64().unwrap()).unwrap();
        assert_eq!((cells.len(), of("n_cells")), (36, 36));
        assert!(of("n_lasso_fits") + of("n_cell_fits") < 36, "cells share solutions");
        let name = if selection.contains("bic") { "bic" } else { "mse" };
        let best = &cells[of("best")];
        assert!(cells.iter().all(|cell| best[name].as_f64() <= cell[name].as_f64()));
        let model = place.json("t.grid/model.json");
        check_statement(&model);
        assert!(
            (model["penalty"]["lambda1"].as_f64().unwrap() / best["lambda1"].as_f64().unwrap()
                - 1.0)
                .abs()
                < 1e-12
        );
        assert_eq!(model["penalty"]["k"], best["k"]);
        place.runs("slope predict t.grid/model.json t.csv");
    }
}

#[test]
fn the_chosen_cell_is_marked_where_it_is_not_the_best_of_its_shape() {
    let place = place();
    let flags = "--points 12 --ratios 0.5,1 --shares 0.25 --cv 5 --quiet";
    for rule in ["", "--one-se"] {
        let text = place.runs(&format!("slope grid t.csv --response y {flags} {rule}"));
        let marked: Vec<&str> = text.lines().filter(|line| line.contains("chosen ")).collect();
        assert_eq!(marked.len(), 1, "{text}");
        let grid = place.json("t.grid/grid.json");
        let best = usize::try_from(grid["best"].as_u64().unwrap()).unwrap();
        let lambda1 = grid["cells"][best]["lambda1"].as_f64().unwrap();
        let found = marked[0]
            .split_whitespace()
            .any(|cell| cell.parse::<f64>().is_ok_and(|x| (x / lambda1 - 1.0).abs() < 1e-3));
        assert!(found, "lambda1 = {lambda1} in {}", marked[0]);
        // Two shapes, and the choice beside the best of its shape.
        let rows = text.lines().filter(|line| line.contains("±") && !line.contains("lambda1 ="));
        assert_eq!(rows.count(), if rule.is_empty() { 2 } else { 3 }, "{text}");
    }
}
