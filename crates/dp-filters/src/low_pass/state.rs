//! What a filter remembers: earlier gradients, earlier results, and its gains.

use std::collections::VecDeque;

use tensor_tree::{Checkpoint, Error, Result, StateReader, StateWriter, Tree};

use crate::filter::{Filter, Gain, Gains, other_filter};

/// Memory of a [`crate::LowPass`]. What lies before the first step is zero and takes no memory.
///
/// # Privacy
/// A function of released gradients: it may be shown and saved.
#[derive(Clone, Debug, Default)]
pub struct LowPassState {
    /// The filter that made it, after the first step.
    filter: Option<Filter>,
    gains: Gains,
    /// `m_{t-1}, m_{t-2}, ...`: `na` at most.
    outputs: VecDeque<Tree>,
    /// `g_{t-1}, g_{t-2}, ...`: `nb` at most.
    inputs: VecDeque<Tree>,
}

impl LowPassState {
    /// Steps taken.
    #[must_use]
    pub fn step(&self) -> u64 {
        self.gains.step()
    }

    /// How many trees are kept now: `na + nb` after the first steps.
    #[must_use]
    pub fn n_buffers(&self) -> usize {
        self.outputs.len() + self.inputs.len()
    }

    /// `m_t`, the gains of the step, and the state after it. This state is left alone.
    pub(super) fn advanced(&self, filter: &Filter, grads: Tree) -> Result<(Tree, Gain, Self)> {
        let (na, nb) = (filter.a().len(), filter.b().len().saturating_sub(1));
        self.check(filter, na, nb)?;
        let mut next = self.clone();
        next.filter.get_or_insert_with(|| filter.clone());
        let gain = next.gains.next(filter);
        let b0 = filter.b().first().copied().unwrap_or(0.0);
        let past = filter.a().iter().map(|a| -a).zip(&self.outputs);
        let mut past = past.chain(filter.b().iter().skip(1).copied().zip(&self.inputs));
        // One pass for the first pair, one for each other.
        let mut sum = match past.next() {
            Some((factor, tree)) => grads.lin_comb(b0, factor, &tree.beside(&grads)?)?,
            None => grads.scale(b0)?,
        };
        for (factor, tree) in past {
            sum = sum.add_scaled(factor, &tree.beside(&grads)?)?;
        }
        push(&mut next.inputs, grads, nb);
        push(&mut next.outputs, sum.clone(), na);
        Ok((sum, gain, next))
    }

    fn check(&self, filter: &Filter, na: usize, nb: usize) -> Result<()> {
        if let Some(own) = self.filter.as_ref().filter(|own| *own != filter) {
            let of = |filter: &Filter| format!("a = {:?}, b = {:?}", filter.a(), filter.b());
            let reason = format!(
                "state of another filter: of {}, to go on with {}; go on with the former, or begin with a new state",
                of(own),
                of(filter)
            );
            return Err(Error::Checkpoint { path: None, reason });
        }
        self.gains.check(na)?;
        let seen = |n: usize| usize::try_from(self.step()).map_or(n, |t| t.min(n));
        for (what, found, n) in
            [("results", self.outputs.len(), na), ("gradients", self.inputs.len(), nb)]
        {
            if found != seen(n) {
                return Err(other_filter(what, seen(n), found));
            }
        }
        Ok(())
    }
}

fn push(past: &mut VecDeque<Tree>, newest: Tree, n: usize) {
    if n == 0 {
        return;
    }
    past.truncate(n - 1);
    past.push_front(newest);
}

fn save(out: &mut StateWriter, name: &str, past: &VecDeque<Tree>) -> Result<()> {
    out.scope(name, |out| {
        out.count("#trees", past.len() as u64)?;
        past.iter().enumerate().try_for_each(|(r, tree)| out.tree(&r.to_string(), tree))
    })
}

fn load(from: &mut StateReader<'_>, name: &str) -> Result<VecDeque<Tree>> {
    from.scope(name, |from| (0..from.count("#trees")?).map(|r| from.tree(&r.to_string())).collect())
}

fn save_numbers(out: &mut StateWriter, name: &str, numbers: &[f64]) -> Result<()> {
    out.scope(name, |out| {
        out.count("#numbers", numbers.len() as u64)?;
        numbers.iter().enumerate().try_for_each(|(r, x)| out.number(&r.to_string(), *x))
    })
}

fn load_numbers(from: &mut StateReader<'_>, name: &str) -> Result<Vec<f64>> {
    from.scope(name, |from| {
        (0..from.count("#numbers")?).map(|r| from.number(&r.to_string())).collect()
    })
}

impl Checkpoint for LowPassState {
    fn save(&self, out: &mut StateWriter) -> Result<()> {
        if let Some(filter) = &self.filter {
            save_numbers(out, "a", filter.a())?;
            save_numbers(out, "b", filter.b())?;
        }
        out.part("gains", &self.gains)?;
        save(out, "outputs", &self.outputs)?;
        save(out, "inputs", &self.inputs)
    }

    fn load(from: &mut StateReader<'_>) -> Result<Self> {
        let gains: Gains = from.part("gains")?;
        let filter = match gains.step() {
            0 => None,
            // To be compared and not to be used, so nothing else is checked.
            _ => Some(Filter::known(&load_numbers(from, "a")?, &load_numbers(from, "b")?)),
        };
        Ok(LowPassState {
            filter,
            gains,
            outputs: load(from, "outputs")?,
            inputs: load(from, "inputs")?,
        })
    }
}
