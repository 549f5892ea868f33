//! Controllers on losses that are known: identities, limits and reasons.

mod coupled;
mod first;
mod guard;
mod merging;

use approx::assert_relative_eq;
use hessian_lr::Error;
use hessian_lr::controller::{
    Ask, EmaOf, FirstRate, FitReport, Gen, GroupRates, HiDlr, Merge, Observed, RateController,
    Settings, Solve, State, Uphill,
};
use hessian_lr::decision::{Acceptance, Decision};
use hessian_lr::fit::Quadratic;
use hessian_lr::horizon::Horizon;
use proptest::prelude::*;

/// Settings that fit before each step from a given rate and take the minimizer at once.
fn greedy(rate: f64) -> Settings {
    Settings {
        period: 1,
        smooth: 0.0,
        clamp: [1e-12, 1e12],
        first_rate: FirstRate::Given(rate),
        ..Settings::default()
    }
}

/// Answers everything that is asked. How many losses that took.
fn answer<C: RateController<State = State>>(
    controller: &C,
    state: &mut State,
    loss: impl Fn(&[f64]) -> f64,
) -> usize {
    let mut n = 0;
    while let Ask::Losses(points) = controller.ask(state) {
        let losses: Vec<f64> = points.iter().map(|GroupRates(x)| loss(x)).collect();
        n += losses.len();
        controller.tell(&Observed::means(&losses), state).unwrap();
    }
    n
}

fn rates<C: RateController<State = State>>(controller: &C, state: &State) -> Vec<f64> {
    controller.rates(state).unwrap().0
}

fn model(slope: &[f64], curvature: &[&[f64]]) -> Quadratic {
    Quadratic { slope: slope.to_vec(), curvature: curvature.iter().map(|r| r.to_vec()).collect() }
}

/// `L(0)` is 3.
fn loss_of(model: &Quadratic) -> impl Fn(&[f64]) -> f64 + '_ {
    |x| 3.0 - model.decrease(x)
}

fn decisions(state: &State) -> Vec<Decision> {
    state.report().unwrap().axes.iter().map(|axis| axis.decision).collect()
}

#[test]
fn rates_per_group_are_recovered_without_coupling_and_zero_the_slopes() {
    let (b, a) = ([3.0, 2e-4, 50.0], [7.0, 1e-6, 400.0]);
    let model = model(&b, &[&[a[0], 0.0, 0.0], &[0.0, a[1], 0.0], &[0.0, 0.0, a[2]]]);
    for (solve, n) in [(Solve::Axis, 4 * 3 + 1 + 2), (Solve::Full { damping: 0.0 }, 4 * 3 + 1 + 12)]
    {
        let hidlr = HiDlr { settings: greedy(0.3), solve, ..HiDlr::default() };
        let mut state = hidlr.init(3).unwrap();
        assert_eq!(answer(&hidlr, &mut state, loss_of(&model)), n);
        let found = rates(&hidlr, &state);
        for k in 0..3 {
            assert_relative_eq!(found[k], b[k] / a[k], max_relative = 1e-6);
            // The slope along an axis after the step: b_k - a_k x_k.
            assert!((b[k] - a[k] * found[k]).abs() < 1e-6 * b[k]);
        }
        let gain: f64 = (0..3).map(|k| b[k] * b[k] / (2.0 * a[k])).sum();
        assert_relative_eq!(3.0 - loss_of(&model)(&found), gain, max_relative = 1e-6);
    }
}

#[test]
fn groups_are_accepted_or_kept_each_on_its_own() {
    // Curvature down, uphill, flat, and one that is fine.
    let b = [1.0, -1.0, 1.0, 1.0];
    let a = [-2.0, 2.0, 0.0, 4.0];
    let loss =
        |x: &[f64]| 3.0 + (0..4).map(|k| -b[k] * x[k] + 0.5 * a[k] * x[k] * x[k]).sum::<f64>();
    let hidlr = HiDlr { settings: greedy(0.125), ..HiDlr::default() };
    let mut state = hidlr.init(4).unwrap();
    answer(&hidlr, &mut state, loss);
    use Decision::{Accept, Flat, NonPositiveCurvature, NonPositiveSlope};
    assert_eq!(decisions(&state), [NonPositiveCurvature, NonPositiveSlope, Flat, Accept]);
    let found = rates(&hidlr, &state);
    assert_eq!(found[..3], [0.125; 3]);
    assert_relative_eq!(found[3], 0.25, max_relative = 1e-9);
    assert_eq!(state.axes().iter().map(|axis| axis.n_rejected).collect::<Vec<_>>(), [1, 1, 1, 0]);
}

