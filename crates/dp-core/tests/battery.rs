//! What must hold for every layer kind: norms, sums, and sensitivity over neighboring batches.

use candle_core::DType;
use dp_core::{
    ClipFunction, ClipNorm, ClipStyle, Clipping, GaussianMechanism, NeighboringRelation,
    NoiseMultiplier, clip_and_sum,
};
use proptest::prelude::*;
use tape_nn::{TapeGrads, Taped};
use tensor_tree::{
    Differentiable, Groups, Key, Pass, PerSample, PerSampleDifferentiable, ProbePoint, Reduction,
    Tree,
};

pub(crate) mod networks;
mod points;
mod two_pass;

use networks::{Batch, Net, Row, Sample, Sizes, Tokens, rows};

const FUNCTIONS: [ClipFunction; 5] = [
    ClipFunction::Abadi { stability: 0.0 },
    ClipFunction::Abadi { stability: 1e-6 },
    ClipFunction::AutoV,
    ClipFunction::AutoS { gamma: 0.01 },
    ClipFunction::Global,
];

/// One network with samples.
struct Case {
    name: &'static str,
    net: Taped<Net>,
    params: Tree,
    sizes: Sizes,
    dtype: DType,
    pass: Pass,
    /// A second point and its weight; the parameters have the rest of 1.
    second: Option<(Tree, f64)>,
}

impl Case {
    fn new(row: &Row, sizes: Sizes, dtype: DType) -> Case {
        let (net, params) = row.build(sizes, dtype);
        let pass = Pass::Train { key: Key::from_seed(77) };
        Case { name: row.name, net, params, sizes, dtype, pass, second: None }
    }

    fn batch(&self, samples: &[Sample]) -> Batch {
        Batch::new(samples, self.sizes, self.dtype)
    }

    fn points(&self) -> Vec<ProbePoint> {
        let Some((params, weight)) = self.second.clone() else {
            return ProbePoint::single(&self.params).to_vec();
        };
        let first = ProbePoint { params: self.params.clone(), weight: 1.0 - weight };
        vec![first, ProbePoint { params, weight }]
    }

    fn grads(&self, samples: &[Sample]) -> TapeGrads {
        self.net.per_sample(&self.points(), &self.batch(samples), self.pass).unwrap().1
    }

    fn norms(&self, samples: &[Sample], groups: &Groups) -> Vec<Vec<f64>> {
        self.grads(samples).squared_norms(groups).unwrap()
    }

    /// The sum of the clipped gradients; without noise the mechanism hands it out, at the price of any guarantee.
    fn clipped(&self, samples: &[Sample], clipping: &Clipping) -> Tree {
        let open = GaussianMechanism::new(
            NoiseMultiplier::new(0.0).unwrap(),
            NeighboringRelation::AddOrRemoveOne,
        );
        let sum = clip_and_sum(self.grads(samples), clipping).unwrap();
        open.privatize(sum, Key::from_seed(0)).unwrap().0
    }

    fn clipping(&self, function: ClipFunction, style: &ClipStyle, r: f64) -> Clipping {
        let margin = if self.dtype == DType::F64 { 0.0 } else { 1e-6 };
        let total = ClipNorm::new(r).unwrap();
        Clipping::new(function, style, &self.params, total).unwrap().with_margin(margin).unwrap()
    }

    /// First and last leaf in one block, the others in another.
    fn styles(&self) -> Vec<ClipStyle> {
        let names: Vec<String> = self.params.names().map(str::to_owned).collect();
        let mut styles = vec![ClipStyle::Flat, ClipStyle::PerLayer, ClipStyle::PerParam];
        if let [first, middle @ .., last] = names.as_slice()
            && !middle.is_empty()
        {
            let ends = vec![first.clone(), last.clone()];
            styles.push(ClipStyle::Blocks(vec![ends, middle.to_vec()]));
        }
        styles
    }

    fn slack(&self) -> f64 {
        if self.dtype == DType::F64 { 1.0 + 1e-9 } else { 1.0 + 1e-5 }
    }
}

fn distance(a: &Tree, b: &Tree) -> f64 {
    a.to_dtype(DType::F64)
        .unwrap()
        .add_scaled(-1.0, &b.to_dtype(DType::F64).unwrap())
        .unwrap()
        .norm()
        .unwrap()
}

fn close(what: &str, got: f64, want: f64, tolerance: f64, scale: f64) {
    assert!((got - want).abs() <= tolerance * scale, "{what}: {got}, not {want}");
}

