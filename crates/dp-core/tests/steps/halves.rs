//! Parameters in half precision: what noise must cover is added up in single precision.

use super::*;
use tape_nn::net::Mlp;
use tape_nn::{Activation, Builder, Classifier, LabeledBatch, MixedPrecision};

/// Each sample is clipped to this norm exactly.
const EACH: f64 = 1.0;

/// As many that a sum of them, rounded to halves, is off by more than one of them adds.
const SAMPLES: usize = 4096;

fn mlp() -> (Mlp, Tree) {
    let builder = Builder::init(Key::from_seed(1), DType::F32, &Device::Cpu);
    let mlp = Mlp::new(&[6, 40, 3], Activation::Relu, builder.vb()).unwrap();
    (mlp, builder.into_tree().unwrap())
}

fn batch(n: usize, dtype: DType) -> LabeledBatch {
    let mut x = vec![0f64; 6 * n];
    Key::from_seed(2).fill_normal(&mut x);
    let x = Tensor::from_vec(x, (n, 6), &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
    LabeledBatch::new(x, Tensor::from_vec(vec![1u32; n], n, &Device::Cpu).unwrap())
}

/// The clipped sum over `n` samples, in two micro-batches.
fn sum<L: TapeLoss<Batch = LabeledBatch>>(loss: L, params: &Tree, n: usize, dtype: DType) -> Tree {
    let plan = plan_of(0.0, EACH);
    let clipping = Clipping::new(ClipFunction::AutoV, &ClipStyle::Flat, params, plan.clip_norm());
    let step = PrivateStep::new(&plan, clipping.unwrap()).unwrap();
    let all = batch(n, dtype);
    let part = |from: usize, to: usize| LabeledBatch {
        inputs: all.inputs.narrow(0, from, to - from).unwrap(),
        labels: all.labels.narrow(0, from, to - from).unwrap(),
        sample_ids: None,
    };
    let parts = Unsampled(vec![part(0, n / 3), part(n / 3, n)]);
    let points = ProbePoint::single(params);
    let mut ledger = plan.ledger();
    let mean = step
        .run_in_parts(&Taped(loss), &points, parts, seeded(0), &SingleProcess, &mut ledger)
        .unwrap();
    assert!(mean.iter().all(|(_, leaf)| leaf.dtype() == DType::F32));
    mean.scale(B).unwrap()
}

#[test]
fn sums_over_neighbors_differ_by_the_clip_norm_at_most_although_parameters_are_halves() {
    let (mlp, params) = mlp();
    let halves = params.to_dtype(DType::F16).unwrap();
    let whole = sum(Classifier::new(mlp.clone()), &halves, SAMPLES, DType::F16);
    let less = sum(Classifier::new(mlp.clone()), &halves, SAMPLES - 1, DType::F16);
    // Rounding of two sums of at most n r, added up over additions in single precision.
    let slack = SAMPLES as f64 * EACH * 1e-6;
    let moved = norm(&difference(&whole, &less));
    assert!(moved <= EACH + slack, "{moved}");
    assert!((moved - EACH).abs() <= slack + 1e-3, "one sample adds {moved}");
    let rounded = whole.to_dtype(DType::F16).unwrap();
    let error = norm(&difference(&whole, &rounded));
    assert!(0.1 * EACH < error, "half precision would do: {error}");
    let mixed = || MixedPrecision::new(Classifier::new(mlp.clone()), DType::F16).unwrap();
    let (whole, less) = (
        sum(mixed(), &params, SAMPLES, DType::F32),
        sum(mixed(), &params, SAMPLES - 1, DType::F32),
    );
    let moved = norm(&difference(&whole, &less));
    assert!(moved <= EACH + slack, "{moved}");
}

#[test]
fn noise_on_halves_is_that_of_the_plan() {
    let leaf = Tensor::zeros(20_000, DType::F16, &Device::Cpu).unwrap();
    let params = Tree::from_leaves([("w", leaf)]).unwrap();
    let plan = plan();
    let clipping =
        Clipping::new(ClipFunction::default(), &ClipStyle::Flat, &params, plan.clip_norm());
    let step = PrivateStep::new(&plan, clipping.unwrap()).unwrap();
    let points = ProbePoint::single(&params);
    let mut ledger = plan.ledger();
    let objective = Taped(noise::NoSamples(Tree::new()));
    let noise = step
        .run(&objective, &points, Unsampled(()), seeded(0), &SingleProcess, &mut ledger)
        .unwrap();
    assert_eq!(noise.leaf("w").unwrap().dtype(), DType::F32);
    noise::check_normal("halves", &values(&noise), SIGMA * R / B);
}
