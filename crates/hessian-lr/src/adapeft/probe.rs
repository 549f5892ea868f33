//! The probe phase: a short training of everything that finds what each group is worth.

mod state;

use candle_core::DType;
use tensor_tree::{
    Differentiable, Groups, Losses, Pass, PerSample, PerSampleDifferentiable, ProbePoint,
    Reduction, Transform, Tree,
};

use super::findings::{Findings, GroupFindings};
use crate::controller::{HiDlr, Solve};
use crate::criterion::{Criterion, Group, Influence, Seen, Trees};
use crate::driver::{AutoRate, Batches, Step};
use crate::error::{Error, Result};
use crate::influence::Accumulator;
pub use state::ProbeState;

/// A phase of training with rates from [`HiDlr`], whose fits and gradients value groups. The caller owns the loop: it may stop
/// after any step, save the state, and go on elsewhere.
///
/// # Source
/// arXiv 2505.12579: about a tenth of the horizon, all groups trainable.
#[derive(Debug)]
pub struct Probe<T> {
    /// Takes the steps: its controller fits along axes, its groups are those that are valued.
    pub auto: AutoRate<HiDlr, T>,
    /// What is accumulated, all at once.
    pub criteria: Vec<Box<dyn Criterion>>,
    /// Length of the phase.
    pub steps: u64,
}

/// Gradients of a step.
struct Gradients {
    losses: Losses,
    sum: Tree,
    samples: Option<Vec<Vec<f64>>>,
    reduction: Reduction,
}

impl<T: Transform> Probe<T> {
    /// A phase of that many steps that values groups by their influence.
    #[must_use]
    pub fn new(auto: AutoRate<HiDlr, T>, steps: u64) -> Self {
        Probe { auto, criteria: vec![Box::new(Influence)], steps }
    }

    /// The same with one more criterion.
    #[must_use]
    pub fn with(mut self, criterion: impl Criterion + 'static) -> Self {
        self.criteria.push(Box::new(criterion));
        self
    }

    /// Memory before the first step. The parameters are kept as they are.
    ///
    /// # Errors
    /// [`Error::Probe`] for fits that do not tell groups apart, a phase without a fit, or two criteria of one name; those of
    /// [`AutoRate::init`] and of the criteria.
    pub fn init(&self, params: &Tree) -> Result<ProbeState<T::State>> {
        self.check()?;
        let auto = self.auto.init(params)?;
        let groups = sizes(&self.auto.groups, params);
        let mut memories = Vec::with_capacity(self.criteria.len());
        for criterion in &self.criteria {
            memories.push((criterion.name().to_owned(), criterion.init(&groups)?));
        }
        Ok(ProbeState {
            start: params.clone(),
            params: params.clone(),
            auto,
            influence: Accumulator::new(groups.iter().map(|group| group.size).collect()),
            groups,
            memories,
            n_steps: 0,
        })
    }

    fn check(&self) -> Result<()> {
        let refuse = |reason: String| Err(Error::Probe { reason });
        let HiDlr { settings, solve, merge, .. } = &self.auto.controller;
        if *solve != Solve::Axis {
            return refuse(format!("a fit along each group's own axis is needed, got {solve:?}"));
        }
        if merge.is_some() {
            return refuse("groups that are put together have no value of their own".into());
        }
        if self.steps < settings.period {
            let (steps, period) = (self.steps, settings.period);
            return refuse(format!("{steps} steps have no fit: the first is at step {period}"));
        }
        let names: Vec<&str> = self.criteria.iter().map(|c| c.name()).collect();
        match (1..names.len()).find(|k| names[..*k].contains(&names[*k])) {
            Some(k) => refuse(format!("two criteria are called `{}`", names[k])),
            None if names.is_empty() => refuse("there is no criterion".into()),
            None => Ok(()),
        }
    }

    /// Whether all steps were taken.
    #[must_use]
    pub fn is_done(&self, state: &ProbeState<T::State>) -> bool {
        self.steps <= state.n_steps
    }

    /// Whether the next step needs a batch for its probes.
    #[must_use]
    pub fn needs_probe(&self, state: &ProbeState<T::State>) -> bool {
        self.auto.needs_probe(&state.auto)
    }

    /// One step of training. On an error the state is as it was.
    ///
    /// # Errors
    /// [`Error::NoSamples`] if a criterion needs gradients of single samples; [`Error::ProbeOver`] after the last step;
    /// [`Error::OtherSettings`] for a state of other groups or criteria; those of [`AutoRate::step`] and of the criteria.
    pub fn step<O: Differentiable>(
        &self,
        objective: &O,
        batches: Batches<'_, O::Batch>,
        how: (Pass, Reduction),
        state: &mut ProbeState<T::State>,
    ) -> Result<Step> {
        self.fits(state)?;
        if let Some(criterion) = self.criteria.iter().find(|c| c.needs_samples()) {
            return Err(Error::NoSamples { criterion: criterion.name().into() });
        }
        let (pass, reduction) = how;
        let (losses, sum) =
            objective.value_and_grad(&state.params, batches.step, pass, reduction)?;
        let gradients = Gradients { losses, sum, samples: None, reduction };
        self.advance(objective, batches, gradients, state)
    }

