//! Tests of what a tape must refuse: records whose first axis is not the sample, and losses of another number.

use candle_core::{Device, Var};
use tensor_tree::{Groups, Key, PerSample};

use super::*;
use crate::layer::{Embedding, Linear, embedding, linear, linear_no_bias};
use crate::loss::cross_entropy;
use crate::param::Builder;
use crate::testing::normal;

type Forward = Box<dyn Fn(&Context<'_>, &Tensor) -> Result<Tensor>>;

/// A network of which the loss is the sum of squares of each sample's output.
struct Net {
    forward: Forward,
    frozen: Tree,
}

impl TapeLoss for Net {
    type Batch = Tensor;

    fn losses(&self, cx: &Context<'_>, x: &Tensor) -> Result<Losses> {
        let y = (self.forward)(cx, x)?;
        let sum = y.flatten_from(1)?.sqr()?.sum(1)?;
        Ok(Losses { weight: sum.ones_like()?.detach(), sum })
    }

    fn frozen(&self) -> &Tree {
        &self.frozen
    }

    fn n_samples(&self, x: &Tensor) -> usize {
        x.dims()[0]
    }
}

fn net(build: impl Fn(&Builder) -> Forward) -> (Taped<Net>, Tree) {
    let builder = Builder::init(Key::from_seed(1), DType::F64, &Device::Cpu);
    let forward = build(&builder);
    (Taped(Net { forward, frozen: Tree::new() }), builder.into_tree().unwrap())
}

fn per_sample(net: &Taped<Net>, params: &Tree, x: &Tensor) -> tensor_tree::Result<TapeGrads> {
    net.per_sample(&ProbePoint::single(params), x, Pass::Eval).map(|(_, grads)| grads)
}

/// Asserts that per-sample gradients are refused with the leaf and both sizes, and gives the ordinary gradient.
fn refused(net: &Taped<Net>, params: &Tree, x: &Tensor, leaf: &str, got: usize) -> Tree {
    let error = per_sample(net, params, x).unwrap_err().to_string();
    let n = x.dims()[0];
    assert!(
        error.contains(&format!("`{leaf}` was used on {got} samples in a batch of {n}")),
        "{error}"
    );
    assert!(error.contains("the first axis must be the sample"), "{error}");
    net.grad(params, x, Pass::Eval, Reduction::Sum).unwrap()
}

/// `[batch, t]` positions of one embedding that all samples share, added to the tokens' vectors.
fn shared_positions(builder: &Builder, repeated: bool) -> Forward {
    let table: Embedding = embedding(4, 3, builder.vb().pp("pos")).unwrap();
    let fc: Linear = linear(3, 2, builder.vb().pp("fc")).unwrap();
    Box::new(move |cx, x| {
        let (n, t, _) = x.dims3()?;
        let rows = if repeated { n } else { 1 };
        let ids = Tensor::arange(0u32, t as u32, &Device::Cpu)?.broadcast_as((rows, t))?;
        fc.forward(cx, &x.broadcast_add(&table.forward(cx, &ids)?)?)
    })
}

#[test]
fn a_position_embedding_that_the_batch_shares_is_refused() {
    let x = normal(&[5, 4, 3], 1);
    let (net, params) = self::net(|b| shared_positions(b, false));
    let shared = refused(&net, &params, &x, "pos.weight", 1);
    // The ordinary gradient is right, and so are per-sample gradients once every sample has its positions.
    let (net, params) = self::net(|b| shared_positions(b, true));
    let own = net.grad(&params, &x, Pass::Eval, Reduction::Sum).unwrap();
    assert!(own.add_scaled(-1.0, &shared).unwrap().norm().unwrap() < 1e-12 * own.norm().unwrap());
    let grads = per_sample(&net, &params, &x).unwrap();
    let sum = grads.weighted_sum(&Groups::one(&params), &[vec![1.0; 5]]).unwrap();
    assert!(own.add_scaled(-1.0, &sum).unwrap().norm().unwrap() < 1e-12 * own.norm().unwrap());
}

#[test]
fn a_learned_prompt_that_the_batch_shares_is_refused() {
    let prompt = normal(&[1, 3], 7);
    let (net, params) = net(|b| {
        let prompt = prompt.clone();
        let map = linear_no_bias(3, 3, b.vb().pp("prompt")).unwrap();
        let fc = linear(3, 2, b.vb().pp("fc")).unwrap();
        Box::new(move |cx, x| fc.forward(cx, &x.broadcast_add(&map.forward(cx, &prompt)?)?))
    });
    refused(&net, &params, &normal(&[5, 3], 1), "prompt.weight", 1);
}

#[test]
fn positions_in_the_first_axis_are_refused() {
    let (net, params) = net(|b| {
        let fc = linear(3, 2, b.vb().pp("fc")).unwrap();
        Box::new(move |cx, x| {
            let (n, t, d) = x.dims3()?;
            Ok(fc.forward(cx, &x.reshape((n * t, d))?)?.reshape((n, t, 2))?)
        })
    });
    refused(&net, &params, &normal(&[5, 4, 3], 1), "fc.weight", 20);
}

#[test]
fn losses_of_another_number_than_the_samples_are_refused() {
    struct Flat(Linear, Tree);
    impl TapeLoss for Flat {
        type Batch = Tensor;
        fn losses(&self, cx: &Context<'_>, x: &Tensor) -> Result<Losses> {
            let (n, t, _) = x.dims3()?;
            let logits = self.0.forward(cx, x)?.reshape((n * t, 2))?;
            cross_entropy(&logits, &Tensor::zeros(n * t, DType::U32, &Device::Cpu)?, None)
        }
        fn frozen(&self) -> &Tree {
            &self.1
        }
        fn n_samples(&self, x: &Tensor) -> usize {
            x.dims()[0]
        }
    }
    let builder = Builder::init(Key::from_seed(1), DType::F64, &Device::Cpu);
    let fc = linear(3, 2, builder.vb().pp("fc")).unwrap();
    let (params, x) = (builder.into_tree().unwrap(), normal(&[5, 4, 3], 1));
    let taped = Taped(Flat(fc, Tree::new()));
    let at = ProbePoint::single(&params);
    for error in [
        taped.per_sample(&at, &x, Pass::Eval).map(drop).unwrap_err(),
        taped.grad(&params, &x, Pass::Eval, Reduction::Sum).map(drop).unwrap_err(),
        Objective::losses(&taped, &params, &x, Pass::Eval).map(drop).unwrap_err(),
    ] {
        assert!(
            error.to_string().contains("losses: expected input of shape [5], got [20]"),
            "{error}"
        );
    }
}

#[test]
fn a_tape_without_records_is_an_error_and_an_empty_batch_is_not() {
    let (net, params) = net(|b| {
        let fc = linear(3, 2, b.vb().pp("fc")).unwrap();
        Box::new(move |cx, x| fc.forward(cx, x))
    });
    for tape in [Tape::recording(&Device::Cpu).unwrap(), Tape::summing(&Device::Cpu).unwrap()] {
        let error = tape.into_sum(&params).unwrap_err();
        assert!(matches!(&error, Error::NotRecorded { names } if names.len() == 2), "{error}");
    }
    for n in [0, 3] {
        let tape = Tape::recording(&Device::Cpu).unwrap();
        assert!(matches!(tape.into_grads(&params, n), Err(Error::NotRecorded { .. })));
    }
    let empty = Tensor::zeros((0, 3), DType::F64, &Device::Cpu).unwrap();
    let grads = per_sample(&net, &params, &empty).unwrap();
    assert_eq!(grads.n_samples(), 0);
    let sum = grads.weighted_sum(&Groups::one(&params), &[vec![]]).unwrap();
    sum.check_like(&params).unwrap();
    assert_eq!(sum.norm().unwrap(), 0.0);
}

#[test]
fn both_kinds_of_tape_give_the_same_sum() {
    let (net, params) = net(|b| {
        let fc = linear(3, 2, b.vb().pp("fc")).unwrap();
        Box::new(move |cx, x| fc.forward(cx, x))
    });
    let x = Var::from_tensor(&normal(&[4, 3], 2)).unwrap();
    let sum = |tape: Tape| {
        let cx = Context::recording(&params, net.0.frozen(), &tape);
        net.0.losses(&cx, &x).unwrap().sum.sum_all().unwrap().backward().unwrap();
        tape.into_sum(&params).unwrap()
    };
    let a = sum(Tape::recording(&Device::Cpu).unwrap());
    let b = sum(Tape::summing(&Device::Cpu).unwrap());
    assert!(0.0 < a.norm().unwrap());
    assert!(a.add_scaled(-1.0, &b).unwrap().norm().unwrap() <= 1e-13 * a.norm().unwrap());
}
