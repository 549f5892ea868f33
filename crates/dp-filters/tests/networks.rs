//! Chains of filters on small networks, end to end: the loss falls, and the ledger is that of the run without filters.

use candle_core::{DType, Device, Tensor};
use dp_core::hyfree::{Evidence, HyFree, HyFreeStep, Settings};
use dp_core::{
    Accountant, ClipFunction, ClipStyle, Clipping, Ledger, PlanBuilder, PrivacyPlan, PrivateStep,
    RdpAccountant, RunKey, validate,
};
use dp_filters::{
    AdamMode, Denominator, Disk, FilteredAdam, FilteredStep, LookAhead, LowPass, PerGroup, Recipe,
    ScalarKalman, TakesPoints, hyfree_step,
};
use tape_nn::net::Mlp;
use tape_nn::{Activation, Builder, Classifier, LabeledBatch, LoraConfig, Taped, lora};
use tensor_tree::{
    AdamW, Groups, Key, Momentum, Objective, Pass, Rates, SingleProcess, Transform, Tree,
};

const N: usize = 240;
const STEPS: u64 = 30;

struct Task {
    model: Taped<Classifier<Mlp>>,
    params: Tree,
    xs: Tensor,
    labels: Tensor,
}

impl Task {
    /// Points of the plane, labelled by the side of a line; all parameters of a network are trained.
    fn new() -> Self {
        let builder = Builder::init(Key::from_seed(2), DType::F32, &Device::Cpu);
        let net = Mlp::new(&[2, 8, 2], Activation::Tanh, builder.vb()).unwrap();
        let params = builder.into_tree().unwrap();
        Task::of(Taped(Classifier::new(net)), params)
    }

    /// The same network frozen, with adapters.
    fn adapted() -> Self {
        let builder = Builder::init(Key::from_seed(4), DType::F32, &Device::Cpu);
        let mut net = Mlp::new(&[2, 8, 2], Activation::Tanh, builder.vb()).unwrap();
        let config = LoraConfig { rank: 2, alpha: 2.0, ..LoraConfig::for_layers(["*"]) };
        let key = Key::from_seed(3);
        let adapters = lora::attach(&mut net, &config, key, DType::F32, &Device::Cpu).unwrap();
        let model = Classifier::with_frozen(net, builder.into_tree().unwrap());
        Task::of(Taped(model), adapters)
    }

    fn of(model: Taped<Classifier<Mlp>>, params: Tree) -> Self {
        let zeros = Tensor::zeros((N, 2), DType::F32, &Device::Cpu).unwrap();
        let xs = Key::from_seed(1).normal_like(&zeros).unwrap();
        let labels = xs.sum(1).unwrap().gt(0f32).unwrap().to_dtype(DType::I64).unwrap();
        Task { model, params, xs, labels }
    }

    fn batch(&self, records: &[usize]) -> LabeledBatch {
        let rows: Vec<u32> = records.iter().map(|r| *r as u32).collect();
        let rows = Tensor::from_vec(rows, records.len(), &Device::Cpu).unwrap();
        let of = |t: &Tensor| t.index_select(&rows, 0).unwrap();
        LabeledBatch::new(of(&self.xs), of(&self.labels))
    }

    fn loss(&self, params: &Tree) -> f64 {
        let all: Vec<usize> = (0..N).collect();
        self.model.losses(params, &self.batch(&all), Pass::Eval).unwrap().mean().unwrap()
    }

    fn step(&self, plan: &PrivacyPlan) -> PrivateStep {
        let function = ClipFunction::automatic();
        let style = ClipStyle::PerLayer;
        let clipping = Clipping::new(function, &style, &self.params, plan.clip_norm()).unwrap();
        let alone = [self.batch(&[0]), self.batch(&[1])];
        let validated = validate(&self.model, &self.params, &self.batch(&[0, 1]), &alone).unwrap();
        PrivateStep::new(plan, clipping).unwrap().with_validated(validated)
    }

    /// Micro-batches of at most 25 records.
    fn parts(&self, records: &[usize]) -> Vec<LabeledBatch> {
        records.chunks(25).map(|chunk| self.batch(chunk)).collect()
    }
}

fn builder() -> PlanBuilder {
    PrivacyPlan::builder()
        .n_samples(N as u64)
        .expected_batch_size(60.0)
        .steps(STEPS)
        .clip_norm(1.0)
        .delta(1e-3)
        .target_epsilon(6.0)
}

