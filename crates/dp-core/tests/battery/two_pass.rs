//! One backward pass with book-keeping gives what two ordinary ones give.

use super::*;

/// The ordinary gradient of the sum of the samples' losses, each multiplied by its weight.
fn ordinary(case: &Case, samples: &[Sample], weights: &[f64]) -> Tree {
    let weighted: Vec<Sample> =
        samples.iter().zip(weights).map(|(s, w)| Sample { poison: *w, ..s.clone() }).collect();
    let batch = case.batch(&weighted);
    case.net.value_and_grad(&case.params, &batch, case.pass, Reduction::Sum).unwrap().1
}

/// The first passes take the norms of single samples, the second one a loss weighted with the clip factors.
fn two_passes(case: &Case, samples: &[Sample], clipping: &Clipping) -> (Tree, Vec<Vec<f64>>) {
    let groups = clipping.groups();
    let members = |group: usize| groups.members(group).collect::<Vec<_>>();
    let alone: Vec<Tree> =
        samples.iter().map(|s| ordinary(case, std::slice::from_ref(s), &[1.0])).collect();
    let squared = |group: usize, grads: &Tree| {
        let members = members(group);
        grads.partition(|name| members.contains(&name)).0.norm().unwrap().powi(2)
    };
    let norms: Vec<Vec<f64>> = (0..groups.len())
        .map(|group| alone.iter().map(|grads| squared(group, grads)).collect())
        .collect();
    let factors = clipping.factors(&norms).unwrap();
    let mut sum = Tree::new();
    for (group, factors) in factors.iter().enumerate() {
        let grads = ordinary(case, samples, factors);
        for name in members(group) {
            sum.insert(name, grads.leaf(name).unwrap().clone()).unwrap();
        }
    }
    (sum, factors)
}

#[test]
fn the_clipped_sum_of_every_layer_kind_is_the_gradient_of_the_loss_weighted_with_the_clip_factors()
{
    const R: f64 = 0.4;
    for row in rows() {
        let case = Case::new(&row, SIZES, DType::F64);
        let samples = samples(SIZES, [Tokens::Random, Tokens::AllEqual, Tokens::Random], 1);
        for style in case.styles() {
            for function in FUNCTIONS {
                let clipping = case.clipping(function, &style, R);
                let (want, factors) = two_passes(&case, &samples, &clipping);
                let got = case.clipped(&samples, &clipping);
                let what = format!("{}, {function:?}, {style:?}", row.name);
                // In units of the bound on the sum.
                let scale = R * samples.len() as f64;
                close(&what, distance(&got, &want), 0.0, 1e-10, scale);
                assert!(
                    factors.iter().flatten().any(|f| (f - 1.0).abs() > 0.1),
                    "{what}: {factors:?}"
                );
            }
        }
    }
}
