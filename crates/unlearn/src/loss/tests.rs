//! Exactness of gradients: against differences, under accumulation, under padding.

use candle_core::{DType, Device};
use tape_nn::Builder;
use tape_nn::net::{Gpt, GptConfig};
use tensor_tree::{Key, Rates, Tree};

use super::*;
use crate::batch::{Batch, Item};
use crate::direction::Direction;
use crate::objective::DpoScale;
use crate::text::Sample;

const VOCAB: usize = 11;

fn gpt(dtype: DType) -> (Gpt, Tree) {
    let builder = Builder::init(Key::from_seed(3), dtype, &Device::Cpu);
    let config = GptConfig { tied: true, ..GptConfig::new(VOCAB, 16, 8, 2, 2) };
    let model = Gpt::new(&config, builder.vb()).unwrap();
    // Away from the flat beginning.
    let params = builder.into_tree().unwrap();
    let params = params.map(|name, leaf| {
        let noise = Key::from_seed(4).child(tensor_tree::Label::Leaf(name)).normal_like(leaf)?;
        Ok((leaf + (noise * 0.2)?)?)
    });
    (model, params.unwrap())
}

/// Samples of lengths 3 to 12 with refusals.
fn items(n: u32) -> Vec<Item> {
    let token = |i: u32, t: u32| (7 * i + 3 * t + i * t) % VOCAB as u32;
    let sample = |i: u32, len: u32, prompt: usize| {
        Sample::new((0..len).map(|t| token(i, t)).collect(), prompt).unwrap()
    };
    (0..n)
        .map(|i| Item {
            refusal: Some(sample(i + 50, 4 + i % 3, 2)),
            ..Item::from(sample(i, 3 + i % 10, 1 + (i % 2) as usize))
        })
        .collect()
}

fn losses() -> Vec<Loss> {
    let tokens = |loss| Loss::Tokens(loss, Positions::Answer);
    vec![
        Loss::NextToken,
        Loss::Refusal,
        Loss::Answers(ForgetLoss::Ascent),
        Loss::Answers(ForgetLoss::Npo { beta: 0.1 }),
        Loss::Answers(ForgetLoss::SimNpo { beta: 2.5, delta: 0.1 }),
        Loss::Answers(ForgetLoss::Dpo { beta: 0.1, scale: DpoScale::TwoOverBeta }),
        tokens(TokenLoss::NextToken),
        tokens(TokenLoss::Wga { beta: 1.0 }),
        tokens(TokenLoss::SatImp { beta1: 5.0, beta2: 1.0 }),
        tokens(TokenLoss::Undial { beta: 10.0 }),
        tokens(TokenLoss::CeU),
        tokens(TokenLoss::Kl),
        Loss::Tokens(TokenLoss::Kl, Positions::Text),
    ]
}

/// Items with what every loss needs, at other parameters than those of the reference.
fn filled(model: &Gpt, params: &Tree, n: u32, loss: Loss) -> Vec<Item> {
    let other = params.scale(0.9).unwrap();
    let (frozen, device) = (Tree::new(), Device::Cpu);
    let most_bytes = 1 << 30;
    let reference =
        Reference { model, params: &other, frozen: &frozen, device: &device, batch: 3, most_bytes };
    let mut items = items(n);
    reference.fill(&mut items, loss).unwrap();
    items
}

fn cut(items: &[Item], size: usize) -> Vec<Batch> {
    items.chunks(size).map(|c| Batch::new(c.to_vec(), &Device::Cpu).unwrap()).collect()
}

fn distance(a: &Tree, b: &Tree) -> f64 {
    a.add_scaled(-1.0, b).unwrap().norm().unwrap() / b.norm().unwrap()
}

