//! Steps with rates from private losses: what they do to parameters, memory, batches and noise.

use candle_core::DType;
use dp_core::hyfree::{Evidence, HyFree, HyFreeState, HyFreeStep, Line, Settings};
use dp_core::{
    ClipFunction, ClipNorm, ClipStyle, Clipping, Ledger, PrivacyPlan, PrivateStep, RdpAccountant,
    RunKey, Sampled, Unsampled,
};
use tensor_tree::checkpoint::{Header, from_bytes, to_bytes};
use tensor_tree::{
    AdamW, Checkpoint, Momentum, ProbePoint, Rates, Sgd, SingleProcess, StateReader, StateWriter,
    Transform, Tree,
};

use super::polynomial::{Polynomial, leaf, values};
use crate::battery::networks::{Batch, Sample, Sizes, Tokens, rows};

const SIZES: Sizes = Sizes { t: 4, d: 4, v: 6, c: 3 };

fn settings() -> Settings {
    let evidence = Evidence::default().with_momentum(0.9).unwrap();
    Settings { period: 3, ..Settings::evidence(evidence) }
}

fn plan(settings: &Settings) -> PrivacyPlan {
    PrivacyPlan::builder()
        .n_samples(40)
        .expected_batch_size(20.0)
        .steps(12)
        .clip_norm(1.0)
        .delta(1e-3)
        .noise_multiplier(0.5)
        .losses(settings.schedule())
        .loss_noise_multiplier(0.2)
        .build(&RdpAccountant::new())
        .unwrap()
}

/// A driver for `params` clipped in `style`.
fn driver<T: Transform>(
    chain: T,
    style: &ClipStyle,
    params: &Tree,
    dropout: bool,
) -> HyFreeStep<T> {
    let plan = plan(&settings());
    let r = ClipNorm::new(1.0).unwrap();
    let clipping = Clipping::new(ClipFunction::automatic(), style, params, r).unwrap();
    let step = PrivateStep::new(&plan, clipping).unwrap();
    let step = if dropout { step.with_dropout() } else { step };
    HyFreeStep { step, controller: HyFree::new(settings(), &plan).unwrap(), chain }
}

fn problem() -> (Polynomial, Tree) {
    let mut problem = Polynomial::bowl(40, 3, 2.0);
    for (i, center) in problem.centers.iter_mut().enumerate() {
        center[i % 3] = 0.1 * (i as f64 - 20.0);
    }
    problem.quartic = 0.1;
    (problem, leaf(&[3.0, -2.0, 1.0]))
}

/// The batch of a step, in one part.
fn drawn(plan: &PrivacyPlan, key: &dp_core::StepKey) -> Sampled<Vec<Vec<usize>>> {
    plan.sampler().unwrap().draw(key).map(|records| vec![records])
}

fn bits(params: &Tree) -> Vec<u64> {
    values(params).into_iter().map(f64::to_bits).collect()
}

/// `n` steps from step `first` on; the parameters after each.
fn train<T: Transform>(
    driver: &HyFreeStep<T>,
    (problem, mut params): (&Polynomial, Tree),
    (first, n): (u64, u64),
    state: &mut HyFreeState<T::State>,
    ledger: &mut Ledger,
) -> Vec<Tree> {
    let plan = plan(&settings());
    let mut keys = RunKey::seeded(7, first);
    let step = |_| {
        let key = keys.next_step();
        let batch = drawn(&plan, &key);
        let update =
            driver.run(problem, &params, batch, key, &SingleProcess, ledger, state).unwrap();
        params = update.params;
        params.clone()
    };
    (0..n).map(step).collect()
}