/// Runs the chain with secret noise; the ledger and the loss before and after.
fn train<T: TakesPoints>(task: &Task, chain: T, rate: f64, keys: RunKey) -> (Ledger, [f64; 2]) {
    let plan = builder().build(&RdpAccountant::new()).unwrap();
    let driver = FilteredStep { step: task.step(&plan), chain };
    let (mut state, mut ledger) = (driver.init(&task.params).unwrap(), plan.ledger());
    let (sampler, mut keys, mut params) = (plan.sampler().unwrap(), keys, task.params.clone());
    for _ in 0..STEPS {
        let key = keys.next_step();
        let parts = sampler.draw(&key).map(|records| task.parts(&records));
        let (rates, one) = (Rates::uniform(rate), &SingleProcess);
        let update =
            driver.run(&task.model, &params, parts, &rates, key, one, &mut ledger, &mut state);
        params = update.unwrap().params;
    }
    (ledger, [task.loss(&task.params), task.loss(&params)])
}

fn seeded() -> RunKey {
    RunKey::seeded(6, 0)
}

/// That a chain learns, and that its ledger is the one of the run without filters, to the last event.
fn check<T: TakesPoints>(what: &str, task: &Task, chain: T, rate: f64) {
    let (plain, _) = train(task, AdamW::default(), rate, seeded());
    let (ledger, [before, after]) = train(task, chain, rate, seeded());
    assert!(after < 0.8 * before, "{what}: the loss went from {before} to {after}");
    assert_eq!(ledger, plain, "{what}");
    let plan = builder().build(&RdpAccountant::new()).unwrap();
    let epsilon = |ledger: &Ledger| {
        let bound = ledger.simulated_epsilon(&RdpAccountant::new(), plan.delta()).unwrap();
        bound.guarantee().unwrap()
    };
    assert_eq!(epsilon(&ledger).to_bits(), epsilon(&plain).to_bits(), "{what}");
    assert!(epsilon(&ledger) <= 6.0, "{what}");
}

#[test]
fn chains_of_filters_learn_at_the_price_of_the_run_without_them() {
    let task = Task::new();
    let low = || LowPass::new(Recipe::FirstOrder.filter());
    let auto = |kappa| Disk::new(kappa, LookAhead::Auto).unwrap();
    check("doppler, plain descent", &task, low(), 2.0);
    check("doppler, Adam", &task, low().then(AdamW::default()), 0.05);
    check("disk, plain descent", &task, Disk::default(), 2.0);
    check("disk, momentum", &task, auto(0.4).then(Momentum::default()), 0.2);
    check("disk, Adam", &task, Disk::default().then(AdamW::default()), 0.05);
    let kalman = ScalarKalman::new(1.0, 0.1, 0.5).unwrap();
    let adaptive = Disk::adaptive(kalman, LookAhead::Fixed(1.0)).unwrap();
    check("disk, adaptive", &task, adaptive.then(AdamW::default()), 0.05);
    check("doppler after disk", &task, Disk::default().then(low()).then(AdamW::default()), 0.05);
}

#[test]
fn adam_with_a_filter_inside_learns_with_any_denominator() {
    let task = Task::new();
    let plan = builder().build(&RdpAccountant::new()).unwrap();
    let step = task.step(&plan);
    for mode in [AdamMode::ReplaceFirstMoment, AdamMode::FilterThenAdam { beta1: 0.9 }] {
        let denominators = [
            (Denominator::AtLeast { least: 1e-5 }, 0.05),
            // Where the noise has been taken off, what is left to divide by is small: the floor decides.
            (Denominator::noise_free(&step, 1.0, 1e-3).unwrap(), 0.05),
        ];
        for (denominator, rate) in denominators {
            let low = LowPass::new(Recipe::FirstOrder.filter());
            let adam = FilteredAdam::new(low, mode).unwrap();
            let adam = adam.with_denominator(denominator).unwrap();
            check(&format!("{mode:?}, {denominator:?}"), &task, adam, rate);
        }
    }
}

#[test]
fn groups_with_filters_of_their_own_and_adapters_learn() {
    let task = Task::new();
    let groups = Groups::per_layer(&task.params);
    let filters = [Recipe::DoublePole, Recipe::None].map(|r| LowPass::new(r.filter()));
    assert_eq!(groups.len(), filters.len());
    let per_group = PerGroup::new(groups, filters.to_vec()).unwrap();
    check("groups", &task, per_group.then(AdamW::default()), 0.05);
    let adapted = Task::adapted();
    let low = LowPass::new(Recipe::FirstOrderTwoTaps.filter());
    check("adapters", &adapted, Disk::default().then(low).then(AdamW::default()), 0.05);
}

