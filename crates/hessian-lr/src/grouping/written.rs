//! Groupings as they are written and read.

use serde::{Deserialize, Serialize};

use super::{Group, Grouping, compiled};
use crate::error::{Error, Result};

/// A grouping whose patterns are not looked at yet.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    /// Whether the first group that matches counts, instead of the only one.
    first_match: bool,
    groups: Vec<WrittenGroup>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenGroup {
    name: String,
    /// Regular expressions that a name must match, all of them.
    all: Vec<String>,
}

impl From<Grouping> for Written {
    fn from(grouping: Grouping) -> Self {
        let group = |group: Group| WrittenGroup {
            all: group.all.iter().map(|pattern| pattern.as_str().to_owned()).collect(),
            name: group.name,
        };
        let first_match = grouping.first;
        Written { first_match, groups: grouping.groups.into_iter().map(group).collect() }
    }
}

impl TryFrom<Written> for Grouping {
    type Error = Error;

    fn try_from(written: Written) -> Result<Self> {
        let mut groups = Vec::with_capacity(written.groups.len());
        for WrittenGroup { name, all } in written.groups {
            if all.is_empty() {
                let reason = format!("group `{name}` has no pattern");
                return Err(Error::Grouping { reason });
            }
            let all = all.iter().map(|pattern| compiled(pattern)).collect::<Result<_>>()?;
            groups.push(Group { name, all });
        }
        Grouping::of_groups(groups, written.first_match)
    }
}
