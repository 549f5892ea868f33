//! The state machine on losses that are written down or drawn here.

use dp_core::hyfree::{
    Evidence, Gated, HyFree, Line, Outcome, PaperLike, Query, RatePolicy, RlRule, Settings, Start,
    State,
};
use dp_core::{Error, LossRange};
use proptest::prelude::*;

use super::normals::Normals;

fn raw(first_rate: f64) -> Settings {
    let policy = RatePolicy::PaperLike(PaperLike { first_rate, clamp: None, smooth: 0.0 });
    Settings { policy, first_bound: 1e9, ..Settings::paper() }
}

fn line() -> Line {
    Line::new(10.0, 1.0).unwrap()
}

/// One step whose private losses are `loss`; the rate, and how many losses that took.
fn step(
    controller: &HyFree,
    state: &mut State,
    line: Line,
    mut loss: impl FnMut(&Query, f64) -> f64,
) -> (f64, u64) {
    let allowed = controller.n_losses(state);
    let before = state.n_losses();
    controller.begin(line, state).unwrap();
    while let Some(query) = controller.ask(state) {
        let told: Vec<f64> = query.distances.iter().map(|x| loss(&query, *x)).collect();
        controller.tell(&told, state).unwrap();
    }
    let rate = controller.rate(state).unwrap();
    controller.stepped(state).unwrap();
    let n = state.n_losses() - before;
    assert!(n <= allowed, "{n} losses of {allowed}");
    (rate, n)
}

proptest! {
    #[test]
    fn without_noise_one_probe_of_a_parabola_finds_its_minimum(
        slope in 1e-3..1e3, curvature in 1e-3..1e3, first in 1e-3..1e2, offset in -50.0..50.0, scale in 1e-2..1e2,
    ) {
        let newton: f64 = slope / curvature;
        prop_assume!((2e-8..50.0).contains(&newton) && (0.01..100.0).contains(&(newton / first)));
        let found = |offset: f64, scale: f64| {
            let settings = Settings { range: LossRange::Signed, ..raw(first) };
            let controller = HyFree::with_noise(settings, 0.0).unwrap();
            let mut state = controller.init();
            let loss = |_: &Query, x: f64| scale * (offset - slope * x + 0.5 * curvature * x * x);
            step(&controller, &mut state, line(), loss).0
        };
        let near = |rate: f64, tolerance: f64| (rate / newton - 1.0).abs() < tolerance;
        // What a constant costs in rounding.
        let told: f64 = f64::min(curvature * first * first, slope * first);
        let lost = 1e-13 * (1.0 + f64::abs(offset) / told);
        prop_assert!(near(found(0.0, 1.0), 1e-9), "{} {newton}", found(0.0, 1.0));
        prop_assert!(near(found(offset, 1.0), 1e-9 + 10.0 * lost));
        prop_assert!(near(found(0.0, scale), 1e-9));
    }

    #[test]
    fn rates_and_bounds_stay_in_their_limits_whatever_the_losses_are(
        losses in proptest::collection::vec(any_loss(), 60), policy in policies(), rule in rules(), period in 1u64..4,
    ) {
        let finds_bound = matches!(policy, RatePolicy::Evidence(Evidence { start: Start::Ladder, .. }));
        let settings = Settings { policy, period, finds_bound, rl_rule: rule, ..Settings::default() };
        let [low, high] = settings.rates;
        let controller = HyFree::with_noise(settings.clone(), 0.02).unwrap();
        let mut state = controller.init();
        let mut losses = losses.into_iter().cycle();
        for t in 0..20 {
            let (before, resolved) = (state.rate(), state.count(Outcome::Resolved));
            let bound = state.bound();
            let (rate, n) = step(&controller, &mut state, line(), |_, _| losses.next().unwrap());
            prop_assert!(low <= rate && rate <= high);
            prop_assert!(settings.rl_floor <= state.bound() && state.bound().is_finite());
            prop_assert!(0.0 < state.distance() && state.distance().is_finite());
            if n == 0 {
                prop_assert!((rate, bound) == (before, state.bound()));
                continue;
            }
            let report = state.report().unwrap();
            let is_sound = report.losses.iter().all(|loss| loss.is_finite());
            let keeps = matches!(report.outcome, Outcome::Rejected | Outcome::NotFinite | Outcome::Blind);
            prop_assert!(t == 0 || !keeps || rate.to_bits() == before.to_bits());
            prop_assert!(is_sound != (report.outcome == Outcome::NotFinite));
            let free = t == 0 || (resolved == 0 && report.outcome == Outcome::Resolved);
            let is_evidence = matches!(settings.policy, RatePolicy::Evidence(_));
            let rises = report.outcome == Outcome::SlopeOnly && is_evidence;
            prop_assert!((free && is_evidence) || rises || (0.5 - 1e-12..=2.0 + 1e-12).contains(&(rate / before)));
            if let RatePolicy::PaperLike(PaperLike { smooth, .. }) = settings.policy {
                let moved = rate / before - 1.0;
                prop_assert!(-0.5 * (1.0 - smooth) - 1e-12 <= moved && moved <= 1.0 - smooth + 1e-12);
            }
        }
    }

    #[test]
    fn as_many_losses_are_asked_for_as_the_schedule_says(steps in 1u64..40, period in 1u64..9, ladder: bool) {
        let evidence = if ladder { Evidence::default() } else { Evidence::default().from_rate(0.1) };
        let settings = Settings { period, ..Settings::evidence(evidence) };
        let schedule = settings.schedule();
        let controller = HyFree::with_noise(settings, 1e-3).unwrap();
        let mut state = controller.init();
        let mut probes = 0;
        for t in 0..steps {
            prop_assert_eq!(controller.n_losses(&state), schedule.at(t));
            // Losses that cut off make the bound grow: all twelve are needed.
            let (_, n) = step(&controller, &mut state, line(), |query, x| 0.9 * query.clip.bound.get() - 1e-3 * x);
            probes += u64::from(0 < n);
            prop_assert!(n == schedule.at(t));
        }
        prop_assert_eq!(probes, schedule.n_probes(steps));
        prop_assert_eq!(probes, steps.div_ceil(period));
        prop_assert_eq!(state.n_losses(), schedule.total(steps));
        prop_assert_eq!(schedule.total(steps), 3 * steps.div_ceil(period) + if ladder { 9 } else { 0 });
    }
}