#[test]
fn a_group_whose_losses_are_no_numbers_is_halved_and_the_others_are_not() {
    let loss = |x: &[f64]| if x[0] == 0.0 { 3.0 - x[1] + x[1] * x[1] } else { f64::NAN };
    let hidlr = HiDlr { settings: greedy(0.5), guard: false, ..HiDlr::default() };
    let mut state = hidlr.init(2).unwrap();
    answer(&hidlr, &mut state, loss);
    assert_eq!(decisions(&state), [Decision::NonFinite, Decision::Accept]);
    assert_eq!(rates(&hidlr, &state)[0], 0.25);
    // At rest already: all of them.
    let mut state = hidlr.init(2).unwrap();
    answer(&hidlr, &mut state, |_| f64::INFINITY);
    assert_eq!(rates(&hidlr, &state), [0.25, 0.25]);
    assert_eq!(state.report().unwrap().loss, None);
}

#[test]
fn a_single_group_is_gen_bit_for_bit() {
    let settings = Settings { period: 2, ..Settings::default() };
    let gen_ = Gen { settings: settings.clone() };
    let hidlr = HiDlr { settings, ..HiDlr::default() };
    let (mut one, mut other) = (gen_.init(1).unwrap(), hidlr.init(1).unwrap());
    for t in 0..20 {
        let loss = |x: &[f64]| (x[0] - 0.02 * f64::from(t)).cosh() + (3.0 * x[0]).sin();
        assert_eq!(answer(&gen_, &mut one, loss), answer(&hidlr, &mut other, loss));
        assert_eq!(rates(&gen_, &one)[0].to_bits(), rates(&hidlr, &other)[0].to_bits());
        gen_.stepped(&mut one).unwrap();
        hidlr.stepped(&mut other).unwrap();
    }
}

#[test]
fn gen_moves_all_groups_with_one_rate() {
    let model = model(&[3.0, 5.0], &[&[7.0, 2.0], &[2.0, 3.0]]);
    let gen_ = Gen { settings: greedy(0.2) };
    let mut state = gen_.init(2).unwrap();
    assert_eq!(answer(&gen_, &mut state, loss_of(&model)), 5);
    let found = rates(&gen_, &state);
    assert_eq!(found[0], found[1]);
    assert_relative_eq!(found[0], model.uniform().unwrap(), max_relative = 1e-9);
}

#[test]
fn a_decoupled_horizon_leaves_the_average_alone() {
    let run = |coupled: bool, horizon: Horizon| {
        let settings = Settings { coupled, horizon, period: 1, ..Settings::paper(0.1) };
        let gen_ = Gen { settings };
        let mut state = gen_.init(1).unwrap();
        let mut used = Vec::new();
        for _ in 0..50 {
            answer(&gen_, &mut state, |x| 3.0 - x[0] + x[0] * x[0]);
            used.push((rates(&gen_, &state)[0], state.axes()[0].rate));
            gen_.stepped(&mut state).unwrap();
        }
        used
    };
    let plain = run(false, Horizon::None);
    let faded = run(false, Horizon::Linear { steps: 50 });
    for (t, (plain, faded)) in plain.iter().zip(&faded).enumerate() {
        assert_eq!(plain.1.to_bits(), faded.1.to_bits());
        assert_eq!(faded.0, (1.0 - t as f64 / 50.0) * faded.1);
    }
    // Coupled, the average itself falls in the second half, where the losses say 0.5 all the time.
    let coupled = run(true, Horizon::Linear { steps: 50 });
    assert!(coupled[49].1 < 0.5 * coupled[24].1 && 0.3 < plain[49].1);
}

