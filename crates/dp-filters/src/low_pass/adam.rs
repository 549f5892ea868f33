//! Adam with a low-pass filter inside, or before it.

use tensor_tree::{Checkpoint, Result as TreeResult, StateReader, StateWriter, Transform, Tree};

use super::{Denominator, LowPass, LowPassState};
use crate::error::{Result, check};
use crate::filter::Filter;

/// Where in Adam the filter stands.
///
/// # Privacy
/// Both are post-processing of released gradients.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum AdamMode {
    /// The filtered gradient takes the place of the first moment; the second moment is that of the gradients before the filter. With the
    /// exponential average as filter this is Adam.
    ReplaceFirstMoment,
    /// The filtered gradient is Adam's gradient, for both moments: it is smoothed twice. Without a noise correction the same as
    /// `LowPass::new(filter).then(AdamW::default())`.
    FilterThenAdam {
        /// Decay of the first moment, in `[0, 1 - 1e-12)`.
        beta1: f64,
    },
}

/// Adam with a low-pass filter: the direction is the first moment over the [`Denominator`], plus `weight_decay * params`.
///
/// # Privacy
/// Post-processing, as [`LowPass`]: noise, ledger and epsilon are those of the run without a filter.
///
/// # Examples
/// ```
/// use dp_filters::{AdamMode, Denominator, FilteredAdam, LowPass, Recipe};
///
/// let filter = LowPass::new(Recipe::FirstOrder.filter());
/// let adam = FilteredAdam::new(filter, AdamMode::ReplaceFirstMoment)?
///     .with_denominator(Denominator::AtLeast { least: 1e-5 })?;
/// # Ok::<(), dp_filters::Error>(())
/// ```
///
/// # Source
/// arXiv 2408.13460, the variants of Adam; arXiv 1412.6980.
#[derive(Clone, Debug, PartialEq)]
pub struct FilteredAdam {
    filter: LowPass,
    /// Of the filtered gradient: an average, or nothing.
    momentum: LowPass,
    mode: AdamMode,
    beta2: f64,
    denominator: Denominator,
    weight_decay: f64,
}

/// Memory of [`FilteredAdam`].
///
/// # Privacy
/// A function of released gradients: it may be shown and saved.
#[derive(Clone, Debug)]
pub struct FilteredAdamState {
    step: u64,
    filter: LowPassState,
    momentum: LowPassState,
    second: Tree,
    /// What `second` is for white noise of variance 1, in the mean.
    noise: f64,
}

impl FilteredAdam {
    /// With decay 0.999 of the second moment, [`Denominator::Sum`] with 1e-8, and no weight decay.
    ///
    /// # Errors
    /// [`crate::Error::InvalidSetting`] if `beta1` is out of range.
    pub fn new(filter: LowPass, mode: AdamMode) -> Result<Self> {
        let momentum = LowPass::new(match mode {
            AdamMode::ReplaceFirstMoment => Filter::known(&[], &[1.0]),
            AdamMode::FilterThenAdam { beta1 } => Filter::ema(beta1)?,
        });
        let denominator = Denominator::Sum { eps: 1e-8 };
        Ok(FilteredAdam { filter, momentum, mode, beta2: 0.999, denominator, weight_decay: 0.0 })
    }

    /// The same with this decay of the second moment.
    ///
    /// # Errors
    /// [`crate::Error::InvalidSetting`] unless it is in `[0, 1)`.
    pub fn with_beta2(self, beta2: f64) -> Result<Self> {
        check("beta2", "in [0, 1)", beta2, (0.0..1.0).contains(&beta2))?;
        Ok(FilteredAdam { beta2, ..self })
    }

    /// The same with this denominator.
    ///
    /// # Errors
    /// [`crate::Error::InvalidSetting`] for a number out of range.
    pub fn with_denominator(self, denominator: Denominator) -> Result<Self> {
        denominator.check()?;
        Ok(FilteredAdam { denominator, ..self })
    }

    /// The same with decoupled decay: the direction has `weight_decay * params` added.
    ///
    /// # Errors
    /// [`crate::Error::InvalidSetting`] unless it is finite.
    pub fn with_weight_decay(self, weight_decay: f64) -> Result<Self> {
        check("weight decay", "finite", weight_decay, weight_decay.is_finite())?;
        Ok(FilteredAdam { weight_decay, ..self })
    }

    /// Where the filter stands.
    #[must_use]
    pub fn mode(&self) -> AdamMode {
        self.mode
    }
}

impl Transform for FilteredAdam {
    type State = FilteredAdamState;

    fn init(&self, params: &Tree) -> TreeResult<FilteredAdamState> {
        Ok(FilteredAdamState {
            step: 0,
            filter: self.filter.init(params)?,
            momentum: self.momentum.init(params)?,
            second: params.zeros_like()?,
            noise: 0.0,
        })
    }

    fn update(
        &self,
        grads: Tree,
        params: &Tree,
        state: &mut FilteredAdamState,
    ) -> TreeResult<Tree> {
        let FilteredAdamState { step, mut filter, mut momentum, second, noise } = state.clone();
        let (filtered, gain) = self.filter.update_with_gain(grads.clone(), params, &mut filter)?;
        let (squared, power) = match self.mode {
            AdamMode::ReplaceFirstMoment => (&grads, 1.0),
            AdamMode::FilterThenAdam { .. } => (&filtered, self.filter.noise_power(&gain)),
        };
        let step = step + 1;
        let second = second
            .beside(&grads)?
            .zip_map(squared, |v, g| Ok(((v * self.beta2)? + (g.sqr()? * (1.0 - self.beta2))?)?))?;
        let noise = self.beta2 * noise + (1.0 - self.beta2) * power;
        // The exponent is large only where the power is zero anyway.
        let correction = 1.0 - self.beta2.powf(step as f64);
        let below = self.denominator.of(&second, correction, noise / correction)?;
        let first = self.momentum.update(filtered, params, &mut momentum)?;
        let mut direction = first.zip_map(&below, |first, below| Ok((first / below)?))?;
        if self.weight_decay != 0.0 {
            direction = direction.add_scaled(self.weight_decay, params)?;
        }
        *state = FilteredAdamState { step, filter, momentum, second, noise };
        Ok(direction)
    }
}

impl Checkpoint for FilteredAdamState {
    fn save(&self, out: &mut StateWriter) -> TreeResult<()> {
        out.count("step", self.step)?;
        out.part("filter", &self.filter)?;
        out.part("momentum", &self.momentum)?;
        out.tree("second", &self.second)?;
        out.number("noise", self.noise)
    }

    fn load(from: &mut StateReader<'_>) -> TreeResult<Self> {
        Ok(FilteredAdamState {
            step: from.count("step")?,
            filter: from.part("filter")?,
            momentum: from.part("momentum")?,
            second: from.tree("second")?,
            noise: from.number("noise")?,
        })
    }
}
