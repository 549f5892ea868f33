//! Convolutions against candle's operations, sample by sample.

use candle_core::{Device, Tensor, Var};
use proptest::prelude::*;
use tensor_tree::{Groups, Key, PerSample, Tree};

use super::*;
use crate::Builder;
use crate::tape::Tape;
use crate::testing::{assert_close, normal, values};

/// Sizes of one trial.
#[derive(Clone, Debug)]
struct Trial {
    batch: usize,
    groups: usize,
    /// Input and output channels of a group.
    channels: (usize, usize),
    kernel: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
    /// Height and width beyond what the kernel needs.
    extra: (usize, usize),
    order: Channels,
    two: bool,
}

impl Trial {
    fn config(&self) -> ConvConfig {
        ConvConfig {
            padding: self.padding,
            stride: self.stride,
            dilation: self.dilation,
            groups: self.groups,
            channels: self.order,
        }
    }

    fn inputs(&self) -> usize {
        self.groups * self.channels.0
    }

    fn outputs(&self) -> usize {
        self.groups * self.channels.1
    }

    /// `[batch, channels, ..]`.
    fn first_dims(&self) -> Vec<usize> {
        let need = (self.dilation * (self.kernel - 1) + 1).saturating_sub(2 * self.padding).max(1);
        let mut dims = vec![self.batch, self.inputs(), need + self.extra.0];
        if self.two {
            dims.push(need + self.extra.1);
        }
        dims
    }

    fn layer(&self, dtype: DType) -> (Conv, Tree) {
        let builder = Builder::init(Key::from_seed(3), dtype, &Device::Cpu);
        let (i, o, k, cfg, vb) =
            (self.inputs(), self.outputs(), self.kernel, self.config(), builder.vb());
        let conv = if self.two {
            conv2d(i, o, k, cfg, vb.pp("c")).unwrap().0
        } else {
            conv1d(i, o, k, cfg, vb.pp("c")).unwrap().0
        };
        (conv, builder.into_tree().unwrap())
    }

    fn draw(&self, dims: &[usize], seed: u64, dtype: DType) -> Tensor {
        normal(dims, seed).to_dtype(dtype).unwrap()
    }
}

fn trial() -> impl Strategy<Value = Trial> {
    (
        (1usize..4, 1usize..4, 1usize..6, 1usize..6),
        (1usize..4, 1usize..4, 0usize..3, 1usize..3),
        (0usize..6, 0usize..6),
        (any::<bool>(), any::<bool>()),
    )
        .prop_map(|((batch, groups, i, o), (k, s, p, d), extra, (last, two))| Trial {
            batch,
            groups,
            channels: (i, o),
            kernel: k,
            stride: s,
            padding: p,
            dilation: d,
            extra,
            order: if last { Channels::Last } else { Channels::First },
            two,
        })
}