/// Norms and sums agree with instantiated gradients and with batches of one.
fn check_book_keeping(case: &Case, samples: &[Sample]) {
    let name = case.name;
    let tolerance = if case.dtype == DType::F64 { 1e-9 } else { 1e-4 };
    let leaves = Groups::per_leaf(&case.params);
    let norms = case.norms(samples, &leaves);
    let made = case.grads(samples).instantiate().unwrap();
    let n = samples.len();
    let mut factors = vec![vec![0.0; n]; leaves.len()];
    for (k, group) in factors.iter_mut().enumerate() {
        group.iter_mut().enumerate().for_each(|(i, f)| *f = ((k + 2 * i) % 5) as f64 * 0.3);
    }
    let sum = case.grads(samples).weighted_sum(&leaves, &factors).unwrap();
    let largest = norms.iter().flatten().copied().fold(1e-12, f64::max).sqrt();
    for (leaf, grads) in made.iter() {
        let k = leaves.of(leaf).unwrap();
        let rows = grads.to_dtype(DType::F64).unwrap().flatten_from(1).unwrap();
        let rows: Vec<Vec<f64>> = rows.to_vec2().unwrap();
        let mut weighted = vec![0.0; rows.first().map_or(0, Vec::len)];
        for (i, row) in rows.iter().enumerate() {
            let norm = row.iter().map(|x| x * x).sum::<f64>().sqrt();
            let what = format!("{name}: norm of `{leaf}`, sample {i}");
            close(&what, norms[k][i].sqrt(), norm, tolerance, largest);
            weighted.iter_mut().zip(row).for_each(|(w, x)| *w += factors[k][i] * x);
        }
        let got = sum.leaf(leaf).unwrap().to_dtype(DType::F64).unwrap();
        let got: Vec<f64> = got.flatten_all().unwrap().to_vec1().unwrap();
        for (g, w) in got.iter().zip(&weighted) {
            close(&format!("{name}: sum of `{leaf}`"), *g, *w, tolerance, n as f64 * largest);
        }
    }
    for (i, sample) in samples.iter().enumerate() {
        let alone = case.norms(std::slice::from_ref(sample), &leaves);
        for (k, leaf) in leaves.names().iter().enumerate() {
            let what = format!("{name}: norm of `{leaf}`, sample {i} alone");
            close(&what, norms[k][i].sqrt(), alone[k][0].sqrt(), tolerance, largest);
        }
    }
    let batch = case.batch(samples);
    let mut ordinary = case.params.zeros_like().unwrap();
    for point in case.points() {
        let (_, there) =
            case.net.value_and_grad(&point.params, &batch, case.pass, Reduction::Sum).unwrap();
        ordinary = ordinary.add_scaled(point.weight, &there).unwrap();
    }
    let ones = vec![vec![1.0; n]; leaves.len()];
    let unclipped = case.grads(samples).weighted_sum(&leaves, &ones).unwrap();
    close(&format!("{name}: plain sum"), distance(&ordinary, &unclipped), 0.0, tolerance, largest);
}

/// One sample dropped moves the sum by the clip norm at most, one replaced by twice as much.
fn check_sensitivity(
    case: &Case,
    samples: &[Sample],
    other: &Sample,
    f: ClipFunction,
    s: &ClipStyle,
) {
    let flat = case.norms(samples, &Groups::one(&case.params));
    let mut norms: Vec<f64> = flat[0].iter().map(|x| x.sqrt()).collect();
    norms.sort_by(f64::total_cmp);
    // Some samples are clipped and some are not.
    let r = (norms[norms.len() / 2] * 0.9).max(1e-3);
    let clipping = case.clipping(f, s, r);
    let what = format!("{}, {f:?}, {s:?}", case.name);
    let whole = case.clipped(samples, &clipping);
    for i in 0..samples.len() {
        let alone = case.clipped(&samples[i..=i], &clipping).to_dtype(DType::F64).unwrap();
        let norm = alone.norm().unwrap();
        assert!(norm <= r * case.slack(), "{what}: {norm} is above {r}");
        for (group, bound) in clipping.thresholds().iter().enumerate() {
            let members: Vec<&str> = clipping.groups().members(group).collect();
            let norm = alone.partition(|name| members.contains(&name)).0.norm().unwrap();
            assert!(norm <= bound * case.slack(), "{what}: group {group} has {norm}");
        }
        let rest: Vec<Sample> =
            samples.iter().enumerate().filter(|(k, _)| *k != i).map(|(_, s)| s.clone()).collect();
        let moved = distance(&whole, &case.clipped(&rest, &clipping));
        // Rounding of the sums over all samples comes on top.
        let slack = case.slack() + if case.dtype == DType::F64 { 0.0 } else { 1e-5 };
        assert!(moved <= r * slack, "{what}: dropping {i} moves by {moved}, not {r}");
    }
    let mut replaced = samples.to_vec();
    replaced[0] = other.clone();
    let moved = distance(&whole, &case.clipped(&replaced, &clipping));
    assert!(
        moved <= 2.0 * r * (case.slack() + 1e-5),
        "{what}: replacing moves by {moved}, not 2 {r}"
    );
}

