//! What turns directions of unlearning into steps.

use tensor_tree::{
    AdamW, AdamWState, Checkpoint, ClipByNorm, Sgd, StateReader, StateWriter, Transform, Tree,
};

/// An optimizer, behind an optional bound on the norm of the direction. The bound applies to the combined direction, after any projection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    /// The direction itself: what NGDiff promises of both losses and BLUR of the forget loss holds for the steps.
    Sgd(Sgd),
    /// As in the experiments of the papers. Moments and the scaling of coordinates void those promises; the log shows what became of
    /// them.
    AdamW(AdamW),
}

impl Default for Optimizer {
    fn default() -> Self {
        Optimizer::AdamW(AdamW::default())
    }
}

/// [`Optimizer`] with the bound.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    pub(super) optimizer: Optimizer,
    pub(super) max_norm: Option<f64>,
}

/// Memory of an [`Optimizer`].
#[derive(Clone, Debug)]
pub struct OptimizerState(Option<AdamWState>);

impl Transform for Chain {
    type State = OptimizerState;

    fn init(&self, params: &Tree) -> tensor_tree::Result<OptimizerState> {
        if let Some(max_norm) = self.max_norm {
            ClipByNorm { max_norm }.init(params)?;
        }
        Ok(OptimizerState(match self.optimizer {
            Optimizer::Sgd(sgd) => {
                sgd.init(params)?;
                None
            }
            Optimizer::AdamW(adam) => Some(adam.init(params)?),
        }))
    }

    fn update(
        &self,
        grads: Tree,
        params: &Tree,
        state: &mut OptimizerState,
    ) -> tensor_tree::Result<Tree> {
        let grads = match self.max_norm {
            Some(max_norm) => ClipByNorm { max_norm }.update(grads, params, &mut ())?,
            None => grads,
        };
        match (self.optimizer, &mut state.0) {
            (Optimizer::Sgd(sgd), _) => sgd.update(grads, params, &mut ()),
            (Optimizer::AdamW(adam), Some(state)) => adam.update(grads, params, state),
            (Optimizer::AdamW(_), None) => Err(tensor_tree::Error::Checkpoint {
                path: None,
                reason: "the state is that of plain descent, expected that of AdamW".into(),
            }),
        }
    }
}

impl Checkpoint for OptimizerState {
    fn save(&self, out: &mut StateWriter) -> tensor_tree::Result<()> {
        out.count("moments", u64::from(self.0.is_some()))?;
        match &self.0 {
            Some(state) => out.part("adamw", state),
            None => Ok(()),
        }
    }

    fn load(from: &mut StateReader<'_>) -> tensor_tree::Result<Self> {
        let moments = from.count("moments")? == 1;
        Ok(OptimizerState(moments.then(|| from.part("adamw")).transpose()?))
    }
}
