//! Tests of linear maps.

use candle_core::{DType, Device, Var};
use tensor_tree::{Groups, Key, Label, Pass, PerSample, Tree};

use super::*;
use crate::lora::{self, LoraConfig};
use crate::{Builder, Linears};

struct One(Linear);

impl Linears for One {
    fn linears_mut(&mut self, f: &mut dyn FnMut(&mut Linear)) {
        f(&mut self.0);
    }
}

#[test]
fn fused_and_composed_operations_agree() {
    let builder = Builder::init(Key::from_seed(1), DType::F64, &Device::Cpu);
    let mut layer = One(linear(5, 4, builder.vb().pp("fc")).unwrap());
    let config = LoraConfig { rank: 2, dropout: 0.4, ..LoraConfig::for_layers(["fc"]) };
    let adapters =
        lora::attach(&mut layer, &config, Key::from_seed(2), DType::F64, &Device::Cpu).unwrap();
    let key = Key::from_seed(3);
    let params = builder.into_tree().unwrap().union(&adapters).unwrap();
    let params = params.map(|n, t| key.child(Label::Leaf(n)).add_normal(t, 0.2)).unwrap();
    let none = Tree::new();
    let x = Var::from_tensor(
        &key.normal_like(&Tensor::zeros((3, 2, 5), DType::F64, &Device::Cpu).unwrap()).unwrap(),
    )
    .unwrap();
    let run = |fuse: bool| {
        let tape = Tape::recording(&Device::Cpu).unwrap();
        let cx = Context::recording(&params, &none, &tape)
            .in_pass(Pass::Train { key }, Some(&[4, 9, 2]));
        let call = layer.0.enter(&cx, &x, Activation::Silu).unwrap();
        let y = if fuse { fused::<f64>(&x, call) } else { composed(&x, call) }.unwrap();
        let store = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        let dx = store.get(&x).unwrap().clone();
        let mut grads = tape.into_grads(&params, 3).unwrap().instantiate().unwrap();
        grads.insert("y", y).unwrap();
        grads.insert("dx", dx).unwrap();
        grads
    };
    let (a, b) = (run(true), run(false));
    assert_eq!(a.len(), 6);
    let error = a.add_scaled(-1.0, &b).unwrap().norm().unwrap();
    assert!(error < 1e-12 * a.norm().unwrap(), "{error}");
}

/// A layer in single precision with an input whose products are exact.
fn at(x: f32, activation: Activation, fuse: bool) -> (f32, f32) {
    let params =
        Tree::from_leaves([("a.weight", Tensor::ones((1, 1), DType::F32, &Device::Cpu).unwrap())]);
    let (params, none) = (params.unwrap(), Tree::new());
    let layer = Linear::new(Param::named("a.weight", &[1, 1]), None);
    let x = Var::from_tensor(&Tensor::new(&[[x]], &Device::Cpu).unwrap()).unwrap();
    let cx = Context::eval(&none, &params);
    let call = layer.enter(&cx, &x, activation).unwrap();
    let y = if fuse { fused::<f32>(&x, call) } else { composed(&x, call) }.unwrap();
    let store = y.sum_all().unwrap().backward().unwrap();
    let one = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap()[0];
    (one(&y), one(store.get(&x).unwrap()))
}

#[test]
fn the_composed_gradient_of_silu_is_finite_where_the_exponential_overflows() {
    for x in [-87.0, -90.0, -200.0, -1.0, 0.0, 3.0, 90.0] {
        let (y, dy) = at(x, Activation::Silu, false);
        let (want, want_dy) = at(x, Activation::Silu, true);
        assert!(y.is_finite() && dy.is_finite(), "at {x}: {y} {dy}");
        assert!((y - want).abs() <= 1e-6 * (1.0 + want.abs()), "at {x}: {y} {want}");
        assert!((dy - want_dy).abs() <= 1e-6, "at {x}: {dy} {want_dy}");
    }
}

