//! Measured noise power against what is predicted.

use dp_filters::{Disk, Filter, LookAhead, LowPass, Recipe, ScalarKalman};
use proptest::prelude::*;
use tensor_tree::{Transform, Tree};

use crate::support::{cases, filters, leaf, normals, values};

/// Parameters that are filtered side by side.
const D: usize = 8192;

/// The sum of the squares of all numbers.
fn power(tree: &Tree) -> f64 {
    values(tree).iter().map(|x| x * x).sum()
}

/// The mean square over `D` coordinates and `steps` steps after the first `skipped`, and how far it strays, relative to its mean.
///
/// For a stationary Gaussian series with autocorrelation `rho` the mean of `n` squares has the relative variance
/// `2/n sum_|h|<n (1 - h/n) rho_h^2`, and coordinates are independent.
fn measured<T: Transform>(
    transform: &T,
    impulse: &[f64],
    (skipped, steps): (u64, u64),
) -> (f64, f64) {
    let params = leaf(&vec![0.0; D]);
    let mut state = transform.init(&params).unwrap();
    let mut sum = 0.0;
    for t in 0..skipped + steps {
        let filtered = transform.update(normals(D, 21, t), &params, &mut state).unwrap();
        if skipped <= t {
            sum += power(&filtered);
        }
    }
    let n = steps as f64;
    let product = |h: usize| impulse.iter().zip(&impulse[h..]).map(|(a, b)| a * b).sum::<f64>();
    let at_once = product(0);
    let correlated: f64 = (1..steps as usize)
        .take_while(|h| *h < impulse.len())
        .map(|h| 2.0 * (1.0 - h as f64 / n) * (product(h) / at_once).powi(2))
        .sum();
    let std = (2.0 / (n * D as f64) * (1.0 + correlated)).sqrt();
    (sum / (n * D as f64), std)
}

fn assert_within_two_percent(what: &str, got: f64, want: f64, std: f64) {
    // So many coordinates and steps that two percent are five deviations or more, and no chance is left.
    assert!(5.0 * std <= 0.02, "{what}: {std}");
    assert!((got / want - 1.0).abs() <= 0.02, "{what}: {got}, predicted {want}, deviation {std}");
}

#[test]
fn the_noise_power_of_six_filters_is_the_predicted_one() {
    let designed = [("butterworth", Filter::butterworth_2(0.05).unwrap())];
    let named = Recipe::ALL.map(|recipe| (recipe.name(), recipe.filter()));
    for (name, filter) in named.into_iter().chain(designed) {
        if name == Recipe::None.name() {
            continue;
        }
        // The slowest pole of the table has modulus 0.9927: after 2000 steps 1e-6 of it is left.
        let impulse = filter.impulse_response(2000);
        let (skipped, steps) =
            if name == Recipe::SecondOrderLowGain.name() { (1000, 1200) } else { (200, 400) };
        let want = filter.noise_power_gain() / filter.dc_gain().powi(2);
        let low = LowPass::new(filter);
        let (got, std) = measured(&low, &impulse, (skipped, steps));
        assert_within_two_percent(name, got, want, std);
    }
}

#[test]
fn the_noise_power_of_the_kalman_filter_is_that_of_its_gain() {
    for kappa in [0.7, 0.5, 0.1] {
        let disk = Disk::new(kappa, LookAhead::Auto).unwrap();
        assert!((disk.noise_power_gain() - kappa / (2.0 - kappa)).abs() < 1e-15);
        let average = Filter::ema(1.0 - kappa).unwrap();
        let impulse = average.impulse_response(1000);
        let (got, std) = measured(&disk, &impulse, (200, 400));
        assert_within_two_percent("disk", got, kappa / (2.0 - kappa), std);
    }
    // Gains that settle: in the end those of the stationary one.
    let kalman = ScalarKalman::new(10.0, 0.1, 1.0).unwrap();
    let disk = Disk::adaptive(kalman, LookAhead::Auto).unwrap();
    let average = Filter::ema(1.0 - kalman.stationary_gain()).unwrap();
    let (got, std) = measured(&disk, &average.impulse_response(1000), (200, 400));
    assert_within_two_percent("adaptive disk", got, disk.noise_power_gain(), std);
}

proptest! {
    #![proptest_config(cases(12))]

    /// At each of the first steps, over coordinates.
    #[test]
    fn the_noise_power_of_each_early_step_is_the_predicted_one(filter in filters(), seed in 0u64..1000) {
        let low = LowPass::new(filter.clone());
        let params = leaf(&vec![0.0; D]);
        let mut state = low.init(&params).unwrap();
        for t in 0..12 {
            let filtered = low.update(normals(D, seed, t), &params, &mut state).unwrap();
            let ratio = power(&filtered) / D as f64 / filter.noise_power_gain_at(t);
            // Chi-squared with D degrees of freedom; six deviations, 144 times.
            prop_assert!((ratio - 1.0).abs() <= 6.0 * (2.0 / D as f64).sqrt(), "{} {}", t, ratio);
        }
    }
}
