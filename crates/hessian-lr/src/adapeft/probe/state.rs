//! Memory of a probe phase, and how it is saved.

use tensor_tree::{Checkpoint, StateReader, StateWriter, Tree};

use crate::controller::State;
use crate::criterion::{Group, Memory};
use crate::driver::AutoRateState;
use crate::influence::Accumulator;

/// Memory of a probe phase.
#[derive(Clone, Debug)]
pub struct ProbeState<M> {
    pub(super) start: Tree,
    pub(super) params: Tree,
    pub(super) auto: AutoRateState<State, M>,
    pub(super) groups: Vec<Group>,
    pub(super) influence: Accumulator,
    /// By the name of the criterion.
    pub(super) memories: Vec<(String, Memory)>,
    pub(super) n_steps: u64,
}

impl<M> ProbeState<M> {
    /// The parameters before the phase, which it leaves as they were: to train the choice from there.
    #[must_use]
    pub fn start(&self) -> &Tree {
        &self.start
    }

    /// The parameters after the steps so far: to go on from here.
    #[must_use]
    pub fn params(&self) -> &Tree {
        &self.params
    }

    /// Steps taken.
    #[must_use]
    pub fn n_steps(&self) -> u64 {
        self.n_steps
    }

    /// What fits said so far.
    #[must_use]
    pub fn influence(&self) -> &Accumulator {
        &self.influence
    }
}

impl Checkpoint for Memory {
    fn save(&self, out: &mut StateWriter) -> tensor_tree::Result<()> {
        out.count("count", self.count)?;
        out.count("#numbers", self.numbers.len() as u64)?;
        let mut numbers = self.numbers.iter().enumerate();
        numbers.try_for_each(|(i, number)| out.number(&i.to_string(), *number))
    }

    fn load(from: &mut StateReader<'_>) -> tensor_tree::Result<Self> {
        let count = from.count("count")?;
        let n = from.count("#numbers")?;
        let numbers = (0..n).map(|i| from.number(&i.to_string())).collect::<Result<_, _>>()?;
        Ok(Memory { count, numbers })
    }
}

fn unreadable(error: &serde_json::Error) -> tensor_tree::Error {
    tensor_tree::Error::Checkpoint { path: None, reason: format!("probe phase: {error}") }
}

impl<M: Checkpoint> Checkpoint for ProbeState<M> {
    fn save(&self, out: &mut StateWriter) -> tensor_tree::Result<()> {
        let text = |value: serde_json::Result<String>| value.map_err(|e| unreadable(&e));
        out.tree("start", &self.start)?;
        out.tree("params", &self.params)?;
        out.part("auto", &self.auto)?;
        out.text("groups", &text(serde_json::to_string(&self.groups))?)?;
        out.text("influence", &text(serde_json::to_string(&self.influence))?)?;
        let names: Vec<&String> = self.memories.iter().map(|(name, _)| name).collect();
        out.text("criteria", &text(serde_json::to_string(&names))?)?;
        for (i, (_, memory)) in self.memories.iter().enumerate() {
            out.part(&format!("memory{i}"), memory)?;
        }
        out.count("n_steps", self.n_steps)
    }

    fn load(from: &mut StateReader<'_>) -> tensor_tree::Result<Self> {
        let names: Vec<String> =
            serde_json::from_str(&from.text("criteria")?).map_err(|e| unreadable(&e))?;
        let mut memories = Vec::with_capacity(names.len());
        for (i, name) in names.into_iter().enumerate() {
            memories.push((name, from.part(&format!("memory{i}"))?));
        }
        Ok(ProbeState {
            start: from.tree("start")?,
            params: from.tree("params")?,
            auto: from.part("auto")?,
            groups: serde_json::from_str(&from.text("groups")?).map_err(|e| unreadable(&e))?,
            influence: serde_json::from_str(&from.text("influence")?)
                .map_err(|e| unreadable(&e))?,
            memories,
            n_steps: from.count("n_steps")?,
        })
    }
}