#[test]
fn a_run_with_secret_noise_gets_its_statement() {
    let task = Task::new();
    let low = LowPass::new(Recipe::FirstOrder.filter());
    let chain = Disk::default().then(low).then(AdamW::default());
    let (ledger, _) = train(&task, chain, 0.05, RunKey::private().unwrap());
    let plan = builder().build(&RdpAccountant::new()).unwrap();
    let statement = ledger.statement(&RdpAccountant::new(), plan.delta()).unwrap();
    assert!(statement.epsilon() <= 6.0);
    assert_eq!(ledger.event().canonical().unwrap(), plan.event().canonical().unwrap());
}

/// As `train`, with rates from private losses.
fn train_hyfree<T: TakesPoints>(task: &Task, chain: T) -> (Ledger, [f64; 2]) {
    let settings = Settings::evidence(Evidence::default().with_momentum(0.9).unwrap());
    let plan = builder().losses(settings.schedule()).build(&RdpAccountant::new()).unwrap();
    let controller = HyFree::new(settings, &plan).unwrap();
    let driver = HyFreeStep { step: task.step(&plan), controller, chain };
    let (mut state, mut ledger) = (driver.init(&task.params).unwrap(), plan.ledger());
    let (sampler, mut keys, mut params) = (plan.sampler().unwrap(), seeded(), task.params.clone());
    for _ in 0..STEPS {
        let key = keys.next_step();
        let parts = sampler.draw(&key).map(|records| task.parts(&records));
        let one = &SingleProcess;
        let update =
            hyfree_step(&driver, &task.model, &params, parts, key, one, &mut ledger, &mut state);
        params = update.unwrap().params;
    }
    (ledger, [task.loss(&task.params), task.loss(&params)])
}

#[test]
fn either_filter_and_both_learn_with_private_rates_at_the_same_price() {
    let task = Task::new();
    let low = || LowPass::new(Recipe::FirstOrderAveraging.filter());
    let disk = || Disk::default();
    let auto = || Disk::new(0.5, LookAhead::Auto).unwrap();
    let (plain, _) = train_hyfree(&task, AdamW::default());
    let runs = [
        ("doppler", train_hyfree(&task, low().then(AdamW::default()))),
        ("disk, two gradients", train_hyfree(&task, disk().then(AdamW::default()))),
        ("disk, one gradient", train_hyfree(&task, auto().then(AdamW::default()))),
        ("both", train_hyfree(&task, disk().then(low()).then(AdamW::default()))),
    ];
    let delta = builder().build(&RdpAccountant::new()).unwrap().delta();
    let epsilon = |ledger: &Ledger| {
        let bound = RdpAccountant::new().epsilon(&ledger.event(), delta).unwrap();
        bound.guarantee().unwrap()
    };
    for (what, (ledger, [before, after])) in runs {
        assert!(after < 0.8 * before, "{what}: the loss went from {before} to {after}");
        assert_eq!(ledger, plain, "{what}");
        assert_eq!(epsilon(&ledger).to_bits(), epsilon(&plain).to_bits());
        assert!(epsilon(&ledger) <= 6.0 * (1.0 + 1e-9), "{what}");
    }
}

/// Micro-batches are an order of sums, and nothing else.
#[test]
fn micro_batches_change_nothing_but_the_rounding() {
    let task = Task::new();
    let plan = builder().build(&RdpAccountant::new()).unwrap();
    let chain = Disk::default().then(LowPass::new(Recipe::FirstOrder.filter()));
    let driver = FilteredStep { step: task.step(&plan), chain };
    let run = |size: usize| {
        let (mut state, mut ledger) = (driver.init(&task.params).unwrap(), plan.ledger());
        let (mut keys, mut params) = (seeded(), task.params.clone());
        for _ in 0..4 {
            let key = keys.next_step();
            let parts = plan.sampler().unwrap().draw(&key);
            let parts = parts.map(|r| r.chunks(size).map(|chunk| task.batch(chunk)).collect());
            let (rates, one) = (Rates::uniform(0.1), &SingleProcess);
            let update =
                driver.run(&task.model, &params, parts, &rates, key, one, &mut ledger, &mut state);
            params = update.unwrap().params;
        }
        params
    };
    let whole = run(N);
    for size in [1, 7, 30] {
        let moved = run(size).add_scaled(-1.0, &whole).unwrap().norm().unwrap();
        // Single precision, over four steps of parameters of size one.
        assert!(moved <= 1e-5, "{size}: {moved}");
    }
    assert!(1e-2 < task.params.add_scaled(-1.0, &whole).unwrap().norm().unwrap());
}
