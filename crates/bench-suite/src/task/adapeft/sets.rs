//! Sets of groups, and what of a network they name.

use std::collections::BTreeSet;

use hessian_lr::adapeft::{Chooser, Report};
use hessian_lr::grouping::Grouping;
use hessian_lr::select::{Budget, Item, Knapsack};
use rand::RngExt;
use tensor_tree::{Key, Label};

use crate::error::Result;

/// Names of groups, in the order of the report.
pub(super) type Set = Vec<String>;

/// Kinds of parameters that networks of every depth have, as finely as names of GPT-2 tell.
const MODULES: [(&str, &str); 15] = [
    ("lora_a", r"\.lora_a\."),
    ("lora_b", r"\.lora_b\."),
    ("wte", r"^wte\."),
    ("wpe", r"^wpe\."),
    ("lm_head", r"^lm_head\."),
    ("ln_f", r"^ln_f\."),
    ("ln_1", r"\.ln_1\."),
    ("ln_2", r"\.ln_2\."),
    ("attn.bias", r"\.attn\.c_attn\.bias$"),
    ("attn.c_attn", r"\.attn\.c_attn\.weight$"),
    ("attn.c_proj.bias", r"\.attn\.c_proj\.bias$"),
    ("attn.c_proj", r"\.attn\.c_proj\.weight$"),
    ("mlp.bias", r"\.mlp\..*\.bias$"),
    ("mlp.c_fc", r"\.mlp\.c_fc\.weight$"),
    ("mlp.c_proj", r"\.mlp\.c_proj\.weight$"),
];

/// Groups of [`MODULES`], the blocks together.
pub(super) fn modules() -> Result<Grouping> {
    Ok(Grouping::first_match(MODULES)?)
}

/// The groups of a report as items of a knapsack, valued by a criterion.
fn items(report: &Report, criterion: &str) -> Vec<Item> {
    let item = |group: &hessian_lr::adapeft::GroupReport| Item {
        name: group.name.clone(),
        // What has no finite value is never chosen.
        value: group.values.get(criterion).copied().flatten().unwrap_or(f64::NAN),
        weight: group.n_parameters,
    };
    report.groups.iter().map(item).collect()
}

/// The most valuable set within a number of parameters; empty where nothing that has a value fits.
pub(super) fn chosen(report: &Report, criterion: &str, budget: u64) -> Result<Set> {
    match Chooser::within(Budget::Count(budget)).choose(&items(report, criterion)) {
        Ok(choice) => Ok(choice.chosen().map(str::to_owned).collect()),
        Err(hessian_lr::Error::NothingFits { .. } | hessian_lr::Error::NothingUseful { .. }) => {
            Ok(Set::new())
        }
        Err(error) => Err(error.into()),
    }
}

/// Groups in random order, each taken if it still fits.
pub(super) fn random(report: &Report, budget: u64, key: Key) -> Result<Set> {
    let items = items(report, "influence").into_iter().map(|item| {
        let uniform: f64 = key.child(Label::Leaf(&item.name)).rng().random();
        Item { value: (1.0 - uniform) * item.weight as f64, ..item }
    });
    let set = Knapsack::from_items(items)?.greedy_fill(budget)?;
    Ok(set.items.into_iter().map(|k| report.groups[k].name.clone()).collect())
}

/// Parameters of a set.
pub(super) fn size(report: &Report, set: &[String]) -> u64 {
    let within = |name: &String| set.contains(name);
    report.groups.iter().filter(|group| within(&group.name)).map(|group| group.n_parameters).sum()
}

/// Parameters in both sets, as a part of those in either; 1 for two empty ones.
pub(super) fn overlap(report: &Report, a: &[String], b: &[String]) -> f64 {
    if a == b {
        return 1.0;
    }
    let (a, b): (BTreeSet<&String>, BTreeSet<&String>) = (a.iter().collect(), b.iter().collect());
    let count = |names: Vec<&String>| {
        let names: Set = names.into_iter().cloned().collect();
        size(report, &names) as f64
    };
    count(a.intersection(&b).copied().collect()) / count(a.union(&b).copied().collect()).max(1.0)
}

/// Rank correlation, ties at their mean rank; 0 where all values of a side are equal, which order nothing.
pub(super) fn spearman(x: &[f64], y: &[f64]) -> f64 {
    let (x, y) = (ranks(x), ranks(y));
    let mean = (x.len() as f64 - 1.0) / 2.0;
    let dot = |a: &[f64], b: &[f64]| -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum()
    };
    let norms = (dot(&x, &x) * dot(&y, &y)).sqrt();
    if norms == 0.0 { 0.0 } else { dot(&x, &y) / norms }
}

fn ranks(values: &[f64]) -> Vec<f64> {
    let n = values.len() as f64;
    let below = |v: f64| values.iter().filter(|u| **u < v).count() as f64;
    let above = |v: f64| values.iter().filter(|u| v < **u).count() as f64;
    // Half way between the first and the last of equal ones.
    values.iter().map(|v| (below(*v) + n - 1.0 - above(*v)) / 2.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_correlate() {
        assert!((spearman(&[1.0, 2.0, 9.0], &[0.1, 0.2, 0.3]) - 1.0).abs() < 1e-12);
        assert!((spearman(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]) + 1.0).abs() < 1e-12);
        // Ranks 0, 1.5, 1.5, 3 against 0, 1, 2, 3: 4.5 / sqrt(4.5 * 5).
        let tied = spearman(&[0.0, 1.0, 1.0, 2.0], &[0.0, 1.0, 2.0, 3.0]);
        assert!((tied - 0.9f64.sqrt()).abs() < 1e-12);
        assert!(spearman(&[2.0, 2.0], &[1.0, 3.0]).abs() < 1e-12);
    }

    #[test]
    fn modules_are_the_same_at_every_depth() {
        let modules = modules().unwrap();
        let names = modules.names();
        for (name, group) in [
            ("h.5.attn.c_attn.lora_a.weight", "lora_a"),
            ("h.0.attn.c_attn.bias", "attn.bias"),
            ("h.11.mlp.c_proj.weight", "mlp.c_proj"),
            ("h.1.mlp.c_fc.bias", "mlp.bias"),
            ("h.1.ln_2.weight", "ln_2"),
            ("ln_f.bias", "ln_f"),
        ] {
            assert_eq!(names[modules.of(name).unwrap()], group, "{name}");
        }
        assert!(modules.of("other").is_err());
    }
}
