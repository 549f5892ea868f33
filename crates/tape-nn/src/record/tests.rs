//! Norms and weighted sums of records against per-sample gradients made by plain loops in doubles.

use candle_core::Device;
use tensor_tree::{Groups, PerSample, Tree};

use super::deferred::Transposed;
use super::rows::Rows;
use super::*;
use crate::testing::{normal, values};

/// Samples of every record.
const N: usize = 5;

/// Rows and width of the leaf that all records are of.
const LEAF: [usize; 2] = [7, 6];

/// A record of the leaf `w` and the dense gradient of each sample that it stands for.
#[derive(Clone)]
struct Known {
    record: Record,
    dense: Vec<Vec<f64>>,
}

fn name() -> Name {
    "w".into()
}

fn in_type(t: &Tensor, dtype: DType) -> Tensor {
    t.to_dtype(dtype).unwrap()
}

/// The weight of a linear map at `t` positions.
fn linear(t: usize, seed: u64, scaled: bool, dtype: DType) -> Known {
    let [p, d] = LEAF;
    let (x, g) =
        (in_type(&normal(&[N, t, d], seed), dtype), in_type(&normal(&[N, t, p], seed + 1), dtype));
    let scale: Option<Vec<f64>> = scaled.then(|| vec![0.5, -2.0, 0.0, 1.0, 3.0]);
    let (xs, gs) = (values(&x), values(&g));
    let mut dense = vec![vec![0.0; p * d]; N];
    for (i, out) in dense.iter_mut().enumerate() {
        for row in i * t..(i + 1) * t {
            for a in 0..p {
                for b in 0..d {
                    let factor = scale.as_ref().map_or(1.0, |s| s[i]);
                    out[a * d + b] += factor * gs[row * p + a] * xs[row * d + b];
                }
            }
        }
    }
    let scale = scale.map(Arc::new);
    Known {
        record: Record::Linear { weight: Some(name()), bias: None, x: Some(x), g, scale },
        dense,
    }
}

/// Rows of a table, some twice in a sample and some padding.
fn table(t: usize, seed: u64, padding: Option<u32>, dtype: DType) -> Known {
    let [n_rows, width] = LEAF;
    let rows: Vec<u32> = (0..N * t).map(|k| ((k * k + k / 3) % n_rows) as u32).collect();
    let g = in_type(&normal(&[N, t, width], seed), dtype);
    let gs = values(&g);
    let mut dense = vec![vec![0.0; n_rows * width]; N];
    for (k, row) in rows.iter().enumerate().filter(|(_, row)| Some(**row) != padding) {
        for c in 0..width {
            dense[k / t][*row as usize * width + c] += gs[k * width + c];
        }
    }
    Known {
        record: Record::Table { name: name(), rows: Arc::new(rows), padding, g, n_rows },
        dense,
    }
}

fn samples(t: &Tensor) -> Vec<Vec<f64>> {
    (0..N).map(|i| values(&t.get(i).unwrap())).collect()
}

/// Gradients that exist.
fn kept(seed: u64, dtype: DType) -> Known {
    let grads = in_type(&normal(&[N, LEAF[0], LEAF[1]], seed), dtype);
    Known { dense: samples(&grads), record: Record::Kept { name: name(), grads } }
}

/// Gradients that a layer keeps with the last two axes exchanged.
fn transposed(seed: u64, dtype: DType) -> Known {
    let grads = in_type(&normal(&[N, 1, LEAF[1], LEAF[0]], seed), dtype);
    let dense = samples(&grads.transpose(2, 3).unwrap().contiguous().unwrap());
    let grads = Arc::new(Transposed { grads, leaf: Shape::from(&LEAF[..]) });
    Known { dense, record: Record::Deferred { name: name(), grads } }
}

/// Gradients in one buffer for each sample.
fn rows(seed: u64) -> Known {
    let dense = samples(&normal(&[N, LEAF[0], LEAF[1]], seed));
    let norms = dense.iter().map(|g| g.iter().map(|x| x * x).sum()).collect();
    let grads = Arc::new(Rows { grads: dense.clone(), norms, leaf: Shape::from(&LEAF[..]) });
    Known { dense, record: Record::Deferred { name: name(), grads } }
}

fn params(dtype: DType) -> Tree {
    Tree::from_leaves([("w", Tensor::zeros(&LEAF[..], dtype, &Device::Cpu).unwrap())]).unwrap()
}

