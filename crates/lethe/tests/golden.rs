//! Section `real` of `slope_solutions.json` from the command line, on the same scaling.

use report::golden::{array, count, file, number, numbers, section, text};

use crate::program::{Place, distance, fixtures};

#[test]
fn golden_fits_of_the_vendored_files() {
    let Some(file) = file(fixtures().join("golden"), "slope_solutions.json") else { return };
    let Some(rows) = section(&file, "real") else { return };
    let (place, data) = (Place::new(), fixtures().join("data/uci-small"));
    let data = data.display();
    for (i, row) in rows.iter().enumerate() {
        let input = match text(row, "/family") {
            "gaussian" => format!(
                "{data}/diabetes_data_raw.csv.gz --no-header --delimiter space \
                 --response-file {data}/diabetes_target.csv.gz"
            ),
            _ => format!(
                "{data}/breast_cancer.csv --skip-lines 1 --no-header --response 31 --family binomial"
            ),
        };
        let (lambda1, lambda2) = (number(row, "/lambda1"), number(row, "/lambda2"));
        let levels = format!("--lambda1 {lambda1} --lambda2 {lambda2} --k {}", count(row, "/k"));
        let run =
            place.run(&format!("slope fit {input} {levels} --tolerance 1e-14 --out out --quiet"));
        // Rounding may keep a gap above 1e-14, which is told and no failure.
        assert!([0, 3].contains(&run.code), "row {i}: {}", run.stderr);
        let model = place.json("out/model.json");
        assert_eq!(text(&model, "/statement/standardisation/center"), "mean");
        assert_eq!(text(&model, "/statement/standardisation/scale"), "sd");
        assert_eq!(text(&model, "/statement/loss/scale"), "mean");
        assert!(["diabetes_target", "x31"].contains(&text(&model, "/response")));
        let primal = number(row, "/primal");
        let gap = number(&model, "/certificate/gap");
        assert!((number(&model, "/certificate/primal") - primal).abs() < 1e-10 * primal, "row {i}");
        assert!(gap.abs() < 1e-10 * primal, "row {i}: gap {gap}");
        let want = numbers(&row["coef"]);
        let scale = want.iter().fold(1.0, |top: f64, b| top.max(b.abs()));
        let apart = distance(&numbers(&model["fit"]["coefficients"]), &want);
        assert!(apart < 1e-7 * scale, "row {i}: coefficients differ by {apart}");
        let apart = number(&model, "/fit/intercepts/0") - number(row, "/intercept_value");
        assert!(apart.abs() < 1e-7 * scale, "row {i}: intercepts differ by {apart}");
        assert_eq!(array(&model["columns"]).len(), want.len());
    }
}
