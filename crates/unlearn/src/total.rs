//! Both losses of a method as one, for what knows one loss alone: the choice of which parameters to train (AdaPEFT).

use candle_core::{DType, Device, Tensor};
use hessian_lr::adapeft::{Choice, Chooser, Probe};
use hessian_lr::controller::{HiDlr, Settings};
use hessian_lr::driver::{AutoRate, Batches, ProbeData};
use hessian_lr::grouping::Grouping;
use tape_nn::net::LanguageModel;
use tensor_tree::{AdamW, Losses, Pass, Reduction, Tree};

use crate::batch::{Batch, Item};
use crate::direction::Coefficients;
use crate::feed::{Anchor, Feed, Pairing};
use crate::loss::Objective;
use crate::method::Method;
use crate::{Error, Result};

/// `a * retain loss + b * loss to forget by`, as one number.
#[derive(Debug)]
pub struct Total<'a, M: ?Sized> {
    /// The retain loss.
    pub retain: Objective<'a, M>,
    /// The loss to forget by.
    pub forget: Objective<'a, M>,
    /// What both are weighted with: [`crate::method::Recipe::weights`].
    pub weights: Coefficients,
}

/// Rows of both sets.
#[derive(Clone, Debug)]
pub struct Pair {
    /// To keep, in passes.
    pub retain: Vec<Batch>,
    /// To forget, in passes.
    pub forget: Vec<Batch>,
}

impl<M: LanguageModel + ?Sized> tensor_tree::Objective for Total<'_, M> {
    type Batch = Pair;

    fn losses(&self, params: &Tree, pair: &Pair, _: Pass) -> tensor_tree::Result<Losses> {
        let retain = self.retain.any_value(params, &pair.retain).map_err(Error::into_tree)?;
        let forget = self.forget.any_value(params, &pair.forget).map_err(Error::into_tree)?;
        one(self.weights.retain * retain.loss + self.weights.forget * forget.loss)
    }
}

impl<M: LanguageModel + ?Sized> tensor_tree::Differentiable for Total<'_, M> {
    fn value_and_grad(
        &self,
        params: &Tree,
        pair: &Pair,
        _: Pass,
        _: Reduction,
    ) -> tensor_tree::Result<(Losses, Tree)> {
        let retain = self.retain.gradient(params, &pair.retain).map_err(Error::into_tree)?;
        let forget = self.forget.gradient(params, &pair.forget).map_err(Error::into_tree)?;
        let Coefficients { retain: a, forget: b } = self.weights;
        let gradient = retain.gradient.lin_comb(a, b, &forget.gradient)?;
        Ok((one(a * retain.loss + b * forget.loss)?, gradient))
    }
}

/// A loss of the batch as a whole.
fn one(value: f64) -> tensor_tree::Result<Losses> {
    let sum = Tensor::from_vec(vec![value], 1, &Device::Cpu)?;
    let weight = Tensor::ones(1, DType::F64, &Device::Cpu)?;
    Ok(Losses { sum, weight })
}

/// How groups are chosen.
#[derive(Clone, Debug)]
pub struct Choosing {
    /// The groups, such as [`Grouping::layers`].
    pub grouping: Grouping,
    /// What may be chosen.
    pub chooser: Chooser,
    /// Steps of the phase, a tenth of the run or so.
    pub steps: u64,
    /// Rows of each set in a step of it.
    pub batch: usize,
    /// Rows of a pass.
    pub micro_batch: usize,
    /// Of the rows that it sees.
    pub seed: u64,
}

impl Choosing {
    /// Trains everything for a while with the sum of both losses of `method`, values each group by what its part of the steps promises, and
    /// chooses. The parameters stay as they are.
    ///
    /// # Errors
    /// From the phase and the choice; of losses as [`Objective::gradient`].
    ///
    /// # Source
    /// arXiv 2505.12579.
    pub fn choose<M: LanguageModel + ?Sized>(
        &self,
        (model, frozen, params): (&M, &Tree, &Tree),
        (forget, retain): (&[Item], &[Item]),
        method: &Method,
        device: &Device,
    ) -> Result<Choice> {
        let objective = |loss| Objective { model, frozen, loss };
        let total = Total {
            retain: objective(method.retain),
            forget: objective(method.forget),
            weights: method.recipe.weights(),
        };
        let feed = Feed {
            n_forget: forget.len(),
            n_retain: retain.len(),
            batch: self.batch,
            anchor: Anchor::Forget,
            pairing: Pairing::Random,
            seed: self.seed,
        };
        feed.check()?;
        let passes = |items: &[Item], rows: &[usize]| -> Result<Vec<Batch>> {
            let items = rows.iter().map(|i| items[*i].clone()).collect();
            Batch::passes(items, self.micro_batch, device)
        };
        let pair = |step: u64| -> Result<Pair> {
            let rows = feed.rows(step);
            Ok(Pair {
                retain: passes(retain, &rows.retain)?,
                forget: passes(forget, &rows.forget)?,
            })
        };
        let settings = Settings { period: 2, ..Settings::default() };
        let auto = AutoRate {
            controller: HiDlr { settings, ..HiDlr::default() },
            chain: AdamW::default(),
            groups: self.grouping.groups(params)?,
            probe_data: ProbeData::Next,
        };
        let probe = Probe::new(auto, self.steps);
        let mut state = probe.init(params)?;
        while !probe.is_done(&state) {
            let (now, next) = (pair(state.n_steps())?, pair(state.n_steps() + 1)?);
            let batches = Batches { step: &now, probe: Some(&next) };
            probe.step(&total, batches, (Pass::Eval, Reduction::Mean), &mut state)?;
        }
        Ok(probe.findings(&state)?.choose("influence", &self.chooser)?)
    }
}