fn any_loss() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => -1.0..9.0,
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(-1e9),
    ]
}

fn policies() -> impl Strategy<Value = RatePolicy> {
    let momentum = Evidence::default().with_momentum(0.9).unwrap();
    prop_oneof![
        (0.0..0.95).prop_map(|smooth| {
            RatePolicy::PaperLike(PaperLike { smooth, first_rate: 0.1, ..PaperLike::default() })
        }),
        Just(RatePolicy::Evidence(momentum)),
        (1e-4..1.0).prop_map(move |rate| RatePolicy::Evidence(momentum.from_rate(rate))),
        Just(RatePolicy::Gated(Gated { first_rate: 0.1, ..Gated::default() })),
    ]
}

fn rules() -> impl Strategy<Value = RlRule> {
    prop_oneof![Just(RlRule::Previous), Just(RlRule::SumOfProbes), Just(RlRule::default())]
}

/// A quadratic loss of 20 parameters, seen through noise and descended along noisy gradients of norm about 1. The last rate, and the
/// loss there.
fn descend(settings: Settings, seed: u64, noise: f64) -> (f64, f64, State) {
    let controller = HyFree::with_noise(settings, noise).unwrap();
    let mut state = controller.init();
    let mut normals = Normals::new(seed);
    let curvatures: Vec<f64> = (0..20).map(|i| 0.02 + 0.004 * f64::from(i)).collect();
    let loss = |x: &[f64]| -> f64 {
        0.2 + x.iter().zip(&curvatures).map(|(x, a)| 0.5 * a * x * x).sum::<f64>()
    };
    let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
    let mut x = vec![2.0; 20];
    let mut rate = 0.0;
    for _ in 0..200 {
        let gradient: Vec<f64> = x.iter().zip(&curvatures).map(|(x, a)| a * x).collect();
        let length = norm(&gradient) + 0.01;
        let direction: Vec<f64> =
            gradient.iter().map(|g| g / length + 0.05 * normals.next()).collect();
        let line = Line::new(norm(&x), norm(&direction)).unwrap();
        let there =
            |h: f64| -> Vec<f64> { x.iter().zip(&direction).map(|(x, d)| x - h * d).collect() };
        (rate, _) = step(&controller, &mut state, line, |query, h| {
            let bound = query.clip.bound.get();
            loss(&there(h)).min(bound) + noise * bound * normals.next()
        });
        x = there(rate);
    }
    (rate, loss(&x), state)
}

