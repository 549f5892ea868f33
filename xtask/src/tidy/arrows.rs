//! Which crate of ours may use which.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::workspace;

/// Permitted arrows, lowest layer first. `name [feature]` permits the arrow only behind that feature.
/// The same table stands in ARCHITECTURE.md; a new arrow is a design decision and is recorded there.
const ARROWS: &str = "\
report      -> none
tensor-tree -> report
tape-nn     -> tensor-tree
hessian-lr  -> tensor-tree [tensor]
dp-core     -> report, tensor-tree [tensor], tape-nn [tensor], hessian-lr [tensor]
dp-filters  -> tensor-tree, dp-core
unlearn     -> hessian-lr, tensor-tree [tensor], tape-nn [tensor], dp-core [private]
slope2      -> tensor-tree [tree]
bench-suite -> report, tensor-tree, tape-nn, hessian-lr, dp-core, dp-filters, unlearn, slope2
lethe       -> report, tensor-tree, tape-nn, hessian-lr, dp-core, dp-filters, unlearn, slope2
xtask       -> none
";

/// Crate to what it may use, each with the feature that must guard it.
type Table<'a> = BTreeMap<&'a str, BTreeMap<&'a str, Option<&'a str>>>;

fn parse(text: &str) -> Result<Table<'_>> {
    let mut table = Table::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let (from, to) = line.split_once("->").with_context(|| format!("no arrow in `{line}`"))?;
        let mut targets = BTreeMap::new();
        for target in to.split(',').map(str::trim).filter(|target| *target != "none") {
            let (name, feature) = match target.split_once(" [") {
                Some((name, feature)) => (name, feature.strip_suffix(']')),
                None => (target, None),
            };
            targets.insert(name, feature);
        }
        if table.insert(from.trim(), targets).is_some() {
            bail!("{} stands twice in the table", from.trim());
        }
    }
    Ok(table)
}

/// Compares the table with what `cargo metadata` says.
pub(super) fn check_workspace() -> Result<Vec<String>> {
    violations(&parse(ARROWS)?, &workspace::own_metadata()?)
}

fn violations(table: &Table<'_>, metadata: &Value) -> Result<Vec<String>> {
    let packages = metadata["packages"].as_array().context("metadata without packages")?;
    let name = |value: &Value| value["name"].as_str().unwrap_or_default().to_string();
    let ours: Vec<String> = packages.iter().map(name).collect();
    let mut found = Vec::new();
    for package in packages {
        let from = name(package);
        let Some(targets) = table.get(from.as_str()) else {
            found.push(format!("{from} is not in the table of arrows"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = name(dependency);
            if !ours.contains(&to) || dependency["kind"] == "dev" {
                continue; // tests may point sideways
            }
            match targets.get(to.as_str()) {
                None => found.push(format!("{from} -> {to} is not permitted")),
                Some(Some(feature)) if !guarded(package, dependency, &to, feature) => {
                    found.push(format!(
                        "{from} -> {to} is permitted only behind feature `{feature}`"
                    ));
                }
                Some(_) => {}
            }
        }
    }
    Ok(found)
}

/// An optional dependency that the feature switches on.
fn guarded(package: &Value, dependency: &Value, to: &str, feature: &str) -> bool {
    let switches = package["features"][feature].as_array().into_iter().flatten();
    let mut names = switches.filter_map(Value::as_str);
    dependency["optional"] == true && names.any(|name| name.strip_prefix("dep:") == Some(to))
}

/// The table in the document, as a reader sees it, is the one above.
pub(super) fn check_document(architecture: &str) -> Vec<String> {
    if architecture.contains(&format!("```text\n{ARROWS}```")) {
        return Vec::new();
    }
    vec![format!("ARCHITECTURE.md lacks this table as a block of its own:\n{ARROWS}")]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn package(name: &str, dependencies: &[Value], features: Value) -> Value {
        json!({ "name": name, "dependencies": dependencies, "features": features })
    }

    fn check(table: &str, packages: &[Value]) -> Vec<String> {
        violations(&parse(table).unwrap(), &json!({ "packages": packages })).unwrap()
    }

    #[test]
    fn an_arrow_that_is_not_permitted_is_found() {
        let low = package("low", &[], json!({}));
        let up = |kind: Value| {
            package("high", &[json!({ "name": "low", "kind": kind, "optional": false })], json!({}))
        };
        let forbids = "low -> none\nhigh -> none\n";
        let permits = "low -> none\nhigh -> low\n";
        assert_eq!(
            check(forbids, &[low.clone(), up(Value::Null)]),
            ["high -> low is not permitted"]
        );
        assert_eq!(check(forbids, &[low.clone(), up(json!("build"))]).len(), 1);
        assert!(check(forbids, &[low.clone(), up(json!("dev"))]).is_empty());
        assert!(check(permits, &[low, up(Value::Null)]).is_empty());
    }

    #[test]
    fn an_arrow_without_its_feature_is_found() {
        let table = "low -> none\nhigh -> low [tensor]\n";
        let low = package("low", &[], json!({}));
        let high = |optional: bool, switch: &str| {
            let dependency = json!({ "name": "low", "kind": null, "optional": optional });
            package("high", &[dependency], json!({ "tensor": [switch] }))
        };
        assert!(check(table, &[low.clone(), high(true, "dep:low")]).is_empty());
        assert_eq!(check(table, &[low.clone(), high(true, "other")]).len(), 1);
        assert_eq!(check(table, &[low, high(false, "dep:low")]).len(), 1);
    }

    #[test]
    fn a_crate_outside_the_table_is_found() {
        assert_eq!(check("a -> none\n", &[package("b", &[], json!({}))]).len(), 1);
    }

    #[test]
    fn arrows_point_downwards() {
        let table = parse(ARROWS).unwrap();
        let order: Vec<&str> =
            ARROWS.lines().filter_map(|line| line.split_whitespace().next()).collect();
        let height = |name: &str| order.iter().position(|other| *other == name);
        for (from, targets) in &table {
            for to in targets.keys() {
                assert!(height(to) < height(from), "{from} -> {to}");
                assert!(table.contains_key(to), "{to} has no line");
            }
        }
    }

    #[test]
    fn a_document_with_another_table_is_found() {
        assert!(check_document(&format!("# A\n\n```text\n{ARROWS}```\n")).is_empty());
        assert_eq!(
            check_document(&ARROWS.replace("xtask       -> none", "xtask -> report")).len(),
            1
        );
    }
}
