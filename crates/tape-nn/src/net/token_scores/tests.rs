//! Scores of tokens against plain computations from logits.

use candle_core::Device;
use tensor_tree::Key;

use super::*;
use crate::error::Error;
use crate::layer::RotaryOrder;
use crate::lora::{self, LoraConfig};
use crate::loss::cross_entropy;
use crate::net::tests::{VOCAB, all, llama, texts};
use crate::net::{Gpt, GptConfig};
use crate::param::Builder;
use crate::testing::{normal, values};

/// One row of logits by the formulas as they are printed.
fn plain(logits: &[f64], label: usize) -> TokenScore {
    let highest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = logits.iter().map(|x| (x - highest).exp()).sum();
    let log_p: Vec<f64> = logits.iter().map(|x| x - highest - total.ln()).collect();
    let mean = log_p.iter().map(|x| x.exp() * x).sum::<f64>();
    let second = log_p.iter().map(|x| x.exp() * x * x).sum::<f64>();
    TokenScore {
        log_prob: log_p[label],
        is_argmax: logits.iter().position(|x| *x == highest) == Some(label),
        mean,
        variance: (second - mean * mean).max(1e-6),
    }
}

fn rows(logits: &Tensor) -> Vec<Vec<f64>> {
    let width = logits.dims()[logits.rank() - 1];
    values(logits).chunks(width).map(<[f64]>::to_vec).collect()
}

fn assert_same(got: &TokenScore, want: &TokenScore, tolerance: f64, what: &str) {
    let close = |a: f64, b: f64| (a - b).abs() <= tolerance * (1.0 + b.abs());
    assert!(close(got.log_prob, want.log_prob), "{what}: {got:?} {want:?}");
    assert!(close(got.mean, want.mean), "{what}: {got:?} {want:?}");
    assert!(close(got.variance, want.variance), "{what}: {got:?} {want:?}");
    assert_eq!(got.is_argmax, want.is_argmax, "{what}");
}

/// Compares with the logits of the whole batch, and returns how many tokens were the likeliest.
fn check<M: LanguageModel + ?Sized>(
    model: &M,
    (trainable, frozen): (&Tree, &Tree),
    texts: &Texts,
    what: &str,
) -> usize {
    let scores = token_scores(model, trainable, frozen, texts).unwrap();
    let logits = model.logits(&Context::eval(trainable, frozen), &texts.ids).unwrap();
    let (t, logits) = (texts.ids.dims()[1], rows(&logits));
    let labels = values(&texts.labels);
    assert_eq!(scores.len(), texts.ids.dims()[0], "{what}");
    for (i, scores) in scores.iter().enumerate() {
        let labelled = (i * t..(i + 1) * t).filter(|at| labels[*at] != -100.0);
        let want: Vec<TokenScore> =
            labelled.map(|at| plain(&logits[at], labels[at] as usize)).collect();
        assert_eq!(scores.len(), want.len(), "{what}, text {i}");
        for (got, want) in scores.iter().zip(&want) {
            // The printed form of the variance is a difference of numbers up to a hundred.
            assert_same(got, want, 1e-11, what);
        }
    }
    scores.iter().flatten().filter(|score| score.is_argmax).count()
}

#[test]
fn scores_are_those_of_the_logits_at_labelled_positions() {
    let none = Tree::new();
    let mut likeliest = 0;
    for (what, model, params) in all() {
        likeliest += check(&model, (&params, &none), &texts(), what);
        let scores = token_scores(&model, &params, &none, &texts()).unwrap();
        let lengths: Vec<usize> = scores.iter().map(Vec::len).collect();
        assert_eq!(lengths, [6, 4, 6]);
        let logits = model.logits(&Context::eval(&params, &none), &texts().ids).unwrap();
        let losses = cross_entropy(&logits, &texts().labels, Some(IGNORED)).unwrap();
        for (loss, scores) in values(&losses.sum).iter().zip(&scores) {
            let sum: f64 = scores.iter().map(|score| score.log_prob).sum();
            assert!((loss + sum).abs() < 1e-12 * loss, "{what}: {loss} {sum}");
        }
    }
    assert!(0 < likeliest && likeliest < 5 * 16, "both kinds of tokens: {likeliest}");
}

#[test]
fn adapters_on_the_head_count() {
    let (mut model, params) = llama(false, RotaryOrder::Halves);
    let config = LoraConfig { rank: 2, ..LoraConfig::for_layers(["lm_head"]) };
    let key = Key::from_seed(3);
    let adapters = lora::attach(
        &mut model,
        &config,
        key,
        params.iter().next().unwrap().1.dtype(),
        &Device::Cpu,
    )
    .unwrap();
    let adapters = adapters.map(|_, leaf| key.add_normal(leaf, 0.5)).unwrap();
    check(&model, (&adapters, &params), &texts(), "adapter");
    let with = token_scores(&model, &adapters, &params, &texts()).unwrap();
    lora::detach(&mut model);
    let without = token_scores(&model, &params, &Tree::new(), &texts()).unwrap();
    assert!(1e-3 < (with[0][0].log_prob - without[0][0].log_prob).abs());
}

