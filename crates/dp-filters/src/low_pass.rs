//! DOPPLER: a linear filter between private gradients and any optimizer.

mod adam;
mod denominator;
mod state;

pub use adam::{AdamMode, FilteredAdam, FilteredAdamState};
pub use denominator::Denominator;
pub use state::LowPassState;

use tensor_tree::{Result as TreeResult, Transform, Tree};

use crate::error::{Error, Result};
use crate::filter::{Filter, Gain};

/// A gain so near to 1 counts as 1.
const UNIT: f64 = 1e-9;

/// Filters every coordinate of the private gradients by a [`Filter`], divided by the filter's step response `c_t` so that the first
/// steps are not too small:
///
/// ```text
/// m_t = - sum_r a_r m_{t-r} + sum_r b_r g_{t-r},   c_t the same with ones for g,   mhat_t = m_t / c_t
/// ```
///
/// A constant gradient comes out as it went in, at every step. White noise of variance 1 comes out with variance
/// [`Filter::noise_power_gain_at`]. A gradient that changes comes out late, by [`Filter::mean_age`] steps in the end. The state is `na + nb`
/// trees of the size of the parameters (for a first-order average one, as momentum has) and a few numbers; `c_t` is kept in doubles.
///
/// In single precision, rounding of the state and of the coefficients is amplified by `1 / (1 + sum a)`: for the slowest of the
/// [`crate::Recipe`]s a constant gradient comes out right to about `1e-4`.
///
/// # Privacy
/// Post-processing: the result is a function of gradients that were released, so noise, ledger and epsilon are those of the run
/// without a filter. Its input must be such gradients.
///
/// # Examples
/// ```
/// use dp_filters::{LowPass, Recipe};
/// use tensor_tree::{AdamW, Transform};
///
/// let sgd = LowPass::new(Recipe::FirstOrder.filter());
/// let adam = LowPass::new(Recipe::DoublePole.filter()).then(AdamW::default());
/// ```
///
/// # Source
/// arXiv 2408.13460, Algorithm 1.
#[derive(Clone, Debug, PartialEq)]
pub struct LowPass {
    filter: Filter,
    bias_correction: bool,
}

impl LowPass {
    /// With bias correction.
    ///
    /// # Privacy
    /// As [`LowPass`]: post-processing.
    #[must_use]
    pub fn new(filter: Filter) -> Self {
        LowPass { filter, bias_correction: true }
    }

    /// Without bias correction: `m_t` itself, which begins near zero.
    ///
    /// # Errors
    /// [`Error::NotUnitGain`] unless the filter has gain 1 at frequency zero: only `c_t` would put the scale right.
    pub fn uncorrected(filter: Filter) -> Result<Self> {
        let gain = filter.dc_gain();
        if UNIT < (gain - 1.0).abs() {
            return Err(Error::NotUnitGain { gain });
        }
        Ok(LowPass { filter, bias_correction: false })
    }

    /// The coefficients.
    #[must_use]
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Whether results are divided by `c_t`.
    #[must_use]
    pub fn corrects_bias(&self) -> bool {
        self.bias_correction
    }

    /// One step, with the gains of that step.
    ///
    /// # Privacy
    /// The gains are functions of the coefficients alone.
    ///
    /// # Errors
    /// As [`Transform::update`].
    pub fn update_with_gain(
        &self,
        grads: Tree,
        params: &Tree,
        state: &mut LowPassState,
    ) -> TreeResult<(Tree, Gain)> {
        params.check_like(&grads)?;
        let (sum, gain, next) = state.advanced(&self.filter, grads)?;
        let result = if self.bias_correction { sum.scale(1.0 / gain.step_response)? } else { sum };
        *state = next;
        Ok((result, gain))
    }

    /// Variance of the result for white noise of variance 1.
    fn noise_power(&self, gain: &Gain) -> f64 {
        if self.bias_correction { gain.corrected_noise_power() } else { gain.noise_power }
    }
}

impl Transform for LowPass {
    type State = LowPassState;

    fn init(&self, _params: &Tree) -> TreeResult<LowPassState> {
        Ok(LowPassState::default())
    }

    fn update(&self, grads: Tree, params: &Tree, state: &mut LowPassState) -> TreeResult<Tree> {
        Ok(self.update_with_gain(grads, params, state)?.0)
    }
}