/// Candle's convolution of `[batch, channels, ..]`, group by group and without its own gradient:
/// unfolded by padding and index selection.
fn reference(x: &Tensor, w: &Tensor, b: Option<&Tensor>, trial: &Trial) -> Tensor {
    let flat = |t: &Tensor| if trial.two { t.clone() } else { t.unsqueeze(2).unwrap() };
    let (x, w) = (flat(x), flat(w));
    let (pad_h, pad) = (if trial.two { trial.padding } else { 0 }, trial.padding);
    let x = x.pad_with_zeros(2, pad_h, pad_h).unwrap().pad_with_zeros(3, pad, pad).unwrap();
    let (_, _, h, width) = x.dims4().unwrap();
    let (out, cg, kh, kw) = w.dims4().unwrap();
    let count = |size: usize, k: usize| (size - (trial.dilation * (k - 1) + 1)) / trial.stride + 1;
    let (oh, ow) = (if trial.two { count(h, kh) } else { 1 }, count(width, kw));
    let places = |n: usize, k: usize| {
        let at: Vec<i64> = (0..n).map(|o| (o * trial.stride + k * trial.dilation) as i64).collect();
        Tensor::from_vec(at, n, &Device::Cpu).unwrap()
    };
    let og = out / trial.groups;
    let mut parts = Vec::new();
    for g in 0..trial.groups {
        let (xg, wg) = (x.narrow(1, g * cg, cg).unwrap(), w.narrow(0, g * og, og).unwrap());
        let mut sum: Option<Tensor> = None;
        for ky in 0..kh {
            for kx in 0..kw {
                let tap = xg.contiguous().unwrap().index_select(&places(oh, ky), 2).unwrap();
                let tap = tap.index_select(&places(ow, kx), 3).unwrap();
                let tap = tap.permute((0, 2, 3, 1)).unwrap().contiguous().unwrap();
                let w = wg.narrow(2, ky, 1).unwrap().narrow(3, kx, 1).unwrap();
                let w = w.reshape((og, cg)).unwrap().t().unwrap();
                let y = tap.broadcast_matmul(&w).unwrap();
                sum = Some(match sum {
                    Some(s) => (s + y).unwrap(),
                    None => y,
                });
            }
        }
        parts.push(sum.unwrap().permute((0, 3, 1, 2)).unwrap());
    }
    let mut y = Tensor::cat(&parts, 1).unwrap();
    if let Some(b) = b {
        y = y.broadcast_add(&b.reshape((1, out, 1, 1)).unwrap()).unwrap();
    }
    if trial.two { y } else { y.squeeze(2).unwrap() }
}

fn ordered(t: &Tensor, order: Channels) -> Tensor {
    match order {
        Channels::First => t.clone(),
        Channels::Last => super::super::to_channels_last(&t.contiguous().unwrap()).unwrap(),
    }
}

struct Outcome {
    y: Tensor,
    dx: Tensor,
    norms: Vec<f64>,
    grads: Tree,
    weighted: Tree,
    summed: Tree,
}

/// Forward and backward passes on both kinds of tape, with the seeds `c` as gradient of the output.
fn run(
    conv: &Conv,
    params: &Tree,
    x: &Tensor,
    seeds: &Tensor,
    act: Activation,
    budget: usize,
) -> Outcome {
    let frozen = Tree::new();
    let pass = |tape: &Tape| {
        let cx = Context::recording(params, &frozen, tape);
        let x = Var::from_tensor(x).unwrap();
        let y = channels_last(conv.config.channels, &x, |x| conv.forward(&cx, x, act)).unwrap();
        let grads = (&y * seeds).unwrap().sum_all().unwrap().backward().unwrap();
        (y.detach(), grads.get(&x).unwrap().clone())
    };
    let tape = Tape::summing(&Device::Cpu).unwrap();
    pass(&tape);
    let summed = tape.into_sum(params).unwrap();
    let tape = Tape::recording(&Device::Cpu).unwrap().with_keep_budget(budget);
    let (y, dx) = pass(&tape);
    let n = x.dims()[0];
    let grads = tape.into_grads(params, n).unwrap();
    let instances = grads.instantiate().unwrap();
    let groups = Groups::one(params);
    let norms = grads.squared_norms(&groups).unwrap()[0].clone();
    let factors: Vec<f64> = (0..n).map(|i| 0.5 + i as f64).collect();
    let weighted = grads.weighted_sum(&groups, &[factors]).unwrap();
    Outcome { y, dx, norms, grads: instances, weighted, summed }
}

