//! The objective by hand, and its one leaf as numbers.

use tensor_tree::Tree;
use tensor_tree::conformance::polynomial;

pub(crate) use polynomial::{Polynomial, Rows};

pub(crate) fn leaf(values: &[f64]) -> Tree {
    polynomial::leaf(values).unwrap()
}

pub(crate) fn values(tree: &Tree) -> Vec<f64> {
    polynomial::values(tree).unwrap()
}
