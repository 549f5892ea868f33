//! Saved models and their predictions.

use slope2::Design;
use slope2::estimator::Fitted;

use crate::program::Place;

const TRAIN: &str = "a,b,y\n1,5,no\n2,3,no\n3,4,yes\n4,1,no\n5,2,yes\n6,0,yes\n";

/// As the model file has them, outside the statement.
const CLASSES: &str = "\"classes\": [\n    \"no\",\n    \"yes\"\n  ]";

fn fitted() -> Place {
    let place = Place::new();
    place.write("t.csv", TRAIN);
    place.runs("slope fit t.csv --response y --family binomial --alpha 0.02");
    place
}

#[test]
fn columns_are_matched_by_name_and_others_are_named() {
    let place = fitted();
    place.write("new.csv", "id,b,a\nx,1,3\ny,2,9\n");
    let run = place.run("slope predict t.fit/model.json new.csv");
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(run.stderr, "note: columns that the model does not use: `id`\n");
    let model = place.json("t.fit/model.json");
    let library = Fitted::from_json(&model["fit"].to_string()).unwrap();
    let design = Design::from_columns(&[3.0, 9.0, 1.0, 2.0][..], 2, 2).unwrap();
    let want = library.predict(&design).unwrap();
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(
        lines,
        ["row,response".to_owned(), format!("1,{}", want[0]), format!("2,{}", want[1])]
    );
    let classes = place.runs("slope predict t.fit/model.json new.csv --kind class --out p.csv");
    assert_eq!(classes, "written to p.csv\n");
    assert_eq!(place.read("p.csv").lines().nth(2), Some("2,yes"));
    let link = place.runs("slope predict t.fit/model.json new.csv --kind link --json");
    let link: serde_json::Value = serde_json::from_str(&link).unwrap();
    assert_eq!((&link["format"], &link["version"]), (&"lethe-slope-predictions".into(), &1.into()));
    assert_eq!(link["statement"]["standardisation"]["scale"], "sd");
    assert_eq!(link["predictions"][0], library.predictor(&design).unwrap()[0]);
}

#[test]
fn missing_columns_and_wrong_models_are_refused() {
    let place = fitted();
    place.write("new.csv", "a,c\n1,2\n");
    place.refuses(
        "slope predict t.fit/model.json new.csv",
        1,
        "new.csv: expected the columns `b`, which are not there",
    );
    place.write("new.svm", "1 1:2\n");
    place.refuses(
        "slope predict t.fit/model.json new.svm",
        1,
        "new.svm: its columns have no names, and those of the model have",
    );
    let model = place.read("t.fit/model.json");
    for (from, to, message) in [
        (
            "\"version\": 1,\n  \"columns\"",
            "\"version\": 2,\n  \"columns\"",
            "m.json: expected version 1, got 2",
        ),
        (
            "lethe-slope-model",
            "another",
            "m.json: expected format `lethe-slope-model`, got `another`",
        ),
        (
            "\"slope2 fit\"",
            "\"x\"",
            "m.json: saved fit, line 0, column 0: expected format `slope2 fit`, got `x`",
        ),
        ("    \"b\"\n", "    \"b\", \"c\"\n", "m.json: expected 2 names of columns, got 3"),
        ("    \"b\"\n", "    \"a\"\n", "m.json: expected names of columns that differ, got `a`"),
        (CLASSES, "\"classes\": [\"no\"]", "m.json: expected 2 names of classes, got 1"),
        (CLASSES, "\"classes\": null", "m.json: expected 2 names of classes, got 0"),
        (
            CLASSES,
            "\"classes\": [\"no\", \"yes\", \"so\"]",
            "m.json: expected 2 names of classes, got 3",
        ),
        (
            CLASSES,
            "\"classes\": [\"no\", \"no\"]",
            "m.json: expected names of classes that differ, got `no`",
        ),
    ] {
        assert!(model.contains(from), "{from} in {model}");
        place.write("m.json", model.replace(from, to));
        place.write("new.csv", "a,b\n1,2\n");
        place.refuses("slope predict m.json new.csv", 1, message);
    }
    place.write("m.json", &model[..model.len() / 2]);
    let run = place.run("slope predict m.json new.csv");
    let begin = "error: m.json: expected a model that `lethe slope fit` wrote: ";
    assert!(run.code == 1 && run.stderr.starts_with(begin), "{}", run.stderr);
    let kind = "--kind class is for models of a binomial or multinomial response";
    place.write("g.csv", "a,b\n1,2\n2,3\n4,1\n");
    place.runs("slope fit g.csv --response b");
    place.refuses("slope predict g.fit/model.json g.csv --kind class", 2, kind);
}