#[test]
fn widths_of_zero_are_refused() {
    let vb = || Builder::init(Key::from_seed(1), DType::F32, &Device::Cpu).vb();
    for (d, p) in [(0, 3), (3, 0), (0, 0)] {
        assert!(matches!(linear(d, p, vb()), Err(Error::InvalidSetting { .. })));
        assert!(matches!(linear_no_bias(d, p, vb()), Err(Error::InvalidSetting { .. })));
    }
    let x = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
    let none = Tree::new();
    let cx = Context::eval(&none, &none);
    for shape in [&[3][..], &[0, 3], &[2, 3, 1]] {
        let layer = Linear::new(Param::named("a.weight", shape), None);
        assert!(matches!(layer.forward(&cx, &x), Err(Error::InvalidSetting { .. })), "{shape:?}");
    }
    let bias = Some(Param::named("a.bias", &[3]));
    let layer = Linear::new(Param::named("a.weight", &[2, 3]), bias);
    assert!(matches!(layer.forward(&cx, &x), Err(Error::ParamShape { .. })));
}

/// Norms and a weighted sum of a layer of one type, in single precision.
fn in_type(dtype: DType) -> (Vec<Vec<f64>>, Tree) {
    let key = Key::from_seed(1);
    let builder = Builder::init(key, DType::F32, &Device::Cpu);
    let layer = linear(6, 5, builder.vb().pp("fc")).unwrap();
    let params = builder.into_tree().unwrap().to_dtype(dtype).unwrap();
    let x = key.normal_like(&Tensor::zeros((3, 4, 6), DType::F32, &Device::Cpu).unwrap()).unwrap();
    let (x, none) = (x.to_dtype(dtype).unwrap(), Tree::new());
    let tape = Tape::recording(&Device::Cpu).unwrap();
    let cx = Context::recording(&params, &none, &tape);
    let y = layer.forward(&cx, &x).unwrap().to_dtype(DType::F32).unwrap();
    y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
    let grads = tape.into_grads(&params, 3).unwrap();
    let groups = Groups::per_leaf(&params);
    let norms = grads.squared_norms(&groups).unwrap();
    let factors = vec![vec![0.5, 0.0, 2.0]; groups.len()];
    let sum = grads.weighted_sum(&groups, &factors).unwrap();
    assert!(sum.iter().all(|(_, leaf)| leaf.dtype() == DType::F32));
    (norms, sum)
}

#[test]
fn half_precision_gives_norms_and_sums_close_to_single() {
    let ((norms, sum), (want_norms, want)) = (in_type(DType::F16), in_type(DType::F32));
    for (got, want) in norms.iter().flatten().zip(want_norms.iter().flatten()) {
        // Eleven bits of each entry, errors of which add up over a few terms.
        assert!((got / want - 1.0).abs() < 0.01, "{got} {want}");
    }
    let error = sum.add_scaled(-1.0, &want).unwrap().norm().unwrap();
    assert!(error < 0.01 * want.norm().unwrap(), "{error}");
}

#[test]
fn both_paths_serve_inputs_without_positions() {
    let builder = Builder::init(Key::from_seed(1), DType::F32, &Device::Cpu);
    let layer = linear(6, 5, builder.vb().pp("fc")).unwrap();
    let (params, none) = (builder.into_tree().unwrap(), Tree::new());
    for dims in [(3, 0, 6), (0, 4, 6)] {
        for fuse in [true, false] {
            let tape = Tape::recording(&Device::Cpu).unwrap();
            let cx = Context::recording(&params, &none, &tape);
            let x = Var::zeros(dims, DType::F32, &Device::Cpu).unwrap();
            let call = layer.enter(&cx, &x, Activation::Relu).unwrap();
            let y = if fuse { fused::<f32>(&x, call) } else { composed(&x, call) }.unwrap();
            assert_eq!(y.dims(), [dims.0, dims.1, 5]);
            let store = y.sum_all().unwrap().backward().unwrap();
            assert_eq!(store.get(&x).unwrap().dims(), [dims.0, dims.1, 6]);
            let grads = tape.into_grads(&params, dims.0).unwrap();
            assert_eq!(grads.squared_norms(&Groups::one(&params)).unwrap(), [vec![0.0; dims.0]]);
            assert_eq!(grads.into_unclipped_sum().unwrap().norm().unwrap(), 0.0);
        }
    }
}