#[test]
fn noise_stops_a_rate_and_a_wider_probe_gets_it_going() {
    // Samples differ in their slopes, by much less than the slope.
    let noise = |i: usize| if i.is_multiple_of(2) { 1.0 } else { -1.0 };
    let gen_ = Gen { settings: Settings { period: 1, ..greedy(1e-3) } };
    let observe = |points: &[GroupRates]| {
        let one = |x: f64, i: usize| 3.0 - x + 0.5 * x * x + 1e-4 * noise(i) * (40.0 * x).sin();
        let each = |x: &GroupRates| (0..100).map(|i| one(x.0[0], i)).collect();
        // Rounding that hides the bend at the first step.
        Observed::per_sample(points.iter().map(each).collect()).computed_in(1e-7, 3.0)
    };
    let mut state = gen_.init(1).unwrap();
    let mut seen = Vec::new();
    for _ in 0..12 {
        let Ask::Losses(points) = gen_.ask(&state) else { panic!("nothing is asked") };
        gen_.tell(&observe(&points), &mut state).unwrap();
        seen.push(decisions(&state)[0]);
        gen_.stepped(&mut state).unwrap();
        if seen.last() == Some(&Decision::Accept) {
            break;
        }
    }
    let n = seen.len();
    assert!(3 < n && seen[..n - 1].iter().all(|d| *d == Decision::BelowNoise), "{seen:?}");
    assert_eq!(seen[n - 1], Decision::Accept);
    assert_relative_eq!(state.axes()[0].rate, 1.0, max_relative = 1e-3);
    assert_eq!(state.axes()[0].growth, 1.0);
}

#[test]
fn a_verified_rate_that_raises_the_loss_is_halved() {
    let settings = Settings { verify: true, ..greedy(0.5) };
    // Straight parabola at the probes of one, a wall where the minimizer is.
    let wall =
        |x: &[f64]| if (1.4..1.6).contains(&x[0]) { 9.0 } else { 3.0 - 3.0 * x[0] + x[0] * x[0] };
    let gen_ = Gen { settings };
    let mut state = gen_.init(1).unwrap();
    assert_eq!(answer(&gen_, &mut state, wall), 6);
    assert_eq!(state.report().unwrap().verified, Some(false));
    assert_relative_eq!(rates(&gen_, &state)[0], 0.75, max_relative = 1e-9);
    let mut state = gen_.init(1).unwrap();
    answer(&gen_, &mut state, |x| 3.0 - 3.0 * x[0] + x[0] * x[0]);
    assert_eq!(state.report().unwrap().verified, Some(true));
}

#[test]
fn a_rate_uphill_falls_beyond_noise_alone_and_only_where_it_is_asked_to() {
    // Each sample has the parabola 3 + x + x^2 but for its own slope: the direction goes uphill, surely or hardly.
    let run = |uphill: Uphill, spread: f64| {
        let settings = Settings { uphill, smooth: 0.9, clamp: [0.5, 2.0], ..greedy(0.1) };
        let gen_ = Gen { settings };
        let mut state = gen_.init(1).unwrap();
        let Ask::Losses(points) = gen_.ask(&state) else { panic!("nothing is asked") };
        let own = |i: usize| 1.0 + if i == 0 { spread } else { -spread };
        let each = |x: f64| (0..2).map(|i| 3.0 + own(i) * x + x * x).collect();
        let losses = points.iter().map(|x| each(x.0[0])).collect();
        gen_.tell(&Observed::per_sample(losses), &mut state).unwrap();
        assert_eq!(decisions(&state), [Decision::NonPositiveSlope]);
        let report = state.report().unwrap().axes[0].rate;
        assert_eq!(report[1], rates(&gen_, &state)[0]);
        report[1] / report[0]
    };
    assert_relative_eq!(run(Uphill::Fall, 0.5), 0.95, max_relative = 1e-12);
    assert_eq!(run(Uphill::Fall, 1.5), 1.0);
    assert_eq!(run(Uphill::Keep, 0.5), 1.0);
}

#[test]
fn the_number_of_steps_is_all_that_the_defaults_need() {
    let gen_ = Gen::from(Settings::of_steps(10));
    let mut state = gen_.init(1).unwrap();
    let mut used = Vec::new();
    for _ in 0..10 {
        answer(&gen_, &mut state, |x| 3.0 - x[0] + 0.5 * x[0] * x[0]);
        used.push(rates(&gen_, &state)[0]);
        gen_.stepped(&mut state).unwrap();
    }
    assert!((0.5..2.0).contains(&used[0]) && used[9] < 0.2 * used[0], "{used:?}");
    let hidlr = HiDlr::from(Settings::of_steps(0));
    assert!(matches!(hidlr.init(1), Err(Error::InvalidSetting { name: "horizon", .. })));
}