/// Three cultivars of wine, from the vendored file.
#[test]
fn several_classes_have_coefficients_and_predictions_of_their_own() {
    let place = Place::new();
    let wine = crate::program::fixtures().join("data/uci-small/wine_data.csv");
    let data = format!("{} --skip-lines 1 --no-header", wine.display());
    let flags = "--response 14 --family multinomial --quiet";
    let text = place.runs(&format!("slope fit {data} {flags} --cv 5 --score misclass --out out"));
    assert!(text.contains("multinomial: 0 is `0`, 1 is `1`, 2 is `2`, the reference"), "{text}");
    assert!(text.contains("of 26 are not zero"), "13 columns, 2 linear predictors: {text}");
    let model = place.json("out/model.json");
    let library = Fitted::from_json(&model["fit"].to_string()).unwrap();
    assert_eq!((library.n_features(), library.n_predictors()), (13, 2));
    let csv = place.read("out/coefficients.csv");
    assert_eq!(csv.lines().count(), 1 + 2 + 26);
    assert!(csv.lines().any(|line| line.starts_with("x13,1,")), "{csv}");

    let found = place.runs(&format!("slope predict out/model.json {data} --kind class --quiet"));
    let truth = std::fs::read_to_string(&wine).unwrap();
    let truth = truth.lines().skip(1).map(|line| line.rsplit(',').next().unwrap());
    let found: Vec<&str> =
        found.lines().skip(1).map(|line| line.split(',').nth(1).unwrap()).collect();
    let wrong = truth.zip(&found).filter(|(truth, found)| truth != *found).count();
    assert!(found.len() == 178 && wrong < 9, "{wrong} of 178 wrong");
    let shares = place.runs(&format!("slope predict out/model.json {data} --quiet"));
    assert_eq!(shares.lines().next(), Some("row,0,1,2"));
    for line in shares.lines().skip(1) {
        let sum: f64 = line.split(',').skip(1).map(|x| x.parse::<f64>().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-12, "{line}");
    }
    let names = "\"classes\": [\n    \"0\",\n    \"1\",\n    \"2\"\n  ]";
    let model = place.read("out/model.json");
    for (n, other) in [(2, "[\"0\", \"1\"]"), (4, "[\"0\", \"1\", \"2\", \"3\"]")] {
        assert!(model.contains(names));
        place.write("m.json", model.replace(names, &format!("\"classes\": {other}")));
        let message = format!("m.json: expected 3 names of classes, got {n}");
        place.refuses(&format!("slope predict m.json {data}"), 1, &message);
    }
    for command in ["path", "grid --points 5 --ratios 0.5 --shares 0.2"] {
        place.runs(&format!("slope {command} {data} {flags} --out more"));
    }
    assert_eq!(
        place.json("more/path.json")["points"][1]["intercepts"].as_array().unwrap().len(),
        2
    );
}

#[test]
fn rows_to_predict_need_no_response() {
    use safetensors::tensor::{Dtype, TensorView};
    let place = Place::new();
    let bytes = |values: &[f64]| values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let (x, y) = (bytes(&[1.0, 0.5, 2.0, 1.5, 3.0, 0.0, 4.0, 1.0]), bytes(&[1.0, 2.5, 2.5, 4.5]));
    let x = TensorView::new(Dtype::F64, vec![4, 2], &x).unwrap();
    let y = TensorView::new(Dtype::F64, vec![4], &y).unwrap();
    let both = safetensors::serialize([("x", &x), ("y", &y)], None).unwrap();
    place.write("t.safetensors", both);
    place.write("new.safetensors", safetensors::serialize([("x", &x)], None).unwrap());
    place.runs("slope fit t.safetensors");
    let of = |file: &str| place.runs(&format!("slope predict t.fit/model.json {file}"));
    assert_eq!(of("new.safetensors"), of("t.safetensors"));
    let message = "new.safetensors: expected a tensor `y`, the response";
    place.refuses("slope fit new.safetensors", 1, message);
}