#[test]
fn a_step_is_a_private_gradient_a_direction_losses_along_it_and_descent() {
    let (problem, start) = problem();
    let driver = driver(AdamW::default(), &ClipStyle::Flat, &start, false);
    let HyFreeStep { step, controller, chain } = &driver;
    let plan = plan(&settings());
    let (mut ledger, mut by_hand) = (plan.ledger(), plan.ledger());
    let mut state = driver.init(&start).unwrap();
    let got = train(&driver, (&problem, start.clone()), (0, 8), &mut state, &mut ledger);

    let (mut rates, mut memory) = (controller.init(), chain.init(&start).unwrap());
    let (mut keys, mut params) = (RunKey::seeded(7, 0), start);
    for got in got {
        let key = keys.next_step();
        let batch = drawn(&plan, &key);
        let points = ProbePoint::single(&params);
        let n = controller.n_losses(&rates);
        let (grads, mut losses) = step
            .run_with_losses(&problem, &points, batch, n, key, &SingleProcess, &mut by_hand)
            .unwrap();
        let direction = chain.update(grads, &params, &mut memory).unwrap();
        let line = Line::new(params.norm().unwrap(), direction.norm().unwrap()).unwrap();
        controller.begin(line, &mut rates).unwrap();
        while let Some(query) = controller.ask(&rates) {
            let release = |x: &f64| {
                // Evaluated anew at rest too.
                let there = params.add_scaled(-x, &direction).unwrap();
                losses.release(&problem, &there, query.clip, &SingleProcess).unwrap()
            };
            let told: Vec<f64> = query.distances.iter().map(release).collect();
            controller.tell(&told, &mut rates).unwrap();
        }
        let rate = controller.rate(&rates).unwrap();
        params = params.descend(&direction, &Rates::uniform(rate)).unwrap();
        controller.stepped(&mut rates).unwrap();
        assert_eq!(bits(&got), bits(&params));
    }
    assert_eq!(state.rates, rates);
    assert_eq!(ledger, by_hand);
    assert_eq!(ledger.n_charges(), 8);
}

#[test]
fn losses_leave_parameters_memory_batches_and_the_gradients_noise_alone() {
    let (problem, start) = problem();
    let driver = driver(Momentum::default(), &ClipStyle::Flat, &start, false);
    let plan = plan(&settings());
    let before = bits(&start);
    let key = || RunKey::seeded(7, 0).next_step();
    let mut state = driver.init(&start).unwrap();
    let update = driver
        .run(
            &problem,
            &start,
            drawn(&plan, &key()),
            key(),
            &SingleProcess,
            &mut plan.ledger(),
            &mut state,
        )
        .unwrap();
    assert!(3 < update.n_losses && update.n_losses <= 12);
    assert_eq!(bits(&start), before);
    // The gradient is that of a step without losses, to the bit: its noise and its batch are the same.
    let points = ProbePoint::single(&start);
    let alone = driver
        .step
        .run_in_parts(
            &problem,
            &points,
            drawn(&plan, &key()),
            key(),
            &SingleProcess,
            &mut plan.ledger(),
        )
        .unwrap();
    assert_eq!(bits(&update.grads), bits(&alone));
    assert_eq!(drawn(&plan, &key()).batch(), drawn(&plan, &key()).batch());
    // The chain has moved by one update.
    let mut once = driver.chain.init(&start).unwrap();
    let direction = driver.chain.update(alone, &start, &mut once).unwrap();
    let descended = start.descend(&direction, &Rates::uniform(update.rate)).unwrap();
    assert_eq!(bits(&update.params), bits(&descended));
    let next = |mut memory: tensor_tree::MomentumState| {
        bits(&driver.chain.update(leaf(&[0.0; 3]), &start, &mut memory).unwrap())
    };
    assert_eq!(next(state.chain), next(once.clone()));
    assert_ne!(next(once), next(driver.chain.init(&start).unwrap()));
}

fn header() -> Header {
    Header { kind: "test".into(), config: "none".into() }
}

