use super::*;

fn settings() -> Csv {
    Csv { response: Some("y".into()), ..Csv::default() }
}

fn table(text: &str, settings: &Csv) -> Result<Table> {
    parse(text.as_bytes(), Path::new("t.csv"), settings)
}

fn column(table: &Table, j: usize) -> Vec<f64> {
    let (mut unit, mut out) = (vec![0.0; table.n_columns()], vec![0.0; table.n_rows()]);
    unit[j] = 1.0;
    table.design().unwrap().apply(&unit, &mut out);
    out
}

#[test]
fn columns_are_found_by_name_or_number_and_the_rest_are_features() {
    let text = "\u{feff}id, a ,y,w,\"b, c\",g\r\nx1,1,yes,0.5,2,u\r\n\r\nx2,-3e1,no,2,4,v\r\nx3,5,no,1,6,u\r\n";
    let settings = Csv {
        weights: Some("w".into()),
        groups: Some("6".into()),
        ignored: vec!["id".into()],
        ..settings()
    };
    let table = table(text, &settings).unwrap();
    assert_eq!(table.names(), ["a", "b, c"]);
    assert_eq!(
        (column(&table, 0), column(&table, 1)),
        (vec![1.0, -30.0, 5.0], vec![2.0, 4.0, 6.0])
    );
    assert_eq!(table.weights(), Some(&[0.5, 2.0, 1.0][..]));
    assert_eq!(table.groups(), Some(&[0, 1, 0][..]));
    assert_eq!(table.left_out(), ["id"]);
    let response = table.response().unwrap();
    assert_eq!(
        (response.name(), response.texts()),
        ("y", &["yes".to_owned(), "no".into(), "no".into()][..])
    );
    assert_eq!(response.line(1), Some(4), "the empty line counts as a line");
}

#[test]
fn other_delimiters_lines_before_and_files_without_a_header() {
    let spaces = Csv {
        delimiter: Delimiter::Whitespace,
        header: false,
        skip_lines: 1,
        response: Some("3".into()),
        ..Csv::default()
    };
    let table_of = |text: &str, settings: &Csv| table(text, settings).unwrap();
    let read = table_of("2 3 some text\n 1  2\t3\n\n4 5 6\n", &spaces);
    assert_eq!(read.names(), ["x1", "x2"]);
    assert_eq!(column(&read, 1), [2.0, 5.0]);
    assert_eq!(read.response().unwrap().line(1), Some(4));
    assert_eq!(read.response().unwrap().name(), "x3");
    let semicolons = Csv { delimiter: Delimiter::Byte(b';'), ..settings() };
    assert_eq!(table_of("a;y\n1;2\n", &semicolons).names(), ["a"]);
    for name in ["tab", ";", "space", "|"] {
        assert_eq!(Delimiter::named(name).unwrap().name(), name);
    }
    assert!([",,", "\n", "é", ""].iter().all(|name| Delimiter::named(name).is_none()));
}

#[test]
fn named_features_are_taken_in_their_order_and_others_left_out() {
    let settings = Csv { features: Some(vec!["b".into(), "a".into()]), ..Csv::default() };
    let read = table("a,text,b\n1,x,2\n3,y,4\n", &settings).unwrap();
    assert_eq!(column(&read, 0), [2.0, 4.0]);
    assert_eq!((column(&read, 1), read.left_out()), (vec![1.0, 3.0], &["text".to_owned()][..]));
    let missing = table("a,c\n1,2\n", &settings).unwrap_err().to_string();
    assert_eq!(missing, "t.csv: expected the columns `b`, which are not there");
}

#[test]
fn each_fault_is_named_by_line_and_column() {
    let number = "a finite number (missing values are not filled in)";
    for (text, message) in [
        ("", "t.csv: expected at least one row of values, got none".to_owned()),
        ("a,y\n", "t.csv: expected at least one row of values, got none".to_owned()),
        ("a,y\n1,2\n3\n", "t.csv, line 3: expected 2 cells, got 1".to_owned()),
        ("a,y\n\n1,2,3\n", "t.csv, line 3: expected 2 cells, got 3".to_owned()),
        ("a,y\n1,2\n,2\n", format!("t.csv, line 3, column `a`: expected {number}, got ``")),
        ("a,y\nNaN,2\n", format!("t.csv, line 2, column `a`: expected {number}, got `NaN`")),
        ("a,y\n1e999,2\n", format!("t.csv, line 2, column `a`: expected {number}, got `1e999`")),
        ("a,a,y\n1,2,3\n", "t.csv, line 1: expected names of columns that differ, got `a`".to_owned()),
        (
            "a,,y\n1,2,3\n",
            "t.csv, line 1: expected a name for column 2, or that it is left out by its number, got ``".to_owned(),
        ),
        (
            "1,2\n3,4\n",
            "t.csv, line 1: expected names of columns (a file without a header must be read as such), got `1,2`"
                .to_owned(),
        ),
        ("a,b\n1,2\n", "t.csv: no column `y`; expected one of `a`, `b`".to_owned()),
    ] {
        assert_eq!(table(text, &settings()).unwrap_err().to_string(), message);
    }
}

#[test]
fn choices_that_do_not_fit_are_refused() {
    let both = Csv { weights: Some("2".into()), ..settings() };
    let error = table("a,y\n1,2\n", &both).unwrap_err().to_string();
    assert_eq!(error, "t.csv: column `y` cannot be both the response and the weights");
    let weights = Csv { weights: Some("w".into()), ..settings() };
    let error = table("a,y,w\n1,2,-1\n", &weights).unwrap_err().to_string();
    assert_eq!(
        error,
        "t.csv, line 2, column `w`: expected a finite number that is not negative, got `-1`"
    );
    let unnamed = Csv { ignored: vec!["1".into()], ..settings() };
    assert_eq!(table(",a,y\n0,1,2\n", &unnamed).unwrap().names(), ["a"]);
    let bytes = parse(b"a,y\n1,\xff\n", Path::new("t.csv"), &settings()).unwrap_err().to_string();
    assert!(bytes.contains("line 2, column `y`: expected a text in UTF-8"), "{bytes}");
}

#[test]
fn a_response_from_another_file_has_as_many_rows() {
    let one = Csv { header: false, response: Some("1".into()), ..Csv::default() };
    let design = table("a,b\n1,2\n3,4\n", &Csv::default()).unwrap();
    let y = table("5\n6\n", &one).unwrap();
    let joined = design.clone().with_response_of(&y).unwrap();
    assert_eq!(joined.response().unwrap().texts(), ["5", "6"]);
    let short = design.clone().with_response_of(&table("5\n", &one).unwrap()).unwrap_err();
    assert!(matches!(short, Error::Rows { expected: 2, got: 1, .. }), "{short}");
    assert!(design.response().is_err());
}