fn check(trial: &Trial, budget: usize) {
    let (conv, params) = trial.layer(DType::F64);
    let (w, b) = (params.get("c.weight").unwrap(), params.get("c.bias").unwrap());
    let first = trial.draw(&trial.first_dims(), 5, DType::F64);
    let want = reference(&first, w, Some(b), trial);
    let seeds = trial.draw(want.dims(), 6, DType::F64);
    let x = ordered(&first, trial.order);
    let got = run(&conv, &params, &x, &ordered(&seeds, trial.order), Activation::Identity, budget);
    assert_close(&got.y, &ordered(&want, trial.order), 1e-10, "output");

    let mut total: Option<(Tensor, Tensor)> = None;
    let mut weighted: Option<(Tensor, Tensor)> = None;
    for i in 0..trial.batch {
        let vars = [&first.narrow(0, i, 1).unwrap(), w, b].map(|t| Var::from_tensor(t).unwrap());
        let y = reference(&vars[0], &vars[1], Some(vars[2].as_tensor()), trial);
        let loss = (y * seeds.narrow(0, i, 1).unwrap()).unwrap().sum_all().unwrap();
        let grads = loss.backward().unwrap();
        let [dx, dw, db] = vars.each_ref().map(|v| grads.get(v).unwrap().clone());
        let row = |t: &Tensor| t.get(i).unwrap();
        assert_close(&got.dx.narrow(0, i, 1).unwrap(), &ordered(&dx, trial.order), 1e-10, "dx");
        assert_close(&row(got.grads.get("c.weight").unwrap()), &dw, 1e-10, "dw");
        assert_close(&row(got.grads.get("c.bias").unwrap()), &db, 1e-10, "db");
        let norm: f64 = values(&dw).iter().chain(&values(&db)).map(|v| v * v).sum();
        assert!((got.norms[i] - norm).abs() <= 1e-10 * norm.max(1e-3), "{} {norm}", got.norms[i]);
        let f = 0.5 + i as f64;
        let add = |sum: Option<(Tensor, Tensor)>, f: f64| {
            let (a, b) = ((&dw * f).unwrap(), (&db * f).unwrap());
            Some(match sum {
                Some((x, y)) => ((x + a).unwrap(), (y + b).unwrap()),
                None => (a, b),
            })
        };
        total = add(total, 1.0);
        weighted = add(weighted, f);
    }
    for (tree, want) in [(&got.summed, total.unwrap()), (&got.weighted, weighted.unwrap())] {
        assert_close(tree.get("c.weight").unwrap(), &want.0, 1e-10, "summed weight");
        assert_close(tree.get("c.bias").unwrap(), &want.1, 1e-10, "summed bias");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn convolutions_agree_with_single_sample_passes(trial in trial(), again in any::<bool>()) {
        check(&trial, if again { 0 } else { usize::MAX });
    }
}

fn image(batch: usize, channels: (usize, usize), extra: (usize, usize)) -> Trial {
    Trial {
        batch,
        groups: 1,
        channels,
        kernel: 3,
        stride: 1,
        padding: 1,
        dilation: 1,
        extra,
        order: Channels::Last,
        two: true,
    }
}

#[test]
fn many_channels_and_large_weights_agree_too() {
    // Few positions and many weights: the norms of gradients made again take their ghost form.
    for budget in [0, usize::MAX] {
        check(&image(3, (20, 37), (1, 2)), budget);
        check(&Trial { groups: 4, channels: (9, 3), ..image(2, (1, 1), (4, 3)) }, budget);
        check(&Trial { kernel: 1, padding: 0, ..image(2, (5, 3), (4, 4)) }, budget);
    }
}

#[test]
fn outputs_agree_with_candle() {
    for (stride, padding, dilation, groups) in
        [(1, 0, 1, 1), (2, 1, 1, 1), (1, 2, 2, 2), (3, 1, 2, 3)]
    {
        let base = image(2, (4, 5), (7, 6));
        let trial = Trial { stride, padding, dilation, groups, order: Channels::First, ..base };
        let (conv, params) = trial.layer(DType::F64);
        let x = trial.draw(&trial.first_dims(), 5, DType::F64);
        let w = params.get("c.weight").unwrap();
        let want = x.conv2d(w, padding, stride, dilation, groups).unwrap();
        let b = params.get("c.bias").unwrap().reshape((1, (), 1, 1)).unwrap();
        let want = want.broadcast_add(&b).unwrap();
        let frozen = Tree::new();
        let cx = Context::eval(&params, &frozen);
        assert_close(&Conv2d(conv).forward(&cx, &x).unwrap(), &want, 1e-12, "forward");
    }
}

#[test]
fn the_composed_form_agrees_with_the_fused_one() {
    for order in [false, true] {
        let trial = Trial { stride: 2, dilation: 2, groups: 2, ..image(3, (3, 4), (5, 6)) };
        let trial = Trial { two: order, ..trial };
        let (conv, params) = trial.layer(DType::F64);
        let x = ordered(&trial.draw(&trial.first_dims(), 5, DType::F64), Channels::Last);
        let geo = conv.geometry(&x).unwrap();
        let dims = conv.output_dims(&x, &geo);
        let seeds = trial.draw(&dims, 8, DType::F64);
        let want = run(&conv, &params, &x, &seeds, Activation::Tanh, usize::MAX);
        let frozen = Tree::new();
        let tape = Tape::recording(&Device::Cpu).unwrap();
        let cx = Context::recording(&params, &frozen, &tape);
        let x = Var::from_tensor(&x).unwrap();
        let weight = cx.leaf(&conv.weight).unwrap();
        let bias = cx.optional(conv.bias.as_ref()).unwrap();
        let y = composed::forward(&x, geo, dims, weight, bias, Activation::Tanh).unwrap();
        assert_close(&y, &want.y, 1e-12, "composed output");
        let grads = (&y * seeds).unwrap().sum_all().unwrap().backward().unwrap();
        assert_close(grads.get(&x).unwrap(), &want.dx, 1e-12, "composed dx");
        drop(cx);
        let got = tape.into_grads(&params, trial.batch).unwrap().instantiate().unwrap();
        for (name, leaf) in got.iter() {
            assert_close(leaf, want.grads.get(name).unwrap(), 1e-12, name);
        }
    }
}

#[test]
fn a_fused_activation_is_the_activation_of_the_output() {
    let trial = image(3, (2, 3), (4, 5));
    let (conv, params) = trial.layer(DType::F64);
    let x = ordered(&trial.draw(&trial.first_dims(), 5, DType::F64), Channels::Last);
    let dims = conv.output_dims(&x, &conv.geometry(&x).unwrap());
    let seeds = trial.draw(&dims, 8, DType::F64);
    for act in [Activation::Relu, Activation::Silu, Activation::Tanh] {
        let got = run(&conv, &params, &x, &seeds, act, usize::MAX);
        let plain = run(&conv, &params, &x, &seeds, Activation::Identity, usize::MAX);
        let y = Var::from_tensor(&plain.y).unwrap();
        let want = super::super::linear::compose_activation(&y, act).unwrap();
        assert_close(&got.y, &want, 1e-12, "activated");
        let chained = (want * &seeds).unwrap().sum_all().unwrap().backward().unwrap();
        let chained = chained.get(&y).unwrap();
        let want = run(&conv, &params, &x, chained, Activation::Identity, usize::MAX);
        assert_close(&got.dx, &want.dx, 1e-12, "dx");
        assert_close(
            got.summed.get("c.weight").unwrap(),
            want.summed.get("c.weight").unwrap(),
            1e-12,
            "dw",
        );
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let trial = image(37, (4, 8), (9, 8));
    let (conv, params) = trial.layer(DType::F32);
    let x = ordered(&trial.draw(&trial.first_dims(), 5, DType::F32), Channels::Last);
    let dims = conv.output_dims(&x, &conv.geometry(&x).unwrap());
    let seeds = trial.draw(&dims, 8, DType::F32);
    for budget in [0, usize::MAX] {
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| run(&conv, &params, &x, &seeds, Activation::Relu, budget))
        };
        let (one, two) = (on(1), on(2));
        assert_eq!(values(&one.y), values(&two.y));
        assert_eq!(values(&one.dx), values(&two.dx));
        assert_eq!(one.norms, two.norms);
        for name in ["c.weight", "c.bias"] {
            assert_eq!(
                values(one.summed.get(name).unwrap()),
                values(two.summed.get(name).unwrap())
            );
            assert_eq!(
                values(one.weighted.get(name).unwrap()),
                values(two.weighted.get(name).unwrap())
            );
        }
    }
}