#[test]
fn probes_that_had_to_grow_stay_where_losses_can_be_told_apart() {
    // The bend is seen from eight rates on; the minimizer is far.
    let gen_ = Gen { settings: Settings { smooth: 0.8, clamp: [0.5, 2.0], ..greedy(1e-3) } };
    let mut state = gen_.init(1).unwrap();
    let mut decided = Vec::new();
    for _ in 0..60 {
        while let Ask::Losses(points) = gen_.ask(&state) {
            let losses: Vec<f64> =
                points.iter().map(|x| 3.0 - x.0[0] + 0.5 * x.0[0] * x.0[0]).collect();
            let observed = Observed::means(&losses).computed_in(1e-6, 0.0);
            gen_.tell(&observed, &mut state).unwrap();
        }
        decided.push(decisions(&state)[0]);
        gen_.stepped(&mut state).unwrap();
    }
    let first = decided.iter().position(|d| *d == Decision::Accept).unwrap();
    let refused = decided[first..].iter().filter(|d| **d != Decision::Accept).count();
    assert!(first < 20 && refused <= 6, "{first} {refused} {decided:?}");
    assert_relative_eq!(state.axes()[0].rate, 1.0, max_relative = 0.1);
}

#[test]
fn a_damaged_state_is_refused_when_it_is_read() {
    let hidlr = HiDlr::from(greedy(0.1));
    let text = serde_json::to_string(&hidlr.init(2).unwrap()).unwrap();
    assert!(serde_json::from_str::<State>(&text).is_ok());
    for (from, to) in [
        ("\"groups\":[1]", "\"groups\":[7]"),
        ("\"groups\":[1]", "\"groups\":[0]"),
        ("\"n_groups\":2", "\"n_groups\":3"),
        ("\"rate\":0.1", "\"rate\":-0.1"),
    ] {
        assert!(text.contains(from), "{text}");
        assert!(serde_json::from_str::<State>(&text.replacen(from, to, 1)).is_err(), "{to}");
    }
    // Settings too: a misspelt name is an error.
    let settings = serde_json::to_string(&greedy(0.1)).unwrap().replace("period", "perod");
    assert!(serde_json::from_str::<Settings>(&settings).is_err());
    let equal = Settings { multipliers: vec![1.0, 1.0], ..greedy(0.1) };
    assert!(matches!(Gen::from(equal).init(1), Err(Error::InvalidSetting { .. })));
}

#[test]
fn averages_of_coefficients_are_divided_after_they_are_averaged() {
    let settings = Settings { ema_of: EmaOf::Coefficients, smooth: 0.5, ..greedy(0.1) };
    let gen_ = Gen { settings };
    let mut state = gen_.init(1).unwrap();
    for (b, a) in [(1.0, 2.0), (3.0, 4.0)] {
        answer(&gen_, &mut state, |x| 3.0 - b * x[0] + 0.5 * a * x[0] * x[0]);
        gen_.stepped(&mut state).unwrap();
    }
    assert_relative_eq!(state.axes()[0].rate, 2.0 / 3.0, max_relative = 1e-9);
}