fn grads(uses: &[Known], dtype: DType) -> TapeGrads {
    let records = uses.iter().map(|known| known.record.clone()).collect();
    TapeGrads::new(records, &params(dtype), N).unwrap()
}

/// The sum of all uses, for each sample.
fn dense(uses: &[Known]) -> Vec<Vec<f64>> {
    let mut sum = uses[0].dense.clone();
    for known in &uses[1..] {
        for (sum, part) in sum.iter_mut().zip(&known.dense) {
            sum.iter_mut().zip(part).for_each(|(s, p)| *s += p);
        }
    }
    sum
}

fn assert_near(got: &[f64], want: &[f64], size: f64, dtype: DType, what: &str) {
    let tolerance = if dtype == DType::F64 { 1e-12 } else { 1e-5 };
    assert_eq!(got.len(), want.len(), "{what}");
    for (g, w) in got.iter().zip(want) {
        assert!((g - w).abs() <= tolerance * size, "{what}: {g} {w}");
    }
}

/// Norms, then sums from what the norms kept and without norms, and each sample's gradient.
fn check(uses: &[Known], dtype: DType, what: &str) {
    let what = &format!("{what}, {dtype:?}");
    let want = dense(uses);
    let groups = Groups::one(&params(dtype));
    let with_norms = grads(uses, dtype);
    let norms = with_norms.squared_norms(&groups).unwrap().concat();
    // Tied uses may cancel, so rounding is measured by their sizes.
    let size: f64 = uses.iter().flat_map(|known| known.dense.iter().flatten()).map(|x| x * x).sum();
    let want_norms: Vec<f64> = want.iter().map(|g| g.iter().map(|x| x * x).sum()).collect();
    assert_near(&norms, &want_norms, size, dtype, what);
    let again = with_norms.squared_norms(&groups).unwrap().concat();
    assert_near(&again, &want_norms, size, dtype, what);
    for factors in [[1.0; N], [0.5, 0.0, -1.0, 2.0, 0.0], [0.0; N], [0.0, 0.0, 3.0, 4.0, 5.0]] {
        let mut want_sum = vec![0.0; LEAF[0] * LEAF[1]];
        for (f, g) in factors.iter().zip(&want) {
            want_sum.iter_mut().zip(g).for_each(|(s, x)| *s += f * x);
        }
        for norms_first in [false, true] {
            let grads = grads(uses, dtype);
            if norms_first {
                grads.squared_norms(&groups).unwrap();
            }
            let sum = grads.weighted_sum(&groups, &[factors.to_vec()]).unwrap();
            let sum = sum.leaf("w").unwrap();
            assert_eq!((sum.dtype(), sum.dims()), (dtype, &LEAF[..]));
            assert_near(&values(sum), &want_sum, 10.0 * size.sqrt(), dtype, what);
        }
    }
    let instantiated = with_norms.instantiate().unwrap();
    let instantiated = instantiated.leaf("w").unwrap();
    assert_near(&values(instantiated), &want.concat(), size.sqrt(), dtype, what);
    let whole = with_norms.into_unclipped_sum().unwrap();
    let mut total = vec![0.0; LEAF[0] * LEAF[1]];
    want.iter().for_each(|g| total.iter_mut().zip(g).for_each(|(s, x)| *s += x));
    assert_near(&values(whole.leaf("w").unwrap()), &total, 10.0 * size.sqrt(), dtype, what);
}

#[test]
fn each_kind_of_record_gives_the_norms_and_sums_of_its_gradients() {
    for dtype in [DType::F32, DType::F64] {
        // One position; few, where the Gram matrices are smaller; many, where the gradient is.
        for t in [1, 3, 40] {
            for scaled in [false, true] {
                check(&[linear(t, 1, scaled, dtype)], dtype, &format!("linear at {t}"));
            }
            for padding in [None, Some(2)] {
                check(&[table(t, 1, padding, dtype)], dtype, &format!("table at {t}"));
            }
        }
        check(&[kept(1, dtype)], dtype, "kept");
        check(&[transposed(1, dtype)], dtype, "transposed");
    }
    check(&[rows(1)], DType::F64, "rows");
}

