//! The report of a choice: a table, and JSON with a version.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::choice::{Choice, Chooser, Limit};
use super::findings::{Findings, GroupFindings};
use crate::decision::Tally;
use crate::error::{Error, Result};
use crate::grouping::Grouping;

const FORMAT: &str = "hessian-lr/adapeft";
const VERSION: u64 = 1;
const WHAT: &str = "report of AdaPEFT";

/// What a probe phase cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Steps of training, each with one gradient of all groups.
    pub n_steps: u64,
    /// Fits of all groups.
    pub n_fits: u64,
    /// Losses for rates and fits, each one forward pass over a batch.
    pub n_forwards: u64,
}

/// What is known of a group, and whether it is chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupReport {
    /// Its name in the grouping.
    pub name: String,
    /// Number of parameters `n`.
    pub n_parameters: u64,
    /// Its part of all parameters, in `[0, 1]`.
    pub share: f64,
    /// Slope `b` of the last fit that was accepted.
    pub slope: Option<f64>,
    /// Curvature `A` of that fit.
    pub curvature: Option<f64>,
    /// Its minimizer `b / A`.
    pub eta: Option<f64>,
    /// The rate after the last fit, which averages minimizers.
    pub rate: Option<f64>,
    /// The value by the criterion of the choice; none if it is not finite.
    pub value: Option<f64>,
    /// `sum b^2 / (A n)` over the fits that were accepted.
    pub appi: f64,
    /// Values by all criteria.
    pub values: BTreeMap<String, Option<f64>>,
    /// Fits by what was decided.
    pub decisions: Tally,
    /// Fits that were not accepted.
    pub n_rejected: u64,
    /// Whether it is chosen.
    pub chosen: bool,
    /// Whether it is trained in any case.
    pub forced: bool,
}

/// A choice with what it was made from.
///
/// As JSON it begins with `format` and `version`. Numbers that are not finite are null.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The criterion by which groups were chosen.
    pub criterion: String,
    /// What the probe phase cost.
    pub cost: Cost,
    /// What bounded the choice.
    pub limit: Limit,
    /// The budget as a number of parameters; none where a value was required.
    pub budget: Option<u64>,
    /// Whether the limit left nothing to choose; see [`Choice::is_loose`].
    pub loose: bool,
    /// All parameters, those in no group included.
    pub n_parameters: u64,
    /// Parameters of the chosen groups.
    pub n_chosen: u64,
    /// The sum of their values.
    pub value: f64,
    /// The patterns that form the groups.
    pub grouping: Grouping,
    /// One for each group.
    pub groups: Vec<GroupReport>,
}

/// What is looked at before the rest is read.
#[derive(Serialize, Deserialize)]
struct Versioned {
    format: String,
    version: u64,
    #[serde(flatten)]
    rest: serde_json::Value,
}

fn broken(reason: impl Into<String>) -> Error {
    Error::Document { what: WHAT, reason: reason.into() }
}

fn finite(value: f64) -> Option<f64> {
    Some(value).filter(|value| value.is_finite())
}

impl Report {
    /// The report of `choice`, made from `findings` by `criterion` for groups of `grouping`.
    ///
    /// # Errors
    /// [`Error::Unknown`] if the findings have no such criterion, or a group that the choice or the grouping does not have.
    pub fn new(
        findings: &Findings,
        criterion: &str,
        choice: &Choice,
        grouping: &Grouping,
    ) -> Result<Self> {
        let items = findings.items(criterion)?;
        let known_groups = |known: Vec<String>, what| match items
            .iter()
            .find(|item| !known.contains(&item.name))
        {
            None => Ok(()),
            Some(item) => Err(Error::Unknown { what, name: item.name.clone(), known }),
        };
        known_groups(choice.names().to_vec(), "group of the choice")?;
        let names = grouping.names().into_iter().map(str::to_owned).collect();
        known_groups(names, "group of the grouping")?;
        let n_parameters = choice.n_parameters();
        let group = |found: &GroupFindings| {
            let (name, influence) = (found.name.clone(), &found.influence);
            let values: BTreeMap<_, _> =
                found.values.iter().map(|(name, value)| (name.clone(), finite(*value))).collect();
            GroupReport {
                n_parameters: influence.size,
                share: influence.size as f64 / n_parameters.max(1) as f64,
                slope: influence.last.map(|[slope, _]| slope),
                curvature: influence.last.map(|[_, curvature]| curvature),
                eta: influence.eta().and_then(finite),
                rate: influence.rate,
                value: values.get(criterion).copied().flatten(),
                appi: influence.per_parameter,
                values,
                n_rejected: influence.n_rejected(),
                decisions: influence.decisions.clone(),
                chosen: choice.contains(&name),
                forced: choice.is_forced(&name),
                name,
            }
        };
        let &Findings { n_steps, n_fits, n_forwards, .. } = findings;
        Ok(Report {
            criterion: criterion.to_owned(),
            cost: Cost { n_steps, n_fits, n_forwards },
            limit: choice.chooser().limit,
            budget: choice.budget(),
            loose: choice.is_loose(),
            n_parameters,
            n_chosen: choice.selection().weight(),
            value: choice.selection().value(),
            grouping: grouping.clone(),
            groups: findings.groups.iter().map(group).collect(),
        })
    }

