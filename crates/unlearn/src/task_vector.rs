//! Task vectors: what learning the forget set did to the weights, taken off.

use tensor_tree::Tree;

use crate::{Error, Result};

/// `theta0 - a (reinforced - theta0)`: the model after minus `a` times what fine-tuning on the forget set added to it.
///
/// # Errors
/// [`Error::OutOfRange`] unless `a` is finite; if the trees do not fit each other.
///
/// # Source
/// arXiv 2212.04089; in MUSE (2407.06460) with ten epochs of fine-tuning and `a = 5`.
pub fn subtract(model: &Tree, reinforced: &Tree, a: f64) -> Result<Tree> {
    if !a.is_finite() {
        return Err(Error::OutOfRange { name: "factor of a task vector", must: "finite", got: a });
    }
    Ok(model.add_scaled(-a, &reinforced.add_scaled(-1.0, model)?)?)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 50, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn nothing_is_taken_off_with_zero_and_what_is_comes_back(
            values in proptest::collection::vec((-2.0..2.0f64, -2.0..2.0f64), 1..9),
            a in -3.0..3.0f64,
        ) {
            let tree = |x: Vec<f64>| {
                Tree::from_leaves([("w", Tensor::new(x, &Device::Cpu).unwrap())]).unwrap()
            };
            let model = tree(values.iter().map(|v| v.0).collect());
            let reinforced = tree(values.iter().map(|v| v.1).collect());
            let distance = |x: &Tree, y: &Tree| x.add_scaled(-1.0, y).unwrap().norm().unwrap();
            prop_assert_eq!(distance(&subtract(&model, &reinforced, 0.0).unwrap(), &model), 0.0);
            prop_assert!(distance(&subtract(&model, &reinforced, -1.0).unwrap(), &reinforced) < 1e-12);
            // The same vector, put on again.
            let less = subtract(&model, &reinforced, a).unwrap();
            let vector = reinforced.add_scaled(-1.0, &model).unwrap();
            prop_assert!(distance(&less.add_scaled(a, &vector).unwrap(), &model) < 1e-12);
        }
    }

    #[test]
    fn factors_that_are_no_numbers_are_refused() {
        let tree = Tree::from_leaves([("w", Tensor::new(&[1.0], &Device::Cpu).unwrap())]).unwrap();
        assert!(matches!(subtract(&tree, &tree, f64::NAN), Err(Error::OutOfRange { .. })));
    }
}