#[test]
fn the_uses_of_a_tied_leaf_add_up_in_each_sample() {
    for dtype in [DType::F32, DType::F64] {
        let (map, other) = (linear(3, 1, true, dtype), linear(2, 3, false, dtype));
        let (first, second) = (table(4, 5, Some(1), dtype), table(2, 6, None, dtype));
        let kept = kept(7, dtype);
        let turned = transposed(8, dtype);
        let ties: [(&str, Vec<&Known>); 8] = [
            ("two maps", vec![&map, &other]),
            ("two tables", vec![&first, &second]),
            ("table and map", vec![&first, &map]),
            ("two tables and two maps", vec![&first, &map, &second, &other]),
            ("kept twice", vec![&kept, &kept]),
            ("kept and map", vec![&kept, &map]),
            ("table, kept and transposed", vec![&first, &kept, &turned]),
            ("transposed and map", vec![&turned, &other]),
        ];
        for (what, uses) in ties {
            check(&uses.into_iter().cloned().collect::<Vec<_>>(), dtype, what);
        }
    }
}

#[test]
fn a_use_that_cancels_another_leaves_a_norm_of_zero() {
    let mut map = linear(3, 1, false, DType::F64);
    let dense = Tensor::new(map.dense.concat(), &Device::Cpu).unwrap();
    let grads = dense.neg().unwrap().reshape((N, LEAF[0], LEAF[1])).unwrap();
    let against = Known { dense: samples(&grads), record: Record::Kept { name: name(), grads } };
    check(&[map.clone(), against], DType::F64, "cancelled");
    // The same for two maps, whose norm is not made from a difference of squares.
    if let Record::Linear { g, .. } = &mut map.record {
        *g = g.neg().unwrap();
    }
    map.dense.iter_mut().flatten().for_each(|x| *x = -*x);
    check(&[linear(3, 1, false, DType::F64), map], DType::F64, "cancelled maps");
}

#[test]
fn biases_are_sums_over_positions() {
    for (dtype, t) in [(DType::F32, 1), (DType::F64, 1), (DType::F32, 6), (DType::F64, 6)] {
        let g = in_type(&normal(&[N, t, 4], 1), dtype);
        let seeds = Arc::new(vec![2.0, 0.0, -1.0, 0.5, 1.0]);
        let record = |scale| Record::Linear {
            weight: None,
            bias: Some("b".into()),
            x: None,
            g: g.clone(),
            scale,
        };
        let params =
            Tree::from_leaves([("b", Tensor::zeros(4, dtype, &Device::Cpu).unwrap())]).unwrap();
        let of = |scale: Option<Arc<Vec<f64>>>, i: usize| -> Vec<f64> {
            let factor = scale.map_or(1.0, |s| s[i]);
            values(&g.get(i).unwrap().sum(0).unwrap()).iter().map(|x| factor * x).collect()
        };
        for uses in [vec![None], vec![Some(seeds.clone())], vec![None, Some(seeds.clone())]] {
            let records = uses.iter().map(|scale| record(scale.clone())).collect();
            let grads = TapeGrads::new(records, &params, N).unwrap();
            let groups = Groups::one(&params);
            let norms = grads.squared_norms(&groups).unwrap().concat();
            let factors = [1.0, -1.0, 0.0, 2.0, 0.5];
            let sum = grads.weighted_sum(&groups, &[factors.to_vec()]).unwrap();
            let mut want_sum = [0.0; 4];
            for i in 0..N {
                let mut want = [0.0; 4];
                for scale in &uses {
                    want.iter_mut().zip(of(scale.clone(), i)).for_each(|(w, x)| *w += x);
                }
                let norm: f64 = want.iter().map(|x| x * x).sum();
                assert_near(&norms[i..=i], &[norm], 100.0, dtype, "norm of a bias");
                want_sum.iter_mut().zip(want).for_each(|(s, x)| *s += factors[i] * x);
            }
            assert_near(&values(sum.leaf("b").unwrap()), &want_sum, 100.0, dtype, "sum of a bias");
        }
    }
}

