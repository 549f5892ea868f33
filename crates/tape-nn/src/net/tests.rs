//! Tests of networks: gradients, per-sample norms, caches, threads.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use tensor_tree::{
    Differentiable, Groups, Key, Objective, Pass, PerSample, PerSampleDifferentiable, ProbePoint,
    Reduction, Tree,
};

use super::*;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::layer::RotaryOrder;
use crate::objective::Taped;
use crate::param::Builder;
use crate::testing::{assert_close, bits, normal, values};

pub(super) const VOCAB: usize = 11;

fn gpt(tied: bool) -> (Box<dyn LanguageModel>, Tree) {
    let config = GptConfig { tied, ..GptConfig::new(VOCAB, 8, 12, 2, 3) };
    build(|vb| Ok(Box::new(Gpt::new(&config, vb)?)))
}

fn llama_config(tied: bool, rotary_order: RotaryOrder) -> LlamaConfig {
    LlamaConfig {
        hidden_size: 12,
        intermediate_size: 10,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 4,
        vocab_size: VOCAB,
        max_position_embeddings: 8,
        rms_norm_eps: 1e-5,
        rope_theta: 100.0,
        tie_word_embeddings: tied,
        bos_token_id: None,
        eos_token_ids: vec![],
        rotary_order,
    }
}

pub(super) fn llama(tied: bool, order: RotaryOrder) -> (Box<dyn LanguageModel>, Tree) {
    let config = llama_config(tied, order);
    build(|vb| Ok(Box::new(Llama::new(&config, vb)?)))
}

