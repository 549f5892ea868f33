//! The Gaussian mechanism adds the normals of its key, at the scale of the sensitivity.

use candle_core::{DType, Tensor};
use dp_core::{
    ClipFunction, ClipNorm, ClipStyle, Clipping, DpEvent, GaussianMechanism, NeighboringRelation,
    NoiseMultiplier, clip_and_sum,
};
use tensor_tree::{Key, Label, Pass, PerSampleDifferentiable, ProbePoint, Tree};

use crate::battery::networks::{Batch, Sample, Sizes, Tokens, rows};

const SIZES: Sizes = Sizes { t: 4, d: 4, v: 6, c: 3 };
const R: f64 = 0.7;

/// What the mechanism makes of the same clipped sum.
fn privatized(dtype: DType, sigma: f64, relation: NeighboringRelation, key: Key) -> Tree {
    let row = rows().into_iter().find(|r| r.name == "linear, positions").unwrap();
    let (net, params) = row.build(SIZES, dtype);
    let samples: Vec<Sample> = (0..4).map(|i| Sample::new(i, SIZES, Tokens::Random)).collect();
    let points = ProbePoint::single(&params);
    let batch = Batch::new(&samples, SIZES, dtype);
    let grads = net.per_sample(&points, &batch, Pass::Eval).unwrap().1;
    let total = ClipNorm::new(R).unwrap();
    let clipping = Clipping::new(ClipFunction::AutoV, &ClipStyle::PerLayer, &params, total);
    let sum = clip_and_sum(grads, &clipping.unwrap()).unwrap();
    let mechanism = GaussianMechanism::new(NoiseMultiplier::new(sigma).unwrap(), relation);
    let (noised, event) = mechanism.privatize(sum, key).unwrap();
    assert_eq!(event, DpEvent::gaussian(sigma).unwrap());
    noised
}

fn bits(leaf: &Tensor) -> Vec<u64> {
    let flat = leaf.flatten_all().unwrap().to_dtype(DType::F64).unwrap();
    flat.to_vec1::<f64>().unwrap().into_iter().map(f64::to_bits).collect()
}

#[test]
fn the_noise_is_exactly_the_keys_normals_times_multiplier_and_sensitivity() {
    let key = Key::from_seed(21);
    for dtype in [DType::F64, DType::F32] {
        for (relation, sensitivity) in
            [(NeighboringRelation::AddOrRemoveOne, R), (NeighboringRelation::ReplaceOne, 2.0 * R)]
        {
            for sigma in [0.3, 1.0, 40.0] {
                let sum = privatized(dtype, 0.0, relation, key);
                let noised = privatized(dtype, sigma, relation, key);
                for (name, leaf) in sum.iter() {
                    let z = key.child(Label::Leaf(name)).normal_like(leaf).unwrap();
                    let want = (leaf + (z * (sigma * sensitivity)).unwrap()).unwrap();
                    let got = noised.leaf(name).unwrap();
                    assert_eq!(bits(got), bits(&want), "{name}, {dtype:?}, {relation}, {sigma}");
                    assert_ne!(bits(got), bits(leaf), "{name}: no noise");
                }
            }
        }
    }
}

#[test]
fn another_key_gives_other_noise_to_the_same_sum() {
    let relation = NeighboringRelation::AddOrRemoveOne;
    let of = |seed| privatized(DType::F64, 1.0, relation, Key::from_seed(seed));
    let (a, b) = (of(1), of(2));
    for (name, leaf) in a.iter() {
        let (one, other) = (bits(leaf), bits(b.leaf(name).unwrap()));
        let same = one.iter().zip(&other).filter(|(a, b)| a == b);
        assert_eq!(same.count(), 0, "{name}");
    }
}
