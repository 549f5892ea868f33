//! What a private step promises: the charge before the noise, one noise, a public divisor, and no claim without a ground.

use candle_core::{DType, Device, Tensor};
use dp_core::{
    Accountant, Charge, ClipFunction, ClipNorm, ClipStyle, Clipping, Delta, DpEvent, Error, Ledger,
    Mark, NeighboringRelation, PlanBuilder, PrivacyPlan, PrivateStep, RdpAccountant, Refusal,
    Result, RunKey, Sampled, StepKey, UnitOfPrivacy, Unsampled, validate,
};
use tape_nn::{Context, TapeLoss, Taped};
use tensor_tree::{
    Collective, Differentiable, Key, Losses, Objective, Pass, PerSampleDifferentiable, ProbePoint,
    Reduction, SingleProcess, Tree,
};

use crate::battery::networks::{Batch, Net, Row, Sample, Sizes, Tokens, rows};

mod charge;
mod halves;
mod noise;
mod processes;
mod quantile;
mod trained;

const SIZES: Sizes = Sizes { t: 4, d: 4, v: 6, c: 3 };
const SIGMA: f64 = 1.5;
const R: f64 = 0.8;
const B: f64 = 16.0;

fn builder() -> PlanBuilder {
    PrivacyPlan::builder().n_samples(1000).expected_batch_size(B).steps(10).delta(1e-5)
}

fn plan_of(sigma: f64, r: f64) -> PrivacyPlan {
    builder().noise_multiplier(sigma).clip_norm(r).build(&RdpAccountant::new()).unwrap()
}

fn plan() -> PrivacyPlan {
    plan_of(SIGMA, R)
}

fn named(name: &str) -> Row {
    rows().into_iter().find(|r| r.name == name).unwrap()
}

/// A network, its parameters and its step.
struct Run {
    net: Taped<Net>,
    params: Tree,
    dtype: DType,
    step: PrivateStep,
    ledger: Ledger,
}

impl Run {
    fn of(row: &Row, dtype: DType, plan: &PrivacyPlan, function: ClipFunction) -> Run {
        let (net, params) = row.build(SIZES, dtype);
        let clipping =
            Clipping::new(function, &ClipStyle::Flat, &params, plan.clip_norm()).unwrap();
        let probe = samples(2);
        let batch = |samples: &[Sample]| Batch::new(samples, SIZES, dtype);
        let alone = [batch(&probe[..1]), batch(&probe[1..])];
        let validated = validate(&net, &params, &batch(&probe), &alone).unwrap();
        let step = PrivateStep::new(plan, clipping).unwrap();
        let step = step.with_dropout().with_validated(validated);
        Run { net, params, dtype, step, ledger: plan.ledger() }
    }

    fn new(dtype: DType) -> Run {
        Run::of(&named("linear, positions"), dtype, &plan(), ClipFunction::default())
    }

    fn batch(&self, samples: &[Sample]) -> Batch {
        Batch::new(samples, SIZES, self.dtype)
    }

    fn run(&mut self, samples: &[Sample], key: StepKey) -> Result<Tree> {
        let batch = Unsampled(self.batch(samples));
        let points = ProbePoint::single(&self.params);
        self.step.run(&self.net, &points, batch, key, &SingleProcess, &mut self.ledger)
    }

    fn run_in_parts(&mut self, parts: &[&[Sample]], key: StepKey) -> Result<Tree> {
        let parts = Unsampled(parts.iter().map(|p| self.batch(p)).collect());
        let points = ProbePoint::single(&self.params);
        self.step.run_in_parts(&self.net, &points, parts, key, &SingleProcess, &mut self.ledger)
    }
}

fn seeded(step: u64) -> StepKey {
    RunKey::seeded(3, step).next_step()
}

fn private() -> StepKey {
    RunKey::private().unwrap().next_step()
}

/// A batch drawn by the plan's sampler, whatever records it drew.
fn sampled<T>(key: &StepKey, batch: T) -> Sampled<T> {
    plan().sampler().unwrap().draw(key).map(|_| batch)
}

fn samples(n: u64) -> Vec<Sample> {
    (0..n).map(|i| Sample::new(i, SIZES, Tokens::Random)).collect()
}

fn values(tree: &Tree) -> Vec<f64> {
    let flat = |t: &Tensor| t.flatten_all().unwrap().to_dtype(DType::F64).unwrap();
    tree.iter().flat_map(|(_, leaf)| flat(leaf).to_vec1::<f64>().unwrap()).collect()
}

fn bits(tree: &Tree) -> Vec<u64> {
    values(tree).into_iter().map(f64::to_bits).collect()
}

fn difference(a: &Tree, b: &Tree) -> Vec<f64> {
    values(a).iter().zip(values(b)).map(|(a, b)| a - b).collect()
}

fn norm(v: &[f64]) -> f64 {
    v.iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn delta() -> Delta {
    Delta::new(1e-5).unwrap()
}

fn refusals(ledger: &Ledger) -> Vec<Refusal> {
    match ledger.statement(&RdpAccountant::new(), delta()) {
        Err(Error::NoGuarantee { reasons }) => reasons,
        other => panic!("{other:?}"),
    }
}
