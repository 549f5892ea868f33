//! What NGDiff and BLUR promise of each step.

use candle_core::DType;
use tensor_tree::Sgd;
use unlearn::direction::Direction;
use unlearn::feed::Feed;
use unlearn::loss::Loss;
use unlearn::method::Method;
use unlearn::run::{Ceiling, Optimizer, Settings, Stop};

use super::{Real, all_rows, settings, to_end};

fn sgd() -> Optimizer {
    Optimizer::Sgd(Sgd::default())
}

#[test]
fn normalized_differences_under_plain_descent_raise_neither_loss_at_any_step() {
    let real = Real::new(DType::F32);
    let forget = real.items(&all_rows("tofu/forget01.jsonl")[..10]);
    let retain = real.items(&all_rows("tofu/full.jsonl")[..10]);
    let stop = Stop { forget_ceiling: Ceiling::None, ..Stop::after(24) };
    let settings = Settings { stop, ..settings("ngdiff", sgd(), 0.03, 24) };
    let run = real.run((&forget, &retain), settings.clone());
    let feed = Feed {
        n_forget: forget.len(),
        n_retain: retain.len(),
        batch: settings.batch,
        anchor: settings.anchor,
        pairing: settings.pairing,
        seed: settings.seed,
    };
    let mut state = run.init(real.llama.params.clone()).unwrap();
    for t in 0..24 {
        let before = state.params().clone();
        run.advance(&mut state).unwrap();
        let log = state.log()[t as usize];
        let (retain_fall, forget_fall) = (log.retain_fall.unwrap(), log.forget_fall.unwrap());
        assert!(0.0 <= retain_fall && 0.0 <= forget_fall && log.skipped.is_none(), "{log:?}");
        if t % 8 != 0 {
            continue;
        }
        // What is logged is what the parameters did: inner products of the gradients of these rows with the step.
        let step = before.add_scaled(-1.0, state.params()).unwrap();
        let rows = feed.rows(t);
        let of = |all: &[unlearn::batch::Item], rows: &[usize], loss: Loss| {
            let items: Vec<_> = rows.iter().map(|i| all[*i].clone()).collect();
            real.gradient(&before, &items, loss, 4).gradient.dot(&step).unwrap()
        };
        let g_retain = of(&retain, &rows.retain, Loss::NextToken);
        let g_forget = of(&forget, &rows.forget, Loss::NextToken);
        // The step is a difference of parameters in single precision.
        let near = |got: f64, want: f64| (got - want).abs() <= 1e-3 * want.abs() + 1e-6;
        assert!(
            near(g_retain, retain_fall) && near(-g_forget, forget_fall),
            "{g_retain} {g_forget} {log:?}"
        );
    }
    // And both losses went the way they were to go.
    let check = run.look(&mut state).unwrap();
    let first = state.checks()[0];
    assert!(first.forget < check.forget, "{first:?} {check:?}");
}

#[test]
fn the_retain_part_of_blur_is_orthogonal_to_the_forget_gradient_along_a_run() {
    let real = Real::new(DType::F32);
    let forget_rows = real.items(&all_rows("tofu/forget01.jsonl")[..6]);
    let retain = real.items(&all_rows("tofu/full.jsonl")[..6]);
    for name in ["blur", "blur-ga"] {
        let method = Method::named(name).unwrap();
        let mut forget = forget_rows.clone();
        real.fill(&mut forget, method.forget);
        let run = real.run((&forget, &retain), settings(name, sgd(), 0.002, 9));
        let mut state = run.init(real.llama.params.clone()).unwrap();
        for _ in 0..4 {
            let r = real.gradient(state.params(), &retain, method.retain, 6).gradient;
            let f = real.gradient(state.params(), &forget, method.forget, 6).gradient;
            let square = f.dot(&f).unwrap();
            for gamma in [0.0, 0.5, 1.0, 2.0] {
                let d = Direction::Blur { gamma }.of(&r, &f).unwrap();
                let part = d.add_scaled(-gamma, &f).unwrap();
                let cosine = part.dot(&f).unwrap() / (part.norm().unwrap() * square.sqrt());
                assert!(cosine.abs() <= 1e-6, "{name} at {}: {cosine}", state.step());
                let (fall, want) = (d.dot(&f).unwrap(), gamma * square);
                let slack = 1e-5 * want + 1e-6 * d.norm().unwrap() * square.sqrt();
                assert!((fall - want).abs() <= slack, "{name}: {fall} {want}");
            }
            for _ in 0..3 {
                run.advance(&mut state).unwrap();
            }
        }
        assert!(1e-6 < super::distance(state.params(), &real.llama.params));
    }
}

#[test]
fn a_parameter_that_is_no_number_is_an_error_of_losses_and_of_runs() {
    let mut real = Real::new(DType::F32);
    let items = real.items(&all_rows("tofu/forget01.jsonl")[..2]);
    real.llama.params = real
        .llama
        .params
        .map(|name, leaf| match name {
            "model.norm.weight" => Ok((leaf * f64::NAN)?),
            _ => Ok(leaf.clone()),
        })
        .unwrap();
    let objective = unlearn::loss::Objective {
        model: &real.llama.model,
        frozen: &real.frozen,
        loss: Loss::NextToken,
    };
    let refused = objective.gradient(&real.llama.params, &super::cut(&items, 2));
    assert!(matches!(refused, Err(unlearn::Error::NonFinite { .. })), "{refused:?}");
    let run = real.run((&items, &items), settings("ngdiff", sgd(), 0.1, 2));
    let refused = run.init(real.llama.params.clone());
    assert!(matches!(refused, Err(unlearn::Error::NonFinite { .. })));
}

#[test]
fn a_rate_that_destroys_the_model_ends_the_run_and_leaves_finite_parameters() {
    let real = Real::new(DType::F32);
    let items = real.items(&all_rows("tofu/forget01.jsonl")[..4]);
    let run = real.run((&items, &items), settings("ga", sgd(), 1e3, 8));
    let state = to_end(&run, &real.llama.params);
    assert!(state.params().is_finite().unwrap());
}