#[test]
fn single_precision_is_close_to_double_precision() {
    let trial = image(4, (5, 7), (6, 9));
    let of = |dtype| {
        let (conv, params) = trial.layer(dtype);
        let x = ordered(&trial.draw(&trial.first_dims(), 5, dtype), Channels::Last);
        let dims = conv.output_dims(&x, &conv.geometry(&x).unwrap());
        run(&conv, &params, &x, &trial.draw(&dims, 8, dtype), Activation::Tanh, usize::MAX)
    };
    let (single, double) = (of(DType::F32), of(DType::F64));
    assert_close(&single.y, &double.y, 1e-5, "y");
    assert_close(&single.dx, &double.dx, 1e-5, "dx");
    assert_close(
        single.weighted.get("c.weight").unwrap(),
        double.weighted.get("c.weight").unwrap(),
        1e-5,
        "w",
    );
}

#[test]
fn a_frozen_weight_leaves_the_bias_trainable_and_a_batch_may_be_empty() {
    let trial = image(2, (2, 3), (4, 5));
    let (conv, params) = trial.layer(DType::F64);
    let x = ordered(&trial.draw(&trial.first_dims(), 5, DType::F64), Channels::Last);
    let frozen =
        Tree::from_leaves([("c.weight", params.get("c.weight").unwrap().clone())]).unwrap();
    let trainable = Tree::from_leaves([("c.bias", params.get("c.bias").unwrap().clone())]).unwrap();
    let tape = Tape::summing(&Device::Cpu).unwrap();
    let cx = Context::recording(&trainable, &frozen, &tape);
    let y = conv.forward(&cx, &x, Activation::Identity).unwrap();
    y.sum_all().unwrap().backward().unwrap();
    let grads = tape.into_sum(&trainable).unwrap();
    let count = y.elem_count() as f64 / 3.0;
    assert_eq!(values(grads.get("c.bias").unwrap()), [count, count, count]);

    let none = x.narrow(0, 0, 0).unwrap();
    for tape in [Tape::summing(&Device::Cpu).unwrap(), Tape::recording(&Device::Cpu).unwrap()] {
        let cx = Context::recording(&params, &frozen, &tape);
        let y = conv.forward(&cx, &none, Activation::Identity).unwrap();
        y.sum_all().unwrap().backward().unwrap();
        for (_, leaf) in tape.into_sum(&params).unwrap().iter() {
            assert!(values(leaf).iter().all(|v| *v == 0.0));
        }
    }
}

