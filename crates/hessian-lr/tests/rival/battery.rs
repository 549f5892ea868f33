//! What every rival promises: restarts without a break, errors that change nothing, settings that are checked.

use candle_core::DType;
use hessian_lr::Error;
use hessian_lr::rival::{
    Armijo, Averaged, Contender, DAdaptAdam, DAdaptSgd, Dog, Hypergradient, MetaRule, Move, Paced,
    PolyakStep, Prodigy, RateLimit, Reset, Rival, Running, ScheduleFree, Scheduled,
};
use tensor_tree::checkpoint::{Header, from_bytes, to_bytes};
use tensor_tree::conformance::check_transform;
use tensor_tree::{
    AdamW, Checkpoint, Groups, Schedule, Sgd, StateReader, StateWriter, Transform, Tree,
};

use super::problem::{Problem, START, advance, flat, tree};

/// Every rival under a name, each with options that leave the defaults.
fn with_all(mut visit: impl Visit) {
    let schedule = Schedule::Cosine { warmup: 2, total: 20, floor: 0.1 };
    let groups = Some(Groups::per_leaf(&tree(&START)));
    visit.visit(Paced(DAdaptSgd { momentum: 0.9, weight_decay: 0.1, ..DAdaptSgd::default() }));
    visit.visit(Paced(DAdaptAdam { weight_decay: 0.1, schedule, ..DAdaptAdam::default() }));
    visit.visit(Paced(Prodigy { weight_decay: 0.1, schedule, ..Prodigy::default() }));
    visit.visit(Paced(Dog { groups, ..Dog::default() }));
    visit.visit(Averaged::new(Paced(Dog::default())));
    visit.visit(Averaged::new(Armijo::default()));
    visit.visit(ScheduleFree { warmup: 4, ..ScheduleFree::adamw(0.1) });
    visit.visit(ScheduleFree::sgd(0.1));
    visit.visit(PolyakStep { limit: RateLimit::smooth(10), ..PolyakStep::default() });
    visit.visit(Armijo { reset: Reset::Grow { gamma: 2.0, n_batches: 10 }, ..Armijo::default() });
    visit.visit(Paced(Hypergradient::sgd(0.01, 1e-3, MetaRule::Additive)));
    visit.visit(Paced(Hypergradient::adam(0.01, 0.1, MetaRule::Multiplicative)));
    visit.visit(Scheduled { transform: AdamW::default(), rate: 0.1, schedule });
}

trait Visit {
    fn visit<R: Rival + Clone + 'static>(&mut self, rival: R);
}

fn bytes(state: &impl Checkpoint) -> Vec<u8> {
    let mut out = StateWriter::new();
    state.save(&mut out).unwrap();
    to_bytes(&header(), &out.finish()).unwrap()
}

/// The checksum of everything in a state. (The order of a file's metadata is not part of what it says.)
fn fingerprint(state: &impl Checkpoint) -> String {
    let bytes = bytes(state);
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let json: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    json["__metadata__"]["sha256"].as_str().unwrap().to_owned()
}

fn header() -> Header {
    Header { kind: "rival".into(), config: String::new() }
}

fn same(a: &Tree, b: &Tree) -> bool {
    flat(a) == flat(b)
}

#[test]
fn a_run_that_was_saved_and_loaded_goes_on_as_if_nothing_had_happened() {
    struct Restart;
    impl Visit for Restart {
        fn visit<R: Rival + Clone + 'static>(&mut self, rival: R) {
            let mut params = tree(&START);
            let mut state = rival.init(&params).unwrap();
            let (mut other, mut loaded) = (params.clone(), rival.init(&params).unwrap());
            for step in 0..15 {
                if step % 4 == 1 {
                    let read = from_bytes(&bytes(&loaded), &header()).unwrap();
                    loaded = R::State::load(&mut StateReader::new(&read)).unwrap();
                }
                params = advance(&rival, Problem::NOISY, step, &params, &mut state).unwrap();
                other = advance(&rival, Problem::NOISY, step, &other, &mut loaded).unwrap();
                assert!(same(&params, &other), "step {step}");
                assert_eq!(fingerprint(&state), fingerprint(&loaded), "step {step}");
            }
            assert!(!same(&params, &tree(&START)));
        }
    }
    with_all(Restart);
}

