//! Each fault of a file or a call ends with one sentence that names the place, and nothing is written.

use std::io::Write;

use crate::program::{Place, table};

const NUMBER: &str = "a finite number (missing values are not filled in)";

fn refused(text: &str, flags: &str, code: i32, message: &str) {
    let place = Place::new();
    place.write("t.csv", text);
    place.refuses(&format!("slope fit t.csv {flags}"), code, message);
}

#[test]
fn faults_of_a_table_are_named_by_line_and_column() {
    for (text, message) in [
        ("", "t.csv: expected at least one row of values, got none".to_owned()),
        ("a,y\n", "t.csv: expected at least one row of values, got none".to_owned()),
        ("a,y\n1,2\n3\n", "t.csv, line 3: expected 2 cells, got 1".to_owned()),
        ("a,y\n1,2\n3,4,5\n", "t.csv, line 3: expected 2 cells, got 3".to_owned()),
        ("a,y\n1,2\nNaN,4\n", format!("t.csv, line 3, column `a`: expected {NUMBER}, got `NaN`")),
        ("a,y\n1,2\n,4\n", format!("t.csv, line 3, column `a`: expected {NUMBER}, got ``")),
        ("a,y\n1,2\nred,4\n", format!("t.csv, line 3, column `a`: expected {NUMBER}, got `red`")),
        (
            "a,y\n1,2\n3,inf\n",
            "t.csv, line 3, column `y`: expected a finite number (for classes, --family binomial), got `inf`".to_owned(),
        ),
        ("a,y,a\n1,2,3\n", "t.csv, line 1: expected names of columns that differ, got `a`".to_owned()),
        ("a,b\n1,2\n", "t.csv: no column `y`; expected one of `a`, `b`".to_owned()),
        ("y\n1\n2\n", "t.csv: no column is left to explain the response by".to_owned()),
    ] {
        refused(text, "--response y", 1, &message);
    }
    refused(
        "a,y,w\n1,2,-1\n",
        "--response y --weights w",
        1,
        "t.csv, line 2, column `w`: expected a finite number that is not negative, got `-1`",
    );
    refused(
        "1,2\n3,4\n",
        "--response 2",
        1,
        "t.csv, line 1: expected names of columns (a file without a header must be read as such), got `1,2`",
    );
    let place = Place::new();
    let run = place.run("slope fit none.csv --response y");
    assert!(
        run.code == 1 && run.stderr.starts_with("error: none.csv: cannot be read: "),
        "{}",
        run.stderr
    );
}

#[test]
fn a_response_must_suit_its_family() {
    let of = |y: [&str; 3]| format!("a,y\n1,{}\n2,{}\n4,{}\n", y[0], y[1], y[2]);
    refused(
        &of(["yes", "no", "yes"]),
        "--response y",
        1,
        "t.csv, line 2, column `y`: expected a finite number (for classes, --family binomial), got `yes`",
    );
    refused(
        &of(["yes", "yes", "yes"]),
        "--response y --family binomial",
        1,
        "t.csv: column `y`: expected two classes for a binomial response, got 1: `yes`",
    );
    refused(
        &of(["1", "2", "3"]),
        "--response y --family binomial",
        1,
        "t.csv: column `y`: expected two classes for a binomial response, got 3: `1`, `2`, `3`",
    );
    refused(
        &of(["yes", "", "no"]),
        "--response y --family binomial",
        1,
        "t.csv, line 3, column `y`: expected a class (missing values are not filled in), got ``",
    );
    refused(
        &of(["1", "0", "-1"]),
        "--response y --family poisson",
        1,
        "t.csv, line 4, column `y`: expected a finite number that is not negative, for a poisson response, got `-1`",
    );
    refused(
        &of(["0", "0", "0"]),
        "--response y --family poisson",
        1,
        "a class without observations, or a response of zero counts, has no finite intercept",
    );
}

#[test]
fn flags_that_do_not_go_together_end_with_code_2() {
    let text = table(20, 4);
    for (flags, message) in [
        ("", "expected --response COLUMN or --response-file FILE: what is to be explained?"),
        ("--response y --alpha 1 --cv 5", "expected one way to the strength, got --alpha and --cv"),
        ("--response y --cv 1", "--cv: expected from 2 to 20, the number of rows, got 1"),
        ("--response y --cv 21", "--cv: expected from 2 to 20, the number of rows, got 21"),
        (
            "--response y --cv 5 --stratified",
            "--stratified is for --family binomial or multinomial",
        ),
        (
            "--response y --penalty lasso --ratio 0.5",
            "--ratio is for --penalty two-level, got lasso",
        ),
        (
            "--response y --delimiter ,,",
            "--delimiter: expected one character of ASCII, `tab` or `space`, got `,,`",
        ),
        (
            "--response y --penalty none",
            "--penalty: expected two-level, lasso, bh, gaussian, oscar or a file, got `none`",
        ),
        ("--response y --gamma 3", "--gamma is for --criterion ebic"),
        ("--response y --criterion bic --gamma 0.5", "--gamma is for --criterion ebic"),
        ("--response y --alpha 1 --points 5", "--points is for --cv and --criterion"),
        ("--response y --last 0.5", "--last is for --cv and --criterion"),
        ("--response y --noise", "--noise is for --penalty bh, gaussian or a file, got two-level"),
        (
            "--response y --noise --penalty lasso",
            "--noise is for --penalty bh, gaussian or a file, got lasso",
        ),
        ("--response y --noise --penalty bh --scale none", "--noise is for --scale sd"),
    ] {
        refused(&text, flags, 2, message);
    }
    for (flags, message) in [
        ("--response y --ratio 2", "ratio: expected between 0 and 1, got 2"),
        ("--response y --penalty bh --q 0", "q: expected above 0 and below 1, got 0"),
        ("--response y --alpha=-1", "alpha: expected finite and not negative, got -1"),
        ("--response y --lambda1 1 --lambda2 2 --k 1", "lambda2: expected at most lambda1, got 2"),
        (
            "--response y --lambda1 2 --lambda2 1 --k 5",
            "coordinates at the higher level: expected at most 4, got 5",
        ),
    ] {
        refused(&text, flags, 1, message);
    }
    let place = Place::new();
    place.write("t.csv", &text);
    let message = "--gamma is for --criterion ebic";
    place.refuses("slope grid t.csv --response y --gamma 0.5", 2, message);
    let unknown = Place::new().run("slope fit t.csv --no-such-flag");
    assert_eq!(unknown.code, 2);
}

