//! Settings of the controllers, and the presets.

use crate::decision::Acceptance;
use crate::error::{Error, Result};
use crate::fit::Intercept;
use crate::horizon::Horizon;

/// Where the first rate comes from.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum FirstRate {
    /// This rate.
    Given(f64),
    /// Half the best of a doubling that starts at a thousandth of this rate and goes down first where that is too much: at most 32
    /// losses of one batch along the first direction, and again on the next, four in all, where no rate lowers the loss.
    /// [`super::State::first`] says how it ended.
    Auto(f64),
}

/// What the moving average is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum EmaOf {
    /// Rates, as published.
    #[default]
    Rates,
    /// Slopes and curvatures, whose quotient has less bias than the mean of quotients.
    Coefficients,
}

/// What becomes of a rate along whose direction the loss rises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Uphill {
    /// It stays, as published.
    #[default]
    Keep,
    /// It falls as for a minimizer at the lower clamp, where the slope is negative beyond its noise and the curvature positive.
    Fall,
}

/// What all controllers have in common.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Probes, as factors of the rate; 0 may stand among them and is evaluated once in any case.
    pub multipliers: Vec<f64>,
    /// A fit every so many steps, the first at the step of this number.
    pub period: u64,
    /// Share of the old rate in the new one.
    pub smooth: f64,
    /// A minimizer counts as at least and at most so many times the rate.
    pub clamp: [f64; 2],
    /// What makes a fit acceptable.
    pub acceptance: Acceptance,
    /// Whether the fit passes through the loss at rest.
    pub intercept: Intercept,
    /// What the moving average is of.
    pub ema_of: EmaOf,
    /// How rates fade.
    pub horizon: Horizon,
    /// Whether the fading is inside the moving average, as published: rates then shrink geometrically in the second half of
    /// the horizon whatever the losses say. Else it multiplies the rate that is used.
    pub coupled: bool,
    /// Where the first rate comes from.
    pub first_rate: FirstRate,
    /// What becomes of a rate along whose direction the loss rises.
    pub uphill: Uphill,
    /// What minimizers are multiplied by.
    pub greed: f64,
    /// Whether the loss at the chosen rates is evaluated too, and the rates halved where it is above that at rest by more than the
    /// noise gate's standard errors.
    pub verify: bool,
}

impl Settings {
    /// What the public code of GeN does, from a given first rate.
    ///
    /// # Source
    /// arXiv 2407.02772 and its code: probes -1, 1, 0, every fourth step.
    #[must_use]
    pub fn paper(first_rate: f64) -> Self {
        Settings {
            multipliers: vec![-1.0, 1.0, 0.0],
            period: 4,
            smooth: 0.9,
            clamp: [0.5, 2.0],
            acceptance: Acceptance { noise_gate: None, ..Acceptance::default() },
            intercept: Intercept::Pinned,
            ema_of: EmaOf::Rates,
            horizon: Horizon::None,
            coupled: true,
            first_rate: FirstRate::Given(first_rate),
            uphill: Uphill::Keep,
            greed: 1.0,
            verify: false,
        }
    }

    /// The defaults for a training of so many steps, over which rates fade in a line. Where the number of steps is known, this
    /// is what to start from: without fading rates settle where steps as a whole no longer pay, and stay there.
    #[must_use]
    pub fn of_steps(steps: u64) -> Self {
        Settings { horizon: Horizon::Linear { steps }, ..Settings::default() }
    }

    pub(super) fn check(&self) -> Result<()> {
        let number = |name: &'static str, must: &'static str, holds: bool, got: f64| {
            if holds { Ok(()) } else { Err(Error::InvalidSetting { name, must, got }) }
        };
        let mut distinct: Vec<f64> =
            self.multipliers.iter().copied().filter(|m| *m != 0.0).collect();
        distinct.sort_by(f64::total_cmp);
        distinct.dedup();
        let probes = distinct.len();
        for m in &self.multipliers {
            number("multiplier", "finite", m.is_finite(), *m)?;
        }
        number("number of different multipliers but 0", "at least 2", 2 <= probes, probes as f64)?;
        number("period", "at least 1", 0 < self.period, 0.0)?;
        number("smooth", "in [0, 1)", (0.0..1.0).contains(&self.smooth), self.smooth)?;
        let [low, high] = self.clamp;
        number("lower clamp", "in (0, 1]", 0.0 < low && low <= 1.0, low)?;
        number("upper clamp", "finite and at least 1", (1.0..f64::INFINITY).contains(&high), high)?;
        let Acceptance { r2_min, flat, noise_gate } = self.acceptance;
        number("r2_min", "below 1", r2_min < 1.0, r2_min)?;
        number("flat", "finite and not negative", (0.0..f64::INFINITY).contains(&flat), flat)?;
        let gate = noise_gate.unwrap_or(0.0);
        number(
            "noise gate",
            "finite and not negative",
            (0.0..f64::INFINITY).contains(&gate),
            gate,
        )?;
        number("greed", "in [0.5, 2]", (0.5..=2.0).contains(&self.greed), self.greed)?;
        let (FirstRate::Given(rate) | FirstRate::Auto(rate)) = self.first_rate;
        let holds = (1e-30..=1e30).contains(&rate);
        number("first rate", "in [1e-30, 1e30]", holds, rate)?;
        self.horizon.check()
    }
}

