//! State that can be saved: named entries in a safetensors file with version, configuration hash and checksum.

mod file;

use std::collections::BTreeMap;

use candle_core::Tensor;

pub use file::{Header, from_bytes, read, to_bytes, write};

use crate::error::{Error, Result};
use crate::tree::Tree;

/// State that can be written under names and read back.
///
/// [`crate::Key`] deliberately has no implementation: a state that hides one does not compile.
pub trait Checkpoint: Sized {
    /// Writes every part under a name of its own.
    ///
    /// # Errors
    /// If a name is written twice.
    fn save(&self, out: &mut StateWriter) -> Result<()>;
    /// Reads what `save` wrote.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if an entry is missing or of another kind.
    fn load(from: &mut StateReader<'_>) -> Result<Self>;
}

/// One saved value.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    Tensor(Tensor),
    Count(u64),
    /// As bits, so that every value comes back exactly.
    Number(u64),
    Text(String),
}

/// Everything that was saved, by path.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub(crate) entries: BTreeMap<String, Entry>,
}

/// Collects entries.
#[derive(Debug, Default)]
pub struct StateWriter {
    prefix: String,
    state: State,
}

impl StateWriter {
    /// An empty collection.
    #[must_use]
    pub fn new() -> Self {
        StateWriter::default()
    }

    /// What was collected.
    #[must_use]
    pub fn finish(self) -> State {
        self.state
    }

    /// Writes `value` under `name/`.
    ///
    /// # Errors
    /// As [`Checkpoint::save`].
    pub fn part(&mut self, name: &str, value: &impl Checkpoint) -> Result<()> {
        self.scope(name, |out| value.save(out))
    }

    /// Runs `f` with `name/` in front of every name.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn scope(&mut self, name: &str, f: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let len = self.prefix.len();
        self.prefix.push_str(name);
        self.prefix.push('/');
        let result = f(self);
        self.prefix.truncate(len);
        result
    }

    /// Writes a tree.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn tree(&mut self, name: &str, tree: &Tree) -> Result<()> {
        self.scope(name, |out| {
            out.count("#leaves", tree.len() as u64)?;
            tree.iter().try_for_each(|(leaf, tensor)| out.tensor(leaf, tensor))
        })
    }

    /// Writes a tensor.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn tensor(&mut self, name: &str, tensor: &Tensor) -> Result<()> {
        self.entry(name, Entry::Tensor(tensor.detach()))
    }

    /// Writes a count.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn count(&mut self, name: &str, value: u64) -> Result<()> {
        self.entry(name, Entry::Count(value))
    }

    /// Writes a number, exactly.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn number(&mut self, name: &str, value: f64) -> Result<()> {
        self.entry(name, Entry::Number(value.to_bits()))
    }

    /// Writes a text.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn text(&mut self, name: &str, value: &str) -> Result<()> {
        self.entry(name, Entry::Text(value.to_owned()))
    }

    fn entry(&mut self, name: &str, entry: Entry) -> Result<()> {
        let path = format!("{}{name}", self.prefix);
        match self.state.entries.insert(path.clone(), entry) {
            None => Ok(()),
            Some(_) => {
                Err(Error::Checkpoint { path: None, reason: format!("`{path}` is written twice") })
            }
        }
    }
}

/// Gives entries back.
#[derive(Debug)]
pub struct StateReader<'a> {
    prefix: String,
    state: &'a State,
}

impl<'a> StateReader<'a> {
    /// Reads from what was saved.
    #[must_use]
    pub fn new(state: &'a State) -> Self {
        StateReader { prefix: String::new(), state }
    }

    /// Reads a part written by [`StateWriter::part`].
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    pub fn part<T: Checkpoint>(&mut self, name: &str) -> Result<T> {
        self.scope(name, T::load)
    }