    /// The same, with the squared norms of the gradients of single samples from the same backward pass.
    ///
    /// # Errors
    /// As [`Probe::step`], and those of [`PerSampleDifferentiable::per_sample`].
    pub fn step_per_sample<O: PerSampleDifferentiable>(
        &self,
        objective: &O,
        batches: Batches<'_, O::Batch>,
        (pass, reduction): (Pass, Reduction),
        state: &mut ProbeState<T::State>,
    ) -> Result<Step> {
        self.fits(state)?;
        let point = ProbePoint::single(&state.params);
        let (losses, grads) = objective.per_sample(&point, batches.step, pass)?;
        let groups = &self.auto.groups;
        let samples = grads.squared_norms(groups)?;
        let factors = factors(&losses, grads.n_samples(), reduction)?;
        let sum = grads.weighted_sum(groups, &vec![factors; groups.len()])?;
        let gradients = Gradients { losses, sum, samples: Some(samples), reduction };
        self.advance(objective, batches, gradients, state)
    }

    /// Whether the state is one of these settings, with a step left.
    fn fits(&self, state: &ProbeState<T::State>) -> Result<()> {
        let other = |what, expected: Vec<&str>, got: Vec<&str>| {
            let text = |names: Vec<&str>| format!("`{}`", names.join("`, `"));
            let differ = expected != got;
            let error = || Error::OtherSettings { what, expected: text(expected), got: text(got) };
            if differ { Err(error()) } else { Ok(()) }
        };
        let groups = state.groups.iter().map(|group| group.name.as_str()).collect();
        other("groups", groups, self.auto.groups.names().iter().map(String::as_str).collect())?;
        let criteria = state.memories.iter().map(|(name, _)| name.as_str()).collect();
        other("criteria", criteria, self.criteria.iter().map(|c| c.name()).collect())?;
        if self.is_done(state) { Err(Error::ProbeOver { steps: self.steps }) } else { Ok(()) }
    }

    fn advance<O: Differentiable>(
        &self,
        objective: &O,
        batches: Batches<'_, O::Batch>,
        gradients: Gradients,
        state: &mut ProbeState<T::State>,
    ) -> Result<Step> {
        let Gradients { losses, sum, samples, reduction } = gradients;
        let groups = &self.auto.groups;
        let squares = squares(groups, &sum)?;
        let mut auto = state.auto.clone();
        let at = auto.rates.step();
        let done = self.auto.step_with(
            objective,
            &state.params,
            batches,
            (losses, sum.clone(), reduction),
            &mut auto,
        )?;
        let fit = auto.rates.report().filter(|report| report.step == at);
        let mut influence = state.influence.clone();
        if let Some(fit) = fit {
            influence.add(fit)?;
        }
        let trees = Trees { params: &state.params, grads: &sum, groups };
        let mut seen = Seen::new(&squares).with_fit(fit).with_trees(trees);
        if let Some(samples) = &samples {
            seen = seen.with_samples(samples);
        }
        let mut memories = state.memories.clone();
        for (criterion, (_, memory)) in self.criteria.iter().zip(&mut memories) {
            criterion.observe(&seen, memory)?;
        }
        state.auto = auto;
        state.influence = influence;
        state.memories = memories;
        state.params = done.params.clone();
        state.n_steps += 1;
        Ok(done)
    }

    /// What was found so far, after the last step or before.
    ///
    /// # Errors
    /// [`Error::OtherSettings`] for a state of other criteria; [`Error::Length`] for a criterion without a value for each
    /// group.
    pub fn findings(&self, state: &ProbeState<T::State>) -> Result<Findings> {
        match self.fits(state) {
            Ok(()) | Err(Error::ProbeOver { .. }) => {}
            Err(error) => return Err(error),
        }
        let names = state.groups.iter().map(|group| group.name.clone());
        let mut groups: Vec<GroupFindings> = names
            .zip(state.influence.influences().iter().cloned())
            .map(|(name, influence)| GroupFindings { name, influence, values: [].into() })
            .collect();
        for (criterion, (name, memory)) in self.criteria.iter().zip(&state.memories) {
            let values = criterion.values(memory);
            let (expected, got) = (groups.len(), values.len());
            if expected != got {
                return Err(Error::Length { name: "values of a criterion", expected, got });
            }
            for (group, value) in groups.iter_mut().zip(values) {
                group.values.insert(name.clone(), value);
            }
        }
        Ok(Findings {
            n_steps: state.n_steps,
            n_fits: state.influence.n_fits(),
            n_forwards: state.auto.rates.n_forwards(),
            groups,
        })
    }
}

/// Names and sizes of groups.
fn sizes(groups: &Groups, params: &Tree) -> Vec<Group> {
    let mut sizes: Vec<Group> =
        groups.names().iter().map(|name| Group { name: name.clone(), size: 0 }).collect();
    for (name, leaf) in params.iter() {
        if let Ok(k) = groups.of(name) {
            sizes[k].size += leaf.elem_count() as u64;
        }
    }
    sizes
}

/// The squared norm of each group's part.
fn squares(groups: &Groups, grads: &Tree) -> Result<Vec<f64>> {
    let mut squares = vec![0.0; groups.len()];
    for (name, leaf) in grads.iter() {
        let alone = Tree::from_leaves([(name, leaf.clone())])?;
        squares[groups.of(name)?] += alone.dot(&alone)?;
    }
    Ok(squares)
}

/// What the gradient of each sample's mean loss is multiplied by.
fn factors(losses: &Losses, n: usize, reduction: Reduction) -> Result<Vec<f64>> {
    Ok(match reduction {
        Reduction::Sum => vec![1.0; n],
        Reduction::Mean => vec![1.0 / n as f64; n],
        Reduction::WeightedMean => {
            let weights = losses.weight.to_dtype(DType::F64).and_then(|w| w.to_vec1::<f64>());
            let weights = weights.map_err(tensor_tree::Error::from)?;
            let total: f64 = weights.iter().sum();
            let part = |w: f64| if total == 0.0 { 0.0 } else { w / total };
            weights.into_iter().map(part).collect()
        }
    })
}
