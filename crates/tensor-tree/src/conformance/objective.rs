//! What gradients promise: agreement with differences, and with batches of one.

use candle_core::DType;

use super::{Check, say, within};
use crate::groups::Groups;
use crate::key::{Key, Label};
use crate::objective::{
    Differentiable, Losses, Pass, PerSample, PerSampleDifferentiable, ProbePoint, Reduction,
};
use crate::tree::Tree;

/// Step of differences, relative error accepted for slopes and for sums, and rounding of a loss.
struct Precision {
    step: f64,
    slope: f64,
    sum: f64,
    rounding: f64,
}

impl Precision {
    fn of(params: &Tree) -> Precision {
        if params.iter().all(|(_, leaf)| leaf.dtype() == DType::F64) {
            Precision { step: 1e-3, slope: 1e-6, sum: 1e-9, rounding: 1e-15 }
        } else {
            Precision { step: 3e-2, slope: 1e-2, sum: 1e-4, rounding: 1e-6 }
        }
    }
}

/// What every [`Differentiable`] promises: the gradient of each reduction has the structure of the parameters and
/// agrees with central differences of the losses, along itself and along a random direction of each leaf.
///
/// Doubles are compared to `1e-6`, other types to `1e-2`; the loss must be smooth near `params`.
///
/// # Errors
/// The sentence that does not hold.
pub fn check_differentiable<O: Differentiable>(
    objective: &O,
    params: &Tree,
    batch: &O::Batch,
    pass: Pass,
) -> Check {
    let precision = Precision::of(params);
    for reduction in [Reduction::Sum, Reduction::Mean, Reduction::WeightedMean] {
        let (losses, grad) =
            objective.value_and_grad(params, batch, pass, reduction).map_err(say)?;
        params
            .check_like(&grad)
            .map_err(|e| format!("the gradient has the structure of the parameters: {e}"))?;
        let alone = objective.losses(params, batch, pass).map_err(say)?;
        same_losses(&losses, &alone, &precision, "the losses beside a gradient")?;
        let value = |at: &Tree| -> Result<f64, String> {
            reduced(&objective.losses(at, batch, pass).map_err(say)?, reduction)
        };
        for (name, leaf) in params.iter() {
            let of_leaf = |tree: &Tree| -> Result<Tree, String> {
                let own = tree.leaf(name).map_err(say)?.clone();
                Tree::from_leaves([(name, own)]).map_err(say)
            };
            let own = of_leaf(&grad)?;
            let norm = own.norm().map_err(say)?;
            let random = Key::from_seed(2024).child(Label::Leaf(name)).normal_like(leaf);
            let random = Tree::from_leaves([(name, random.map_err(say)?)]).map_err(say)?;
            for (which, direction) in [("itself", &own), ("a random direction", &random)] {
                let length = direction.norm().map_err(say)?;
                if length == 0.0 {
                    continue;
                }
                let direction = direction.scale(1.0 / length).map_err(say)?;
                let claimed = own.dot(&direction).map_err(say)?;
                let at = |h: f64| -> Result<f64, String> {
                    let moved = of_leaf(params)?.add_scaled(h, &direction).map_err(say)?;
                    let moved = moved.leaf(name).map_err(say)?.clone();
                    let all = params.map(|n, l| Ok(if n == name { &moved } else { l }.clone()));
                    value(&all.map_err(say)?)
                };
                // Fourth order, so that curvature does not show.
                let h = precision.step;
                let near = at(h)? - at(-h)?;
                let far = at(2.0 * h)? - at(-2.0 * h)?;
                let seen = (8.0 * near - far) / (12.0 * h);
                let noise = precision.rounding * value(params)?.abs() / h;
                let bound = precision.slope * norm.max(seen.abs()) + noise;
                if !within(claimed - seen, bound) {
                    return Err(format!(
                        "the {reduction:?} gradient of `{name}` along {which} is {claimed}, differences give {seen}"
                    ));
                }
            }
        }
    }
    Ok(())
}

