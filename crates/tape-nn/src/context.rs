//! What a forward pass carries: the parameters, the tape, and the step's randomness.

use std::sync::Arc;

use candle_core::Tensor;
use tensor_tree::{Key, Label, Pass, Purpose, Tree};

use crate::error::{Error, Result};
use crate::param::Param;
use crate::tape::Tape;

/// Everything a layer needs besides its input.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    trainable: &'a Tree,
    frozen: &'a Tree,
    tape: Option<Tape>,
    pass: Pass,
    sample_ids: Option<&'a [u64]>,
}

impl<'a> Context<'a> {
    /// A forward pass that records nothing: for evaluation and inference.
    #[must_use]
    pub fn eval(trainable: &'a Tree, frozen: &'a Tree) -> Self {
        Context { trainable, frozen, tape: None, pass: Pass::Eval, sample_ids: None }
    }

    /// A forward pass whose backward pass writes on `tape`.
    #[must_use]
    pub fn recording(trainable: &'a Tree, frozen: &'a Tree, tape: &Tape) -> Self {
        Context { tape: Some(tape.clone()), ..Context::eval(trainable, frozen) }
    }

    /// The same with dropout as `pass` says. `sample_ids` are the numbers of the batch's samples in the
    /// data set: masks depend on them and not on the place in the batch. In training, a layer that drops something
    /// returns an error unless there is one number for each sample.
    #[must_use]
    pub fn in_pass(mut self, pass: Pass, sample_ids: Option<&'a [u64]>) -> Self {
        self.pass = pass;
        self.sample_ids = sample_ids;
        self
    }

    /// The parameters that are trained.
    pub(crate) fn trainable(&self) -> &Tree {
        self.trainable
    }

    /// The same pass at other parameters of the same names.
    pub(crate) fn at<'b>(&self, trainable: &'b Tree, frozen: &'b Tree) -> Context<'b>
    where
        'a: 'b,
    {
        Context { trainable, frozen, ..self.clone() }
    }

    /// An input of floats in the type of the parameters.
    pub(crate) fn input(&self, x: &Tensor) -> Result<Tensor> {
        let leaf = self.trainable.iter().chain(self.frozen.iter()).next();
        match leaf.map(|(_, leaf)| leaf.dtype()) {
            Some(dtype) if x.dtype().is_float() => Ok(x.to_dtype(dtype)?),
            _ => Ok(x.clone()),
        }
    }

    /// Whether heads make the gradient of their logits twice.
    pub(crate) fn two_pass_heads(&self) -> bool {
        self.tape.as_ref().is_some_and(Tape::two_pass_heads)
    }

    /// The parameter's tensor, and the tape if its gradient is wanted.
    pub(crate) fn leaf(&self, param: &Param) -> Result<Leaf> {
        let (tensor, tape) = match self.trainable.get(param.name()) {
            Some(tensor) => (tensor, self.tape.clone()),
            None => {
                let missing = || Error::MissingParam { name: param.name().into() };
                (self.frozen.get(param.name()).ok_or_else(missing)?, None)
            }
        };
        if tensor.dims() != param.shape() {
            return Err(Error::ParamShape {
                name: param.name().into(),
                expected: param.shape().to_vec(),
                got: tensor.dims().to_vec(),
            });
        }
        Ok(Leaf { name: param.shared_name(), tensor: tensor.clone(), tape })
    }

    /// As [`Context::leaf`], for a parameter that may be absent.
    pub(crate) fn optional(&self, param: Option<&Param>) -> Result<Option<Leaf>> {
        param.map(|p| self.leaf(p)).transpose()
    }

    /// The keys of the dropout masks of `rows` samples in the layer of that name; `None` outside training.
    ///
    /// # Errors
    /// [`Error::SampleIds`] unless the pass has exactly one number for each sample: keyed by the place in the
    /// batch, the masks of micro-batches would repeat.
    pub(crate) fn dropout_keys(&self, layer: &str, rows: usize) -> Result<Option<Vec<Key>>> {
        let Pass::Train { key } = self.pass else { return Ok(None) };
        let ids = self.sample_ids.unwrap_or(&[]);
        if ids.len() != rows {
            return Err(Error::SampleIds { layer: layer.into(), expected: rows, got: ids.len() });
        }
        let key = key.child(Label::For(Purpose::Dropout)).child(Label::Leaf(layer));
        Ok(Some(ids.iter().map(|id| key.child(Label::Sample(*id))).collect()))
    }
}

/// A parameter within a forward pass.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    pub(crate) name: Arc<str>,
    pub(crate) tensor: Tensor,
    /// There exactly if the gradient is to be recorded.
    pub(crate) tape: Option<Tape>,
}

impl Leaf {
    /// The name, if the gradient is wanted.
    pub(crate) fn wanted(&self) -> Option<Arc<str>> {
        self.tape.is_some().then(|| self.name.clone())
    }
}

/// The tape of the first leaf that has one.
pub(crate) fn tape_of<'l>(leaves: impl IntoIterator<Item = Option<&'l Leaf>>) -> Option<Tape> {
    leaves.into_iter().flatten().find_map(|leaf| leaf.tape.clone())
}