#[test]
fn a_penalty_in_a_file_fits_the_columns() {
    let place = Place::new();
    place.write("t.csv", table(20, 3));
    for (weights, message) in [
        ("2\n1\n", "w.txt: expected 3 weights, one for each coefficient, got 2"),
        ("1\n2\n3\n", "w.txt: lambda at 1: expected at most the weight before it, got 2"),
        (
            "2\nx\n1\n",
            "w.txt, line 2, column `x1`: expected a finite weight that is not negative, got `x`",
        ),
    ] {
        place.write("w.txt", weights);
        place.refuses("slope fit t.csv --response y --penalty w.txt", 1, message);
    }
    place.write("w.txt", "3\n2\n1\n");
    place.runs("slope fit t.csv --response y --penalty w.txt --alpha 0.001");
    assert_eq!(place.json("t.fit/model.json")["penalty"]["asked"]["file"], "w.txt");
}

#[test]
fn faults_of_svmlight_are_named_by_line() {
    let place = Place::new();
    for (text, message) in [
        ("1 0:1\n", "t.svm, line 1: expected an index counted from 1, got `0:1`"),
        ("1 1:1\n0 3:1 2:1\n", "t.svm, line 2: expected an index above 3, got `2:1`"),
        ("1 1:1\n0 1:x\n", "t.svm, line 2: expected a finite number after the colon, got `1:x`"),
        ("spam 1:1\n", "t.svm, line 1: expected a finite number as the label, got `spam`"),
    ] {
        place.write("t.svm", text);
        place.refuses("slope fit t.svm --family binomial", 1, message);
    }
    place.refuses(
        "slope fit t.svm --response y",
        2,
        "--response: expected nothing or `label`, the response of svmlight, got `y`",
    );
    place.refuses("slope fit t.svm --weights w", 2, "--weights is for CSV, not for svmlight");
    place.write("m.svm", "1 1:1\n0 1:2\n3 1:4\n");
    place.runs("slope fit m.svm");
    for flags in ["--skip-lines 3", "--no-header", "--delimiter ;"] {
        let flag = flags.split(' ').next().unwrap();
        let message = format!("{flag} is for CSV, not for svmlight");
        place.refuses(&format!("slope fit t.svm {flags}"), 2, &message);
        place.refuses(&format!("slope predict m.fit/model.json t.svm {flags}"), 2, &message);
        let message = format!("{flag} is for CSV, not for safetensors");
        place.refuses(&format!("slope fit t.safetensors {flags}"), 2, &message);
    }
}

#[test]
fn an_index_out_of_proportion_is_refused_unless_it_is_meant() {
    let place = Place::new();
    place.write("t.svm", "1 1:1\n0 134217728:1\n");
    let message = "t.svm, line 2: expected an index of at most 1048576 for 2 entries, or a number of columns, got `134217728`";
    place.refuses("slope fit t.svm", 1, message);
    place.write("m.svm", "1 1:1\n0 3:1\n2 1:2\n");
    place.runs("slope fit m.svm --columns 5");
    assert_eq!(place.json("m.fit/model.json")["columns"].as_array().unwrap().len(), 5);
    let message = "m.svm, line 2: expected an index of at most 2, got `3:1`";
    place.refuses("slope fit m.svm --columns 2", 1, message);
    let message = "--columns: expected at most 134217728, got 134217729";
    place.refuses("slope fit m.svm --columns 134217729", 2, message);
    place.write("t.csv", table(9, 2));
    let message = "--columns is for svmlight, not for CSV";
    place.refuses("slope fit t.csv --response y --columns 3", 2, message);
}

#[test]
fn a_truncated_archive_is_refused() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(table(50, 3).as_bytes()).unwrap();
    let packed = encoder.finish().unwrap();
    let place = Place::new();
    place.write("t.csv.gz", &packed[..packed.len() / 2]);
    let run = place.run("slope fit t.csv.gz --response y");
    assert!(run.stderr.starts_with("error: t.csv.gz: damaged gzip stream: "), "{}", run.stderr);
    assert_eq!((run.code, place.names()), (1, vec!["t.csv.gz".to_owned()]));
    place.write("t.csv.gz", packed);
    place.runs("slope fit t.csv.gz --response y");
    assert_eq!(place.names(), ["t.csv.gz", "t.fit"], "beside the data, named like it");
}
