//! Renyi divergences of single releases, without cancellation and for any real order.
//!
//! Everything takes `m = a - 1`, so that orders close to 1 keep their digits.

use crate::DpEvent;

/// The Renyi divergence of one release as a function of the order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::accountant) enum Curve {
    /// `R_a = a * rho`: any number of Gaussian releases of the whole data set.
    Gaussian { rho: f64 },
    /// One Gaussian release of effective noise multiplier `s` on a Poisson sample of rate `q`.
    SampledGaussian { q: f64, s: f64 },
    /// One Laplace release of the whole data set.
    Laplace { b: f64 },
    /// One Laplace release on a Poisson sample.
    SampledLaplace { q: f64, b: f64 },
    /// No protection for whom a Poisson sample of rate `q` contains; `q` is 1 without sampling.
    Revealed { q: f64 },
}

/// Why an event has no curve.
pub(in crate::accountant) struct NoCurve(pub(in crate::accountant) &'static str);

impl Curve {
    /// The curve of an event out of [`DpEvent::phases`].
    pub(in crate::accountant) fn of(event: &DpEvent) -> Result<Curve, NoCurve> {
        match event {
            DpEvent::NonPrivate => Ok(Curve::Revealed { q: 1.0 }),
            DpEvent::Gaussian { noise_multiplier } => Ok(gaussian(noise_multiplier.get().powi(-2))),
            DpEvent::Laplace { scale } => Ok(Curve::Laplace { b: scale.get() }),
            DpEvent::PoissonSampled { rate, event } => sampled(rate.get(), event),
            _ => Err(NoCurve("no Renyi divergence is known for it")),
        }
    }

    /// `R_a` with `a = 1 + m`.
    pub(in crate::accountant) fn at(self, m: f64) -> f64 {
        match self {
            Curve::Gaussian { rho } => (1.0 + m) * rho,
            Curve::SampledGaussian { q, s } => sampled_gaussian(q, s, m),
            Curve::Laplace { b } => laplace(b, m),
            Curve::SampledLaplace { q, b } => sampled_laplace(q, b, m),
            Curve::Revealed { .. } => f64::INFINITY,
        }
    }

    /// The limit of `R_a` for large orders: the epsilon of pure privacy.
    pub(in crate::accountant) fn pure(self) -> f64 {
        match self {
            Curve::Gaussian { rho } if rho <= 0.0 => 0.0,
            Curve::Laplace { b } => 1.0 / b,
            Curve::SampledLaplace { q, b } => ln_mixture(q, 1.0 / b),
            _ => f64::INFINITY,
        }
    }

    /// An order shortly above which the divergence is dominated by rare, huge losses.
    pub(in crate::accountant) fn useful_m(self) -> f64 {
        match self {
            Curve::SampledGaussian { q, s } => (-1.4 * s * s * q.ln()).max(1e-3),
            _ => f64::INFINITY,
        }
    }
}

fn gaussian(precision: f64) -> Curve {
    if precision.is_finite() {
        Curve::Gaussian { rho: precision / 2.0 }
    } else {
        Curve::Revealed { q: 1.0 }
    }
}

/// Several Gaussian answers on one sample are one Gaussian answer: precisions add. Then one sampling.
fn sampled(q: f64, event: &DpEvent) -> Result<Curve, NoCurve> {
    if let DpEvent::Laplace { scale } = event {
        return Ok(Curve::SampledLaplace { q, b: scale.get() });
    }
    let precision = precision(event)?;
    // 1 - q below the resolution of the integrand: q = 1 is an upper bound.
    if 1.0 - q < 1e-15 {
        return Ok(gaussian(precision));
    }
    let s = precision.powf(-0.5);
    Ok(if 0.0 < s { Curve::SampledGaussian { q, s } } else { Curve::Revealed { q } })
}

fn precision(event: &DpEvent) -> Result<f64, NoCurve> {
    match event {
        DpEvent::NoOp => Ok(0.0),
        DpEvent::NonPrivate => Ok(f64::INFINITY),
        DpEvent::Gaussian { noise_multiplier } => Ok(noise_multiplier.get().powi(-2)),
        #[allow(clippy::cast_precision_loss, reason = "rounding of a count is harmless here")]
        DpEvent::Repeated { event, count } => Ok(precision(event)? * *count as f64),
        DpEvent::Composed(events) => {
            events.iter().try_fold(0.0, |sum, event| Ok(sum + precision(event)?))
        }
        DpEvent::PoissonSampled { .. } => Err(NoCurve("sampling within a sample is not analyzed")),
        DpEvent::Laplace { .. } => {
            Err(NoCurve("a joint release on one sample is analyzed for Gaussian noise only"))
        }
    }
}

/// `ln(1 - q + q exp(e))`.
pub(in crate::accountant) fn ln_mixture(q: f64, e: f64) -> f64 {
    if e < 600.0 {
        (q * e.exp_m1()).ln_1p()
    } else {
        e + q.ln() + ((1.0 - q) / q * (-e).exp()).ln_1p()
    }
}

/// `ln(1 + exp(ln_s))` without overflow.
fn ln_1p_exp(ln_s: f64) -> f64 {
    if ln_s < 30.0 { ln_s.exp().ln_1p() } else { ln_s + (-ln_s).exp().ln_1p() }
}

/// The ratio `r = P/Q` at privacy loss `e` of the unsampled pair: `r - 1` and `ln r`.
fn ratio(q: f64, e: f64) -> (f64, f64) {
    if e < 600.0 {
        let u = q * e.exp_m1();
        (u, u.ln_1p())
    } else {
        let l = ln_mixture(q, e);
        (l.exp_m1(), l)
    }
}

/// `ln(r^a - 1 - a (r - 1))`, the Bernoulli form of the moment: never negative, so a sum of such terms
/// loses nothing, and `E_Q[r] = 1` makes the subtracted term vanish in the mean.
fn ln_excess(u: f64, l: f64, m: f64) -> f64 {
    let a = 1.0 + m;
    if m * l > 600.0 {
        return a * l;
    }
    if l > 100.0 {
        return l + ((m * l).exp_m1() - m).ln(); // divided by r, and 1/r is nothing here
    }
    let excess = if (a + 2.0) * u.abs() < 0.02 {
        // sum over k >= 2 of C(a, k) u^k
        let tail = 1.0 + (m - 4.0) / 6.0 * u * (1.0 + (m - 5.0) / 7.0 * u);
        let tail = 1.0 + (m - 2.0) / 4.0 * u * (1.0 + (m - 3.0) / 5.0 * u * tail);
        a * m / 2.0 * u * u * (1.0 + (m - 1.0) / 3.0 * u * tail)
    } else {
        (1.0 + u) * (m * l).exp_m1() - m * u
    };
    excess.max(f64::MIN_POSITIVE).ln()
}

/// `R_a` of `(1-q) N(0, s^2) + q N(1, s^2)` against `N(0, s^2)` by the trapezoid rule, which converges
/// geometrically for this analytic integrand. This direction dominates the other one.
///
/// Source: arXiv 1908.10530, section 3 (the divergence); the quadrature is ours.
fn sampled_gaussian(q: f64, s: f64, m: f64) -> f64 {
    const S_MIN: f64 = 0.009;
    const NEGLIGIBLE: f64 = 45.0;
    let a = 1.0 + m;
    let variance = s * s;
    if s < S_MIN || 1e12 < a / s {
        // Joint convexity, A <= 1 - q + q exp(a (a-1) / (2 s^2)): looser, always valid, and far from
        // any order that matters.
        return ln_mixture(q, a * m / (2.0 * variance)) / m;
    }
    let ln_term = |x: f64| {
        let (u, l) = ratio(q, (2.0 * x - 1.0) / (2.0 * variance));
        ln_excess(u, l, m) - x * x / (2.0 * variance)
    };

    // Step min(s, s^2) / 2, several steps to a cell for s below 1/2.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "s >= 0.009")]
    let splits = (1.0 / s).floor().max(1.0) as u32;
    let step = 0.5 * s.min(variance);
    // Every bump of the integrand is at least s wide, so cells of half that width cannot hide one. Bumps lie
    // at fixed points x = a w(x) of the posterior weight w of the shifted part with a w (1 - w) < s^2: below
    // `low` or above `high`. In between the integrand falls and then rises, so looking may stop in the valley.
    let width = step * f64::from(splits);
    let from = -9.0 * s;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 2e12")]
    let n_cells = ((a.max(2.0) + 18.0 * s) / width).ceil() as u64;
    let at = |i: u64| from + i as f64 * width;
    let reach = (a - (a * (a - 4.0 * variance).max(0.0)).sqrt()) / 2.0;
    let (low, high) = (reach.max(2.0) + 9.0 * s, a - reach - 9.0 * s);
    let mut lower: Vec<f64> =
        (0..=n_cells).take_while(|&i| at(i) <= low).map(|i| ln_term(at(i))).collect();
    let first = lower.len() as u64;
    let mut upper: Vec<f64> = // from the top down
        (first..=n_cells).rev().take_while(|&i| high <= at(i)).map(|i| ln_term(at(i))).collect();
    let top = lower.iter().chain(&upper).copied().fold(f64::NEG_INFINITY, f64::max);
    let matters = |edges: &[f64]| edges.last().is_some_and(|ln| top - NEGLIGIBLE <= *ln);
    let unseen = |lower: &[f64], upper: &[f64]| (lower.len() + upper.len()) as u64 <= n_cells;
    while matters(&lower) && unseen(&lower, &upper) {
        lower.push(ln_term(at(lower.len() as u64)));
    }
    while matters(&upper) && unseen(&lower, &upper) {
        upper.push(ln_term(at(n_cells - upper.len() as u64)));
    }
    if !unseen(&lower, &upper) {
        lower.extend(upper.drain(..).rev()); // no valley: one piece
    }

    let sum_of = |edges: &[f64], start: f64, step: f64| -> f64 {
        let mut sum: f64 = edges.iter().map(|ln| (ln - top).exp()).sum();
        for (i, pair) in edges.windows(2).enumerate() {
            if top - NEGLIGIBLE <= pair[0].max(pair[1]) {
                let edge = start + i as f64 * step * f64::from(splits);
                let inner = (1..splits).map(|j| (ln_term(edge + f64::from(j) * step) - top).exp());
                sum += inner.sum::<f64>();
            }
        }
        sum
    };
    let sum = sum_of(&lower, from, step) + sum_of(&upper, at(n_cells), -step);
    let ln_excess_mean = top + (sum * step / (s * (2.0 * std::f64::consts::PI).sqrt())).ln();
    ln_1p_exp(ln_excess_mean) / m
}

/// `ln( a/(2a-1) exp((a-1)/b) + (a-1)/(2a-1) exp(-a/b) ) / (a-1)`, at most `1/b`.
///
/// Source: arXiv 1702.07476, proposition 6.
fn laplace(b: f64, m: f64) -> f64 {
    let a = 1.0 + m;
    let (up, down) = (m / b, a / b);
    let ln_a = if up < 600.0 {
        // The weights sum to 1 and the linear terms cancel exactly; what is left is positive.
        ((a * exp_m1_minus(up) + m * exp_m1_minus(-down)) / (a + m)).ln_1p()
    } else {
        up + (a / (a + m)).ln() + (m / a * (-up - down).exp()).ln_1p()
    };
    (ln_a / m).min(1.0 / b)
}

/// `exp(x) - 1 - x`.
fn exp_m1_minus(x: f64) -> f64 {
    if x.abs() < 0.05 {
        x * x / 2.0
            * (1.0
                + x / 3.0
                    * (1.0
                        + x / 4.0
                            * (1.0
                                + x / 5.0 * (1.0 + x / 6.0 * (1.0 + x / 7.0 * (1.0 + x / 8.0))))))
    } else {
        x.exp_m1() - x
    }
}

/// `R_a` of a Laplace release on a Poisson sample: the ratio is constant outside `[0, 1]`, and an
/// analytic function inside, integrated panel by panel by an eight-point Gauss rule. The direction is the
/// dominating one because the pair is symmetric about 1/2.
///
/// Source: arXiv 1908.10530, section 3 (the direction, for any pair that a reflection exchanges).
fn sampled_laplace(q: f64, b: f64, m: f64) -> f64 {
    const NODES: [(f64, f64); 4] = [
        (0.183_434_642_495_649_8, 0.362_683_783_378_362),
        (0.525_532_409_916_329, 0.313_706_645_877_887_3),
        (0.796_666_477_413_626_7, 0.222_381_034_453_374_48),
        (0.960_289_856_497_536_3, 0.101_228_536_290_376_26),
    ];
    const PANELS_MAX: f64 = 5e3;
    let t = 1.0 / b;
    let a = 1.0 + m;
    let panels = (a * t).max(4.0).ceil();
    if PANELS_MAX < panels {
        return (ln_mixture(q, m * laplace(b, m)) / m).min(ln_mixture(q, t));
    }
    let ln_term = |x: f64| {
        let (u, l) = ratio(q, t * (2.0 * x - 1.0));
        ln_excess(u, l, m) - t * x
    };
    let ends = [ln_term(0.0), ln_term(1.0)]; // each with mass weight 1/2
    let mut terms = vec![(ends[0], 0.5), (ends[1], 0.5)];
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 5e3")]
    let panels = panels as usize;
    let half = 0.5 / panels as f64;
    for i in 0..panels {
        let middle = (2 * i + 1) as f64 * half;
        for (node, weight) in NODES {
            for x in [middle - half * node, middle + half * node] {
                terms.push((ln_term(x), weight * half * t / 2.0));
            }
        }
    }
    let top = terms.iter().fold(f64::NEG_INFINITY, |top, (ln, _)| top.max(*ln));
    let sum: f64 = terms.iter().map(|(ln, weight)| (ln - top).exp() * weight).sum();
    (ln_1p_exp(top + sum.ln()) / m).min(ln_mixture(q, t))
}

#[cfg(test)]
mod tests;
