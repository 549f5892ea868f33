//! Values of one model for the choice on another.

use hessian_lr::Error;
use hessian_lr::adapeft::{Chooser, Findings, GroupFindings, Report};
use hessian_lr::grouping::Grouping;
use hessian_lr::influence::Influence;
use hessian_lr::select::Budget;

use super::network::{gpt, sizes};
use super::report;
use tensor_tree::Tree;

/// A report on `params` in which a group's value for each parameter falls with its place in the alphabet.
fn report_on(params: &Tree, grouping: &Grouping, chooser: &Chooser) -> Report {
    let names = grouping.names();
    let mut groups: Vec<GroupFindings> = Vec::new();
    for (k, name) in names.iter().enumerate() {
        let own = sizes(params).into_iter().filter(|(leaf, _)| grouping.of(leaf).unwrap() == k);
        let size: u64 = own.map(|(_, size)| size).sum();
        if size == 0 {
            continue;
        }
        let value = size as f64 / f64::from(name.as_bytes()[0]);
        let influence = Influence {
            size,
            value,
            per_parameter: 0.0,
            last: None,
            rate: None,
            decisions: hessian_lr::decision::Tally::default(),
        };
        let values = [("influence".into(), value)].into();
        groups.push(GroupFindings { name: (*name).into(), influence, values });
    }
    let findings = Findings { n_steps: 1, n_fits: 1, n_forwards: 1, groups };
    let choice = findings.choose("influence", chooser).unwrap();
    Report::new(&findings, "influence", &choice, grouping).unwrap()
}

#[test]
fn patterns_find_the_groups_of_a_larger_model_and_its_counts_are_used() {
    let (small, large) = (gpt(1, 8, false), gpt(3, 16, false));
    let chooser = Chooser { forced: vec!["head".into()], ..Chooser::within(Budget::Fraction(0.4)) };
    let report = report_on(&small, &Grouping::kinds().unwrap(), &chooser);
    let report = Report::from_json(&report.to_json().unwrap()).unwrap();
    assert_eq!(report.chooser(7), Chooser { n_others: 7, ..chooser });
    let there = report.transfer(sizes(&large), &report.chooser(0)).unwrap();
    let total: u64 = sizes(&large).iter().map(|(_, size)| size).sum();
    assert_eq!(there.choice.n_parameters(), total);
    assert_eq!(there.groups.iter().map(|group| group.size).sum::<u64>(), total);
    for (group, here) in there.groups.iter().zip(&report.groups) {
        assert_eq!(group.name, here.name);
        assert!(here.n_parameters < group.size, "{}", group.name);
    }
    assert!(there.choice.contains("head"));
    assert!(there.choice.selection().weight() <= there.choice.budget().unwrap());
    // The same model gives the same choice.
    let same = report.transfer(sizes(&small), &report.chooser(0)).unwrap();
    let chosen = report.groups.iter().filter(|group| group.chosen).map(|group| group.name.as_str());
    assert!(same.choice.chosen().eq(chosen));
}

#[test]
fn groups_and_parameters_that_do_not_fit_are_errors_with_their_names() {
    let reason = |result: Result<_, Error>| match result.map(|_: hessian_lr::adapeft::Transfer| ())
    {
        Err(Error::Transfer { reason }) => reason,
        other => panic!("{other:?}"),
    };
    let report = report::report("influence", &Chooser::within(50));
    let chooser = report.chooser(0);
    let whole = [("fc1.weight", 400), ("fc2.weight", 40)];
    let fits = report.transfer(whole, &chooser).unwrap();
    assert_eq!(fits.choice.chosen().collect::<Vec<_>>(), ["head"]);
    let unmatched = reason(report.transfer([("fc1.weight", 1), ("fc3.weight", 1)], &chooser));
    assert!(unmatched.contains("`fc3.weight` is in none of the groups"), "{unmatched}");
    let absent = reason(report.transfer([("fc1.weight", 1)], &chooser));
    assert_eq!(absent, "no parameter is in `head`");
    let valueless = reason(report.transfer([("fc1.weight", 1), ("norm.weight", 1)], &chooser));
    assert!(valueless.contains("`norm.weight`") && valueless.contains("no value"), "{valueless}");
    let twice = reason(report.transfer([("fc1.norm", 1)], &chooser));
    assert!(twice.contains("`body` and in `norm`"), "{twice}");
    let heavy = report.transfer([("fc1.a", u64::MAX), ("fc1.b", 1)], &chooser);
    assert!(matches!(heavy, Err(Error::WeightOverflow { .. })));
    // Layers of a larger model that the smaller one does not have.
    let (small, large) = (gpt(1, 8, false), gpt(2, 8, false));
    let layers = Grouping::layers(small.names()).unwrap();
    let report = report_on(&small, &layers, &Chooser::within(10_000));
    let layers = reason(report.transfer(sizes(&large), &report.chooser(0)));
    assert!(layers.contains("`h.1.attn.c_attn.bias` is in none"), "{layers}");
}
