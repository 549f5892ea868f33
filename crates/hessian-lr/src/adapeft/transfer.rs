//! A choice for one model from the values found on another.

use super::choice::{Choice, Chooser};
use super::report::Report;
use crate::criterion::Group;
use crate::error::{Error, Result};
use crate::grouping::Grouping;
use crate::select::Item;

/// A choice for another model.
#[derive(Clone, Debug)]
pub struct Transfer {
    /// The patterns of the report.
    pub grouping: Grouping,
    /// The groups of the other model with their numbers of parameters, in the order of the report.
    pub groups: Vec<Group>,
    /// What to train of it.
    pub choice: Choice,
}

fn refused(reason: String) -> Error {
    Error::Transfer { reason }
}

impl Report {
    /// Chooses groups of another model, given by the names and sizes of its parameters: groups are formed by the patterns of this
    /// report, their values are kept, their weights are the other model's. [`Report::chooser`] gives what bounded the choice
    /// here.
    ///
    /// # Errors
    /// [`Error::Transfer`] with the first parameter that no group matches or two do, or that is in a group without a value
    /// here, and with every group that matches no parameter; those of [`Chooser::choose`].
    ///
    /// # Source
    /// arXiv 2505.12579: subsets found on small models and used on larger ones.
    pub fn transfer<'n>(
        &self,
        parameters: impl IntoIterator<Item = (&'n str, u64)>,
        chooser: &Chooser,
    ) -> Result<Transfer> {
        let names = self.grouping.names();
        let mut sizes: Vec<Option<u64>> = vec![None; self.groups.len()];
        for (parameter, size) in parameters {
            let group = self.grouping.of(parameter).map_err(|error| match error {
                Error::Grouping { reason } => refused(reason),
                other => other,
            })?;
            let known = self.groups.iter().position(|known| known.name == names[group]);
            let Some(place) = known else {
                return Err(refused(format!(
                    "`{parameter}` is in group `{}`, of which the report has no value",
                    names[group]
                )));
            };
            let so_far = sizes[place].unwrap_or(0);
            let overflow =
                || Error::WeightOverflow { item: parameter.to_owned(), weight: size, sum: so_far };
            sizes[place] = Some(so_far.checked_add(size).ok_or_else(overflow)?);
        }
        let absent: Vec<&str> = self
            .groups
            .iter()
            .zip(&sizes)
            .filter(|(_, size)| size.is_none())
            .map(|(group, _)| group.name.as_str())
            .collect();
        if !absent.is_empty() {
            return Err(refused(format!("no parameter is in `{}`", absent.join("`, `"))));
        }
        let sized = || self.groups.iter().zip(sizes.iter().map(|size| size.unwrap_or(0)));
        let items: Vec<Item> = sized()
            .map(|(group, weight)| Item {
                name: group.name.clone(),
                // A value that was not finite here is never chosen there.
                value: group.value.unwrap_or(f64::NAN),
                weight,
            })
            .collect();
        Ok(Transfer {
            grouping: self.grouping.clone(),
            groups: sized().map(|(group, size)| Group { name: group.name.clone(), size }).collect(),
            choice: chooser.choose(&items)?,
        })
    }
}
