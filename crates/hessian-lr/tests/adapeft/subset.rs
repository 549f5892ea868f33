//! Training exactly what was chosen, on networks.

use candle_core::{DType, Device, Tensor};
use hessian_lr::Error;
use hessian_lr::adapeft::{Chooser, Findings, Probe};
use hessian_lr::controller::{HiDlr, Settings};
use hessian_lr::criterion::{Fisher, GradientNorm};
use hessian_lr::driver::{AutoRate, Batches, ProbeData};
use hessian_lr::grouping::Grouping;
use hessian_lr::select::{Budget, Item};
use tape_nn::net::{Mlp, Network};
use tape_nn::{
    Activation, Builder, Classifier, Context, LabeledBatch, LoraConfig, Tape, TapeLoss, Taped, lora,
};
use tensor_tree::{
    AdamW, Differentiable, Groups, Key, Objective, Pass, Reduction, Transform, Tree,
};

const HOW: (Pass, Reduction) = (Pass::Eval, Reduction::Mean);
const CLASSES: usize = 4;

fn mlp() -> (Mlp, Tree) {
    let builder = Builder::init(Key::from_seed(1), DType::F32, &Device::Cpu);
    let mlp = Mlp::new(&[8, 24, 16, CLASSES], Activation::GeluErf, builder.vb()).unwrap();
    (mlp, builder.into_tree().unwrap())
}

/// Points around a corner for each class, which `shift` renames.
fn batch(seed: u64, shift: u32) -> LabeledBatch {
    let n = 96;
    let zero = Tensor::zeros((n, 8), DType::F32, &Device::Cpu).unwrap();
    let noise = (Key::from_seed(seed).normal_like(&zero).unwrap() * 0.7).unwrap();
    let labels: Vec<u32> = (0..n as u32).map(|i| (i * 7 + seed as u32) % 4).collect();
    let corner = |label: &u32| {
        let label = *label as usize;
        (0..8).map(move |j| if j % CLASSES == label { 1.5f32 } else { 0.0 })
    };
    let centers: Vec<f32> = labels.iter().flat_map(corner).collect();
    let inputs = (noise + Tensor::from_vec(centers, (n, 8), &Device::Cpu).unwrap()).unwrap();
    let renamed: Vec<u32> = labels.iter().map(|label| (label + shift) % 4).collect();
    LabeledBatch::new(inputs, Tensor::from_vec(renamed, n, &Device::Cpu).unwrap())
}

fn auto(groups: Groups) -> AutoRate<HiDlr, AdamW> {
    let controller =
        HiDlr { settings: Settings { period: 2, ..Settings::default() }, ..HiDlr::default() };
    AutoRate { controller, chain: AdamW::default(), groups, probe_data: ProbeData::Next }
}

/// Trains from `params` with a fresh optimizer.
fn train<O>(objective: &O, params: Tree, steps: u64, shift: u32) -> Tree
where
    O: Differentiable + Objective<Batch = LabeledBatch>,
{
    let auto = auto(Groups::one(&params));
    let mut state = auto.init(&params).unwrap();
    let mut params = params;
    for t in 0..steps {
        let (now, next) = (batch(t, shift), batch(t + 1, shift));
        let batches = Batches { step: &now, probe: Some(&next) };
        params = auto.step(objective, &params, batches, HOW, &mut state).unwrap().params;
    }
    params
}

fn bits(tree: &Tree) -> Vec<u32> {
    let leaf = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    tree.iter().flat_map(|(_, t)| leaf(t)).map(f32::to_bits).collect()
}

fn loss<O: Objective<Batch = LabeledBatch>>(objective: &O, params: &Tree, shift: u32) -> f64 {
    objective.losses(params, &batch(900, shift), Pass::Eval).unwrap().mean().unwrap()
}

