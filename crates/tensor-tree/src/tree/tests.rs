//! Tests of tree structure and arithmetic.

use candle_core::{Device, Tensor};
use proptest::prelude::*;

use super::*;
use crate::Rates;

fn tree(seed: u64, n: usize) -> Tree {
    let key = crate::Key::from_seed(seed);
    let mut leaves = Vec::new();
    for (i, shape) in [vec![n], vec![3, 5], vec![2, 2, 2]].into_iter().enumerate() {
        let zero = Tensor::zeros(shape, DType::F64, &Device::Cpu).unwrap();
        let key = key.child(crate::Label::Step(i as u64));
        leaves.push((format!("leaf{i}"), key.normal_like(&zero).unwrap()));
    }
    Tree::from_leaves(leaves).unwrap()
}

#[test]
fn arithmetic_agrees_with_the_same_formula_on_vectors() {
    let (a, b) = (tree(1, 70_000), tree(2, 70_000));
    let sum = a.lin_comb(0.3, -2.0, &b).unwrap();
    for (name, leaf) in sum.iter() {
        let flat = |t: &Tree| t.get(name).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let (x, y) = (flat(&a), flat(&b));
        let z = leaf.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        assert!(z.iter().zip(x.iter().zip(&y)).all(|(z, (x, y))| *z == 0.3 * x + -2.0 * y));
    }
}

#[test]
fn inner_products_do_not_depend_on_threads_or_instruction_sets() {
    let (a, b) = (tree(1, 200_001).to_dtype(DType::F32).unwrap(), tree(2, 200_001));
    let b = b.to_dtype(DType::F32).unwrap();
    let here = a.dot(&b).unwrap();
    for threads in [1, 2, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(here.to_bits(), pool.install(|| a.dot(&b).unwrap()).to_bits());
    }
    crate::host::Level::limit(crate::host::Level::Baseline);
    let plain = a.dot(&b).unwrap();
    crate::host::Level::limit(crate::host::Level::V4);
    assert_eq!(here.to_bits(), plain.to_bits());
}

#[test]
fn a_name_that_is_taken_is_refused() {
    let mut a = tree(1, 2);
    let leaf = a.get("leaf0").unwrap().clone();
    assert!(matches!(a.insert("leaf0", leaf), Err(Error::DuplicateLeaf { .. })));
    assert!(matches!(a.union(&a), Err(Error::DuplicateLeaf { .. })));
}

#[test]
fn trees_of_different_structure_are_refused_by_name() {
    let a = tree(1, 2);
    let (part, rest) = a.partition(|name| name == "leaf1");
    assert!(matches!(a.dot(&part), Err(Error::MissingLeaf { name, .. }) if name == "leaf0"));
    assert!(matches!(part.dot(&a), Err(Error::UnexpectedLeaf { name }) if name == "leaf0"));
    assert!(
        matches!(a.dot(&tree(1, 3)), Err(Error::ShapeMismatch { name, .. }) if name == "leaf0")
    );
    assert_eq!(part.union(&rest).unwrap().n_elements(), a.n_elements());
}

proptest! {
    #[test]
    fn norms_scale_and_inner_products_are_bilinear(alpha in -3.0..3.0f64, s in 0u64..50) {
        let (a, b, c) = (tree(s, 9), tree(s + 100, 9), tree(s + 200, 9));
        let left = a.add_scaled(alpha, &b).unwrap().dot(&c).unwrap();
        let right = a.dot(&c).unwrap() + alpha * b.dot(&c).unwrap();
        prop_assert!((left - right).abs() < 1e-12 * (1.0 + right.abs()) * 100.0);
        let norm = a.scale(alpha).unwrap().norm().unwrap();
        prop_assert!((norm - alpha.abs() * a.norm().unwrap()).abs() < 1e-12 * (1.0 + norm));
    }

    #[test]
    fn descending_by_rate_zero_changes_nothing(s in 0u64..50) {
        let (a, b) = (tree(s, 9), tree(s + 1, 9));
        let moved = a.descend(&b, &Rates::uniform(0.0)).unwrap();
        prop_assert_eq!(moved.add_scaled(-1.0, &a).unwrap().norm().unwrap(), 0.0);
    }
}
