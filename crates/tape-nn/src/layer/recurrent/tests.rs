//! Recurrent layers against candle-nn's own, differentiated by candle.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::rnn::{GRUConfig, LSTMConfig, RNN};
use tensor_tree::Tree;

use super::*;
use crate::tape::Tape;
use crate::testing::{assert_close, normal, per_sample, value_and_grads, variable};

const SIZES: [(usize, usize, usize, usize); 4] =
    [(1, 1, 1, 1), (3, 1, 4, 5), (2, 7, 3, 4), (4, 12, 5, 2)];

fn params(cell: Cell, inputs: usize, hidden: usize, direction: Direction) -> Tree {
    let rows = cell.gates() * hidden;
    let end = if direction == Direction::Backward { "_reverse" } else { "" };
    let leaves: [(String, &[usize]); 4] = [
        (format!("weight_ih_l0{end}"), &[rows, inputs]),
        (format!("weight_hh_l0{end}"), &[rows, hidden]),
        (format!("bias_ih_l0{end}"), &[rows]),
        (format!("bias_hh_l0{end}"), &[rows]),
    ];
    let leaf =
        |(i, (name, shape)): (usize, (String, &[usize]))| (name, normal(shape, 20 + i as u64));
    Tree::from_leaves(leaves.into_iter().enumerate().map(leaf)).unwrap()
}

fn layer(cell: Cell, inputs: usize, hidden: usize, direction: Direction) -> Recurrent {
    let rows = cell.gates() * hidden;
    let end = if direction == Direction::Backward { "_reverse" } else { "" };
    let named = |name: &str, shape: &[usize]| Param::named(&format!("{name}_l0{end}"), shape);
    Recurrent {
        cell,
        input: Linear::new(named("weight_ih", &[rows, inputs]), Some(named("bias_ih", &[rows]))),
        weight: named("weight_hh", &[rows, hidden]),
        bias: Some(named("bias_hh", &[rows])),
        hidden,
        direction,
    }
}

/// candle-nn's layer over the positions in order, differentiated through all of its operations.
fn candle(cell: Cell, x: &Tensor, leaves: &HashMap<String, Tensor>, hidden: usize) -> Tensor {
    let inputs = x.dims()[2];
    let vb = VarBuilder::from_tensors(leaves.clone(), DType::F64, &Device::Cpu);
    match cell {
        Cell::Lstm => {
            let net = candle_nn::lstm(inputs, hidden, LSTMConfig::default(), vb).unwrap();
            let states = net.seq(x).unwrap();
            Tensor::stack(&states.iter().map(|s| s.h()).collect::<Vec<_>>(), 1).unwrap()
        }
        Cell::Gru => {
            let net = candle_nn::gru(inputs, hidden, GRUConfig::default(), vb).unwrap();
            let states = net.seq(x).unwrap();
            Tensor::stack(&states.iter().map(|s| &s.h).collect::<Vec<_>>(), 1).unwrap()
        }
    }
}

#[test]
fn states_and_gradients_are_those_of_candle_nn() {
    for cell in [Cell::Lstm, Cell::Gru] {
        for (batch, t, inputs, hidden) in SIZES {
            let what = format!("{cell:?}, batch {batch}, {t} positions");
            let x = variable(&[batch, t, inputs], 1);
            let params = params(cell, inputs, hidden, Direction::Forward);
            let (tape, frozen) = (Tape::recording(&Device::Cpu).unwrap(), Tree::new());
            let cx = Context::recording(&params, &frozen, &tape);
            let layer = layer(cell, inputs, hidden, Direction::Forward);
            let (y, grads) = value_and_grads(&[&x], |v| layer.forward(&cx, v[0]).unwrap());
            let vars: Vec<(String, Var)> = params
                .iter()
                .map(|(name, leaf)| (name.to_owned(), Var::from_tensor(leaf).unwrap()))
                .collect();
            let mut inputs: Vec<&Var> = vec![&x];
            inputs.extend(vars.iter().map(|(_, var)| var));
            let (want, want_grads) = value_and_grads(&inputs, |v| {
                let leaves = vars.iter().zip(&v[1..]);
                let leaves = leaves.map(|((name, _), var)| (name.clone(), var.as_tensor().clone()));
                candle(cell, v[0], &leaves.collect(), hidden)
            });
            assert_close(&y, &want, 1e-12, &what);
            assert_close(&grads[0], &want_grads[0], 1e-11, &what);
            let sums = tape.into_sum(&params).unwrap();
            for ((name, _), want) in vars.iter().zip(&want_grads[1..]) {
                assert_close(sums.get(name).unwrap(), want, 1e-11, &format!("{what}, {name}"));
            }
        }
    }
}