/// Leaves whose gradients a backward pass put on the tape, found by asking for all of them.
fn recorded<L: TapeLoss<Batch = LabeledBatch>>(
    model: &L,
    trained: &Tree,
    all: &Tree,
) -> Vec<String> {
    let tape = Tape::recording(&Device::Cpu).unwrap();
    let cx = Context::recording(trained, model.frozen(), &tape);
    let losses = model.losses(&cx, &batch(0, 0)).unwrap();
    losses.sum.sum_all().unwrap().backward().unwrap();
    let names = |tree: &Tree| tree.names().map(str::to_owned).collect::<Vec<_>>();
    match tape.into_grads(all, 96) {
        Ok(_) => names(all),
        Err(tape_nn::Error::NotRecorded { names: missing }) => {
            names(all).into_iter().filter(|name| !missing.contains(name)).collect()
        }
        Err(other) => panic!("{other}"),
    }
}

/// A network that knows its task, and what a probe phase finds after the classes were renamed.
fn relabelled() -> (Mlp, Tree, Findings, Grouping) {
    let (mlp, start) = mlp();
    let net = Taped(Classifier::new(mlp.clone()));
    let params = train(&net, start, 60, 0);
    assert!(loss(&net, &params, 0) < 0.2);
    let grouping = Grouping::layers(params.names()).unwrap();
    let probe =
        Probe::new(auto(grouping.groups(&params).unwrap()), 12).with(GradientNorm).with(Fisher);
    let mut state = probe.init(&params).unwrap();
    while !probe.is_done(&state) {
        let t = 500 + state.n_steps();
        let (now, next) = (batch(t, 1), batch(t + 1, 1));
        let batches = Batches { step: &now, probe: Some(&next) };
        probe.step_per_sample(&net, batches, HOW, &mut state).unwrap();
    }
    assert_eq!(bits(state.start()), bits(&params));
    let findings = probe.findings(&state).unwrap();
    (mlp, params, findings, grouping)
}

#[test]
fn renamed_classes_need_the_head_and_training_it_touches_nothing_else() {
    let (mlp, params, findings, grouping) = relabelled();
    assert!(findings.groups.iter().all(|group| group.influence.value > 0.0), "{findings:?}");
    // fc1 has 216 parameters, fc2 400, fc3 68: the first pick by influence for each parameter is the head.
    let appi: Vec<f64> = findings.groups.iter().map(|g| g.influence.per_parameter).collect();
    assert!(appi[0] < appi[2] && appi[1] < appi[2], "{appi:?}");
    // A budget for the first layer or the head, not for both: the head is worth more with a third of the parameters.
    let choice = findings.choose("influence", &Chooser::within(Budget::Fraction(0.4))).unwrap();
    assert_eq!(choice.chosen().collect::<Vec<_>>(), ["fc3"]);
    let groups = grouping.groups(&params).unwrap();
    let (trainable, frozen) = choice.split(&groups, &params).unwrap();
    assert_eq!(trainable.names().collect::<Vec<_>>(), ["fc3.bias", "fc3.weight"]);
    assert_eq!(bits(&trainable.union(&frozen).unwrap()), bits(&params));

    let net = Taped(Classifier::with_frozen(mlp, frozen.clone()));
    assert_eq!(recorded(&net.0, &trainable, &params), ["fc3.bias", "fc3.weight"]);
    // What comes before the head is in no graph.
    let body = {
        let tree = frozen.clone();
        let builder = Builder::given(tree, DType::F32, &Device::Cpu);
        Mlp::new(&[8, 24, 16], Activation::GeluErf, builder.vb()).unwrap()
    };
    let tape = Tape::recording(&Device::Cpu).unwrap();
    let hidden =
        body.forward(&Context::recording(&trainable, &frozen, &tape), &batch(0, 0).inputs).unwrap();
    assert!(!hidden.track_op());
    let before = loss(&net, &trainable, 1);
    let trained = train(&net, trainable.clone(), 40, 1);
    assert!(loss(&net, &trained, 1) < 0.2 * before);
    assert_eq!(bits(net.0.frozen()), bits(&frozen));
    for (name, leaf) in trained.iter() {
        let was = trainable.leaf(name).unwrap();
        assert!(
            (leaf - was).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap()
                > 1e-3
        );
    }
}

