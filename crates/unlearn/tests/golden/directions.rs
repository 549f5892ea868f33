//! Directions from two gradients.

use candle_core::{Device, Tensor};
use report::golden::{array, number, numbers};
use serde_json::Value;
use tensor_tree::Tree;
use unlearn::direction::{Direction, Gram};

use super::{Golden, close};

/// Two leaves, so that inner products run over several.
fn tree(values: &[f64]) -> Tree {
    let (first, rest) = values.split_at(values.len() / 2);
    let leaf = |v: &[f64]| Tensor::new(v, &Device::Cpu).unwrap();
    Tree::from_leaves([("a", leaf(first)), ("b", leaf(rest))]).unwrap()
}

fn values(tree: &Tree) -> Vec<f64> {
    tree.iter().flat_map(|(_, leaf)| leaf.to_vec1::<f64>().unwrap()).collect()
}

fn check(direction: Direction, (r, f): (&Tree, &Tree), want: &Value, tolerance: f64) {
    let got = values(&direction.of(r, f).unwrap());
    let want = numbers(want);
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(&want) {
        close(*got, *want, tolerance, &format!("{direction:?}"));
    }
}

#[test]
fn golden_directions_are_reproduced() {
    let Some(golden) = Golden::read() else { return };
    let Some(cases) = golden.section("directions") else { return };
    let tolerance = golden.tolerance("directions");
    for case in cases {
        let retain = tree(&numbers(&case["g_retain"]));
        let ascent: Vec<f64> = numbers(&case["g_forget_lm"]).iter().map(|x| -x).collect();
        let forget = tree(&ascent);
        let losses = Direction::LossNorm {
            retain_loss: number(case, "/loss_retain"),
            forget_loss: number(case, "/loss_forget"),
        };
        let of = &case["directions"];
        for (direction, name) in [
            (Direction::NgDiff, "ngdiff"),
            (Direction::Weighted { retain: 0.5 }, "gdiff_0.5"),
            (Direction::Weighted { retain: 0.9 }, "gdiff_0.9"),
            (losses, "lossnorm"),
            (Direction::PcGrad, "pcgrad"),
            (Direction::ImtlG, "imtl_g"),
            (Direction::Mgda, "mgda"),
        ] {
            check(direction, (&retain, &forget), &of[name], tolerance);
        }
        let gram = Gram::of(&retain, &forget).unwrap();
        let weight = |d: Direction| d.coefficients(gram).unwrap().retain;
        close(weight(Direction::Mgda), number(of, "/mgda_weight_retain"), tolerance, "MGDA");
        close(weight(Direction::ImtlG), number(of, "/c_ngdiff"), tolerance, "weight of NGDiff");
        for blur in array(&case["blur"]) {
            let gamma = number(blur, "/gamma");
            let forget = tree(&numbers(&blur["g_forget_objective"]));
            let both = (&retain, &forget);
            check(Direction::Blur { gamma }, both, &blur["direction"], tolerance);
            check(Direction::Blur { gamma: 0.0 }, both, &blur["retain_perp"], tolerance);
            let scaled = Direction::BlurScaled { alpha: 2.0 };
            check(scaled, both, &blur["rmu_form_alpha2"], tolerance);
            let perp = Direction::Blur { gamma: 0.0 }.of(&retain, &forget).unwrap();
            let size = perp.norm().unwrap() * forget.norm().unwrap();
            assert!(perp.dot(&forget).unwrap().abs() <= 1e-12 * size + 1e-300);
        }
    }
}
