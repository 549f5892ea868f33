//! Tests of questions.

use super::*;

const HEAD: &str = r#"{"format": "multiple-choice", "version": 1, "name": "n", "source": "here"}"#;
const GOOD: &str = r#"{"subject": "a", "question": "q", "options": ["x", "y"], "answer": 1}"#;

fn said(lines: &[&str]) -> (usize, String) {
    match Questions::parse(&lines.join("\n")) {
        Err(Error::Line { line, field, .. }) => (line, field),
        other => panic!("{other:?}"),
    }
}

#[test]
fn errors_name_line_and_field() {
    let cases = [
        ("", "line"),
        ("[1]", "line"),
        ("{", "line"),
        (r#"{"question": "q", "options": ["x", "y"], "answer": 1}"#, "subject"),
        (r#"{"subject": " ", "question": "q", "options": ["x", "y"], "answer": 1}"#, "subject"),
        (r#"{"subject": "a", "question": 3, "options": ["x", "y"], "answer": 1}"#, "question"),
        (r#"{"subject": "a", "question": "q", "options": "xy", "answer": 1}"#, "options"),
        (r#"{"subject": "a", "question": "q", "options": ["x"], "answer": 0}"#, "options"),
        (r#"{"subject": "a", "question": "q", "options": ["x", "x"], "answer": 0}"#, "options"),
        (r#"{"subject": "a", "question": "q", "options": ["x", 1], "answer": 0}"#, "options"),
        (r#"{"subject": "a", "question": "q", "options": ["x", "y"], "answer": 2}"#, "answer"),
        (r#"{"subject": "a", "question": "q", "options": ["x", "y"], "answer": -1}"#, "answer"),
        (r#"{"subject": "a", "question": "q", "options": ["x", "y"], "answer": "B"}"#, "answer"),
        (r#"{"subject": "a", "question": "q", "options": ["x", "y"]}"#, "answer"),
        (r#"{"subject": "a", "question": "q", "options": ["x", "y"], "answer": 0, "id": 1}"#, "id"),
    ];
    for (line, field) in cases {
        assert_eq!(said(&[HEAD, GOOD, line, GOOD]), (3, field.to_string()), "{line}");
    }
}

#[test]
fn the_first_line_must_name_the_set() {
    assert_eq!(said(&[GOOD]), (1, "answer".to_string()));
    for (from, to, field) in [
        ("\"version\": 1", "\"version\": 2", "version"),
        ("multiple-choice", "mc", "format"),
        ("\"name\": \"n\"", "\"name\": \"\"", "name"),
        (", \"source\": \"here\"", "", "source"),
    ] {
        assert_eq!(said(&[&HEAD.replace(from, to), GOOD]), (1, field.to_string()));
    }
    let with_rule = |rule: &str| HEAD.replace("}", &format!(r#", "rule": "{rule}"}}"#));
    assert_eq!(said(&[&with_rule("longest"), GOOD]), (1, "rule".to_string()));
    for (head, rule) in [
        (HEAD.to_owned(), Rule::MostProbable),
        (with_rule("most-probable"), Rule::MostProbable),
        (with_rule("per-token"), Rule::MostProbablePerToken),
    ] {
        let questions = Questions::parse(&[&head, GOOD].join("\n")).unwrap();
        assert_eq!(questions.rule(), rule, "{head}");
        assert_eq!(Questions::parse(&questions.to_text()).unwrap(), questions);
    }
    assert!(matches!(Questions::parse(""), Err(Error::Empty { .. })));
    assert!(matches!(Questions::parse(HEAD), Err(Error::Empty { .. })));
}

#[test]
fn a_long_value_is_cut_in_the_message() {
    let long = format!(
        r#"{{"subject": "a", "question": ["{}"], "options": ["x", "y"], "answer": 0}}"#,
        "é".repeat(500)
    );
    let error = Questions::parse(&[HEAD, &long].join("\n")).unwrap_err().to_string();
    assert!(error.chars().count() < 200 && error.contains("line 2, field `question`"), "{error}");
}

#[test]
fn the_made_set_is_one() {
    let made = Questions::made().unwrap();
    assert_eq!(made.name(), "made");
    assert!(made.items().len() >= 20);
    // A model that always takes the same position is no better than chance.
    for position in 0..4 {
        let n = made.items().iter().filter(|item| item.answer == position).count();
        assert_eq!(n * 4, made.items().len(), "position {position}");
        assert!(made.items().iter().all(|item| item.options.len() == 4));
    }
}

fn option(log_prob: f64, n_tokens: usize) -> OptionScore {
    OptionScore { log_prob, n_tokens }
}

#[test]
fn rules_choose_differently() {
    let options = [option(-2.0, 1), option(-3.0, 3)];
    assert_eq!(Rule::MostProbable.choose(&options).unwrap(), 0);
    assert_eq!(Rule::MostProbablePerToken.choose(&options).unwrap(), 1);
    assert_eq!(Rule::MostProbable.choose(&[option(-1.0, 1); 3]).unwrap(), 0);
    let never = [option(f64::NEG_INFINITY, 1), option(-900.0, 1)];
    assert_eq!(Rule::MostProbable.choose(&never).unwrap(), 1);
    assert!(Rule::MostProbable.choose(&[option(f64::NAN, 1)]).is_err());
    assert!(Rule::MostProbable.choose(&[option(0.1, 1)]).is_err());
    assert!(Rule::MostProbable.choose(&[option(-1.0, 0)]).is_err());
    assert!(Rule::MostProbable.choose(&[]).is_err());
}

#[test]
fn the_accuracy_is_a_mean_over_subjects() {
    let b = GOOD.replace("\"a\"", "\"b\"");
    let questions = Questions::parse(&[HEAD, GOOD, GOOD, GOOD, &b].join("\n")).unwrap();
    let (right, wrong) =
        (vec![option(-2.0, 1), option(-1.0, 1)], vec![option(-1.0, 1), option(-2.0, 1)]);
    let scores = vec![wrong.clone(), wrong.clone(), wrong, right];
    let accuracy = questions.accuracy(&scores, Rule::MostProbable).unwrap();
    assert_eq!(accuracy.score.value(), 0.5);
    assert_eq!(accuracy.by_subject["b"], 1.0);
    assert!(accuracy.score.to_string().contains("`n, 4 questions, "), "{}", accuracy.score);
    assert!(matches!(
        questions.accuracy(&scores[1..], Rule::MostProbable),
        Err(Error::Length { .. })
    ));
    let short = vec![vec![option(-1.0, 1)]; 4];
    assert!(matches!(questions.accuracy(&short, Rule::MostProbable), Err(Error::Length { .. })));
}

#[test]
fn a_label_tells_sets_of_one_name_apart() {
    let label = |lines: &[&str]| Questions::parse(&lines.join("\n")).unwrap().label();
    let first = label(&[HEAD, GOOD]);
    assert_eq!(first, label(&[HEAD, &GOOD.replace(": ", " :  ")])); // spelled otherwise
    for (from, to) in [
        ("\"a\"", "\"b\""),
        ("\"q\"", "\"q?\""),
        ("\"x\", \"y\"", "\"xy\", \"\u{e9}\""),
        ("1}", "0}"),
    ] {
        assert_ne!(first, label(&[HEAD, &GOOD.replace(from, to)]), "{to}");
    }
    // Pinned: scores of stored reports would no longer be comparable if it changed.
    assert_eq!(Questions::made().unwrap().label(), "made, 24 questions, 6f3858a1abb28f0e");
}

fn item(subject: &str, text: &str, options: &[&str], answer: usize) -> Question {
    let options = options.iter().map(ToString::to_string).collect();
    Question { subject: subject.to_string(), text: text.to_string(), options, answer }
}

#[test]
fn questions_are_written_as_they_are_read() {
    let items =
        vec![item("a", "\"q\"\n\u{e9}", &["x", "y"], 1), item("b", "q", &["1", "2", "3"], 0)];
    let questions = Questions::new("n", "here", items).unwrap();
    assert_eq!(Questions::parse(&questions.to_text()).unwrap(), questions);
    let made = Questions::made().unwrap();
    assert_eq!(Questions::parse(&made.to_text()).unwrap(), made);
}

#[test]
fn a_question_that_no_file_could_hold_is_refused() {
    let good = item("a", "q", &["x", "y"], 1);
    for (bad, field) in [
        (item("", "q", &["x", "y"], 1), "subject"),
        (item("a", " ", &["x", "y"], 1), "text"),
        (item("a", "q", &["x"], 0), "options"),
        (item("a", "q", &["x", "x"], 0), "options"),
        (item("a", "q", &["x", ""], 0), "options"),
        (item("a", "q", &["x", "y"], 2), "answer"),
    ] {
        let got = Questions::new("n", "here", vec![good.clone(), bad]).unwrap_err();
        assert!(
            matches!(&got, Error::Question { index: 1, field: at, .. } if *at == field),
            "{got}"
        );
    }
    assert!(matches!(Questions::new("n", "here", Vec::new()), Err(Error::Empty { .. })));
    assert!(matches!(Questions::new(" ", "here", vec![good.clone()]), Err(Error::Empty { .. })));
    assert!(matches!(Questions::new("n", "", vec![good]), Err(Error::Empty { .. })));
}