#[test]
fn evidence_leaves_every_start_and_the_published_rule_does_not() {
    // The loss begins at 2.5; a good constant rate ends near 0.2.
    for seed in 0..5 {
        for first in [1e-4, 1e-2, 1.0, 50.0] {
            let evidence = Settings::evidence(Evidence::default().from_rate(first));
            let (rate, loss, _) = descend(evidence, seed, 0.01);
            assert!(loss < 0.5, "{first}: {rate} {loss}");
        }
        let (rate, loss, state) = descend(Settings::default(), seed, 0.01);
        assert!(loss < 0.5, "ladder: {rate} {loss}");
        assert_eq!(state.count(Outcome::Descent), 1, "seen from far away");
        let paper = Settings { first_bound: 3.0, ..Settings::paper() };
        let (rate, loss, _) = descend(paper, seed, 0.01);
        assert!(rate < 1e-2 && 2.0 < loss, "{rate} {loss}");
    }
}

#[test]
fn an_update_of_pure_noise_is_accepted_once_in_four_and_shrinks_the_rate() {
    let policy = PaperLike { first_rate: 1.0, clamp: Some(2.0), smooth: 0.0 };
    let settings = Settings { policy: RatePolicy::PaperLike(policy), period: 1, ..raw(1.0) };
    let controller = HyFree::with_noise(settings, 0.01).unwrap();
    let mut normals = Normals::new(3);
    let (n, mut accepted, mut drift) = (4000u32, 0u32, 0.0);
    for _ in 0..n {
        let mut state = controller.init();
        let (rate, _) = step(&controller, &mut state, line(), |_, _| normals.next());
        accepted += u32::from(state.count(Outcome::Accepted) == 1);
        drift += rate.ln();
    }
    // Five standard errors of a share of 1/4; the mean logarithm -0.43 after the clamp, of values in [-0.7, 0.7].
    let share = f64::from(accepted) / f64::from(n);
    assert!((share - 0.25).abs() < 5.0 * (0.1875 / f64::from(n)).sqrt(), "{share}");
    let drift = drift / f64::from(accepted);
    assert!((drift + 0.43).abs() < 5.0 * 0.7 / f64::from(accepted).sqrt(), "{drift}");
}

#[test]
#[allow(clippy::float_cmp, reason = "products of few numbers")]
fn the_ladder_finds_the_bound_and_the_smallest_rung_with_half_the_decrease() {
    let evidence = Evidence { horizon: 2.0, ..Evidence::default() };
    let controller = HyFree::with_noise(Settings::evidence(evidence), 1e-4).unwrap();
    let mut state = controller.init();
    // Rungs 64, 16, 4, 1, ...; the loss starts at 2.3, is least at 16, and at 4 has fallen by more than half as far.
    let line = Line::new(32.0, 0.5).unwrap();
    let loss = |x: f64| -> f64 {
        match x {
            x if x > 60.0 => 9.0,
            x if x > 10.0 => 1.0,
            x if x > 3.0 => 1.5,
            x if x > 0.5 => 1.9,
            _ => 2.3,
        }
    };
    let mut bounds = Vec::new();
    let (rate, n) = step(&controller, &mut state, line, |query, x| {
        bounds.push(query.clip.bound.get());
        loss(x).min(query.clip.bound.get())
    });
    assert_eq!(n, 12);
    assert_eq!(bounds[..3], [1.0, 3.0, 3.0 * 2.3], "1 cuts 2.3 off, 3 is too close to it");
    assert!(bounds[3..].iter().all(|b| *b == 3.0 * 2.3));
    assert_eq!((rate, state.distance()), (4.0 / (2.0 * 2.0), 4.0));
    assert_eq!(state.report().unwrap().outcome, Outcome::Descent);
    assert_eq!(state.bound(), 3.0 * 2.3);
}

