//! A data set with a network: what the training loop needs to know of both.

mod images;
mod language;
mod restaurants;

pub use images::ImageProblem;
pub use language::{LanguageProblem, Tuning, WINDOW};
pub use restaurants::Restaurants;

use tensor_tree::{PerSampleDifferentiable, Tree};

use crate::error::Result;

/// Quality on held-out data.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Quality {
    /// Mean loss per sample, in nats.
    #[serde(with = "crate::number")]
    pub loss: f64,
    /// Share of samples classified correctly, where there are classes.
    pub accuracy: Option<f64>,
}

/// Something to train.
pub trait Problem {
    /// The model with its loss.
    type Objective: PerSampleDifferentiable;

    /// Data set and network, such as `mnist/cnn`.
    fn name(&self) -> &str;
    /// What one unit of privacy is, in words.
    fn unit(&self) -> &'static str;
    /// The model with its loss.
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
    fn batch(
        &self,
        records: &[usize],
    ) -> Result<<Self::Objective as tensor_tree::Objective>::Batch>;
    /// Quality on held-out data.
    ///
    /// # Errors
    /// If the model fails.
    fn evaluate(&self, params: &Tree) -> Result<Quality>;
    /// What the model writes for a held-out record, if it writes: the record, and its text.
    ///
    /// # Errors
    /// If the model fails.
    fn sample(&self, _params: &Tree) -> Result<Option<(String, String)>> {
        Ok(None)
    }
}
