//! By what Adam's first moment is divided: among others a second moment without the bias that privacy noise gives it.

use dp_core::PrivateStep;
use tensor_tree::{Result as TreeResult, Tree};

use crate::error::{Result, check};

/// By what the first moment is divided, `vhat` being the second moment after bias correction.
///
/// # Privacy
/// All are post-processing: the noise that is taken off is known from the plan, not measured. Epsilon stays what it is.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Denominator {
    /// `sqrt(vhat) + eps`, as Adam has it.
    Sum {
        /// Positive.
        eps: f64,
    },
    /// `max(sqrt(vhat), least)`.
    AtLeast {
        /// Positive; 1e-5 in the code that belongs to the paper on filters.
        least: f64,
    },
    /// `sqrt(max(vhat - noise, floor))`, where `noise` is what privacy noise adds to `vhat` in the mean.
    ///
    /// The gradients that arrive have noise of variance `noise_std^2` in each coordinate; those that feed the second moment have that, or
    /// after the filter inside that times the filter's noise power gain at that step. `vhat` averages squares over the steps, and
    /// `noise` averages these variances with the same weights.
    ///
    /// What arrives is what the link before made of the private gradient: behind a [`crate::Disk`] the noise is smaller than that of the
    /// step, and taking off too much leaves nothing but the floor to divide by. [`Denominator::noise_free`] asks for it.
    NoiseFree {
        /// Standard deviation of the noise in a coordinate of the gradient that *arrives*: [`PrivateStep::noise_std`] where nothing stands
        /// before, else that times the square root of the noise power gain of what does.
        noise_std: f64,
        /// Positive; 1e-8 or so.
        floor: f64,
    },
}

impl Denominator {
    /// [`Denominator::NoiseFree`] for the gradients of `step`, after something with the noise power gain `power_gain_before`: 1 where nothing
    /// stands before, [`crate::Disk::noise_power_gain`] behind a [`crate::Disk`], [`crate::Filter::noise_power_gain`] over the squared
    /// [`crate::Filter::dc_gain`] behind a [`crate::LowPass`], and of a chain of such averages the gain of all of them together.
    ///
    /// Gains of before are those after many steps. In the first steps a corrected average, and a [`crate::Disk`] that starts with the first
    /// observation, pass more noise, so too little is taken off; one that starts from zero passes less, so then too much is. With [`crate::AdamMode::FilterThenAdam`] the noise that arrives is taken for white, which behind another filter it is not:
    /// there give the gain of both filters together, over that of the filter inside.
    ///
    /// # Privacy
    /// The standard deviation of the noise is public.
    ///
    /// # Errors
    /// [`crate::Error::InvalidSetting`] unless the gain of before is finite and positive and the floor too.
    ///
    /// # Examples
    /// ```
    /// # use dp_core::PrivateStep;
    /// use dp_filters::{AdamMode, Denominator, Disk, FilteredAdam, LookAhead, LowPass, Recipe};
    /// use tensor_tree::Transform;
    ///
    /// # fn chain(step: &PrivateStep) -> dp_filters::Result<impl Transform + use<>> {
    /// let disk = Disk::new(0.1, LookAhead::Auto)?;
    /// let free = Denominator::noise_free(step, disk.noise_power_gain(), 1e-8)?;
    /// let average = LowPass::new(Recipe::FirstOrder.filter());
    /// let adam = FilteredAdam::new(average, AdamMode::ReplaceFirstMoment)?;
    /// let chain = disk.then(adam.with_denominator(free)?);
    /// # Ok(chain)
    /// # }
    /// ```
    ///
    /// # Source
    /// arXiv 2312.14334, DP-AdamBC.
    pub fn noise_free(step: &PrivateStep, power_gain_before: f64, floor: f64) -> Result<Self> {
        let ok = 0.0 < power_gain_before && power_gain_before.is_finite();
        let name = "noise power gain of what stands before";
        check(name, "finite and positive", power_gain_before, ok)?;
        let noise_std = step.noise_std() * power_gain_before.sqrt();
        let denominator = Denominator::NoiseFree { noise_std, floor };
        denominator.check()?;
        Ok(denominator)
    }

    pub(super) fn check(self) -> Result<()> {
        let (name, value) = match self {
            Denominator::Sum { eps } => ("eps", eps),
            Denominator::AtLeast { least } => ("least denominator", least),
            Denominator::NoiseFree { noise_std, floor } => {
                let ok = 0.0 <= noise_std && noise_std.is_finite();
                check("standard deviation of the noise", "finite and not negative", noise_std, ok)?;
                ("floor of the second moment", floor)
            }
        };
        check(name, "finite and positive", value, 0.0 < value && value.is_finite())
    }

    /// For squares `v / correction` whose noise has the variance `noise` where the raw one has 1.
    pub(super) fn of(self, v: &Tree, correction: f64, noise: f64) -> TreeResult<Tree> {
        v.map(|_, v| {
            let v = (v / correction)?;
            Ok(match self {
                Denominator::Sum { eps } => (v.sqrt()? + eps)?,
                Denominator::AtLeast { least } => v.sqrt()?.maximum(least)?,
                Denominator::NoiseFree { noise_std, floor } => {
                    (v - noise_std * noise_std * noise)?.maximum(floor)?.sqrt()?
                }
            })
        })
    }
}
