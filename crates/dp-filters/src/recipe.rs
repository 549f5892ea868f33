//! Filters by name, as they stand in papers and codes.

use crate::filter::Filter;

/// A filter with fixed coefficients.
///
/// # Privacy
/// Public numbers: choosing one by a look at gradients without noise would be a release of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Recipe {
    /// No filter: gradients as they come.
    None,
    /// `a = [-0.9]`, `b = [0.1]`: the exponential average of momentum. Noise power gain 0.0526.
    FirstOrder,
    /// `a = [-0.9]`, `b = [0.15, -0.05]`. Noise power gain 0.0605.
    FirstOrderTwoTaps,
    /// `a = [-0.8]`, `b = [0.1, 0.1]`: the fastest oscillation is removed altogether. Noise power gain 0.1.
    FirstOrderAveraging,
    /// `a = [-1.6, 0.64]`, `b = [0.04]`: two exponential averages with decay 0.8. Noise power gain 0.0562.
    DoublePole,
    /// Poles near 1 and gain 0.3162 (-10 dB) at frequency zero. Noise power gain 0.00712, and 0.0712 after normalising; its first
    /// gradients count for long. Without bias correction it is refused, as long as it is not [`Filter::normalized`].
    SecondOrderLowGain,
}

impl Recipe {
    /// All of them.
    pub const ALL: [Recipe; 6] = [
        Recipe::None,
        Recipe::FirstOrder,
        Recipe::FirstOrderTwoTaps,
        Recipe::FirstOrderAveraging,
        Recipe::DoublePole,
        Recipe::SecondOrderLowGain,
    ];

    /// What it is called in configurations.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Recipe::None => "none",
            Recipe::FirstOrder => "first_order",
            Recipe::FirstOrderTwoTaps => "first_order_two_taps",
            Recipe::FirstOrderAveraging => "first_order_averaging",
            Recipe::DoublePole => "double_pole",
            Recipe::SecondOrderLowGain => "second_order_low_gain",
        }
    }

    /// Its coefficients.
    ///
    /// # Source
    /// arXiv 2408.13460 and the code of its first author for the first two orders with feedback -0.9 and for the last;
    /// [`Recipe::FirstOrderAveraging`] and [`Recipe::DoublePole`] are examples of ours.
    #[must_use]
    pub fn filter(self) -> Filter {
        match self {
            Recipe::None => Filter::known(&[], &[1.0]),
            Recipe::FirstOrder => Filter::known(&[-0.9], &[0.1]),
            Recipe::FirstOrderTwoTaps => Filter::known(&[-0.9], &[0.15, -0.05]),
            Recipe::FirstOrderAveraging => Filter::known(&[-0.8], &[0.1, 0.1]),
            Recipe::DoublePole => Filter::known(&[-1.6, 0.64], &[0.04]),
            Recipe::SecondOrderLowGain => Filter::known(
                &[-1.983_429_55, 0.985_495_44],
                &[0.000_163_32, 0.000_326_65, 0.000_163_32],
            ),
        }
    }
}
