//! Training of some parameters on the new domain, and the search of its rate.

use tape_nn::net::LanguageModel;
use tensor_tree::{AdamW, Differentiable, Pass, Reduction, Schedule, Transform};

use super::corpus::{Corpus, loss};
use super::net::Net;
use crate::error::{Error, Result};
use crate::machine;
use crate::session::Session;

/// Half decades.
pub(super) const RATES: [f64; 7] = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1];

/// How long, and from which batches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course {
    pub(super) steps: u64,
    /// Windows of a batch.
    pub(super) batch: usize,
    pub(super) seed: u64,
}

/// What came of a training.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tuned {
    /// Loss of the test windows.
    pub(super) test: f64,
    /// Loss of the windows for choices.
    pub(super) valid: f64,
    /// Of the processor, all threads and all steps, without evaluations.
    pub(super) seconds: f64,
    /// Trained parameters.
    pub(super) n_trained: f64,
}

impl Tuned {
    pub(super) fn to_values(self) -> Vec<f64> {
        vec![self.test, self.valid, self.seconds, self.n_trained]
    }

    pub(super) fn from_values(values: &[f64]) -> Result<Self> {
        match *values {
            [test, valid, seconds, n_trained] => Ok(Tuned { test, valid, seconds, n_trained }),
            _ => Err(Error::TooFewRuns),
        }
    }
}

/// Trains what `is_trained` names with AdamW and a rate that falls to a tenth; nothing, if it names nothing.
pub(super) fn tune<M: LanguageModel + Clone>(
    session: &Session,
    net: &Net<M>,
    is_trained: impl FnMut(&str) -> bool,
    corpus: &Corpus,
    course: Course,
    rate: f64,
) -> Result<Tuned> {
    let (objective, mut params) = net.training(is_trained);
    let optimizer = AdamW::default();
    let mut state = optimizer.init(&params)?;
    let schedule = Schedule::Linear { warmup: 0, total: course.steps, floor: 0.1 };
    let started = machine::cpu_seconds();
    let steps = if params.is_empty() { 0 } else { course.steps };
    for step in 0..steps {
        if session.interrupt.is_set() {
            return Err(Error::Interrupted);
        }
        let batch = corpus.batch(course.batch, course.seed, step)?;
        let (_, grads) = objective.value_and_grad(&params, &batch, Pass::Eval, Reduction::Mean)?;
        let direction = optimizer.update(grads, &params, &mut state)?;
        params = params.descend(&direction, &(rate * schedule.factor(step)).into())?;
    }
    let seconds = machine::cpu_seconds() - started;
    Ok(Tuned {
        test: loss(&objective, &params, &corpus.test)?,
        valid: loss(&objective, &params, &corpus.valid)?,
        seconds,
        n_trained: params.n_elements() as f64,
    })
}

/// The index below `n` at which `f` is least, walking downhill from `start`: the neighbours of the answer were tried. What is
/// not finite counts as infinite.
pub(super) fn downhill(
    n: usize,
    start: usize,
    mut f: impl FnMut(usize) -> Result<f64>,
) -> Result<usize> {
    let mut known = vec![None; n];
    let mut value = |i: usize| -> Result<f64> {
        match known[i] {
            Some(value) => Ok(value),
            None => {
                let value = f(i)?;
                let value = if value.is_finite() { value } else { f64::INFINITY };
                known[i] = Some(value);
                Ok(value)
            }
        }
    };
    let mut best = start;
    loop {
        let here = value(best)?;
        let mut next = best;
        let mut least = here;
        for neighbour in [best.checked_sub(1), Some(best + 1)].into_iter().flatten() {
            if neighbour < n && value(neighbour)? < least {
                (next, least) = (neighbour, value(neighbour)?);
            }
        }
        if next == best {
            return Ok(best);
        }
        best = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_walk_ends_where_both_neighbours_are_higher() {
        let mut asked = 0;
        let best = downhill(7, 3, |i| {
            asked += 1;
            Ok((i as f64 - 5.0).powi(2))
        });
        assert_eq!((best.unwrap(), asked), (5, 5));
        assert_eq!(downhill(7, 3, |i| Ok(i as f64)).unwrap(), 0);
        let high = |i| Ok(if i < 3 { 1.0 } else { f64::NAN });
        assert_eq!(downhill(7, 3, high).unwrap(), 2);
    }
}
