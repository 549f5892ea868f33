//! Two thousand genes of 62 samples: the program's fit is that of the library, by any solver, from any format.

use slope2::data::{Table, tensors};
use slope2::estimator::{FamilyKind, PenaltyForm, Strength};
use slope2::{Binomial, Loss, Observations, Preparation, Slope2, TwoLevel, certify};

use crate::program::{Place, distance, fixtures, numbers};

const FILE: &str = "data/expression/colon_alon.safetensors";

/// The columns of a table, one after the other.
fn columns(table: &Table) -> Vec<Vec<f64>> {
    let design = table.design().unwrap();
    let column = |j: usize| {
        let (mut unit, mut out) = (vec![0.0; table.n_columns()], vec![0.0; table.n_rows()]);
        unit[j] = 1.0;
        design.apply(&unit, &mut out);
        out
    };
    (0..table.n_columns()).map(column).collect()
}

/// As CSV, with classes in words.
fn csv(table: &Table, y: &[f64]) -> String {
    let columns = columns(table);
    let mut text = format!("{},tissue\n", table.names().join(","));
    for (i, y) in y.iter().enumerate() {
        let cells: Vec<String> = columns.iter().map(|column| column[i].to_string()).collect();
        text += &format!("{},{}\n", cells.join(","), if *y == 0.0 { "normal" } else { "tumor" });
    }
    text
}

#[test]
fn colon_is_fitted_alike_by_program_and_library() {
    let file = fixtures().join(FILE);
    if !file.exists() {
        eprintln!("skipped: no file {}", file.display());
        return;
    }
    let table = tensors::open(&file).unwrap();
    let y = table.response().unwrap().numbers("0 or 1", |_| true).unwrap();
    let place = Place::new();
    place.write("colon.csv", csv(&table, &y));
    let rest =
        "--family binomial --ratio 0.5 --share 0.02 --alpha-fraction 0.2 --tolerance 1e-12 --quiet";
    place.runs(&format!("slope fit colon.csv --response tissue {rest}"));
    let model = place.json("colon.fit/model.json");
    assert_eq!(model["classes"], serde_json::json!(["normal", "tumor"]));
    let coefficients = numbers(&model["fit"]["coefficients"]);
    assert!(coefficients.iter().any(|b| *b != 0.0));

    // The library.
    let design = table.design().unwrap();
    let slope = Slope2::builder()
        .family(FamilyKind::Binomial)
        .penalty(PenaltyForm::TwoLevel { ratio: 0.5, share: 0.02 })
        .strength(Strength::Relative(0.2))
        .tolerance(1e-12)
        .build()
        .unwrap();
    let fit = slope.fit(&design, &y).unwrap();
    assert_eq!(fit.standardized_coefficients(), coefficients, "the same bits");

    // The certificate, by code that knows no solver.
    let (l1, l2) = (&model["penalty"]["lambda1"], &model["penalty"]["lambda2"]);
    let k = usize::try_from(model["penalty"]["k"].as_u64().unwrap()).unwrap();
    assert_eq!(k, 40, "a fiftieth of 2000");
    let penalty = TwoLevel::new(l1.as_f64().unwrap(), l2.as_f64().unwrap(), k, 2000).unwrap();
    let observations =
        Observations { design: &design, y: &y, weights: None, loss: Loss::Of(&Binomial) };
    let intercept = model["fit"]["intercepts"][0].as_f64().unwrap();
    let certificate = observations
        .with_problem(&Preparation::default(), |problem| {
            certify(&problem.with_penalty(penalty), &[intercept], &coefficients)
        })
        .unwrap();
    assert!(certificate.holds(1e-12), "{certificate:?}");

    // Another solver, and the file as it is.
    for (arguments, tolerance) in [("--solver clusters", 1e-8), ("", 0.0)] {
        place.runs(&format!("slope fit {} {rest} {arguments} --out other", file.display()));
        let other = place.json("other/model.json");
        let apart = distance(&numbers(&other["fit"]["coefficients"]), &coefficients);
        assert!(apart <= tolerance, "{arguments}: {apart}");
    }
}