#[test]
fn one_batch_equals_micro_batches_for_every_loss_and_direction() {
    let (model, params) = gpt(DType::F64);
    let frozen = Tree::new();
    let retain = Objective { model: &model, frozen: &frozen, loss: Loss::NextToken };
    let mut kept = items(40);
    kept.drain(..8);
    let of_retain = |size: usize| retain.gradient(&params, &cut(&kept, size)).unwrap();
    let retained = [of_retain(32), of_retain(4)];
    for loss in losses() {
        let items = filled(&model, &params, 32, loss);
        let objective = Objective { model: &model, frozen: &frozen, loss };
        let of = |size: usize| objective.gradient(&params, &cut(&items, size)).unwrap();
        let (whole, parts) = (of(32), of(4));
        assert!(1e-6 < whole.gradient.norm().unwrap(), "{loss:?}");
        assert!((whole.loss - parts.loss).abs() < 1e-13 * (1.0 + whole.loss.abs()), "{loss:?}");
        assert!((whole.nll - parts.nll).abs() < 1e-13 * whole.nll, "{loss:?}");
        let error = distance(&parts.gradient, &whole.gradient);
        assert!(error < 1e-13, "{loss:?}: {error}");
        for direction in [
            Direction::Weighted { retain: 0.5 },
            Direction::NgDiff,
            Direction::Blur { gamma: 1.0 },
            Direction::PcGrad,
            Direction::Mgda,
        ] {
            let of = |i: usize, pass: &Pass| {
                direction.of(&retained[i].gradient, &pass.gradient).unwrap()
            };
            let error = distance(&of(1, &parts), &of(0, &whole));
            assert!(error < 1e-12, "{loss:?} {direction:?}: {error}");
        }
        // An uneven cut too, and the value without a graph.
        let error = distance(&of(7).gradient, &whole.gradient);
        assert!(error < 1e-13, "{loss:?}: {error}");
        let value = objective.value(&params, &cut(&items, 5)).unwrap();
        assert!((whole.loss - value.loss).abs() < 1e-13 * (1.0 + whole.loss.abs()), "{loss:?}");
    }
}

#[test]
fn the_length_of_padding_changes_nothing() {
    let (model, params) = gpt(DType::F64);
    let frozen = Tree::new();
    for loss in losses() {
        let items = filled(&model, &params, 6, loss);
        let objective = Objective { model: &model, frozen: &frozen, loss };
        let batch = Batch::new(items, &Device::Cpu).unwrap();
        let plain = objective.gradient(&params, std::slice::from_ref(&batch)).unwrap();
        let more = batch.with_padding(5, &Device::Cpu).unwrap();
        let more = objective.gradient(&params, &[more]).unwrap();
        assert!((plain.loss - more.loss).abs() < 1e-14 * (1.0 + plain.loss.abs()), "{loss:?}");
        let error = distance(&more.gradient, &plain.gradient);
        assert!(error < 1e-13, "{loss:?}: {error}");
    }
}

#[test]
fn gradients_are_those_that_differences_show() {
    let (model, params) = gpt(DType::F64);
    let frozen = Tree::new();
    for loss in losses() {
        // Their weights are constants in the gradient and none in a difference.
        if let Loss::Tokens(TokenLoss::Wga { .. } | TokenLoss::SatImp { .. } | TokenLoss::CeU, _) =
            loss
        {
            continue;
        }
        let items = filled(&model, &params, 5, loss);
        let batches = cut(&items, 2);
        let objective = Objective { model: &model, frozen: &frozen, loss };
        let pass = objective.gradient(&params, &batches).unwrap();
        let along = params
            .map(|name, leaf| {
                Key::from_seed(9).child(tensor_tree::Label::Leaf(name)).normal_like(leaf)
            })
            .unwrap();
        let at = |h: f64| {
            let params = params.descend(&along, &Rates::uniform(-h)).unwrap();
            objective.value(&params, &batches).unwrap().loss
        };
        let h = 1e-5;
        let slope = (at(h) - at(-h)) / (2.0 * h);
        let want = pass.gradient.dot(&along).unwrap();
        assert!((slope - want).abs() < 1e-6 * (1.0 + want.abs()), "{loss:?}: {slope} {want}");
    }
}

#[test]
fn at_the_reference_weights_are_one_and_divergences_zero() {
    let (model, params) = gpt(DType::F32);
    let (frozen, device) = (Tree::new(), Device::Cpu);
    let reference = Reference {
        model: &model,
        params: &params,
        frozen: &frozen,
        device: &device,
        batch: 4,
        most_bytes: 1 << 20,
    };
    let pass = |loss: Loss| {
        let mut items = items(6);
        reference.fill(&mut items, loss).unwrap();
        let objective = Objective { model: &model, frozen: &frozen, loss };
        objective.gradient(&params, &[Batch::new(items, &device).unwrap()]).unwrap()
    };
    let npo = pass(Loss::Answers(ForgetLoss::Npo { beta: 0.1 }));
    assert!((npo.loss - 20.0 * std::f64::consts::LN_2).abs() < 1e-4);
    // Each weight is one over the number of samples: the gradient of the summed log-probabilities.
    let nll = pass(Loss::NextToken);
    let n_tokens = items(6).iter().map(|i| i.sample.n_labels()).sum::<usize>() as f64;
    let want = nll.gradient.scale(-n_tokens / 6.0).unwrap();
    assert!(distance(&npo.gradient, &want) < 1e-5);
    for positions in [Positions::Answer, Positions::Text] {
        let kl = pass(Loss::Tokens(TokenLoss::Kl, positions));
        assert!(kl.loss < 1e-9, "{}", kl.loss);
        assert!(kl.gradient.norm().unwrap() < 1e-6 * nll.gradient.norm().unwrap());
    }
}