/// A model with weights large enough that nothing is nearly linear.
fn build(
    f: impl Fn(VarBuilder<'static>) -> Result<Box<dyn LanguageModel>>,
) -> (Box<dyn LanguageModel>, Tree) {
    let builder = Builder::init(Key::from_seed(1), DType::F64, &Device::Cpu);
    let model = f(builder.vb()).unwrap();
    let mut seed = 100;
    let params = builder.into_tree().unwrap().map(|name, leaf| {
        seed += 1;
        let center = if name.contains("ln") || name.contains("norm") { 1.0 } else { 0.0 };
        Ok(((normal(leaf.dims(), seed) * 0.4)? + center)?)
    });
    (model, params.unwrap())
}

pub(super) fn all() -> Vec<(&'static str, Box<dyn LanguageModel>, Tree)> {
    let named = |name, (model, params)| (name, model, params);
    vec![
        named("gpt", gpt(false)),
        named("gpt, tied", gpt(true)),
        named("llama", llama(false, RotaryOrder::Halves)),
        named("llama, tied", llama(true, RotaryOrder::Halves)),
        named("llama, neighbors", llama(false, RotaryOrder::Neighbors)),
    ]
}

fn objective(model: Box<dyn LanguageModel>) -> Taped<NextToken<Box<dyn LanguageModel>>> {
    Taped(NextToken { model, frozen: Tree::new() })
}

fn ids(batch: usize, t: usize) -> Tensor {
    let ids: Vec<u32> = (0..).take(batch * t).map(|i| (i * i * 7 + i / 3) % 11).collect();
    Tensor::from_vec(ids, (batch, t), &Device::Cpu).unwrap()
}

/// Three texts, one of which has ignored positions.
pub(super) fn texts() -> Texts {
    let mut texts = Texts::from_windows(&ids(3, 7)).unwrap();
    let labels = texts.labels.to_dtype(DType::I64).unwrap().flatten_all().unwrap();
    let mut labels = labels.to_vec1::<i64>().unwrap();
    labels[8] = IGNORED;
    labels[11] = IGNORED;
    texts.labels = Tensor::from_vec(labels, (3, 6), &Device::Cpu).unwrap();
    texts
}

#[test]
fn every_leaf_gets_the_gradient_that_differences_show() {
    for (what, model, params) in all() {
        let objective = objective(model);
        let texts = texts();
        let (_, grads) =
            objective.value_and_grad(&params, &texts, Pass::Eval, Reduction::Mean).unwrap();
        grads.check_like(&params).unwrap();
        let loss =
            |params: &Tree| objective.losses(params, &texts, Pass::Eval).unwrap().mean().unwrap();
        for (seed, (name, leaf)) in params.iter().enumerate() {
            let grad = grads.leaf(name).unwrap();
            assert!(values(grad).iter().all(|g| g.is_finite()), "{what} {name}");
            assert!(values(grad).iter().any(|g| *g != 0.0), "{what} {name}");
            let direction = normal(leaf.dims(), 1000 + seed as u64);
            let at = |h: f64| {
                loss(
                    &params
                        .map(|n, leaf| {
                            Ok(if n == name { (leaf + (&direction * h)?)? } else { leaf.clone() })
                        })
                        .unwrap(),
                )
            };
            let h = 3e-4;
            let want = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
            let products = values(&(grad * &direction).unwrap());
            let got: f64 = products.iter().sum();
            let scale = products.iter().map(|x| x.abs()).sum::<f64>();
            assert!((got - want).abs() < 1e-6 * scale, "{what} {name}: {got} {want}");
        }
    }
}

#[test]
fn per_sample_gradients_are_those_of_single_texts_and_their_norms_agree() {
    for (what, model, params) in all() {
        let objective = objective(model);
        let texts = texts();
        let at = ProbePoint::single(&params);
        let (_, grads) = objective.per_sample(&at, &texts, Pass::Eval).unwrap();
        let groups = Groups::per_leaf(&params);
        let norms = grads.squared_norms(&groups).unwrap();
        let norms_of = |group: usize, sample: usize| norms[group][sample];
        let instantiated = grads.instantiate().unwrap();
        for i in 0..3 {
            let one = |t: &Tensor| t.narrow(0, i, 1).unwrap();
            let alone =
                Texts { ids: one(&texts.ids), labels: one(&texts.labels), sample_ids: None };
            let alone =
                objective.value_and_grad(&params, &alone, Pass::Eval, Reduction::Sum).unwrap().1;
            for (name, leaf) in instantiated.iter() {
                let grad = leaf.get(i).unwrap();
                assert_close(&grad, alone.leaf(name).unwrap(), 1e-12, &format!("{what} {name}"));
                let want: f64 = values(&grad).iter().map(|x| x * x).sum();
                let got = norms_of(groups.of(name).unwrap(), i);
                assert!((got - want).abs() <= 1e-10 * want, "{what} {name}: {got} {want}");
            }
        }
        let factors: Vec<Vec<f64>> = (0..groups.len())
            .map(|g| (0..3).map(|i| 0.3 * i as f64 + g as f64).collect())
            .collect();
        let sum = grads.weighted_sum(&groups, &factors).unwrap();
        for (name, leaf) in instantiated.iter() {
            let group = groups.of(name).unwrap();
            let want = (0..3).fold(leaf.get(0).unwrap().zeros_like().unwrap(), |sum, i| {
                (sum + (leaf.get(i).unwrap() * factors[group][i]).unwrap()).unwrap()
            });
            assert_close(sum.leaf(name).unwrap(), &want, 1e-11, &format!("{what} {name}"));
        }
    }
}

#[test]
fn a_cache_gives_what_the_whole_text_gives() {
    for (what, model, params) in all() {
        let frozen = Tree::new();
        let cx = Context::eval(&params, &frozen);
        let text = ids(2, 8);
        let whole = model.logits(&cx, &text).unwrap();
        let mut cache = model.cache();
        let mut forked = None;
        let mut at = 0;
        for t in [3, 1, 1, 2, 1] {
            let part = text.narrow(1, at, t).unwrap();
            let logits = model.step(&params, &frozen, &part, &mut cache).unwrap();
            at += t;
            assert_eq!(cache.len(), at);
            assert_close(
                &logits,
                &whole.narrow(1, at - 1, 1).unwrap().squeeze(1).unwrap(),
                1e-12,
                what,
            );
            if at == 5 {
                forked = Some(cache.fork().unwrap());
            }
        }
        // The fork and a truncated cache go on from the fifth token.
        let mut forked = forked.unwrap();
        cache.truncate(5);
        for cache in [&mut forked, &mut cache] {
            let part = text.narrow(1, 5, 3).unwrap();
            let logits = model.step(&params, &frozen, &part, cache).unwrap();
            assert_close(&logits, &whole.narrow(1, 7, 1).unwrap().squeeze(1).unwrap(), 1e-12, what);
        }
    }
}

#[test]
fn rows_of_a_cache_go_on_as_their_texts() {
    for (what, model, params) in all() {
        let frozen = Tree::new();
        let text = ids(3, 8);
        let whole = model.logits(&Context::eval(&params, &frozen), &text).unwrap();
        let mut cache = model.cache();
        model.step(&params, &frozen, &text.narrow(1, 0, 5).unwrap(), &mut cache).unwrap();
        let rows = [2usize, 0, 2];
        let mut selected = cache.select(&rows).unwrap();
        assert_eq!(selected.len(), 5);
        let numbers = Tensor::new(&[2u32, 0, 2], &Device::Cpu).unwrap();
        for at in 5..8 {
            let next = text.index_select(&numbers, 0).unwrap().narrow(1, at, 1).unwrap();
            let logits = model.step(&params, &frozen, &next, &mut selected).unwrap();
            let want = whole.index_select(&numbers, 0).unwrap().narrow(1, at, 1).unwrap();
            assert_close(&logits, &want.squeeze(1).unwrap(), 1e-12, what);
        }
        // The first cache is none the wiser.
        let logits = model.step(&params, &frozen, &text.narrow(1, 5, 1).unwrap(), &mut cache);
        assert_close(
            &logits.unwrap(),
            &whole.narrow(1, 5, 1).unwrap().squeeze(1).unwrap(),
            1e-12,
            what,
        );
        let error = cache.select(&[0, 3]).unwrap_err();
        assert!(matches!(error, Error::OutOfRange { got: 3, position: 1, limit: 3, .. }));
        assert!(matches!(cache.select(&[]), Err(Error::InvalidSetting { .. })));
    }
}

#[test]
fn a_step_that_fails_leaves_the_cache_as_it_was() {
    for (what, model, params) in all() {
        let frozen = Tree::new();
        let mut cache = model.cache();
        let text = ids(2, 8);
        let part = |from, t| text.narrow(1, from, t).unwrap();
        model.step(&params, &frozen, &part(0, 4), &mut cache).unwrap();
        let mut step = |ids: &Tensor| model.step(&params, &frozen, ids, &mut cache);
        assert!(matches!(step(&part(3, 5)), Err(Error::InputShape { .. })), "{what}: too long");
        assert!(matches!(step(&part(3, 0)), Err(Error::InputShape { .. })), "{what}: none");
        assert!(matches!(step(&ids(1, 1)), Err(Error::InputShape { .. })), "{what}: batch");
        assert!(matches!(step(&ids(2, 1).squeeze(1).unwrap()), Err(Error::InputShape { .. })));
        let wrong = Tensor::new(&[[3u32], [11]], &Device::Cpu).unwrap();
        assert!(matches!(step(&wrong), Err(Error::OutOfRange { .. })), "{what}: no token");
        let next = step(&part(4, 1)).unwrap();
        let cx = Context::eval(&params, &frozen);
        let whole = model.logits(&cx, &part(0, 5)).unwrap();
        assert_close(&next, &whole.narrow(1, 4, 1).unwrap().squeeze(1).unwrap(), 1e-12, what);
    }
}

/// Losses, norms and a weighted sum are the same bits with one and with two threads.
fn check_threads<M: LanguageModel + Sync>(f: impl Fn(VarBuilder<'static>) -> Result<M>) {
    let builder = Builder::init(Key::from_seed(1), DType::F32, &Device::Cpu);
    let model = f(builder.vb()).unwrap();
    let params = builder.into_tree().unwrap();
    let ids: Vec<u32> = (0..8 * 65).map(|i| (i * i * 7 + i / 3) % 300).collect();
    let windows = Tensor::from_vec(ids, (8, 65), &Device::Cpu).unwrap();
    let texts = Texts::from_windows(&windows).unwrap();
    let objective = Taped(NextToken { model, frozen: Tree::new() });
    let run = || {
        let at = ProbePoint::single(&params);
        let (losses, grads) = objective.per_sample(&at, &texts, Pass::Eval).unwrap();
        let groups = Groups::one(&params);
        let norms = grads.squared_norms(&groups).unwrap().concat();
        let sum = grads.weighted_sum(&groups, &[vec![0.5; 8]]).unwrap();
        let mut all = vec![losses.sum, Tensor::new(norms, &Device::Cpu).unwrap()];
        all.extend(sum.iter().map(|(_, leaf)| leaf.clone()));
        all
    };
    assert_eq!(bits(1, run), bits(2, run));
}

#[test]
fn results_do_not_depend_on_threads() {
    let gpt = GptConfig::new(300, 64, 64, 2, 4);
    check_threads(|vb| Gpt::new(&gpt, vb));
    let llama = LlamaConfig {
        hidden_size: 64,
        intermediate_size: 90,
        head_dim: 16,
        vocab_size: 300,
        max_position_embeddings: 64,
        ..llama_config(true, RotaryOrder::Halves)
    };
    check_threads(|vb| Llama::new(&llama, vb));
}

#[test]
fn the_stream_of_no_block_is_the_embedding() {
    for (what, model, params) in all() {
        let frozen = Tree::new();
        let cx = Context::eval(&params, &frozen);
        let text = ids(2, 5);
        let streams: Vec<Tensor> =
            (0..=2).map(|n| model.stream(&cx, &text, n, None).unwrap()).collect();
        assert_eq!(streams[0].dims(), [2, 5, 12], "{what}");
        assert_close(
            &model.hidden(&cx, &text).unwrap(),
            &model.last_norm(&cx, &streams[2]).unwrap(),
            1e-15,
            what,
        );
        assert_eq!((model.vocab_size(), model.positions(), model.n_blocks()), (VOCAB, 8, 2));
    }
}

#[test]
fn linear_maps_are_shown_under_their_names() {
    let names = |mut model: Box<dyn LanguageModel>| {
        let mut names = Vec::new();
        model.linears_mut(&mut |linear| names.push(linear.name().to_owned()));
        names
    };
    let gpt_names = names(gpt(false).0);
    assert_eq!(gpt_names[..2], ["h.0.attn.c_attn", "h.0.attn.c_proj"]);
    assert_eq!((gpt_names.len(), gpt_names[8].as_str()), (9, "lm_head"));
    assert_eq!(names(gpt(true).0).len(), 8);
    let llama_names = names(llama(true, RotaryOrder::Halves).0);
    assert_eq!(llama_names.len(), 14);
    assert_eq!(llama_names[13], "model.layers.1.mlp.down_proj");
}

#[test]
fn settings_that_do_not_fit_are_typed_errors() {
    let vb = || Builder::init(Key::from_seed(1), DType::F32, &Device::Cpu).vb();
    let good = GptConfig::new(5, 4, 8, 1, 2);
    for bad in [
        GptConfig { vocab_size: 0, ..good.clone() },
        GptConfig { positions: 0, ..good.clone() },
        GptConfig { n_blocks: 0, ..good.clone() },
        GptConfig { n_heads: 3, ..good.clone() },
        GptConfig { n_heads: 0, ..good.clone() },
        GptConfig { width: usize::MAX, ..good.clone() },
        GptConfig { norm_eps: f64::NAN, ..good.clone() },
        GptConfig { dropout: 1.0, ..good.clone() },
    ] {
        assert!(matches!(Gpt::new(&bad, vb()), Err(Error::InvalidSetting { .. })), "{bad:?}");
    }
    assert!(Gpt::new(&good, vb()).is_ok());
}

#[test]
fn dropout_in_training_depends_on_the_key_alone() {
    let config = GptConfig { dropout: 0.5, ..GptConfig::new(VOCAB, 8, 12, 2, 3) };
    let (model, params) = build(|vb| Ok(Box::new(Gpt::new(&config, vb)?)));
    let objective = objective(model);
    let numbered = texts().with_sample_ids([5, 1, 7]);
    let loss = |pass| values(&objective.losses(&params, &numbered, pass).unwrap().sum);
    let train = |seed| Pass::Train { key: Key::from_seed(seed) };
    assert_eq!(loss(train(1)), loss(train(1)));
    assert_ne!(loss(train(1)), loss(train(2)));
    assert_ne!(loss(train(1)), loss(Pass::Eval));
    let without = objective.losses(&params, &texts(), train(1)).unwrap_err();
    assert!(without.to_string().contains("number of each of the 3 samples"), "{without}");
    let short = texts().with_sample_ids([5, 1]);
    let at = ProbePoint::single(&params);
    assert!(objective.per_sample(&at, &short, train(1)).is_err());
}

#[test]
fn texts_without_positions_have_zero_gradients_and_no_weight() {
    for (what, model, params) in all() {
        let objective = objective(model);
        let texts = Texts::from_windows(&ids(3, 1)).unwrap();
        let (losses, grad) =
            objective.value_and_grad(&params, &texts, Pass::Eval, Reduction::Mean).unwrap();
        assert_eq!((values(&losses.sum), values(&losses.weight)), (vec![0.0; 3], vec![0.0; 3]));
        grad.check_like(&params).unwrap();
        assert_eq!(grad.norm().unwrap(), 0.0, "{what}");
        let at = ProbePoint::single(&params);
        let (_, grads) = objective.per_sample(&at, &texts, Pass::Eval).unwrap();
        let groups = Groups::one(&params);
        assert_eq!(grads.squared_norms(&groups).unwrap(), [[0.0; 3]], "{what}");
        let sum = grads.weighted_sum(&groups, &[vec![1.0; 3]]).unwrap();
        sum.check_like(&params).unwrap();
        assert_eq!(sum.norm().unwrap(), 0.0, "{what}");
    }
}