#[test]
fn a_convolution_used_twice_has_the_norm_of_the_sum() {
    let trial = image(2, (3, 3), (3, 2));
    let (conv, params) = trial.layer(DType::F64);
    let x = ordered(&trial.draw(&trial.first_dims(), 5, DType::F64), Channels::Last);
    let frozen = Tree::new();
    let tape = Tape::recording(&Device::Cpu).unwrap();
    let cx = Context::recording(&params, &frozen, &tape);
    let y = conv.forward(&cx, &x, Activation::Tanh).unwrap();
    let y = conv.forward(&cx, &y, Activation::Tanh).unwrap();
    y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
    let grads = tape.into_grads(&params, 2).unwrap();
    let norms = grads.squared_norms(&Groups::one(&params)).unwrap();
    let instances = grads.instantiate().unwrap();
    for (i, got) in norms[0].iter().enumerate() {
        let norm: f64 =
            instances.iter().flat_map(|(_, t)| values(&t.get(i).unwrap())).map(|v| v * v).sum();
        assert!((got - norm).abs() < 1e-10 * norm);
    }
}

#[test]
fn what_does_not_fit_is_an_error() {
    let builder = Builder::init(Key::from_seed(3), DType::F32, &Device::Cpu);
    let cfg = ConvConfig::default();
    let bad = [
        ConvConfig { groups: 0, ..cfg },
        ConvConfig { groups: 3, ..cfg },
        ConvConfig { stride: 0, ..cfg },
        ConvConfig { dilation: 0, ..cfg },
    ];
    for cfg in bad {
        let made = conv2d(4, 6, 3, cfg, builder.vb().pp("bad"));
        assert!(matches!(made, Err(Error::InvalidSetting { .. })), "{cfg:?}");
    }
    let conv = conv2d(4, 6, 3, cfg, builder.vb().pp("c")).unwrap();
    let params = builder.into_tree().unwrap();
    let frozen = Tree::new();
    let cx = Context::eval(&params, &frozen);
    for dims in [vec![1, 4, 2, 8], vec![1, 3, 8, 8], vec![4, 8, 8], vec![1, 4, 0, 8], vec![]] {
        let x = Tensor::zeros(dims.as_slice(), DType::F32, &Device::Cpu).unwrap();
        assert!(matches!(conv.forward(&cx, &x), Err(Error::InputShape { .. })), "{dims:?}");
    }
    let weight = Param::named("w", &[3, 2, 3]);
    assert!(matches!(Conv2d::new(weight.clone(), None, cfg), Err(Error::ParamShape { .. })));
    let bias = Some(Param::named("b", &[4]));
    assert!(matches!(Conv1d::new(weight, bias, cfg), Err(Error::ParamShape { .. })));
    assert_eq!(ConvConfig::from(candle_nn::Conv2dConfig::default()), cfg);
    assert_eq!(ConvConfig::from(candle_nn::Conv1dConfig::default()), cfg);
}