#[test]
fn what_does_not_fit_is_refused_and_leaves_the_state() {
    let gen_ = Gen { settings: greedy(0.1) };
    let mut state = gen_.init(2).unwrap();
    let before = state.clone();
    for bad in [
        Observed::means(&[1.0; 4]),
        Observed::per_sample(vec![vec![1.0, 2.0], vec![1.0], vec![1.0], vec![1.0], vec![1.0]]),
        Observed::per_sample(vec![Vec::new(); 5]),
    ] {
        assert!(matches!(gen_.tell(&bad, &mut state), Err(Error::Length { .. })));
        assert_eq!(state, before);
    }
    assert!(matches!(gen_.rates(&state), Err(Error::StillAsking)));
    assert!(matches!(gen_.stepped(&mut state), Err(Error::StillAsking)));
    assert!(matches!(gen_.init(0), Err(Error::Length { name: "groups", .. })));
    let bad = |change: fn(&mut Settings)| {
        let mut settings = Settings::default();
        change(&mut settings);
        matches!(Gen { settings }.init(1), Err(Error::InvalidSetting { .. }))
    };
    assert!(bad(|s| s.multipliers = vec![0.0, 1.0]));
    assert!(bad(|s| s.multipliers = vec![f64::NAN, 1.0]));
    assert!(bad(|s| s.period = 0));
    assert!(bad(|s| s.smooth = 1.0));
    assert!(bad(|s| s.clamp = [0.0, 2.0]));
    assert!(bad(|s| s.clamp = [0.5, 0.9]));
    assert!(bad(|s| s.greed = 3.0));
    assert!(bad(|s| s.first_rate = FirstRate::Given(0.0)));
    assert!(bad(|s| s.first_rate = FirstRate::Auto(f64::NAN)));
    assert!(bad(|s| s.horizon = Horizon::Cosine { steps: 0 }));
    assert!(bad(|s| s.acceptance = Acceptance { r2_min: 1.0, ..s.acceptance }));
}

#[test]
fn a_fit_every_so_many_steps() {
    let settings = Settings { period: 3, ..greedy(0.1) };
    let gen_ = Gen { settings };
    let mut state = gen_.init(1).unwrap();
    let mut n = Vec::new();
    for _ in 0..7 {
        n.push(answer(&gen_, &mut state, |x| 3.0 - x[0] + x[0] * x[0]));
        gen_.stepped(&mut state).unwrap();
    }
    assert_eq!(n, [0, 0, 5, 0, 0, 5, 0]);
    assert_eq!((state.step(), state.n_forwards()), (7, 10));
    assert_eq!(state.report().map(|FitReport { step, .. }| *step), Some(5));
}

/// Losses that may be anything.
fn wild() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -10.0..10.0f64,
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(f64::NEG_INFINITY),
        1 => Just(f64::MAX),
        1 => Just(0.0),
    ]
}

