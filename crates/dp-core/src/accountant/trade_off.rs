//! Trade-off functions: what a test of "was this record in the data" can reach, as auditors need it.

use crate::{Accountant, DpEvent, Epsilon, Error, Result, SampleRate};

/// A lower bound on the type-II error of every test, from the deltas of a history at several epsilons.
///
/// A mechanism that is `(eps, delta)`-private for each pair of a list has, at every level `alpha`,
///
/// ```text
/// f(alpha) >= max over pairs of  max(0, 1 - delta - exp(eps) alpha, exp(-eps) (1 - delta - alpha))
/// ```
///
/// # Privacy
/// Made of upper bounds of delta only, so the errors are lower bounds in both directions: present against absent
/// and the reverse. One minus the error bounds the true-positive rate at false-positive rate `alpha`.
///
/// # Source
/// arXiv 1905.02383, propositions 2.5 and 2.12.
///
/// # Examples
/// ```
/// use dp_core::{DpEvent, GaussianDp, PldAccountant, TradeOff};
///
/// let history = DpEvent::gaussian(2.0)?;
/// let curve = TradeOff::new(&PldAccountant::new(), &history, (0..100).map(|i| 0.05 * f64::from(i)))?;
/// let exact = GaussianDp::new(0.5)?.type_ii_error(0.1);
/// assert!(curve.type_ii_error(0.1) <= exact && exact < curve.type_ii_error(0.1) + 1e-3);
/// # Ok::<(), dp_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TradeOff {
    /// Epsilon and delta.
    pairs: Vec<(f64, f64)>,
}

impl TradeOff {
    /// Asks an accountant for delta at each of these epsilons.
    ///
    /// # Errors
    /// [`Error::InvalidScalar`] for an epsilon; [`Error::EstimateOnly`] if the accountant gives no guarantee; what
    /// it returns.
    pub fn new(
        accountant: &dyn Accountant,
        event: &DpEvent,
        epsilons: impl IntoIterator<Item = f64>,
    ) -> Result<Self> {
        let mut pairs = Vec::new();
        for epsilon in epsilons {
            let epsilon = Epsilon::new(epsilon)?;
            let bound = accountant.delta(event, epsilon)?;
            let ln = bound
                .ln_guarantee()
                .ok_or(Error::EstimateOnly { accountant: accountant.name() })?;
            pairs.push((epsilon, ln.exp()));
        }
        Ok(TradeOff::of_pairs(pairs))
    }

    /// The bound of known pairs of an epsilon and an upper bound of the delta there.
    ///
    /// # Privacy
    /// As good as the deltas: one that lies below the truth makes the bound wrong.
    pub fn of_pairs(pairs: impl IntoIterator<Item = (Epsilon, f64)>) -> Self {
        let pairs = pairs.into_iter().map(|(epsilon, delta)| {
            // What is no number says nothing.
            let delta = if delta.is_nan() { 1.0 } else { delta.clamp(0.0, 1.0) };
            (epsilon.get(), delta)
        });
        TradeOff { pairs: pairs.collect() }
    }

    /// The least type-II error that a test of level `alpha` can have, at most the truth.
    pub fn type_ii_error(&self, alpha: f64) -> f64 {
        self.pairs.iter().fold(0.0, |best, &(epsilon, delta)| {
            let steep = 1.0 - delta - epsilon.exp() * alpha;
            let flat = (-epsilon).exp() * (1.0 - delta - alpha);
            f64::max(best, steep.max(flat))
        })
    }
}

/// The trade-off function of a release on a Poisson sample, from that of the release: record absent as the null.
///
/// ```text
/// f_q(alpha) = q f(alpha) + (1 - q) (1 - alpha)
/// ```
///
/// Source: arXiv 1911.11607, section 3 (before making it symmetric).
pub fn sampled(rate: SampleRate, alpha: f64, type_ii_error: impl Fn(f64) -> f64) -> f64 {
    let q = rate.get();
    q * type_ii_error(alpha) + (1.0 - q) * (1.0 - alpha)
}

/// The reverse direction, record present as the null: the inverse function of [`sampled`], to 1e-15.
pub fn sampled_reverse(rate: SampleRate, alpha: f64, type_ii_error: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if alpha < sampled(rate, middle, &type_ii_error) {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// Both directions: the convex hull of the smaller of them, at every level in `alphas`, which must rise from 0 to 1.
///
/// Source: arXiv 1911.11607, equation 9.
pub fn sampled_symmetric(
    rate: SampleRate,
    alphas: &[f64],
    type_ii_error: impl Fn(f64) -> f64,
) -> Vec<f64> {
    let both = |alpha: f64| {
        sampled(rate, alpha, &type_ii_error).min(sampled_reverse(rate, alpha, &type_ii_error))
    };
    // The lower convex hull of the points, left to right, and the chords between them.
    let mut hull: Vec<(f64, f64)> = Vec::new();
    for point in alphas.iter().map(|&alpha| (alpha, both(alpha))) {
        while let [.., a, b] = hull[..] {
            if (b.1 - a.1) * (point.0 - a.0) < (point.1 - a.1) * (b.0 - a.0) {
                break;
            }
            hull.pop();
        }
        hull.push(point);
    }
    let mut at = 0;
    let on_hull = alphas.iter().map(|&alpha| {
        while at + 2 < hull.len() && hull[at + 1].0 <= alpha {
            at += 1;
        }
        match hull.get(at..at + 2) {
            Some([a, b]) => a.1 + (b.1 - a.1) * ((alpha - a.0) / (b.0 - a.0)),
            _ => both(alpha),
        }
    });
    on_hull.collect()
}
