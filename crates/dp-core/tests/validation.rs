//! What `validate` lets pass, and what it refuses by name.

use candle_core::{DType, Device, Tensor};
use dp_core::validate::{Problem, Reason};
use dp_core::{
    ClipFunction, ClipStyle, Clipping, Delta, Error, PrivacyPlan, PrivateStep, RdpAccountant,
    Refusal, RunKey, Unsampled, validate,
};
use tape_nn::loss::linear_cross_entropy;
use tape_nn::{Activation, Context, Linear, Param, TapeGrads, TapeLoss, Taped};
use tensor_tree::{
    Differentiable, Key, Label, Losses, Objective, Pass, PerSampleDifferentiable, ProbePoint,
    Reduction, SingleProcess, Tree,
};

use crate::battery::networks::{Batch, Sample, Sizes, Tokens, rows};

/// How a network treats its batch.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Batchwise {
    /// Each sample for itself.
    Not,
    /// The mean over the batch is taken off.
    Centered,
    /// The same, divided by the deviation over the batch: not a number for one sample.
    Normalized,
    /// Hidden vectors are exchanged between the samples of a pair, which changes no norm of `fc1`.
    Mixed,
}

/// Two linear layers with something of candle's between them.
struct Model {
    fc1: Linear,
    fc2: Linear,
    between: Batchwise,
    frozen: Tree,
}

type Pair = (Tensor, Tensor);

impl TapeLoss for Model {
    type Batch = Pair;

    fn losses(&self, cx: &Context<'_>, (x, y): &Pair) -> tape_nn::Result<Losses> {
        let h = self.fc1.forward_then(cx, x, Activation::Tanh)?;
        let h = match self.between {
            Batchwise::Not => h,
            Batchwise::Centered => h.broadcast_sub(&h.mean_keepdim(0)?)?,
            Batchwise::Normalized => {
                let h = h.broadcast_sub(&h.mean_keepdim(0)?)?;
                h.broadcast_div(&h.sqr()?.mean_keepdim(0)?.sqrt()?)?
            }
            Batchwise::Mixed => {
                let n = x.dims()[0];
                let order: Vec<u32> = (0..n as u32).map(|i| (i + 1) % n as u32).collect();
                h.index_select(&Tensor::new(order, &Device::Cpu)?, 0)?
            }
        };
        linear_cross_entropy(cx, &self.fc2, &h, y, None)
    }

    fn frozen(&self) -> &Tree {
        &self.frozen
    }

    fn n_samples(&self, (x, _): &Pair) -> usize {
        x.dims()[0]
    }
}

fn model(between: Batchwise) -> (Taped<Model>, Tree) {
    let key = Key::from_seed(4);
    let linear = |name: &str, p: usize, d: usize| {
        let param = |kind: &str, shape: &[usize]| Param::named(&format!("{name}.{kind}"), shape);
        Linear::new(param("weight", &[p, d]), Some(param("bias", &[p])))
    };
    let (fc1, fc2) = (linear("fc1", 4, 3), linear("fc2", 2, 4));
    let mut params = Tree::new();
    for layer in [&fc1, &fc2] {
        for param in [Some(layer.weight()), layer.bias()].into_iter().flatten() {
            let zero = Tensor::zeros(param.shape(), DType::F64, &Device::Cpu).unwrap();
            let leaf = key.child(Label::Leaf(param.name())).normal_like(&zero).unwrap();
            params.insert(param.name(), leaf).unwrap();
        }
    }
    (Taped(Model { fc1, fc2, between, frozen: Tree::new() }), params)
}

/// A batch of three, and the same samples one by one.
fn probe() -> (Pair, Vec<Pair>) {
    let zero = Tensor::zeros((3, 3), DType::F64, &Device::Cpu).unwrap();
    let x = Key::from_seed(8).normal_like(&zero).unwrap();
    let y = Tensor::new(&[0i64, 1, 1], &Device::Cpu).unwrap();
    let alone = (0..3).map(|i| (x.narrow(0, i, 1).unwrap(), y.narrow(0, i, 1).unwrap())).collect();
    ((x, y), alone)
}

/// One model in evaluation and another in training, as batch normalisation has it.
struct Switching {
    eval: Taped<Model>,
    /// None: an error.
    train: Option<Taped<Model>>,
}

impl Switching {
    fn at(&self, pass: Pass) -> tensor_tree::Result<&Taped<Model>> {
        match pass {
            Pass::Eval => Ok(&self.eval),
            Pass::Train { .. } => {
                let none = tensor_tree::Error::EmptyTree { what: "sample numbers" };
                self.train.as_ref().ok_or(none)
            }
        }
    }
}

