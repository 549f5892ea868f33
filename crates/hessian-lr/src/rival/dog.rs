//! Distance over gradients.

use tensor_tree::{
    Checkpoint, Error, Groups, Rates, Result, StateReader, StateWriter, Transform, Tree,
};

use super::apply::SelfPaced;
use super::check::{finite, not_negative, positive, precise};
use super::fuse::beside;

/// Gradient descent with the largest distance from the start over the root of the summed squared gradient norms as its
/// rate.
///
/// ```text
/// eta_t = rate * max(reps_rel (1 + |x_0|), max_{i <= t} |x_i - x_0|) / sqrt(sum_{i <= t} |g_i|^2 + eps)
/// ```
///
/// The authors find averages of the iterates essential: [`Averaged`](super::Averaged).
///
/// # Source
/// arXiv 2302.12022, equation (DoG); per group it is L-DoG of the same paper, where each leaf is a group
/// ([`Groups::per_leaf`]). Defaults and the coupled decay are those of the authors' package `dog-optimizer` 1.0.3.
#[derive(Clone, Debug, PartialEq)]
pub struct Dog {
    /// The first distance, relative to one plus the norm of the start; finite and positive. The authors take `1e-4`
    /// with batch normalization.
    pub reps_rel: f64,
    /// Added to the sum of squared norms; finite and positive.
    pub eps: f64,
    /// Factor of the rate (`c` in the paper); finite and positive. The authors leave it at 1.
    pub rate: f64,
    /// Coefficient of the parameters in the gradient (coupled decay, as in the package); finite and at least 0.
    pub weight_decay: f64,
    /// One rate per group (L-DoG), or one for all leaves.
    pub groups: Option<Groups>,
}

impl Default for Dog {
    fn default() -> Self {
        Dog { reps_rel: 1e-6, eps: 1e-8, rate: 1.0, weight_decay: 0.0, groups: None }
    }
}

/// Memory of [`Dog`].
#[derive(Clone, Debug)]
pub struct DogState {
    /// The start `x_0`.
    pub start: Tree,
    /// The largest distance from the start, one per group.
    pub distance: Vec<f64>,
    /// The sum of squared gradient norms with `eps`, one per group.
    pub squares: Vec<f64>,
}

impl Dog {
    fn group(&self, leaf: &str) -> Result<usize> {
        self.groups.as_ref().map_or(Ok(0), |groups| groups.of(leaf))
    }

    /// The squared norms of a tree, one per group.
    fn squared_norms(&self, tree: &Tree, n_groups: usize) -> Result<Vec<f64>> {
        let mut sums = vec![0.0; n_groups];
        for (name, leaf) in tree.iter() {
            let leaf = Tree::from_leaves([(name, leaf.clone())])?;
            let group = self.group(name)?;
            let sum = sums.get_mut(group).ok_or_else(|| misfit(group, n_groups))?;
            *sum += leaf.dot(&leaf)?;
        }
        Ok(sums)
    }

    fn rates(&self, distance: &[f64], squares: &[f64]) -> Vec<f64> {
        distance.iter().zip(squares).map(|(r, g)| self.rate * r / g.sqrt()).collect()
    }
}

fn misfit(group: usize, n_groups: usize) -> Error {
    Error::Groups { reason: format!("group {group} of a leaf, and a state of {n_groups} groups") }
}

impl Transform for Dog {
    type State = DogState;

    fn init(&self, params: &Tree) -> Result<DogState> {
        precise(params)?;
        positive("reps_rel", self.reps_rel)?;
        positive("eps", self.eps)?;
        positive("rate", self.rate)?;
        not_negative("weight decay", self.weight_decay)?;
        if let Some(groups) = &self.groups {
            groups.check(params)?;
        }
        let n_groups = self.groups.as_ref().map_or(1, Groups::len);
        let norms = self.squared_norms(params, n_groups)?;
        Ok(DogState {
            start: params.clone(),
            distance: norms.iter().map(|sq| self.reps_rel * (1.0 + sq.sqrt())).collect(),
            squares: vec![self.eps; n_groups],
        })
    }

    fn update(&self, grads: Tree, params: &Tree, state: &mut DogState) -> Result<Tree> {
        params.check_like(&grads)?;
        let grads = if self.weight_decay == 0.0 {
            grads
        } else {
            grads.add_scaled(self.weight_decay, params)?
        };
        let n_groups = state.distance.len();
        let start = beside(&state.start, params)?;
        let moved = self.squared_norms(&params.add_scaled(-1.0, &start)?, n_groups)?;
        let new = self.squared_norms(&grads, n_groups)?;
        let distance: Vec<f64> =
            state.distance.iter().zip(&moved).map(|(r, sq)| r.max(sq.sqrt())).collect();
        let squares: Vec<f64> = state.squares.iter().zip(&new).map(|(g, sq)| g + sq).collect();
        for (moved, squares) in moved.iter().zip(&squares) {
            finite("squared distance from the start", *moved)?;
            finite("sum of the squared norms of the gradients", *squares)?;
        }
        let rates = self.rates(&distance, &squares);
        let rates = match (&self.groups, rates.as_slice()) {
            (None, [rate]) => Rates::uniform(*rate),
            (None, _) => return Err(misfit(0, n_groups)),
            (Some(groups), _) => Rates::grouped(groups.clone(), rates)?,
        };
        let direction = grads.map(|name, g| {
            let leaf = Tree::from_leaves([(name, g.clone())])?.scale(rates.of(name)?)?;
            Ok(leaf.leaf(name)?.clone())
        })?;
        *state = DogState { start, distance, squares };
        Ok(direction)
    }
}

impl SelfPaced for Dog {
    fn rate(&self, state: &DogState) -> Option<f64> {
        match self.rates(&state.distance, &state.squares).as_slice() {
            [rate] => Some(*rate),
            _ => None,
        }
    }
}

impl Checkpoint for DogState {
    fn save(&self, out: &mut StateWriter) -> Result<()> {
        out.tree("start", &self.start)?;
        out.count("n_groups", self.distance.len() as u64)?;
        for (k, (distance, squares)) in self.distance.iter().zip(&self.squares).enumerate() {
            out.number(&format!("distance{k}"), *distance)?;
            out.number(&format!("squares{k}"), *squares)?;
        }
        Ok(())
    }

    fn load(from: &mut StateReader<'_>) -> Result<Self> {
        let start = from.tree("start")?;
        let n_groups = from.count("n_groups")?;
        let (mut distance, mut squares) = (Vec::new(), Vec::new());
        for k in 0..n_groups {
            distance.push(from.number(&format!("distance{k}"))?);
            squares.push(from.number(&format!("squares{k}"))?);
        }
        Ok(DogState { start, distance, squares })
    }
}
