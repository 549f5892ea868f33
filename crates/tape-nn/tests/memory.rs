//! What a pass over a large head holds.

use candle_core::{DType, Device, Tensor};
use report::heap::{Counting, peak_of};
use tape_nn::net::{Gpt, GptConfig, NextToken, Texts};
use tape_nn::{Builder, TapeLoss, Taped, TwoPass};
use tensor_tree::{Groups, Key, Pass, PerSample, PerSampleDifferentiable, ProbePoint, Tree};

#[global_allocator]
static HEAP: Counting = Counting;

/// Texts, positions, tokens.
const SIZES: (usize, usize, usize) = (16, 32, 32_768);

/// The most that norms and a clipped sum hold, in bytes.
fn peak<L: TapeLoss<Batch: Sync> + Sync>(loss: L, params: &Tree, batch: &L::Batch) -> usize {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let loss = Taped(loss);
    let groups = Groups::one(params);
    let step = || {
        let at = ProbePoint::single(params);
        let (_, grads) = loss.per_sample(&at, batch, Pass::Eval).unwrap();
        let norms = grads.squared_norms(&groups).unwrap().concat();
        let factors: Vec<f64> = norms.iter().map(|norm| 1.0 / norm.sqrt()).collect();
        grads.weighted_sum(&groups, &[factors]).unwrap()
    };
    pool.install(|| peak_of(step).1)
}

#[test]
fn logits_that_are_made_twice_never_exist_as_a_whole() {
    let (batch, t, vocabulary) = SIZES;
    let builder = Builder::init(Key::from_seed(1), DType::F32, &Device::Cpu);
    let model = Gpt::new(&GptConfig::new(vocabulary, t, 8, 1, 2), builder.vb()).unwrap();
    let params = builder.into_tree().unwrap();
    let ids: Vec<u32> = (0..33 * 16).map(|i| (i * i * 7919) % 32_768).collect();
    let texts = Texts::from_windows(&Tensor::from_vec(ids, (batch, t + 1), &Device::Cpu).unwrap());
    let (texts, loss) = (texts.unwrap(), NextToken { model, frozen: Tree::new() });
    let logits = 4 * batch * t * vocabulary;
    let kept = peak(loss.clone(), &params, &texts);
    assert!(logits < kept, "{kept} {logits}");
    // A piece of logits has at most 16 MiB; head and token table are 1 MiB each, and so are their gradients.
    let twice = peak(TwoPass(loss), &params, &texts);
    assert!(twice < (16 + 6) << 20, "{twice} {logits}");
}
