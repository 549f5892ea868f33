//! Values by chance.

use rand::RngExt;
use tensor_tree::{Key, Label};

use super::{Criterion, Group, Memory, Seen};
use crate::error::Result;

/// A number for each group, uniform on `(0, 1]`, times its size: groups in random order of value for each parameter. What
/// any other criterion has to beat at the same budget.
///
/// The number depends on the key and the group's name alone, so that other groups change nothing.
#[derive(Clone, Copy, Debug)]
pub struct Random(
    /// Where the numbers come from.
    pub Key,
);

impl Criterion for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn init(&self, groups: &[Group]) -> Result<Memory> {
        let draw = |group: &Group| {
            let uniform: f64 = self.0.child(Label::Leaf(&group.name)).rng().random();
            (1.0 - uniform) * group.size as f64
        };
        Ok(Memory { count: 0, numbers: groups.iter().map(draw).collect() })
    }

    fn observe(&self, _: &Seen<'_>, _: &mut Memory) -> Result<()> {
        Ok(())
    }
}
