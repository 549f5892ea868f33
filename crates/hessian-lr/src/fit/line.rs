//! One direction.

use crate::error::{Error, Result};

/// Whether the fitted parabola must pass through the loss at the point itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Intercept {
    /// It must: right where that loss is as exact as the others are.
    #[default]
    Pinned,
    /// It need not: right where every loss has a noise of its own. With five points the variance of the curvature is then 0.286
    /// instead of 0.464 of `noise^2 / h^4`.
    Free,
}

/// A parabola `offset - slope x + curvature x^2 / 2`.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Parabola {
    /// Minus the derivative at 0.
    pub slope: f64,
    /// The second derivative.
    pub curvature: f64,
    /// The value at 0 less the loss there; 0 where it is pinned.
    pub offset: f64,
    /// `1 - SS_res / SS_tot` over all points, that at 0 included; 1 where all losses are equal.
    pub r2: f64,
    /// The largest step of the fit.
    pub reach: f64,
}

impl Parabola {
    /// Where it is least, `slope / curvature`; none unless that is finite.
    #[must_use]
    pub fn minimizer(&self) -> Option<f64> {
        Some(self.slope / self.curvature).filter(|eta| eta.is_finite())
    }

    /// How far the least value lies below that at 0, `slope^2 / (2 curvature)`; 0 unless both are positive.
    #[must_use]
    pub fn decrease(&self) -> f64 {
        if 0.0 < self.slope && 0.0 < self.curvature {
            0.5 * self.slope * (self.slope / self.curvature)
        } else {
            0.0
        }
    }
}

/// How sure a fit is.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Evidence {
    /// Standard error of the slope, from how samples differ; none of fewer than two samples.
    pub slope_error: Option<f64>,
    /// Standard error of the curvature.
    pub curvature_error: Option<f64>,
}

/// Losses `differences[j][i]` of sample `i` at the step `x[j]`, less those at 0, and how they become slope and curvature.
///
/// Both are linear in the differences, so that each sample has a slope and a curvature of its own, of which those of the fit
/// are the means. Steps are scaled by the largest first: at a rate of 1e-5 the plain equations mix 1e-10 with 1e-20.
///
/// # Errors
/// [`Error::Length`] if lists do not fit together; [`Error::FewProbes`] without two different steps that are not 0, or with a
/// free intercept and fewer than three different steps, that of 0 among them; [`Error::InvalidSetting`] for a step that is not finite.
///
/// # Source
/// Derived: least squares in `x / h`. Of three points -h, 0, h it is `slope = (L(-h) - L(h)) / 2h`,
/// `curvature = (L(h) - 2 L(0) + L(-h)) / h^2` (arXiv 2407.02772).
pub fn fit(
    x: &[f64],
    differences: &[Vec<f64>],
    intercept: Intercept,
) -> Result<(Parabola, Evidence)> {
    if x.len() != differences.len() {
        return Err(Error::Length {
            name: "probe losses",
            expected: x.len(),
            got: differences.len(),
        });
    }
    let n_samples = differences.first().map_or(0, Vec::len);
    if let Some(bad) = differences.iter().find(|d| d.len() != n_samples) {
        return Err(Error::Length { name: "samples", expected: n_samples, got: bad.len() });
    }
    let weights = Weights::of(x, intercept)?;
    let mean = |sample: &dyn Fn(usize) -> f64| {
        (0..n_samples).map(sample).sum::<f64>() / n_samples.max(1) as f64
    };
    // One value of each sample, then their mean: differences of samples cancel before anything is added.
    let each = |weights: &[f64]| -> Vec<f64> {
        (0..n_samples)
            .map(|i| weights.iter().zip(differences).map(|(w, d)| w * d[i]).sum())
            .collect()
    };
    let error = |values: &[f64], mean: f64| {
        let n = values.len() as f64;
        let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
        (1.0 < n).then(|| (squares / (n - 1.0) / n).sqrt())
    };
    let (slopes, curvatures) = (each(&weights.slope), each(&weights.curvature));
    let (slope, curvature) = (mean(&|i| slopes[i]), mean(&|i| curvatures[i]));
    let means: Vec<f64> = differences.iter().map(|d| mean(&|i| d[i])).collect();
    let offset = match intercept {
        Intercept::Pinned => 0.0,
        Intercept::Free => weights.offset.iter().zip(&means).map(|(w, d)| w * d).sum(),
    };
    let parabola = Parabola { slope, curvature, offset, r2: 0.0, reach: weights.reach };
    let r2 = goodness(&parabola, x, &means);
    let evidence = Evidence {
        slope_error: error(&slopes, slope),
        curvature_error: error(&curvatures, curvature),
    };
    Ok((Parabola { r2, ..parabola }, evidence))
}

