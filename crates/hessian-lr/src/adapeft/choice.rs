//! From values of groups to a set that is trained.

use crate::error::{Error, Result};
use crate::select::{Budget, Item, Knapsack, Selection};

/// What bounds a choice.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// The most valuable groups with at most so many parameters. A fraction is one of all parameters, also of those that are
    /// in no group.
    Parameters(Budget),
    /// The fewest parameters whose values add up to at least this. By influence it is a decrease of the loss, that which fits
    /// promised over the phase.
    Value(f64),
    /// The same for this part of what all groups together are worth, in `(0, 1]`.
    ShareOfValue(f64),
}

/// How groups are chosen.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Chooser {
    /// What bounds the choice.
    pub limit: Limit,
    /// Groups that are trained in any case, such as a new head: their parameters are charged first.
    pub forced: Vec<String>,
    /// Parameters that are in no group and stay frozen, such as the base of a network whose adapters were probed.
    pub n_others: u64,
}

impl Chooser {
    /// Within a number or a fraction of parameters, nothing forced, every parameter in a group.
    #[must_use]
    pub fn within(budget: impl Into<Budget>) -> Self {
        Chooser { limit: Limit::Parameters(budget.into()), forced: Vec::new(), n_others: 0 }
    }

    /// Chooses among groups with names, values and numbers of parameters: exactly, see [`crate::select`].
    ///
    /// # Errors
    /// [`Error::Unknown`] for a forced group that is none; [`Error::Grouping`] for two groups of one name;
    /// [`Error::ForcedTooHeavy`], [`Error::NothingFits`], [`Error::NothingUseful`] and [`Error::Unreachable`] where there is
    /// nothing to choose; others of [`Knapsack::select`] and [`Knapsack::select_reaching`].
    ///
    /// # Examples
    /// ```
    /// use hessian_lr::adapeft::Chooser;
    /// use hessian_lr::select::{Budget, Item};
    ///
    /// let item = |name: &str, value, weight| Item { name: name.into(), value, weight };
    /// let groups = [item("body", 0.5, 900), item("norm", 0.2, 20), item("head", 0.1, 80)];
    /// let chooser = Chooser { forced: vec!["head".into()], ..Chooser::within(Budget::Fraction(0.1)) };
    /// let choice = chooser.choose(&groups)?;
    /// assert_eq!(choice.chosen().collect::<Vec<_>>(), ["norm", "head"]);
    /// assert!(!choice.is_loose());
    /// # Ok::<(), hessian_lr::Error>(())
    /// ```
    pub fn choose(&self, groups: &[Item]) -> Result<Choice> {
        let names: Vec<String> = groups.iter().map(|item| item.name.clone()).collect();
        if let Some(k) = (1..names.len()).find(|k| names[..*k].contains(&names[*k])) {
            let reason = format!("two groups are called `{}`", names[k]);
            return Err(Error::Grouping { reason });
        }
        let place = |name: &String| {
            let unknown = || Error::Unknown {
                what: "forced group",
                name: name.clone(),
                known: names.clone(),
            };
            names.iter().position(|other| other == name).ok_or_else(unknown)
        };
        let forced = self.forced.iter().map(place).collect::<Result<Vec<usize>>>()?;
        let knapsack = Knapsack::from_items(groups.iter().cloned())?
            .with_others(self.n_others)?
            .with_forced(&forced)?;
        let everything = knapsack.everything();
        let forced_value = knapsack.only_forced().value;
        let (selection, budget, is_loose) = match self.limit {
            Limit::Parameters(budget) => {
                let count = knapsack.count(budget)?;
                (knapsack.select(budget)?, Some(count), everything.weight <= count)
            }
            Limit::Value(required) => {
                (knapsack.select_reaching(required)?, None, required <= forced_value)
            }
            Limit::ShareOfValue(share) => {
                if !(0.0 < share && share <= 1.0) {
                    let (name, must) = ("share of the value", "in (0, 1]");
                    return Err(Error::InvalidSetting { name, must, got: share });
                }
                let required = share * everything.value;
                if required <= 0.0 {
                    let n_not_finite = groups.iter().filter(|item| !item.value.is_finite()).count();
                    return Err(Error::NothingUseful { n_items: names.len(), n_not_finite });
                }
                (knapsack.select_reaching(required)?, None, required <= forced_value)
            }
        };
        let only_forced = selection.items().iter().all(|item| knapsack.is_forced(*item));
        let n_parameters = knapsack.total_weight();
        let is_forced = (0..names.len()).map(|k| knapsack.is_forced(k)).collect();
        let chooser = self.clone();
        Ok(Choice {
            names,
            is_forced,
            selection,
            budget,
            is_loose,
            only_forced,
            n_parameters,
            chooser,
        })
    }
}

/// Groups to train, at least one.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    names: Vec<String>,
    is_forced: Vec<bool>,
    selection: Selection,
    budget: Option<u64>,
    is_loose: bool,
    only_forced: bool,
    n_parameters: u64,
    chooser: Chooser,
}

impl Choice {
    /// Names of all groups.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Names of the chosen groups.
    pub fn chosen(&self) -> impl Iterator<Item = &str> {
        self.selection.items().iter().map(|k| self.names[*k].as_str())
    }

    /// Whether the group of that name is chosen.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.chosen().any(|chosen| chosen == name)
    }

    /// Whether the group of that name is trained in any case.
    #[must_use]
    pub fn is_forced(&self, name: &str) -> bool {
        self.names.iter().zip(&self.is_forced).any(|(other, forced)| *forced && other == name)
    }

    /// The set with its value and its number of parameters.
    #[must_use]
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// How it was chosen.
    #[must_use]
    pub fn chooser(&self) -> &Chooser {
        &self.chooser
    }

    /// The budget as a number of parameters; none where a value was required.
    #[must_use]
    pub fn budget(&self) -> Option<u64> {
        self.budget
    }

    /// All parameters, those in no group included.
    #[must_use]
    pub fn n_parameters(&self) -> u64 {
        self.n_parameters
    }

    /// Parameters of the budget that are not used; none where a value was required.
    #[must_use]
    pub fn n_unused(&self) -> Option<u64> {
        self.budget.map(|budget| budget - self.selection.weight().min(budget))
    }

    /// Whether the limit chooses nothing: the budget has room for every group with a value, or the forced groups alone are
    /// worth what is required.
    #[must_use]
    pub fn is_loose(&self) -> bool {
        self.is_loose
    }

    /// Whether nothing but forced groups is chosen.
    #[must_use]
    pub fn is_only_forced(&self) -> bool {
        self.only_forced
    }
}

/// What is chosen and how tight the limit is, in sentences.
impl std::fmt::Display for Choice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<String> = self.chosen().map(|name| format!("`{name}`")).collect();
        let (n, all) = (self.selection.weight(), self.n_parameters);
        write!(f, "{} of {} groups: {}; ", names.len(), self.names.len(), names.join(", "))?;
        write!(f, "{n} of {all} parameters ({:.3} %)", 100.0 * self.selection.share())?;
        match (self.is_loose, self.n_unused()) {
            (true, Some(unused)) => write!(
                f,
                "; the budget is loose: every group with a value fits, and {unused} parameters of it are left"
            ),
            (true, None) => {
                write!(f, "; the required value is loose: the forced groups alone reach it")
            }
            (false, Some(unused)) => write!(f, "; {unused} parameters of the budget are left"),
            (false, None) => Ok(()),
        }?;
        if self.only_forced {
            write!(f, "; nothing but forced groups is chosen")?;
        }
        Ok(())
    }
}