proptest! {
    #[test]
    fn rates_stay_positive_and_finite_whatever_the_losses_are(
        losses in prop::collection::vec(wild(), 2000),
        guard: bool,
        verify: bool,
        auto: bool,
    ) {
        let first_rate = if auto { FirstRate::Auto(0.1) } else { FirstRate::Given(0.1) };
        let settings = Settings { verify, first_rate, period: 1, ..Settings::default() };
        let hidlr = HiDlr { settings, guard, ..HiDlr::default() };
        let mut state = hidlr.init(3).unwrap();
        let mut losses = losses.into_iter();
        for _ in 0..40 {
            while let Ask::Losses(points) = hidlr.ask(&state) {
                let told: Vec<f64> = points.iter().map(|_| losses.next().unwrap_or(1.0)).collect();
                hidlr.tell(&Observed::means(&told), &mut state).unwrap();
                // A state with losses that are no numbers is saved and read like any other.
                let text = serde_json::to_string(&state).unwrap();
                prop_assert_eq!(&serde_json::from_str::<State>(&text).unwrap(), &state);
            }
            for rate in rates(&hidlr, &state) {
                prop_assert!(0.0 < rate && rate.is_finite());
            }
            hidlr.stepped(&mut state).unwrap();
        }
    }

    #[test]
    fn a_fit_changes_a_rate_by_a_twentieth_down_a_tenth_up_or_by_half(
        losses in prop::collection::vec(wild(), 13 + 2),
        guard: bool,
    ) {
        let settings = Settings {
            period: 1,
            smooth: 0.9, // as published
            first_rate: FirstRate::Given(0.1),
            ..Settings::default()
        };
        let hidlr = HiDlr { settings, guard, ..HiDlr::default() };
        let mut state = hidlr.init(3).unwrap();
        // The guard may ask for more than these.
        let mut losses = losses.into_iter();
        while let Ask::Losses(points) = hidlr.ask(&state) {
            let told: Vec<f64> = points.iter().map(|_| losses.next().unwrap_or(1.0)).collect();
            hidlr.tell(&Observed::means(&told), &mut state).unwrap();
        }
        for axis in &state.report().unwrap().axes {
            let ratio = axis.rate[1] / axis.rate[0];
            let known = match axis.decision {
                Decision::Accept => (0.95 - 1e-12..=1.1 + 1e-12).contains(&ratio) || ratio == 0.5,
                Decision::NonFinite => ratio == 0.5,
                _ => ratio == 1.0,
            };
            prop_assert!(known, "{:?}", axis);
        }
    }

    #[test]
    fn directions_that_are_longer_get_rates_that_are_shorter(
        c in 0.01..100.0f64,
        k in 0.01..100.0f64,
        offset in -5.0..5.0f64,
        b in prop::collection::vec(0.1..10.0f64, 3),
        a in prop::collection::vec(0.1..10.0f64, 3),
    ) {
        let loss = |x: &[f64]| -> f64 {
            (0..3).map(|i| -b[i] * x[i] + 0.5 * a[i] * x[i] * x[i]).sum()
        };
        let run = |rate: f64, loss: &dyn Fn(&[f64]) -> f64| {
            let hidlr = HiDlr { settings: greedy(rate), ..HiDlr::default() };
            let mut state = hidlr.init(3).unwrap();
            answer(&hidlr, &mut state, loss);
            rates(&hidlr, &state)
        };
        let plain = run(0.5, &loss);
        let longer = run(0.5 / c, &|x| loss(&x.iter().map(|x| c * x).collect::<Vec<_>>()));
        let other = run(0.5, &|x| k * loss(x) + offset);
        for i in 0..3 {
            prop_assert!((c * longer[i] - plain[i]).abs() < 1e-6 * plain[i]);
            prop_assert!((other[i] - plain[i]).abs() < 1e-6 * plain[i]);
        }
    }

    #[test]
    fn groups_may_stand_in_any_order(
        b in prop::collection::vec(0.1..10.0f64, 3),
        a in prop::collection::vec(0.1..10.0f64, 3),
        coupling in 0.0..0.09f64,
    ) {
        let loss = |b: &[f64], a: &[f64], x: &[f64]| -> f64 {
            let sum: f64 = x.iter().sum();
            (0..3).map(|i| -b[i] * x[i] + 0.5 * a[i] * x[i] * x[i]).sum::<f64>() + coupling * sum * sum
        };
        let run = |b: &[f64], a: &[f64]| {
            let hidlr = HiDlr { settings: greedy(0.5), ..HiDlr::default() };
            let mut state = hidlr.init(3).unwrap();
            answer(&hidlr, &mut state, |x| loss(b, a, x));
            rates(&hidlr, &state)
        };
        let turn = |v: &[f64]| vec![v[2], v[0], v[1]];
        let (plain, turned) = (run(&b, &a), run(&turn(&b), &turn(&a)));
        for (plain, turned) in turn(&plain).iter().zip(turned) {
            prop_assert!((plain - turned).abs() < 1e-7 * plain);
        }
    }

    #[test]
    fn a_run_that_is_saved_anywhere_equals_one_that_is_not(at in 0usize..60, seed in 0u64..100) {
        let hidlr = HiDlr {
            settings: Settings { period: 2, verify: true, ..Settings::default() },
            merge: Some(Merge { within: 1.2, fits: 2 }),
            ..HiDlr::default()
        };
        let run = |save: Option<usize>| {
            let mut state = hidlr.init(3).unwrap();
            let mut n = 0;
            let mut all = Vec::new();
            for t in 0..12 {
                let wave = seed as f64 + f64::from(t);
                while let Ask::Losses(points) = hidlr.ask(&state) {
                    let loss = |x: &[f64]| {
                        3.0 + x.iter().enumerate().map(|(k, x)| {
                            let (b, a) = ((wave + k as f64).sin() + 1.0, 2.0 + (k + 1) as f64);
                            -b * x + 0.5 * a * x * x
                        }).sum::<f64>()
                    };
                    let told: Vec<f64> = points.iter().map(|x| loss(&x.0)).collect();
                    if save == Some(n) {
                        let text = serde_json::to_string(&state).unwrap();
                        state = serde_json::from_str(&text).unwrap();
                    }
                    n += 1;
                    hidlr.tell(&Observed::means(&told), &mut state).unwrap();
                }
                all.extend(rates(&hidlr, &state).iter().map(|rate| rate.to_bits()));
                hidlr.stepped(&mut state).unwrap();
            }
            all
        };
        prop_assert_eq!(run(None), run(Some(at)));
    }
}