/// What every [`PerSampleDifferentiable`] promises of its norms and weighted sums: they are those of batches of one
/// sample, alone and at two probe points; factors of one give the ordinary gradient; factors of a wrong shape are
/// refused. `split` makes the batch of the sample at a place.
///
/// Doubles are compared to `1e-9` of a gradient's norm, other types to `1e-4`.
///
/// # Errors
/// The sentence that does not hold.
pub fn check_per_sample<O: PerSampleDifferentiable>(
    objective: &O,
    params: &Tree,
    batch: &O::Batch,
    pass: Pass,
    split: impl Fn(&O::Batch, usize) -> O::Batch,
) -> Check {
    let precision = Precision::of(params);
    let moved = params.scale(0.75).map_err(say)?;
    let two = [
        ProbePoint { params: params.clone(), weight: 1.5 },
        ProbePoint { params: moved, weight: -0.5 },
    ];
    for points in [&ProbePoint::single(params)[..], &two] {
        let (losses, grads) = objective.per_sample(points, batch, pass).map_err(say)?;
        let alone = objective.losses(params, batch, pass).map_err(say)?;
        same_losses(&losses, &alone, &precision, "the losses beside per-sample gradients")?;
        let n = grads.n_samples();
        if n == 0 || losses.sum.dims() != [n] {
            return Err(format!("{n} per-sample gradients for losses {:?}", losses.sum.dims()));
        }
        let mut wanted = Vec::with_capacity(n);
        for i in 0..n {
            let one = split(batch, i);
            let mut sum = params.zeros_like().map_err(say)?;
            for point in points {
                let grad =
                    objective.grad(&point.params, &one, pass, Reduction::Sum).map_err(say)?;
                sum = sum.add_scaled(point.weight, &grad).map_err(say)?;
            }
            wanted.push(sum);
        }
        let groupings = [Groups::one(params), Groups::per_layer(params), Groups::per_leaf(params)];
        for groups in &groupings {
            let (_, grads) = objective.per_sample(points, batch, pass).map_err(say)?;
            norms_agree(&grads, &wanted, groups, &precision)?;
            let factors: Vec<Vec<f64>> = (0..groups.len())
                .map(|k| (0..n).map(|i| 0.5 * i as f64 - 0.25 * k as f64).collect())
                .collect();
            sums_agree(grads, &wanted, groups, &factors, &precision)?;
        }
        let groups = &groupings[0];
        // Without norms before it, and with samples left out.
        let (_, grads) = objective.per_sample(points, batch, pass).map_err(say)?;
        let every_other = vec![(0..n).map(|i| f64::from(u8::from(i % 2 == 0))).collect()];
        sums_agree(grads, &wanted, groups, &every_other, &precision)?;
        for bad in [vec![], vec![vec![1.0; n + 1]], vec![vec![1.0; n]; 2]] {
            let (_, grads) = objective.per_sample(points, batch, pass).map_err(say)?;
            if grads.weighted_sum(groups, &bad).is_ok() {
                return Err(format!("factors of another shape are refused: {bad:?}"));
            }
        }
    }
    if objective.per_sample(&[], batch, pass).is_ok() {
        return Err("per-sample gradients at no point are refused".into());
    }
    let whole = objective.grad(params, batch, pass, Reduction::Sum).map_err(say)?;
    let (_, grads) = objective.per_sample(&two_of(params), batch, pass).map_err(say)?;
    let n = grads.n_samples();
    let groups = Groups::one(params);
    let sum = grads.weighted_sum(&groups, &[vec![1.0; n]]).map_err(say)?;
    close(&sum, &whole, &whole, &precision, "the sum with factors of one is the ordinary gradient")
}

/// The same point in two halves.
fn two_of(params: &Tree) -> [ProbePoint; 2] {
    [0.25, 0.75].map(|weight| ProbePoint { params: params.clone(), weight })
}