#[test]
fn layers_behind_a_frozen_one_pass_gradients_on_and_record_only_their_own() {
    let (mlp, params) = mlp();
    let groups = Grouping::kinds().unwrap().groups(&params).unwrap();
    let item = |name: &str, value| Item { name: name.into(), value, weight: 1 };
    for (kind, want) in [
        ("bias", vec!["fc1.bias", "fc2.bias", "fc3.bias"]),
        ("mlp", vec!["fc1.weight", "fc2.weight", "fc3.weight"]),
    ] {
        let items = [
            item("bias", f64::from(u8::from(kind == "bias"))),
            item("mlp", f64::from(u8::from(kind == "mlp"))),
        ];
        let choice = Chooser::within(1).choose(&items).unwrap();
        let (trainable, frozen) = choice.split(&groups, &params).unwrap();
        let net = Taped(Classifier::with_frozen(mlp.clone(), frozen));
        assert_eq!(recorded(&net.0, &trainable, &params), want);
        // The gradient of what is trained is that of training everything.
        let whole = Taped(Classifier::new(mlp.clone()));
        let (pass, reduction) = HOW;
        let all = whole.grad(&params, &batch(3, 0), pass, reduction).unwrap();
        let part = net.grad(&trainable, &batch(3, 0), pass, reduction).unwrap();
        assert_eq!(bits(&part), bits(&all.partition(|name| want.contains(&name)).0));
    }
}

#[test]
fn adapters_are_chosen_beside_a_base_that_counts_and_stays() {
    let (mut mlp, base) = mlp();
    let config = LoraConfig { rank: 2, ..LoraConfig::for_layers(["fc1", "fc2"]) };
    let adapters =
        lora::attach(&mut mlp, &config, Key::from_seed(5), DType::F32, &Device::Cpu).unwrap();
    let groups = Grouping::kinds().unwrap().groups(&adapters).unwrap();
    let size = |tree: &Tree| tree.iter().map(|(_, leaf)| leaf.elem_count() as u64).sum::<u64>();
    let items = [("lora_a", 1.0, 64), ("lora_b", 2.0, 80)].map(|(name, value, weight)| Item {
        name: name.into(),
        value,
        weight,
    });
    let chooser = Chooser { n_others: size(&base), ..Chooser::within(Budget::Fraction(0.15)) };
    let choice = chooser.choose(&items).unwrap();
    assert_eq!(choice.n_parameters(), size(&base) + size(&adapters));
    assert_eq!(choice.chosen().collect::<Vec<_>>(), ["lora_b"]);
    let (trainable, still) = choice.split(&groups, &adapters).unwrap();
    let net = Taped(Classifier::with_frozen(mlp, base.union(&still).unwrap()));
    let all = base.union(&adapters).unwrap();
    assert_eq!(recorded(&net.0, &trainable, &all), ["fc1.lora_b.weight", "fc2.lora_b.weight"]);
    let trained = train(&net, trainable.clone(), 6, 0);
    assert_ne!(bits(&trained), bits(&trainable));
    assert_eq!(bits(net.0.frozen()), bits(&base.union(&still).unwrap()));
}

#[test]
fn an_optimizer_of_the_subset_begins_anew_and_knows_nothing_else() {
    let (_, params, findings, grouping) = relabelled();
    let choice = findings.choose("influence", &Chooser::within(80)).unwrap();
    let groups = grouping.groups(&params).unwrap();
    let (trainable, _) = choice.split(&groups, &params).unwrap();
    let memory = AdamW::default().init(&trainable).unwrap();
    assert_eq!((memory.step, memory.first.len()), (0, trainable.len()));
    assert_eq!(memory.first.norm().unwrap(), 0.0);
    // Groups of other parameters, and groups that were not chosen among.
    let (part, _) = params.partition(|name| name.starts_with("fc1"));
    assert!(matches!(choice.split(&groups, &part), Err(Error::Tensor(_))));
    let error = choice.split(&Groups::per_leaf(&params), &params).unwrap_err();
    assert!(error.to_string().starts_with("group of the choice `fc1.bias`"), "{error}");
}
