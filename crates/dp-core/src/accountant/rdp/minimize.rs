//! The lowest point of a function with one valley.

/// A point, the value there, and whether the search ran into an end of the interval.
#[derive(Clone, Copy, Debug)]
pub(in crate::accountant) struct Lowest {
    pub(in crate::accountant) at: f64,
    pub(in crate::accountant) value: f64,
    pub(in crate::accountant) end: Option<End>,
}

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::accountant) enum End {
    Low,
    High,
}

/// Relative differences of values that are left to rounding.
const FLAT: f64 = 1e-10;

/// Walks downhill from `start` with growing strides until the valley is enclosed, then narrows it by golden
/// sections and parabolas to `tolerance`, or until the values around it agree to 1e-10. Values of NaN count as infinity.
pub(in crate::accountant) fn minimize(
    f: impl Fn(f64) -> f64,
    (low, high): (f64, f64),
    start: f64,
    tolerance: f64,
) -> Lowest {
    let f = |x: f64| {
        let value = f(x);
        if value.is_nan() { f64::INFINITY } else { value }
    };
    let stride = 0.4;
    let mut middle = start.clamp(low, high);
    let mut best = f(middle);
    // Without a finite value there is no downhill; infinity lies at large orders.
    while best.is_infinite() && low < middle {
        middle = (middle - 2.0).max(low);
        best = f(middle);
    }
    let (mut left, mut right) = ((middle - stride).max(low), (middle + stride).min(high));
    let (mut f_left, mut f_right) = (f(left), f(right));
    let mut stride = stride;
    while f_right < best && right < high {
        stride *= 2.0;
        (left, f_left, middle, best) = (middle, best, right, f_right);
        right = (right + stride).min(high);
        f_right = f(right);
    }
    while f_left < best && low < left {
        stride *= 2.0;
        (right, f_right, middle, best) = (middle, best, left, f_left);
        left = (left - stride).max(low);
        f_left = f(left);
    }
    if f_right < best {
        return Lowest { at: right, value: f_right, end: Some(End::High) };
    }
    if f_left < best {
        return Lowest { at: left, value: f_left, end: Some(End::Low) };
    }
    let (at, value) = enclosed(f, left, middle, best, right, tolerance);
    let near = 4.0 * tolerance;
    let end = if at - low < near {
        Some(End::Low)
    } else if high - at < near {
        Some(End::High)
    } else {
        None
    };
    Lowest { at, value, end }
}

/// Brent's minimizer on `[left, right]` with a first point inside.
fn enclosed(
    f: impl Fn(f64) -> f64,
    mut left: f64,
    mut x: f64,
    mut fx: f64,
    mut right: f64,
    tolerance: f64,
) -> (f64, f64) {
    const GOLDEN: f64 = 0.381_966_011_250_105;
    let (mut w, mut fw, mut v, mut fv) = (x, fx, x, fx);
    let (mut step, mut before) = (0.0_f64, 0.0_f64);
    for _ in 0..100 {
        let middle = 0.5 * (left + right);
        if (x - middle).abs() <= 2.0 * tolerance - 0.5 * (right - left) {
            break;
        }
        // Three points so flat that the lowest is found but for rounding; in a kink they never are.
        let distinct = !w.total_cmp(&x).is_eq() && !v.total_cmp(&w).is_eq();
        if distinct && fw.max(fv) - fx <= FLAT * fx.abs() {
            break;
        }
        let mut parabolic = false;
        if tolerance < before.abs() {
            let r = (x - w) * (fx - fv);
            let q = (x - v) * (fx - fw);
            let p = (x - v) * q - (x - w) * r;
            let q = 2.0 * (q - r);
            let p = if 0.0 < q { -p } else { p };
            let q = q.abs();
            if p.abs() < (0.5 * q * before).abs() && q * (left - x) < p && p < q * (right - x) {
                before = step;
                step = p / q;
                let u = x + step;
                if u - left < 2.0 * tolerance || right - u < 2.0 * tolerance {
                    step = tolerance.copysign(middle - x);
                }
                parabolic = true;
            }
        }
        if !parabolic {
            before = if x < middle { right - x } else { left - x };
            step = GOLDEN * before;
        }
        let u = x + if tolerance <= step.abs() { step } else { tolerance.copysign(step) };
        let fu = f(u);
        if fu <= fx {
            if u < x {
                right = x;
            } else {
                left = x;
            }
            (v, fv, w, fw, x, fx) = (w, fw, x, fx, u, fu);
        } else {
            if u < x {
                left = u;
            } else {
                right = u;
            }
            if fu <= fw || w.total_cmp(&x).is_eq() {
                (v, fv, w, fw) = (w, fw, u, fu);
            } else if fu <= fv || v.total_cmp(&x).is_eq() || v.total_cmp(&w).is_eq() {
                (v, fv) = (u, fu);
            }
        }
    }
    (x, fx)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_valley_is_found_from_either_side() {
        for start in [-9.0, 0.0, 1.3, 9.0] {
            let lowest = minimize(|x| (x - 1.25_f64).cosh(), (-10.0, 10.0), start, 1e-5);
            assert!((lowest.at - 1.25).abs() < 1e-4 && lowest.end.is_none());
        }
    }

    #[test]
    fn an_end_of_the_interval_is_reported() {
        assert_eq!(minimize(|x| x, (-3.0, 3.0), 1.0, 1e-5).end, Some(End::Low));
        assert_eq!(minimize(|x| -x, (-3.0, 3.0), 1.0, 1e-5).end, Some(End::High));
        assert_eq!(minimize(|x| x, (-3.0, 3.0), -9.0, 1e-5).end, Some(End::Low));
        assert_eq!(minimize(|x| -x, (-3.0, 3.0), 9.0, 1e-5).end, Some(End::High));
    }

    #[test]
    fn infinite_walls_do_not_stop_the_search() {
        let f = |x: f64| if x > 0.0 { f64::INFINITY } else { (x + 4.0).powi(2) };
        let lowest = minimize(f, (-20.0, 20.0), 15.0, 1e-5);
        assert!((lowest.at + 4.0).abs() < 1e-3);
        let nan = minimize(|_| f64::NAN, (-20.0, 20.0), 0.0, 1e-5);
        assert!(nan.value.is_infinite());
    }
}