fn samples(sizes: Sizes, tokens: [Tokens; 3], seed: u64) -> Vec<Sample> {
    let mut samples: Vec<Sample> =
        tokens.iter().zip(seed..).map(|(t, k)| Sample::new(k, sizes, *t)).collect();
    // Gradients of different size.
    samples[1].x.iter_mut().for_each(|x| *x *= 4.0);
    samples
}

const SIZES: Sizes = Sizes { t: 5, d: 4, v: 6, c: 3 };
const TOKENS: [Tokens; 3] = [Tokens::Random, Tokens::AllEqual, Tokens::PaddingOnly];

#[test]
fn norms_and_sums_of_every_layer_kind_are_those_of_instantiated_gradients() {
    for row in rows() {
        for dtype in [DType::F64, DType::F32] {
            check_book_keeping(&Case::new(&row, SIZES, dtype), &samples(SIZES, TOKENS, 1));
        }
    }
}

#[test]
fn one_sample_moves_the_sum_by_the_clip_norm_at_most_for_every_layer_kind() {
    for row in rows() {
        for dtype in [DType::F64, DType::F32] {
            let case = Case::new(&row, SIZES, dtype);
            let samples = samples(SIZES, TOKENS, 1);
            let other = Sample::new(50, SIZES, Tokens::Random);
            for style in case.styles() {
                for function in FUNCTIONS {
                    check_sensitivity(&case, &samples, &other, function, &style);
                }
            }
        }
    }
}

#[test]
fn a_sample_that_is_not_finite_adds_nothing_for_any_layer_kind() {
    for row in rows() {
        for dtype in [DType::F64, DType::F32] {
            let case = Case::new(&row, SIZES, dtype);
            let good = samples(SIZES, TOKENS, 1);
            for style in case.styles() {
                for function in FUNCTIONS {
                    let clipping = case.clipping(function, &style, 0.5);
                    let want = case.clipped(&good, &clipping);
                    for bad in poisoned(&row) {
                        let with = [good[0].clone(), bad, good[1].clone(), good[2].clone()];
                        let got = case.clipped(&with, &clipping);
                        let what = format!("{}, {function:?}, {style:?}", row.name);
                        assert!(got.is_finite().unwrap(), "{what}: not finite");
                        let moved = distance(&want, &got);
                        let rounding = if dtype == DType::F64 { 1e-12 } else { 1e-5 };
                        assert!(moved <= rounding, "{what}: moved by {moved}");
                    }
                }
            }
        }
    }
}

/// Gradients near the ends of single precision keep to the bound too, or add nothing.
#[test]
fn tiny_and_huge_gradients_of_every_layer_kind_keep_to_the_bound() {
    for row in rows() {
        for dtype in [DType::F64, DType::F32] {
            let case = Case::new(&row, SIZES, dtype);
            for e in [-150, -44, -38, -30, -24, -23, -20, -10, 10, 20, 30, 36, 150] {
                let poison = 10f64.powi(e);
                if dtype == DType::F32 && e.abs() == 150 {
                    continue; // zero or infinite before it gets here
                }
                let sample = Sample { poison, ..Sample::new(2, SIZES, Tokens::Random) };
                for function in FUNCTIONS {
                    for style in case.styles() {
                        let sum = case.clipped(
                            std::slice::from_ref(&sample),
                            &case.clipping(function, &style, 0.5),
                        );
                        let norm = sum.to_dtype(DType::F64).unwrap().norm().unwrap();
                        let what = format!("{}, 1e{e}, {function:?}, {style:?}", row.name);
                        assert!(norm <= 0.5 * case.slack(), "{what}: {norm}");
                    }
                }
            }
        }
    }
}