#[test]
fn a_run_that_was_saved_goes_on_as_if_it_had_not_been() {
    let (problem, start) = problem();
    for cut in 1..6 {
        let driver = driver(AdamW::default(), &ClipStyle::Flat, &start, false);
        let plan = plan(&settings());
        let mut whole = driver.init(&start).unwrap();
        let all = train(&driver, (&problem, start.clone()), (0, 9), &mut whole, &mut plan.ledger());

        let mut part = driver.init(&start).unwrap();
        let first =
            train(&driver, (&problem, start.clone()), (0, cut), &mut part, &mut plan.ledger());
        let mut out = StateWriter::new();
        part.save(&mut out).unwrap();
        let bytes = to_bytes(&header(), &out.finish()).unwrap();
        let read = from_bytes(&bytes, &header()).unwrap();
        let mut part = HyFreeState::load(&mut StateReader::new(&read)).unwrap();
        let params = first.last().unwrap().clone();
        let rest =
            train(&driver, (&problem, params), (cut, 9 - cut), &mut part, &mut plan.ledger());
        let bits_of = |trees: &[Tree]| trees.iter().map(bits).collect::<Vec<_>>();
        assert_eq!(bits_of(&all[cut as usize..]), bits_of(&rest), "{cut}");
        assert_eq!(whole.rates, part.rates);
    }
}

#[test]
fn a_step_that_has_begun_is_not_saved_and_a_broken_state_not_loaded() {
    let controller = HyFree::with_noise(settings(), 0.01).unwrap();
    let mut state = controller.init();
    controller.begin(Line::new(1.0, 1.0).unwrap(), &mut state).unwrap();
    assert!(state.save(&mut StateWriter::new()).is_err());
    let load = |change: &dyn Fn(&mut StateWriter)| {
        let mut out = StateWriter::new();
        change(&mut out);
        dp_core::hyfree::State::load(&mut StateReader::new(&out.finish()))
    };
    assert!(load(&|out| controller.init().save(out).unwrap()).is_ok());
    assert!(load(&|_| {}).is_err());
    for bad in [0.0, -1.0, f64::NAN] {
        let broken = load(&|out| {
            for name in ["slopes", "slope precision", "curvatures", "curvature precision"] {
                out.number(name, 1.0).unwrap();
            }
            for name in ["step", "losses", "resolved", "descent"] {
                out.count(name, 0).unwrap();
            }
            out.number("bound", 1.0).unwrap();
            out.number("distance", 1.0).unwrap();
            out.number("rate", bad).unwrap();
            let outcomes = dp_core::hyfree::Outcome::ALL;
            out.scope("outcomes", |out| outcomes.iter().try_for_each(|o| out.count(o.name(), 0)))
                .unwrap();
        });
        assert!(broken.unwrap_err().to_string().contains("rate"));
    }
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * (a.abs() + b.abs())
}

#[test]
fn a_batch_in_parts_gives_the_same_losses_and_rates() {
    let (problem, start) = problem();
    let driver = driver(Sgd::default(), &ClipStyle::Flat, &start, false);
    let plan = plan(&settings());
    let all: Vec<usize> = (0..20).collect();
    let run = |parts: Vec<Vec<usize>>| {
        let mut state = driver.init(&start).unwrap();
        let key = RunKey::seeded(1, 0).next_step();
        let mut ledger = plan.ledger();
        driver
            .run(&problem, &start, Unsampled(parts), key, &SingleProcess, &mut ledger, &mut state)
            .unwrap();
        state.rates.report().unwrap().losses.clone()
    };
    let whole = run(vec![all.clone()]);
    for parts in [
        vec![all[..3].to_vec(), vec![], all[3..].to_vec()],
        all.iter().rev().map(|i| vec![*i]).collect(),
    ] {
        let got = run(parts);
        assert_eq!(got.len(), whole.len());
        assert!(got.iter().zip(&whole).all(|(a, b)| near(*a, *b)), "{got:?} {whole:?}");
    }
    // An empty batch has losses of pure noise, and is a step like any other.
    assert_eq!(run(vec![]).len(), whole.len());
}

