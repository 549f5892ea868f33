//! What is trained.

use tensor_tree::{Differentiable, Objective, Tree};

use crate::error::Result;
use crate::problem::{LanguageProblem, Problem};

/// How good parameters are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// Mean loss over the training set, in nats, or over a fixed part of it where it is large.
    pub train_loss: f64,
    /// Mean loss over held-out samples.
    pub test_loss: f64,
    /// Share of held-out samples classified correctly, where there are classes.
    pub accuracy: Option<f64>,
}

/// Data with a network.
pub trait Subject: Sync {
    /// The network with its loss.
    type Objective: Differentiable;
    /// The network with its loss.
    fn objective(&self) -> &Self::Objective;
    /// Trainable parameters at the start.
    ///
    /// # Errors
    /// If they cannot be made.
    fn initial(&self, seed: u64) -> Result<Tree>;
    /// Number of training records.
    fn n_train(&self) -> usize;
    /// Training records as a batch.
    ///
    /// # Errors
    /// If they cannot be read.
    fn batch(&self, records: &[usize]) -> Result<<Self::Objective as Objective>::Batch>;
    /// Losses over the training set and over held-out samples.
    ///
    /// # Errors
    /// If the network fails.
    fn judge(&self, params: &Tree) -> Result<Judged>;
}

/// Training windows that are judged, and how many at a time.
const JUDGED: usize = 128;
const AT_A_TIME: usize = 32;

impl Subject for LanguageProblem {
    type Objective = <LanguageProblem as Problem>::Objective;

    fn objective(&self) -> &Self::Objective {
        Problem::objective(self)
    }

    fn initial(&self, seed: u64) -> Result<Tree> {
        Problem::initial(self, seed)
    }

    fn n_train(&self) -> usize {
        Problem::n_train(self)
    }

    fn batch(&self, records: &[usize]) -> Result<<Self::Objective as Objective>::Batch> {
        Problem::batch(self, records)
    }

    fn judge(&self, params: &Tree) -> Result<Judged> {
        let n = JUDGED.min(Problem::n_train(self));
        let records: Vec<usize> = (0..n).collect();
        let mut train_loss = 0.0;
        for part in records.chunks(AT_A_TIME) {
            let batch = Problem::batch(self, part)?;
            let losses =
                Problem::objective(self).losses(params, &batch, tensor_tree::Pass::Eval)?;
            train_loss += losses.mean()? * part.len() as f64 / n as f64;
        }
        let test = self.evaluate(params)?;
        Ok(Judged { train_loss, test_loss: test.loss, accuracy: test.accuracy })
    }
}
