//! What the filter remembers: the last estimate, and the parameters at which it was made.

use tensor_tree::{Checkpoint, Error, Result, StateReader, StateWriter, Tree};

use crate::kalman::LARGEST_VARIANCE;

/// Memory of a [`crate::Disk`].
///
/// # Privacy
/// A function of released gradients and parameters: it may be shown and saved.
#[derive(Clone, Debug, Default)]
pub struct DiskState {
    step: u64,
    /// Of the estimate, where the gain follows it.
    variance: f64,
    last: Option<Last>,
    /// The parameters for which points were asked.
    asked: Option<Tree>,
}

#[derive(Clone, Debug)]
struct Last {
    estimate: Tree,
    params: Tree,
}

impl DiskState {
    /// Steps taken.
    #[must_use]
    pub fn step(&self) -> u64 {
        self.step
    }

    /// `s_{t-1}`, after the first step.
    #[must_use]
    pub fn estimate(&self) -> Option<&Tree> {
        self.last.as_ref().map(|last| &last.estimate)
    }

    /// `d_t = w_t - w_{t-1}`, where `params` are `w_t`; none before the first step, when it is zero.
    ///
    /// # Errors
    /// If the parameters do not fit the state.
    pub fn displacement(&self, params: &Tree) -> Result<Option<Tree>> {
        let Some(last) = &self.last else { return Ok(None) };
        // As `beside`, but the difference is of the type of the parameters anyway.
        Ok(Some(params.add_scaled(-1.0, &last.params.beside(params)?)?))
    }

    pub(super) fn variance(&self) -> f64 {
        self.variance
    }

    pub(super) fn ask(&mut self, params: &Tree) {
        self.asked = Some(params.clone());
    }

    /// Whether points were asked for at these parameters, or need not be, since nothing has moved.
    pub(super) fn may_correct(&self, params: &Tree) -> Result<bool> {
        if self.asked.as_ref().is_some_and(|asked| asked.shares_tensors(params)) {
            return Ok(true);
        }
        let Some(moved) = self.displacement(params)? else { return Ok(true) };
        let norm = moved.norm()?;
        if !norm.is_finite() {
            // No order of calls would help.
            return Err(Error::InvalidSetting {
                name: "norm of the last displacement of the parameters",
                must: "finite (they or those before them are not, or are too far apart: take a smaller rate)",
                got: norm,
            });
        }
        Ok(norm == 0.0)
    }

    pub(super) fn moved(&self, estimate: Tree, params: Tree, variance: f64) -> Self {
        let last = Some(Last { estimate, params });
        DiskState { step: self.step + 1, variance, last, asked: None }
    }
}

impl Checkpoint for DiskState {
    fn save(&self, out: &mut StateWriter) -> Result<()> {
        out.count("step", self.step)?;
        out.number("variance", self.variance)?;
        match &self.last {
            None => Ok(()),
            Some(last) => {
                out.tree("estimate", &last.estimate)?;
                out.tree("params", &last.params)
            }
        }
    }

    fn load(from: &mut StateReader<'_>) -> Result<Self> {
        let (step, variance) = (from.count("step")?, from.number("variance")?);
        if !(0.0..=LARGEST_VARIANCE).contains(&variance) {
            let reason = format!("variance must be in [0, {LARGEST_VARIANCE:e}], got {variance}");
            return Err(Error::Checkpoint { path: None, reason });
        }
        let last = match step {
            0 => None,
            _ => Some(Last { estimate: from.tree("estimate")?, params: from.tree("params")? }),
        };
        Ok(DiskState { step, variance, last, asked: None })
    }
}
