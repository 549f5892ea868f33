//! Reports: tables and files.

use hessian_lr::Error;
use hessian_lr::adapeft::{Chooser, Findings, GroupFindings, Limit, Report};
use hessian_lr::decision::{Decision, Tally};
use hessian_lr::grouping::Grouping;
use hessian_lr::influence::Influence;
use proptest::prelude::*;
use report::table::Table;

/// Two groups of which fits and two criteria said something.
pub(super) fn findings() -> Findings {
    let group = |name: &str, size, value: f64, decisions: &[Decision], other| {
        let mut tally = Tally::default();
        decisions.iter().for_each(|decision| tally.add(*decision));
        let influence = Influence {
            size,
            value,
            per_parameter: 2.0 * value / size as f64,
            last: (0.0 < value).then_some([0.3, 0.1]),
            rate: Some(2.5),
            decisions: tally,
        };
        let values = [("influence".into(), value), ("other".into(), other)].into();
        GroupFindings { name: name.into(), influence, values }
    };
    use Decision::{Accept, BelowNoise, Flat};
    Findings {
        n_steps: 8,
        n_fits: 3,
        n_forwards: 30,
        groups: vec![
            group("body", 90, 0.1 + 0.2, &[Accept, Flat, BelowNoise], f64::NAN),
            group("head", 10, 0.25, &[Accept; 3], 1.0),
        ],
    }
}

pub(super) fn grouping() -> Grouping {
    Grouping::new([("body", r"^fc1\."), ("head", r"^fc2\."), ("norm", "norm")]).unwrap()
}

pub(super) fn report(criterion: &str, chooser: &Chooser) -> Report {
    let findings = findings();
    let choice = findings.choose(criterion, chooser).unwrap();
    Report::new(&findings, criterion, &choice, &grouping()).unwrap()
}

#[test]
fn a_table_has_a_row_for_each_group() {
    let chooser = Chooser { forced: vec!["head".into()], ..Chooser::within(100) };
    let report = report("influence", &chooser);
    let mut table = Table::new(Report::columns());
    for row in report.rows() {
        table.push_row(row);
    }
    let text = table.to_markdown();
    let cells = |line: &str| -> Vec<String> {
        line.split('|').map(|cell| cell.trim().to_owned()).filter(|cell| !cell.is_empty()).collect()
    };
    let rows: Vec<Vec<String>> = text.lines().skip(2).map(cells).collect();
    let body = [
        "body",
        "90",
        "90.000 %",
        "3.000e-1",
        "1.000e-1",
        "3.000e0",
        "2.500e0",
        "3.000e-1",
        "6.667e-3",
        r"2 (flat 1, below\_noise 1)",
        "yes",
    ];
    assert_eq!(rows[0], body, "{text}");
    assert_eq!((rows[1][9].as_str(), rows[1][10].as_str()), ("0", "forced"));
    assert!(report.loose);
    // Values that are not finite.
    let report = self::report("other", &Chooser::within(100));
    assert_eq!((report.rows()[0][7].as_str(), report.rows()[0][10].as_str()), ("-", "no"));
}

#[test]
fn a_report_is_read_as_it_was_written() {
    for (criterion, limit) in
        [("influence", Limit::Value(0.2)), ("other", Limit::ShareOfValue(1.0))]
    {
        let written = report(criterion, &Chooser { limit, ..Chooser::within(100) });
        let text = written.to_json().unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (value["format"].as_str(), value["version"].as_u64()),
            (Some("hessian-lr/adapeft"), Some(1))
        );
        let read = Report::from_json(&text).unwrap();
        assert_eq!(read.groups, written.groups);
        assert_eq!(read.value.to_bits(), written.value.to_bits());
        assert_eq!((read.cost, read.limit, read.budget), (written.cost, written.limit, None));
        assert_eq!(read.grouping.names(), written.grouping.names());
        assert_eq!(read.to_json().unwrap(), text);
    }
}

#[test]
fn files_that_do_not_fit_together_are_refused_with_the_reason() {
    let text = report("influence", &Chooser::within(95)).to_json().unwrap();
    let whole: serde_json::Value = serde_json::from_str(&text).unwrap();
    type Damage = fn(&mut serde_json::Value);
    let damages: [(&str, Damage); 12] = [
        ("version 1, got 2", |v| v["version"] = 2.into()),
        ("`hessian-lr/adapeft`, got `x`", |v| v["format"] = "x".into()),
        ("two groups are called `body`", |v| v["groups"][1]["name"] = "body".into()),
        ("`strange` has no pattern", |v| v["groups"][1]["name"] = "strange".into()),
        ("not that by `influence`", |v| v["groups"][0]["value"] = 7.into()),
        ("not that by `unknown`", |v| v["criterion"] = "unknown".into()),
        ("rejects do not add up", |v| v["groups"][0]["n_rejected"] = 0.into()),
        ("numbers of parameters", |v| v["n_chosen"] = 0.into()),
        ("numbers of parameters", |v| v["n_parameters"] = 99.into()),
        ("no group is chosen", |v| {
            v["n_chosen"] = 0.into();
            v["groups"][0]["chosen"] = false.into();
            v["groups"][1]["chosen"] = false.into();
        }),
        ("unknown field `more`", |v| v["groups"][0]["more"] = 0.into()),
        ("pattern `(`", |v| v["grouping"]["groups"][0]["all"][0] = "(".into()),
    ];
    for (reason, damage) in damages {
        let mut value = whole.clone();
        damage(&mut value);
        let error = Report::from_json(&value.to_string()).unwrap_err();
        assert!(matches!(error, Error::Document { .. }));
        assert!(error.to_string().contains(reason), "{error}");
    }
    for broken in ["", "{}", "[1]", &text[..text.len() / 2]] {
        assert!(matches!(Report::from_json(broken), Err(Error::Document { .. })));
    }
}

#[test]
fn criteria_and_groups_that_are_not_there_are_refused_by_name() {
    let findings = findings();
    assert_eq!(findings.criteria(), ["influence", "other"]);
    let error = findings.choose("fisher", &Chooser::within(10)).unwrap_err();
    assert_eq!(error.to_string(), "criterion `fisher`: expected one of `influence`, `other`");
    let choice = findings.choose("influence", &Chooser::within(10)).unwrap();
    let strange = Grouping::new([("body", "x")]).unwrap();
    let error = Report::new(&findings, "influence", &choice, &strange).unwrap_err();
    assert!(error.to_string().contains("group of the grouping `head`"), "{error}");
}

proptest! {
    #[test]
    fn numbers_come_back_bit_by_bit(
        values in prop::array::uniform2(any::<f64>()),
        last in prop::array::uniform2(prop::num::f64::NORMAL),
    ) {
        let mut findings = findings();
        for (group, value) in findings.groups.iter_mut().zip(values) {
            group.influence.last = Some(last);
            group.values.insert("other".into(), value);
        }
        let choice = findings.choose("influence", &Chooser::within(100)).unwrap();
        let written = Report::new(&findings, "influence", &choice, &grouping()).unwrap();
        let read = Report::from_json(&written.to_json().unwrap()).unwrap();
        for (read, (written, value)) in read.groups.iter().zip(written.groups.iter().zip(values)) {
            prop_assert_eq!(read, written);
            let back = read.values["other"];
            prop_assert_eq!(back.map(f64::to_bits), Some(value).filter(|v| v.is_finite()).map(f64::to_bits));
        }
    }
}
