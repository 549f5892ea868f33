//! From numbers to positions on an axis, and the ticks that explain it.

use crate::error::{Error, Result};

/// Spacing of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Scale {
    #[default]
    Linear,
    Log,
}

/// What the caller asks of one axis.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub(crate) struct Request {
    pub(crate) scale: Scale,
    pub(crate) limits: Option<(f64, f64)>,
}

/// A fitted axis.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Axis {
    scale: Scale,
    /// Ends of the axis, in powers of ten if it is logarithmic.
    low: f64,
    high: f64,
}

/// A mark on an axis.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tick {
    /// Position between 0 and 1.
    pub(crate) at: f64,
    /// Empty for a minor tick.
    pub(crate) label: String,
    pub(crate) superscript: String,
}

/// Ticks, and the power of ten by which their labels are to be multiplied.
#[derive(Clone, Debug, PartialEq, Default)]
pub(crate) struct Ticks {
    pub(crate) ticks: Vec<Tick>,
    pub(crate) factor: Option<i32>,
}

impl Scale {
    /// The value in the units in which the axis is even; none if it has no place there.
    pub(crate) fn place(self, value: f64) -> Option<f64> {
        let placed = match self {
            Scale::Linear => value,
            // Below that, powers of ten can no longer be computed.
            Scale::Log if 1e-300 < value => value.log10(),
            Scale::Log => return None,
        };
        placed.is_finite().then_some(placed)
    }
}

impl Axis {
    /// The axis that shows all of `values`, with a margin of `margin` times its length at both ends,
    /// or exactly the limits that were asked for. `None` if no value has a place.
    pub(crate) fn fit(
        request: Request,
        values: impl IntoIterator<Item = f64>,
        margin: (f64, f64),
    ) -> Option<Self> {
        let scale = request.scale;
        if let Some((low, high)) = request.limits {
            return Some(Axis { scale, low: scale.place(low)?, high: scale.place(high)? });
        }
        let placed = values.into_iter().filter_map(|v| scale.place(v));
        let (low, high) = placed
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        if high < low {
            return None;
        }
        let size = low.abs().max(high.abs());
        let (low, high) = if high - low <= 1e-9 * size || high - low < 1e-270 {
            let half = match scale {
                Scale::Log => 0.4,
                Scale::Linear if size < 1e-250 => 1.0,
                Scale::Linear => 0.1 * size,
            };
            (low - half, high + half)
        } else {
            let length = high - low;
            (low - margin.0 * length, high + margin.1 * length)
        };
        Some(Axis { scale, low, high })
    }

    /// Refuses an axis on which positions cannot be computed.
    pub(crate) fn check(self, title: &str, axis: char) -> Result<Self> {
        let length = self.high - self.low;
        let size = self.low.abs().max(self.high.abs());
        let has_powers = self.scale == Scale::Linear || size < 306.0;
        if has_powers && length.is_finite() && 1e-11 * size < length && 1e-280 < length {
            return Ok(self);
        }
        let back = |v: f64| if self.scale == Scale::Log { 10f64.powf(v) } else { v };
        let (low, high) = (back(self.low), back(self.high));
        Err(Error::InvalidRange { title: title.to_owned(), axis, low, high })
    }

    /// Position of `value`: 0 at the low end, 1 at the high end, beyond them outside the axis.
    pub(crate) fn position(&self, value: f64) -> Option<f64> {
        Some((self.scale.place(value)? - self.low) / (self.high - self.low))
    }

    /// [`Axis::position`], but a value that has no place stands at the low end.
    pub(crate) fn position_or_low(&self, value: f64) -> f64 {
        self.position(value).unwrap_or(0.0)
    }

    /// About `n` labelled ticks, and minor ones where they help.
    pub(crate) fn ticks(&self, n: usize) -> Ticks {
        match self.scale {
            Scale::Linear => self.enough_ticks(self.low, self.high, n),
            Scale::Log => self.log_ticks(n),
        }
    }

    /// One tick alone explains nothing; then finer ones are taken.
    fn enough_ticks(&self, low: f64, high: f64, n: usize) -> Ticks {
        let mut ticks = self.linear_ticks(low, high, n);
        for finer in 1..6 {
            if 2 <= ticks.ticks.len() {
                break;
            }
            ticks = self.linear_ticks(low, high, n + 2 * finer);
        }
        ticks
    }