#[test]
fn an_error_leaves_the_state_as_it_was() {
    struct Errors;
    impl Visit for Errors {
        fn visit<R: Rival + Clone + 'static>(&mut self, rival: R) {
            let mut params = tree(&START);
            let mut state = rival.init(&params).unwrap();
            for step in 0..4 {
                let before = fingerprint(&state);
                let (part, _) = params.partition(|name| name == "a");
                let wrong = rival.step(part, 1.0, &params, &mut state);
                assert!(matches!(wrong, Err(Error::Tensor(_))));
                for bad in [f64::NAN, f64::INFINITY] {
                    let mut values = START;
                    values[4] = bad;
                    let broken = rival.step(tree(&values), 1.0, &params, &mut state);
                    assert!(matches!(broken, Err(Error::NonFinite { .. })));
                }
                assert_eq!(fingerprint(&state), before);
                params = advance(&rival, Problem::NOISY, step, &params, &mut state).unwrap();
            }
        }
    }
    with_all(Errors);
}

#[test]
fn losses_that_are_needed_must_be_finite() {
    let params = tree(&START);
    let armijo = Armijo::default();
    let mut state = armijo.init(&params).unwrap();
    let broken = armijo.step(params.clone(), f64::NAN, &params, &mut state);
    assert!(matches!(broken, Err(Error::NonFinite { what: "loss", .. })));
    let polyak = PolyakStep::default();
    let mut state = polyak.init(&params).unwrap();
    let broken = polyak.step(params.clone(), f64::INFINITY, &params, &mut state);
    assert!(matches!(broken, Err(Error::NonFinite { what: "loss", .. })));
    let dog = Paced(Dog::default());
    let mut state = dog.init(&params).unwrap();
    assert!(dog.step(params.clone(), f64::NAN, &params, &mut state).is_ok());
}

#[test]
fn parameters_that_would_overflow_are_an_error() {
    let params = tree(&START).to_dtype(DType::F32).unwrap();
    let rival = Scheduled { transform: Sgd::default(), rate: 1e30, schedule: Schedule::Constant };
    let mut state = rival.init(&params).unwrap();
    let grads = params.scale(1e10).unwrap();
    let broken = rival.step(grads, 1.0, &params, &mut state);
    assert!(matches!(broken, Err(Error::NonFinite { .. })));
    assert_eq!(state.step, 0);
}

#[test]
fn single_precision_keeps_its_type_and_stays_close() {
    struct Single;
    impl Visit for Single {
        fn visit<R: Rival + Clone + 'static>(&mut self, rival: R) {
            let mut wide = tree(&START);
            let mut narrow = wide.to_dtype(DType::F32).unwrap();
            let mut states = [rival.init(&wide).unwrap(), rival.init(&narrow).unwrap()];
            for step in 0..8 {
                let [a, b] = &mut states;
                wide = advance(&rival, Problem::NOISY, step, &wide, a).unwrap();
                narrow = advance(&rival, Problem::NOISY, step, &narrow, b).unwrap();
            }
            assert_eq!(narrow.leaf("a").unwrap().dtype(), DType::F32);
            let gap = narrow.to_dtype(DType::F64).unwrap().add_scaled(-1.0, &wide).unwrap();
            assert!(gap.norm().unwrap() < 1e-3);
        }
    }
    with_all(Single);
}

#[test]
fn contenders_run_as_their_rivals_do() {
    struct Boxed;
    impl Visit for Boxed {
        fn visit<R: Rival + Clone + 'static>(&mut self, rival: R) {
            let mut params = tree(&START);
            let mut state = rival.init(&params).unwrap();
            let mut other = params.clone();
            let mut boxed: Box<dyn Contender> =
                Box::new(Running::new(rival.clone(), &params).unwrap());
            assert!(matches!(boxed.answer(1.0), Err(Error::NothingAsked)));
            for step in 0..6 {
                params = advance(&rival, Problem::NOISY, step, &params, &mut state).unwrap();
                let at = flat(&boxed.train_params(&other).unwrap());
                let grads = tree(&Problem::NOISY.gradient(&at, step));
                let loss = Problem::NOISY.loss(&at, step);
                let mut next = boxed.step(grads, loss, &other).unwrap();
                while let Move::Try(at) = next {
                    let middle = boxed.save(&mut StateWriter::new());
                    assert!(matches!(middle, Err(Error::OpenQuestion)));
                    next = boxed.answer(Problem::NOISY.loss(&flat(&at), step)).unwrap();
                }
                other = next.done().unwrap();
                assert!(same(&params, &other));
                assert_eq!(boxed.rate(), rival.rate(&state));
                let seen = boxed.eval_params(&other).unwrap();
                assert!(same(&seen, &rival.eval_params(&params, &state).unwrap()));
            }
            let mut out = StateWriter::new();
            boxed.save(&mut out).unwrap();
            let saved = out.finish();
            let mut fresh = Running::new(rival.clone(), &tree(&START)).unwrap();
            fresh.load(&mut StateReader::new(&saved)).unwrap();
            assert_eq!(fingerprint(fresh.state()), fingerprint(&state));
        }
    }
    with_all(Boxed);
}