    /// How the groups were chosen, for a model with `n_others` parameters in no group.
    #[must_use]
    pub fn chooser(&self, n_others: u64) -> Chooser {
        let forced = self.groups.iter().filter(|group| group.forced);
        let forced = forced.map(|group| group.name.clone()).collect();
        Chooser { limit: self.limit, forced, n_others }
    }

    /// The headings of [`Report::rows`].
    #[must_use]
    pub fn columns() -> [&'static str; 11] {
        [
            "group",
            "parameters",
            "share",
            "b",
            "A",
            "eta",
            "rate",
            "value",
            "APPI",
            "rejects",
            "chosen",
        ]
    }

    /// The groups as rows of a table.
    #[must_use]
    pub fn rows(&self) -> Vec<[String; 11]> {
        let number = |x: Option<f64>| x.map_or_else(|| "-".to_owned(), |x| format!("{x:.3e}"));
        let row = |group: &GroupReport| {
            let rejects = match (group.n_rejected, group.decisions.to_string()) {
                (0, _) => "0".to_owned(),
                (n, reasons) => format!("{n} ({reasons})"),
            };
            let chosen = match (group.forced, group.chosen) {
                (true, _) => "forced",
                (_, true) => "yes",
                _ => "no",
            };
            [
                group.name.clone(),
                group.n_parameters.to_string(),
                format!("{:.3} %", 100.0 * group.share),
                number(group.slope),
                number(group.curvature),
                number(group.eta),
                number(group.rate),
                number(group.value),
                number(Some(group.appi)),
                rejects,
                chosen.to_owned(),
            ]
        };
        self.groups.iter().map(row).collect()
    }

    /// The report as JSON.
    ///
    /// # Errors
    /// [`Error::Document`] if a number is not finite where one must be.
    pub fn to_json(&self) -> Result<String> {
        self.check()?;
        let rest = serde_json::to_value(self).map_err(|e| broken(e.to_string()))?;
        let file = Versioned { format: FORMAT.into(), version: VERSION, rest };
        serde_json::to_string_pretty(&file).map_err(|e| broken(e.to_string()))
    }

    /// Reads what [`Report::to_json`] wrote.
    ///
    /// # Errors
    /// [`Error::Document`] for another format or version, or content that does not fit together.
    pub fn from_json(text: &str) -> Result<Self> {
        let file: Versioned = serde_json::from_str(text).map_err(|e| broken(e.to_string()))?;
        if file.format != FORMAT {
            let got = file.format;
            return Err(broken(format!("expected the format `{FORMAT}`, got `{got}`")));
        }
        if file.version != VERSION {
            let got = file.version;
            return Err(broken(format!("expected version {VERSION}, got {got}")));
        }
        let report: Report =
            serde_json::from_value(file.rest).map_err(|e| broken(e.to_string()))?;
        report.check()?;
        Ok(report)
    }

    /// Whether the parts fit together.
    fn check(&self) -> Result<()> {
        let grouping = self.grouping.names();
        let mut names = BTreeSet::new();
        let (mut grouped, mut chosen) = (0u64, 0u64);
        for group in &self.groups {
            let name = &group.name;
            if !names.insert(name) {
                return Err(broken(format!("two groups are called `{name}`")));
            }
            if !grouping.contains(&name.as_str()) {
                return Err(broken(format!("group `{name}` has no pattern")));
            }
            match group.values.get(&self.criterion) {
                Some(value) if *value == group.value => {}
                _ => {
                    let criterion = &self.criterion;
                    let reason = format!("group `{name}`: its value is not that by `{criterion}`");
                    return Err(broken(reason));
                }
            }
            if group.n_rejected != group.decisions.rejected() {
                return Err(broken(format!("group `{name}`: its rejects do not add up")));
            }
            grouped = grouped.saturating_add(group.n_parameters);
            chosen = chosen.saturating_add(if group.chosen { group.n_parameters } else { 0 });
        }
        if self.n_parameters < grouped || chosen != self.n_chosen {
            return Err(broken("numbers of parameters do not add up"));
        }
        if self.groups.iter().all(|group| !group.chosen) {
            return Err(broken("no group is chosen"));
        }
        Ok(())
    }
}