/// `1 - SS_res / SS_tot`, with the point at 0.
fn goodness(parabola: &Parabola, x: &[f64], differences: &[f64]) -> f64 {
    let inner = x.iter().zip(differences).map(|(x, d)| (*x, *d)).filter(|(x, _)| *x != 0.0);
    let points: Vec<(f64, f64)> = std::iter::once((0.0, 0.0)).chain(inner).collect();
    let mean = points.iter().map(|p| p.1).sum::<f64>() / points.len() as f64;
    let total: f64 = points.iter().map(|(_, d)| (d - mean).powi(2)).sum();
    let value = |x: f64| parabola.offset - parabola.slope * x + 0.5 * parabola.curvature * x * x;
    let rest: f64 = points.iter().map(|(x, d)| (d - value(*x)).powi(2)).sum();
    if total <= 0.0 { 1.0 } else { 1.0 - rest / total }
}

/// What differences are multiplied by.
struct Weights {
    slope: Vec<f64>,
    curvature: Vec<f64>,
    offset: Vec<f64>,
    reach: f64,
}

impl Weights {
    fn of(x: &[f64], intercept: Intercept) -> Result<Self> {
        if let Some(bad) = x.iter().find(|x| !x.is_finite()) {
            return Err(Error::InvalidSetting { name: "probe step", must: "finite", got: *bad });
        }
        let reach = x.iter().fold(0.0f64, |h, x| h.max(x.abs()));
        let u: Vec<f64> = x.iter().map(|x| x / reach).collect();
        let mut distinct: Vec<f64> = u.iter().copied().filter(|u| *u != 0.0).collect();
        distinct.sort_by(f64::total_cmp);
        distinct.dedup();
        let sum = |power: i32| u.iter().map(|u| u.powi(power)).sum::<f64>();
        let (needed, got) = match intercept {
            Intercept::Pinned => (2, distinct.len()),
            Intercept::Free => (3, distinct.len() + usize::from(u.contains(&0.0))),
        };
        if reach <= 0.0 || got < needed {
            return Err(Error::FewProbes { needed, got: if reach <= 0.0 { 0 } else { got } });
        }
        let (s2, s3, s4) = (sum(2), sum(3), sum(4));
        let (slope, curvature, offset): (Vec<f64>, Vec<f64>, Vec<f64>) = match intercept {
            Intercept::Pinned => {
                // [s2, -s3/2; -s3/2, s4/4] [b h; a h^2] = [-sum u d; sum u^2 d / 2]
                let determinant = 0.25 * (s2 * s4 - s3 * s3);
                let slope = |u: f64| (-0.25 * s4 * u + 0.25 * s3 * u * u) / determinant;
                let curvature = |u: f64| (0.5 * s2 * u * u - 0.5 * s3 * u) / determinant;
                let zero = |_: &f64| 0.0;
                (
                    u.iter().map(|u| slope(*u)).collect(),
                    u.iter().map(|u| curvature(*u)).collect(),
                    u.iter().map(zero).collect(),
                )
            }
            Intercept::Free => {
                let rows = cofactors([u.len() as f64, sum(1), s2, s3, s4]);
                let at = |row: [f64; 3]| -> Vec<f64> {
                    u.iter().map(|u| row[0] + row[1] * u + row[2] * u * u).collect()
                };
                let times = |v: Vec<f64>, by: f64| v.into_iter().map(|v| v * by).collect();
                (times(at(rows[1]), -1.0), times(at(rows[2]), 2.0), at(rows[0]))
            }
        };
        let slope = slope.into_iter().map(|w| w / reach).collect();
        let curvature = curvature.into_iter().map(|w| w / reach / reach).collect();
        Ok(Weights { slope, curvature, offset, reach })
    }
}