    fn linear_ticks(&self, low: f64, high: f64, n: usize) -> Ticks {
        let (step, exponent, has_half) = nice_step((high - low) / as_f64(n.max(2)));
        let factor = factor_of(low.abs().max(high.abs()));
        let shown = exponent - factor.unwrap_or(0) - i32::from(has_half);
        let decimals = usize::try_from(-shown).unwrap_or(0).min(17);
        let first = (low / step - 1e-6).ceil();
        let n_ticks = ((high / step + 1e-6).floor() - first).clamp(0.0, 50.0);
        let mut ticks = Vec::new();
        let mut i = 0.0;
        while i <= n_ticks {
            let value = (first + i) * step;
            let label = label(value / 10f64.powi(factor.unwrap_or(0)), decimals);
            if let Some(at) = self.position(value) {
                ticks.push(Tick { at: at.clamp(0.0, 1.0), label, superscript: String::new() });
            }
            i += 1.0;
        }
        Ticks { ticks, factor }
    }

    fn log_ticks(&self, n: usize) -> Ticks {
        let (first, last) = (floor_i32(self.low), floor_i32(self.high) + 1);
        let decades = last - first;
        let n_max = i32::try_from(n.max(2)).unwrap_or(i32::MAX);
        // How many decades from one label to the next.
        let mut stride = (decades + n_max - 1) / n_max;
        let inside = |stride: i32| last.div_euclid(stride) - (first + stride).div_euclid(stride);
        while 1 < stride && inside(stride) < 2 {
            stride -= 1;
        }
        let plain = -3.0 <= self.low && self.high <= 4.5;
        let mut ticks = Vec::new();
        let mut n_labels = 0;
        for decade in first..=last {
            let labelled: &[u8] = match (decades, decade.rem_euclid(stride)) {
                (..=2, _) => &[1, 2, 5],
                (_, 0) => &[1],
                _ => &[],
            };
            for digit in 1..=9u8 {
                let placed = f64::from(decade) + f64::from(digit).log10();
                let at = (placed - self.low) / (self.high - self.low);
                if !(-1e-9..=1.0 + 1e-9).contains(&at) {
                    continue;
                }
                let (mut label, mut superscript) = (String::new(), String::new());
                if labelled.contains(&digit) {
                    n_labels += 1;
                    (label, superscript) = power_label(digit, decade, plain);
                } else if 1 < stride || (8 < decades && digit != 1) {
                    continue;
                }
                ticks.push(Tick { at: at.clamp(0.0, 1.0), label, superscript });
            }
        }
        if n_labels < 3 && self.high - self.low < 1.5 {
            return self.enough_ticks(10f64.powf(self.low), 10f64.powf(self.high), n);
        }
        Ticks { ticks, factor: None }
    }
}

/// The smallest step of the form 1, 2, 2.5 or 5 times a power of ten that is about `rough` or more;
/// its decimal exponent; and whether it has a digit more than that (2.5).
fn nice_step(rough: f64) -> (f64, i32, bool) {
    let exponent = floor_i32(rough.log10());
    let unit = 10f64.powi(exponent);
    for (digit, has_half) in [(1.0, false), (2.0, false), (2.5, true), (5.0, false)] {
        if rough <= 1.2 * digit * unit {
            return (digit * unit, exponent, has_half);
        }
    }
    (10.0 * unit, exponent + 1, false)
}

/// A multiple of three for labels that would be long otherwise.
fn factor_of(largest: f64) -> Option<i32> {
    let exponent = floor_i32(largest.log10());
    (!(-3..5).contains(&exponent)).then_some(exponent.div_euclid(3) * 3)
}

fn label(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let is_zero = !text.contains(|c: char| ('1'..='9').contains(&c));
    match text.strip_prefix('-') {
        Some(digits) if is_zero => digits.to_owned(),
        Some(digits) => format!("−{digits}"),
        None => text,
    }
}

fn power_label(digit: u8, decade: i32, plain: bool) -> (String, String) {
    if plain {
        let decimals = usize::try_from(-decade).unwrap_or(0);
        return (label(f64::from(digit) * 10f64.powi(decade), decimals), String::new());
    }
    let base = if digit == 1 { "10".to_owned() } else { format!("{digit}×10") };
    (base, decade.to_string().replace('-', "−"))
}

#[expect(clippy::cast_possible_truncation, reason = "exponents of finite f64 lie within ±330")]
fn floor_i32(v: f64) -> i32 {
    v.floor() as i32
}