impl Objective for Switching {
    type Batch = Pair;
    fn losses(&self, params: &Tree, batch: &Pair, pass: Pass) -> tensor_tree::Result<Losses> {
        self.at(pass)?.losses(params, batch, pass)
    }
}

impl Differentiable for Switching {
    fn value_and_grad(
        &self,
        params: &Tree,
        batch: &Pair,
        pass: Pass,
        reduction: Reduction,
    ) -> tensor_tree::Result<(Losses, Tree)> {
        self.at(pass)?.value_and_grad(params, batch, pass, reduction)
    }
}

impl PerSampleDifferentiable for Switching {
    type PerSample = TapeGrads;
    fn per_sample(
        &self,
        points: &[ProbePoint],
        batch: &Pair,
        pass: Pass,
    ) -> tensor_tree::Result<(Losses, TapeGrads)> {
        self.at(pass)?.per_sample(points, batch, pass)
    }
}

#[test]
fn a_model_that_couples_its_samples_in_training_alone_is_refused() {
    let (eval, params) = model(Batchwise::Not);
    let (train, _) = model(Batchwise::Centered);
    let (together, alone) = probe();
    let switching = Switching { eval, train: Some(train) };
    match validate(&switching, &params, &together, &alone) {
        Err(Error::Untrainable { problems }) => {
            assert!(problems.iter().any(|p| p.leaf == "fc1.weight"), "{problems:?}");
        }
        other => panic!("{other:?}"),
    }
    let (eval, _) = model(Batchwise::Not);
    let proof = validate(&eval, &params, &together, &alone).unwrap();
    assert!(proof.covers_training());
}

#[test]
fn without_a_pass_in_training_a_step_with_dropout_has_no_proof() {
    let (eval, params) = model(Batchwise::Not);
    let switching = Switching { eval, train: None };
    let (together, alone) = probe();
    let proof = validate(&switching, &params, &together, &alone).unwrap();
    assert!(!proof.covers_training() && proof.covers(&params));
    let plan = PrivacyPlan::builder()
        .n_samples(100)
        .expected_batch_size(3.0)
        .steps(10)
        .delta(1e-5)
        .noise_multiplier(1.0)
        .clip_norm(1.0)
        .build(&RdpAccountant::new())
        .unwrap();
    let clipping =
        Clipping::new(ClipFunction::default(), &ClipStyle::Flat, &params, plan.clip_norm());
    let step = PrivateStep::new(&plan, clipping.unwrap()).unwrap().with_validated(proof);
    let marked = |step: PrivateStep, objective: &dyn Fn() -> Switching| {
        let mut ledger = plan.ledger();
        let key = RunKey::seeded(1, 0).next_step();
        let points = ProbePoint::single(&params);
        let batch = Unsampled(together.clone());
        step.run(&objective(), &points, batch, key, &SingleProcess, &mut ledger).unwrap();
        let Err(Error::NoGuarantee { reasons }) =
            ledger.statement(&RdpAccountant::new(), Delta::new(1e-5).unwrap())
        else {
            panic!("seeded noise has a statement")
        };
        reasons.contains(&Refusal::NotValidated)
    };
    let both = || Switching { eval: model(Batchwise::Not).0, train: Some(model(Batchwise::Not).0) };
    assert!(!marked(step.clone(), &both), "evaluation is proven");
    assert!(marked(step.with_dropout(), &both), "training is not");
}

fn problems(objective: &Taped<Model>, params: &Tree) -> Vec<(String, Reason)> {
    let (together, alone) = probe();
    match validate(objective, params, &together, &alone) {
        Ok(validated) => {
            assert!(validated.covers(params));
            Vec::new()
        }
        Err(Error::Untrainable { problems }) => {
            problems.into_iter().map(|p| (p.leaf, p.reason)).collect()
        }
        Err(other) => panic!("{other}"),
    }
}

fn named(name: &str, reason: Reason) -> (String, Reason) {
    (name.to_owned(), reason)
}

#[test]
fn a_model_that_treats_each_sample_for_itself_passes() {
    let (objective, params) = model(Batchwise::Not);
    assert_eq!(problems(&objective, &params), []);
}