/// Forty-one rows of so many logits in doubles are a piece, so there are two.
#[test]
fn a_large_vocabulary_goes_piece_by_piece() {
    let builder = Builder::init(Key::from_seed(1), DType::F64, &Device::Cpu);
    let model = Gpt::new(&GptConfig::new(50_000, 30, 4, 1, 1), builder.vb()).unwrap();
    let params = builder.into_tree().unwrap();
    assert_eq!(rows_at_a_time(50_000, DType::F64), 41);
    let ids: Vec<u32> = (0..2 * 31).map(|i| i * 797 % 50_000).collect();
    let windows = Tensor::from_vec(ids, (2, 31), &Device::Cpu).unwrap();
    let texts = Texts::from_windows(&windows).unwrap();
    check(&model, (&params, &Tree::new()), &texts, "large");
}

#[test]
fn the_composed_form_agrees_in_either_precision() {
    let labels = [0usize, 3, 6, 2, 5];
    let mut logits = (normal(&[5, 7], 1) * 3.0).unwrap();
    // Ties: of the label of the fourth row with a token before it, of the fifth with one behind it.
    let mut all = values(&logits);
    all[21] = 9.0;
    all[23] = 9.0;
    all[28 + 5] = 9.0;
    all[28 + 6] = 9.0;
    all[7] = f64::NEG_INFINITY;
    logits = Tensor::from_vec(all, logits.shape(), &Device::Cpu).unwrap();
    let wide = fused::<f64>(&logits, &labels).unwrap();
    assert_eq!((wide[3].is_argmax, wide[4].is_argmax), (false, true));
    for (got, want) in composed(&logits, &labels).unwrap().iter().zip(&wide) {
        assert_same(got, want, 1e-12, "doubles");
    }
    let narrow = logits.to_dtype(DType::F32).unwrap();
    for forms in [fused::<f32>(&narrow, &labels).unwrap(), composed(&narrow, &labels).unwrap()] {
        for (got, want) in forms.iter().zip(&wide) {
            assert_same(got, want, 3e-6, "singles");
        }
    }
}

#[test]
fn equal_logits_have_the_least_variance_and_their_first_token_is_greedy() {
    let logits = Tensor::zeros((3, VOCAB), DType::F64, &Device::Cpu).unwrap();
    for scores in
        [fused::<f64>(&logits, &[0, 1, 10]).unwrap(), composed(&logits, &[0, 1, 10]).unwrap()]
    {
        let greedy: Vec<bool> = scores.iter().map(|score| score.is_argmax).collect();
        assert_eq!(greedy, [true, false, false]);
        for score in scores {
            assert!((score.log_prob + (VOCAB as f64).ln()).abs() < 1e-14);
            assert_eq!(score.variance, 1e-6);
            assert!(score.standardized().abs() < 1e-10);
        }
    }
}

#[test]
fn impossible_tokens_count_nothing_and_what_is_no_number_shows() {
    let low = f64::NEG_INFINITY;
    let logits = Tensor::new(&[[1.0, low, 1.0], [f64::NAN, 0.0, 1.0]], &Device::Cpu).unwrap();
    for scores in [fused::<f64>(&logits, &[1, 2]).unwrap(), composed(&logits, &[1, 2]).unwrap()] {
        assert_eq!(scores[0].log_prob, low);
        assert!((scores[0].mean + 2f64.ln()).abs() < 1e-15);
        assert_eq!(scores[0].variance, 1e-6);
        assert!(scores[1].log_prob.is_nan() && scores[1].mean.is_nan());
        assert!(!scores[0].is_argmax && !scores[1].is_argmax);
    }
}

#[test]
fn labels_that_are_no_tokens_are_refused_and_texts_may_be_empty() {
    let (model, params) = llama(true, RotaryOrder::Halves);
    let none = Tree::new();
    let labels = Tensor::new(&[[0i64, 11]], &Device::Cpu).unwrap();
    let ids = Tensor::new(&[[0u32, 1]], &Device::Cpu).unwrap();
    let texts = Texts { ids, labels, sample_ids: None };
    let error = token_scores(&model, &params, &none, &texts).unwrap_err();
    assert!(matches!(error, Error::OutOfRange { got: 11, position: 1, limit: 11, .. }), "{error}");
    let window = Tensor::new(&[[3u32], [4]], &Device::Cpu).unwrap();
    let texts = Texts::from_windows(&window).unwrap();
    assert_eq!(token_scores(&model, &params, &none, &texts).unwrap(), [vec![], vec![]]);
}