    /// Runs `f` with `name/` in front of every name.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn scope<T>(&mut self, name: &str, f: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let len = self.prefix.len();
        self.prefix.push_str(name);
        self.prefix.push('/');
        let result = f(self);
        self.prefix.truncate(len);
        result
    }

    /// Reads a tree.
    ///
    /// # Errors
    /// If it is missing, or leaves of it are.
    pub fn tree(&mut self, name: &str) -> Result<Tree> {
        self.scope(name, |from| {
            let n_leaves = from.count("#leaves")?;
            let mut tree = Tree::new();
            for (path, entry) in from.state.entries.range(from.prefix.clone()..) {
                let Some(leaf) = path.strip_prefix(&from.prefix) else { break };
                if let Entry::Tensor(tensor) = entry {
                    tree.insert(leaf, tensor.clone())?;
                }
            }
            if tree.len() as u64 != n_leaves {
                return Err(Error::Checkpoint {
                    path: None,
                    reason: format!(
                        "tree `{}` should have {n_leaves} leaves, found {}",
                        from.prefix,
                        tree.len()
                    ),
                });
            }
            Ok(tree)
        })
    }

    /// Reads a tensor.
    ///
    /// # Errors
    /// If it is missing or not a tensor.
    pub fn tensor(&mut self, name: &str) -> Result<Tensor> {
        match self.entry(name)? {
            Entry::Tensor(tensor) => Ok(tensor.clone()),
            other => Err(self.wrong_kind(name, "a tensor", other)),
        }
    }

    /// Reads a count.
    ///
    /// # Errors
    /// If it is missing or not a count.
    pub fn count(&mut self, name: &str) -> Result<u64> {
        match self.entry(name)? {
            Entry::Count(value) => Ok(*value),
            other => Err(self.wrong_kind(name, "a count", other)),
        }
    }

    /// Reads a number.
    ///
    /// # Errors
    /// If it is missing or not a number.
    pub fn number(&mut self, name: &str) -> Result<f64> {
        match self.entry(name)? {
            Entry::Number(bits) => Ok(f64::from_bits(*bits)),
            other => Err(self.wrong_kind(name, "a number", other)),
        }
    }

    /// Reads a text.
    ///
    /// # Errors
    /// If it is missing or not a text.
    pub fn text(&mut self, name: &str) -> Result<String> {
        match self.entry(name)? {
            Entry::Text(text) => Ok(text.clone()),
            other => Err(self.wrong_kind(name, "a text", other)),
        }
    }

    fn entry(&self, name: &str) -> Result<&'a Entry> {
        let path = format!("{}{name}", self.prefix);
        self.state.entries.get(&path).ok_or_else(|| Error::Checkpoint {
            path: None,
            reason: format!("entry `{path}` is missing"),
        })
    }

    fn wrong_kind(&self, name: &str, expected: &str, got: &Entry) -> Error {
        let got = match got {
            Entry::Tensor(_) => "a tensor",
            Entry::Count(_) => "a count",
            Entry::Number(_) => "a number",
            Entry::Text(_) => "a text",
        };
        Error::Checkpoint {
            path: None,
            reason: format!("entry `{}{name}`: expected {expected}, got {got}", self.prefix),
        }
    }
}

impl Checkpoint for () {
    fn save(&self, _out: &mut StateWriter) -> Result<()> {
        Ok(())
    }

    fn load(_from: &mut StateReader<'_>) -> Result<Self> {
        Ok(())
    }
}

impl<A: Checkpoint, B: Checkpoint> Checkpoint for (A, B) {
    fn save(&self, out: &mut StateWriter) -> Result<()> {
        out.part("0", &self.0)?;
        out.part("1", &self.1)
    }

    fn load(from: &mut StateReader<'_>) -> Result<Self> {
        Ok((from.part("0")?, from.part("1")?))
    }
}

impl Checkpoint for Tree {
    fn save(&self, out: &mut StateWriter) -> Result<()> {
        out.tree("tree", self)
    }

    fn load(from: &mut StateReader<'_>) -> Result<Self> {
        from.tree("tree")
    }
}

#[cfg(test)]
mod tests;
