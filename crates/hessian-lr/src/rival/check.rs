//! Checks of settings and of numbers, and how errors of transformations become errors of rivals.

use candle_core::DType;
use tensor_tree::{Schedule, Tree};

use crate::error::Error;

/// What numbers must be during training, in words.
const FINITE: &str = "finite";

/// An error unless `ok`.
pub(super) fn setting(
    name: &'static str,
    must: &'static str,
    got: f64,
    ok: bool,
) -> tensor_tree::Result<()> {
    if ok { Ok(()) } else { Err(tensor_tree::Error::InvalidSetting { name, must, got }) }
}

pub(super) fn positive(name: &'static str, got: f64) -> tensor_tree::Result<()> {
    setting(name, "finite and positive", got, 0.0 < got && got.is_finite())
}

pub(super) fn not_negative(name: &'static str, got: f64) -> tensor_tree::Result<()> {
    setting(name, "finite and at least 0", got, 0.0 <= got && got.is_finite())
}

/// Decays of averages.
pub(super) fn decay(name: &'static str, got: f64) -> tensor_tree::Result<()> {
    setting(name, "in [0, 1)", got, (0.0..1.0).contains(&got))
}

/// A bound on growth from step to step; infinite for none.
pub(super) fn growth(name: &'static str, got: f64) -> tensor_tree::Result<()> {
    setting(name, "at least 1", got, 1.0 <= got)
}

/// Parameters of a type that memory may have too: second moments underflow in half precision, and distances stand still.
pub(super) fn precise(params: &Tree) -> tensor_tree::Result<()> {
    match params.iter().find(|(_, leaf)| !matches!(leaf.dtype(), DType::F32 | DType::F64)) {
        None => Ok(()),
        Some((name, leaf)) => Err(tensor_tree::Error::UnsupportedDType {
            what: name.to_owned(),
            got: leaf.dtype().as_str().to_owned(),
            expected: "f32 or f64: keep a copy of the parameters in single precision",
        }),
    }
}

/// A peak rate with its course.
pub(super) fn paced(rate: f64, schedule: Schedule) -> tensor_tree::Result<()> {
    positive("rate", rate)?;
    schedule.check()
}

/// The number, if it is finite.
pub(super) fn finite(what: &'static str, got: f64) -> tensor_tree::Result<f64> {
    if got.is_finite() {
        Ok(got)
    } else {
        Err(tensor_tree::Error::InvalidSetting { name: what, must: FINITE, got })
    }
}

/// The squared norm of a tree, if it is finite.
pub(super) fn squared_norm(what: &'static str, tree: &Tree) -> tensor_tree::Result<f64> {
    finite(what, tree.dot(tree)?)
}

/// The parameters, if they are finite.
pub(super) fn finite_params(params: Tree) -> Result<Tree, Error> {
    squared_norm("squared norm of the new parameters", &params).map_err(of_step)?;
    Ok(params)
}

/// The gradient, if it is of the structure of the parameters and finite.
pub(super) fn finite_grads(grads: &Tree, params: &Tree) -> Result<f64, Error> {
    params.check_like(grads)?;
    squared_norm("squared norm of the gradient", grads).map_err(of_step)
}

/// The error of an `init`: a setting out of range is one of this crate.
pub(super) fn of_init(error: tensor_tree::Error) -> Error {
    match error {
        tensor_tree::Error::InvalidSetting { name, must, got } => {
            Error::InvalidSetting { name, must, got }
        }
        other => Error::Tensor(other),
    }
}

/// The error of an `update`: there `must be finite` is said of the data.
pub(super) fn of_step(error: tensor_tree::Error) -> Error {
    match error {
        tensor_tree::Error::InvalidSetting { name, must: FINITE, got } => {
            Error::NonFinite { what: name, got }
        }
        other => Error::Tensor(other),
    }
}
