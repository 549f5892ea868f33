//! Test batteries for implementers of this crate's traits (feature `conformance`).
//!
//! Each function returns the sentence that failed, so that a test can `unwrap` it.

mod collective;
mod objective;
pub mod polynomial;

use candle_core::{DType, Device, Tensor};

pub use collective::check_collective;
pub use objective::{check_differentiable, check_per_sample};

use crate::checkpoint::{StateReader, StateWriter, from_bytes, to_bytes};
use crate::key::{Key, Label};
use crate::transform::{Running, Stage, Transform};
use crate::tree::Tree;

/// Nothing, or the sentence that does not hold.
type Check = Result<(), String>;

fn say(e: crate::Error) -> String {
    e.to_string()
}

/// Whether an error is finite and within its bound.
fn within(error: f64, bound: f64) -> bool {
    error.is_finite() && error.abs() <= bound
}

/// A tree of three leaves of different rank, filled with normals.
///
/// # Errors
/// From the back-end.
pub fn sample_tree(key: Key, dtype: DType) -> crate::Result<Tree> {
    let mut tree = Tree::new();
    for (name, shape) in [("a.weight", vec![4, 3]), ("a.bias", vec![4]), ("scale", vec![1])] {
        let zero = Tensor::zeros(shape, dtype, &Device::Cpu)?;
        tree.insert(name, key.child(Label::Leaf(name)).normal_like(&zero)?)?;
    }
    Ok(tree)
}

/// What every [`Transform`] promises: the structure is kept, runs repeat, a saved and loaded state goes
/// on as the original, and an error leaves the state alone.
///
/// # Errors
/// The sentence that does not hold.
pub fn check_transform<T: Transform + Clone>(transform: &T) -> Result<(), String> {
    let key = Key::from_seed(2024);
    let params = sample_tree(key, DType::F64).map_err(say)?;
    let grads = |t: u64| sample_tree(key.child(Label::Step(t)), DType::F64);
    let start = || Running::new(transform.clone(), &params);
    let same = |a: &Tree, b: &Tree| -> Result<bool, String> {
        let difference = a.add_scaled(-1.0, b).and_then(|d| d.norm()).map_err(say)?;
        Ok(difference == 0.0)
    };

    let mut whole = start().map_err(say)?;
    let mut outputs = Vec::new();
    for t in 0..6 {
        let out = whole.apply(grads(t).map_err(say)?, &params).map_err(say)?;
        params.check_like(&out).map_err(|e| format!("the structure is kept: {e}"))?;
        if !out.is_finite().map_err(say)? {
            return Err("finite gradients give finite directions".into());
        }
        outputs.push(out);
    }

    let mut broken = start().map_err(say)?;
    for (t, expected) in outputs.iter().enumerate() {
        let t = t as u64;
        if t == 3 {
            let (part, _) = params.partition(|name| name == "scale");
            if broken.apply(part, &params).is_ok() {
                return Err("gradients of another structure are refused".into());
            }
            let mut out = StateWriter::new();
            broken.save(&mut out).map_err(say)?;
            let header =
                crate::checkpoint::Header { kind: "conformance".into(), config: String::new() };
            let bytes = to_bytes(&header, &out.finish()).map_err(say)?;
            let state = from_bytes(&bytes, &header).map_err(say)?;
            broken = start().map_err(say)?;
            broken.load(&mut StateReader::new(&state)).map_err(say)?;
        }
        let out = broken.apply(grads(t).map_err(say)?, &params).map_err(say)?;
        if !same(&out, expected)? {
            return Err(format!("step {t} after an error and a restart equals the unbroken run"));
        }
    }

    let mut quiet = start().map_err(say)?;
    let zero = params.zeros_like().map_err(say)?;
    let out = quiet.apply(zero.clone(), &zero).map_err(say)?;
    if !same(&out, &zero)? {
        return Err("zero gradients at zero parameters give a zero direction".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;
    use crate::{AdamW, ClipByNorm, Identity, Momentum, Sgd};

    #[test]
    fn the_transformations_of_this_crate_conform() {
        check_transform(&Identity).unwrap();
        check_transform(&Sgd { weight_decay: 0.1 }).unwrap();
        check_transform(&Momentum { nesterov: true, ..Momentum::default() }).unwrap();
        check_transform(&AdamW { weight_decay: 0.01, ..AdamW::default() }).unwrap();
        check_transform(&ClipByNorm { max_norm: 0.5 }.then(Momentum::default())).unwrap();
    }

    #[derive(Clone)]
    struct Forgetful;
    impl Transform for Forgetful {
        type State = crate::MomentumState;
        fn init(&self, params: &Tree) -> Result<Self::State> {
            Momentum::default().init(params)
        }
        fn update(&self, grads: Tree, params: &Tree, state: &mut Self::State) -> Result<Tree> {
            state.momentum = state.momentum.scale(0.5)?; // before the check: an error changes the state
            Momentum::default().update(grads, params, state)
        }
    }

    #[test]
    fn a_transformation_that_changes_its_state_on_error_is_caught() {
        assert!(check_transform(&Forgetful).unwrap_err().contains("after an error"));
    }
}