#[test]
#[allow(clippy::float_cmp, reason = "products of few numbers")]
fn a_ladder_without_visible_descent_starts_low_and_looks_far() {
    let controller = HyFree::with_noise(Settings::default(), 0.05).unwrap();
    let mut state = controller.init();
    // Nothing but harm beyond 4: rungs 64 and 16 are higher by more than the noise of a difference.
    let line = Line::new(64.0, 1.0).unwrap();
    let (rate, _) = step(&controller, &mut state, line, |_, x| if x > 5.0 { 0.9 } else { 0.4 });
    assert_eq!(state.report().unwrap().outcome, Outcome::NoDescent);
    assert_eq!((rate, state.distance()), (64.0 * 0.25f64.powi(8), 4.0));
}

#[test]
#[allow(clippy::float_cmp, reason = "products of few numbers")]
fn a_ladder_that_says_nothing_leaves_the_smallest_step() {
    let controller = HyFree::with_noise(Settings::default(), 0.05).unwrap();
    let mut state = controller.init();
    let line = Line::new(64.0, 1.0).unwrap();
    let (rate, _) = step(&controller, &mut state, line, |_, _| f64::NAN);
    assert_eq!((rate, state.distance()), (64.0 * 0.25f64.powi(8), 64.0 * 0.25f64.powi(8)));
    assert_eq!(state.count(Outcome::NotFinite), 1);
    assert_eq!(state.bound(), 1.0);
}

#[test]
fn calls_out_of_turn_are_refused_and_change_nothing() {
    let controller = HyFree::with_noise(Settings::default(), 0.01).unwrap();
    let mut state = controller.init();
    let refused = |result: Result<(), Error>| {
        assert!(matches!(result, Err(Error::OutOfTurn { .. })), "{result:?}");
    };
    refused(controller.tell(&[1.0], &mut state));
    refused(controller.rate(&state).map(|_| ()));
    refused(controller.stepped(&mut state));
    assert_eq!(controller.ask(&state), None);
    controller.begin(line(), &mut state).unwrap();
    let begun = state.clone();
    refused(controller.begin(line(), &mut state));
    refused(controller.stepped(&mut state));
    let wrong = controller.tell(&[1.0, 2.0], &mut state);
    assert!(matches!(wrong, Err(Error::InvalidScalar { .. })));
    assert_eq!(state, begun);
}

#[test]
fn settings_outside_their_range_are_refused() {
    let evidence = |evidence: Evidence| Settings::evidence(evidence);
    let base = Evidence::default();
    let paper =
        |paper: PaperLike| Settings { policy: RatePolicy::PaperLike(paper), ..Settings::paper() };
    let bad = [
        Settings { period: 0, ..Settings::default() },
        Settings { multipliers: vec![1.0, 0.0], ..Settings::default() },
        Settings { first_bound: f64::NAN, ..Settings::default() },
        Settings { rl_floor: 0.0, ..Settings::default() },
        Settings { rates: [1.0, 1.0], ..Settings::default() },
        Settings { rl_rule: RlRule::Scaled { rho: -1.0, shrink: 0.5 }, ..Settings::default() },
        Settings { rl_rule: RlRule::Scaled { rho: 1.0, shrink: 1.5 }, ..Settings::default() },
        evidence(Evidence { horizon: 0.0, ..base }),
        evidence(Evidence { gate: f64::NAN, ..base }),
        evidence(Evidence { ladder_gate: 0.0, ..base }),
        evidence(Evidence { forgetting: 1.0, ..base }),
        evidence(Evidence { clamp: 0.5, ..base }),
        evidence(base.from_rate(0.0)),
        paper(PaperLike { smooth: 1.0, ..PaperLike::default() }),
        paper(PaperLike { clamp: Some(0.9), ..PaperLike::default() }),
    ];
    for settings in bad {
        let got = HyFree::with_noise(settings.clone(), 0.01);
        assert!(matches!(got, Err(Error::InvalidScalar { .. })), "{settings:?}");
    }
    let few = Settings { multipliers: vec![1.0], ..Settings::default() };
    assert!(matches!(HyFree::with_noise(few, 0.01), Err(Error::Fit(_))));
    assert!(HyFree::with_noise(Settings::default(), f64::NAN).is_err());
    assert!(base.with_momentum(1.0).is_err() && Line::new(f64::NAN, 1.0).is_err());
    let horizon = base.with_momentum(0.9).unwrap().horizon;
    assert!((horizon - 10f64.sqrt()).abs() < 1e-12);
}
