//! What groups of parameters are worth to a choice among them: the published value and its rivals, behind one trait.
//!
//! | criterion | value of a group | needs |
//! | --- | --- | --- |
//! | [`Influence`] | the decrease of the loss that fits along its direction promise, summed over fits | fits |
//! | [`GradientNorm`] | the squared norm of its gradient, summed over steps | gradients |
//! | [`Fisher`] | the trace of its block of the empirical Fisher information | gradients of single samples |
//! | `Random` (feature `tensor`) | a random number for each parameter | a key |
//!
//! Values are additive over groups as a knapsack wants them: each is the sum of something over the group's parameters.
//! [`Influence`] alone is a decrease of the loss; the others only rank.
//!
//! # Own criteria
//! ```
//! use hessian_lr::criterion::{Criterion, Group, Memory, Seen};
//!
//! /// The largest squared norm of a group's gradient that was seen.
//! #[derive(Debug)]
//! struct LargestGradient;
//!
//! impl Criterion for LargestGradient {
//!     fn name(&self) -> &str {
//!         "largest_gradient"
//!     }
//!     fn observe(&self, seen: &Seen<'_>, memory: &mut Memory) -> hessian_lr::Result<()> {
//!         for (largest, square) in memory.numbers.iter_mut().zip(seen.squares) {
//!             *largest = largest.max(*square);
//!         }
//!         Ok(())
//!     }
//! }
//!
//! let groups = [Group { name: "body".into(), size: 10 }, Group { name: "head".into(), size: 2 }];
//! let mut memory = LargestGradient.init(&groups)?;
//! for squares in [[1.0, 0.5], [0.25, 4.0]] {
//!     LargestGradient.observe(&Seen::new(&squares), &mut memory)?;
//! }
//! assert_eq!(LargestGradient.values(&memory), [1.0, 4.0]);
//! # Ok::<(), hessian_lr::Error>(())
//! ```

mod fisher;
mod gradient_norm;
mod influence;
#[cfg(feature = "tensor")]
mod random;

pub use fisher::Fisher;
pub use gradient_norm::GradientNorm;
pub use influence::Influence;
#[cfg(feature = "tensor")]
pub use random::Random;

use crate::controller::FitReport;
use crate::error::{Error, Result};

/// A group whose value is wanted.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Number of its parameters.
    pub size: u64,
}

/// What a criterion remembers between steps: it is saved bit by bit.
#[derive(Clone, Debug, PartialEq)]
pub struct Memory {
    /// What was counted: steps, fits or samples.
    pub count: u64,
    /// Numbers: at first one 0 for each group. A criterion may keep as many as it likes.
    pub numbers: Vec<f64>,
}

/// What one step shows to criteria.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Seen<'a> {
    /// The squared Euclidean norm of each group's part of the gradient of the batch's reduced loss, `[group]`.
    pub squares: &'a [f64],
    /// The squared norms of each sample's gradient, `[group][sample]`, where those were computed.
    pub samples: Option<&'a [Vec<f64>]>,
    /// The fit before this step, if there was one.
    pub fit: Option<&'a FitReport>,
    /// Parameters before the step, and their gradient.
    #[cfg(feature = "tensor")]
    pub trees: Option<Trees<'a>>,
}

/// The tensors of a step.
#[cfg(feature = "tensor")]
#[derive(Clone, Copy, Debug)]
pub struct Trees<'a> {
    /// Parameters before the step.
    pub params: &'a tensor_tree::Tree,
    /// The gradient of the batch's reduced loss.
    pub grads: &'a tensor_tree::Tree,
    /// Which leaf is in which group.
    pub groups: &'a tensor_tree::Groups,
}

impl<'a> Seen<'a> {
    /// A step of which only the squared norms of gradients are known, `[group]`.
    #[must_use]
    pub fn new(squares: &'a [f64]) -> Self {
        Seen {
            squares,
            samples: None,
            fit: None,
            #[cfg(feature = "tensor")]
            trees: None,
        }
    }

    /// With the squared norms of each sample's gradient, `[group][sample]`.
    #[must_use]
    pub fn with_samples(self, samples: &'a [Vec<f64>]) -> Self {
        Seen { samples: Some(samples), ..self }
    }

    /// With the fit before the step.
    #[must_use]
    pub fn with_fit(self, fit: Option<&'a FitReport>) -> Self {
        Seen { fit, ..self }
    }

    /// With the tensors of the step.
    #[cfg(feature = "tensor")]
    #[must_use]
    pub fn with_trees(self, trees: Trees<'a>) -> Self {
        Seen { trees: Some(trees), ..self }
    }
}

/// Values of groups from what is seen of them over some steps. Settings live in `self`, memory in [`Memory`].
pub trait Criterion: std::fmt::Debug + Send + Sync {
    /// What reports call it; two criteria of one phase need different names.
    fn name(&self) -> &str;

    /// Whether [`Seen::samples`] must be there.
    fn needs_samples(&self) -> bool {
        false
    }

    /// Memory before the first step: a zero for each group, unless the criterion says otherwise.
    ///
    /// # Errors
    /// For settings outside their range.
    fn init(&self, groups: &[Group]) -> Result<Memory> {
        Ok(Memory { count: 0, numbers: vec![0.0; groups.len()] })
    }

    /// Takes a step into account. What it does to the memory before an error does not count: callers keep the one from before.
    ///
    /// # Errors
    /// [`Error::NonFinite`] for numbers that would spoil all values; [`Error::Length`] for another number of groups;
    /// [`Error::NoSamples`] without what [`Criterion::needs_samples`] asks for.
    fn observe(&self, seen: &Seen<'_>, memory: &mut Memory) -> Result<()>;

    /// The value of each group, as a knapsack wants them: the memory's numbers, unless the criterion says otherwise.
    fn values(&self, memory: &Memory) -> Vec<f64> {
        memory.numbers.clone()
    }
}

/// Adds a number to that of each group.
fn add(
    memory: &mut Memory,
    what: &'static str,
    numbers: impl ExactSizeIterator<Item = f64>,
) -> Result<()> {
    let (expected, got) = (memory.numbers.len(), numbers.len());
    if expected != got {
        return Err(Error::Length { name: "groups of a criterion", expected, got });
    }
    for (sum, number) in memory.numbers.iter_mut().zip(numbers) {
        let total = *sum + number;
        if !total.is_finite() {
            return Err(Error::NonFinite { what, got: number });
        }
        *sum = total;
    }
    Ok(())
}
