//! Numbers and durations as people like to read them.

use std::time::Duration;

/// `x` rounded to `digits` significant digits, written plainly for magnitudes from 1e-4 to 1e6 and
/// in powers of ten outside. Digits before the decimal point are never replaced by zeros.
///
/// # Examples
/// ```
/// use report::number::significant;
/// assert_eq!(significant(0.012345, 3), "0.0123");
/// assert_eq!(significant(123456.0, 3), "123456");
/// assert_eq!(significant(1.5e-7, 3), "1.50e-7");
/// assert_eq!(significant(f64::NAN, 3), "NaN");
/// ```
pub fn significant(x: f64, digits: usize) -> String {
    let digits = digits.max(1);
    if x == 0.0 {
        return "0".to_owned();
    }
    if !x.is_finite() {
        return x.to_string();
    }
    let exponent = exponent_after_rounding(x, digits);
    if !(-4..6).contains(&exponent) {
        return format!("{x:.*e}", digits - 1);
    }
    format!("{x:.*}", decimals(digits, exponent))
}

/// `mean ± std`, both to the decimals that make two significant digits of `std`; four significant
/// digits of `mean` where there is no spread.
///
/// # Examples
/// ```
/// use report::number::mean_std;
/// assert_eq!(mean_std(0.84321, Some(0.0123)), "0.843 ± 0.012");
/// assert_eq!(mean_std(1234.5, Some(67.8)), "1234 ± 68");
/// assert_eq!(mean_std(0.84321, None), "0.8432");
/// ```
pub fn mean_std(mean: f64, std: Option<f64>) -> String {
    let Some(std) = std else { return significant(mean, 4) };
    if !(mean.is_finite() && std.is_finite() && 0.0 < std) {
        return format!("{} ± {}", significant(mean, 4), significant(std, 2));
    }
    let largest = exponent_after_rounding(mean.abs().max(std), 2);
    let spread = exponent_after_rounding(std, 2);
    if !(-4..6).contains(&largest) {
        let scaled = |v: f64| v / 10f64.powi(largest);
        let places = decimals(2, spread - largest).min(17);
        return format!("({:.*} ± {:.*})e{largest}", places, scaled(mean), places, scaled(std));
    }
    let places = decimals(2, spread).min(17);
    format!("{mean:.places$} ± {std:.places$}")
}

/// A duration in its two largest units: `850 ms`, `12.3 s`, `4 min 05 s`, `3 h 20 min`, `2 d 4 h`.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// assert_eq!(report::number::duration(Duration::from_secs(245)), "4 min 05 s");
/// ```
pub fn duration(time: Duration) -> String {
    let ms = time.as_millis();
    // From here on whole seconds, rounded, so that no unit ever shows its own full count.
    let s = (ms + 500) / 1000;
    match s {
        _ if ms < 1000 => format!("{ms} ms"),
        _ if ms < 59_950 => format!("{:.1} s", time.as_secs_f64()),
        0..3600 => format!("{} min {:02} s", s / 60, s % 60),
        3600..86_400 => format!("{} h {:02} min", s / 3600, s % 3600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3600),
    }
}

/// A count with its thousands set apart by thin spaces: `12 500`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (idx, digit) in digits.chars().enumerate() {
        if 0 < idx && (digits.len() - idx).is_multiple_of(3) && 4 < digits.len() {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

fn decimals(digits: usize, exponent: i32) -> usize {
    let digits = i32::try_from(digits).unwrap_or(i32::MAX);
    usize::try_from(digits.saturating_sub(1).saturating_sub(exponent)).unwrap_or(0)
}

/// The decimal exponent of a finite number as it is printed: 9.996 to three digits is 1.00e1.
fn exponent_after_rounding(x: f64, digits: usize) -> i32 {
    let text = format!("{x:.*e}", digits - 1);
    text.split_once('e').and_then(|(_, e)| e.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rounding_up_to_the_next_power_of_ten_keeps_the_digits() {
        assert_eq!(significant(9.996, 3), "10.0");
        assert_eq!(significant(0.09996, 3), "0.100");
        assert_eq!(significant(999_999.6, 3), "1.00e6");
    }

    #[test]
    fn special_values_have_a_text() {
        assert_eq!(significant(0.0, 3), "0");
        assert_eq!(significant(-0.0, 3), "0");
        assert_eq!(significant(f64::INFINITY, 3), "inf");
        assert_eq!(significant(-2.5, 1), "-2");
        assert_eq!(mean_std(f64::NAN, Some(1.0)), "NaN ± 1.0");
        assert_eq!(mean_std(1.0, Some(0.0)), "1.000 ± 0");
        assert_eq!(mean_std(1.5e9, Some(2.0e7)), "(1.500 ± 0.020)e9");
    }

    #[test]
    fn durations_never_show_a_full_unit() {
        for (ms, text) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (12_340, "12.3 s"),
            (59_960, "1 min 00 s"),
            (3_599_700, "1 h 00 min"),
            (12_000_000, "3 h 20 min"),
            (187_200_000, "2 d 4 h"),
        ] {
            assert_eq!(duration(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn counts_are_grouped_from_five_digits_on() {
        assert_eq!(count(1234), "1234");
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
    }

    proptest! {
        #[test]
        fn reading_a_number_back_loses_at_most_half_a_digit(x in -1e12f64..1e12, digits in 1usize..12) {
            let back: f64 = significant(x, digits).parse().unwrap();
            let bound = 0.5 * 10f64.powi(1 - i32::try_from(digits).unwrap());
            prop_assert!((back - x).abs() <= bound * x.abs() * (1.0 + 1e-9));
        }

        #[test]
        fn any_two_numbers_have_a_text(mean in any::<f64>(), std in any::<f64>()) {
            prop_assert!(mean_std(mean, Some(std)).len() < 400);
        }
    }
}