#[expect(clippy::cast_precision_loss, reason = "counts of ticks and bars are small")]
pub(crate) fn as_f64(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn axis(scale: Scale, values: &[f64]) -> Axis {
        let request = Request { scale, limits: None };
        Axis::fit(request, values.iter().copied(), (0.0, 0.0)).unwrap()
    }

    fn labels(scale: Scale, values: &[f64]) -> Vec<String> {
        let ticks = axis(scale, values).ticks(5).ticks.into_iter();
        let labelled = ticks.filter(|t| !t.label.is_empty());
        labelled
            .map(|t| match t.superscript.as_str() {
                "" => t.label,
                power => format!("{}^{power}", t.label),
            })
            .collect()
    }

    #[test]
    fn linear_ticks_are_round_numbers() {
        assert_eq!(labels(Scale::Linear, &[0.0, 1.0]), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(Scale::Linear, &[-10.0, 10.0]), ["−10", "−5", "0", "5", "10"]);
        assert_eq!(labels(Scale::Linear, &[0.0, 14.0])[..3], ["0.0", "2.5", "5.0"]);
        assert_eq!(labels(Scale::Linear, &[0.0, 12.0]), ["0", "2", "4", "6", "8", "10", "12"]);
    }

    #[test]
    fn long_numbers_share_a_power_of_ten() {
        let ticks = axis(Scale::Linear, &[0.0, 2e6]).ticks(4);
        assert_eq!(ticks.factor, Some(6));
        assert_eq!(ticks.ticks[1].label, "0.5");
        let ticks = axis(Scale::Linear, &[0.0, 2e-5]).ticks(4);
        assert_eq!((ticks.factor, ticks.ticks[1].label.as_str()), (Some(-6), "5"));
    }

    #[test]
    fn log_ticks_are_powers_of_ten() {
        assert_eq!(labels(Scale::Log, &[0.01, 100.0]), ["0.01", "0.1", "1", "10", "100"]);
        assert_eq!(labels(Scale::Log, &[1e-8, 1e-5]), ["10^−8", "10^−7", "10^−6", "10^−5"]);
        assert_eq!(labels(Scale::Log, &[1.0, 20.0]), ["1", "2", "5", "10", "20"]);
        assert_eq!(labels(Scale::Log, &[3.0, 4.0]), ["3.0", "3.2", "3.4", "3.6", "3.8", "4.0"]);
        assert!(labels(Scale::Log, &[1e-300, 1e300]).len() <= 7);
    }

    #[test]
    fn one_value_still_has_room_around_it() {
        for (scale, value) in [(Scale::Linear, 0.0), (Scale::Linear, -3e7), (Scale::Log, 1e-9)] {
            let axis = axis(scale, &[value]).check("t", 'x').unwrap();
            assert!((axis.position(value).unwrap() - 0.5).abs() < 1e-6);
            assert!(2 <= axis.ticks(5).ticks.len());
        }
    }

    #[test]
    fn an_impossible_range_is_an_error() {
        for limits in [(1.0, 1.0), (2.0, 1.0), (-f64::MAX, f64::MAX)] {
            let request = Request { scale: Scale::Linear, limits: Some(limits) };
            let axis = Axis::fit(request, [], (0.0, 0.0)).unwrap();
            assert!(matches!(axis.check("t", 'y'), Err(Error::InvalidRange { axis: 'y', .. })));
        }
    }

    proptest! {
        #[test]
        fn ticks_lie_on_the_axis_in_order_and_with_different_labels(
            a in any::<f64>(), b in any::<f64>(), log in any::<bool>(), n in 2usize..9,
        ) {
            let scale = if log { Scale::Log } else { Scale::Linear };
            let request = Request { scale, limits: None };
            let Some(axis) = Axis::fit(request, [a, b], (0.04, 0.04)) else { return Ok(()) };
            let Ok(axis) = axis.check("t", 'x') else { return Ok(()) };
            let ticks = axis.ticks(n).ticks;
            prop_assert!(ticks.iter().all(|t| (0.0..=1.0).contains(&t.at)));
            prop_assert!(ticks.windows(2).all(|w| w[0].at < w[1].at));
            let mut labels: Vec<_> = ticks.iter().filter(|t| !t.label.is_empty()).collect();
            let n_labels = labels.len();
            prop_assert!((2..=12).contains(&n_labels), "{ticks:?}");
            labels.sort_by_key(|t| (&t.label, &t.superscript));
            labels.dedup_by_key(|t| (t.label.clone(), t.superscript.clone()));
            prop_assert_eq!(labels.len(), n_labels);
        }

        #[test]
        fn every_shown_value_lies_on_the_axis(values in proptest::collection::vec(-1e9..1e9f64, 1..20)) {
            for scale in [Scale::Linear, Scale::Log] {
                let request = Request { scale, limits: None };
                let Some(axis) = Axis::fit(request, values.iter().copied(), (0.04, 0.04)) else { continue };
                for v in values.iter().filter(|v| scale.place(**v).is_some()) {
                    let at = axis.position(*v).unwrap();
                    prop_assert!((-1e-9..=1.0 + 1e-9).contains(&at));
                }
            }
        }
    }
}