#[test]
fn a_proof_covers_the_leaves_that_were_looked_at_and_no_others() {
    let (objective, params) = model(Batchwise::Not);
    let (together, alone) = probe();
    let validated = validate(&objective, &params, &together, &alone).unwrap();
    let mut more = params.clone();
    more.insert("extra", Tensor::ones(1, DType::F64, &Device::Cpu).unwrap()).unwrap();
    let renamed = |name: &str| if name == "fc1.bias" { "fc1.shift" } else { name }.to_owned();
    let renamed = params.iter().map(|(name, leaf)| (renamed(name), leaf.clone()));
    let reshaped = |_: &str, leaf: &Tensor| Ok(leaf.unsqueeze(0)?);
    for other in [
        more,
        params.partition(|name| name != "fc1.bias").0,
        Tree::from_leaves(renamed).unwrap(),
        params.map(reshaped).unwrap(),
        Tree::new(),
    ] {
        assert!(!validated.covers(&other), "{:?}", other.names().collect::<Vec<_>>());
    }
    assert!(validated.covers(&params.scale(2.0).unwrap()));
}

#[test]
fn every_layer_kind_passes() {
    let sizes = Sizes { t: 4, d: 4, v: 6, c: 3 };
    for row in rows() {
        let (net, params) = row.build(sizes, DType::F64);
        let samples: Vec<Sample> = (0..3).map(|i| Sample::new(i, sizes, Tokens::Random)).collect();
        let batch = |s: &[Sample]| Batch::new(s, sizes, DType::F64);
        let alone: Vec<Batch> = samples.chunks(1).map(batch).collect();
        if let Err(error) = validate(&net, &params, &batch(&samples), &alone) {
            panic!("{}: {error}", row.name);
        }
    }
}

#[test]
fn a_model_that_couples_its_samples_is_refused_by_the_leaves_it_spoils() {
    for between in [Batchwise::Centered, Batchwise::Normalized, Batchwise::Mixed] {
        let (objective, params) = model(between);
        let found = problems(&objective, &params);
        assert!(found.contains(&named("fc1.weight", Reason::CouplesSamples)), "{between:?}");
        assert!(found.contains(&named("fc1.bias", Reason::CouplesSamples)), "{between:?}");
        assert!(found.contains(&named("fc2.weight", Reason::CouplesSamples)), "{between:?}");
        assert!(found.iter().all(|(_, reason)| *reason == Reason::CouplesSamples));
    }
}

#[test]
fn unused_parameters_statistics_and_empty_leaves_are_named() {
    let (objective, mut params) = model(Batchwise::Not);
    let ones = |n: usize| Tensor::ones(n, DType::F64, &Device::Cpu).unwrap();
    params.insert("extra.weight", ones(3)).unwrap();
    params.insert("bn.running_mean", ones(3)).unwrap();
    params.insert("nothing", ones(0)).unwrap();
    let found = problems(&objective, &params);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found.contains(&named("extra.weight", Reason::NotRecorded)));
    assert!(found.contains(&named("bn.running_mean", Reason::BatchStatistic)));
    assert!(found.contains(&named("nothing", Reason::Empty)));
}

#[test]
fn a_probe_that_is_not_finite_is_named() {
    let (objective, params) = model(Batchwise::Not);
    let spoil = |name: &str, leaf: &Tensor| {
        Ok(if name == "fc2.bias" { (leaf * f64::NAN)? } else { leaf.clone() })
    };
    let found = problems(&objective, &params.map(spoil).unwrap());
    assert_eq!(found.len(), 4);
    assert!(found.iter().all(|(_, reason)| *reason == Reason::NotFinite));
}

#[test]
fn probes_that_do_not_fit_together_are_refused() {
    let (objective, params) = model(Batchwise::Not);
    let (together, alone) = probe();
    let refused = |alone: &[Pair]| {
        let got = validate(&objective, &params, &together, alone);
        assert!(matches!(got, Err(Error::InvalidScalar { .. })), "{got:?}");
    };
    refused(&alone[..2]);
    refused(&[]);
    refused(&[alone[0].clone(), alone[1].clone(), together.clone()]);
    // One sample says nothing about coupling.
    let (x, y) = &alone[0];
    let single = validate(&objective, &params, &(x.clone(), y.clone()), &alone[..1]);
    assert!(matches!(single, Err(Error::InvalidScalar { must: "at least two", .. })));
    let nothing = validate(&objective, &Tree::new(), &together, &alone);
    assert!(matches!(nothing, Err(Error::NothingToTrain)));
}

#[test]
fn a_problem_says_what_to_do_instead() {
    for reason in [
        Reason::NotRecorded,
        Reason::CouplesSamples,
        Reason::NotFinite,
        Reason::BatchStatistic,
        Reason::Empty,
    ] {
        let text = Problem { leaf: "fc.weight".to_owned(), reason }.to_string();
        assert!(text.contains("`fc.weight`") && text.ends_with(reason.remedy()), "{text}");
    }
}