/// Positions whose gradients cancel: where Gram matrices in single precision would understate the norm.
#[test]
fn a_sample_whose_positions_cancel_keeps_to_the_bound() {
    let sizes = Sizes { t: 60, d: 40, v: 6, c: 40 };
    let row = rows().into_iter().find(|r| r.name == "linear without bias, relu").unwrap();
    for dtype in [DType::F64, DType::F32] {
        let mut case = Case::new(&row, sizes, dtype);
        // Equal inputs and equal logits; every label comes as often as another or nearly.
        case.params = case.params.map(|_, leaf| Ok((leaf * 1e-4)?)).unwrap();
        for change in 0..4 {
            let mut sample = Sample::new(1, sizes, Tokens::Random);
            sample.x = (0..60).flat_map(|_| vec![5.0; 40]).collect();
            sample.y = (0..60).map(|i| i64::from(i >= 30)).collect();
            for i in 0..change {
                sample.y[i] = 1;
            }
            for function in FUNCTIONS {
                for r in [1e-3, 1.0] {
                    let clipping = case.clipping(function, &ClipStyle::PerParam, r);
                    let sum = case.clipped(std::slice::from_ref(&sample), &clipping);
                    let norm = sum.to_dtype(DType::F64).unwrap().norm().unwrap();
                    assert!(norm <= r * case.slack(), "{function:?}, {r}: {norm}");
                }
            }
        }
    }
}

/// The norm of a tied leaf is that of the summed parts; the root of the sum of their squares is it only where
/// they are orthogonal.
#[test]
fn the_norm_of_tied_parts_needs_their_inner_product() {
    let row = rows().into_iter().find(|r| r.name == "tied embedding and head").unwrap();
    let case = Case::new(&row, SIZES, DType::F64);
    let parts = |samples: &[Sample]| {
        // The head as a leaf of its own, with the same values.
        let row = networks::untied_twin();
        let (net, mut params) = row.build(SIZES, DType::F64);
        for leaf in ["fc.weight", "fc.bias"] {
            params = params
                .map(|n, t| Ok(if n == leaf { case.params.leaf(n)?.clone() } else { t.clone() }))
                .unwrap();
        }
        let table = case.params.leaf("emb.weight").unwrap();
        let tied = |n: &str| n == "emb.weight" || n == "head.weight";
        let params =
            params.map(|n, t| Ok(if tied(n) { table.clone() } else { t.clone() })).unwrap();
        let points = ProbePoint::single(&params);
        let batch = case.batch(samples);
        net.per_sample(&points, &batch, case.pass).unwrap().1.instantiate().unwrap()
    };
    let samples: Vec<Sample> = (0..6).map(|i| Sample::new(i, SIZES, Tokens::Random)).collect();
    let leaves = Groups::per_leaf(&case.params);
    let norms = &case.norms(&samples, &leaves)[leaves.of("emb.weight").unwrap()];
    let parts = parts(&samples);
    let rows = |name: &str| -> Vec<Vec<f64>> {
        parts.leaf(name).unwrap().flatten_from(1).unwrap().to_vec2().unwrap()
    };
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut apart = 0;
    for (i, (e, h)) in rows("emb.weight").iter().zip(rows("head.weight")).enumerate() {
        let (squares, inner) = (dot(e, e) + dot(&h, &h), dot(e, &h));
        close("tied", norms[i], squares + 2.0 * inner, 1e-10, squares);
        apart += usize::from(1e-3 * squares < (norms[i] - squares).abs());
    }
    assert!(3 <= apart, "parts that overlap change the norm");
}

/// Samples with a value that is not finite in the input or in the loss.
fn poisoned(row: &Row) -> Vec<Sample> {
    let sample = Sample::new(60, SIZES, Tokens::Random);
    let mut out = Vec::new();
    for value in [f64::NAN, f64::INFINITY] {
        out.push(Sample { poison: value, ..sample.clone() });
        // Biases alone never see an input that a saturated unit keeps out.
        if row.sees_x && row.trained.is_empty() {
            let mut x = sample.x.clone();
            x[3] = value;
            out.push(Sample { x, ..sample.clone() });
        }
    }
    out
}

fn tokens() -> impl Strategy<Value = Tokens> {
    prop_oneof![Just(Tokens::Random), Just(Tokens::AllEqual), Just(Tokens::PaddingOnly)]
}

fn sizes() -> impl Strategy<Value = Sizes> {
    (1usize..9, 1usize..4, 2usize..8, 2usize..5).prop_map(|(t, half, v, c)| Sizes {
        t,
        d: 2 * half,
        v,
        c,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn norms_sums_and_sensitivity_hold_for_random_shapes(
        sizes in sizes(), kinds in [tokens(), tokens(), tokens()], seed in 0u64..1000,
        function in prop::sample::select(&FUNCTIONS[..]), style in 0usize..4, single in any::<bool>(),
    ) {
        let dtype = if single { DType::F32 } else { DType::F64 };
        for row in rows() {
            let case = Case::new(&row, sizes, dtype);
            let samples = samples(sizes, kinds, seed);
            check_book_keeping(&case, &samples);
            let styles = case.styles();
            let style = &styles[style % styles.len()];
            check_sensitivity(&case, &samples, &Sample::new(seed + 40, sizes, kinds[0]), function, style);
        }
    }
}