#[test]
fn an_error_leaves_the_state_as_it_was() {
    let (problem, start) = problem();
    let driver = driver(AdamW::default(), &ClipStyle::Flat, &start, false);
    let plan = plan(&settings());
    let mut state = driver.init(&start).unwrap();
    train(&driver, (&problem, start.clone()), (0, 3), &mut state, &mut plan.ledger());
    let (rates, before) = (state.rates.clone(), state.clone());
    // A direction that is not finite: parameters beyond all bounds decay into it.
    let far = leaf(&[f64::MAX, f64::MAX, 1.0]);
    let decayed = HyFreeStep { chain: AdamW { weight_decay: 10.0, ..driver.chain }, ..driver };
    let key = RunKey::seeded(7, 3).next_step();
    let got = decayed.run(
        &problem,
        &far,
        Unsampled(vec![vec![0]]),
        key,
        &SingleProcess,
        &mut plan.ledger(),
        &mut state,
    );
    assert!(got.is_err());
    assert_eq!(state.rates, rates);
    let _ = before;
}

/// A first-order filter with bias correction, before an optimizer.
#[derive(Clone, Copy)]
struct LowPass;

#[derive(Clone)]
struct LowPassState {
    filtered: Tree,
    gain: f64,
}

impl Checkpoint for LowPassState {
    fn save(&self, out: &mut StateWriter) -> tensor_tree::Result<()> {
        out.tree("filtered", &self.filtered)?;
        out.number("gain", self.gain)
    }
    fn load(from: &mut StateReader<'_>) -> tensor_tree::Result<Self> {
        Ok(LowPassState { filtered: from.tree("filtered")?, gain: from.number("gain")? })
    }
}

impl Transform for LowPass {
    type State = LowPassState;
    fn init(&self, params: &Tree) -> tensor_tree::Result<LowPassState> {
        Ok(LowPassState { filtered: params.zeros_like()?, gain: 0.0 })
    }
    fn update(&self, grads: Tree, _: &Tree, state: &mut LowPassState) -> tensor_tree::Result<Tree> {
        let filtered = state.filtered.scale(0.7)?.add_scaled(0.3, &grads)?;
        let gain = 0.7 * state.gain + 0.3;
        *state = LowPassState { filtered: filtered.clone(), gain };
        filtered.scale(1.0 / gain)
    }
}

#[test]
fn subsets_of_parameters_groups_dropout_and_filters_are_trained() {
    let samples: Vec<Sample> = (0..40).map(|i| Sample::new(i, SIZES, Tokens::Random)).collect();
    for name in [
        "linear, positions",
        "biases alone",
        "lora with dropout and biases",
        "network: GPT, tied, dropout",
    ] {
        let row = rows().into_iter().find(|row| row.name == name).unwrap();
        let (net, mut params) = row.build(SIZES, DType::F32);
        let names: Vec<String> = params.names().map(str::to_owned).collect();
        let driver = driver(LowPass.then(AdamW::default()), &ClipStyle::PerParam, &params, true);
        let plan = plan(&settings());
        let (mut state, mut ledger) = (driver.init(&params).unwrap(), plan.ledger());
        let mut keys = RunKey::seeded(4, 0);
        for _ in 0..7 {
            let key = keys.next_step();
            let batch = plan.sampler().unwrap().draw(&key).map(|records| {
                let chosen: Vec<Sample> = records.iter().map(|i| samples[*i].clone()).collect();
                let (a, b) = chosen.split_at(chosen.len() / 2);
                vec![Batch::new(a, SIZES, DType::F32), Batch::new(b, SIZES, DType::F32)]
            });
            let update = driver
                .run(&net, &params, batch, key, &SingleProcess, &mut ledger, &mut state)
                .unwrap();
            assert!(update.params.is_finite().unwrap() && 0.0 < update.rate);
            params = update.params;
        }
        assert_eq!(params.names().collect::<Vec<_>>(), names, "{name}");
        assert_eq!((state.rates.step(), ledger.n_charges()), (7, 7));
        let report = state.rates.report().unwrap();
        // Cross-entropy of 3 or 6 classes, seen through noise of a hundredth of the bound.
        assert!((0.3..6.0).contains(&report.losses[0]), "{name}: {report:?}");
    }
}