#[test]
fn a_sample_of_factor_zero_is_left_out_even_if_it_is_no_number() {
    let spoil = |t: &Tensor, i: usize| {
        let poison: Vec<f64> = (0..N).map(|k| if k == i { f64::NAN } else { 1.0 }).collect();
        let mut dims = vec![N];
        dims.extend(vec![1; t.dims().len() - 1]);
        let poison = Tensor::new(poison, &Device::Cpu).unwrap().reshape(dims).unwrap();
        t.broadcast_mul(&poison).unwrap()
    };
    let factors = [1.0, 2.0, 0.0, -1.0, 0.5];
    for known in
        [linear(3, 1, false, DType::F64), table(3, 1, None, DType::F64), kept(1, DType::F64)]
    {
        let mut bad = known.clone();
        match &mut bad.record {
            Record::Linear { g, .. } | Record::Table { g, .. } => *g = spoil(g, 2),
            Record::Kept { grads, .. } => *grads = spoil(grads, 2),
            Record::Deferred { .. } | Record::Head { .. } => unreachable!(),
        }
        let groups = Groups::one(&params(DType::F64));
        let sum = |known: &Known, norms_first: bool| {
            let grads = grads(std::slice::from_ref(known), DType::F64);
            if norms_first {
                let norms = grads.squared_norms(&groups).unwrap().concat();
                let finite: Vec<bool> = norms.iter().map(|x| x.is_finite()).collect();
                assert!(finite.iter().all(|f| *f) || finite == [true, true, false, true, true]);
            }
            let sum = grads.weighted_sum(&groups, &[factors.to_vec()]).unwrap();
            values(sum.leaf("w").unwrap())
        };
        for norms_first in [false, true] {
            let (got, want) = (sum(&bad, norms_first), sum(&known, norms_first));
            assert_near(&got, &want, 10.0, DType::F64, "without the spoiled sample");
        }
    }
}

#[test]
fn samples_are_joined_to_runs_without_those_of_factor_zero() {
    let ends = |n, factors| -> Vec<(usize, usize)> {
        runs(n, factors).into_iter().map(|run| (run.start, run.end)).collect()
    };
    assert_eq!(ends(4, None), [(0, 4)]);
    assert_eq!(ends(0, None), []);
    for (factors, want) in [
        (&[1.0, 1.0, 1.0][..], &[(0, 3)][..]),
        (&[0.0, 0.0, 0.0], &[]),
        (&[0.0, 1.0, -2.0, 0.0, 0.0, 3.0], &[(1, 3), (5, 6)]),
        (&[1.0, 0.0, 1.0, 0.0], &[(0, 1), (2, 3)]),
        (&[-0.0, f64::NAN], &[(1, 2)]),
    ] {
        assert_eq!(ends(factors.len(), Some(factors)), want, "{factors:?}");
    }
    // A pending scale of zero leaves a sample out as well, and a factor of zero hides a scale that is no number.
    let scale = Arc::new(vec![2.0, 0.0, f64::NAN]);
    assert_eq!(combined(3, Some(&[1.0, 1.0, 0.0]), Some(&scale)).unwrap(), [2.0, 0.0, 0.0]);
    assert!(combined(3, None, None).is_none());
}

#[test]
fn halves_are_widened_before_anything_is_added() {
    // In half precision the squares would overflow and the sum of ones would stop at 2048.
    let g = in_type(&(Tensor::ones((N, 4096, 1), DType::F32, &Device::Cpu).unwrap()), DType::F16);
    for (dtype, size) in [(DType::F16, 300.0), (DType::BF16, 256.0)] {
        let g = (g.to_dtype(dtype).unwrap() * size).unwrap();
        let record =
            Record::Linear { weight: None, bias: Some("b".into()), x: None, g, scale: None };
        let params =
            Tree::from_leaves([("b", Tensor::zeros(1, dtype, &Device::Cpu).unwrap())]).unwrap();
        let grads = TapeGrads::new(vec![record.widened().unwrap()], &params, N).unwrap();
        let groups = Groups::one(&params);
        let norms = grads.squared_norms(&groups).unwrap().concat();
        let want = (4096.0 * size) * (4096.0 * size);
        assert!(norms.iter().all(|norm| (norm / want - 1.0).abs() < 1e-5), "{norms:?} {want}");
        let sum = grads.weighted_sum(&groups, &[vec![1.0 / 4096.0; N]]).unwrap();
        assert_eq!(sum.leaf("b").unwrap().dtype(), DType::F32);
        let got = values(sum.leaf("b").unwrap())[0];
        assert!((got / (N as f64 * size) - 1.0).abs() < 1e-6, "{got}");
    }
}