fn norms_agree(
    grads: &impl PerSample,
    wanted: &[Tree],
    groups: &Groups,
    precision: &Precision,
) -> Check {
    let norms = grads.squared_norms(groups).map_err(say)?;
    if norms.len() != groups.len() || norms.iter().any(|group| group.len() != wanted.len()) {
        return Err("squared norms are one for each group and sample".into());
    }
    for (i, sample) in wanted.iter().enumerate() {
        let whole = sample.dot(sample).map_err(say)?;
        for (k, group) in norms.iter().enumerate() {
            let (part, _) = sample.partition(|name| groups.of(name).is_ok_and(|g| g == k));
            let want = part.dot(&part).map_err(say)?;
            if !within(group[i] - want, precision.sum * whole) {
                return Err(format!(
                    "the squared norm of sample {i} in group `{}` is {}, a batch of one gives {want}",
                    groups.names()[k],
                    group[i]
                ));
            }
        }
    }
    Ok(())
}

fn sums_agree(
    grads: impl PerSample,
    wanted: &[Tree],
    groups: &Groups,
    factors: &[Vec<f64>],
    precision: &Precision,
) -> Check {
    let sum = grads.weighted_sum(groups, factors).map_err(say)?;
    let (mut want, mut size) = (Tree::new(), Tree::new());
    for (i, sample) in wanted.iter().enumerate() {
        let weighted = |absolute: bool| {
            let part = sample.map(|name, leaf| {
                let leaf = (leaf * factors[groups.of(name)?][i])?;
                Ok(if absolute { leaf.abs()? } else { leaf })
            });
            part.map_err(say)
        };
        let add = |total: Tree, part: Tree| match i {
            0 => Ok(part),
            _ => total.add_scaled(1.0, &part).map_err(say),
        };
        want = add(want, weighted(false)?)?;
        size = add(size, weighted(true)?)?;
    }
    close(&sum, &want, &size, precision, "a weighted sum is that of batches of one")
}

/// Equal up to rounding of numbers as large as `size`.
fn close(got: &Tree, want: &Tree, size: &Tree, precision: &Precision, what: &str) -> Check {
    want.check_like(got).map_err(|e| format!("{what}: {e}"))?;
    let error = got.add_scaled(-1.0, want).and_then(|d| d.norm()).map_err(say)?;
    let size = size.norm().map_err(say)?;
    if within(error, precision.sum * size) {
        return Ok(());
    }
    Err(format!("{what}: the difference has norm {error}, the sum {size}"))
}

fn doubles(losses: &Losses) -> Result<[Vec<f64>; 2], String> {
    let of = |t: &candle_core::Tensor| t.to_dtype(DType::F64)?.to_vec1::<f64>();
    let both = [of(&losses.sum), of(&losses.weight)];
    let [sum, weight] = both.map(|x| x.map_err(|e| say(e.into())));
    Ok([sum?, weight?])
}

fn same_losses(got: &Losses, want: &Losses, precision: &Precision, what: &str) -> Check {
    let (got, want) = (doubles(got)?, doubles(want)?);
    for (got, want) in got.iter().zip(&want) {
        let near = |(g, w): (&f64, &f64)| within(g - w, precision.sum * w.abs());
        if got.len() != want.len() || !got.iter().zip(want).all(near) {
            return Err(format!("{what} are those without: {got:?} and {want:?}"));
        }
    }
    Ok(())
}

/// The number that a reduction makes of the losses.
fn reduced(losses: &Losses, reduction: Reduction) -> Result<f64, String> {
    let [sums, weights] = doubles(losses)?;
    let inverse = |weight: f64| if weight == 0.0 { 0.0 } else { 1.0 / weight };
    let means: f64 = sums.iter().zip(&weights).map(|(sum, weight)| sum * inverse(*weight)).sum();
    Ok(match reduction {
        Reduction::Sum => means,
        Reduction::Mean => means * inverse(sums.len() as f64),
        Reduction::WeightedMean => sums.iter().sum::<f64>() * inverse(weights.iter().sum()),
    })
}

#[cfg(test)]
mod tests;