#[test]
fn those_that_are_transformations_conform() {
    check_transform(&DAdaptSgd { momentum: 0.9, ..DAdaptSgd::default() }).unwrap();
    check_transform(&DAdaptAdam { weight_decay: 0.1, ..DAdaptAdam::default() }).unwrap();
    check_transform(&Prodigy { weight_decay: 0.1, ..Prodigy::default() }).unwrap();
    check_transform(&Dog { weight_decay: 0.1, ..Dog::default() }).unwrap();
    check_transform(&Hypergradient::sgd(0.1, 0.01, MetaRule::Additive)).unwrap();
    check_transform(&Hypergradient::adam(0.1, 0.01, MetaRule::Multiplicative)).unwrap();
    check_transform(&Sgd { weight_decay: 0.1 }.then(Prodigy::default())).unwrap();
}

#[test]
fn settings_out_of_range_are_refused() {
    #[track_caller]
    fn refuse(rival: impl Rival) {
        let refused = rival.init(&tree(&START));
        assert!(matches!(refused, Err(Error::InvalidSetting { .. })));
    }
    let nan = f64::NAN;
    refuse(Paced(DAdaptSgd { d0: 0.0, ..DAdaptSgd::default() }));
    refuse(Paced(DAdaptSgd { momentum: 1.0, ..DAdaptSgd::default() }));
    refuse(Paced(DAdaptSgd { growth_rate: 0.9, ..DAdaptSgd::default() }));
    refuse(Paced(DAdaptAdam { beta1: nan, ..DAdaptAdam::default() }));
    refuse(Paced(DAdaptAdam { eps: 0.0, ..DAdaptAdam::default() }));
    refuse(Paced(DAdaptAdam { weight_decay: -1.0, ..DAdaptAdam::default() }));
    refuse(Paced(Prodigy { beta3: Some(1.1), ..Prodigy::default() }));
    refuse(Paced(Prodigy { d_coef: nan, ..Prodigy::default() }));
    refuse(Paced(Prodigy { rate: f64::INFINITY, ..Prodigy::default() }));
    let backwards = Schedule::Linear { warmup: 3, total: 2, floor: 0.0 };
    refuse(Paced(Prodigy { schedule: backwards, ..Prodigy::default() }));
    refuse(Paced(Dog { reps_rel: 0.0, ..Dog::default() }));
    refuse(Paced(Dog { eps: -1e-8, ..Dog::default() }));
    refuse(Averaged { rival: Armijo::default(), gamma: -1.0 });
    refuse(ScheduleFree { beta: 1.1, ..ScheduleFree::sgd(0.1) });
    refuse(ScheduleFree::sgd(0.0));
    refuse(ScheduleFree { rate_power: nan, ..ScheduleFree::adamw(0.1) });
    refuse(ScheduleFree::new(AdamW { beta2: 1.0, ..AdamW::default() }, 0.1));
    refuse(PolyakStep { c: 0.0, ..PolyakStep::default() });
    refuse(PolyakStep { f_star: f64::NEG_INFINITY, ..PolyakStep::default() });
    refuse(PolyakStep { limit: RateLimit::Constant(nan), ..PolyakStep::default() });
    refuse(PolyakStep { limit: RateLimit::smooth(0), ..PolyakStep::default() });
    refuse(Armijo { c: 1.0, ..Armijo::default() });
    refuse(Armijo { backtrack: 0.0, ..Armijo::default() });
    refuse(Armijo { max_trials: 0, ..Armijo::default() });
    refuse(Armijo { reset: Reset::Grow { gamma: 0.5, n_batches: 1 }, ..Armijo::default() });
    refuse(Paced(Hypergradient::sgd(0.0, 0.1, MetaRule::Additive)));
    refuse(Paced(Hypergradient::adam(0.1, -0.1, MetaRule::Additive)));
    refuse(Scheduled { transform: Sgd::default(), rate: nan, schedule: Schedule::Constant });
    let other = Groups::one(&Tree::new());
    let grouped = Paced(Dog { groups: Some(other), ..Dog::default() });
    assert!(matches!(grouped.init(&tree(&START)), Err(Error::Tensor(_))));
}