#[test]
fn reading_backwards_is_reading_the_reversed_sequence() {
    let (batch, t, inputs, hidden) = (2, 5, 3, 4);
    let x = normal(&[batch, t, inputs], 1);
    let flip = |x: &Tensor| {
        let parts: Vec<Tensor> = (0..t).rev().map(|i| x.narrow(1, i, 1).unwrap()).collect();
        Tensor::cat(&parts, 1).unwrap()
    };
    for cell in [Cell::Lstm, Cell::Gru] {
        let run = |x: &Tensor, direction: Direction| {
            let (params, frozen) = (params(cell, inputs, hidden, direction), Tree::new());
            let cx = Context::eval(&params, &frozen);
            layer(cell, inputs, hidden, direction).forward(&cx, x).unwrap()
        };
        let backward = run(&x, Direction::Backward);
        assert_close(&flip(&backward), &run(&flip(&x), Direction::Forward), 1e-14, "reversed");
    }
}

#[test]
fn per_sample_gradients_are_those_of_passes_over_single_samples() {
    let (batch, t, inputs, hidden) = (4, 6, 3, 5);
    let (x, seed) = (normal(&[batch, t, inputs], 1), normal(&[batch, t, hidden], 2));
    let frozen = Tree::new();
    for cell in [Cell::Lstm, Cell::Gru] {
        for direction in [Direction::Forward, Direction::Backward] {
            let params = params(cell, inputs, hidden, direction);
            let layer = layer(cell, inputs, hidden, direction);
            let run = |x: &Tensor, seed: &Tensor, n: usize| {
                per_sample(&params, n, |tape| {
                    let y = layer.forward(&Context::recording(&params, &frozen, tape), x).unwrap();
                    (y * seed).unwrap().sum_all().unwrap()
                })
            };
            let together = run(&x, &seed, batch);
            for i in 0..batch {
                let one = |t: &Tensor| t.narrow(0, i, 1).unwrap();
                let alone = run(&one(&x), &one(&seed), 1);
                for (name, grads) in together.iter() {
                    assert_close(&one(grads), alone.get(name).unwrap(), 1e-13, name);
                }
            }
        }
    }
}

#[test]
fn halves_are_computed_in_single_precision_and_an_empty_batch_gives_zeros() {
    let (inputs, hidden) = (3, 4);
    let frozen = Tree::new();
    for cell in [Cell::Lstm, Cell::Gru] {
        let wide = params(cell, inputs, hidden, Direction::Forward);
        let layer = layer(cell, inputs, hidden, Direction::Forward);
        let x = normal(&[2, 6, inputs], 1);
        let want = layer.forward(&Context::eval(&wide, &frozen), &x).unwrap();
        let half = wide.to_dtype(DType::BF16).unwrap();
        let x = x.to_dtype(DType::BF16).unwrap();
        let got = layer.forward(&Context::eval(&half, &frozen), &x).unwrap();
        assert_eq!(got.dtype(), DType::BF16);
        assert_close(&got, &want, 0.05, "half precision");

        let none = Tensor::zeros((0, 6, inputs), DType::F64, &Device::Cpu).unwrap();
        let grads = per_sample(&wide, 0, |tape| {
            let cx = Context::recording(&wide, &frozen, tape);
            layer.forward(&cx, &none).unwrap().sum_all().unwrap()
        });
        assert_eq!(grads.names().count(), 4);
    }
}

#[test]
fn shapes_that_do_not_fit_are_errors() {
    let params = params(Cell::Gru, 3, 4, Direction::Forward);
    let frozen = Tree::new();
    let cx = Context::eval(&params, &frozen);
    let layer = layer(Cell::Gru, 3, 4, Direction::Forward);
    for shape in [&[2, 3][..], &[2, 0, 3], &[2, 5, 4]] {
        let x = Tensor::zeros(shape, DType::F64, &Device::Cpu).unwrap();
        assert!(matches!(layer.forward(&cx, &x), Err(Error::InputShape { .. })), "{shape:?}");
    }
    let vb = VarBuilder::zeros(DType::F32, &Device::Cpu);
    for (inputs, hidden) in [(0, 2), (2, 0)] {
        let got = lstm(inputs, hidden, RecurrentConfig::default(), vb.clone());
        assert!(matches!(got, Err(Error::InvalidSetting { .. })));
    }
}
