//! A network whose leaves are kept at scales of their own.

use tensor_tree::{Differentiable, Losses, Objective, Pass, Reduction, Tree};

/// The same function of parameters `v` as the inner objective has of `w = scale v`: where groups of parameters live at different
/// scales, no single rate suits all of them.
#[derive(Debug)]
pub struct Scaled<O> {
    /// The loss as a function of `w`.
    pub inner: O,
    /// The factor of a leaf.
    pub scale: fn(&str) -> f64,
}

impl<O> Scaled<O> {
    /// `w` of `v`.
    ///
    /// # Errors
    /// From the back-end.
    pub fn inner_params(&self, params: &Tree) -> tensor_tree::Result<Tree> {
        scaled(params, self.scale)
    }

    /// `v` of `w`.
    ///
    /// # Errors
    /// From the back-end.
    pub fn outer_params(&self, params: &Tree) -> tensor_tree::Result<Tree> {
        scaled(params, |name| (self.scale)(name).recip())
    }
}

#[allow(clippy::float_cmp, reason = "a factor of one leaves the bits alone")]
fn scaled(tree: &Tree, scale: impl Fn(&str) -> f64) -> tensor_tree::Result<Tree> {
    tree.map(|name, leaf| {
        let factor = scale(name);
        if factor == 1.0 { Ok(leaf.clone()) } else { Ok((leaf * factor)?) }
    })
}

impl<O: Objective> Objective for Scaled<O> {
    type Batch = O::Batch;

    fn losses(&self, params: &Tree, batch: &O::Batch, pass: Pass) -> tensor_tree::Result<Losses> {
        self.inner.losses(&self.inner_params(params)?, batch, pass)
    }
}

impl<O: Differentiable> Differentiable for Scaled<O> {
    fn value_and_grad(
        &self,
        params: &Tree,
        batch: &O::Batch,
        pass: Pass,
        reduction: Reduction,
    ) -> tensor_tree::Result<(Losses, Tree)> {
        let at = self.inner_params(params)?;
        let (losses, grads) = self.inner.value_and_grad(&at, batch, pass, reduction)?;
        Ok((losses, scaled(&grads, self.scale)?))
    }
}