#[test]
fn the_block_is_its_layers_one_after_the_other() {
    let builder = Builder::init(Key::from_seed(3), DType::F64, &Device::Cpu);
    let cfg = ConvConfig { padding: 1, channels: Channels::Last, ..ConvConfig::default() };
    let conv = conv2d(3, 8, 3, cfg, builder.vb().pp("c")).unwrap();
    let norm = crate::group_norm(2, 8, 1e-5, builder.vb().pp("n")).unwrap();
    let norm = norm.with_channels(Channels::Last);
    let params = builder.into_tree().unwrap();
    let frozen = Tree::new();
    let x = normal(&[5, 7, 6, 3], 1);
    let seeds = normal(&[5, 3, 3, 8], 2);
    let run = |together: bool, tape: &Tape| {
        let cx = Context::recording(&params, &frozen, tape);
        let x = Var::from_tensor(&x).unwrap();
        let y = if together {
            conv_norm_relu_pool(&cx, &conv, &norm, &x)
        } else {
            norm.forward_relu_pool(&cx, &conv.forward(&cx, &x).unwrap())
        };
        let y = y.unwrap();
        let grads = (&y * &seeds).unwrap().sum_all().unwrap().backward().unwrap();
        (y.detach(), grads.get(&x).unwrap().clone())
    };
    for budget in [0, usize::MAX] {
        let tapes = [true, false].map(|together| {
            let tape = Tape::recording(&Device::Cpu).unwrap().with_keep_budget(budget);
            (run(together, &tape), tape.into_grads(&params, 5).unwrap())
        });
        let [(one, one_grads), (two, two_grads)] = &tapes;
        assert_close(&one.0, &two.0, 1e-12, "y");
        assert_close(&one.1, &two.1, 1e-12, "dx");
        let (one, two) = (one_grads.instantiate().unwrap(), two_grads.instantiate().unwrap());
        for (name, leaf) in one.iter() {
            assert_close(leaf, two.get(name).unwrap(), 1e-12, name);
        }
    }
    let [one, two] = [true, false].map(|together| {
        let tape = Tape::summing(&Device::Cpu).unwrap();
        run(together, &tape);
        tape.into_sum(&params).unwrap()
    });
    for (name, leaf) in one.iter() {
        assert_close(leaf, two.get(name).unwrap(), 1e-12, name);
    }
    let first = norm.clone().with_channels(Channels::First);
    let cx = Context::eval(&params, &frozen);
    assert!(conv_norm_relu_pool(&cx, &conv, &first, &x).is_err());
    let small = normal(&[5, 1, 6, 3], 1);
    let got = conv_norm_relu_pool(&cx, &conv, &norm, &small);
    assert!(matches!(got, Err(Error::InputShape { .. })));
}
