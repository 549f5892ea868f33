//! How a model was asked for what a score is of.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a model was asked: part of what a score means where a model was examined here, unknown where texts or losses came from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conditions {
    /// How input and output became one text, in words.
    pub join: String,
    /// Most tokens of a greedy generation; absent where the score rests on none.
    pub max_new: Option<usize>,
}

impl Conditions {
    /// The same of scores that rest on losses alone.
    #[must_use]
    pub fn without_texts(&self) -> Self {
        Conditions { max_new: None, ..self.clone() }
    }
}

impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "join `{}`", self.join)?;
        match self.max_new {
            Some(n) => write!(f, ", greedy texts of at most {n} tokens"),
            None => Ok(()),
        }
    }
}
