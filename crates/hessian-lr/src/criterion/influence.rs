//! The value of AdaPEFT.

use super::{Criterion, Memory, Seen, add};
use crate::error::Result;
use crate::fit::Parabola;
use crate::influence::{accepted, by_group};

/// The decrease of the loss along a group's part of the direction, summed over fits that were accepted:
/// `sum b_k^2 / (2 A_kk)`. Other fits add 0.
///
/// # Source
/// arXiv 2505.12579.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Influence;

impl Criterion for Influence {
    fn name(&self) -> &'static str {
        "influence"
    }

    fn observe(&self, seen: &Seen<'_>, memory: &mut Memory) -> Result<()> {
        let Some(fit) = seen.fit else { return Ok(()) };
        let axes = by_group(fit, memory.numbers.len())?;
        let decrease = |axis| accepted(axis).as_ref().map_or(0.0, Parabola::decrease);
        add(memory, "influence of a group", axes.into_iter().map(decrease))?;
        memory.count += 1;
        Ok(())
    }
}
