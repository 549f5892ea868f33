//! Empirical Fisher information.

use super::{Criterion, Memory, Seen, add};
use crate::error::{Error, Result};

/// The trace of a group's block of the empirical Fisher information: the mean over all samples of all steps of
/// `|g_ik|^2`, where `g_i` is the gradient of the sample's own mean loss at its given label. Over the group's size it is the
/// mean squared gradient of a parameter.
///
/// *Empirical*: labels are those of the data, not drawn from the model, so that this is no curvature but near a minimum of a
/// model that fits. Parameters move during a probe phase, and each sample counts where it was seen.
///
/// # Source
/// The mean squared gradient that selects sparse masks in arXiv 2111.09839 (FISH Mask), summed over groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fisher;

impl Criterion for Fisher {
    fn name(&self) -> &'static str {
        "fisher"
    }

    fn needs_samples(&self) -> bool {
        true
    }

    fn observe(&self, seen: &Seen<'_>, memory: &mut Memory) -> Result<()> {
        let Some(samples) = seen.samples else {
            return Err(Error::NoSamples { criterion: self.name().into() });
        };
        let n = samples.first().map_or(0, Vec::len);
        if let Some(other) = samples.iter().find(|squares| squares.len() != n) {
            let (name, expected, got) = ("samples of a group", n, other.len());
            return Err(Error::Length { name, expected, got });
        }
        let sums = samples.iter().map(|squares| squares.iter().sum());
        add(memory, "squared norm of a sample's gradient", sums)?;
        memory.count += n as u64;
        Ok(())
    }

    fn values(&self, memory: &Memory) -> Vec<f64> {
        // Before any sample all sums are 0.
        let n = memory.count.max(1) as f64;
        memory.numbers.iter().map(|sum| sum / n).collect()
    }
}
