//! A transformation of its own for each group of leaves.

use tensor_tree::{
    Checkpoint, Groups, Result as TreeResult, StateReader, StateWriter, Transform, Tree,
};

use crate::error::Result;

/// Applies to each group of leaves its own transformation: a slow filter for the layers whose gradients change slowly, none for the others.
///
/// A [`crate::FilteredStep`] takes it only with transformations that are [`crate::AtParams`]: not with a [`crate::Disk`], which stands
/// before it instead.
///
/// # Privacy
/// Post-processing if the transformations are: which leaf is in which group must not depend on gradients without noise.
///
/// # Examples
/// ```
/// # use candle_core::{DType, Device, Tensor};
/// use dp_filters::{LowPass, PerGroup, Recipe};
/// use tensor_tree::{Groups, Tree};
///
/// # let leaf = || Tensor::zeros(2, DType::F32, &Device::Cpu);
/// # let params = Tree::from_leaves([("body.weight", leaf()?), ("head.weight", leaf()?)])?;
/// let groups = Groups::per_layer(&params);
/// let filters = [Recipe::DoublePole, Recipe::None].map(|r| LowPass::new(r.filter())).to_vec();
/// let chain = PerGroup::new(groups, filters)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct PerGroup<T> {
    groups: Groups,
    transforms: Vec<T>,
}

/// Memory of [`PerGroup`]: that of each group.
///
/// # Privacy
/// As private as the parts: for those of this crate, functions of released gradients.
#[derive(Clone, Debug)]
pub struct PerGroupState<S>(Vec<S>);

impl<T> PerGroup<T> {
    /// `transforms[k]` for the leaves of group `k`.
    ///
    /// # Errors
    /// [`tensor_tree::Error::Groups`] unless there are as many transformations as groups.
    pub fn new(groups: Groups, transforms: Vec<T>) -> Result<Self> {
        if groups.len() != transforms.len() {
            let reason =
                format!("{} transformations for {} groups", transforms.len(), groups.len());
            return Err(tensor_tree::Error::Groups { reason }.into());
        }
        Ok(PerGroup { groups, transforms })
    }

    /// The leaves of each group.
    fn split(&self, tree: &Tree) -> TreeResult<Vec<Tree>> {
        self.groups.check(tree)?;
        let mut parts = vec![Tree::new(); self.groups.len()];
        for (name, leaf) in tree.iter() {
            parts[self.groups.of(name)?].insert(name, leaf.clone())?;
        }
        Ok(parts)
    }
}

impl<T: Transform> Transform for PerGroup<T> {
    type State = PerGroupState<T::State>;

    fn init(&self, params: &Tree) -> TreeResult<Self::State> {
        let parts = self.split(params)?;
        let states = self.transforms.iter().zip(&parts).map(|(t, part)| t.init(part));
        Ok(PerGroupState(states.collect::<TreeResult<_>>()?))
    }

    fn update(&self, grads: Tree, params: &Tree, state: &mut Self::State) -> TreeResult<Tree> {
        params.check_like(&grads)?;
        if state.0.len() != self.transforms.len() {
            let reason = format!(
                "state of other groups: expected {}, found {}",
                self.transforms.len(),
                state.0.len()
            );
            return Err(tensor_tree::Error::Checkpoint { path: None, reason });
        }
        let (grads, params) = (self.split(&grads)?, self.split(params)?);
        let mut next = state.0.clone();
        let mut direction = Tree::new();
        for (((transform, grads), params), state) in
            self.transforms.iter().zip(grads).zip(&params).zip(&mut next)
        {
            direction = direction.union(&transform.update(grads, params, state)?)?;
        }
        state.0 = next;
        Ok(direction)
    }
}

impl<S: Checkpoint> Checkpoint for PerGroupState<S> {
    fn save(&self, out: &mut StateWriter) -> TreeResult<()> {
        out.count("#groups", self.0.len() as u64)?;
        self.0.iter().enumerate().try_for_each(|(k, state)| out.part(&k.to_string(), state))
    }

    fn load(from: &mut StateReader<'_>) -> TreeResult<Self> {
        let n = from.count("#groups")?;
        Ok(PerGroupState((0..n).map(|k| from.part(&k.to_string())).collect::<TreeResult<_>>()?))
    }
}