/// The inverse of the moment matrix `[s0 s1 s2; s1 s2 s3; s2 s3 s4]`.
fn cofactors([s0, s1, s2, s3, s4]: [f64; 5]) -> [[f64; 3]; 3] {
    let (c00, c01, c02) = (s2 * s4 - s3 * s3, s2 * s3 - s1 * s4, s1 * s3 - s2 * s2);
    let (c11, c12, c22) = (s0 * s4 - s2 * s2, s1 * s2 - s0 * s3, s0 * s2 - s1 * s1);
    let determinant = s0 * c00 + s1 * c01 + s2 * c02;
    [[c00, c01, c02], [c01, c11, c12], [c02, c12, c22]].map(|row| row.map(|c| c / determinant))
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;

    use super::*;

    fn means(losses: &[f64]) -> Vec<Vec<f64>> {
        losses.iter().map(|l| vec![*l]).collect()
    }

    #[test]
    fn a_parabola_is_found_from_any_points_at_any_scale() {
        for h in [1e-8, 1e-3, 1.0, 1e6] {
            for points in [vec![-1.0, 1.0], vec![-2.0, -1.0, 1.0, 2.0], vec![0.5, 1.0, 3.0, 0.0]] {
                let x: Vec<f64> = points.iter().map(|u| u * h).collect();
                let losses: Vec<f64> =
                    points.iter().map(|u| -3.0 * u + 0.5 * 7.0 * u * u).collect();
                let (found, _) = fit(&x, &means(&losses), Intercept::Pinned).unwrap();
                assert_relative_eq!(found.slope * h, 3.0, max_relative = 1e-12);
                assert_relative_eq!(found.curvature * h * h, 7.0, max_relative = 1e-12);
                assert_relative_eq!(found.r2, 1.0, max_relative = 1e-12);
                assert_relative_eq!(
                    found.minimizer().unwrap() / h,
                    3.0 / 7.0,
                    max_relative = 1e-12
                );
            }
        }
    }

    #[test]
    fn the_sign_is_that_of_a_step_that_is_subtracted() {
        // The loss falls along the direction: L(w - h d) < L(w + h d).
        let (found, _) = fit(&[1.0, -1.0], &means(&[-0.5, 1.5]), Intercept::Pinned).unwrap();
        assert!(0.0 < found.slope && 0.0 < found.curvature);
        assert_eq!((found.slope, found.curvature), (1.0, 1.0));
    }

    #[test]
    fn standard_errors_are_those_of_the_samples_own_parabolas() {
        let x = [-1.0, 1.0];
        // Samples with slopes 1, 2, 3 and curvatures 4, 4, 10.
        let own = [(1.0, 4.0), (2.0, 4.0), (3.0, 10.0)];
        let losses: Vec<Vec<f64>> =
            x.iter().map(|x| own.iter().map(|(b, a)| -b * x + 0.5 * a * x * x).collect()).collect();
        let (found, evidence) = fit(&x, &losses, Intercept::Pinned).unwrap();
        assert_relative_eq!(found.slope, 2.0, max_relative = 1e-15);
        assert_relative_eq!(
            evidence.slope_error.unwrap(),
            (1.0f64 / 3.0).sqrt(),
            max_relative = 1e-14
        );
        assert_relative_eq!(evidence.curvature_error.unwrap(), 2.0, max_relative = 1e-14);
        let one = fit(&x, &means(&[1.0, 2.0]), Intercept::Pinned).unwrap().1;
        assert_eq!(one.slope_error, None);
    }

    #[test]
    fn what_cannot_be_fitted_is_refused() {
        let few = |x: &[f64], intercept| {
            let losses = vec![vec![0.0]; x.len()];
            matches!(fit(x, &losses, intercept), Err(Error::FewProbes { .. }))
        };
        assert!(few(&[], Intercept::Pinned) && few(&[1.0, 1.0], Intercept::Pinned));
        assert!(few(&[0.0, 0.0, 1.0], Intercept::Pinned) && few(&[-1.0, 1.0], Intercept::Free));
        let wrong = fit(&[1.0, f64::NAN], &means(&[1.0, 1.0]), Intercept::Pinned);
        assert!(matches!(wrong, Err(Error::InvalidSetting { .. })));
        let short = fit(&[1.0, 2.0], &means(&[1.0]), Intercept::Pinned);
        assert!(matches!(short, Err(Error::Length { .. })));
    }

    #[test]
    fn five_noisy_points_with_a_free_intercept_have_the_smaller_variance() {
        // Weights of the curvature: their squares add up to 0.286 free, and 0.464 pinned with the noise of the point itself.
        let x = [-2.0, -1.0, 0.0, 1.0, 2.0];
        let free = Weights::of(&x, Intercept::Free).unwrap();
        let squares: f64 = free.curvature.iter().map(|w| w * w).sum();
        assert_relative_eq!(squares, 2.0 / 7.0, max_relative = 1e-12);
        let pinned = Weights::of(&x, Intercept::Pinned).unwrap();
        let own: f64 = pinned.curvature.iter().map(|w| w * w).sum();
        let shared = pinned.curvature.iter().sum::<f64>().powi(2);
        assert_relative_eq!(own, 4.0 / 34.0, max_relative = 1e-12);
        assert_relative_eq!(own + shared, 0.464, max_relative = 2e-3);
    }
}