impl Default for Settings {
    /// Five probes, fits every fourth step, four fifths of the old rate in the new one, an automatic first rate around 1e-3, a
    /// noise gate, and fading that leaves the rate's average alone. Nothing fades unless the number of steps is given:
    /// [`Settings::of_steps`].
    fn default() -> Self {
        Settings {
            multipliers: vec![-2.0, -1.0, 1.0, 2.0, 0.0],
            smooth: 0.8,
            acceptance: Acceptance::default(),
            coupled: false,
            first_rate: FirstRate::Auto(1e-3),
            ..Settings::paper(1e-3)
        }
    }
}

impl From<Settings> for Gen {
    fn from(settings: Settings) -> Self {
        Gen { settings }
    }
}

/// One rate for all groups: the minimizer of the loss along the whole update.
///
/// # Source
/// arXiv 2407.02772.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Gen {
    /// Everything that can be set.
    pub settings: Settings,
}

/// How rates of several groups come out of losses.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Solve {
    /// Each group along its own axis, exact for every quadratic.
    #[default]
    Axis,
    /// Normal steps of all groups at once and a diagonal fit, as the first version of the paper had it. What couples the groups
    /// is taken for noise.
    Random {
        /// Steps per group.
        per_group: usize,
        /// Of the steps, which are other ones at each fit.
        seed: u64,
    },
    /// All products of two groups, and the minimum of the whole model; at most eight groups.
    Full {
        /// Part of the diagonal that is added to it.
        damping: f64,
    },
}

/// When two groups get one rate from then on.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Merge {
    /// Largest quotient of two rates that count as equal.
    pub within: f64,
    /// So many fits in a row.
    pub fits: u32,
}

/// One rate per group.
///
/// # Source
/// arXiv 2501.06954.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HiDlr {
    /// What [`Gen`] has too.
    pub settings: Settings,
    /// How rates come out of losses.
    pub solve: Solve,
    /// Whether two more losses correct rates that would be too much together: with all groups moved at once, those without an
    /// accepted fit at the rates that they keep (then three).
    pub guard: bool,
    /// When groups are put together for good.
    pub merge: Option<Merge>,
}

/// Most groups of [`Solve::Full`].
const MOST_COUPLED: usize = 8;

impl HiDlr {
    /// Our reading of the paper, which counts probes and does not say where they are: four on each axis, without a guard.
    #[must_use]
    pub fn paper(first_rate: f64) -> Self {
        let settings = Settings {
            multipliers: vec![-2.0, -1.0, 1.0, 2.0, 0.0],
            ..Settings::paper(first_rate)
        };
        HiDlr { settings, solve: Solve::Axis, guard: false, merge: None }
    }

    pub(super) fn check(&self, n_groups: usize) -> Result<()> {
        self.settings.check()?;
        match self.solve {
            Solve::Axis => {}
            Solve::Random { per_group, .. } => {
                if per_group < 2 {
                    let (must, got) = ("at least 2", per_group as f64);
                    return Err(Error::InvalidSetting {
                        name: "random probes per group",
                        must,
                        got,
                    });
                }
            }
            Solve::Full { damping } => {
                if !(0.0..f64::INFINITY).contains(&damping) {
                    let must = "finite and not negative";
                    return Err(Error::InvalidSetting { name: "damping", must, got: damping });
                }
                if MOST_COUPLED < n_groups {
                    let (must, got) = ("at most 8 for a coupled solve", n_groups as f64);
                    return Err(Error::InvalidSetting { name: "number of groups", must, got });
                }
            }
        }
        if let Some(Merge { within, fits }) = self.merge
            && (!(1.0..f64::INFINITY).contains(&within) || fits == 0)
        {
            let got = if fits == 0 { 0.0 } else { within };
            let must = "a finite quotient of at least 1, over at least 1 fit";
            return Err(Error::InvalidSetting { name: "merge", must, got });
        }
        Ok(())
    }
}

impl From<Settings> for HiDlr {
    fn from(settings: Settings) -> Self {
        HiDlr { settings, ..HiDlr::default() }
    }
}

impl Default for HiDlr {
    fn default() -> Self {
        HiDlr { settings: Settings::default(), solve: Solve::Axis, guard: true, merge: None }
    }
}
