//! Training exactly what was chosen.

use tensor_tree::{Groups, Tree};

use super::choice::Choice;
use crate::error::{Error, Result};

impl Choice {
    /// Splits parameters into those of the chosen groups, which are trained, and the others, which are frozen:
    /// `(trainable, frozen)`.
    ///
    /// What is frozen goes to the model (such as `tape_nn::Classifier::with_frozen`), beside what was frozen there before:
    /// layers record no gradient of it, nothing of the graph before the first trained leaf is kept, and no optimizer sees it.
    /// Optimizers begin anew, with `init` of the trainable leaves: moments of the probe phase belong to another problem.
    ///
    /// # Errors
    /// [`tensor_tree::Error::Groups`] unless the groups are those of the parameters; [`Error::Unknown`] if one of them is
    /// none that was chosen among.
    pub fn split(&self, groups: &Groups, params: &Tree) -> Result<(Tree, Tree)> {
        groups.check(params)?;
        if let Some(name) = groups.names().iter().find(|name| !self.names().contains(name)) {
            let (what, known) = ("group of the choice", self.names().to_vec());
            return Err(Error::Unknown { what, name: name.clone(), known });
        }
        let chosen: Vec<bool> = groups.names().iter().map(|name| self.contains(name)).collect();
        Ok(params.partition(|leaf| groups.of(leaf).is_ok_and(|k| chosen[k])))
    }
}
