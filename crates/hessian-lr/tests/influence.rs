//! Values of groups.

use approx::assert_relative_eq;
use hessian_lr::Error;
use hessian_lr::controller::{
    Ask, FirstRate, Gen, HiDlr, Observed, RateController, Settings, State,
};
use hessian_lr::decision::Decision;
use hessian_lr::influence::Accumulator;

fn fits<C: RateController<State = State>>(
    controller: &C,
    n_groups: usize,
    loss: impl Fn(&[f64]) -> f64,
) -> State {
    let mut state = controller.init(n_groups).unwrap();
    while let Ask::Losses(points) = controller.ask(&state) {
        let losses: Vec<f64> = points.iter().map(|x| loss(&x.0)).collect();
        controller.tell(&Observed::means(&losses), &mut state).unwrap();
    }
    state
}

fn settings() -> Settings {
    Settings { period: 1, first_rate: FirstRate::Given(0.1), ..Settings::default() }
}

#[test]
fn values_add_up_over_fits_and_do_not_depend_on_the_length_of_the_direction() {
    let hidlr = HiDlr { settings: settings(), ..HiDlr::default() };
    let mut values = Vec::new();
    for c in [1.0, 20.0] {
        let mut sum = Accumulator::new(vec![10, 0, 5]);
        // The last group goes uphill.
        let loss = |x: &[f64]| -> f64 {
            let x: Vec<f64> = x.iter().map(|x| c * x).collect();
            3.0 - 2.0 * x[0] + 2.0 * x[0] * x[0] - x[1] + x[1] * x[1] + x[2] + x[2] * x[2]
        };
        let state = fits(&hidlr, 3, loss);
        for _ in 0..2 {
            sum.add(state.report().unwrap()).unwrap();
        }
        assert_eq!(sum.n_fits(), 2);
        let influences = sum.influences();
        assert_relative_eq!(influences[0].value, 2.0 * 0.5, max_relative = 1e-9);
        assert_relative_eq!(influences[0].per_parameter, 2.0 * 1.0 / 10.0, max_relative = 1e-9);
        assert_relative_eq!(influences[1].value, 2.0 * 0.25, max_relative = 1e-9);
        assert_eq!((influences[1].size, influences[1].per_parameter), (0, 0.0));
        assert_eq!((influences[2].value, influences[2].n_rejected()), (0.0, 2));
        assert_eq!(influences[2].decisions.count(Decision::NonPositiveSlope), 2);
        assert_eq!(influences[2].decisions.to_string(), "nonpositive_slope 2");
        assert_eq!(influences[0].decisions.count(Decision::Accept), 2);
        assert_relative_eq!(influences[0].eta().unwrap() * c, 0.5, max_relative = 1e-9);
        assert_eq!(influences[2].last, None);
        values.push(sum.values());
    }
    for (one, other) in values[0].iter().zip(&values[1]) {
        assert_relative_eq!(*one, *other, max_relative = 1e-9);
    }
}

#[test]
fn rates_that_groups_share_say_nothing_of_one_of_them() {
    let gen_ = Gen { settings: settings() };
    let state = fits(&gen_, 2, |x| 3.0 - x[0] + x[0] * x[0] + x[1] * x[1]);
    let mut sum = Accumulator::new(vec![1, 1]);
    assert!(matches!(sum.add(state.report().unwrap()), Err(Error::Length { .. })));
    assert_eq!((sum.n_fits(), sum.values()), (0, vec![0.0, 0.0]));
}