#[test]
fn what_a_loss_needs_is_asked_for() {
    let (model, params) = gpt(DType::F32);
    let frozen = Tree::new();
    for loss in losses() {
        let bare = Item::from(Sample::new(vec![1, 2, 3], 1).unwrap());
        let objective = Objective { model: &model, frozen: &frozen, loss };
        let batch = Batch::new([bare.clone()], &Device::Cpu).unwrap();
        let got = objective.gradient(&params, &[batch]);
        assert_eq!(got.is_err(), loss.needs() != Needs::default(), "{loss:?}");
        if let Err(error) = got {
            assert!(matches!(error, Error::Missing { .. }), "{error}");
        }
        let reference = Reference {
            model: &model,
            params: &params,
            frozen: &frozen,
            device: &Device::Cpu,
            batch: 1,
            most_bytes: 10,
        };
        if loss.needs().distributions {
            let refused = reference.fill(&mut [bare], loss);
            assert!(matches!(refused, Err(Error::TooLarge { most: 10, .. })));
        }
    }
    let objective = Objective { model: &model, frozen: &frozen, loss: Loss::NextToken };
    assert!(matches!(objective.gradient(&params, &[]), Err(Error::Empty { .. })));
    let broken = params.map(|_, leaf| Ok((leaf * f64::NAN)?)).unwrap();
    let batch = Batch::new(items(2), &Device::Cpu).unwrap();
    let refused = objective.gradient(&broken, &[batch]);
    assert!(matches!(refused, Err(Error::NonFinite { .. })));
    assert!(Sample::new(vec![1], 0).is_err() && Sample::new(vec![1, 2], 2).is_err());
}

#[test]
fn losses_of_broken_weights_are_no_numbers_to_controllers_and_errors_to_steps() {
    let (model, params) = gpt(DType::F32);
    let frozen = Tree::new();
    let broken = params.map(|_, leaf| Ok((leaf * f64::NAN)?)).unwrap();
    let to_controllers = |losses: tensor_tree::Losses| -> f64 {
        losses.sum.to_dtype(DType::F64).unwrap().sum_all().unwrap().to_scalar().unwrap()
    };
    for loss in losses() {
        let batches = cut(&filled(&model, &params, 4, loss), 2);
        let objective = Objective { model: &model, frozen: &frozen, loss };
        let of = |params: &Tree| {
            to_controllers(
                tensor_tree::Objective::losses(
                    &objective,
                    params,
                    &batches,
                    tensor_tree::Pass::Eval,
                )
                .unwrap(),
            )
        };
        assert!(of(&params).is_finite() && of(&broken).is_nan(), "{loss:?}");
        for refused in [objective.value(&broken, &batches), objective.gradient(&broken, &batches)] {
            assert!(matches!(refused, Err(Error::NonFinite { .. })), "{loss:?}");
        }
        // Both losses as one.
        let retain = Objective { loss: Loss::NextToken, ..objective };
        let weights = crate::direction::Coefficients { retain: 1.0, forget: 1.0 };
        let total =
            crate::total::Total { retain, forget: Objective { loss, ..objective }, weights };
        let pair = crate::total::Pair { retain: batches.clone(), forget: batches.clone() };
        let of = |params: &Tree| {
            to_controllers(
                tensor_tree::Objective::losses(&total, params, &pair, tensor_tree::Pass::Eval)
                    .unwrap(),
            )
        };
        assert!(of(&params).is_finite() && of(&broken).is_nan(), "{loss:?}");
    }
}

#[test]
fn ascent_has_no_bound_and_neither_has_ascent_whose_weight_does_not_vanish() {
    for loss in losses() {
        assert_eq!(loss.is_bounded(), loss != Loss::Answers(ForgetLoss::Ascent), "{loss:?}");
    }
    let lowest = |loss: TokenLoss| {
        let at = |gap: f64| loss.value(&[0.0, gap], 0, &[]).unwrap().0;
        (Loss::Tokens(loss, Positions::Answer).is_bounded(), at(500.0))
    };
    for (loss, bounded) in [
        (TokenLoss::Wga { beta: 0.0 }, false),
        (TokenLoss::Wga { beta: 0.5 }, true),
        (TokenLoss::SatImp { beta1: 0.0, beta2: 1.0 }, false),
        (TokenLoss::SatImp { beta1: 0.5, beta2: 0.0 }, true),
    ] {
        let (said, value) = lowest(loss);
        assert_eq!((said, value < -400.0), (bounded, !bounded), "{loss:?}: {value}");
    }
}
